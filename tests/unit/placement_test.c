/* When the I/O thread and the guest share a CPU: the rule, and that the threads go where it says.
 */
#include "monitor/placement.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define WINDOW PLACEMENT_WINDOW_NS

/* A machine that does so much work in a window, by placement, and leaves the loop idle for a part
 * of it. */
static struct {
	uint64_t rate[PLACEMENT_MODE_COUNT];
	unsigned idle_percent;
	uint64_t now, work, idle;
	unsigned changes, windows[PLACEMENT_MODE_COUNT];
} machine;
static struct placement placement;

static void setup(void)
{
	machine.rate[PLACEMENT_APART] = machine.rate[PLACEMENT_TOGETHER] = 1000;
	machine.idle_percent = 10;
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
		machine.idle += WINDOW / 100 * machine.idle_percent;
		machine.windows[before]++;
		machine.changes += placement_look(&placement, machine.now, machine.work,
					   machine.idle) != before;
	}
}

#define FIRST (PLACEMENT_FIRST_NS / WINDOW + 1) /* windows up to the first trial */
#define TRIAL 30u                               /* the longest one is over */

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
	expect_equal(placement.mode, PLACEMENT_APART);
	expect(machine.windows[PLACEMENT_TOGETHER] > 0);
}
END_TEST

START_TEST(stays_where_it_is_for_little)
{
	machine.rate[PLACEMENT_TOGETHER] = 1080;
	pass(1000);
	expect_equal(placement.settled, PLACEMENT_APART);
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass((unsigned)(PLACEMENT_REST_MAX_NS * 2 / WINDOW));
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	machine.rate[PLACEMENT_APART] = 2050;
	pass(10000);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
}
END_TEST

START_TEST(a_great_loss_ends_a_trial_early)
{
	machine.rate[PLACEMENT_TOGETHER] = 500;
	pass(FIRST);
	expect_equal(placement.mode, PLACEMENT_TOGETHER);
	pass(2);
	expect_equal(placement.mode, PLACEMENT_APART);
	expect_equal(placement.settled, PLACEMENT_APART);
	unsigned changes = machine.changes;
	pass((unsigned)(PLACEMENT_REST_MAX_NS / WINDOW) - 2);
	expect_equal(machine.changes, changes);
}
END_TEST

/* What was lost on trial has to be won back first: a sender that TCP holds back is not judged by that. */
START_TEST(apart_is_given_time)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(FIRST + TRIAL);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	machine.rate[PLACEMENT_TOGETHER] = 1000;
	for (unsigned i = 0; i < 2000 && placement.settled == PLACEMENT_TOGETHER; i++) {
		/* It begins below and gets faster with each window. */
		unsigned apart = placement.mode == PLACEMENT_APART ? placement.windows : 0;
		machine.rate[PLACEMENT_APART] = 600 + 50 * apart;
		pass(1);
	}
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

/* Samples that scatter by a third, about means that are a sixth apart: APART is hardly ever left for
 * long. */
START_TEST(is_not_taken_in_by_noise)
{
	struct random random = {.state = random_seed()};
	unsigned together = 0, all = 20000;

	for (unsigned i = 0; i < all; i++) {
		machine.rate[PLACEMENT_APART] = 1000 + random_below(&random, 400);
		machine.rate[PLACEMENT_TOGETHER] = 800 + random_below(&random, 400);
		pass(1);
		together += placement.settled == PLACEMENT_TOGETHER;
	}
	expect(together < all / 10);
}
END_TEST

START_TEST(finds_a_gain_in_noise)
{
	struct random random = {.state = random_seed()};
	unsigned together = 0, all = 20000;

	for (unsigned i = 0; i < all; i++) {
		machine.rate[PLACEMENT_APART] = 1000 + random_below(&random, 150);
		machine.rate[PLACEMENT_TOGETHER] = 1250 + random_below(&random, 150);
		pass(1);
		together += placement.settled == PLACEMENT_TOGETHER;
	}
	expect(together > all * 8 / 10);
}
END_TEST

START_TEST(no_trial_with_time_to_spare)
{
	machine.idle_percent = 60;
	machine.rate[PLACEMENT_TOGETHER] = 5000;
	pass(1000);
	expect_equal(machine.changes, 0);
	expect_equal(placement.mode, PLACEMENT_APART);
}
END_TEST

START_TEST(apart_at_once_when_the_load_goes)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(FIRST + TRIAL);
	expect_equal(placement.mode, PLACEMENT_TOGETHER);
	machine.idle_percent = 90;
	pass(1);
	expect_equal(placement.mode, PLACEMENT_APART);
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

START_TEST(a_trial_ends_when_the_load_goes)
{
	pass(FIRST);
	expect_equal(placement.mode, PLACEMENT_TOGETHER);
	machine.idle_percent = 90;
	pass(1);
	expect_equal(placement.mode, PLACEMENT_APART);
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

/* TOGETHER, a guest that takes most of the CPU leaves the loop idle: that is no reason to stay. */
START_TEST(leaves_together_when_the_guest_works_long)
{
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass(50);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
	machine.rate[PLACEMENT_TOGETHER] = 500;
	machine.idle_percent = 65;
	pass((unsigned)(PLACEMENT_REST_MAX_NS * 2 / WINDOW));
	expect_equal(placement.settled, PLACEMENT_APART);
}
END_TEST

START_TEST(tries_anew_soon_after_a_pause)
{
	pass(10000); /* so often confirmed that trials are rare */
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	machine.idle_percent = 90;
	pass(1);
	machine.idle_percent = 10;
	pass(FIRST + TRIAL);
	expect_equal(placement.settled, PLACEMENT_TOGETHER);
}
END_TEST

START_TEST(trials_get_rare)
{
	machine.rate[PLACEMENT_TOGETHER] = 900;
	pass(60000); /* 10 minutes */
	expect(machine.windows[PLACEMENT_TOGETHER] < 60000 / 100);
	expect(machine.windows[PLACEMENT_TOGETHER] > 60000 / 1000);
}
END_TEST

START_TEST(finds_out_that_the_load_has_changed)
{
	pass(10000);
	machine.rate[PLACEMENT_TOGETHER] = 2000;
	pass((unsigned)(PLACEMENT_REST_MAX_NS * 2 / WINDOW));
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
	tcase_add_test(rule, stays_where_it_is_for_little);
	tcase_add_test(rule, is_not_taken_in_by_noise);
	tcase_add_test(rule, finds_a_gain_in_noise);
	tcase_add_test(rule, a_great_loss_ends_a_trial_early);
	tcase_add_test(rule, apart_is_given_time);
	tcase_add_test(rule, no_trial_with_time_to_spare);
	tcase_add_test(rule, apart_at_once_when_the_load_goes);
	tcase_add_test(rule, a_trial_ends_when_the_load_goes);
	tcase_add_test(rule, leaves_together_when_the_guest_works_long);
	tcase_add_test(rule, tries_anew_soon_after_a_pause);
	tcase_add_test(rule, trials_get_rare);
	tcase_add_test(rule, finds_out_that_the_load_has_changed);
	suite_add_tcase(suite, rule);
	tcase_add_test(threads, both_threads_on_one_cpu_and_back);
	tcase_add_test(threads, no_thread_of_the_guest);
	tcase_add_test(threads, the_guests_thread_has_ended);
	suite_add_tcase(suite, threads);
	return suite_run(suite);
}
