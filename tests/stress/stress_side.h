/*
 * The one body of both stress tests: one side of several pipes, which sends
 * and receives on all of them at once, sleeps when the bell names none, and
 * verifies every byte and every end. Who runs the two sides, and over which
 * mappings, is up to the test.
 *
 * A pipe is looked at only when the bell named it or when it stopped of its
 * own accord, so that a lost wake-up shows: as a sleep that nobody ends.
 */
#ifndef FERRULE_TESTS_STRESS_STRESS_SIDE_H
#define FERRULE_TESTS_STRESS_STRESS_SIDE_H

#include "tests/lib/ring_memory.h"

struct stress_config {
	struct ring_memory *memory; /* as this side has it mapped */
	enum pipe_side side;
	int ring_fd;   /* eventfd that wakes the other side */
	int wait_fd;   /* eventfd that wakes this one, non-blocking */
	bool polled;   /* sleep by polling wait_fd: hardly a sleep, but many more of them */
	uint64_t seed; /* of the round, the same on both sides */
};

struct stress_result {
	uint64_t bytes; /* received and verified */
	uint64_t sleeps;
	uint64_t rings;  /* doorbells rung */
	char error[160]; /* empty: all is well */
};

/* Runs the side until every direction of every pipe has ended. */
void stress_side_run(const struct stress_config *config, struct stress_result *ret_result);

/* How long the rounds of a test go on: FERRULE_STRESS_SECONDS, else 2. */
double stress_seconds(void);
double stress_now(void);

/* What a round runs on; capacity, number of pipes and way to sleep follow from the seed. */
struct stress_round {
	struct ring_memory memory;
	int doorbell[2]; /* eventfd that wakes this side, by enum pipe_side */
	bool polled;
	uint64_t seed;
};

/* 0 or a negative errno. */
int stress_round_begin(struct stress_round *ret_round, uint64_t seed);
void stress_round_end(struct stress_round *round);
struct stress_config stress_round_config(struct stress_round *round, enum pipe_side side);

#endif
