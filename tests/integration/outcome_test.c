/* What comes out of a guest: its console, its exit status, and a report when it crashes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 20000

static int run_outcome(struct command *ret_monitor, const char *const *arguments)
{
	int status = guest_run(ret_monitor, NO_WORDS, "outcome", arguments, WAIT_MS);

	expect_nothing_left();
	return status;
}

static void expect_out(const struct command *monitor, const char *wanted)
{
	char *out = file_text(monitor->out, NULL);

	if (strcmp(out, wanted) != 0)
		ck_abort_msg("stdout is\n%s\ninstead of\n%s", out, wanted);
	free(out);
}

START_TEST(exit_status)
{
	static const char *const numbers[] = {"0", "1", "2", "7", "77", "134", "255"};
	struct command monitor;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		expect_equal(run_outcome(&monitor, WORDS("exit", numbers[i])), atoi(numbers[i]));
		expect_equal(run_outcome(&monitor, WORDS("exit_now", numbers[i])), atoi(numbers[i]));
		expect_out(&monitor, "");
	}
}
END_TEST

/* More than are mapped before the guest runs, before it has had time for anything else. */
START_TEST(many_fibers_at_once)
{
	struct command monitor;

	for (int i = 0; i < 2; i++)
		expect_equal(run_outcome(&monitor, WORDS("fibers", "200")), 0);
}
END_TEST

START_TEST(console)
{
	struct command monitor;

	expect_equal(run_outcome(&monitor, WORDS("say", "two words", "", "gr\303\274\303\237e")), 0);
	expect_out(&monitor, "to stdout\n"
			     "argument 1: [say]\nargument 2: [two words]\nargument 3: []\n"
			     "argument 4: [gr\303\274\303\237e]\n"
			     "FIRST: [unset]\nSECOND: [unset]\nEMPTY: [unset]\nHOME: [unset]\n");
	char *err = file_text(monitor.err, NULL);
	ck_assert_str_eq(err, "to stderr\n");
	free(err);
}
END_TEST

/* ---- descriptors 0 to 2 that were closed */

static bool is_null(pid_t pid, int fd)
{
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && strcmp(target, "/dev/null") == 0;
}

START_TEST(closed_descriptors)
{
	char *outcome = guest_path("outcome");
	uint64_t until = clock_ms() + WAIT_MS;
	struct command monitor;

	command_start(&monitor, WORDS("sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh", monitor_path(),
					"run", "--engine", engine, outcome, "sleep"));
	for (int fd = 0; fd <= 2; fd++)
		while (!is_null(monitor.pid, fd)) {
			expect(clock_ms() < until);
			sleep_ms(1);
		}
	guest_stop(&monitor, 0);
	expect_equal(command_run(&monitor,
			     WORDS("sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh", monitor_path(),
				     "run", "--engine", engine, outcome, "exit", "7"),
			     WAIT_MS),
		7);
	free(outcome);
}
END_TEST

/* Only what --env names; without a value, the monitor's own. */
START_TEST(environment)
{
	struct command monitor;

	setenv("SECOND", "from the monitor", 1);
	int status = guest_run(&monitor,
		WORDS("--env", "FIRST=with = and spaces", "--env", "SECOND", "--env", "EMPTY="),
		"outcome", WORDS("say"), WAIT_MS);
	expect_equal(status, 0);
	expect_out(&monitor, "to stdout\nargument 1: [say]\nFIRST: [with = and spaces]\n"
			     "SECOND: [from the monitor]\nEMPTY: []\nHOME: [unset]\n");
}
END_TEST

/* More than any page or pipe holds, whole and in order. */
START_TEST(long_output)
{
	struct command monitor;
	char line[64];
	int number = 0;

	expect_equal(run_outcome(&monitor, WORDS("flood", "5000")), 0);
	FILE *out = fopen(monitor.out, "re");
	expect(out != NULL);
	while (fgets(line, sizeof(line), out) != NULL) {
		expect_equal(strlen(line), 59);
		expect_equal(atoi(line + 5), number);
		number++;
	}
	fclose(out);
	expect_equal(number, 5000);
}
END_TEST

/* ---- programs */

/* The command of --wrap would look in $PATH for a name without a slash; the image is the file. */
START_TEST(wrapped_bare_name)
{
	static const char script[] = "cd \"$1\"; shift; exec \"$@\"";
	char *hosted = guest_path("outcome"), *directory = scratch_subdir("bare"),
	     *name = scratch_path("bare/true"), *target = realpath(hosted, NULL),
	     *ferrule = realpath(monitor_path(), NULL);
	struct command monitor;

	if (engine_is_kvm())
		return;
	expect(target != NULL && ferrule != NULL);
	expect_equal(symlink(target, name), 0);
	int status = command_run(&monitor,
		WORDS("sh", "-c", script, "sh", directory, ferrule, "run", "--wrap", "env", "true",
			"exit", "5"),
		WAIT_MS);
	if (status != 5)
		ck_abort_msg("status %d\n%s", status, file_tail(monitor.err));
	free(ferrule);
	free(target);
	free(name);
	free(directory);
	free(hosted);
}
END_TEST

/* Asked for a process, the monitor takes the hosted guest beside the image for KVM. */
START_TEST(sibling)
{
	char *hosted = guest_path("outcome"), *image, *alone;
	struct command monitor;
	size_t len;

	if (engine_is_kvm())
		return;
	expect(asprintf(&image, "%s.elf", hosted) > 0);
	expect_equal(
		command_run(&monitor,
			WORDS(monitor_path(), "run", "--engine", "process", image, "exit", "7"),
			WAIT_MS),
		7);
	char *bytes = file_text(image, &len);
	alone = scratch_path("alone.elf");
	file_write(alone, bytes, len);
	expect_equal(command_run(&monitor,
			     WORDS(monitor_path(), "run", "--engine", "process", alone), WAIT_MS),
		2);
	command_expect_error(&monitor, "--engine process needs a hosted guest and there is no");
	free(bytes);
	free(alone);
	free(image);
	free(hosted);
}
END_TEST

