/* Ticks and nanoseconds of a guest under KVM: a sleep that ends at its tick has not ended early. */
#include "guest/kvm/clock.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define NS_PER_DAY (86400 * CLOCK_NS_PER_S)
#define ROUNDS     20000

static const uint64_t rates[] = {62500, 1000000, 24000000, 999999999, 1000000000, 1000000001,
	1999999999, 2099999993, 2600000000, 3000000000, 3792873000, 5000000000, 16000000000};

static void expect_first_tick(uint64_t ns, uint64_t rate)
{
	uint64_t tick = clock_ticks(ns, rate);

	if (clock_ns(tick, rate) < ns || (tick > 0 && clock_ns(tick - 1, rate) >= ns))
		ck_abort_msg("%llu ns at rate %llu: tick %llu", (unsigned long long)ns,
			(unsigned long long)rate, (unsigned long long)tick);
}

START_TEST(deadline_has_passed_at_its_tick)
{
	struct random random = {random_seed()};
	uint64_t rate = clock_rate(rates[_i]);

	expect_equal(clock_ticks(0, rate), 0);
	for (uint64_t days = 0; days <= 3650; days = days * 2 + 1) {
		for (uint64_t ns = 0; ns < 64; ns++)
			expect_first_tick(days * NS_PER_DAY + ns, rate);
	}
	for (int i = 0; i < ROUNDS; i++)
		expect_first_tick(random_below(&random, 3650 * NS_PER_DAY), rate);
}
END_TEST

/* Against a division of the whole. */
START_TEST(clock_keeps_its_rate)
{
	uint64_t hz = rates[_i], rate = clock_rate(hz);
	uint64_t ns = clock_ns(86400 * hz, rate);

	expect(ns <= NS_PER_DAY && NS_PER_DAY - ns <= 2);
}
END_TEST

START_TEST(far_deadline_is_never)
{
	expect_equal(clock_ticks(UINT64_MAX, clock_rate(5000000000)), UINT64_MAX);
	expect_equal(clock_ticks(UINT64_MAX - 1, clock_rate(16000000000)), UINT64_MAX);
}
END_TEST

int main(void)
{
	const int count = sizeof(rates) / sizeof(rates[0]);
	Suite *suite = suite_create("kvm_clock");
	TCase *tcase = tcase_create("kvm_clock");

	tcase_add_loop_test(tcase, deadline_has_passed_at_its_tick, 0, count);
	tcase_add_loop_test(tcase, clock_keeps_its_rate, 0, count);
	tcase_add_test(tcase, far_deadline_is_never);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
