/*
 * command: a program that a test starts. Its output goes to files in the scratch
 * directory, so nobody has to drain it and a failed test can show it. A command
 * never outlives its test: Check kills the test's process group, and the kernel
 * kills a command whose parent is gone. Start commands from a test's main thread.
 */
#ifndef FERRULE_TESTS_LIB_COMMAND_H
#define FERRULE_TESTS_LIB_COMMAND_H

#include <stddef.h>
#include <sys/types.h>

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_WORDS   ((const char *const[]){NULL})

struct command {
	pid_t pid;  /* 0: it has ended */
	int status; /* once it has: the exit status, or 128 and the signal, as a shell tells it */
	char out[128], err[128]; /* paths of what it writes to stdout and stderr */
};

/* argv[0] is looked up in PATH. Fails the test when it cannot be run. */
void command_start(struct command *ret_command, const char *const *argv);
/* Waits for its end; the status. Fails the test when it takes longer. */
int command_wait(struct command *command, int timeout_ms);
/* Sends a signal and waits for the end; the status. */
int command_stop(struct command *command, int signal);
/* Both: start and wait. */
int command_run(struct command *ret_command, const char *const *argv, int timeout_ms);

/* A whole file as a string, to be freed; *ret_len (may be NULL) without the 0 byte at its end. */
char *file_text(const char *path, size_t *ret_len);
/* The end of a file, short enough for a test's message. To be freed. */
char *file_tail(const char *path);
/* Waits until the file has this text in it, then gives what stands behind it, to be freed. */
char *command_wait_text(
	struct command *command, const char *path, const char *text, int timeout_ms);
/* Fails the test, showing all of stderr, unless stderr has this text in it. */
void command_expect_error(const struct command *command, const char *text);

/* Removes what the commands of this process have written: of a test that has passed. */
void command_forget_outputs(void);

/* Fails the test when this process has a child, or gets an orphan of one, that does not end. */
void expect_nothing_left(void);

#endif
