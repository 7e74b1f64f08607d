/*
 * 10,000 connections: all of them open at once and each of them served, and as many short ones in
 * waves. Each costs a descriptor here and in the monitor, and a fiber in the guest.
 */
#include <stdio.h>
#include <sys/resource.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/load.h"
#include "tests/lib/random.h"

#ifdef __SANITIZE_THREAD__
#define CROWD 1000u /* a fiber is a thread to it: 8,128 at most, and slow long before that */
#else
#define CROWD 10000u
#endif
#define ROUNDS      3u
#define MESSAGE_LEN 1000u
#define WAVES       10u
#define DESCRIPTORS 100u /* for all else */
#define MEMORY      "2G" /* half of it for stacks of 64 KiB */

/* As many as this machine lets a process have. */
static unsigned crowd(void)
{
	struct rlimit limit;

	expect_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	expect_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max >= CROWD + DESCRIPTORS)
		return CROWD;
	printf("not tested: %u connections; a process may have %llu descriptors here (ulimit "
	       "-Hn)\n",
		CROWD, (unsigned long long)limit.rlim_max);
	return (unsigned)limit.rlim_max - DESCRIPTORS;
}

static uint16_t serve_crowd(struct command *ret_monitor)
{
	return guest_serve(ret_monitor, WORDS("--listen", ANY_PORT, "--memory", MEMORY, "--stats"),
		"echo", WORDS(ANY_PORT));
}

static void expect_accepted(const struct command *monitor, unsigned count)
{
	expect_equal(guest_counter(monitor, "connections_accepted"), count);
	guest_expect_no_leak(monitor);
}

/* None is closed before each has been served. */
static void serve_all(const int fds[], unsigned count, uint64_t seed)
{
	for (unsigned i = 0; i < count; i++)
		client_send_pattern(fds[i], seed + i, 0, MESSAGE_LEN);
	for (unsigned i = count; i-- > 0;)
		client_expect_pattern(fds[i], seed + i, 0, MESSAGE_LEN);
}

START_TEST(open_at_once)
{
	static int fds[CROWD];
	struct command monitor;
	unsigned count = crowd();
	uint64_t seed = random_seed();
	uint16_t port = serve_crowd(&monitor);
	uint64_t start = clock_ms();

	for (unsigned i = 0; i < count; i++)
		fds[i] = client_connect(port);
	uint64_t opened = clock_ms();
	for (unsigned round = 0; round < ROUNDS; round++)
		serve_all(fds, count, seed + round);
	printf("%u connections in %.1f s, %u messages of %u bytes on each of them in %.1f s\n",
		count, (double)(opened - start) / 1000, ROUNDS, MESSAGE_LEN,
		(double)(clock_ms() - opened) / 1000);
	for (unsigned i = 0; i < count; i++) {
		client_finish(fds[i]);
		client_expect_end(fds[i]);
		client_close(fds[i]);
	}
	guest_stop(&monitor, port);
	expect_accepted(&monitor, count);
}
END_TEST

START_TEST(in_waves)
{
	struct command monitor;
	struct echo_load load = {.connections = crowd() / WAVES,
		.message_len = 100,
		.each = 1,
		.seed = random_seed()};

	load.port = serve_crowd(&monitor);
	uint64_t start = clock_ms();
	for (unsigned wave = 0; wave < WAVES; wave++)
		echo_load_run(&load);
	printf("%u waves of %u connections in %.1f s\n", WAVES, load.connections,
		(double)(clock_ms() - start) / 1000);
	guest_stop(&monitor, load.port);
	expect_accepted(&monitor, WAVES * load.connections);
}
END_TEST

/* The monitor raises its own limit: it is started with few, as a login shell is. */
START_TEST(limit_is_raised)
{
	struct command monitor;
	struct rlimit limit;

	expect_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < 256 ? limit.rlim_max : 256;
	expect_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	uint16_t port = guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--log-level", "debug"),
		"echo", WORDS(ANY_PORT));
	char text[100];
	snprintf(text, sizeof(text), "open files: at most %llu (ulimit -n was %llu)",
		(unsigned long long)limit.rlim_max, (unsigned long long)limit.rlim_cur);
	command_expect_error(&monitor, text);
	guest_stop(&monitor, port);
}
END_TEST

static const struct integration_test tests[] = {
	{&open_at_once, 120},
	{&in_waves, 120},
	{&limit_is_raised, 30},
};

INTEGRATION_MAIN("crowd", tests, NULL)
