#include "pipe/pipe.h"

void pipe_init(struct pipe_shared *shared)
{
	ring_init(&shared->ring[PIPE_GUEST], 0);
	ring_init(&shared->ring[PIPE_HOST], 0);
}

void pipe_attach(struct pipe_end *end, enum pipe_side side, struct pipe_shared *shared,
	const struct pipe_area area[2])
{
	enum pipe_side peer = side == PIPE_GUEST ? PIPE_HOST : PIPE_GUEST;

	ring_producer_attach(
		&end->out, &shared->ring[side], area[side].data, area[side].capacity, 0);
	ring_consumer_attach(
		&end->in, &shared->ring[peer], area[peer].data, area[peer].capacity, 0);
}

bool pipe_wake_peer(struct pipe_end *end)
{
	/* Both are asked: each forgets what it has answered. */
	bool data = ring_wake_consumer(&end->out);
	bool space = ring_wake_producer(&end->in);

	return data || space;
}
