#include "pipe/ring.h"

#include "pipe/copy.h"

#define RING_ERRNO_SHIFT 16
#define BESIDE_WRITES    8 /* long writes for which one sight of a consumer beside them holds */

/* A rule of our own that the caller broke: never reached by what a peer does. */
static inline void own_rule(bool kept)
{
	if (!kept)
		__builtin_trap();
}

bool ring_capacity_valid(uint64_t capacity)
{
	return capacity >= RING_CAPACITY_MIN && capacity <= RING_CAPACITY_MAX &&
	       (capacity & (capacity - 1)) == 0;
}

void ring_init(struct ring_shared *shared, uint64_t position)
{
	/* Relaxed: the message that tells the peer of the ring orders these before its looks. */
	store_relaxed(&shared->written, position);
	store_relaxed(&shared->room_at, position);
	store_relaxed(&shared->end, RING_OPEN);
	store_relaxed(&shared->read, position);
	store_relaxed(&shared->data_at, position);
	store_relaxed(&shared->gone, 0);
}

void ring_producer_attach(struct ring_producer *p, struct ring_shared *shared, unsigned char *data,
	uint64_t capacity, uint64_t position)
{
	own_rule(ring_capacity_valid(capacity));
	*p = (struct ring_producer){
		.shared = shared,
		.data = data,
		.capacity = capacity,
		.written = position,
		.read_seen = position,
		.rewound_from = position,
		.rewound_to = position,
		.woken_upto = position,
	};
}

void ring_consumer_attach(struct ring_consumer *c, struct ring_shared *shared, unsigned char *data,
	uint64_t capacity, uint64_t position)
{
	own_rule(ring_capacity_valid(capacity));
	*c = (struct ring_consumer){
		.shared = shared,
		.data = data,
		.capacity = capacity,
		.read = position,
		.given = position,
		.written_seen = position,
		.data_at = position,
		.woken_upto = position,
	};
}

/*
 * Positions run around 2^64, so only differences are compared. True when 'at'
 * is one of the positions behind 'from' up to and including 'upto'.
 */
static inline bool crossed(uint64_t at, uint64_t from, uint64_t upto)
{
	return at - from - 1 < upto - from;
}

static inline uint64_t room(const struct ring_producer *p)
{
	return p->capacity - (p->written - p->read_seen);
}

static void producer_broken(struct ring_producer *p)
{
	p->broken = true;
	p->end = -RING_EPROTO;
}

/* Takes in what the consumer's line says. Only while the end is 0. */
static inline void producer_look(struct ring_producer *p)
{
	uint32_t gone = load_relaxed(&p->shared->gone); /* no data hangs on it */
	/* Acquire; partner: the release in ring_give. Bytes are read before they are
	 * overwritten. */
	uint64_t read = load_acquire(&p->shared->read);

	if (read == p->rewound_from)
		read = p->rewound_to;
	/* It lies between where it was last and what was written: neither backwards nor ahead. */
	if (gone > 1 || p->written - read > p->written - p->read_seen) {
		producer_broken(p);
		return;
	}
	p->read_seen = read;
	if (gone)
		p->end = -RING_EPIPE;
}

struct ring_span ring_reserve(struct ring_producer *p)
{
	if (p->end == 0)
		producer_look(p);
	return (struct ring_span){
		.data = p->data + (p->written & (p->capacity - 1)),
		.len = p->end == 0 ? room(p) : 0,
		.end = p->end,
	};
}

void ring_commit(struct ring_producer *p, size_t len)
{
	own_rule(len <= room(p));
	if (p->ended)
		return; /* what was under way when the ring was ended */
	p->written += len;
	/* Release; partner: the acquire of 'written' in consumer_look. First the bytes. */
	store_release(&p->shared->written, p->written);
}

static inline uint64_t offset_of(const struct ring_producer *p)
{
	return p->written & (p->capacity - 1);
}

/*
 * Is it worth a look at the consumer's line? Not for a stream that moves much, or has only begun.
 * What would be moved must not lie at the start of the area too, by its second copy.
 */
static inline bool may_rewind(const struct ring_producer *p, size_t len)
{
	uint64_t offset = offset_of(p);

	return len > 0 && len <= RING_REWIND_MOST && p->end == 0 && offset >= RING_REWIND_FROM &&
	       offset >= 2 * len && offset + len <= p->capacity &&
	       p->written - p->read_seen <= RING_REWIND_MOST;
}

