/*
 * integration: the frame of every integration test program. Each runs on the
 * engine that its first argument names, with one body for both:
 *
 *     build/tests/echo_test kvm
 *     CK_RUN_CASE=half_close build/tests/echo_test process
 *
 * FERRULE_IO is the monitor's --io, for the tests that do not set it themselves.
 * FERRULE_FULL=1 makes loads as large as they are judged (tests/bench/judge);
 * without it they are what a run of all tests can afford.
 */
#ifndef FERRULE_TESTS_LIB_INTEGRATION_H
#define FERRULE_TESTS_LIB_INTEGRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/command.h"
#include "tests/lib/suite.h"

struct integration_test {
	const TTest *const *test; /* what START_TEST defines */
	int seconds;              /* the longest it may take */
};

struct integration_suite {
	const char *name;
	const char *tool; /* a program that the tests use and that need not be there; NULL: none */
	const struct integration_test *tests;
	size_t count;
};

/*
 * main: checks the engine and the tool, makes the scratch directory, runs each test as a case of
 * its own name, and leaves nothing. Exit status 77, with the reason, where there is no usable KVM
 * (a failure with CI=true) or no such tool.
 */
int integration_main(const struct integration_suite *suite, int argc, char **argv);
#define INTEGRATION_MAIN(name, tests, tool)                                                        \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct integration_suite suite = {                                    \
			name, tool, tests, sizeof(tests) / sizeof((tests)[0])};                    \
		return integration_main(&suite, argc, argv);                                       \
	}

extern const char *engine; /* "kvm" or "process" */
bool engine_is_kvm(void);
/* 'full' when loads are to be as large as they are judged. */
unsigned scale(unsigned quick, unsigned full);

/* ---- guests: built in the directory that the test program is in, or its parents */

#define ANY_PORT "127.0.0.1:0"

const char *monitor_path(void);
/* NAME.elf or NAME of guest/ or tests/guests/, by the engine. To be freed. */
char *guest_path(const char *name);

/* Starts the monitor with these options, this guest and the guest's arguments. */
void guest_start(struct command *ret_monitor, const char *const *options, const char *name,
	const char *const *arguments);
/* The same, until the guest says where it listens; the port. */
uint16_t guest_serve(struct command *ret_monitor, const char *const *options, const char *name,
	const char *const *arguments);
/* The same, to the guest's end; the status. */
int guest_run(struct command *ret_monitor, const char *const *options, const char *name,
	const char *const *arguments, int timeout_ms);
/* Of a monitor with --stats that has ended: one of its counters, and that nothing was left by it. */
double guest_counter(const struct command *monitor, const char *name);
void guest_expect_no_leak(const struct command *monitor);
/* Sends SIGTERM and expects all to be gone, the port too (0: none). */
void guest_stop(struct command *monitor, uint16_t port);

#endif
