/*
 * Random numbers that can be had again: every random test takes its seed from
 * here, which prints it and takes it back from the environment (FERRULE_SEED).
 * Guests draw from the seeds that they are sent: all but random_seed is freestanding.
 */
#ifndef FERRULE_TESTS_LIB_RANDOM_H
#define FERRULE_TESTS_LIB_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

/* FERRULE_SEED if it is set, else a fresh one; printed on stdout either way. In random_seed.c. */
uint64_t random_seed(void);

uint64_t random_next(struct random *random);
/* 0..limit-1; 'limit' is not 0 */
uint64_t random_below(struct random *random, uint64_t limit);
/* true once in 'times' */
bool random_once_in(struct random *random, uint64_t times);
/* 1..limit, as often near 1 as near 'limit': the number of digits is uniform */
uint64_t random_len(struct random *random, uint64_t limit);

/*
 * Bytes that depend on where they are in a stream: those of stream 'key' from
 * byte 'position' on. A byte that is lost, doubled or stale does not fit.
 */
void pattern_fill(uint64_t key, uint64_t position, unsigned char *ret_bytes, size_t len);
/* How many of the bytes are right; 'len' when all are. */
size_t pattern_match(uint64_t key, uint64_t position, const unsigned char *bytes, size_t len);

#endif
