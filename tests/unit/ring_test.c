/* The ring by hand: what each call says. */
#include <string.h>

#include "tests/unit/ring_fixture.h"

START_TEST(capacities)
{
	ck_assert(ring_capacity_valid(4096));
	ck_assert(ring_capacity_valid(65536));
	ck_assert(ring_capacity_valid(16u << 20));
	ck_assert(!ring_capacity_valid(0));
	ck_assert(!ring_capacity_valid(1));
	ck_assert(!ring_capacity_valid(2048));
	ck_assert(!ring_capacity_valid(4097));
	ck_assert(!ring_capacity_valid(12288));
	ck_assert(!ring_capacity_valid(32u << 20));
	ck_assert(!ring_capacity_valid((1ull << 32) + 4096));
	ck_assert(!ring_capacity_valid(1ull << 63));
}
END_TEST

START_TEST(empty_ring)
{
	attach_at(starts[_i]);
	assert_span(ring_peek(&c), 0, 0);
	assert_span(ring_reserve(&p), CAPACITY, 0);
	ck_assert(!ring_wake_consumer(&p));
	ck_assert(!ring_wake_producer(&c));
}
END_TEST

/* DATAPIPE.md section 8.6, step by step. */
START_TEST(worked_example)
{
	struct bell_shared *bell = memory.bell[PIPE_GUEST];
	struct bell_scan scan = {0};
	struct ring_span span;
	uint32_t slot;

	attach_at(4090);
	ring_await_data(&c, 10);
	assert_span(ring_peek(&c), 0, 0);
	ck_assert_uint_eq(load_relaxed(&shared->data_at), 4100);
	ck_assert(bell_sleep(bell));
	ck_assert_uint_eq(load_relaxed(&bell->asleep), 1);

	span = ring_reserve(&p);
	assert_span(span, 4096, 0);
	ck_assert_ptr_eq(span.data, memory.area[0][0].data + 4090);
	memcpy(span.data, "ten bytes!", 10);
	ck_assert_mem_eq(memory.area[0][0].data, "tes!", 4);
	ring_commit(&p, 10);
	ck_assert_uint_eq(load_relaxed(&shared->written), 4100);
	ck_assert(ring_wake_consumer(&p));
	bell_post(bell, 70);
	ck_assert_uint_eq(load_relaxed(&bell->word[1]), 0x40);
	ck_assert_uint_eq(load_relaxed(&bell->summary), 0x1);
	ck_assert(bell_must_ring(bell));
	ck_assert_uint_eq(load_relaxed(&bell->asleep), 0);

	bell_awake(bell);
	ck_assert(bell_next(bell, &scan, &slot));
	ck_assert_uint_eq(slot, 70);
	ck_assert(!bell_next(bell, &scan, &slot));
	span = ring_peek(&c);
	assert_span(span, 10, 0);
	ck_assert_ptr_eq(span.data, memory.area[0][0].data + 4090);
	ck_assert_mem_eq(span.data, "ten bytes!", 10);
	ring_consume(&c, 10);
	ck_assert_uint_eq(load_relaxed(&shared->read), 4100);
	ck_assert(!ring_wake_producer(&c));
}
END_TEST

START_TEST(full_ring)
{
	unsigned char in[CAPACITY + 1], out[CAPACITY + 1];

	attach_at(starts[_i]);
	memset(in, 0x5a, sizeof(in));
	ck_assert_uint_eq(ring_write(&p, in, sizeof(in)), CAPACITY);
	assert_span(ring_reserve(&p), 0, 0);
	ck_assert_uint_eq(ring_write(&p, in, 1), 0);
	assert_span(ring_peek(&c), CAPACITY, 0);
	ck_assert_uint_eq(ring_read(&c, out, sizeof(out)), CAPACITY);
	ck_assert_mem_eq(in, out, CAPACITY);
	ck_assert_uint_eq(ring_read(&c, out, 1), 0);
	assert_span(ring_reserve(&p), CAPACITY, 0);
}
END_TEST

