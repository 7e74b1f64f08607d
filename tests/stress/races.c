/*
 * What can go wrong between two neighbouring instructions, as often as fits
 * into a second: the sleep handshakes of ring and bell, by two threads in
 * lockstep each of which can only go on when the other one woke it; and bytes
 * that are looked at as soon as their position says that they are there. The
 * doorbell is a flag that is polled, and small random delays move the two
 * sides against each other.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "pipe/bell.h"
#include "tests/lib/random.h"
#include "tests/lib/ring_memory.h"
#include "tests/lib/suite.h"
#include "tests/stress/stress_side.h"

#define SLEEP_LIMIT   5.0 /* seconds; who sleeps longer was not woken */
#define POLLS_A_YIELD 100
#define DELAY_TURNS   64
#define CAPACITY      (1 << 20)
#define COPY_MAX      (64 << 10) /* long enough for the other side to look meanwhile */

static uint64_t seed;
static struct ring_memory memory;
static atomic_bool stop; /* the time is over: the sender ends */
static atomic_bool lost; /* somebody was not woken: everybody ends */

/* The doorbell that wakes this side, each on a cache line of its own. */
static struct {
	_Alignas(128) atomic_bool rung;
} doorbell[2];

static void ring_doorbell(enum pipe_side side)
{
	atomic_store_explicit(&doorbell[side].rung, true, memory_order_release);
}

static bool take_doorbell(enum pipe_side side)
{
	if (!atomic_load_explicit(&doorbell[side].rung, memory_order_acquire))
		return false;
	atomic_store_explicit(&doorbell[side].rung, false, memory_order_relaxed);
	return true;
}

/* False: nobody rang in time, or the other side gave up. */
static bool wait_doorbell(enum pipe_side side)
{
	double limit = stress_now() + SLEEP_LIMIT;

	for (unsigned polls = 1; !take_doorbell(side); polls++) {
		if (polls % POLLS_A_YIELD != 0) {
			__builtin_ia32_pause();
			continue;
		}
		if (stress_now() > limit)
			atomic_store(&lost, true);
		if (atomic_load(&lost))
			return false;
		sched_yield();
	}
	return true;
}

/* None, or up to about as long as a cache line takes from one CPU to the other. */
static void delay(struct random *random)
{
	uint64_t chance = random_next(random);

	if (chance % 4 == 0)
		return;
	for (volatile uint64_t turns = (chance >> 8) % DELAY_TURNS; turns > 0; turns--)
		;
}

/* ---- the ring: one byte there, then all the room back, each waited for */

static void send_bytes(struct ring_producer *p, struct random *random)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		delay(random);
		ring_write(p, "x", 1);
		if (ring_wake_consumer(p))
			ring_doorbell(PIPE_HOST);
		delay(random);
		while (ring_reserve(p).len < p->capacity) {
			ring_await_room(p, p->capacity);
			if (ring_reserve(p).len < p->capacity && !wait_doorbell(PIPE_GUEST))
				return;
		}
	}
	ring_finish(p);
	if (ring_wake_consumer(p))
		ring_doorbell(PIPE_HOST);
}

static void *receive_bytes(void *argument)
{
	struct random random = {.state = seed + 1};
	struct ring_consumer *c = argument;
	uint64_t *bytes = malloc(sizeof(*bytes));

	*bytes = 0;
	for (;;) {
		struct ring_span span = ring_peek(c);

		if (span.len > 0) {
			delay(&random);
			ring_consume(c, span.len);
			*bytes += span.len;
			if (ring_wake_producer(c))
				ring_doorbell(PIPE_GUEST);
			delay(&random);
		} else if (span.end != 0) {
			return bytes;
		} else {
			ring_await_data(c, 1);
			span = ring_peek(c);
			if (span.len == 0 && span.end == 0 && !wait_doorbell(PIPE_HOST))
				return bytes;
		}
	}
}

/* ---- the bytes: nobody sleeps, both look all the time */

static void turn(size_t done)
{
	static _Thread_local unsigned idle;

	if (done == 0 && ++idle % POLLS_A_YIELD == 0)
		sched_yield();
}

static void *write_pattern(void *argument)
{
	struct random random = {.state = seed + 1};
	static unsigned char bytes[COPY_MAX];
	struct ring_producer *p = argument;
	uint64_t position = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		size_t len = random_len(&random, sizeof(bytes));

		pattern_fill(seed, position, bytes, len);
		len = ring_write(p, bytes, len);
		position += len;
		turn(len);
	}
	ring_finish(p);
	return NULL;
}

/* The last bytes first: they are the last to be copied. */
static void check_last(struct ring_span span, uint64_t position)
{
	size_t len = span.len < 64 ? span.len : 64, at = span.len - len;

	expect_equal(pattern_match(seed, position + at, span.data + at, len), len);
}

static uint64_t read_pattern(struct ring_consumer *c, struct random *random)
{
	static unsigned char bytes[COPY_MAX];
	struct ring_span span = ring_peek(c);
	uint64_t position = 0;

	for (; span.end == 0 || span.len > 0; span = ring_peek(c)) {
		size_t len;

		check_last(span, position);
		len = ring_read(c, bytes, random_len(random, sizeof(bytes)));
		expect_equal(pattern_match(seed, position, bytes, len), len);
		position += len;
		turn(len);
	}
	return position;
}

