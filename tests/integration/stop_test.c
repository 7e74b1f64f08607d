/* Ends that come from outside: signals to the monitor, and its sudden death. Nothing is left. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"

#define LISTEN WORDS("--listen", ANY_PORT)
#define KILLS  20

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

/* A stop that was asked for is no reason for a message. */
static void expect_quiet(const struct command *monitor)
{
	char *err = file_text(monitor->err, NULL);

	if (err[0] != '\0')
		ck_abort_msg("stderr:\n%s", err);
	free(err);
}

START_TEST(signals)
{
	struct command monitor;

	for (size_t i = 0; i < sizeof(stop_signals) / sizeof(stop_signals[0]); i++) {
		uint16_t port = guest_serve(&monitor, LISTEN, "echo", WORDS(ANY_PORT));
		int fd = client_connect(port);
		client_send(fd, "x", 1);
		client_receive(fd, (char[1]){0}, 1);
		uint64_t start = clock_ms();
		expect_equal(command_stop(&monitor, stop_signals[i]), 128 + stop_signals[i]);
		expect(clock_ms() - start < 4000);
		expect_quiet(&monitor);
		expect_no_listener(port);
		expect_nothing_left();
		/* Whether FIN or RST: the connection is over, too. */
		expect(client_readable(fd, 1000));
		client_close(fd);
	}
}
END_TEST

/* A guest that waits for nothing, and one that never waits. */
START_TEST(signal_to_sleeper)
{
	struct command monitor;

	guest_start(&monitor, NO_WORDS, "outcome", WORDS("sleep"));
	free(command_wait_text(&monitor, monitor.out, "waiting", 20000));
	guest_stop(&monitor, 0);
}
END_TEST

START_TEST(signal_to_spinner)
{
	struct command monitor;

	guest_start(&monitor, NO_WORDS, "outcome", WORDS("spin"));
	free(command_wait_text(&monitor, monitor.out, "spinning", 20000));
	guest_stop(&monitor, 0);
}
END_TEST

/* Before it is known how far the start has come. */
START_TEST(signal_at_start)
{
	struct random random = {random_seed()};
	struct command monitor;

	for (int i = 0; i < 30; i++) {
		guest_start(&monitor, LISTEN, "echo", WORDS(ANY_PORT));
		usleep((useconds_t)random_below(&random, 60000));
		int status = command_stop(&monitor, SIGTERM);
		if (status != 128 + SIGTERM)
			ck_abort_msg("round %d: status %d\n%s", i, status,
				file_text(monitor.err, NULL));
		expect_nothing_left();
	}
}
END_TEST

/* ---- SIGKILL */

/* Bytes under way on a few connections. */
static void make_traffic(uint16_t port, int fds[4])
{
	static const char bytes[30000];

	for (int i = 0; i < 4; i++) {
		fds[i] = client_connect(port);
		client_send(fds[i], bytes, sizeof(bytes));
	}
}

START_TEST(kill_at_work)
{
	struct random random = {random_seed()};
	struct command monitor;
	int fds[4];

	for (int i = 0; i < KILLS; i++) {
		uint16_t port = guest_serve(&monitor, LISTEN, "echo", WORDS(ANY_PORT));
		make_traffic(port, fds);
		usleep((useconds_t)random_below(&random, 20000));
		expect_equal(command_stop(&monitor, SIGKILL), 128 + SIGKILL);
		expect_no_listener(port);
		expect_nothing_left();
		for (int k = 0; k < 4; k++)
			client_close(fds[k]);
	}
}
END_TEST

START_TEST(kill_at_start)
{
	struct random random = {random_seed()};
	uint16_t port = free_port();
	struct command monitor;
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	for (int i = 0; i < KILLS; i++) {
		guest_start(&monitor, WORDS("--listen", address), "echo", WORDS(address));
		usleep((useconds_t)random_below(&random, 40000));
		expect_equal(command_stop(&monitor, SIGKILL), 128 + SIGKILL);
		expect_no_listener(port);
		expect_nothing_left();
	}
}
END_TEST

/* ---- the guest's process dies */

/* The only child of a process; 0: none. */
static pid_t child_of(pid_t pid)
{
	char path[64];
	int child = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	FILE *file = fopen(path, "re");
	if (file != NULL) {
		if (fscanf(file, "%d", &child) != 1)
			child = 0;
		fclose(file);
	}
	return child;
}

START_TEST(kill_guest)
{
	struct command monitor;

	if (engine_is_kvm())
		return; /* its guest is a thread of the monitor */
	uint16_t port = guest_serve(&monitor, LISTEN, "echo", WORDS(ANY_PORT));
	int fd = client_connect(port);
	pid_t guest = child_of(monitor.pid);
	expect(guest > 0);
	expect_equal(kill(guest, SIGKILL), 0);
	expect_equal(command_wait(&monitor, 15000), 128 + SIGKILL);
	command_expect_error(&monitor, "guest");
	expect_no_listener(port);
	expect_nothing_left();
	client_close(fd);
}
END_TEST

static const struct integration_test tests[] = {
	{&signals, 30},
	{&signal_to_sleeper, 30},
	{&signal_to_spinner, 30},
	{&signal_at_start, 60},
	{&kill_at_work, 60},
	{&kill_at_start, 60},
	{&kill_guest, 30},
};

INTEGRATION_MAIN("stop", tests, NULL)
