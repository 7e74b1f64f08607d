/* UNIX sockets of a guest, and socat at the other end: streams and packets, either side listening.
 */
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define WAIT_MS  20000
#define FILE_LEN (5u << 20) /* bytes */

/* socat's own end is up to five seconds behind that of one side, as the other needs. */
#define SOCAT "socat", "-t", "5"

static char *joined(const char *before, const char *path, const char *behind)
{
	char *all;

	if (asprintf(&all, "%s%s%s", before, path, behind) < 0)
		abort();
	return all;
}

static void start_at(struct command *ret_monitor, const char *name, const char *path,
	const char *const *arguments)
{
	guest_start(ret_monitor, WORDS("--unix", path), name, arguments);
	free(command_wait_text(ret_monitor, ret_monitor->out, "listening on ", WAIT_MS));
}

/* The file's bytes go to the guest and back through one connection, half-closed behind the last. */
START_TEST(socat_connects)
{
	struct command monitor, socat;
	char *path = scratch_path("echo.sock"), *file = scratch_path("bytes");
	char *copy = scratch_path("bytes.copy");

	file_write_pattern(file, random_seed(), FILE_LEN);
	start_at(&monitor, "echo", path, WORDS(joined("unix:", path, "")));
	char *both = joined("OPEN:", file, ",rdonly!!OPEN:");
	both = joined(both, copy, ",creat,wronly");
	if (command_run(&socat, WORDS(SOCAT, both, joined("UNIX-CONNECT:", path, "")), WAIT_MS) !=
		0)
		ck_abort_msg("socat: %s", file_tail(socat.err));
	expect_same_file(copy, file);
	guest_stop(&monitor, 0);
}
END_TEST

static void wait_for(const char *path)
{
	for (int wait = 0; access(path, F_OK) != 0 && wait < WAIT_MS; wait++)
		sleep_ms(1);
	expect_equal(access(path, F_OK), 0);
}

/* A relay connects to it, and it sends back what comes. */
START_TEST(socat_listens)
{
	struct command monitor, socat;
	char *path = scratch_path("listens.sock");

	command_start(&socat, WORDS(SOCAT, joined("UNIX-LISTEN:", path, ",fork"), "EXEC:cat"));
	wait_for(path);
	uint16_t port = guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--unix", path), "relay",
		WORDS(ANY_PORT, joined("unix:", path, "")));
	for (int i = 0; i < 3; i++) {
		int fd = client_connect(port);
		client_send_pattern(fd, (uint64_t)i, 0, 50000);
		client_finish(fd);
		client_expect_pattern(fd, (uint64_t)i, 0, 50000);
		client_expect_end(fd);
		client_close(fd);
	}
	command_stop(&socat, SIGTERM);
	guest_stop(&monitor, port);
}
END_TEST

/* Each read of socat is a packet: of 100 bytes then, with the rest in the last one. */
START_TEST(socat_sends_packets)
{
	struct command monitor, socat;
	char *path = scratch_path("packets.sock"), *file = scratch_path("short");
	char *copy = scratch_path("short.copy");

	file_write_pattern(file, random_seed(), 1234);
	start_at(&monitor, "packets", path, WORDS("listen", path));
	char *both = joined("OPEN:", file, ",rdonly!!OPEN:");
	both = joined(both, copy, ",creat,wronly");
	if (command_run(&socat,
		    WORDS(SOCAT, "-b", "100", both, joined("UNIX-CONNECT:", path, ",type=5")),
		    WAIT_MS) != 0)
		ck_abort_msg("socat: %s", file_tail(socat.err));
	expect_same_file(copy, file);
	guest_stop(&monitor, 0);
}
END_TEST

START_TEST(socat_takes_packets)
{
	struct command monitor, socat;
	char *path = scratch_path("takes.sock"), *file = scratch_path("taken");

	command_start(&socat, WORDS(SOCAT, "-u", joined("UNIX-LISTEN:", path, ",type=5"),
				      joined("OPEN:", file, ",creat,wronly")));
	wait_for(path);
	expect_equal(guest_run(&monitor, WORDS("--unix", path), "packets", WORDS("connect", path),
			     WAIT_MS),
		0);
	/* socat takes an empty packet for the end. */
	command_wait(&socat, WAIT_MS);
	char *text = file_text(file, NULL);
	ck_assert_str_eq(text, "one");
	expect_nothing_left();
}
END_TEST

static const struct integration_test tests[] = {
	{&socat_connects, 60},
	{&socat_listens, 60},
	{&socat_sends_packets, 30},
	{&socat_takes_packets, 30},
};

INTEGRATION_MAIN("socat", tests, "socat")
