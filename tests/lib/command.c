#include "tests/lib/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define STOP_MS  15000 /* the monitor itself gives what is under way 5 s */
#define LEFT_MS  5000
#define SIGNALS  64
#define TAIL_LEN 3000 /* bytes; Check fails to pass on messages that are much longer */

static const sigset_t *all_signals(void)
{
	static sigset_t all;

	sigfillset(&all);
	return &all;
}

static void redirect(const char *path, int fd)
{
	int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (file < 0 || dup2(file, fd) < 0)
		_exit(126);
}

static _Noreturn void become(const struct command *command, const char *const *argv, pid_t parent)
{
	/* Check's own handlers would end the whole group of the test. */
	for (int i = 1; i <= SIGNALS; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, all_signals(), NULL);
	/* The second look is for a parent that was gone before the first. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		_exit(126);
	redirect(command->out, STDOUT_FILENO);
	redirect(command->err, STDERR_FILENO);
	/* execvp keeps the strings as they are; its type is older than const. */
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static unsigned started;

static void output_path(char *ret_path, size_t room, unsigned number, const char *suffix)
{
	snprintf(ret_path, room, "%s/%d-%u.%s", scratch_dir(), (int)getpid(), number, suffix);
}

void command_start(struct command *ret_command, const char *const *argv)
{
	struct command command = {.status = -1};
	pid_t parent = getpid();
	sigset_t before;

	output_path(command.out, sizeof(command.out), started, "out");
	output_path(command.err, sizeof(command.err), started++, "err");
	close(open(command.out, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	close(open(command.err, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	sigprocmask(SIG_BLOCK, all_signals(), &before);
	command.pid = fork();
	if (command.pid == 0)
		become(&command, argv, parent);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (command.pid < 0)
		ck_abort_msg("fork: %s", strerror(errno));
	*ret_command = command;
}

/* Has it ended? */
static bool command_reap(struct command *command)
{
	int status;

	if (command->pid == 0)
		return true;
	pid_t pid = waitpid(command->pid, &status, WNOHANG);
	if (pid < 0)
		ck_abort_msg("waitpid: %s", strerror(errno));
	if (pid == 0)
		return false;
	command->pid = 0;
	command->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return true;
}

int command_wait(struct command *command, int timeout_ms)
{
	uint64_t until = clock_ms() + (uint64_t)timeout_ms;

	while (!command_reap(command)) {
		if (clock_ms() > until)
			ck_abort_msg("%s: it has not ended after %d ms", command->err, timeout_ms);
		sleep_ms(1);
	}
	return command->status;
}

int command_stop(struct command *command, int signal)
{
	if (command->pid != 0 && kill(command->pid, signal) < 0)
		ck_abort_msg("kill: %s", strerror(errno));
	return command_wait(command, STOP_MS);
}

int command_run(struct command *ret_command, const char *const *argv, int timeout_ms)
{
	command_start(ret_command, argv);
	return command_wait(ret_command, timeout_ms);
}

char *file_text(const char *path, size_t *ret_len)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0)
		ck_abort_msg("%s: %s", path, strerror(errno));
	size_t room = (size_t)status.st_size, len = 0;
	char *text = malloc(room + 1);
	while (text != NULL && len < room) {
		ssize_t n = read(fd, text + len, room - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	if (text == NULL)
		ck_abort_msg("%s: no memory", path);
	text[len] = '\0';
	if (ret_len != NULL)
		*ret_len = len;
	return text;
}

char *file_tail(const char *path)
{
	size_t len;
	char *text = file_text(path, &len);

	if (len > TAIL_LEN)
		memmove(text, text + len - TAIL_LEN, TAIL_LEN + 1);
	return text;
}

char *command_wait_text(struct command *command, const char *path, const char *text, int timeout_ms)
{
	uint64_t until = clock_ms() + (uint64_t)timeout_ms;

	for (;;) {
		bool ended = command_reap(command);
		char *all = file_text(path, NULL);
		char *found = strstr(all, text);
		if (found != NULL) {
			char *rest = strdup(found + strlen(text));
			free(all);
			return rest;
		}
		free(all);
		if (ended || clock_ms() > until)
			ck_abort_msg("%s: '%s' does not come; status %d, stderr:\n%s", path, text,
				command->status, file_tail(command->err));
		sleep_ms(1);
	}
}

void command_expect_error(const struct command *command, const char *text)
{
	char *all = file_text(command->err, NULL);

	if (strstr(all, text) == NULL)
		ck_abort_msg("stderr does not say '%s':\n%s", text, file_tail(command->err));
	free(all);
}

void command_forget_outputs(void)
{
	char path[128];

	while (started-- > 0) {
		output_path(path, sizeof(path), started, "out");
		unlink(path);
		output_path(path, sizeof(path), started, "err");
		unlink(path);
	}
}

/* What the children of this process are called, for the message. */
static void name_children(char *ret_names, size_t room)
{
	size_t used = 0;
	int pid;
	FILE *children = fopen("/proc/thread-self/children", "re");

	ret_names[0] = '\0';
	while (children != NULL && fscanf(children, "%d", &pid) == 1) {
		char path[64], name[64] = "?";
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		FILE *file = fopen(path, "re");
		if (file != NULL && fgets(name, sizeof(name), file) != NULL)
			name[strcspn(name, "\n")] = '\0';
		if (file != NULL)
			fclose(file);
		used += (size_t)snprintf(ret_names + used, room - used, " %d (%s)", pid, name);
		if (used >= room)
			break;
	}
	if (children != NULL)
		fclose(children);
}

void expect_nothing_left(void)
{
	uint64_t until = clock_ms() + LEFT_MS;
	char names[256];

	/* integration_main made this process the one that orphans below it go to. */
	while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
		if (clock_ms() > until) {
			name_children(names, sizeof(names));
			ck_abort_msg("processes are left behind:%s", names);
		}
		sleep_ms(1);
	}
}
