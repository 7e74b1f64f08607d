/* The ring by hand: what each call says, and what a peer that breaks a rule gets. */
#include <signal.h>
#include <string.h>

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

static void attach_at(uint64_t start)
{
	struct pipe_area *area = &memory.area[0][0];

	ring_init(shared, start);
	ring_producer_attach(&p, shared, area->data, area->capacity, start);
	ring_consumer_attach(&c, shared, area->data, area->capacity, start);
}

static void setup(void)
{
	ck_assert_int_eq(ring_memory_create(&memory, 1, CAPACITY), 0);
	shared = &memory.pipe[0].ring[0];
	attach_at(0);
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

/* Commits bytes whatever they are. */
static void commit(size_t len)
{
	ck_assert_uint_ge(ring_reserve(&p).len, len);
	ring_commit(&p, len);
}

static void consume(size_t len)
{
	ck_assert_uint_ge(ring_peek(&c).len, len);
	ring_consume(&c, len);
}

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

/* The numbers of the worked example in DATAPIPE.md section 3. */
START_TEST(worked_example)
{
	struct ring_span span;

	attach_at(4090);
	span = ring_reserve(&p);
	assert_span(span, 4096, 0);
	ck_assert_ptr_eq(span.data, memory.area[0][0].data + 4090);
	memcpy(span.data, "ten bytes!", 10);
	ring_commit(&p, 10);
	ck_assert_uint_eq(load_relaxed(&shared->written), 4100);
	ck_assert_mem_eq(memory.area[0][0].data, "tes!", 4);

	span = ring_peek(&c);
	assert_span(span, 10, 0);
	ck_assert_ptr_eq(span.data, memory.area[0][0].data + 4090);
	ck_assert_mem_eq(span.data, "ten bytes!", 10);
	ring_consume(&c, 10);
	ck_assert_uint_eq(load_relaxed(&shared->read), 4100);
	ck_assert_ptr_eq(ring_reserve(&p).data, memory.area[0][0].data + 4);
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

static TCase *use_cases(void)
{
	TCase *tcase = tcase_create("use");

	tcase_add_test(tcase, capacities);
	tcase_add_loop_test(tcase, empty_ring, 0, STARTS);
	tcase_add_test(tcase, worked_example);
	tcase_add_loop_test(tcase, full_ring, 0, STARTS);
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
	return tcase;
}

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
	Suite *suite = suite_create("ring");
	TCase *tcases[] = {use_cases(), hostile_cases(), trap_cases()};

	for (size_t i = 0; i < sizeof(tcases) / sizeof(tcases[0]); i++) {
		tcase_add_checked_fixture(tcases[i], setup, teardown);
		suite_add_tcase(suite, tcases[i]);
	}
	return suite_run(suite);
}
