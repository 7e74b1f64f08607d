/* Which end writes which ring, that the directions do not touch, and one wake for both. */
#include <string.h>

#include "pipe/pipe.h"
#include "tests/lib/ring_memory.h"
#include "tests/lib/suite.h"

#define CAPACITY 4096

static struct ring_memory memory;
static struct pipe_end guest, host;

static void setup(void)
{
	ck_assert_int_eq(ring_memory_create(&memory, 1, CAPACITY), 0);
	pipe_attach(&guest, PIPE_GUEST, &memory.pipe[0], memory.area[0]);
	pipe_attach(&host, PIPE_HOST, &memory.pipe[0], memory.area[0]);
}

static void teardown(void)
{
	ring_memory_destroy(&memory);
}

static void assert_span(struct ring_span span, size_t len, int end)
{
	ck_assert_uint_eq(span.len, len);
	ck_assert_int_eq(span.end, end);
}

START_TEST(each_side_writes_its_ring)
{
	ring_write(&guest.out, "guest", 5);
	ring_write(&host.out, "the host", 8);
	ck_assert_uint_eq(load_relaxed(&memory.pipe[0].ring[PIPE_GUEST].written), 5);
	ck_assert_uint_eq(load_relaxed(&memory.pipe[0].ring[PIPE_HOST].written), 8);
	ck_assert_mem_eq(memory.area[0][PIPE_GUEST].data, "guest", 5);
	ck_assert_mem_eq(ring_peek(&host.in).data, "guest", 5);
	ck_assert_mem_eq(ring_peek(&guest.in).data, "the host", 8);
}
END_TEST

START_TEST(rings_may_differ_in_size)
{
	struct ring_memory large;
	struct pipe_area area[2];

	ck_assert_int_eq(ring_memory_create(&large, 1, 4 * CAPACITY), 0);
	area[PIPE_GUEST] = memory.area[0][PIPE_GUEST];
	area[PIPE_HOST] = large.area[0][PIPE_HOST];
	pipe_attach(&guest, PIPE_GUEST, &memory.pipe[0], area);
	pipe_attach(&host, PIPE_HOST, &memory.pipe[0], area);
	assert_span(ring_reserve(&guest.out), CAPACITY, 0);
	assert_span(ring_reserve(&host.out), 4 * CAPACITY, 0);
	ring_commit(&host.out, 4 * CAPACITY);
	assert_span(ring_peek(&guest.in), 4 * CAPACITY, 0);
	ring_memory_destroy(&large);
}
END_TEST

START_TEST(half_close)
{
	ring_write(&guest.out, "request", 7);
	ring_finish(&guest.out);
	assert_span(ring_peek(&host.in), 7, 1);
	ring_consume(&host.in, 7);
	ring_write(&host.out, "reply", 5);
	assert_span(ring_peek(&guest.in), 5, 0);
	ring_fail(&host.out, 104);
	ring_consume(&guest.in, 5);
	assert_span(ring_peek(&guest.in), 0, -104);
}
END_TEST

START_TEST(one_wake_for_both)
{
	ring_await_data(&host.in, 1);
	ring_await_room(&host.out, CAPACITY);
	ck_assert(!pipe_wake_peer(&guest));
	ring_write(&guest.out, "x", 1);
	ck_assert(pipe_wake_peer(&guest));
	ck_assert(!pipe_wake_peer(&guest));
	/* Both at once are told by one. */
	ring_write(&host.out, "y", 1);
	ck_assert(!pipe_wake_peer(&host));
	ring_consume(&host.in, ring_peek(&host.in).len);
	ring_await_data(&host.in, 1);
	ring_await_room(&host.out, CAPACITY);
	ring_write(&guest.out, "x", 1);
	ring_consume(&guest.in, ring_peek(&guest.in).len);
	ck_assert(pipe_wake_peer(&guest));
	ck_assert(!pipe_wake_peer(&guest));
	/* An end of either direction. */
	ring_finish(&guest.out);
	ck_assert(pipe_wake_peer(&guest));
	ring_stop(&guest.in);
	ck_assert(pipe_wake_peer(&guest));
	ck_assert(!pipe_wake_peer(&guest));
}
END_TEST

/* A peer that breaks one ring does so for one ring. */
START_TEST(hostile_in_one_direction)
{
	store_relaxed(&memory.pipe[0].ring[PIPE_GUEST].written, CAPACITY + 1);
	assert_span(ring_peek(&host.in), 0, -RING_EPROTO);
	assert_span(ring_reserve(&host.out), CAPACITY, 0);
	ring_write(&host.out, "still", 5);
	assert_span(ring_peek(&guest.in), 5, 0);
}
END_TEST

/* What a later pipe in the same place gets is what pipe_init makes, whatever was there. */
START_TEST(init_after_anything)
{
	memset(&memory.pipe[0], 0xa5, sizeof(memory.pipe[0]));
	pipe_init(&memory.pipe[0]);
	pipe_attach(&guest, PIPE_GUEST, &memory.pipe[0], memory.area[0]);
	pipe_attach(&host, PIPE_HOST, &memory.pipe[0], memory.area[0]);
	assert_span(ring_peek(&host.in), 0, 0);
	assert_span(ring_peek(&guest.in), 0, 0);
	assert_span(ring_reserve(&host.out), CAPACITY, 0);
	assert_span(ring_reserve(&guest.out), CAPACITY, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pipe");
	TCase *tcase = tcase_create("pipe");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, each_side_writes_its_ring);
	tcase_add_test(tcase, rings_may_differ_in_size);
	tcase_add_test(tcase, half_close);
	tcase_add_test(tcase, one_wake_for_both);
	tcase_add_test(tcase, hostile_in_one_direction);
	tcase_add_test(tcase, init_after_anything);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
