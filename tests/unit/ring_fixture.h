/*
 * One ring of the smallest capacity with both ends attached, as the unit tests
 * of the ring use it. For inclusion by one test program.
 */
#ifndef FERRULE_TESTS_UNIT_RING_FIXTURE_H
#define FERRULE_TESTS_UNIT_RING_FIXTURE_H

#include "pipe/ring.h"
#include "tests/lib/ring_memory.h"
#include "tests/lib/suite.h"

#define CAPACITY 4096

static struct ring_memory memory;
static struct ring_shared *shared;
static struct ring_producer p;
static struct ring_consumer c;

/* Where positions start in tests that run at each of these. */
static const uint64_t starts[] = {0, (1ull << 32) - 5, UINT64_MAX - 4};
#define STARTS ((int)(sizeof(starts) / sizeof(starts[0])))

static inline void attach_at(uint64_t start)
{
	struct pipe_area *area = &memory.area[0][0];

	ring_init(shared, start);
	ring_producer_attach(&p, shared, area->data, area->capacity, start);
	ring_consumer_attach(&c, shared, area->data, area->capacity, start);
}

static inline void setup(void)
{
	ck_assert_int_eq(ring_memory_create(&memory, 1, CAPACITY), 0);
	shared = &memory.pipe[0].ring[0];
	attach_at(0);
}

static inline void teardown(void)
{
	ring_memory_destroy(&memory);
}

static inline void assert_span(struct ring_span span, size_t len, int end)
{
	ck_assert_uint_eq(span.len, len);
	ck_assert_int_eq(span.end, end);
}

/* Commits bytes whatever they are. */
static inline void commit(size_t len)
{
	ck_assert_uint_ge(ring_reserve(&p).len, len);
	ring_commit(&p, len);
}

static inline void consume(size_t len)
{
	ck_assert_uint_ge(ring_peek(&c).len, len);
	ring_consume(&c, len);
}

#endif
