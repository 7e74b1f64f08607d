/*
 * ring_peer: one way in which messages of a fixed size go from one thread to another, by
 * value: from bytes of the sender's own into bytes of the receiver's own.
 */
#ifndef FERRULE_TESTS_BENCH_RING_PEER_H
#define FERRULE_TESTS_BENCH_RING_PEER_H

#include <stdbool.h>
#include <stddef.h>

#define RING_PEER_BYTES (256u << 10) /* capacity of every ring, in bytes of messages */

struct ring_peer {
	const char *name;
	/* NULL: cannot be had here */
	void *(*create)(size_t size);
	void (*destroy)(void *ring);
	/* One whole message. False: there is no room, or no message; try again. */
	bool (*put)(void *ring, const void *message, size_t size);
	bool (*get)(void *ring, void *ret_message, size_t size);
	/* Tells sleepers in put and get that it is over; NULL: nobody sleeps there. */
	void (*stop)(void *ring);
};

#ifdef __cplusplus
extern "C" {
#endif

extern const struct ring_peer ring_peer_ferrule, ring_peer_pipe, ring_peer_socketpair;
/* These are there when Debian's packages are: HAVE_CK_RING, HAVE_RTE_RING, HAVE_BOOST_SPSC. */
extern const struct ring_peer ring_peer_ck, ring_peer_rte, ring_peer_boost;

#ifdef __cplusplus
}
#endif

#endif
