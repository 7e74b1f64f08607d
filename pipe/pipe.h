/*
 * pipe: two rings in opposite directions, the thing that a stream runs on.
 * Specified in DATAPIPE.md section 6.
 */
#ifndef FERRULE_PIPE_PIPE_H
#define FERRULE_PIPE_PIPE_H

#include "pipe/ring.h"

/* Which ring is whose: the index of the ring that the side WRITES. */
enum pipe_side {
	PIPE_GUEST = 0,
	PIPE_HOST = 1,
};

/* The pipe's header in shared memory; the two data areas lie elsewhere (DataStreamInfo says where). */
struct pipe_shared {
	struct ring_shared ring[2]; /* [PIPE_GUEST]: guest to host, [PIPE_HOST]: host to guest */
};

_Static_assert(sizeof(struct pipe_shared) == 512, "DATAPIPE.md section 6");

/* One side's private end. */
struct pipe_end {
	struct ring_producer out;
	struct ring_consumer in;
};

/* The data areas of a pipe as one side sees them, indexed as pipe_shared.ring. */
struct pipe_area {
	unsigned char *data; /* mapped twice in a row */
	uint64_t capacity;   /* bytes */
};

void pipe_init(struct pipe_shared *shared);
void pipe_attach(struct pipe_end *end, enum pipe_side side, struct pipe_shared *shared,
		const struct pipe_area area[2]);

/* Does the peer have to be woken for what this side did since the last call, in either direction? */
bool pipe_wake_peer(struct pipe_end *end);

#endif
