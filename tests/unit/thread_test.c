/* How the monitor's threads start. */
#include "monitor/thread.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/suite.h"

struct seen {
	char name[THREAD_NAME_MAX + 1];
	sigset_t blocked;
	cpu_set_t cpus;
};

static void *look(void *argument)
{
	struct seen *seen = argument;

	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
	pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
	sched_getaffinity(0, sizeof(seen->cpus), &seen->cpus);
	return NULL;
}

static struct seen start_and_join(const cpu_set_t *cpus)
{
	struct seen seen = {0};
	pthread_t thread;

	expect_equal(thread_start(&thread, "fifteen-letters", look, &seen, cpus), 0);
	pthread_join(thread, NULL);
	return seen;
}

START_TEST(has_its_name)
{
	struct seen seen = start_and_join(NULL);

	ck_assert_str_eq(seen.name, "fifteen-letters");
}
END_TEST

START_TEST(takes_no_signals_and_leaves_ours_alone)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	struct seen seen = start_and_join(NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	expect(sigismember(&seen.blocked, SIGTERM) == 1);
	expect(sigismember(&seen.blocked, SIGINT) == 1);
	expect_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}
END_TEST

/* The I/O thread, put on one CPU with the guest, starts workers: they are not to stay there. */
START_TEST(runs_where_it_is_told_to)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	start_and_join(NULL); /* what all are is known from now on */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	expect_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	struct seen bound = start_and_join(NULL), seen = start_and_join(thread_all_cpus());
	expect_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	expect(CPU_EQUAL(&bound.cpus, &one));
	expect(CPU_EQUAL(&seen.cpus, &all));
}
END_TEST

/* As when the process was given another cpuset meanwhile. */
START_TEST(cpus_that_are_not_to_be_had)
{
	cpu_set_t none, all;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&none);
	CPU_SET(CPU_SETSIZE - 1, &none);
	struct seen seen = start_and_join(&none);
	expect(CPU_EQUAL(&seen.cpus, &all));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("thread");
	TCase *tcase = tcase_create("thread");

	tcase_add_test(tcase, has_its_name);
	tcase_add_test(tcase, takes_no_signals_and_leaves_ours_alone);
	tcase_add_test(tcase, runs_where_it_is_told_to);
	tcase_add_test(tcase, cpus_that_are_not_to_be_had);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
