#include "tests/lib/ring_model.h"

#include "tests/lib/suite.h"

#define SCRATCH (64 << 10) /* bytes; a longer ring_write or ring_read is done in spans instead */

static unsigned char scratch[SCRATCH];

void ring_model_init(struct ring_model *m, struct ring_shared *shared, struct ring_producer *p,
	struct ring_consumer *c, uint64_t start, uint64_t key)
{
	*m = (struct ring_model){
		.shared = shared,
		.p = p,
		.c = c,
		.capacity = (int64_t)p->capacity,
		.start = start,
		.key = key,
		.rewound_at = -1,
	};
}

static int64_t written_position(const struct ring_model *m)
{
	return m->written + m->rewound;
}

static int64_t read_position(const struct ring_model *m)
{
	return m->read + m->rewound_known;
}

/* What was read is published. */
static void give(struct ring_model *m)
{
	if (m->given == m->read)
		return;
	m->given = m->read;
	m->given_position = read_position(m);
}

/* The consumer looks while it has read all that it knew of: it learns of a rewind, and what it
 * still waits for is announced anew. */
static void learn_of_rewind(struct ring_model *m)
{
	if (m->rewound_known == m->rewound || m->read != m->rewound_at || m->written == m->read)
		return;
	m->rewound_known = m->rewound;
	if (m->data_at > m->read && m->data_at - m->read <= m->capacity)
		m->data_at_position = m->data_at + m->rewound_known;
}

static int64_t available(const struct ring_model *m)
{
	return m->stopped ? 0 : m->written - m->read;
}

static int64_t free_room(const struct ring_model *m)
{
	return m->end != 0 || m->stopped ? 0 : m->capacity - (m->written - m->given);
}

/*
 * Mostly small. Lengths up to the capacity are as frequent as keeps the bytes
 * of a run of 2^18 operations to a few hundred MiB, whatever the capacity.
 */
static int64_t some_len(const struct ring_model *m, struct random *random)
{
	uint64_t capacity = (uint64_t)m->capacity;

	if (random_once_in(random, 2 + (capacity >> 13)))
		return 1 + (int64_t)random_below(random, capacity);
	return (int64_t)random_len(random, 1024);
}

/* Part of a span, often all of it. */
static int64_t some_part(const struct ring_model *m, struct random *random, int64_t len)
{
	int64_t part = some_len(m, random);

	if (part > 1024 && random_once_in(random, 2))
		return len;
	return part < len ? part : len;
}

static void check_bytes(const struct ring_model *m, const unsigned char *bytes, int64_t len)
{
	size_t good = pattern_match(m->key, (uint64_t)m->read, bytes, (size_t)len);

	if (good != (size_t)len)
		ck_abort_msg(
			"byte %lld of the ring is wrong", (long long)m->read + (long long)good);
}

static void do_reserve(struct ring_model *m)
{
	struct ring_span span = ring_reserve(m->p);

	if (m->stopped)
		m->gone_known = true;
	expect_equal((int64_t)span.len, free_room(m));
	expect_equal(span.end, m->end != 0 || m->stopped ? -RING_EPIPE : 0);
	m->reserved = (int64_t)span.len;
}

/* The bytes of the span that are to be committed; 0: none. */
static int64_t fill_some(struct ring_model *m, struct random *random)
{
	int64_t len = some_part(m, random, m->reserved);
	uint64_t at = m->start + (uint64_t)written_position(m);

	if (len == 0)
		return 0;
	pattern_fill(m->key, (uint64_t)m->written, m->p->data + (at & (m->p->capacity - 1)),
		(size_t)len);
	m->reserved -= len;
	return len;
}

static void do_commit(struct ring_model *m, struct random *random)
{
	int64_t len = fill_some(m, random);

	if (len == 0)
		return;
	ring_commit(m->p, (size_t)len);
	if (m->end == 0) /* later it has no effect */
		m->written += len;
}

/* DATAPIPE.md section 3.4. What the producer knows of the consumer may be old. */
static bool must_rewind(const struct ring_model *m, int64_t len)
{
	int64_t offset =
		(int64_t)((m->start + (uint64_t)written_position(m)) & (m->p->capacity - 1));

	return m->end == 0 && !m->stopped && m->given == m->written && len <= RING_REWIND_MOST &&
	       offset >= RING_REWIND_FROM && offset >= 2 * len && offset + len <= m->capacity &&
	       m->p->written - m->p->read_seen <= RING_REWIND_MOST;
}

