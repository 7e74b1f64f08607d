/* io_one: what the tests of io share: an operation with its outcome, and a suite that runs on each backend. */
#ifndef FERRULE_TESTS_LIB_IO_ONE_H
#define FERRULE_TESTS_LIB_IO_ONE_H

#include <stdbool.h>

#include "monitor/io.h"
#include "tests/lib/suite.h"

/* Of the test that runs. */
extern struct io *io;
extern bool one_starting; /* done() must not come now */

struct one {
	struct io_timer timer; /* its op for all that is no timer */
	int result;
	unsigned times; /* that it was completed */
};

/* Cleared, ready to be started. */
struct io_op *op_of(struct one *one);

#define START(call)                                                                                \
	do {                                                                                       \
		one_starting = true;                                                               \
		call;                                                                              \
		one_starting = false;                                                              \
	} while (0)

/* Turns until it has its result, which is returned. */
int finish(struct one *one);
/* Whatever can complete without anybody's doing has then. */
void settle(void);

/* Makes io; 'backend' is the loop test's _i. */
void begin(int backend);
/* Nothing may be in flight. */
void end(void);

/* What main returns. Each test runs on each backend, but on io_uring only where that is not refused. */
int io_suite_run(const char *name, const TTest *const *const tests[], size_t count);

#endif
