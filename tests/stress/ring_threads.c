/* The stress between two threads of one process, which share a mapping. */
#include <pthread.h>
#include <stdio.h>

#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/stress/stress_side.h"

static uint64_t seed;

struct side_thread {
	struct stress_config config;
	struct stress_result result;
};

static void *run_side(void *argument)
{
	struct side_thread *side = argument;

	stress_side_run(&side->config, &side->result);
	return NULL;
}

static void run_round(uint64_t round_seed, struct stress_result *ret_host)
{
	struct stress_round round;
	struct side_thread guest, host;
	pthread_t thread;

	ck_assert_int_eq(stress_round_begin(&round, round_seed), 0);
	guest.config = stress_round_config(&round, PIPE_GUEST);
	host.config = stress_round_config(&round, PIPE_HOST);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_side, &guest), 0);
	run_side(&host);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_msg(guest.result.error[0] == 0, "%s", guest.result.error);
	ck_assert_msg(host.result.error[0] == 0, "%s", host.result.error);
	stress_round_end(&round);
	*ret_host = host.result;
}

START_TEST(two_threads)
{
	double until = stress_now() + stress_seconds();
	struct random random = {.state = seed};
	struct stress_result host;
	uint64_t rounds = 0, bytes = 0, sleeps = 0, rings = 0;

	do {
		run_round(random_next(&random), &host);
		rounds++;
		bytes += host.bytes;
		sleeps += host.sleeps;
		rings += host.rings;
	} while (stress_now() < until);
	printf("%llu rounds; host received %llu KiB, slept %llu times, rang %llu times\n",
		(unsigned long long)rounds, (unsigned long long)bytes >> 10,
		(unsigned long long)sleeps, (unsigned long long)rings);
	fflush(stdout);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring_threads");
	TCase *tcase = tcase_create("stress");

	seed = random_seed();
	tcase_set_timeout(tcase, stress_seconds() + 30);
	tcase_add_test(tcase, two_threads);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