START_TEST(nothing_to_copy)
{
	ck_assert_uint_eq(ring_write(&p, NULL, 0), 0);
	ck_assert_uint_eq(ring_read(&c, NULL, 0), 0);
	commit(1);
	ck_assert_uint_eq(ring_read(&c, NULL, 0), 0);
}
END_TEST

/* What ring_read holds back is bounded, and given by every other call and by a look for more. */
START_TEST(reader_holds_back_a_little)
{
	unsigned char bytes[CAPACITY] = {0};
	const size_t part = CAPACITY / RING_HELD_PART;

	attach_at(starts[_i]);
	for (int call = 0; call < 5; call++) {
		uint64_t from = load_relaxed(&shared->read);

		commit(CAPACITY);
		assert_span(ring_peek(&c), CAPACITY, 0);
		ck_assert_uint_eq(ring_read(&c, bytes, part - 1), part - 1);
		assert_span(ring_reserve(&p), 0, 0);
		if (call == 0)
			ring_read(&c, bytes, 1);
		else if (call == 1)
			ring_await_data(&c, CAPACITY / 2);
		else if (call == 2)
			ring_wake_producer(&c);
		else if (call == 3)
			ring_peek(&c);
		else
			ring_read(&c, bytes, CAPACITY); /* looks for more */
		ck_assert_uint_ge(load_relaxed(&shared->read) - from, part - 1);
		ring_peek(&c);
		ring_consume(&c, ring_peek(&c).len);
	}
}
END_TEST

START_TEST(finish_after_the_last_byte)
{
	unsigned char bytes[7];

	attach_at(starts[_i]);
	commit(7);
	ring_finish(&p);
	assert_span(ring_reserve(&p), 0, -RING_EPIPE);
	assert_span(ring_peek(&c), 7, 1);
	consume(3);
	assert_span(ring_peek(&c), 4, 1);
	ck_assert_uint_eq(ring_read(&c, bytes, 7), 4);
	assert_span(ring_peek(&c), 0, 1);
}
END_TEST

START_TEST(fail_after_the_last_byte)
{
	commit(7);
	ring_fail(&p, 104);
	assert_span(ring_reserve(&p), 0, -RING_EPIPE);
	assert_span(ring_peek(&c), 7, -104);
	consume(7);
	assert_span(ring_peek(&c), 0, -104);
}
END_TEST

/* As when a recv(2) into the span completes after the ring was failed for another reason. */
START_TEST(commit_after_the_end_is_dropped)
{
	commit(7);
	ring_reserve(&p);
	ring_fail(&p, 104);
	ring_commit(&p, 5);
	ck_assert_uint_eq(load_relaxed(&shared->written), 7);
	assert_span(ring_peek(&c), 7, -104);
}
END_TEST

START_TEST(first_end_counts)
{
	ring_finish(&p);
	ring_fail(&p, 5);
	ring_finish(&p);
	assert_span(ring_peek(&c), 0, 1);
	ck_assert(ring_wake_consumer(&p));
	ck_assert(!ring_wake_consumer(&p));
	attach_at(0);
	ring_fail(&p, RING_ERRNO_MAX);
	ring_finish(&p);
	assert_span(ring_peek(&c), 0, -RING_ERRNO_MAX);
}
END_TEST

/* The errno EPROTO can be sent like any other: the bytes before it count. */
START_TEST(failed_with_eproto)
{
	commit(3);
	ring_fail(&p, RING_EPROTO);
	assert_span(ring_peek(&c), 3, -RING_EPROTO);
	ck_assert(!c.broken);
	consume(3);
	assert_span(ring_peek(&c), 0, -RING_EPROTO);
}
END_TEST

START_TEST(stop_drops_what_is_left)
{
	unsigned char bytes[8] = {0};

	commit(8);
	assert_span(ring_peek(&c), 8, 0);
	ring_stop(&c);
	assert_span(ring_peek(&c), 0, 1);
	ck_assert_uint_eq(ring_read(&c, bytes, 8), 0);
	assert_span(ring_reserve(&p), 0, -RING_EPIPE);
	ck_assert_uint_eq(ring_write(&p, bytes, 8), 0);
	ring_consume(&c, 8); /* an operation on the span was under way */
	ring_commit(&p, 8);  /* here too */
}
END_TEST

