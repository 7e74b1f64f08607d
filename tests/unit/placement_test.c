/* When the I/O thread and the guest share a CPU: the rule, and that the threads go where it says.
 */
#include "monitor/placement.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/cpus.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define WINDOW PLACEMENT_WINDOW_NS

/* A machine that does so much work in a window, by placement, and leaves the loop idle for a part
 * of it. */
static struct {
	uint64_t rate[PLACEMENT_MODE_COUNT];
	unsigned idle_percent[PLACEMENT_MODE_COUNT];
	uint64_t now, work, idle;
	unsigned changes, windows[PLACEMENT_MODE_COUNT];
} machine;
static struct placement placement;

static void idle(unsigned percent)
{
	machine.idle_percent[PLACEMENT_APART] = machine.idle_percent[PLACEMENT_TOGETHER] = percent;
}

static void setup(void)
{
	machine.rate[PLACEMENT_APART] = machine.rate[PLACEMENT_TOGETHER] = 1000;
	idle(10);
	machine.now = machine.work = machine.idle = 0;
	machine.changes = 0;
	machine.windows[PLACEMENT_APART] = machine.windows[PLACEMENT_TOGETHER] = 0;
	placement_init(&placement, 0);
}

static void pass(unsigned windows)
{
	while (windows-- > 0) {
		enum placement_mode before = placement.mode;

		machine.now += WINDOW;
		machine.work += machine.rate[before];
		machine.idle += WINDOW / 100 * machine.idle_percent[before];
		machine.windows[before]++;
		machine.changes += placement_look(&placement, machine.now, machine.work,
					   machine.idle) != before;
		expect(placement.rest_ns <= PLACEMENT_REST_MAX_NS);
	}
}

#define FIRST   (PLACEMENT_FIRST_NS / WINDOW)                   /* windows up to the first trial */
#define TRIAL   8u                                              /* of TOGETHER */
#define LONGEST ((unsigned)(PLACEMENT_REST_MAX_NS / WINDOW) + 30) /* windows between trials, and one trial */

static void pass_to_trial(void)
{
	enum placement_mode settled = placement.settled;

	for (unsigned i = 0; placement.mode == settled; i++) {
		expect(i < LONGEST);
		pass(1);
	}
}

START_TEST(settles_together_when_that_serves_more)
{
	machine.rate[PLACEMENT_TOGETHER] = 1200;
	pass(FIRST + TRIAL);
	expect_equal(placement.mode, PLACEMENT_TOGETHER);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
}
END_TEST

