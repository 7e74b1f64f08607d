/* Ends that come from outside: signals to the monitor, and its sudden death. Nothing is left. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

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
				file_tail(monitor.err));
		expect_nothing_left();
	}
}
END_TEST

/* A FIFO that is full and that nobody reads; the descriptor that keeps it open. */
static int make_stuck(const char *path)
{
	static const char bytes[512];

	expect_equal(mkfifo(path, 0600), 0);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	expect_equal(errno, EAGAIN);
	return fd;
}

/* The guest provokes a warning, as its target is not granted. SIGTERM counts all the same. */
START_TEST(stuck_stderr)
{
	char *path = scratch_path("stuck"), *relay = guest_path("relay"), address[32];
	struct command monitor;
	uint16_t port = free_port();
	int stuck = make_stuck(path);

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	command_start(&monitor,
		WORDS("sh", "-c", "stuck=$1; shift; exec \"$@\" 2>\"$stuck\"", "sh", path,
			monitor_path(), "run", "--engine", engine, "--listen", address, relay, address,
			"127.0.0.1:9"));
	free(command_wait_text(&monitor, monitor.out, address, 20000));
	int fd = client_connect(port);
	sleep_ms(500); /* the guest, which has a word to say about it too, is stuck by now */
	client_close(fd);
	uint64_t start = clock_ms();
	guest_stop(&monitor, port);
	expect(clock_ms() - start < 4000);
	close(stuck);
	free(relay);
	free(path);
}
END_TEST

/* nohup ignores SIGHUP before it starts the monitor, and that stays so. */
START_TEST(nohup)
{
	char *echo = guest_path("echo"), address[32], byte;
	struct command monitor;
	uint16_t port = free_port();

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	command_start(&monitor, WORDS("nohup", monitor_path(), "run", "--engine", engine, "--listen",
					address, echo, address));
	free(command_wait_text(&monitor, monitor.out, address, 20000));
	expect_equal(kill(monitor.pid, SIGHUP), 0);
	sleep_ms(300);
	int fd = client_connect(port);
	client_send(fd, "x", 1);
	client_receive(fd, &byte, 1);
	client_close(fd);
	guest_stop(&monitor, port);
	free(echo);
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

/* ---- below a command that forks */

#define WRAPPED WORDS("--wrap", "timeout 300", "--listen", ANY_PORT)

START_TEST(kill_wrapped)
{
	static const int kills[] = {SIGKILL, SIGTERM};
	struct command monitor;

	if (engine_is_kvm())
		return;
	for (int i = 0; i < KILLS; i++) {
		uint16_t port = guest_serve(&monitor, WRAPPED, "echo", WORDS(ANY_PORT));
		expect_equal(command_stop(&monitor, kills[i % 2]), 128 + kills[i % 2]);
		expect_no_listener(port);
		expect_nothing_left();
	}
}
END_TEST

/* Also while the command has not come to the guest yet, or the guest not to its first line. */
START_TEST(kill_wrapped_at_start)
{
	struct random random = {random_seed()};
	struct command monitor;

	if (engine_is_kvm())
		return;
	for (int i = 0; i < 3 * KILLS; i++) {
		guest_start(&monitor, WRAPPED, "echo", WORDS(ANY_PORT));
		usleep((useconds_t)random_below(&random, 30000));
		expect_equal(command_stop(&monitor, SIGKILL), 128 + SIGKILL);
		expect_nothing_left();
	}
}
END_TEST

/* A command that ends before what it has started. */
START_TEST(wrapper_ends_first)
{
	static const char script[] = "#!/bin/sh\n\"$@\" &\nsleep 0.3\nexit 3\n";
	char *path = scratch_path("leaver");
	struct command monitor;

	if (engine_is_kvm())
		return;
	file_write(path, script, sizeof(script) - 1);
	expect_equal(chmod(path, 0700), 0);
	expect_equal(
		guest_run(&monitor, WORDS("--wrap", path), "outcome", WORDS("sleep"), 15000), 3);
	expect_nothing_left();
	free(path);
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
	{&stuck_stderr, 30},
	{&nohup, 30},
	{&kill_wrapped, 60},
	{&kill_wrapped_at_start, 60},
	{&wrapper_ends_first, 30},
	{&kill_guest, 30},
};

INTEGRATION_MAIN("stop", tests, NULL)