/* ring_write does not look at the consumer's line while it knows of room; a wake does. */
START_TEST(writer_learns_of_stop_by_waking)
{
	ring_stop(&c);
	ck_assert_uint_eq(ring_write(&p, "abc", 3), 3);
	ring_wake_consumer(&p);
	ck_assert_uint_eq(ring_write(&p, "abc", 3), 0);
	assert_span(ring_reserve(&p), 0, -RING_EPIPE);
}
END_TEST

START_TEST(every_end_wakes_once)
{
	ring_finish(&p);
	ck_assert(ring_wake_consumer(&p));
	ck_assert(!ring_wake_consumer(&p));
	ring_stop(&c);
	ring_stop(&c);
	ck_assert(ring_wake_producer(&c));
	ck_assert(!ring_wake_producer(&c));
	attach_at(0);
	ring_fail(&p, 1);
	ck_assert(ring_wake_consumer(&p));
	ck_assert(!ring_wake_consumer(&p));
}
END_TEST

START_TEST(wakes_at_the_byte_asked_for)
{
	attach_at(starts[_i]);
	commit(5);
	ck_assert(!ring_wake_consumer(&p)); /* nobody asked */
	consume(5);
	ring_await_data(&c, 100);
	commit(99);
	ck_assert(!ring_wake_consumer(&p));
	commit(1);
	ck_assert(ring_wake_consumer(&p));
	ck_assert(!ring_wake_consumer(&p));
	commit(200);
	ck_assert(!ring_wake_consumer(&p)); /* asked once, told once */
}
END_TEST

START_TEST(wakes_for_many_commits_at_once)
{
	attach_at(starts[_i]);
	ring_await_data(&c, 2);
	commit(1);
	commit(1);
	commit(1);
	ck_assert(ring_wake_consumer(&p));
	ck_assert(!ring_wake_consumer(&p));
}
END_TEST

START_TEST(wakes_at_the_room_asked_for)
{
	attach_at(starts[_i]);
	commit(CAPACITY);
	ring_await_room(&p, 100);
	consume(99);
	ck_assert(!ring_wake_producer(&c));
	consume(1);
	ck_assert(ring_wake_producer(&c));
	ck_assert(!ring_wake_producer(&c));
	ring_await_room(&p, CAPACITY);
	consume(CAPACITY - 101);
	ck_assert(!ring_wake_producer(&c));
	consume(1);
	ck_assert(ring_wake_producer(&c));
}
END_TEST

/* What there was already when the wait was announced is for the second look to find. */
START_TEST(no_wake_for_what_was_there)
{
	commit(10);
	ring_wake_consumer(&p);
	ring_await_data(&c, 10);
	commit(1);
	ck_assert(!ring_wake_consumer(&p));
	ring_await_room(&p, CAPACITY - 11);
	consume(1);
	ck_assert(!ring_wake_producer(&c));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tcase = tcase_create("use");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, capacities);
	tcase_add_loop_test(tcase, empty_ring, 0, STARTS);
	tcase_add_test(tcase, worked_example);
	tcase_add_loop_test(tcase, full_ring, 0, STARTS);
	tcase_add_loop_test(tcase, reader_holds_back_a_little, 0, STARTS);
	tcase_add_test(tcase, nothing_to_copy);
	tcase_add_loop_test(tcase, finish_after_the_last_byte, 0, STARTS);
	tcase_add_test(tcase, fail_after_the_last_byte);
	tcase_add_test(tcase, commit_after_the_end_is_dropped);
	tcase_add_test(tcase, first_end_counts);
	tcase_add_test(tcase, failed_with_eproto);
	tcase_add_test(tcase, stop_drops_what_is_left);
	tcase_add_test(tcase, writer_learns_of_stop_by_waking);
	tcase_add_test(tcase, every_end_wakes_once);
	tcase_add_loop_test(tcase, wakes_at_the_byte_asked_for, 0, STARTS);
	tcase_add_loop_test(tcase, wakes_for_many_commits_at_once, 0, STARTS);
	tcase_add_loop_test(tcase, wakes_at_the_room_asked_for, 0, STARTS);
	tcase_add_test(tcase, no_wake_for_what_was_there);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
