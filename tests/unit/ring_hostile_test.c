/* What a peer gets that breaks a rule of DATAPIPE.md section 5, and what a bug of our own gets. */
#include <signal.h>

#include "tests/unit/ring_fixture.h"

/* An end that no rule-keeping producer writes, or a position that it cannot have. */
struct hostile_producer {
	int64_t written; /* relative to the start; 10 bytes are there, 4 consumed, 10 seen */
	uint32_t end;
};

static const struct hostile_producer hostile_producers[] = {
	{.written = 9},
	{.written = 4},
	{.written = 3},
	{.written = 0},
	{.written = -1},
	{.written = 4 + CAPACITY + 1},
	{.written = 1ll << 32},
	{.written = INT64_MAX},
	{.written = INT64_MIN},
	{.written = 9, .end = RING_FINISHED},
	{.written = 10, .end = 3},
	{.written = 10, .end = 0xff},
	{.written = 10, .end = 0x100},
	{.written = 10, .end = 0x8001},
	{.written = 10, .end = 0xffffffff},
	{.written = 10, .end = RING_OPEN | 5u << 16},
	{.written = 10, .end = RING_FINISHED | 5u << 16},
	{.written = 10, .end = RING_FAILED},
	{.written = 10, .end = RING_FAILED | 4096u << 16},
	{.written = 10, .end = RING_FAILED | 0xffffu << 16},
	{.written = 10, .end = RING_FAILED | 5u << 16 | 0x100},
};

START_TEST(hostile_producer_is_refused)
{
	const struct hostile_producer *hostile = &hostile_producers[_i / STARTS];
	uint64_t start = starts[_i % STARTS];
	unsigned char bytes[16];

	attach_at(start);
	commit(10);
	consume(4);
	store_relaxed(&shared->written, start + (uint64_t)hostile->written);
	store_relaxed(&shared->end, hostile->end);
	/* Six bytes were seen in good time; a look finds the rule broken. */
	assert_span(ring_peek(&c), 0, -RING_EPROTO);
	ck_assert(c.broken);
	ck_assert_uint_eq(ring_read(&c, bytes, sizeof(bytes)), 0);
	/* It stays broken, whatever the words say now. */
	store_relaxed(&shared->written, start + 10);
	store_relaxed(&shared->end, RING_OPEN);
	assert_span(ring_peek(&c), 0, -RING_EPROTO);
	ring_consume(&c, 6); /* a span handed out before was in use */
	ring_stop(&c);
	ck_assert(ring_wake_producer(&c));
	assert_span(ring_peek(&c), 0, -RING_EPROTO);
}
END_TEST

START_TEST(hostile_producer_is_refused_by_read)
{
	unsigned char bytes[16];

	commit(10);
	store_relaxed(&shared->written, CAPACITY + 1);
	ck_assert_uint_eq(ring_read(&c, bytes, sizeof(bytes)), 0);
	assert_span(ring_peek(&c), 0, -RING_EPROTO);
}
END_TEST

/* Ends are seen once: a peer cannot take one back, change it or add bytes. */
START_TEST(an_end_cannot_be_taken_back)
{
	commit(10);
	ring_fail(&p, 5);
	assert_span(ring_peek(&c), 10, -5);
	store_relaxed(&shared->end, RING_OPEN);
	store_relaxed(&shared->written, 20);
	assert_span(ring_peek(&c), 10, -5);
	ring_consume(&c, 10);
	assert_span(ring_peek(&c), 0, -5);
	attach_at(0);
	ring_stop(&c);
	assert_span(ring_reserve(&p), 0, -RING_EPIPE);
	store_relaxed(&shared->gone, 0);
	assert_span(ring_reserve(&p), 0, -RING_EPIPE);
}
END_TEST

struct hostile_consumer {
	int64_t read; /* relative to the start; 10 bytes were written and 4 seen consumed */
	uint32_t gone;
};

static const struct hostile_consumer hostile_consumers[] = {
	{.read = 3},
	{.read = 0},
	{.read = -1},
	{.read = 11},
	{.read = CAPACITY},
	{.read = 10 - CAPACITY},
	{.read = 1ll << 32},
	{.read = INT64_MAX},
	{.read = INT64_MIN},
	{.read = 4, .gone = 2},
	{.read = 4, .gone = 0x100},
	{.read = 4, .gone = 0xffffffff},
	{.read = 11, .gone = 1},
};