static const struct program {
	const char *name, *grants;
	const char *too_many[4]; /* arguments that it cannot use */
} programs[] = {
	{"chargen", "It needs the grant --listen", {"127.0.0.1:1", "more"}},
	{"discard", "It needs the grant --listen", {"127.0.0.1:1", "more"}},
	{"echo", "It needs the grant --listen", {"127.0.0.1:1", "more"}},
	{"fetch", "It needs the grant --connect", {"a", "b"}},
	{"dns-forward", "It needs the grant --udp", {"127.0.0.1:1"}},
	{"kv", "It needs the grant --listen", {"--nonsense"}},
	{"relay", "It needs the grants --listen ADDR:PORT or --unix PATH:listen, and", {"a"}},
	{"web", "It needs the grants --listen ADDR:PORT and --mount", {"--nonsense"}},
};

/* Each program says what it is for, and which grants it needs, without any. */
START_TEST(help)
{
	struct command monitor;
	char usage[64];

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		const struct program *program = &programs[i];
		expect_equal(
			guest_run(&monitor, NO_WORDS, program->name, WORDS("--help"), WAIT_MS), 0);
		char *out = file_text(monitor.out, NULL);
		snprintf(usage, sizeof(usage), "usage: %s ", program->name);
		if (strncmp(out, usage, strlen(usage)) != 0 || strstr(out, program->grants) == NULL)
			ck_abort_msg("%s --help says\n%s", program->name, out);
		free(out);
		expect_equal(
			guest_run(&monitor, NO_WORDS, program->name, program->too_many, WAIT_MS),
			2);
		command_expect_error(&monitor, usage);
		command_expect_error(&monitor, "--help explains");
	}
}
END_TEST

/* ---- crashes */

static const struct crash {
	const char *name;
	const char *report;
} crashes[] = {
	{"null", "write to unmapped address 0x0 (null pointer)"},
	{"read_only", "write to protected address"},
	{"execute", "jump to protected address"},
	{"stack", "stack overflow of fiber stack"},
	{"wild", "jump to unmapped address 0x123456789000"},
	{"abort", "guest panic: abort() was called at rip 0x"},
};

/* A sanitizer reports crashes of a hosted guest itself, and ends it with a status of its own. */
static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return !engine_is_kvm();
#else
	return false;
#endif
}

/* Registers, and the way to the place by names. */
static void expect_report(const struct command *monitor, const struct crash *crash)
{
	static const char *const parts[] = {"guest panic: ", "rip 0x", "rsp 0x", "rax 0x", "rbp 0x",
		"r15 0x", "rflags 0x", "backtrace: 0x"};

	command_expect_error(monitor, crash->report);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		command_expect_error(monitor, parts[i]);
}

START_TEST(crash)
{
	struct command monitor;

	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
		int status = run_outcome(&monitor, WORDS(crashes[i].name));
		if (is_sanitized()) {
			expect(status != 0);
			continue;
		}
		if (status != 134)
			ck_abort_msg("%s: status %d\n%s", crashes[i].name, status,
				file_text(monitor.err, NULL));
		expect_report(&monitor, &crashes[i]);
	}
}
END_TEST

/* The names that the report tells how to get are those of the program. */
START_TEST(backtrace)
{
	struct command monitor, names;

	if (is_sanitized())
		return;
	expect_equal(run_outcome(&monitor, WORDS("null")), 134);
	char *err = file_text(monitor.err, NULL);
	char *command = strstr(err, "names: ");
	expect(command != NULL);
	command[strcspn(command, "\n")] = '\0';
	expect_equal(command_run(&names, WORDS("sh", "-c", command + 7), WAIT_MS), 0);
	char *text = file_text(names.out, NULL);
	if (strstr(text, "write_null") == NULL)
		ck_abort_msg("'%s' says\n%s%s", command + 7, text, file_text(names.err, NULL));
	free(text);
	free(err);
}
END_TEST

/* A stack that runs over next to another: past the guard in steps of whole frames, larger than it. */
START_TEST(neighbour_stack)
{
	struct command monitor;
	int status = run_outcome(&monitor, WORDS("neighbour"));

	expect(status != 0);
	if (!is_sanitized()) {
		expect_equal(status, 134);
		command_expect_error(&monitor, "stack overflow of fiber stack");
	}
	expect_out(&monitor, "");
}
END_TEST

/* Who reads the console goes away: the guest goes on to its end. */
START_TEST(closed_console)
{
	char *outcome = guest_path("outcome");
	struct command pipeline;

	command_run(&pipeline,
		WORDS("bash", "-c",
			"{ \"$@\"; echo status $? >&2; } | head -c 1 >/dev/null", "bash",
			monitor_path(), "run", "--engine", engine, outcome, "flood", "5000"),
		WAIT_MS);
	command_expect_error(&pipeline, "status 0");
	free(outcome);
	expect_nothing_left();
}
END_TEST

static const struct integration_test tests[] = {
	{&exit_status, 60},
	{&many_fibers_at_once, 60},
	{&console, 30},
	{&closed_descriptors, 60},
	{&environment, 30},
	{&long_output, 60},
	{&wrapped_bare_name, 30},
	{&sibling, 30},
	{&help, 60},
	{&crash, 60},
	{&backtrace, 30},
	{&neighbour_stack, 30},
	{&closed_console, 30},
};

INTEGRATION_MAIN("outcome", tests, NULL)
