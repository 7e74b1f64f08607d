/* A ring that is read as fast as it is written goes back to the start of its area: DATAPIPE.md
 * section 3.4. */
#include <signal.h>
#include <string.h>

#include "tests/lib/random.h"
#include "tests/unit/ring_fixture.h"

#define FAR RING_REWIND_FROM

/* Empty, with both positions this far behind the start of a lap. */
static uint64_t empty_at(uint64_t start, size_t offset)
{
	uint64_t lap = (start + 2 * CAPACITY) & ~(uint64_t)(CAPACITY - 1);

	attach_at(lap + offset);
	return lap + offset;
}

static void commit_rewind(const void *bytes, size_t len)
{
	struct ring_span span = ring_reserve(&p);

	expect(span.len >= len);
	memcpy(span.data, bytes, len);
	ring_commit_rewind(&p, len);
}

START_TEST(goes_on_at_the_start_of_a_lap)
{
	uint64_t at = empty_at(starts[_i], FAR);

	commit_rewind("ten bytes!", 10);
	expect_equal(load_relaxed(&shared->written), at - FAR + 2 * CAPACITY + 10);
	struct ring_span span = ring_peek(&c);
	assert_span(span, 10, 0);
	expect(span.data == memory.area[0][0].data);
	expect(memcmp(span.data, "ten bytes!", 10) == 0);
	/* All of the capacity is there as ever. */
	assert_span(ring_reserve(&p), CAPACITY - 10, 0);
	ring_consume(&c, 10);
	expect_equal(load_relaxed(&shared->read), at - FAR + 2 * CAPACITY + 10);
	assert_span(ring_reserve(&p), CAPACITY, 0);
}
END_TEST

START_TEST(room_before_the_consumer_has_looked)
{
	empty_at(starts[_i], FAR);
	commit_rewind("ten bytes!", 10);
	assert_span(ring_reserve(&p), CAPACITY - 10, 0);
	ring_commit(&p, CAPACITY - 10);
	assert_span(ring_reserve(&p), 0, 0);
	assert_span(ring_peek(&c), CAPACITY, 0);
	ring_consume(&c, CAPACITY);
	assert_span(ring_reserve(&p), CAPACITY, 0);
}
END_TEST

START_TEST(not_with_bytes_in_the_ring)
{
	uint64_t at = empty_at(0, FAR);

	commit(1);
	commit_rewind("ten bytes!", 10);
	expect_equal(load_relaxed(&shared->written), at + 11);
}
END_TEST

/* Consumed meanwhile: what counts is the moment of the commit, as for bytes that a kernel put
 * there. */
START_TEST(with_a_span_from_when_it_was_not_empty)
{
	uint64_t at = empty_at(0, FAR);

	commit(10);
	struct ring_span span = ring_reserve(&p);
	memcpy(span.data, "late", 4);
	consume(10);
	ring_commit_rewind(&p, 4);
	expect_equal(load_relaxed(&shared->written), at - FAR + 2 * CAPACITY + 4);
	span = ring_peek(&c);
	assert_span(span, 4, 0);
	expect(memcmp(span.data, "late", 4) == 0);
}
END_TEST

static const struct {
	size_t offset, len;
} not_worth_it[] = {
	{FAR - 1, 10},      /* near the start */
	{FAR, FAR / 2 + 1}, /* more than half of what lies before it */
	{CAPACITY - 5, 10}, /* at the start already, by the second copy */
	{CAPACITY - 1, CAPACITY},
};

START_TEST(not_when_it_is_not_worth_it)
{
	uint64_t at = empty_at(starts[_i % STARTS], not_worth_it[_i / STARTS].offset);
	size_t len = not_worth_it[_i / STARTS].len;

	ring_commit_rewind(&p, len);
	expect_equal(load_relaxed(&shared->written), at + len);
	assert_span(ring_peek(&c), len, 0);
}
END_TEST