static void do_commit_rewind(struct ring_model *m, struct random *random)
{
	int64_t len = fill_some(m, random);
	uint64_t capacity = m->p->capacity;

	if (len == 0)
		return;
	uint64_t before = m->p->written;
	bool rewinds = must_rewind(m, len);
	ring_commit_rewind(m->p, (size_t)len);
	if (m->stopped && m->p->end != 0)
		m->gone_known = true; /* it looked */
	if (rewinds) {
		uint64_t to = (before & ~(capacity - 1)) + 2 * capacity;
		m->rewound += (int64_t)(to - before);
		m->rewound_at = m->written;
		m->rewinds++;
		m->reserved = 0;
	}
	if (m->end == 0)
		m->written += len;
}

static void do_write(struct ring_model *m, struct random *random)
{
	int64_t len = some_len(m, random), room = free_room(m), done;

	len = len > SCRATCH ? SCRATCH : len;
	pattern_fill(m->key, (uint64_t)m->written, scratch, (size_t)len);
	done = (int64_t)ring_write(m->p, scratch, (size_t)len);
	if (m->stopped && m->end == 0 && !m->gone_known) {
		/* It may fill what room it knew of; how much that was is its own affair. */
		expect(done == 0 || done == len);
		expect(m->written + done - m->read <= m->capacity);
	} else {
		expect_equal(done, len < room ? len : room);
	}
	m->written += done;
	m->reserved = done < m->reserved ? m->reserved - done : 0;
}

static void do_peek(struct ring_model *m)
{
	bool looks = m->consumer_end == 0 && m->end_at_stop == 0;
	struct ring_span span = ring_peek(m->c);
	int64_t look;

	give(m);
	if (looks && !m->stopped)
		learn_of_rewind(m);
	if (m->consumer_end == 0)
		m->consumer_end = m->end;
	if (span.end != 0 && span.end == m->end_at_stop)
		m->consumer_end = span.end;
	m->end_at_stop = 0;
	expect_equal((int64_t)span.len, available(m));
	expect_equal(span.end, m->consumer_end);
	look = (int64_t)(span.len < 256 ? span.len : 256);
	check_bytes(m, span.data, look);
	if (!m->stopped)
		m->peeked = (int64_t)span.len;
}

/* Also after ring_stop: an operation on the span may have been under way. */
static void do_consume(struct ring_model *m, struct random *random)
{
	int64_t len = some_part(m, random, m->peeked);
	uint64_t at = m->start + (uint64_t)read_position(m);

	if (len == 0)
		return;
	check_bytes(m, m->c->data + (at & (m->c->capacity - 1)), len);
	ring_consume(m->c, (size_t)len);
	m->read += len;
	give(m);
	m->peeked -= len;
}

/* Before it looks for more it publishes what it held back. */
static void look_by_read(struct ring_model *m)
{
	give(m);
	if (!m->stopped)
		learn_of_rewind(m);
}

static void do_read(struct ring_model *m, struct random *random)
{
	int64_t len = some_len(m, random), known = (int64_t)(m->c->written_seen - m->c->read), done;

	len = len > SCRATCH ? SCRATCH : len;
	done = (int64_t)ring_read(m->c, scratch, (size_t)len);
	expect_equal(done, len < available(m) ? len : available(m));
	check_bytes(m, scratch, done);
	if (m->stopped || len > known)
		look_by_read(m);
	m->read += done;
	/* How much of it is published is its own affair, within bounds. */
	int64_t position = (int64_t)(load_relaxed(&m->shared->read) - m->start);
	if (position != m->given_position)
		m->given = position - m->rewound_known;
	expect(m->given <= m->read);
	expect(position >= m->given_position);
	expect(m->read - m->given < m->capacity / RING_HELD_PART);
	m->given_position = position;
	m->peeked = done < m->peeked ? m->peeked - done : 0;
}

static void do_await_data(struct ring_model *m, struct random *random)
{
	int64_t len = (int64_t)random_len(random, (uint64_t)m->capacity);

	ring_await_data(m->c, (size_t)len);
	give(m);
	m->data_at = m->read + len;
	m->data_at_position = read_position(m) + len;
}

static void do_await_room(struct ring_model *m, struct random *random)
{
	int64_t len = (int64_t)random_len(random, (uint64_t)m->capacity);

	ring_await_room(m->p, (size_t)len);
	m->room_at_position = written_position(m) + len - m->capacity;
}

static void do_end(struct ring_model *m, int end)
{
	if (end == 1)
		ring_finish(m->p);
	else
		ring_fail(m->p, -end);
	if (m->end != 0)
		return; /* only the first one counts */
	m->end = end;
	m->end_untold = true;
}

static void do_stop(struct ring_model *m)
{
	ring_stop(m->c);
	give(m);
	if (m->stopped)
		return;
	m->stopped = true;
	m->gone_untold = true;
	if (m->consumer_end != 0)
		return;
	/* A ring_read may have seen the end, or not: the next peek says, and for good. */
	m->consumer_end = 1;
	m->end_at_stop = m->end;
}

