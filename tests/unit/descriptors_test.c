/* The limit on open files, and how many there are. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "monitor/descriptors.h"
#include "tests/lib/suite.h"

START_TEST(the_soft_limit_becomes_the_hard_one)
{
	struct rlimit before, after;

	expect_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	before.rlim_cur = before.rlim_max - 1;
	expect_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	expect_equal(descriptors_raise_limit(), before.rlim_max);
	expect_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	expect_equal(after.rlim_cur, before.rlim_max);
	expect_equal(descriptors_raise_limit(), before.rlim_max);
}
END_TEST

START_TEST(each_descriptor_is_counted)
{
	long before = descriptors_open();
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	expect(before >= 3);
	expect_equal(descriptors_open(), before + 1);
	close(fd);
	expect_equal(descriptors_open(), before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptors");
	TCase *tests = tcase_create("descriptors");

	tcase_add_test(tests, the_soft_limit_becomes_the_hard_one);
	tcase_add_test(tests, each_descriptor_is_counted);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
