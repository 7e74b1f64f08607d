/*
 * What Check tests share: the end of every main function, and an assertion for
 * loops. Check's own ck_assert is a system call each time it is passed.
 */
#ifndef FERRULE_TESTS_LIB_SUITE_H
#define FERRULE_TESTS_LIB_SUITE_H

#include <check.h>
#include <stdlib.h>

#define expect(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("expected: %s", #condition);                                  \
	} while (0)

/* Of any integers; told as signed ones. */
#define expect_equal(left, right)                                                                  \
	do {                                                                                       \
		long long left_value = (long long)(left), right_value = (long long)(right);        \
		if (left_value != right_value)                                                     \
			ck_abort_msg("expected: %s == %s, got %lld and %lld", #left, #right,       \
				left_value, right_value);                                          \
	} while (0)

/* What main returns. */
static inline int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