void ring_model_do(struct ring_model *m, enum ring_model_op op, struct random *random)
{
	switch (op) {
	case RING_MODEL_RESERVE:
		do_reserve(m);
		break;
	case RING_MODEL_COMMIT:
		do_commit(m, random);
		break;
	case RING_MODEL_COMMIT_REWIND:
		do_commit_rewind(m, random);
		break;
	case RING_MODEL_WRITE:
		do_write(m, random);
		break;
	case RING_MODEL_AWAIT_ROOM:
		do_await_room(m, random);
		break;
	case RING_MODEL_PEEK:
		do_peek(m);
		break;
	case RING_MODEL_CONSUME:
		do_consume(m, random);
		break;
	case RING_MODEL_READ:
		do_read(m, random);
		break;
	case RING_MODEL_AWAIT_DATA:
		do_await_data(m, random);
		break;
	case RING_MODEL_FINISH:
		do_end(m, 1);
		break;
	case RING_MODEL_FAIL:
		do_end(m, -(int)(1 + random_below(random, RING_ERRNO_MAX)));
		break;
	case RING_MODEL_STOP:
		do_stop(m);
		break;
	}
	ring_model_check(m);
}

enum ring_model_op ring_model_pick(struct random *random, unsigned producer_share)
{
	static const enum ring_model_op producer[] = {RING_MODEL_RESERVE, RING_MODEL_RESERVE,
		RING_MODEL_COMMIT, RING_MODEL_COMMIT_REWIND, RING_MODEL_COMMIT_REWIND,
		RING_MODEL_WRITE, RING_MODEL_WRITE, RING_MODEL_AWAIT_ROOM};
	static const enum ring_model_op consumer[] = {RING_MODEL_PEEK, RING_MODEL_PEEK,
		RING_MODEL_CONSUME, RING_MODEL_CONSUME, RING_MODEL_READ, RING_MODEL_READ,
		RING_MODEL_READ, RING_MODEL_AWAIT_DATA};

	if (random_once_in(random, 1024))
		return RING_MODEL_FINISH + (enum ring_model_op)random_below(random, 3);
	if (random_below(random, 8) < producer_share)
		return producer[random_below(random, 8)];
	return consumer[random_below(random, 8)];
}

bool ring_model_wake_consumer(struct ring_model *m)
{
	int64_t position = written_position(m);
	bool satisfied =
		m->data_told_position < m->data_at_position && m->data_at_position <= position;
	bool wake = satisfied || m->end_untold;

	/* Behind a rewind of which the consumer does not know it may be too early, or wait for the
	 * look that follows each announcement; once it knows, what it waits for is what wakes it.
	 */
	if (m->rewound == m->rewound_known && m->data_told < m->data_at && m->data_at <= m->written)
		expect(satisfied);
	if (m->stopped && (position != m->data_told_position || m->end_untold))
		m->gone_known = true;
	m->data_told_position = position;
	m->data_told = m->written;
	m->end_untold = false;
	return wake;
}

bool ring_model_wake_producer(struct ring_model *m)
{
	int64_t position = read_position(m);
	bool satisfied =
		m->room_told_position < m->room_at_position && m->room_at_position <= position;
	bool wake = satisfied || m->gone_untold;

	give(m);
	m->room_told_position = position;
	m->gone_untold = false;
	return wake;
}

static uint32_t end_word(int end)
{
	return end >= 0 ? (uint32_t)end : RING_FAILED | (uint32_t)-end << 16;
}

void ring_model_check(const struct ring_model *m)
{
	const struct ring_shared *s = m->shared;

	expect_equal(load_relaxed(&s->written), m->start + (uint64_t)written_position(m));
	expect_equal(load_relaxed(&s->read), m->start + (uint64_t)m->given_position);
	expect_equal(load_relaxed(&s->data_at), m->start + (uint64_t)m->data_at_position);
	expect_equal(load_relaxed(&s->room_at), m->start + (uint64_t)m->room_at_position);
	expect_equal(load_relaxed(&s->end), end_word(m->end));
	expect_equal(load_relaxed(&s->gone), m->stopped);
	expect(m->written - m->read <= m->capacity);
	expect(m->written - m->read >= 0);
	/* What one side knows of the other may be old, never wrong. */
	expect(m->rewound != m->rewound_known ||
		m->start + (uint64_t)read_position(m) - m->p->read_seen <= m->p->capacity);
	expect(m->c->written_seen - m->c->read <= (uint64_t)(m->written - m->read));
	expect(!m->p->broken && !m->c->broken);
}
