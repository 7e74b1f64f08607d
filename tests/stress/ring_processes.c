/* The stress between two processes, each with mappings of its own. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/stress/stress_side.h"

static uint64_t seed;

/* The guest's life: everything that it knows is the descriptors and the seed. */
static _Noreturn void guest_process(struct stress_round *round)
{
	struct stress_config config = stress_round_config(round, PIPE_GUEST);
	struct stress_result result = {.error = "cannot map the memory"};
	struct ring_memory memory;

	if (ring_memory_map_again(&round->memory, &memory) == 0) {
		config.memory = &memory;
		stress_side_run(&config, &result);
	}
	if (result.error[0] != 0)
		fprintf(stderr, "%s\n", result.error);
	_exit(result.error[0] != 0);
}

static void run_round(uint64_t round_seed, struct stress_result *ret_host)
{
	struct stress_config config;
	struct stress_round round;
	int status;
	pid_t pid;

	ck_assert_int_eq(stress_round_begin(&round, round_seed), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		guest_process(&round);
	config = stress_round_config(&round, PIPE_HOST);
	stress_side_run(&config, ret_host);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(ret_host->error[0] == 0, "%s", ret_host->error);
	ck_assert_int_eq(status, 0);
	stress_round_end(&round);
}

START_TEST(two_processes)
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
	Suite *suite = suite_create("ring_processes");
	TCase *tcase = tcase_create("stress");

	seed = random_seed();
	tcase_set_timeout(tcase, stress_seconds() + 30);
	tcase_add_test(tcase, two_processes);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
