/*
 * --wrap with a command that talks to the user: it has the terminal while it runs, and who started
 * the monitor has it again afterwards. Each test is a shell script on a terminal of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS   20000
#define TEXT_ROOM 65536 /* bytes */

static int terminal; /* the user's side */
static pid_t shell;
static char text[TEXT_ROOM]; /* that was shown and not expected yet */

/* Runs the script, in which "$@" is the monitor with a guest under the command. */
static void start(const char *script, const char *command, const char *outcome)
{
	char *guest = guest_path("outcome");
	const char *const argv[] = {"sh", "-c", script, "sh", monitor_path(), "run", "--wrap",
		command, guest, outcome, "5", NULL};

	shell = forkpty(&terminal, NULL, NULL, NULL);
	expect(shell >= 0);
	if (shell == 0) {
		for (int i = 1; i <= 64; i++)
			signal(i, SIG_DFL);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	free(guest);
}

static void type(const char *keys)
{
	expect_equal(write(terminal, keys, strlen(keys)), strlen(keys));
}

/* Waits until this is shown, and forgets all up to there. */
static void expect_shown(const char *wanted)
{
	uint64_t until = clock_ms() + WAIT_MS;
	struct pollfd readable = {.fd = terminal, .events = POLLIN};
	char *found;

	while ((found = strstr(text, wanted)) == NULL) {
		size_t len = strlen(text);
		ssize_t n = poll(&readable, 1, 100) == 1
				    ? read(terminal, text + len, TEXT_ROOM - 1 - len)
				    : 0;
		/* EIO: all have gone. */
		if (n < 0 || clock_ms() > until)
			ck_abort_msg("the terminal does not show '%s', but\n%s", wanted, text);
		text[len + (size_t)n] = '\0';
	}
	found += strlen(wanted);
	memmove(text, found, strlen(found) + 1);
}

static void expect_end(void)
{
	int status;

	expect_shown("the end");
	expect_equal(waitpid(shell, &status, 0), shell);
	close(terminal);
	expect_nothing_left();
}

/* A command that asks the user for a word before it runs the guest. */
static char *make_asker(void)
{
	static const char script[] =
		"#!/bin/sh\necho 'which word?'\nread word\necho \"it is $word\"\nexec \"$@\"\n";
	char *path = scratch_path("asker");

	file_write(path, script, sizeof(script) - 1);
	expect_equal(chmod(path, 0700), 0);
	return path;
}

START_TEST(command_reads)
{
	if (engine_is_kvm())
		return;
	char *asker = make_asker();
	start("\"$@\"; echo status $?; read word; echo then $word; echo the end", asker, "exit");
	expect_shown("which word?");
	type("first\n");
	expect_shown("it is first");
	expect_shown("status 5");
	type("second\n");
	expect_shown("then second");
	expect_end();
	free(asker);
}
END_TEST

START_TEST(ctrl_c)
{
	if (engine_is_kvm())
		return;
	char *asker = make_asker();
	start("trap : INT; \"$@\"; echo status $?; read word; echo then $word; echo the end", asker,
		"exit");
	expect_shown("which word?");
	type("\x03");
	expect_shown("status 130");
	expect(strstr(text, "ferrule:") == NULL);
	type("second\n");
	expect_shown("then second");
	expect_end();
	free(asker);
}
END_TEST

/* The shell gets the job back, and fg makes it go on where it was. */
START_TEST(ctrl_z)
{
	if (engine_is_kvm())
		return;
	char *asker = make_asker();
	start("set -m; \"$@\"; echo status $?; read word; echo then $word; fg; echo status $?; "
	      "read word; echo then $word; echo the end",
		asker, "exit");
	expect_shown("which word?");
	type("\x1a");
	expect_shown("status 148"); /* 128 + SIGTSTP */
	type("second\n");
	expect_shown("then second");
	type("first\n");
	expect_shown("it is first");
	expect_shown("status 5");
	type("third\n");
	expect_shown("then third");
	expect_end();
	free(asker);
}
END_TEST

/* Also when the monitor is stopped from elsewhere, and what it killed had changed the modes. */
START_TEST(modes_come_back)
{
	static const char script[] = "#!/bin/sh\nstty -echo -icanon\necho changed\nsleep 100\n";
	char *path = scratch_path("changer");

	if (engine_is_kvm())
		return;
	file_write(path, script, sizeof(script) - 1);
	expect_equal(chmod(path, 0700), 0);
	start("(sleep 1; kill -TERM $(cat /proc/$$/task/$$/children | cut -d' ' -f2)) & \"$@\"; "
	      "echo status $?; stty -a; echo the end",
		path, "exit");
	expect_shown("changed");
	expect_shown("status 143");
	expect_shown(" icanon");
	expect_shown(" echo ");
	expect_end();
	free(path);
}
END_TEST

static const struct integration_test tests[] = {
	{&command_reads, 30},
	{&ctrl_c, 30},
	{&ctrl_z, 30},
	{&modes_come_back, 30},
};

INTEGRATION_MAIN("terminal", tests, NULL)
