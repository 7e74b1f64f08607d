/*
 * ring: a single-producer single-consumer byte ring in memory that two parties
 * share and that neither of them trusts. Specified in DATAPIPE.md sections 2-5.
 *
 * pipe/ holds this ring, the bidirectional pipe made of two of them (pipe.h)
 * and the pending words with which one side wakes the other (bell.h). It is
 * freestanding C11 and compiled for both sides unchanged: no I/O, no
 * allocation, no logging. It may include nothing but compiler headers.
 *
 * The data area is mapped twice in a row by whoever attaches, so that every
 * span is one piece: data[0 .. 2 * capacity) must be valid memory in which
 * data[i] and data[i + capacity] are the same byte.
 *
 * Positions count bytes since the ring was made, run free (they may wrap
 * around 2^64) and are masked only where memory is accessed. The position that
 * a side owns lives in its private struct; the shared word is only published.
 */
#ifndef FERRULE_PIPE_RING_H
#define FERRULE_PIPE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipe/barrier.h"

#define RING_CAPACITY_MIN 4096u       /* bytes; one page, so that it can be mapped twice */
#define RING_CAPACITY_MAX (16u << 20) /* bytes */
#define RING_LINE         128         /* bytes; CPUs prefetch cache lines in pairs */
#define RING_REWIND_FROM  2048u       /* bytes; not before so far from the start of the data area */
#define RING_REWIND_MOST  16384u      /* bytes; more are not moved */
#define RING_WRITE_LONG   16384u /* bytes; ring_write copies as many past the caches of a reader beside it */
#define RING_HELD_PART    8           /* ring_read holds back less than this part of the capacity */

/* The low byte of ring_shared.end. With RING_FAILED bits 16-31 hold the errno. */
enum ring_end {
	RING_OPEN = 0,     /* more bytes may follow */
	RING_FINISHED = 1, /* no byte follows those below 'written' */
	RING_FAILED = 2,   /* as finished, and then the reader gets the errno */
};

/* One direction's words in shared memory. DATAPIPE.md section 2 tabulates the offsets. */
struct ring_shared {
	/* written ONLY by the producer */
	shared_u64 written; /* bytes ever committed */
	shared_u64 room_at; /* producer asks to be woken once 'read' reaches this */
	shared_u32 end;     /* enum ring_end | errno << 16; leaves RING_OPEN once */
	unsigned char producer_reserved[RING_LINE - 20];
	/* written ONLY by the consumer */
	shared_u64 read;    /* bytes ever consumed */
	shared_u64 data_at; /* consumer asks to be woken once 'written' reaches this */
	shared_u32 gone;    /* 0, or 1: the consumer will read no more */
	unsigned char consumer_reserved[RING_LINE - 20];
};

_Static_assert(offsetof(struct ring_shared, written) == 0, "DATAPIPE.md section 2");
_Static_assert(offsetof(struct ring_shared, room_at) == 8, "DATAPIPE.md section 2");
_Static_assert(offsetof(struct ring_shared, end) == 16, "DATAPIPE.md section 2");
_Static_assert(offsetof(struct ring_shared, read) == 128, "DATAPIPE.md section 2");
_Static_assert(offsetof(struct ring_shared, data_at) == 136, "DATAPIPE.md section 2");
_Static_assert(offsetof(struct ring_shared, gone) == 144, "DATAPIPE.md section 2");
_Static_assert(sizeof(struct ring_shared) == 256, "DATAPIPE.md section 2");

/* Private to the writing side. Fields are for ring.c; use the functions. */
struct ring_producer {
	struct ring_shared *shared;
	unsigned char *data;  /* 2 * capacity bytes of address space */
	uint64_t capacity;    /* bytes, a power of two */
	uint64_t written;     /* own position, published in shared->written */
	uint64_t read_seen;   /* the consumer's position as last checked */
	uint64_t rewound_from; /* 'written' before the last rewind, and the position that it went to: */
	uint64_t rewound_to;   /* a consumer that has not looked since is at the first and means the second */
	uint64_t woken_upto;  /* 'written' when the consumer's data_at was last looked at */
	int end;              /* what ring_reserve reports; stays once it is not 0 */
	bool ended;           /* finish or fail was called */
	bool wake;            /* the end was set and the consumer not told yet */
	bool broken;          /* the consumer broke a rule: EPROTO from here on */
	unsigned beside_writes; /* long writes left for which the consumer is taken to run beside them */
};

