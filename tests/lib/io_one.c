#include "tests/lib/io_one.h"

#include <stdio.h>

#define TEST_TIMEOUT_S 30

struct io *io;
bool one_starting;

static void one_done(struct io_op *op, int result)
{
	struct one *one = io_container(op, struct one, timer.op);

	expect(!one_starting);
	one->result = result;
	one->times++;
}

struct io_op *op_of(struct one *one)
{
	*one = (struct one){.timer = {.op = {one_done}}};
	return &one->timer.op;
}

int finish(struct one *one)
{
	while (one->times == 0)
		io_turn(io, true);
	expect_equal(one->times, 1);
	return one->result;
}

void settle(void)
{
	for (int i = 0; i < 20; i++)
		if (io_unsubmitted(io) || io_ready(io))
			io_turn(io, false);
}

void begin(int backend)
{
	expect_equal(io_create(&io, (enum io_choice)backend), 0);
}

void end(void)
{
	expect_equal(io_in_flight(io), 0);
	io_destroy(io);
}

/* Where io_uring is refused, its half of the tests has nothing to say. */
static int first_backend(void)
{
	if (io_create(&io, IO_URING) < 0) {
		printf("io_uring is refused here: libevent alone\n");
		return IO_EVENT;
	}
	io_destroy(io);
	return IO_URING;
}

int io_suite_run(const char *name, const TTest *const *const tests[], size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create("backend");
	int first = first_backend();

	tcase_set_timeout(tcase, TEST_TIMEOUT_S);
	for (size_t i = 0; i < count; i++)
		tcase_add_loop_test(tcase, *tests[i], first, IO_EVENT + 1);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
