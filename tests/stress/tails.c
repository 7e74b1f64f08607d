/*
 * Close after write, very often: many connections at once, random sizes, and whoever writes
 * finishes or closes right behind its last byte. No tail is lost, in either direction, and each end
 * is seen.
 */
#include <stdio.h>

#include "tests/lib/clock.h"
#include "tests/lib/exchange.h"
#include "tests/lib/integration.h"

#define AT_ONCE 64

static void run_tails(const char *name, enum plan_kind kind)
{
	struct command monitor;
	struct exchange exchange = {.kind = kind,
		.at_once = AT_ONCE,
		.rounds = scale(5000, 100000),
		.seed = random_seed()};

	exchange.port = guest_serve(
		&monitor, WORDS("--listen", ANY_PORT, "--stats"), name, WORDS(ANY_PORT));
	exchange_run(&exchange);
	printf("%llu connections to %s in %.1f s: %.0f connections/s, %.0f MiB/s\n",
		(unsigned long long)exchange.rounds, name, exchange.seconds,
		(double)exchange.rounds / exchange.seconds,
		(double)exchange.bytes / 1048576 / exchange.seconds);
	if (kind != PLAN_ECHO)
		exchange_expect_report(&exchange);
	guest_stop(&monitor, exchange.port);
	guest_expect_no_leak(&monitor);
}

/* Half-closes: the guest ends when the client has. */
START_TEST(echo)
{
	run_tails("echo", PLAN_ECHO);
}
END_TEST

/* Finishes and closes, by either side first, or by both at once. */
START_TEST(exchange)
{
	run_tails("exchange", PLAN_TAILS);
}
END_TEST

static const struct integration_test tests[] = {
	{&echo, 600},
	{&exchange, 600},
};

INTEGRATION_MAIN("tails", tests, NULL)