/* Private to the reading side. */
struct ring_consumer {
	struct ring_shared *shared;
	unsigned char *data;
	uint64_t capacity;
	uint64_t read;         /* own position */
	uint64_t given;        /* what of it is published in shared->read; behind it after ring_read only */
	uint64_t written_seen; /* the producer's position as last checked */
	uint64_t data_at;      /* as last announced */
	uint64_t woken_upto;   /* 'read' when the producer's room_at was last looked at */
	int end;               /* what ring_peek reports; stays once it is not 0 */
	bool stopped;          /* ring_stop was called */
	bool wake;             /* 'gone' was set and the producer not told yet */
	bool broken;           /* the producer broke a rule: EPROTO from here on */
};

/*
 * A look at one end of a ring. 'end' belongs to the moment before 'len' was
 * taken, so a reader that sees an end has also seen every byte before it.
 */
struct ring_span {
	unsigned char *data; /* len bytes in one piece; valid until commit or consume */
	size_t len;          /* bytes; 0 when there is nothing (and data must not be touched) */
	int end;             /* consumer: 0 open, 1 nothing follows these bytes, or the negative errno
	                      * that follows them. Producer: 0 open, -EPIPE the reader is gone or the
	                      * ring was ended from here, both sides: -EPROTO the peer broke a rule
	                      * (then len is 0). What is not 0 once stays what it is. */
};

#define RING_EPIPE  32 /* Linux numbers; PROTOCOL.md section 10 */
#define RING_EPROTO 71
#define RING_ERRNO_MAX 4095 /* the largest errno that a ring carries, as in Linux */

/* A power of two within the limits above. */
bool ring_capacity_valid(uint64_t capacity);

/* Makes the shared words those of an empty ring whose positions are both 'position' (0 but in tests). */
void ring_init(struct ring_shared *shared, uint64_t position);

/*
 * Attach one side to an initialised ring. 'capacity' must be valid and comes
 * from whoever made the ring, never from the shared memory. 'position' as
 * given to ring_init.
 */
void ring_producer_attach(struct ring_producer *p, struct ring_shared *shared, unsigned char *data,
		uint64_t capacity, uint64_t position);
void ring_consumer_attach(struct ring_consumer *c, struct ring_shared *shared, unsigned char *data,
		uint64_t capacity, uint64_t position);

/* All the room there is; fill any prefix of it and commit that many bytes. */
struct ring_span ring_reserve(struct ring_producer *p);
/*
 * Bytes that were under way when the ring was ended from here are dropped: then
 * it has no effect. A len beyond the last span's is the caller's bug, and traps.
 */
void ring_commit(struct ring_producer *p, size_t len);

/*
 * The same, and the ring is rewound if it is empty, has come far and the bytes are few: they are moved to
 * the start of the data area (DATAPIPE.md section 3.4). A ring that is read as fast as it is
 * written then lives in its first pages, in the caches of both sides, whatever its capacity. Another span that
 * the caller still holds begins elsewhere now.
 */
void ring_commit_rewind(struct ring_producer *p, size_t len);

/*
 * The room as ring_reserve found it last, for a span that is to be filled by another (PROTOCOL.md
 * section 5.16): its bytes, and the position of the first.
 */
static inline size_t ring_reserved_len(const struct ring_producer *p)
{
	return p->end == 0 ? p->capacity - (p->written - p->read_seen) : 0;
}

static inline uint64_t ring_reserved_at(const struct ring_producer *p)
{
	return p->written;
}

/* All the bytes there are; use any prefix of them and consume that many. */
struct ring_span ring_peek(struct ring_consumer *c);
/* Allowed after ring_stop, too. A len beyond the last span's is the caller's bug, and traps. */
void ring_consume(struct ring_consumer *c, size_t len);

/* The positions of the next byte to be consumed, and behind the last that a look has found. */
static inline uint64_t ring_consumer_position(const struct ring_consumer *c)
{
	return c->read;
}

static inline uint64_t ring_consumer_seen(const struct ring_consumer *c)
{
	return c->written_seen;
}

/* Did the peer break a rule (DATAPIPE.md section 5)? As of the last look at the ring. */
static inline bool ring_consumer_broken(const struct ring_consumer *c)
{
	return c->broken;
}

static inline bool ring_producer_broken(const struct ring_producer *p)
{
	return p->broken;
}

