#include "tests/lib/integration.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/scratch.h"

#define STATUS_SKIP 77
#define WORDS_MAX   64
#define START_MS    20000
#define REAP_MS     5000

const char *engine = "kvm";

bool engine_is_kvm(void)
{
	return strcmp(engine, "kvm") == 0;
}

unsigned scale(unsigned quick, unsigned full)
{
	const char *wanted = getenv("FERRULE_FULL");

	return wanted != NULL && strcmp(wanted, "1") == 0 ? full : quick;
}

/* ---- the frame */

#ifdef __SANITIZE_ADDRESS__
/* Asked by LeakSanitizer: tests leave their memory to the end of their process. Monitors and
 * guests, which are programs of their own, are checked. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}
#endif

static void become_reaper(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* Why KVM cannot be used here; NULL: it can. */
static const char *kvm_missing(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? "there is no /dev/kvm" : "/dev/kvm cannot be opened";
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);
	close(fd);
	return version == KVM_API_VERSION ? NULL : "/dev/kvm is not KVM";
}

/* 0: go on. Else the program's exit status. */
static int check_kvm(void)
{
	const char *ci = getenv("CI"), *reason = kvm_missing();

	if (reason == NULL)
		return 0;
	bool fatal = ci != NULL && strcmp(ci, "true") == 0;
	printf("%s: %s\n", fatal ? "failed" : "skipped", reason);
	return fatal ? EXIT_FAILURE : STATUS_SKIP;
}

/* As check_kvm. */
static int check_tool(const char *name)
{
	char *command;

	if (name == NULL)
		return 0;
	if (asprintf(&command, "command -v %s >/dev/null", name) < 0)
		abort();
	int status = system(command);
	free(command);
	if (status == 0)
		return 0;
	printf("skipped: %s is not installed\n", name);
	return STATUS_SKIP;
}

static int check_arguments(int argc, char **argv)
{
	if (argc > 1)
		engine = argv[1];
	if (engine_is_kvm())
		return check_kvm();
	if (strcmp(engine, "process") == 0)
		return 0;
	fprintf(stderr, "usage: %s kvm|process\n", argv[0]);
	return EXIT_FAILURE;
}

static Suite *make_suite(const struct integration_suite *suite)
{
	Suite *made = suite_create(suite->name);

	for (size_t i = 0; i < suite->count; i++) {
		TCase *each = tcase_create((*suite->tests[i].test)->name);
		tcase_set_timeout(each, suite->tests[i].seconds);
		tcase_add_checked_fixture(each, become_reaper, command_forget_outputs);
		tcase_add_test(each, *suite->tests[i].test);
		suite_add_tcase(made, each);
	}
	return made;
}

/* The process that runs the tests. */
static pid_t runner;

static void pass_on(int signal)
{
	kill(runner, signal);
}

/* Check has killed the test's group, and the kernel what has made a group of its own. */
static void reap_orphans(void)
{
	uint64_t until = clock_ms() + REAP_MS;

	while (clock_ms() < until && (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD))
		sleep_ms(1);
}