START_TEST(settles_apart_when_that_serves_more)
{
	machine.rate[PLACEMENT_TOGETHER] = 900;
	pass(FIRST + TRIAL);
	expect_equal(machine.windows[PLACEMENT_TOGETHER], TRIAL);
	expect_equal(placement.mode, PLACEMENT_APART);
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

/* TOGETHER has to win by a thirty-second, APART by a sixteenth. */
START_TEST(changes_for_enough)
{
	machine.rate[PLACEMENT_TOGETHER] = 1030;
	pass(1000);
	expect_equal(placement.settled, PLACEMENT_APART);
	machine.rate[PLACEMENT_TOGETHER] = 1033;
	pass(LONGEST);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	machine.rate[PLACEMENT_APART] = 1096;
	pass(1000);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	machine.rate[PLACEMENT_APART] = 1099;
	pass(LONGEST);
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

START_TEST(first_windows_do_not_count)
{
	pass_to_trial();
	machine.rate[PLACEMENT_TOGETHER] = 100;
	pass(2);
	machine.rate[PLACEMENT_TOGETHER] = 1100;
	pass(6);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
}
END_TEST

/* All that count do. */
START_TEST(each_later_window_counts)
{
	for (unsigned high = 0; high < 6; high++) {
		setup();
		pass_to_trial();
		pass(2);
		for (unsigned i = 0; i < 6; i++) {
			machine.rate[PLACEMENT_TOGETHER] = i == high ? 1240 : 1000;
			pass(1);
		}
		expect_equal(placement.settled, PLACEMENT_TOGETHER);
		setup();
		pass_to_trial();
		pass(2);
		for (unsigned i = 0; i < 6; i++) {
			machine.rate[PLACEMENT_TOGETHER] = i == high ? 760 : 1050;
			pass(1);
		}
		expect_equal(placement.settled, PLACEMENT_APART);
	}
}
END_TEST

/* Five of APART, of which one alone would not do. */
START_TEST(each_later_window_of_apart_counts)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(FIRST + TRIAL);
	machine.rate[PLACEMENT_TOGETHER] = 1000;
	pass(2 * PLACEMENT_BLOCK);
	pass_to_trial();
	expect_equal(placement.mode, PLACEMENT_APART);
	pass(15);
	for (unsigned i = 0; i < 5; i++) {
		machine.rate[PLACEMENT_APART] = i == 0 ? 1500 : 900;
		pass(1);
	}
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
}
END_TEST

START_TEST(a_great_loss_ends_a_trial_early)
{
	machine.rate[PLACEMENT_TOGETHER] = 740;
	pass_to_trial();
	pass(3);
	expect_equal(placement.mode, PLACEMENT_TOGETHER);
	pass(1);
	expect_equal(placement.mode, PLACEMENT_APART);
	/* And for four times as long as at first nothing is tried. */
	unsigned changes = machine.changes;
	pass(4 * PLACEMENT_REST_NS / WINDOW - PLACEMENT_BLOCK);
	expect_equal(machine.changes, changes);
	pass(2 * PLACEMENT_BLOCK);
	expect(machine.changes > changes);
}
END_TEST

START_TEST(a_small_loss_does_not)
{
	machine.rate[PLACEMENT_TOGETHER] = 760;
	pass_to_trial();
	pass(TRIAL - 1);
	expect_equal(placement.mode, PLACEMENT_TOGETHER);
	pass(1);
	expect_equal(placement.mode, PLACEMENT_APART);
	unsigned changes = machine.changes;
	pass(2 * PLACEMENT_REST_NS / WINDOW + PLACEMENT_BLOCK);
	expect(machine.changes > changes);
}
END_TEST

/* What was lost on trial has to be won back first: a sender that TCP holds back is not judged by that. */
START_TEST(apart_is_given_time)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(FIRST + TRIAL);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	machine.rate[PLACEMENT_TOGETHER] = 1000;
	pass(2 * PLACEMENT_BLOCK);
	for (unsigned i = 0; i < 2000 && placement.settled == PLACEMENT_TOGETHER; i++) {
		/* It begins below and gets there at last. */
		unsigned apart = placement.mode == PLACEMENT_APART ? placement.windows : 0;
		machine.rate[PLACEMENT_APART] = apart < 15 ? 600 + 30 * apart : 1100;
		pass(1);
	}
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

/* A load that grows, or shrinks, by the same either way. */
START_TEST(growth_is_no_gain)
{
	static const double steps[] = {1.01, 1.02, 1.03, 1.05, 1.1, 0.99, 0.97, 0.95};
	double rate = 100000;

	for (unsigned i = 0; i < 60; i++) {
		rate *= steps[_i];
		machine.rate[PLACEMENT_APART] = machine.rate[PLACEMENT_TOGETHER] = (uint64_t)rate;
		pass(1);
		expect_equal(placement.settled, PLACEMENT_APART);
	}
}
END_TEST

/* Of samples that scatter by a third about one mean neither way is better: few changes are made. */
START_TEST(noise_changes_little)
{
	struct random random = {.state = random_seed()};
	unsigned all = 20000;

	for (unsigned i = 0; i < all; i++) {
		machine.rate[PLACEMENT_APART] = 850 + random_below(&random, 300);
		machine.rate[PLACEMENT_TOGETHER] = 850 + random_below(&random, 300);
		pass(1);
	}
	expect(machine.changes < all / 100);
}
END_TEST

START_TEST(a_loss_is_seen_in_noise)
{
	struct random random = {.state = random_seed()};
	unsigned all = 20000;

	for (unsigned i = 0; i < all; i++) {
		machine.rate[PLACEMENT_APART] = 1000 + random_below(&random, 300);
		machine.rate[PLACEMENT_TOGETHER] = 900 + random_below(&random, 300);
		pass(1);
	}
	expect(machine.windows[PLACEMENT_TOGETHER] < all / 10);
}
END_TEST

START_TEST(a_gain_is_found_in_noise)
{
	struct random random = {.state = random_seed()};
	unsigned all = 20000;

	for (unsigned i = 0; i < all; i++) {
		machine.rate[PLACEMENT_APART] = 1000 + random_below(&random, 150);
		machine.rate[PLACEMENT_TOGETHER] = 1250 + random_below(&random, 150);
		pass(1);
	}
	expect(machine.windows[PLACEMENT_TOGETHER] > all * 8 / 10);
}
END_TEST

START_TEST(no_trial_with_time_to_spare)
{
	idle(60);
	machine.rate[PLACEMENT_TOGETHER] = 5000;
	pass(1000);
	expect_equal(machine.changes, 0);
	expect_equal(placement.mode, PLACEMENT_APART);
}
END_TEST

/* Clients that pause every tenth of a second, and shorter or longer. */
START_TEST(a_pause_now_and_then_is_no_end)
{
	for (unsigned period = 7; period < 20; period++) {
		setup();
		for (unsigned i = 0; i < 1000; i++) {
			bool pause = i % period == period - 1;

			idle(pause ? 80 : 10);
			machine.rate[PLACEMENT_APART] = pause ? 200 : 1000;
			machine.rate[PLACEMENT_TOGETHER] = pause ? 200 : 2000;
			pass(1);
		}
		expect(machine.windows[PLACEMENT_TOGETHER] > 500);
		expect(machine.changes < 60);
	}
}
END_TEST

START_TEST(apart_soon_when_the_load_goes)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(FIRST + TRIAL);
	expect_equal(placement.mode, PLACEMENT_TOGETHER);
	idle(90);
	machine.rate[PLACEMENT_TOGETHER] = 100;
	pass(3);
	expect_equal(placement.mode, PLACEMENT_APART);
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

/* Less and less, until there is next to nothing to do. */
START_TEST(apart_when_the_load_fades)
{
	machine.rate[PLACEMENT_TOGETHER] = 20000;
	pass(FIRST + TRIAL);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	for (unsigned i = 0; i < 90; i++) {
		machine.rate[PLACEMENT_TOGETHER] = machine.rate[PLACEMENT_TOGETHER] * 19 / 20;
		idle(i);
		pass(1);
	}
	machine.rate[PLACEMENT_APART] = machine.rate[PLACEMENT_TOGETHER];
	pass(LONGEST);
	expect_equal(placement.settled, PLACEMENT_APART);
	machine.rate[PLACEMENT_APART] = machine.rate[PLACEMENT_TOGETHER] = 0;
	pass(LONGEST);
	expect_equal(placement.mode, PLACEMENT_APART);
}
END_TEST

START_TEST(a_trial_ends_when_the_load_goes)
{
	pass_to_trial();
	idle(90);
	machine.rate[PLACEMENT_APART] = machine.rate[PLACEMENT_TOGETHER] = 0;
	pass(TRIAL);
	expect_equal(placement.mode, PLACEMENT_APART);
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

/* TOGETHER, a guest that takes most of the CPU leaves the loop idle: that is no time to spare. */
START_TEST(a_guest_that_works_long_may_stay)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	machine.idle_percent[PLACEMENT_APART] = 40;
	machine.idle_percent[PLACEMENT_TOGETHER] = 80;
	pass(1000);
	expect(machine.windows[PLACEMENT_TOGETHER] > 900);
	expect(machine.changes < 10);
}
END_TEST

/* And is no reason to try again and again when that serves less. */
START_TEST(a_guest_that_works_long_may_go)
{
	machine.rate[PLACEMENT_TOGETHER] = 500;
	machine.idle_percent[PLACEMENT_APART] = 40;
	machine.idle_percent[PLACEMENT_TOGETHER] = 80;
	pass(1000);
	expect(machine.changes < 10);
}
END_TEST

START_TEST(leaves_together_when_the_guest_works_long)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(50);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	machine.rate[PLACEMENT_TOGETHER] = 500;
	idle(65);
	pass(LONGEST);
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

START_TEST(tries_anew_soon_after_a_pause)
{
	pass(10000); /* so often confirmed that trials are rare */
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	idle(90);
	pass(1);
	idle(10);
	pass(FIRST + TRIAL);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
}
END_TEST

START_TEST(trials_get_rare)
{
	machine.rate[PLACEMENT_TOGETHER] = 900;
	pass(60000); /* 10 minutes */
	expect(machine.windows[PLACEMENT_TOGETHER] < 60000 / 90);
	expect(machine.windows[PLACEMENT_TOGETHER] > 60000 / 1000);
}
END_TEST

START_TEST(finds_out_that_the_load_has_changed)
{
	pass(10000);
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(LONGEST);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
}
END_TEST

/* ---- the threads */

static struct {
	pthread_t thread;
	sem_t started, end;
	pid_t id;
} other;

static void *other_main(void *argument)
{
	(void)argument;
	other.id = gettid();
	sem_post(&other.started);
	sem_wait(&other.end);
	return NULL;
}

static void other_start(void)
{
	sem_init(&other.started, 0, 0);
	sem_init(&other.end, 0, 0);
	pthread_create(&other.thread, NULL, other_main, NULL);
	sem_wait(&other.started);
}

static void other_stop(void)
{
	sem_post(&other.end);
	pthread_join(other.thread, NULL);
}

static int cpu_count(pid_t thread)
{
	cpu_set_t cpus;

	expect_equal(sched_getaffinity(thread, sizeof(cpus), &cpus), 0);
	return CPU_COUNT(&cpus);
}

START_TEST(both_threads_on_one_cpu_and_back)
{
	struct placement_threads threads = {0};
	int before = cpu_count(0);
	cpu_set_t mine, theirs;

	other_start();
	expect(placement_apply(&threads, PLACEMENT_TOGETHER, other.id));
	expect(placement_apply(&threads, PLACEMENT_TOGETHER, other.id));
	sched_getaffinity(0, sizeof(mine), &mine);
	sched_getaffinity(other.id, sizeof(theirs), &theirs);
	expect_equal(CPU_COUNT(&mine), 1);
	expect(CPU_EQUAL(&mine, &theirs));
	expect(placement_apply(&threads, PLACEMENT_APART, other.id));
	expect(!threads.together);
	expect_equal(cpu_count(0), before);
	expect_equal(cpu_count(other.id), before);
	other_stop();
}
END_TEST

START_TEST(cpus_that_others_set_are_left)
{
	struct placement_threads threads = {0};
	cpu_set_t others, theirs, mine;
	int cpu[2];

	if (!two_cpus(cpu)) {
		printf("placement_test: skipped cpus_that_others_set_are_left: there is one CPU only\n");
		return;
	}
	other_start();
	expect(placement_apply(&threads, PLACEMENT_TOGETHER, other.id));
	CPU_ZERO(&others);
	CPU_SET(CPU_ISSET(cpu[0], &threads.shared) ? cpu[1] : cpu[0], &others);
	expect_equal(sched_setaffinity(other.id, sizeof(others), &others), 0);
	expect_equal(sched_setaffinity(0, sizeof(others), &others), 0);
	expect(placement_apply(&threads, PLACEMENT_APART, other.id));
	sched_getaffinity(0, sizeof(mine), &mine);
	sched_getaffinity(other.id, sizeof(theirs), &theirs);
	expect(CPU_EQUAL(&mine, &others));
	expect(CPU_EQUAL(&theirs, &others));
	other_stop();
}
END_TEST

START_TEST(no_thread_of_the_guest)
{
	struct placement_threads threads = {0};
	int before = cpu_count(0);

	expect(!placement_apply(&threads, PLACEMENT_TOGETHER, 0));
	expect_equal(cpu_count(0), before);
}
END_TEST

START_TEST(the_guests_thread_has_ended)
{
	pid_t ended[] = {other.id, 0}; /* as long as nobody knows, and then */

	for (int i = 0; i < 2; i++) {
		struct placement_threads threads = {0};
		int before = cpu_count(0);

		other_start();
		ended[0] = other.id;
		expect(placement_apply(&threads, PLACEMENT_TOGETHER, other.id));
		/* It may have had other CPUs than this one: these are not to become ours. */
		CPU_ZERO(&threads.guest_allowed);
		CPU_SET(sched_getcpu(), &threads.guest_allowed);
		other_stop();
		expect(placement_apply(&threads, PLACEMENT_APART, ended[i]));
		expect_equal(cpu_count(0), before);
		expect(!placement_apply(&threads, PLACEMENT_TOGETHER, ended[i]));
		expect_equal(cpu_count(0), before);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("placement");
	TCase *rule = tcase_create("rule");
	TCase *threads = tcase_create("threads");

	tcase_add_checked_fixture(rule, setup, NULL);
	tcase_add_test(rule, settles_together_when_that_serves_more);
	tcase_add_test(rule, settles_apart_when_that_serves_more);
	tcase_add_test(rule, changes_for_enough);
	tcase_add_test(rule, first_windows_do_not_count);
	tcase_add_test(rule, each_later_window_counts);
	tcase_add_test(rule, each_later_window_of_apart_counts);
	tcase_add_test(rule, a_great_loss_ends_a_trial_early);
	tcase_add_test(rule, a_small_loss_does_not);
	tcase_add_test(rule, apart_is_given_time);
	tcase_add_loop_test(rule, growth_is_no_gain, 0, 8);
	tcase_add_test(rule, noise_changes_little);
	tcase_add_test(rule, a_loss_is_seen_in_noise);
	tcase_add_test(rule, a_gain_is_found_in_noise);
	tcase_add_test(rule, no_trial_with_time_to_spare);
	tcase_add_test(rule, a_pause_now_and_then_is_no_end);
	tcase_add_test(rule, apart_soon_when_the_load_goes);
	tcase_add_test(rule, apart_when_the_load_fades);
	tcase_add_test(rule, a_trial_ends_when_the_load_goes);
	tcase_add_test(rule, a_guest_that_works_long_may_stay);
	tcase_add_test(rule, a_guest_that_works_long_may_go);
	tcase_add_test(rule, leaves_together_when_the_guest_works_long);
	tcase_add_test(rule, tries_anew_soon_after_a_pause);
	tcase_add_test(rule, trials_get_rare);
	tcase_add_test(rule, finds_out_that_the_load_has_changed);
	suite_add_tcase(suite, rule);
	tcase_add_test(threads, both_threads_on_one_cpu_and_back);
	tcase_add_test(threads, cpus_that_others_set_are_left);
	tcase_add_test(threads, no_thread_of_the_guest);
	tcase_add_test(threads, the_guests_thread_has_ended);
	suite_add_tcase(suite, threads);
	return suite_run(suite);
}
