/*
 * load: many connections to an echo server at once, from one thread with epoll,
 * every byte checked.
 */
#ifndef FERRULE_TESTS_LIB_LOAD_H
#define FERRULE_TESTS_LIB_LOAD_H

#include <stddef.h>
#include <stdint.h>

struct echo_load {
	uint16_t port; /* on 127.0.0.1 */
	unsigned connections;
	size_t message_len;   /* bytes; a connection sends the next when the last came back whole */
	unsigned duration_ms; /* then what is under way is waited for; 0: 'each' counts */
	unsigned each;        /* messages of one connection */
	uint64_t seed;        /* of the bytes */

	uint64_t messages; /* that came back */
	double seconds;
};

/*
 * Runs it and fills in the last two. Each connection is half-closed at the end and has to end
 * without another byte. Fails the test for any byte that is wrong, and when a connection
 * stands still for 10 seconds.
 */
void echo_load_run(struct echo_load *load);

#endif