/* In a process of their own, so that a signal that ends them leaves one that cleans up. */
static int run_apart(const struct integration_suite *suite)
{
	const struct sigaction action = {.sa_handler = pass_on};
	int status;

	runner = fork();
	if (runner < 0)
		return EXIT_FAILURE;
	if (runner == 0)
		_exit(suite_run(make_suite(suite)));
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	while (waitpid(runner, &status, 0) < 0 && errno == EINTR)
		;
	reap_orphans();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int integration_main(const struct integration_suite *suite, int argc, char **argv)
{
	/* Tests that fail lose what is not written yet. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	int status = check_arguments(argc, argv);
	if (status == 0)
		status = check_tool(suite->tool);
	if (status != 0)
		return status;
	if (scratch_create() < 0) {
		perror("a directory for the tests cannot be made");
		return EXIT_FAILURE;
	}
	become_reaper();
	status = run_apart(suite);
	if (status != 0)
		scratch_show_errors();
	scratch_remove();
	return status;
}

/* ---- guests */

/* The first of the directory that this program is in and its parents that has this file; NULL:
 * none. */
static char *find_built(const char *name)
{
	char directory[PATH_MAX], *path;
	ssize_t len = readlink("/proc/self/exe", directory, sizeof(directory) - 1);

	if (len < 0)
		ck_abort_msg("/proc/self/exe: %s", strerror(errno));
	directory[len] = '\0';
	for (char *slash; (slash = strrchr(directory, '/')) != NULL;) {
		*slash = '\0';
		if (asprintf(&path, "%s/%s", directory, name) < 0)
			abort();
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

const char *monitor_path(void)
{
	static char *path;

	if (path == NULL)
		path = find_built("monitor/ferrule");
	if (path == NULL)
		ck_abort_msg("monitor/ferrule is not built");
	return path;
}

char *guest_path(const char *name)
{
	static const char *const rooms[] = {"guest", "tests/guests"};
	const char *suffix = engine_is_kvm() ? ".elf" : "";
	char relative[128];

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		snprintf(relative, sizeof(relative), "%s/%s%s", rooms[i], name, suffix);
		char *path = find_built(relative);
		if (path != NULL)
			return path;
	}
	ck_abort_msg("the guest %s%s is not built", name, suffix);
}

void guest_start(struct command *ret_monitor, const char *const *options, const char *name,
	const char *const *arguments)
{
	const char *argv[WORDS_MAX] = {monitor_path(), "run", "--engine", engine};
	const char *io = getenv("FERRULE_IO");
	size_t count = 4;
	char *path = guest_path(name);

	if (io != NULL) {
		argv[count++] = "--io";
		argv[count++] = io;
	}
	for (; *options != NULL && count < WORDS_MAX - 2; options++)
		argv[count++] = *options;
	argv[count++] = path;
	for (; *arguments != NULL && count < WORDS_MAX - 1; arguments++)
		argv[count++] = *arguments;
	expect(*options == NULL && *arguments == NULL);
	command_start(ret_monitor, argv);
	free(path);
}

uint16_t guest_serve(struct command *ret_monitor, const char *const *options, const char *name,
	const char *const *arguments)
{
	uint64_t until = clock_ms() + START_MS;
	long port = 0;

	guest_start(ret_monitor, options, name, arguments);
	while (port == 0) {
		char *where =
			command_wait_text(ret_monitor, ret_monitor->out, "127.0.0.1:", START_MS);
		/* A number that nothing follows may not be all of it. */
		if (where[strspn(where, "0123456789")] != '\0')
			port = strtol(where, NULL, 10);
		free(where);
		if (clock_ms() > until)
			ck_abort_msg("%s does not say where it listens", name);
	}
	expect(port >= 1 && port <= 65535);
	return (uint16_t)port;
}

int guest_run(struct command *ret_monitor, const char *const *options, const char *name,
	const char *const *arguments, int timeout_ms)
{
	guest_start(ret_monitor, options, name, arguments);
	return command_wait(ret_monitor, timeout_ms);
}

void guest_stop(struct command *monitor, uint16_t port)
{
	expect_equal(command_stop(monitor, SIGTERM), 128 + SIGTERM);
	if (port != 0)
		expect_no_listener(port);
	expect_nothing_left();
}

double guest_counter(const struct command *monitor, const char *name)
{
	char *text = file_text(monitor->err, NULL);
	size_t len = strlen(name);

	for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ') {
			double value = strtod(line + len, NULL);
			free(text);
			return value;
		}
	}
	ck_abort_msg("--stats has no %s:\n%s", name, text);
}

void guest_expect_no_leak(const struct command *monitor)
{
	expect_equal(
		guest_counter(monitor, "streams_closed"), guest_counter(monitor, "streams_opened"));
	expect_equal(guest_counter(monitor, "streams_left"), 0);
	expect_equal(guest_counter(monitor, "ring_bytes_left"), 0);
	expect_equal(guest_counter(monitor, "descriptors_left"), 0);
	expect_equal(guest_counter(monitor, "broken_pipes_by_guest"), 0);
}
