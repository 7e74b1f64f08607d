/*
 * closers: clients in threads that connect, write something and close for good, again and again, and a server that counts
 * what it gets: it has to get every byte. Uses Check.
 */
#ifndef FERRULE_TESTS_LIB_CLOSERS_H
#define FERRULE_TESTS_LIB_CLOSERS_H

#include <stdatomic.h>
#include <stdint.h>

struct closers {
	uint16_t port;    /* where they connect; or */
	const char *path; /* a UNIX socket */
	unsigned each;    /* connections of each thread */
	uint64_t seed;    /* as closers_run chose it */
	_Atomic uint64_t written, read; /* bytes */
	atomic_uint ends; /* connections that the server saw to their end */
};

/* What a struct peer serves, with the closers as its argument. */
void closers_count(int connection, void *argument);
/* Runs them, waits until the server has seen all of them, and compares. */
void closers_run(struct closers *closers);

#endif
