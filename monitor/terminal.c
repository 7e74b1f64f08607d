#include "monitor/terminal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static void note(struct terminal *terminal)
{
	/* tcgetpgrp fails for any other terminal than the controlling one. */
	terminal->given = tcgetpgrp(STDIN_FILENO) == getpgrp() &&
			  tcgetattr(STDIN_FILENO, &terminal->modes) == 0;
}

/* SIGTTOU would stop who is not in the terminal's group yet, or any more. */
static int set_group(pid_t group)
{
	sigset_t set, before;

	sigemptyset(&set);
	sigaddset(&set, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &set, &before);
	int result = tcsetpgrp(STDIN_FILENO, group);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

void terminal_begin(struct terminal *terminal)
{
	note(terminal);
	terminal->present = terminal->given;
}

void terminal_seize(void)
{
	set_group(getpid());
}

void terminal_take(struct terminal *terminal)
{
	if (!terminal->given)
		return;
	terminal->given = false;
	if (set_group(getpgrp()) == 0)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->modes);
}

/* First the others of the group. Then this process, by a signal to the calling thread: that alone
 * has stopped it before the next line. In a group without a shell it stops nobody. */
static void stop_group(void)
{
	void (*before)(int) = signal(SIGTSTP, SIG_IGN);
	sigset_t set;

	kill(0, SIGTSTP);
	signal(SIGTSTP, before);
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGTSTP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void terminal_suspend(struct terminal *terminal, pid_t command)
{
	terminal_take(terminal);
	stop_group();
	/* The shell has put the job into the foreground, or not. */
	note(terminal);
	if (terminal->given)
		set_group(command);
	kill(-command, SIGCONT);
}