START_TEST(not_behind_an_end)
{
	uint64_t at = empty_at(0, FAR);

	ring_reserve(&p);
	ring_finish(&p);
	ring_commit_rewind(&p, 10);
	expect_equal(load_relaxed(&shared->written), at);
	assert_span(ring_peek(&c), 0, 1);
	empty_at(0, FAR);
	ring_stop(&c);
	ring_commit_rewind(&p, 10);
	expect_equal(load_relaxed(&shared->written), at + 10);
}
END_TEST

START_TEST(end_behind_a_rewind)
{
	empty_at(starts[_i], FAR);
	commit_rewind("last", 4);
	ring_fail(&p, 5);
	assert_span(ring_peek(&c), 4, -5);
	ring_consume(&c, 4);
	assert_span(ring_peek(&c), 0, -5);
}
END_TEST

/* It waits for 8 bytes in the old lap; 3 and then 8 come in the new one. */
START_TEST(a_wait_goes_along)
{
	empty_at(starts[_i], FAR);
	ring_await_data(&c, 8);
	commit_rewind("abc", 3);
	/* Too early is allowed: the consumer looks, and waits on. */
	ring_wake_consumer(&p);
	assert_span(ring_peek(&c), 3, 0);
	commit(4);
	expect(!ring_wake_consumer(&p));
	commit(1);
	expect(ring_wake_consumer(&p));
	assert_span(ring_peek(&c), 8, 0);
}
END_TEST

/* The producer had compared before the announcement, which counts from the old lap. */
START_TEST(a_wait_announced_behind_the_rewind)
{
	empty_at(starts[_i], FAR);
	commit_rewind("abc", 3);
	expect(!ring_wake_consumer(&p));
	ring_await_data(&c, 4);
	assert_span(ring_peek(&c), 3, 0);
	commit(1);
	expect(ring_wake_consumer(&p));
}
END_TEST

START_TEST(a_wait_for_room_behind_a_rewind)
{
	empty_at(starts[_i], FAR);
	commit_rewind("ten bytes!", 10);
	commit(CAPACITY - 10);
	expect(!ring_wake_producer(&c));
	ring_await_room(&p, 100);
	assert_span(ring_reserve(&p), 0, 0);
	consume(99);
	expect(!ring_wake_producer(&c));
	consume(1);
	expect(ring_wake_producer(&c));
	assert_span(ring_reserve(&p), 100, 0);
}
END_TEST

/* Small messages, each read before the next: they stay within the first bytes of the area for ever.
 */
START_TEST(stays_near_the_start)
{
	unsigned char bytes[64];

	attach_at(starts[_i]);
	for (unsigned i = 0; i < 100000; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		commit_rewind(bytes, sizeof(bytes));
		struct ring_span span = ring_peek(&c);
		expect_equal(span.len, sizeof(bytes));
		expect(memcmp(span.data, bytes, sizeof(bytes)) == 0);
		expect(i < 100 || (size_t)(span.data - memory.area[0][0].data) < FAR + 64);
		if (i % 2)
			ring_consume(&c, sizeof(bytes));
		else
			expect_equal(ring_read(&c, bytes, sizeof(bytes)), sizeof(bytes));
	}
}
END_TEST

/* What an honest producer's rewind cannot be; the ring is empty at FAR. */
static const int64_t impossible[] = {
	CAPACITY + 1,           /* a byte too many, no rewind */
	2 * CAPACITY - FAR,     /* a rewind by one lap, not two */
	3 * CAPACITY - FAR + 1, /* rewound and overfull */
	4 * CAPACITY,
	1ll << 32,
	INT64_MAX,
	INT64_MIN,
	-1,
	-CAPACITY,
	-2 * CAPACITY,
};
#define IMPOSSIBLE ((int)(sizeof(impossible) / sizeof(impossible[0])))

START_TEST(hostile_producer)
{
	uint64_t at = empty_at(starts[_i % STARTS], FAR);

	store_relaxed(&shared->written, at + (uint64_t)impossible[_i / STARTS]);
	assert_span(ring_peek(&c), 0, -RING_EPROTO);
}
END_TEST