START_TEST(hostile_consumer_is_refused)
{
	const struct hostile_consumer *hostile = &hostile_consumers[_i / STARTS];
	uint64_t start = starts[_i % STARTS];

	attach_at(start);
	commit(10);
	consume(4);
	assert_span(ring_reserve(&p), CAPACITY - 6, 0);
	store_relaxed(&shared->read, start + (uint64_t)hostile->read);
	store_relaxed(&shared->gone, hostile->gone);
	assert_span(ring_reserve(&p), 0, -RING_EPROTO);
	ck_assert(p.broken);
	ck_assert_uint_eq(ring_write(&p, "x", 1), 0);
	store_relaxed(&shared->read, start + 4);
	store_relaxed(&shared->gone, 0);
	assert_span(ring_reserve(&p), 0, -RING_EPROTO);
	ring_commit(&p, 10); /* a span handed out before was in use */
	ring_fail(&p, RING_EPROTO);
	ck_assert(ring_wake_consumer(&p));
	assert_span(ring_reserve(&p), 0, -RING_EPROTO);
}
END_TEST

START_TEST(hostile_consumer_is_refused_by_write_and_wake)
{
	unsigned char bytes[CAPACITY] = {0};

	store_relaxed(&shared->read, 1);
	ck_assert_uint_eq(ring_write(&p, bytes, 10), 10); /* no look was needed */
	store_relaxed(&shared->read, 11);
	ring_wake_consumer(&p);
	ck_assert(p.broken);
	attach_at(0);
	commit(10);
	store_relaxed(&shared->read, 11);
	ck_assert_uint_eq(ring_write(&p, bytes, CAPACITY), 0);
	assert_span(ring_reserve(&p), 0, -RING_EPROTO);
}
END_TEST

/* Garbage in the waking words costs a wake at most. */
START_TEST(hostile_waking_words)
{
	static const uint64_t garbage[] = {1, 0, 0x8000000000000000, UINT64_MAX, 1ull << 32, 77};
	unsigned woken = 0;

	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		store_relaxed(&shared->data_at, garbage[i]);
		store_relaxed(&shared->room_at, garbage[i]);
		commit(10);
		consume(10);
		woken += ring_wake_consumer(&p);
		woken += ring_wake_producer(&c);
	}
	ck_assert_uint_eq(woken, 2); /* the 1, by each side */
	assert_span(ring_peek(&c), 0, 0);
	assert_span(ring_reserve(&p), CAPACITY, 0);
}
END_TEST

START_TEST(trap_commit_too_much)
{
	commit(1);
	ring_commit(&p, CAPACITY);
}
END_TEST

START_TEST(trap_consume_too_much)
{
	commit(5);
	ring_peek(&c);
	ring_consume(&c, 6);
}
END_TEST

START_TEST(trap_await_too_much)
{
	ring_await_data(&c, CAPACITY + 1);
}
END_TEST

START_TEST(trap_await_nothing)
{
	ring_await_room(&p, 0);
}
END_TEST

START_TEST(trap_errno_out_of_range)
{
	ring_fail(&p, _i == 0 ? 0 : RING_ERRNO_MAX + 1);
}
END_TEST

START_TEST(trap_capacity)
{
	ring_consumer_attach(&c, shared, memory.area[0][0].data, 5000, 0);
}
END_TEST

static TCase *hostile_cases(void)
{
	TCase *tcase = tcase_create("hostile");
	int producers = sizeof(hostile_producers) / sizeof(hostile_producers[0]);
	int consumers = sizeof(hostile_consumers) / sizeof(hostile_consumers[0]);

	tcase_add_loop_test(tcase, hostile_producer_is_refused, 0, producers * STARTS);
	tcase_add_test(tcase, hostile_producer_is_refused_by_read);
	tcase_add_test(tcase, an_end_cannot_be_taken_back);
	tcase_add_loop_test(tcase, hostile_consumer_is_refused, 0, consumers * STARTS);
	tcase_add_test(tcase, hostile_consumer_is_refused_by_write_and_wake);
	tcase_add_test(tcase, hostile_waking_words);
	return tcase;
}

/* Bugs of our own end in a trap before they reach memory. */
static TCase *trap_cases(void)
{
	TCase *tcase = tcase_create("traps");

	tcase_add_test_raise_signal(tcase, trap_commit_too_much, SIGILL);
	tcase_add_test_raise_signal(tcase, trap_consume_too_much, SIGILL);
	tcase_add_test_raise_signal(tcase, trap_await_too_much, SIGILL);
	tcase_add_test_raise_signal(tcase, trap_await_nothing, SIGILL);
	tcase_add_loop_test_raise_signal(tcase, trap_errno_out_of_range, SIGILL, 0, 2);
	tcase_add_test_raise_signal(tcase, trap_capacity, SIGILL);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("ring_hostile");
	TCase *tcases[] = {hostile_cases(), trap_cases()};

	for (size_t i = 0; i < sizeof(tcases) / sizeof(tcases[0]); i++) {
		tcase_add_checked_fixture(tcases[i], setup, teardown);
		suite_add_tcase(suite, tcases[i]);
	}
	return suite_run(suite);
}
