/*
 * terminal: who has the controlling terminal that is stdin, while a hosted guest runs under a
 * command (--wrap) that talks to the user, such as a debugger. The command leads a process group
 * of its own, and only one group may read from the terminal.
 */
#ifndef FERRULE_MONITOR_TERMINAL_H
#define FERRULE_MONITOR_TERMINAL_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

struct terminal {
	bool present;         /* since the start: the command is to have it */
	bool given;           /* now: to the command's group */
	struct termios modes; /* from before; valid if 'given' */
};

/* Before the fork. Notes whether there is a terminal and it is this process's to give. */
void terminal_begin(struct terminal *terminal);
/* In the child, which leads its group by then. Async-signal-safe. */
void terminal_seize(void);
/* Back, if it was given; with its modes, which a command that was killed did not put back. */
void terminal_take(struct terminal *terminal);
/* The command was stopped (Ctrl-Z). Stops this process's group too, which is what its shell waits
 * for; then both go on. */
void terminal_suspend(struct terminal *terminal, pid_t command);

#endif
