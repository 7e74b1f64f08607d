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

/* The first look at the CPUs follows the start: then they are what they will be. */
static void *look(void *argument)
{
	struct seen *seen = argument;

	pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
	pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
	usleep(20000);
	sched_getaffinity(0, sizeof(seen->cpus), &seen->cpus);
	return NULL;
}

static struct seen start_and_join(void)
{
	struct seen seen = {0};
	pthread_t thread;

	expect_equal(thread_start(&thread, "fifteen-letters", look, &seen), 0);
	pthread_join(thread, NULL);
	return seen;
}

START_TEST(has_its_name)
{
	struct seen seen = start_and_join();

	ck_assert_str_eq(seen.name, "fifteen-letters");
}
END_TEST

START_TEST(takes_no_signals_and_leaves_ours_alone)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	struct seen seen = start_and_join();
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	expect(sigismember(&seen.blocked, SIGTERM) == 1);
	expect(sigismember(&seen.blocked, SIGINT) == 1);
	expect_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}
END_TEST

/* The I/O thread, put on one CPU with the guest, starts workers: they are not to stay there. */
START_TEST(is_not_placed_as_the_one_that_starts_it)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	start_and_join();
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	expect_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	struct seen seen = start_and_join();
	expect_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	expect(CPU_EQUAL(&seen.cpus, &all));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("thread");
	TCase *tcase = tcase_create("thread");

	tcase_add_test(tcase, has_its_name);
	tcase_add_test(tcase, takes_no_signals_and_leaves_ours_alone);
	tcase_add_test(tcase, is_not_placed_as_the_one_that_starts_it);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
