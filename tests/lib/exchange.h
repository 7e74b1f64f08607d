/*
 * exchange: many connections at once to the test guest exchange, or to echo, each as its plan (plan.h)
 * has it, from one thread with epoll. Every byte and every end is checked, and the guest's own account
 * against this side's.
 */
#ifndef FERRULE_TESTS_LIB_EXCHANGE_H
#define FERRULE_TESTS_LIB_EXCHANGE_H

#include <stdint.h>

#include "tests/lib/plan.h"

struct exchange {
	uint16_t port; /* on 127.0.0.1 */
	enum plan_kind kind;
	unsigned at_once;     /* connections: one that is over is followed by the next */
	uint64_t rounds;      /* connections in all; 0: as many as 'duration_ms' lets begin */
	unsigned duration_ms;
	uint64_t seed;

	struct plan_report planned; /* what the guest has to report of the connections that were made */
	uint64_t bytes;             /* that were sent and received on them */
	double seconds;
};

/*
 * Runs it and fills in the last three. Fails the test for anything that is not as planned, and when
 * nothing moves for 10 seconds.
 */
void exchange_run(struct exchange *exchange);
/* Waits until the guest has reported the same. */
void exchange_expect_report(const struct exchange *exchange);
/* Asks the guest to end. */
void exchange_quit(uint16_t port);

#endif