/* Bytes that could be consumed, and committed, now: the len of a look. */
static inline size_t ring_readable_len(struct ring_consumer *c)
{
	return ring_peek(c).len;
}

static inline size_t ring_writable_len(struct ring_producer *p)
{
	return ring_reserve(p).len;
}

/*
 * Copying forms: as many bytes as fit; the number copied (0..len). Look at
 * ring_reserve().end or ring_peek().end on 0. They look at the peer's line only
 * when what they know from the last look is not enough; ring_write also before and
 * after it copies RING_WRITE_LONG or more, so that such a call may publish bytes and
 * find an end, which the next call then tells.
 *
 * ring_read may hold back the room that it made: less than 1 / RING_HELD_PART of
 * the capacity, and no longer than to the next look or the next other call on the
 * consumer (DATAPIPE.md section 7.3).
 */
static inline size_t ring_write(struct ring_producer *p, const void *bytes, size_t len);
static inline size_t ring_read(struct ring_consumer *c, void *ret_bytes, size_t len);

/* No byte follows. The second call of either has no effect. 'error' is 1..RING_ERRNO_MAX. */
void ring_finish(struct ring_producer *p);
void ring_fail(struct ring_producer *p, int error);

/*
 * The reader will read no more; the writer sees -EPIPE. Unread bytes are
 * dropped: ring_peek has none, and end 1 unless another end had been seen.
 */
void ring_stop(struct ring_consumer *c);

/*
 * The sleep handshake, consumer's half. Announce how many bytes are waited for
 * (1..capacity), then look once more with ring_peek, and sleep only when that
 * look finds less than 'len' and no end. Partner: ring_wake_consumer.
 */
void ring_await_data(struct ring_consumer *c, size_t len);
/* The producer's half: room for 'len' bytes (1..capacity). Partner: ring_wake_producer. */
void ring_await_room(struct ring_producer *p, size_t len);

/*
 * After one or more commits, or an end: must the consumer be woken? True
 * exactly once per announcement that the commits since the last call satisfied,
 * and once for the end. Partner: ring_await_data.
 */
bool ring_wake_consumer(struct ring_producer *p);
/* After consuming, or ring_stop: must the producer be woken? Partner: ring_await_room. */
bool ring_wake_producer(struct ring_consumer *c);

/*
 * ---- the short ways of the copying forms. In line, so that a length which is
 * known when the caller is compiled is copied without a call.
 */

#define RING_INLINE_MAX 256 /* bytes; compilers copy longer constant lengths worse than memcpy does */

/* ring_write and ring_read of any length, and when what was known from the last look is not enough. */
size_t ring_write_any(struct ring_producer *p, const void *bytes, size_t len);
size_t ring_read_any(struct ring_consumer *c, void *ret_bytes, size_t len);

/* Publishes 'read'. */
static inline void ring_give(struct ring_consumer *c)
{
	c->given = c->read;
	/* Release; partner: the acquire in producer_look. Bytes are read before they are given
	 * back. */
	store_release(&c->shared->read, c->read);
}

/* 'len' bytes were copied out; what of the room may be held back is. */
static inline void ring_took(struct ring_consumer *c, size_t len)
{
	c->read += len;
	if (c->read - c->given >= c->capacity / RING_HELD_PART)
		ring_give(c);
}

static inline size_t ring_write(struct ring_producer *p, const void *bytes, size_t len)
{
	/* Room seen earlier will do: the consumer's line is left to ring_wake_consumer. */
	if (len > RING_INLINE_MAX || p->end != 0 || len - 1 >= p->capacity - (p->written - p->read_seen))
		return ring_write_any(p, bytes, len);
	__builtin_memcpy(p->data + (p->written & (p->capacity - 1)), bytes, len);
	p->written += len;
	/* Release; partner: the acquire of 'written' in consumer_look. First the bytes. */
	store_release(&p->shared->written, p->written);
	return len;
}

static inline size_t ring_read(struct ring_consumer *c, void *ret_bytes, size_t len)
{
	/* Bytes seen earlier will do: the producer's line is left alone. */
	if (len > RING_INLINE_MAX || c->stopped || c->broken || len - 1 >= c->written_seen - c->read)
		return ring_read_any(c, ret_bytes, len);
	__builtin_memcpy(ret_bytes, c->data + (c->read & (c->capacity - 1)), len);
	ring_took(c, len);
	return len;
}

#endif
