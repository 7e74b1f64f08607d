/* What comes out of a guest: its console, its exit status, and a report when it crashes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/integration.h"

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

START_TEST(console)
{
	struct command monitor;

	expect_equal(run_outcome(&monitor, WORDS("say", "two words", "", "gr\xc3\xbc\xc3\x9f" "e")), 0);
	expect_out(&monitor, "to stdout\n"
			     "argument 1: [say]\nargument 2: [two words]\nargument 3: []\n"
			     "argument 4: [gr\xc3\xbc\xc3\x9f" "e]\n"
			     "FIRST: [unset]\nSECOND: [unset]\nEMPTY: [unset]\nHOME: [unset]\n");
	char *err = file_text(monitor.err, NULL);
	ck_assert_str_eq(err, "to stderr\n");
	free(err);
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

/* ---- crashes */

static const struct crash {
	const char *name;
	int signal;	    /* that ends a process which does this */
	const char *report; /* under KVM */
} crashes[] = {
	{"null", SIGSEGV, "write to unmapped address 0x0 (null pointer)"},
	{"read_only", SIGSEGV, "write to protected address"},
	{"execute", SIGSEGV, "jump to protected address"},
	{"stack", SIGSEGV, "stack overflow"},
	{"wild", SIGSEGV, "at rip 0x"},
	{"abort", SIGABRT, "guest panic: "},
};

/* Registers, and the way to the place by names. */
static void expect_report(const struct command *monitor, const struct crash *crash)
{
	static const char *const parts[] = {"guest panic: ", "rip 0x", "rsp 0x", "rax 0x", "rbp 0x",
		"r15 0x", "rflags 0x", "backtrace: 0x", "addr2line"};

	command_expect_error(monitor, crash->report);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		command_expect_error(monitor, parts[i]);
}

START_TEST(crash)
{
	struct command monitor;

	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
		int status = run_outcome(&monitor, WORDS(crashes[i].name));
		int wanted = engine_is_kvm() ? 134 : 128 + crashes[i].signal;
		if (status != wanted)
			ck_abort_msg("%s: status %d instead of %d\n%s", crashes[i].name, status,
				wanted, file_text(monitor.err, NULL));
		if (engine_is_kvm())
			expect_report(&monitor, &crashes[i]);
		else /* the message has to be clear: who ended, and of what */
			command_expect_error(&monitor, "guest");
	}
}
END_TEST

/* The names that the report tells how to get are those of the program. */
START_TEST(backtrace)
{
	struct command monitor, names;

	if (!engine_is_kvm())
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

static const struct integration_test tests[] = {
	{&exit_status, 60},
	{&console, 30},
	{&environment, 30},
	{&long_output, 60},
	{&crash, 60},
	{&backtrace, 30},
};

INTEGRATION_MAIN("outcome", tests, NULL)
