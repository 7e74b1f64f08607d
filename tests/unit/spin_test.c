/* The rule by which a side polls or sleeps at once. */
#include "pipe/spin.h"
#include "tests/lib/suite.h"

#define LIMIT 50000u /* nanoseconds */

static struct spin spin;

static void setup(void)
{
	spin_init(&spin, LIMIT);
}

START_TEST(polls_at_first)
{
	expect_equal(spin_ns(&spin), LIMIT);
	spin_won(&spin);
	expect_equal(spin_ns(&spin), LIMIT);
}
END_TEST

START_TEST(never_with_no_limit)
{
	spin_init(&spin, 0);
	expect_equal(spin_ns(&spin), 0);
	spin_slept(&spin, 0);
	expect_equal(spin_ns(&spin), 0);
}
END_TEST

/* Waits that a poll would have won, until it polls again. */
static unsigned price(void)
{
	unsigned waits = 0;

	while (spin_ns(&spin) == 0) {
		spin_slept(&spin, LIMIT);
		waits++;
	}
	return waits;
}

START_TEST(each_loss_in_a_row_costs_more)
{
	for (unsigned losses = 1; losses <= SPIN_LOSSES_MAX + 3; losses++) {
		spin_lost(&spin);
		expect_equal(price(), 1u << (losses < SPIN_LOSSES_MAX ? losses : SPIN_LOSSES_MAX));
	}
}
END_TEST

START_TEST(wins_pay_losses_back)
{
	spin_lost(&spin);
	spin_lost(&spin);
	price();
	spin_won(&spin);
	spin_won(&spin);
	spin_lost(&spin);
	expect_equal(price(), 2);
}
END_TEST

/* A side with nothing to do must not poll, ever. */
START_TEST(long_waits_earn_nothing)
{
	spin_lost(&spin);
	for (int i = 0; i < 100000; i++) {
		spin_slept(&spin, 2 * LIMIT + 1);
		expect_equal(spin_ns(&spin), 0);
	}
}
END_TEST

/* Waits that are always just too long for the limit: the polls lost get ever rarer. */
START_TEST(work_that_always_comes_too_late)
{
	unsigned polls = 0;

	for (int i = 0; i < 100000; i++) {
		if (spin_ns(&spin)) {
			polls++;
			spin_lost(&spin);
		} else {
			spin_slept(&spin, LIMIT + LIMIT / 2);
		}
	}
	expect(polls < 150);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spin");
	TCase *tcase = tcase_create("spin");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, polls_at_first);
	tcase_add_test(tcase, never_with_no_limit);
	tcase_add_test(tcase, each_loss_in_a_row_costs_more);
	tcase_add_test(tcase, wins_pay_losses_back);
	tcase_add_test(tcase, long_waits_earn_nothing);
	tcase_add_test(tcase, work_that_always_comes_too_late);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
