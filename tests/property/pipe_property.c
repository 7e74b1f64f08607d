/*
 * Both directions of a pipe at once, each compared with its own model: what
 * one direction does must not show in the other, and one call wakes for both.
 */
#include "tests/lib/random.h"
#include "tests/lib/ring_memory.h"
#include "tests/lib/ring_model.h"
#include "tests/lib/suite.h"

#define OPERATIONS (1 << 18)

static const uint64_t capacities[] = {4 << 10, 64 << 10, 1 << 20, 16 << 20};
static uint64_t seed;

struct pipe_under_test {
	struct pipe_end end[2];     /* by enum pipe_side */
	struct ring_model model[2]; /* of the ring that this side writes */
};

static void start_anew(struct pipe_under_test *t, struct ring_memory *memory, struct random *random)
{
	struct pipe_shared *shared = &memory->pipe[0];

	pipe_init(shared);
	for (enum pipe_side side = PIPE_GUEST; side <= PIPE_HOST; side++)
		pipe_attach(&t->end[side], side, shared, memory->area[0]);
	for (enum pipe_side side = PIPE_GUEST; side <= PIPE_HOST; side++)
		ring_model_init(&t->model[side], &shared->ring[side], &t->end[side].out,
			&t->end[!side].in, 0, random_next(random));
}

static void wake(struct pipe_under_test *t, enum pipe_side side)
{
	bool data = ring_model_wake_consumer(&t->model[side]);
	bool space = ring_model_wake_producer(&t->model[!side]);

	expect_equal(pipe_wake_peer(&t->end[side]), data || space);
	expect(!pipe_wake_peer(&t->end[side]));
}

static bool ended(const struct pipe_under_test *t)
{
	return (t->model[0].end != 0 || t->model[0].stopped) &&
	       (t->model[1].end != 0 || t->model[1].stopped);
}

START_TEST(pipe_follows_the_models)
{
	struct random random = {.state = seed ^ capacities[_i]};
	unsigned producer_share[2] = {4, 4};
	struct pipe_under_test test;
	struct ring_memory memory;

	expect_equal(ring_memory_create(&memory, 1, capacities[_i]), 0);
	start_anew(&test, &memory, &random);
	for (int i = 0; i < OPERATIONS; i++) {
		enum pipe_side side = random_next(&random) & 1 ? PIPE_GUEST : PIPE_HOST;

		if (i % 512 == 0)
			producer_share[side] = 2 + (unsigned)random_below(&random, 5);
		if (random_once_in(&random, ended(&test) ? 128 : 8192))
			start_anew(&test, &memory, &random);
		if (random_once_in(&random, 6))
			wake(&test, side);
		else
			ring_model_do(&test.model[side],
				ring_model_pick(&random, producer_share[side]), &random);
		ring_model_check(&test.model[!side]);
	}
	ring_memory_destroy(&memory);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pipe_property");
	TCase *tcase = tcase_create("models");

	seed = random_seed();
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, pipe_follows_the_models, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
