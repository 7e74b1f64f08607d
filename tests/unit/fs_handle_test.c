/*
 * The table of open files: numbers against a plain model, and what a number is worth when its
 * file is gone.
 */
#include <errno.h>
#include <string.h>

#include "monitor/fs_handle.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define STEPS (1u << 18)

static struct fs_handles handles;

static uint32_t open_one(int fd)
{
	uint32_t place;

	expect_equal(fs_handles_take(&handles, &place), 0);
	return fs_handles_fill(&handles, place, fd, FS_HANDLE_FILE);
}

static void close_one(uint32_t number, int wanted_fd)
{
	int fd = -2;

	expect_equal(fs_handles_close(&handles, number, &fd), 0);
	expect_equal(fd, wanted_fd);
}

START_TEST(a_used_file_outlives_its_number)
{
	uint32_t number = open_one(5), place, again;

	expect_equal(fs_handles_use(&handles, number, &place), 0);
	expect_equal(fs_handles_use(&handles, number, &again), 0);
	expect_equal(place, again);
	close_one(number, -1);
	expect_equal(fs_handles_use(&handles, number, &again), -EBADF);
	expect_equal(fs_handles_close(&handles, number, &(int){0}), -EBADF);
	expect_equal(fs_handles_at(&handles, place)->fd, 5);
	expect((open_one(6) & (FS_HANDLES_MAX - 1)) != place);
	expect_equal(fs_handles_leave(&handles, place), -1);
	expect_equal(fs_handles_leave(&handles, place), 5);
	fs_handles_free(&handles);
}
END_TEST

/*
 * The generation of a place wraps around without passing 0: no number is 0, and none is that of
 * the file before.
 */
START_TEST(numbers_of_one_place)
{
	uint32_t before = 0, place;

	for (unsigned i = 0; i < (1u << 22) + 10; i++) {
		uint32_t number = open_one(1);
		expect(number != 0 && number != before && number >> 10 != 0);
		expect_equal(fs_handles_use(&handles, before, &place), -EBADF);
		close_one(number, 1);
		before = number;
	}
	fs_handles_free(&handles);
}
END_TEST

struct model {
	uint32_t number[FS_HANDLES_MAX]; /* open ones; the descriptor is the index */
	unsigned open;
};

static void step(struct model *model, struct random *random)
{
	unsigned i = (unsigned)random_below(random, FS_HANDLES_MAX);
	uint32_t place;

	if (model->number[i] == 0) {
		model->number[i] = open_one((int)i);
		model->open++;
		return;
	}
	expect_equal(fs_handles_use(&handles, model->number[i], &place), 0);
	expect_equal(fs_handles_at(&handles, place)->fd, i);
	expect_equal(fs_handles_leave(&handles, place), -1);
	if (random_once_in(random, 2)) {
		close_one(model->number[i], (int)i);
		expect_equal(fs_handles_use(&handles, model->number[i], &place), -EBADF);
		model->number[i] = 0;
		model->open--;
	}
}

START_TEST(as_a_plain_table)
{
	static struct model model;
	struct random random = {random_seed()};
	unsigned drained = 0;
	uint32_t place;

	for (unsigned i = 0; i < STEPS; i++)
		step(&model, &random);
	for (unsigned i = 0; i < FS_HANDLES_MAX; i++) {
		if (model.number[i] == 0)
			model.number[i] = open_one((int)i);
	}
	expect_equal(fs_handles_take(&handles, &place), -EMFILE);
	while (fs_handles_drain(&handles) >= 0)
		drained++;
	expect_equal(drained, FS_HANDLES_MAX);
	fs_handles_free(&handles);
}
END_TEST

START_TEST(a_place_that_is_given_back)
{
	uint32_t place, other;

	for (unsigned i = 0; i < 3 * FS_HANDLES_MAX; i++) {
		expect_equal(fs_handles_take(&handles, &place), 0);
		fs_handles_give(&handles, place);
	}
	expect_equal(fs_handles_take(&handles, &place), 0);
	expect_equal(fs_handles_use(&handles, place, &other), -EBADF);
	expect_equal(fs_handles_drain(&handles), -1);
	fs_handles_free(&handles);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_handle");
	TCase *table = tcase_create("table");

	tcase_set_timeout(table, 20);
	tcase_add_test(table, a_used_file_outlives_its_number);
	tcase_add_test(table, numbers_of_one_place);
	tcase_add_test(table, as_a_plain_table);
	tcase_add_test(table, a_place_that_is_given_back);
	suite_add_tcase(suite, table);
	return suite_run(suite);
}
