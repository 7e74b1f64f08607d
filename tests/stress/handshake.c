/*
 * The sleep handshakes by themselves, as many as a second holds: two threads in
 * lockstep, each of which can only go on when the other one woke it. What gets
 * lost here is a wake-up between two neighbouring instructions, so the doorbell
 * is a flag that is polled, and small random delays move the two sides against
 * each other.
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

#define SECONDS       1.0
#define SLEEP_LIMIT   5.0 /* seconds; who sleeps longer was not woken */
#define POLLS_A_YIELD 2000

static uint64_t seed;
static struct ring_memory memory;
static atomic_bool stop; /* the time is over: the sender ends */
static atomic_bool lost; /* somebody was not woken: everybody ends */

/* The doorbell that wakes this side, each on a cache line of its own. */
static struct {
	_Alignas(128) atomic_bool rung;
} doorbell[2];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

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
	double limit = now() + SLEEP_LIMIT;

	for (unsigned polls = 1; !take_doorbell(side); polls++) {
		if (polls % POLLS_A_YIELD != 0) {
			__builtin_ia32_pause();
			continue;
		}
		if (now() > limit)
			atomic_store(&lost, true);
		if (atomic_load(&lost))
			return false;
		sched_yield();
	}
	return true;
}

static void delay(struct random *random)
{
	for (volatile uint64_t turns = random_below(random, 32); turns > 0; turns--)
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

/* ---- both */

static void *stop_after_a_while(void *argument)
{
	double until = now() + SECONDS;

	while (now() < until && !atomic_load(&lost))
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	atomic_store(&stop, true);
	return argument;
}

static void setup(void)
{
	ck_assert_int_eq(ring_memory_create(&memory, 1, RING_CAPACITY_MIN), 0);
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
	Suite *suite = suite_create("handshake");
	TCase *tcase = tcase_create("handshake");

	seed = random_seed();
	tcase_set_timeout(tcase, 30);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, ring_wakes);
	tcase_add_test(tcase, bell_wakes);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
