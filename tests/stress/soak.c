/*
 * 500 connections for as long as FERRULE_MINUTES says (0: some seconds), closed and made anew:
 * random sizes, pauses and half-closes, and resets by either side. Every byte is accounted for, and
 * nothing is left over.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/clock.h"
#include "tests/lib/exchange.h"
#include "tests/lib/integration.h"

#define AT_ONCE  500
#define SHORT_MS 8000
#define SETTLE_MS                                                                                  \
	5000  /* for sockets that the monitor keeps until their last bytes are acknowledged */
#define FEW 8 /* descriptors that the monitor opens once, as soon as the guest has begun */
#define LISTENERS                                                                                  \
	200 /* streams of a guest that only listens: its listener's and what is posted or prepared \
	     */

static unsigned duration_ms(void)
{
	const char *minutes = getenv("FERRULE_MINUTES");

	return minutes != NULL ? (unsigned)(strtod(minutes, NULL) * 60000) : SHORT_MS;
}

static unsigned descriptors_of(const struct command *monitor)
{
	char path[64];
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)monitor->pid);
	DIR *directory = opendir(path);
	expect(directory != NULL);
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

START_TEST(soak)
{
	struct command monitor;
	struct exchange exchange = {.kind = PLAN_SOAK,
		.at_once = AT_ONCE,
		.duration_ms = duration_ms(),
		.seed = random_seed()};
	const uint64_t *count = exchange.planned.count;

	exchange.port = guest_serve(
		&monitor, WORDS("--listen", ANY_PORT, "--stats"), "exchange", WORDS(ANY_PORT));
	unsigned before = descriptors_of(&monitor);
	exchange_run(&exchange);
	printf("%.0f s on %u connections: %llu whole ones, %llu that the guest closed, %llu and "
	       "%llu resets by guest "
	       "and client; %.0f MiB\n",
		exchange.seconds, AT_ONCE, (unsigned long long)count[PLAN_WHOLE],
		(unsigned long long)count[PLAN_GUEST_CLOSES],
		(unsigned long long)count[PLAN_GUEST_RESETS],
		(unsigned long long)count[PLAN_CLIENT_RESETS], (double)exchange.bytes / 1048576);
	for (int class = 0; class < PLAN_CLASS_COUNT; class ++)
		expect(count[class] > 0);
	exchange_expect_report(&exchange);
	for (int wait = 0; descriptors_of(&monitor) > before + FEW && wait < SETTLE_MS; wait++)
		sleep_ms(1);
	expect(descriptors_of(&monitor) <= before + FEW);
	exchange_quit(exchange.port);
	expect_equal(command_wait(&monitor, 20000), 0);
	guest_expect_no_leak(&monitor);
	expect(guest_counter(&monitor, "streams_at_end") < LISTENERS);
	expect_nothing_left();
}
END_TEST

static const struct integration_test tests[] = {
	{&soak, 3600},
};

INTEGRATION_MAIN("soak", tests, NULL)
