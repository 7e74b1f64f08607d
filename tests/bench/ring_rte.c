/* DPDK's rte_ring with elements of the message's size, without DPDK's environment. */
#include <rte_config.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <stdlib.h>

#include "tests/bench/ring_peer.h"

static void *create(size_t size)
{
	/* One slot is never filled, and their number is a power of two: twice as many as the bytes
	 * ask for. */
	unsigned count = (unsigned)(2 * RING_PEER_BYTES / size);
	ssize_t len = rte_ring_get_memsize_elem((unsigned)size, count);
	struct rte_ring *ring;

	if (len < 0)
		return NULL;
	ring = aligned_alloc(4096, ((size_t)len + 4095) / 4096 * 4096);
	if (ring == NULL)
		return NULL;
	if (rte_ring_init(ring, "bench", count, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
		free(ring);
		return NULL;
	}
	return ring;
}

/* Sizes are constants, as for the others: the copying is compiled for each. */
#define SIZES(X) X(64) X(1024) X(65536)

static bool put(void *ring, const void *message, size_t size)
{
	switch (size) {
#define PUT(bytes)                                                                                 \
	case bytes:                                                                                \
		return rte_ring_sp_enqueue_elem(ring, (void *)(uintptr_t)message, bytes) == 0;
		SIZES(PUT)
	}
	return false;
}

static bool get(void *ring, void *ret_message, size_t size)
{
	switch (size) {
#define GET(bytes)                                                                                 \
	case bytes:                                                                                \
		return rte_ring_sc_dequeue_elem(ring, ret_message, bytes) == 0;
		SIZES(GET)
	}
	return false;
}

const struct ring_peer ring_peer_rte = {"rte_ring", create, free, put, get, NULL};
