/*
 * A ring and a plain model of it, side by side: every operation is done on
 * both, and Check fails the test where they differ.
 *
 * The model counts bytes from 0 in signed numbers that never wrap, knows what
 * byte belongs at each count, and sees both sides at once. A position is a count and
 * what rewinds have added to it, which each side learns in its own time. What it expects of
 * the sleep handshake is the sentence in ring.h, not the code in ring.c.
 */
#ifndef FERRULE_TESTS_LIB_RING_MODEL_H
#define FERRULE_TESTS_LIB_RING_MODEL_H

#include "pipe/ring.h"
#include "tests/lib/random.h"

struct ring_model {
	struct ring_shared *shared;
	struct ring_producer *p;
	struct ring_consumer *c;
	int64_t capacity;
	uint64_t start; /* the position of count 0 */
	uint64_t key;   /* of the byte pattern */

	int64_t written, read;
	int64_t given;                  /* what of 'read' is published */
	int64_t rewound, rewound_known; /* added to positions: to the producer's, and to the consumer's */
	int64_t rewound_at;             /* the count at which it was last added to; -1: never */
	uint64_t rewinds;
	/* Positions less 'start', as all below that end in _position. */
	int64_t given_position;
	int64_t data_at_position, room_at_position;     /* what was announced last */
	int64_t data_told_position, room_told_position; /* of 'written' and 'read' at the last wake call */
	int64_t data_at;                /* the count for which the consumer waits */
	int64_t data_told;              /* 'written' at the last wake call */
	bool end_untold, gone_untold; /* set since the last wake call */
	bool gone_known;              /* the producer has been told */
	bool stopped;
	int end;          /* as the producer set it: 0, 1 or a negative errno */
	int consumer_end; /* what the consumer has to report from now on */
	int end_at_stop;  /* or this, if ring_read had seen it before ring_stop; 0: nothing */
	int64_t reserved, peeked; /* length of the span that the caller may still hold */
};

enum ring_model_op {
	RING_MODEL_RESERVE,
	RING_MODEL_COMMIT,
	RING_MODEL_COMMIT_REWIND,
	RING_MODEL_WRITE,
	RING_MODEL_AWAIT_ROOM,
	RING_MODEL_PEEK,
	RING_MODEL_CONSUME,
	RING_MODEL_READ,
	RING_MODEL_AWAIT_DATA,
	RING_MODEL_FINISH,
	RING_MODEL_FAIL,
	RING_MODEL_STOP,
};

/* Over a producer and a consumer that were attached at 'start' and not used since. */
void ring_model_init(struct ring_model *m, struct ring_shared *shared, struct ring_producer *p,
	struct ring_consumer *c, uint64_t start, uint64_t key);

/* Does one operation with random arguments on both, and checks the invariants. */
void ring_model_do(struct ring_model *m, enum ring_model_op op, struct random *random);

/* A random operation, producer's and consumer's ones as often as 'producer_share' of 8 says; an end
 * is rare. */
enum ring_model_op ring_model_pick(struct random *random, unsigned producer_share);

/* What the next wake call has to say, taken note of as answered. */
bool ring_model_wake_consumer(struct ring_model *m);
bool ring_model_wake_producer(struct ring_model *m);

/* Every invariant of DATAPIPE.md that can be seen from outside. */
void ring_model_check(const struct ring_model *m);

#endif