/* ---- the bell: one slot posted, then its echo on the other bell */

/* Sleeps until the peer of 'side' posted; false: it never did. */
static bool hear(enum pipe_side side, struct random *random, uint32_t *ret_slot)
{
	struct bell_shared *bell = memory.bell[!side];

	for (;;) {
		struct bell_scan scan = {0};

		if (bell_next(bell, &scan, ret_slot))
			return true;
		delay(random);
		if (bell_sleep(bell)) {
			if (!wait_doorbell(side))
				return false;
			bell_awake(bell);
		}
	}
}

static void say(enum pipe_side side, struct random *random, uint32_t slot)
{
	delay(random);
	bell_post(memory.bell[side], slot);
	if (bell_must_ring(memory.bell[side]))
		ring_doorbell(!side);
}

/* Slot 0 ends it. */
static void *echo_slots(void *argument)
{
	struct random random = {.state = seed + 1};
	uint32_t slot = 1;

	(void)argument;
	while (slot != 0 && hear(PIPE_HOST, &random, &slot))
		say(PIPE_HOST, &random, slot);
	return NULL;
}

static uint64_t send_slots(struct random *random)
{
	uint32_t slot = 1, echo;
	uint64_t count = 0;

	for (; slot != 0; count++) {
		slot = 1 + (uint32_t)random_below(random, BELL_SLOTS - 1);
		if (atomic_load_explicit(&stop, memory_order_relaxed))
			slot = 0;
		say(PIPE_GUEST, random, slot);
		if (!hear(PIPE_GUEST, random, &echo))
			break;
		expect_equal(echo, slot);
	}
	return count;
}

/* ---- the tests */

static void *stop_after_a_while(void *argument)
{
	double until = stress_now() + stress_seconds() / 2;

	while (stress_now() < until && !atomic_load(&lost))
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	atomic_store(&stop, true);
	return argument;
}

static void setup(void)
{
	ck_assert_int_eq(ring_memory_create(&memory, 1, CAPACITY), 0);
	for (enum pipe_side side = PIPE_GUEST; side <= PIPE_HOST; side++)
		atomic_store(&doorbell[side].rung, false);
	atomic_store(&stop, false);
	atomic_store(&lost, false);
}

static void teardown(void)
{
	ring_memory_destroy(&memory);
}

START_TEST(ring_wakes)
{
	struct random random = {.state = seed};
	struct pipe_end guest, host;
	pthread_t receiver, timer;
	uint64_t *bytes;

	pipe_attach(&guest, PIPE_GUEST, &memory.pipe[0], memory.area[0]);
	pipe_attach(&host, PIPE_HOST, &memory.pipe[0], memory.area[0]);
	ck_assert_int_eq(pthread_create(&timer, NULL, stop_after_a_while, NULL), 0);
	ck_assert_int_eq(pthread_create(&receiver, NULL, receive_bytes, &host.in), 0);
	send_bytes(&guest.out, &random);
	pthread_join(receiver, (void **)&bytes);
	pthread_join(timer, NULL);
	printf("%llu bytes, each waited for twice\n", (unsigned long long)*bytes);
	fflush(stdout);
	free(bytes);
	ck_assert_msg(!atomic_load(&lost), "a wake-up was lost");
}
END_TEST

START_TEST(bytes_are_there)
{
	struct random random = {.state = seed};
	struct pipe_end guest, host;
	pthread_t writer, timer;
	uint64_t bytes;

	pipe_attach(&guest, PIPE_GUEST, &memory.pipe[0], memory.area[0]);
	pipe_attach(&host, PIPE_HOST, &memory.pipe[0], memory.area[0]);
	ck_assert_int_eq(pthread_create(&timer, NULL, stop_after_a_while, NULL), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_pattern, &guest.out), 0);
	bytes = read_pattern(&host.in, &random);
	pthread_join(writer, NULL);
	pthread_join(timer, NULL);
	printf("%llu KiB\n", (unsigned long long)bytes >> 10);
	fflush(stdout);
}
END_TEST

START_TEST(bell_wakes)
{
	struct random random = {.state = seed};
	pthread_t echo, timer;
	uint64_t count;

	ck_assert_int_eq(pthread_create(&timer, NULL, stop_after_a_while, NULL), 0);
	ck_assert_int_eq(pthread_create(&echo, NULL, echo_slots, NULL), 0);
	count = send_slots(&random);
	pthread_join(echo, NULL);
	pthread_join(timer, NULL);
	printf("%llu posts and their echoes\n", (unsigned long long)count);
	fflush(stdout);
	ck_assert_msg(!atomic_load(&lost), "a wake-up was lost");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("races");
	TCase *tcase = tcase_create("races");

	seed = random_seed();
	tcase_set_timeout(tcase, stress_seconds() + 30);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, ring_wakes);
	tcase_add_test(tcase, bell_wakes);
	tcase_add_test(tcase, bytes_are_there);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
