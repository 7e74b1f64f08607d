/*
 * 2^18 random operations on a ring of each capacity, compared with a model
 * after every one, on positions that start at 0 and just below 2^32 and 2^64.
 */
#include "tests/lib/random.h"
#include "tests/lib/ring_memory.h"
#include "tests/lib/ring_model.h"
#include "tests/lib/suite.h"

#define OPERATIONS (1 << 18)

static const uint64_t capacities[] = {4 << 10, 64 << 10, 1 << 20, 16 << 20};
static uint64_t seed;

struct ring_under_test {
	struct ring_shared *shared;
	struct ring_producer producer;
	struct ring_consumer consumer;
	struct ring_model model;
};

static void start_anew(
	struct ring_under_test *t, const struct pipe_area *area, struct random *random)
{
	static const uint64_t wraps[] = {0, 1ull << 32}; /* 2^64 is 0 */
	uint64_t start = 0;

	if (!random_once_in(random, 3))
		start = wraps[random_below(random, 2)] - random_len(random, area->capacity);
	ring_init(t->shared, start);
	ring_producer_attach(&t->producer, t->shared, area->data, area->capacity, start);
	ring_consumer_attach(&t->consumer, t->shared, area->data, area->capacity, start);
	ring_model_init(
		&t->model, t->shared, &t->producer, &t->consumer, start, random_next(random));
	ring_model_check(&t->model);
}

static void step(struct ring_under_test *t, struct random *random, unsigned producer_share)
{
	if (random_once_in(random, 8)) {
		expect_equal(ring_wake_consumer(&t->producer), ring_model_wake_consumer(&t->model));
	} else if (random_once_in(random, 8)) {
		expect_equal(ring_wake_producer(&t->consumer), ring_model_wake_producer(&t->model));
	} else {
		ring_model_do(&t->model, ring_model_pick(random, producer_share), random);
	}
}

START_TEST(ring_follows_the_model)
{
	struct random random = {.state = seed ^ capacities[_i]};
	struct ring_under_test test;
	struct ring_memory memory;
	unsigned producer_share = 4;
	uint64_t rewinds = 0;

	expect_equal(ring_memory_create(&memory, 1, capacities[_i]), 0);
	test.shared = &memory.pipe[0].ring[0];
	start_anew(&test, &memory.area[0][0], &random);
	for (int i = 0; i < OPERATIONS; i++) {
		bool ended = test.model.end != 0 || test.model.stopped;

		/* Phases that fill the ring, drain it, and keep it level. */
		if (i % 512 == 0)
			producer_share = 2 + (unsigned)random_below(&random, 5);
		if (random_once_in(&random, ended ? 128 : 8192)) {
			rewinds += test.model.rewinds;
			start_anew(&test, &memory.area[0][0], &random);
		}
		step(&test, &random, producer_share);
	}
	expect(rewinds > 100); /* or this has not tried them */
	ring_memory_destroy(&memory);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring_property");
	TCase *tcase = tcase_create("model");

	seed = random_seed();
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, ring_follows_the_model, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
