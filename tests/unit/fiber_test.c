/* Fibers, timers and wait lists, run by the scheduler without a monitor and with a clock of the
 * test's own. */
#include "guest/stream/fiber.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/random.h"
#include "tests/lib/scripted_monitor.h"
#include "tests/lib/suite.h"

#define MS 1000000ull

static char trace[256];

static void note(char c)
{
	size_t len = strlen(trace);

	script_check(len + 1 < sizeof(trace));
	trace[len] = c;
}

static int run(int (*program)(void))
{
	struct script script = {.program = program, .no_monitor = true};

	return script_run(&script);
}

/* ---- turns */

static void noting(void *argument)
{
	char *name = argument;

	for (int i = 0; i < 3; i++) {
		note(*name);
		fiber_yield();
	}
}

static int turns(void)
{
	static char a[] = "a", b[] = "b";

	script_check(fiber_spawn(noting, a) == 0 && fiber_spawn(noting, b) == 0);
	script_check(trace[0] == 0); /* soon, not now */
	for (int i = 0; i < 5; i++)
		fiber_yield();
	script_check(strcmp(trace, "ababab") == 0);
	return 7;
}

START_TEST(fibers_take_turns)
{
	expect_equal(run(turns), 7);
}
END_TEST

/* ---- stacks */

static void nothing(void *argument)
{
	++*(int *)argument;
}

static void wait_long(void *argument)
{
	wait_list_wait(argument, FOREVER);
}

static int exhaust(void)
{
	static struct wait_list list;
	int spawned = 0, ran = 0;

	while (fiber_spawn(wait_long, &list) == 0)
		spawned++;
	script_check(spawned == 63); /* of 64, and this is one */
	script_check(fiber_spawn(wait_long, &list) == -EAGAIN);
	fiber_yield();
	wait_list_wake(&list);
	fiber_await_stack();
	script_check(fiber_spawn(nothing, &ran) == 0);
	fiber_yield();
	script_check(ran == 1);
	return 0;
}

START_TEST(stacks_run_out_and_come_back)
{
	expect_equal(run(exhaust), 0);
}
END_TEST

static int many(void)
{
	int ran = 0;

	for (int i = 0; i < 10000; i++) {
		script_check(fiber_spawn(nothing, &ran) == 0);
		if (i % 50 == 49)
			fiber_yield();
	}
	fiber_yield();
	return ran == 10000 ? 0 : 1;
}

START_TEST(stacks_are_used_again)
{
	expect_equal(run(many), 0);
}
END_TEST

/* Registers that a callee keeps, and the stack's alignment, survive a switch. */
static void computing(void *argument)
{
	uint64_t *sum = argument;
	uint64_t a = (uintptr_t)argument, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13;
	double x = 1.5;

	script_check(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
	for (int i = 0; i < 100; i++) {
		a += b, b ^= c, c += d, d ^= e, e += f, f ^= a, x = x * 1.0001;
		fiber_yield();
	}
	*sum = a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t)(x * 1000);
}

static uint64_t computed(uint64_t *argument)
{
	uint64_t a = (uintptr_t)argument, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13;
	double x = 1.5;

	for (int i = 0; i < 100; i++)
		a += b, b ^= c, c += d, d ^= e, e += f, f ^= a, x = x * 1.0001;
	return a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t)(x * 1000);
}

static int registers(void)
{
	static uint64_t sum[20];

	for (int i = 0; i < 20; i++)
		script_check(fiber_spawn(computing, &sum[i]) == 0);
	for (int i = 0; i < 102; i++)
		fiber_yield();
	for (int i = 0; i < 20; i++)
		script_check(sum[i] == computed(&sum[i]));
	return 0;
}

START_TEST(registers_survive_a_switch)
{
	expect_equal(run(registers), 0);
}
END_TEST

/* ---- time */

static void sleeping(void *argument)
{
	char *what = argument; /* a name and a number of milliseconds */
	uint64_t until = in_milliseconds((uint64_t)what[1]);

	fiber_sleep(until);
	script_check(clock_now() == until);
	note(what[0]);
}

static int sleepers(void)
{
	static char sleeper[5][2] = {{'e', 50}, {'b', 20}, {'d', 40}, {'a', 10}, {'c', 30}};

	for (int i = 0; i < 5; i++)
		script_check(fiber_spawn(sleeping, sleeper[i]) == 0);
	fiber_sleep(in_milliseconds(100));
	script_check(strcmp(trace, "abcde") == 0);
	return 0;
}