/* With a byte unread nothing is a rewind. */
START_TEST(hostile_rewind_with_bytes_in_the_ring)
{
	uint64_t at = empty_at(starts[_i], FAR);

	commit(1);
	assert_span(ring_peek(&c), 1, 0);
	store_relaxed(&shared->written, at - FAR + 2 * CAPACITY + 10);
	assert_span(ring_peek(&c), 0, -RING_EPROTO);
}
END_TEST

/* Wherever a hostile producer jumps, and whatever end it names: what is handed out lies in the
 * area. */
START_TEST(hostile_jumps_stay_in_the_area)
{
	struct random random = {.state = random_seed()};
	uint64_t at = empty_at(starts[_i], FAR);

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t jump = random_below(&random, 4 * CAPACITY);

		store_relaxed(&shared->written, at + jump);
		struct ring_span span = ring_peek(&c);
		if (span.end) {
			at = empty_at(starts[_i], random_below(&random, CAPACITY));
			continue;
		}
		expect(span.len <= CAPACITY);
		expect(span.data >= memory.area[0][0].data);
		expect(span.data < memory.area[0][0].data + CAPACITY);
		ring_consume(&c, span.len);
		at = c.read;
	}
}
END_TEST

/* A consumer that claims to be in the old lap again, or between the two. */
static const int64_t impossible_reads[] = {
	-1, 1, CAPACITY, 2 * CAPACITY - FAR - 1, 2 * CAPACITY - FAR + 11};
#define IMPOSSIBLE_READS ((int)(sizeof(impossible_reads) / sizeof(impossible_reads[0])))

START_TEST(hostile_consumer)
{
	uint64_t at = empty_at(starts[_i % STARTS], FAR);

	commit_rewind("ten bytes!", 10);
	store_relaxed(&shared->read, at + (uint64_t)impossible_reads[_i / STARTS]);
	assert_span(ring_reserve(&p), 0, -RING_EPROTO);
}
END_TEST

START_TEST(hostile_consumer_goes_back)
{
	uint64_t at = empty_at(starts[_i], FAR);

	commit_rewind("ten bytes!", 10);
	consume(10);
	assert_span(ring_reserve(&p), CAPACITY, 0);
	store_relaxed(&shared->read, at);
	assert_span(ring_reserve(&p), 0, -RING_EPROTO);
}
END_TEST

START_TEST(trap_commit_too_much)
{
	empty_at(0, FAR);
	commit(1);
	ring_commit_rewind(&p, CAPACITY);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring_rewind");
	TCase *tcase = tcase_create("rewind");
	int rows = sizeof(not_worth_it) / sizeof(not_worth_it[0]);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, goes_on_at_the_start_of_a_lap, 0, STARTS);
	tcase_add_loop_test(tcase, room_before_the_consumer_has_looked, 0, STARTS);
	tcase_add_test(tcase, not_with_bytes_in_the_ring);
	tcase_add_test(tcase, with_a_span_from_when_it_was_not_empty);
	tcase_add_loop_test(tcase, not_when_it_is_not_worth_it, 0, rows * STARTS);
	tcase_add_test(tcase, not_behind_an_end);
	tcase_add_loop_test(tcase, end_behind_a_rewind, 0, STARTS);
	tcase_add_loop_test(tcase, a_wait_goes_along, 0, STARTS);
	tcase_add_loop_test(tcase, a_wait_announced_behind_the_rewind, 0, STARTS);
	tcase_add_loop_test(tcase, a_wait_for_room_behind_a_rewind, 0, STARTS);
	tcase_add_loop_test(tcase, stays_near_the_start, 0, STARTS);
	tcase_add_loop_test(tcase, hostile_producer, 0, IMPOSSIBLE * STARTS);
	tcase_add_loop_test(tcase, hostile_rewind_with_bytes_in_the_ring, 0, STARTS);
	tcase_add_loop_test(tcase, hostile_jumps_stay_in_the_area, 0, STARTS);
	tcase_add_loop_test(tcase, hostile_consumer, 0, IMPOSSIBLE_READS * STARTS);
	tcase_add_loop_test(tcase, hostile_consumer_goes_back, 0, STARTS);
	tcase_add_test_raise_signal(tcase, trap_commit_too_much, SIGILL);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
