/* Ferrule's ring, by its copying forms. */
#include <stdlib.h>

#include "tests/bench/ring_peer.h"
#include "tests/lib/ring_memory.h"

struct ferrule {
	struct ring_memory memory;
	/* each on lines of its own, as in the two processes that they are meant for */
	_Alignas(RING_LINE) struct ring_producer producer;
	_Alignas(RING_LINE) struct ring_consumer consumer;
};

static void *create(size_t size)
{
	struct ferrule *ring = aligned_alloc(RING_LINE, sizeof(*ring));

	(void)size;
	if (ring == NULL || ring_memory_create(&ring->memory, 1, RING_PEER_BYTES) != 0)
		return NULL;
	struct pipe_shared *shared = ring->memory.pipe;
	unsigned char *data = ring->memory.area[0][0].data;
	ring_producer_attach(&ring->producer, &shared->ring[0], data, RING_PEER_BYTES, 0);
	ring_consumer_attach(&ring->consumer, &shared->ring[0], data, RING_PEER_BYTES, 0);
	return ring;
}

static void destroy(void *opaque)
{
	struct ferrule *ring = opaque;

	ring_memory_destroy(&ring->memory);
	free(ring);
}

/*
 * Sizes divide the capacity: there is room for all of a message or for nothing. They are known
 * when this is compiled, as for the others.
 */
static bool put(void *opaque, const void *message, size_t size)
{
	struct ferrule *ring = opaque;

	switch (size) {
	case 64:
		return ring_write(&ring->producer, message, 64) == 64;
	case 1024:
		return ring_write(&ring->producer, message, 1024) == 1024;
	}
	return ring_write(&ring->producer, message, size) == size;
}

static bool get(void *opaque, void *ret_message, size_t size)
{
	struct ferrule *ring = opaque;

	switch (size) {
	case 64:
		return ring_read(&ring->consumer, ret_message, 64) == 64;
	case 1024:
		return ring_read(&ring->consumer, ret_message, 1024) == 1024;
	}
	return ring_read(&ring->consumer, ret_message, size) == size;
}

const struct ring_peer ring_peer_ferrule = {"ferrule", create, destroy, put, get, NULL};
