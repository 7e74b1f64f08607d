/*
 * outcome WHAT [...]: how a guest can end, and what it can say.
 *
 *   exit N        returns N from main
 *   exit_now N    ends by guest_exit in a fiber, deep down
 *   fibers N      starts N fibers at once, each of which writes to its stack
 *   say           one line on stdout, one on stderr, then its arguments and environment
 *   flood N       N lines of 60 bytes on stdout
 *   sleep, spin   waits for ever, and never waits
 *   null, read_only, execute, stack, wild, abort    crashes of these kinds
 *   neighbour     runs over its stack in large frames, above another fiber's
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"

static int number; /* the second argument */

static int exit_status(void)
{
	return number;
}

static void exit_in_fiber(void *argument)
{
	(void)argument;
	guest_exit(number);
}

static int exit_now(void)
{
	fiber_spawn(exit_in_fiber, NULL);
	fiber_sleep(FOREVER);
	return 1;
}

static int used; /* fibers that ran */

static void use_stack(void *argument)
{
	volatile char page[8192];

	(void)argument;
	page[0] = page[sizeof(page) - 1] = 1;
	used += page[0];
	fiber_sleep(FOREVER);
}

/* The first thing that it does, so that the stacks are not all mapped yet. */
static int fibers(void)
{
	for (int i = 0; i < number; i++)
		if (fiber_spawn(use_stack, NULL) < 0)
			return 1;
	while (used < number)
		fiber_yield();
	return 0;
}

static int flood(void)
{
	for (int i = 0; i < number; i++)
		printf("line %08d ............................................\n", i);
	return 0;
}

static int wait_for_ever(void)
{
	printf("waiting\n");
	fiber_sleep(FOREVER);
	return 1;
}

static int spin_for_ever(void)
{
	printf("spinning\n");
	for (;;)
		__asm__ volatile("pause");
	return 1;
}

/* ---- crashes: the compiler must not see them coming */

static void *volatile hidden;

static int write_null(void)
{
	hidden = NULL;
	*(volatile int *)hidden = 1;
	return 0;
}

static int write_code(void)
{
	hidden = (void *)(uintptr_t)write_code;
	*(volatile char *)hidden = 1;
	return 0;
}

static int execute_data(void)
{
	static unsigned char code[] = {0xc3}; /* ret */

	hidden = code;
	((void (*)(void))(uintptr_t)hidden)();
	return 0;
}

static int deeper(volatile char *above, int depth)
{
	volatile char frame[512];

	frame[0] = above != NULL ? above[0] : 0;
	return depth == 0 ? frame[0] : deeper(frame, depth - 1) + frame[0];
}

static int overflow_stack(void)
{
	return deeper(NULL, 1 << 20);
}

/* bytes; only the low end is touched: the third one of a hosted stack is beyond its guard */
#define LARGE_FRAME 128000

static __attribute__((noinline)) int deeper_in_large_steps(int depth)
{
	volatile char frame[LARGE_FRAME];

	frame[0] = (char)depth;
	return depth == 0 ? frame[0] : deeper_in_large_steps(depth - 1) + frame[0];
}

static void fill_stack(void *argument)
{
	volatile unsigned char frame[48 << 10];

	(void)argument;
	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = 0x5a;
	fiber_sleep(FOREVER);
	frame[0] = 0;
}

static void run_over(void *argument)
{
	(void)argument;
	deeper_in_large_steps(3);
	printf("nothing stopped it\n");
	guest_exit(0);
}

static int overflow_onto_neighbour(void)
{
	fiber_spawn(fill_stack, NULL);
	fiber_spawn(run_over, NULL);
	fiber_sleep(FOREVER);
	return 1;
}

static int jump_wild(void)
{
	hidden = (void *)0x123456789000;
	((void (*)(void))(uintptr_t)hidden)();
	return 0;
}

static int call_abort(void)
{
	abort();
}

static int say(void);

static const struct outcome {
	const char *name;
	int (*run)(void);
} outcomes[] = {
	{"exit", exit_status},
	{"exit_now", exit_now},
	{"fibers", fibers},
	{"say", say},
	{"flood", flood},
	{"sleep", wait_for_ever},
	{"spin", spin_for_ever},
	{"null", write_null},
	{"read_only", write_code},
	{"execute", execute_data},
	{"stack", overflow_stack},
	{"wild", jump_wild},
	{"abort", call_abort},
	{"neighbour", overflow_onto_neighbour},
};

static int argument_count;
static char **arguments;

static int say(void)
{
	static const char *const names[] = {"FIRST", "SECOND", "EMPTY", "HOME"};

	printf("to stdout\n");
	fprintf(stderr, "to stderr\n");
	for (int i = 1; i < argument_count; i++)
		printf("argument %d: [%s]\n", i, arguments[i]);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);
		printf("%s: [%s]\n", names[i], value != NULL ? value : "unset");
	}
	return 0;
}

int main(int argc, char **argv)
{
	argument_count = argc;
	arguments = argv;
	number = argc > 2 ? atoi(argv[2]) : 0;
	for (unsigned i = 0; argc > 1 && i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (strcmp(argv[1], outcomes[i].name) == 0)
			return outcomes[i].run();
	fprintf(stderr, "outcome: no such outcome\n");
	return 99;
}