/*
 * To the start of the lap after the next one: so far ahead that the consumer cannot take it for
 * bytes. Nobody has a span of this ring but the caller: it is empty.
 */
static void rewind(struct ring_producer *p, size_t len)
{
	__builtin_memcpy(p->data, p->data + offset_of(p), len);
	p->rewound_from = p->written;
	p->rewound_to = p->written - offset_of(p) + 2 * p->capacity;
	p->written = p->read_seen = p->rewound_to;
}

void ring_commit_rewind(struct ring_producer *p, size_t len)
{
	own_rule(len <= room(p));
	if (may_rewind(p, len))
		producer_look(p);
	if (may_rewind(p, len) && p->written == p->read_seen)
		rewind(p, len);
	ring_commit(p, len);
}

/*
 * A consumer that gets on while this side copies runs on another CPU, beside it (pipe/copy.h), or, seldom,
 * took this one away from it: then a few writes are slower than they could be. It is not seen in every
 * write, for it publishes its position once a message at the most.
 */
static void write_long(struct ring_producer *p, unsigned char *to, const void *bytes, size_t len)
{
	uint64_t before = p->read_seen; /* looked at just now */

	if (p->beside_writes > 0) {
		p->beside_writes--;
		copy_past_caches(to, bytes, len);
	} else {
		__builtin_memcpy(to, bytes, len);
	}
	producer_look(p);
	if (p->read_seen != before)
		p->beside_writes = BESIDE_WRITES;
}

size_t ring_write_any(struct ring_producer *p, const void *bytes, size_t len)
{
	if (p->end == 0 && (len > room(p) || len >= RING_WRITE_LONG))
		producer_look(p);
	if (len > room(p))
		len = room(p);
	if (p->end != 0 || len == 0)
		return 0;
	unsigned char *to = p->data + (p->written & (p->capacity - 1));
	if (len >= RING_WRITE_LONG)
		write_long(p, to, bytes, len);
	else
		__builtin_memcpy(to, bytes, len);
	ring_commit(p, len);
	return len;
}

static void producer_end(struct ring_producer *p, uint32_t end)
{
	if (p->ended)
		return;
	p->ended = true;
	p->wake = true;
	if (p->end == 0)
		p->end = -RING_EPIPE;
	/* Release; partner: the acquire of 'end' in consumer_look. First the last 'written'. */
	store_release(&p->shared->end, end);
}

void ring_finish(struct ring_producer *p)
{
	producer_end(p, RING_FINISHED);
}

void ring_fail(struct ring_producer *p, int error)
{
	own_rule(error > 0 && error <= RING_ERRNO_MAX);
	producer_end(p, RING_FAILED | (uint32_t)error << RING_ERRNO_SHIFT);
}

void ring_await_room(struct ring_producer *p, size_t len)
{
	own_rule(len > 0 && len <= p->capacity);
	store_relaxed(&p->shared->room_at, p->written + len - p->capacity);
	/*
	 * Fence; partner: the one in ring_wake_producer. Either the look that
	 * follows here finds the room, or the consumer finds room_at.
	 */
	full_fence();
}

bool ring_wake_consumer(struct ring_producer *p)
{
	uint64_t from = p->woken_upto;
	bool wake = p->wake;

	if (p->written == from && !wake)
		return false;
	p->woken_upto = p->written;
	p->wake = false;
	/*
	 * Fence; partner: the one in ring_await_data. Either the consumer's look
	 * finds 'written', or data_at is found here.
	 */
	full_fence();
	wake |= crossed(load_relaxed(&p->shared->data_at), from, p->written);
	/* The line had to come here for data_at: what else it says costs nothing now. */
	if (p->end == 0)
		producer_look(p);
	return wake;
}

static void consumer_broken(struct ring_consumer *c)
{
	c->broken = true;
	c->end = -RING_EPROTO;
}

/* Is this an end word that a producer which keeps the rules can have written? */
static inline bool end_valid(uint32_t end)
{
	uint32_t error = end >> RING_ERRNO_SHIFT;

	if (end == RING_OPEN || end == RING_FINISHED)
		return true;
	return (end & 0xffff) == RING_FAILED && error > 0 && error <= RING_ERRNO_MAX;
}

/* Published, and looked for again by the caller. */
static inline void announce_data(struct ring_consumer *c, uint64_t data_at)
{
	c->data_at = data_at;
	store_relaxed(&c->shared->data_at, data_at);
	/*
	 * Fence; partner: the one in ring_wake_consumer. Either the look that
	 * follows here finds the bytes, or the producer finds data_at.
	 */
	full_fence();
}

