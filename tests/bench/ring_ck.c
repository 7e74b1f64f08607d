/* Concurrency Kit's ck_ring in its single-producer single-consumer form, messages by value. */
#include <stdlib.h>

#include <ck_ring.h>

#include "tests/bench/ring_peer.h"

/* ck_ring is compiled for a type of message: one set of functions for each size. */
#define SIZES(X) X(64) X(1024) X(65536)

struct ck {
	struct ck_ring ring __attribute__((aligned(128)));
	void *slots;
};

/* One slot of ck_ring is never filled: twice as many slots as the bytes ask for. */
static void *create(size_t size)
{
	unsigned count = (unsigned)(2 * RING_PEER_BYTES / size);
	struct ck *ck = aligned_alloc(128, sizeof(*ck));

	if (ck == NULL)
		return NULL;
	ck->slots = aligned_alloc(4096, count * size);
	if (ck->slots == NULL)
		return NULL;
	ck_ring_init(&ck->ring, count);
	return ck;
}

static void destroy(void *opaque)
{
	struct ck *ck = opaque;

	free(ck->slots);
	free(ck);
}

#define DEFINE(bytes)                                                                              \
	struct message_##bytes {                                                                   \
		char data[bytes];                                                                  \
	};                                                                                         \
	CK_RING_PROTOTYPE(of_##bytes, message_##bytes)
SIZES(DEFINE)

static bool put(void *opaque, const void *message, size_t size)
{
	struct ck *ck = opaque;

	switch (size) {
#define PUT(bytes)                                                                                 \
	case bytes:                                                                                \
		return ck_ring_enqueue_spsc_of_##bytes(                                            \
			&ck->ring, ck->slots, (struct message_##bytes *)(uintptr_t)message);
		SIZES(PUT)
	}
	return false;
}

static bool get(void *opaque, void *ret_message, size_t size)
{
	struct ck *ck = opaque;

	switch (size) {
#define GET(bytes)                                                                                 \
	case bytes:                                                                                \
		return ck_ring_dequeue_spsc_of_##bytes(&ck->ring, ck->slots, ret_message);
		SIZES(GET)
	}
	return false;
}

const struct ring_peer ring_peer_ck = {"ck_ring", create, destroy, put, get, NULL};