START_TEST(sleeps_end_in_order)
{
	expect_equal(run(sleepers), 0);
}
END_TEST

static struct wait_list list;
static int woken;

static void waking(void *argument)
{
	fiber_sleep(in_milliseconds(*(int *)argument));
	woken++;
	wait_list_wake(&list);
}

static int deadlines(void)
{
	int five = 5;
	uint64_t start = clock_now();

	/* A wait that ends before its deadline, then one whose deadline is later than the entry
	 * that the first left in the heap, then one without any. */
	script_check(fiber_spawn(waking, &five) == 0);
	script_check(wait_list_wait(&list, start + 10 * MS) == 0);
	script_check(clock_now() == start + 5 * MS);
	script_check(wait_list_wait(&list, start + 20 * MS) == -ETIMEDOUT);
	script_check(clock_now() == start + 20 * MS);
	script_check(fiber_spawn(waking, &five) == 0);
	script_check(wait_list_wait(&list, FOREVER) == 0);
	/* A deadline that is over, and one before an entry that is left. */
	script_check(wait_list_wait(&list, start) == -ETIMEDOUT);
	script_check(wait_list_wait(&list, NO_WAIT) == -ETIMEDOUT);
	script_check(clock_now() == start + 25 * MS);
	return woken == 2 ? 0 : 1;
}

START_TEST(waits_have_deadlines)
{
	expect_equal(run(deadlines), 0);
}
END_TEST

struct sleeper {
	struct random random;
	int left;
};
static int sleepers_left;

static void sleep_at_random(void *argument)
{
	struct sleeper *self = argument;

	while (self->left-- > 0) {
		uint64_t until = clock_now() + random_below(&self->random, 50 * MS);

		if (random_once_in(&self->random, 2)) {
			fiber_sleep(until);
			script_check(clock_now() >= until);
		} else if (wait_list_wait(&list, until) == -ETIMEDOUT) {
			script_check(clock_now() >= until);
		} else if (random_once_in(&self->random, 4)) {
			wait_list_wake(&list);
		}
		if (random_once_in(&self->random, 8))
			wait_list_wake(&list);
	}
	sleepers_left--;
}

static uint64_t seed;

static int random_sleepers(void)
{
	static struct sleeper sleeper[60];

	for (int i = 0; i < 60; i++) {
		sleeper[i] = (struct sleeper){{seed + (uint64_t)i}, 200};
		sleepers_left++;
		script_check(fiber_spawn(sleep_at_random, &sleeper[i]) == 0);
	}
	while (sleepers_left)
		fiber_sleep(in_milliseconds(7));
	return 0;
}

START_TEST(no_deadline_is_missed)
{
	seed = random_seed();
	expect_equal(run(random_sleepers), 0);
}
END_TEST

/* ---- taking turns at one thing */

static struct fiber_mutex mutex;
static int inside;

static void enter(void *argument)
{
	script_check(fiber_lock(&mutex, FOREVER) == 0);
	script_check(inside++ == 0);
	fiber_yield();
	fiber_yield();
	script_check(--inside == 0);
	fiber_unlock(&mutex);
	++*(int *)argument;
}

static int exclusion(void)
{
	int done = 0;

	for (int i = 0; i < 10; i++)
		script_check(fiber_spawn(enter, &done) == 0);
	fiber_yield();
	script_check(fiber_lock(&mutex, NO_WAIT) == -ETIMEDOUT);
	while (done < 10)
		fiber_yield();
	return fiber_lock(&mutex, NO_WAIT);
}

START_TEST(mutex_excludes)
{
	expect_equal(run(exclusion), 0);
}
END_TEST

static int stuck(void)
{
	wait_list_wait(&list, FOREVER);
	return 0;
}

/* The harness itself: without this the other tests would prove less. */
START_TEST(endless_wait_is_noticed)
{
	expect_equal(run(stuck), SCRIPT_STUCK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fiber");
	TCase *tcase = tcase_create("fiber");

	tcase_add_test(tcase, fibers_take_turns);
	tcase_add_test(tcase, stacks_run_out_and_come_back);
	tcase_add_test(tcase, stacks_are_used_again);
	tcase_add_test(tcase, registers_survive_a_switch);
	tcase_add_test(tcase, sleeps_end_in_order);
	tcase_add_test(tcase, waits_have_deadlines);
	tcase_add_test(tcase, no_deadline_is_missed);
	tcase_add_test(tcase, mutex_excludes);
	tcase_add_test(tcase, endless_wait_is_noticed);
	tcase_set_timeout(tcase, 20);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