/* What the producer's line says. */
struct producer_line {
	uint32_t end;
	uint64_t written;
};

static inline struct producer_line load_producer_line(struct ring_consumer *c)
{
	struct producer_line line;

	/*
	 * The end before the position, or a last commit between the two looks is
	 * lost. Acquire; partner: the release in producer_end.
	 */
	line.end = load_acquire(&c->shared->end);
	/* Acquire; partner: the release in ring_commit and ring_write. The bytes are there with
	 * the position. */
	line.written = load_acquire(&c->shared->written);
	return line;
}

/*
 * Of an empty ring, of which all that was read is given back: has the producer gone on at the start
 * of another lap, more than one and at most two capacities ahead? Then so does this side, and what
 * it waits for counts from there: announced anew, and so looked for anew.
 */
static void follow_rewind(struct ring_consumer *c, struct producer_line *line)
{
	uint64_t start = (line->written - 1) & ~(c->capacity - 1);
	uint64_t awaited = c->data_at - c->read; /* 1..capacity while it waits */

	if (start - c->read - c->capacity - 1 >= c->capacity)
		return;
	c->read = c->given = c->written_seen = start;
	if (awaited - 1 >= c->capacity)
		return;
	announce_data(c, start + awaited);
	*line = load_producer_line(c);
}

/* Takes in what the producer's line says. Only while the end is 0. */
static inline void consumer_look(struct ring_consumer *c)
{
	struct producer_line line = load_producer_line(c);

	if (c->read == c->written_seen && line.written != c->read)
		follow_rewind(c, &line);
	/* It lies between where it was last and a full ring: neither backwards nor too far. */
	if (!end_valid(line.end) ||
		line.written - c->written_seen > c->read + c->capacity - c->written_seen) {
		consumer_broken(c);
		return;
	}
	c->written_seen = line.written;
	if (line.end != RING_OPEN)
		c->end = line.end == RING_FINISHED ? 1 : -(int)(line.end >> RING_ERRNO_SHIFT);
}

static inline uint64_t unread(const struct ring_consumer *c)
{
	return c->stopped || c->broken ? 0 : c->written_seen - c->read;
}

/* Publishes what ring_read held back. */
static inline void consumer_give_rest(struct ring_consumer *c)
{
	if (c->given != c->read)
		ring_give(c);
}

struct ring_span ring_peek(struct ring_consumer *c)
{
	consumer_give_rest(c);
	if (c->end == 0)
		consumer_look(c);
	return (struct ring_span){
		.data = c->data + (c->read & (c->capacity - 1)),
		.len = unread(c),
		.end = c->end,
	};
}

void ring_consume(struct ring_consumer *c, size_t len)
{
	own_rule(len <= c->written_seen - c->read);
	c->read += len;
	ring_give(c);
}

size_t ring_read_any(struct ring_consumer *c, void *ret_bytes, size_t len)
{
	if (len > unread(c)) {
		/* First: a producer that waits for this room may be what the bytes wait for. */
		consumer_give_rest(c);
		if (c->end == 0)
			consumer_look(c);
	}
	if (len > unread(c))
		len = unread(c);
	if (len == 0)
		return 0;
	__builtin_memcpy(ret_bytes, c->data + (c->read & (c->capacity - 1)), len);
	ring_took(c, len);
	return len;
}

void ring_stop(struct ring_consumer *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	c->wake = true;
	consumer_give_rest(c);
	if (c->end == 0)
		c->end = 1;
	/* Relaxed: the producer takes nothing from 'gone' but its value. */
	store_relaxed(&c->shared->gone, 1);
}

void ring_await_data(struct ring_consumer *c, size_t len)
{
	own_rule(len > 0 && len <= c->capacity);
	consumer_give_rest(c);
	announce_data(c, c->read + len);
}

bool ring_wake_producer(struct ring_consumer *c)
{
	uint64_t from = c->woken_upto;
	bool wake = c->wake;

	if (c->read == from && !wake)
		return false;
	c->woken_upto = c->read;
	consumer_give_rest(c);
	c->wake = false;
	/*
	 * Fence; partner: the one in ring_await_room. Either the producer's look
	 * finds 'read', or room_at is found here.
	 */
	full_fence();
	return wake | crossed(load_relaxed(&c->shared->room_at), from, c->read);
}
