/* The command line: options, their values, and the sentence that each mistake earns. */
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/options.h"
#include "tests/lib/suite.h"

#define ARGUMENTS_MAX 8

/* Up to the first NULL, as after `ferrule run`. */
struct command_line {
	const char *argument[ARGUMENTS_MAX + 1];
};

static struct options options;
static char error_text[512];

static int parse(const struct command_line *line)
{
	static char *argv[ARGUMENTS_MAX + 1];
	int argc = 0;

	for (; line->argument[argc] != NULL; argc++) {
		free(argv[argc]);
		argv[argc] = strdup(line->argument[argc]);
	}
	error_text[0] = '\0';
	options_free(&options);
	return options_parse(&options, argc, argv, error_text, sizeof(error_text));
}

#define PARSE(...) parse(&(struct command_line){{__VA_ARGS__}})

static void setup(void)
{
	options = (struct options){0};
}

static void teardown(void)
{
	options_free(&options);
}

START_TEST(defaults_are_as_documented)
{
	ck_assert_int_eq(PARSE("web.elf"), 0);
	ck_assert_str_eq(options.config.image, "web.elf");
	ck_assert_str_eq(options.config.engine, "auto");
	ck_assert_int_eq(options.config.io, IO_AUTO);
	ck_assert_uint_eq(options.config.memory, 256 << 20);
	ck_assert_uint_eq(options.config.poll_ns, 200000);
	ck_assert_int_eq(options.config.envc, 0);
	ck_assert(!options.config.stats && !options.help && !options.version);
	for (int use = 0; use < GRANT_USE_COUNT; use++)
		ck_assert_uint_eq(options.config.grants.net[use].count, 0);
	ck_assert_uint_eq(options.config.grants.publish_count, 0);
	ck_assert_uint_eq(options.config.grants.mount_count, 0);
}
END_TEST

START_TEST(image_ends_the_options)
{
	ck_assert_int_eq(PARSE("--stats", "web.elf", "--memory", "x", "-h"), 0);
	ck_assert(options.config.stats);
	ck_assert_int_eq(options.config.argc, 4);
	ck_assert_str_eq(options.config.argv[0], "web.elf");
	ck_assert_str_eq(options.config.argv[3], "-h");
}
END_TEST

START_TEST(two_dashes_end_the_options)
{
	ck_assert_int_eq(PARSE("--stats", "--", "--odd.elf", "one"), 0);
	ck_assert_str_eq(options.config.image, "--odd.elf");
	ck_assert_int_eq(options.config.argc, 2);
}
END_TEST

START_TEST(value_follows_or_is_attached)
{
	ck_assert_int_eq(PARSE("--memory", "64M", "g"), 0);
	ck_assert_uint_eq(options.config.memory, 64 << 20);
	ck_assert_int_eq(PARSE("--memory=64M", "g"), 0);
	ck_assert_uint_eq(options.config.memory, 64 << 20);
	ck_assert_int_eq(PARSE("-m", "64M", "g"), 0);
	ck_assert_uint_eq(options.config.memory, 64 << 20);
	ck_assert_int_eq(PARSE("-m64M", "g"), 0);
	ck_assert_uint_eq(options.config.memory, 64 << 20);
}
END_TEST

static const struct {
	const char *text;
	uint64_t bytes; /* 0: refused */
} sizes[] = {
	{"1048576", 1 << 20},
	{"2048k", 2 << 20},
	{"3M", 3 << 20},
	{"3m", 3 << 20},
	{"3MB", 3 << 20},
	{"3MiB", 3 << 20},
	{"2G", 2ull << 30},
	{"1T", 1ull << 40},
	{"1048577", (1 << 20) + 4096},
	{"1025k", (1 << 20) + 4096},
	{"", 0},
	{"0", 0},
	{"M", 0},
	{"-1M", 0},
	{"+1M", 0},
	{" 1M", 0},
	{"1.5G", 0},
	{"12X", 0},
	{"12MM", 0},
	{"1M ", 0},
	{"256", 0},
	{"2T", 0},
	{"1025G", 0},
	{"18446744073709551615", 0},
	{"18446744073709551616", 0},
	{"17179869184G", 0},
};

START_TEST(memory_is_a_size)
{
	int result = PARSE("--memory", sizes[_i].text, "g");

	if (sizes[_i].bytes != 0) {
		ck_assert_msg(result == 0, "%s: %s", sizes[_i].text, error_text);
		ck_assert_uint_eq(options.config.memory, sizes[_i].bytes);
	} else {
		ck_assert_msg(result < 0, "%s was taken", sizes[_i].text);
		ck_assert_ptr_nonnull(strstr(error_text, "; "));
	}
}
END_TEST

START_TEST(env_is_set_copied_and_replaced)
{
	setenv("FERRULE_TEST_OWN", "of the monitor", 1);
	unsetenv("FERRULE_TEST_NONE");
	ck_assert_int_eq(
		PARSE("--env", "A=1", "-e", "AB=2", "-eFERRULE_TEST_OWN", "--env=A=3=4", "g"), 0);
	ck_assert_int_eq(options.config.envc, 3);
	ck_assert_str_eq(options.config.env[0], "A=3=4");
	ck_assert_str_eq(options.config.env[1], "AB=2");
	ck_assert_str_eq(options.config.env[2], "FERRULE_TEST_OWN=of the monitor");
	ck_assert_int_lt(PARSE("--env", "FERRULE_TEST_NONE", "g"), 0);
	ck_assert_int_lt(PARSE("--env", "=1", "g"), 0);
	ck_assert_int_lt(PARSE("--env", "", "g"), 0);
}
END_TEST

START_TEST(wrap_is_words)
{
	ck_assert_int_eq(PARSE("g"), 0);
	ck_assert_ptr_null(options.config.wrap);
	ck_assert_int_eq(PARSE("--wrap", " valgrind  -q ", "g"), 0);
	ck_assert_str_eq(options.config.wrap[0], "valgrind");
	ck_assert_str_eq(options.config.wrap[1], "-q");
	ck_assert_ptr_null(options.config.wrap[2]);
	ck_assert_int_eq(PARSE("--wrap=a b c", "--wrap", "d", "g"), 0);
	ck_assert_str_eq(options.config.wrap[0], "d");
	ck_assert_ptr_null(options.config.wrap[1]);
	ck_assert_int_lt(PARSE("--wrap", " ", "g"), 0);
	ck_assert_int_lt(PARSE("--wrap", "", "g"), 0);
}
END_TEST

START_TEST(poll_is_in_microseconds)
{
	ck_assert_int_eq(PARSE("--poll-us", "0", "g"), 0);
	ck_assert_uint_eq(options.config.poll_ns, 0);
	ck_assert_int_eq(PARSE("--poll-us=1000000", "g"), 0);
	ck_assert_uint_eq(options.config.poll_ns, 1000000000);
	ck_assert_int_lt(PARSE("--poll-us", "1000001", "g"), 0);
	ck_assert_int_lt(PARSE("--poll-us", "-1", "g"), 0);
	ck_assert_int_lt(PARSE("--poll-us", "50us", "g"), 0);
}
END_TEST

START_TEST(log_level_and_engine_are_words)
{
	ck_assert_int_eq(PARSE("--log-level", "debug", "--engine=process", "g"), 0);
	ck_assert_int_eq(log_level, LOG_DEBUG);
	ck_assert_str_eq(options.config.engine, "process");
	ck_assert_int_lt(PARSE("--log-level", "loud", "g"), 0);
	ck_assert_int_lt(PARSE("--engine", "qemu", "g"), 0);
}
END_TEST

START_TEST(io_is_a_word)
{
	ck_assert_int_eq(PARSE("--io", "uring", "g"), 0);
	ck_assert_int_eq(options.config.io, IO_URING);
	ck_assert_int_eq(PARSE("--io=event", "g"), 0);
	ck_assert_int_eq(options.config.io, IO_EVENT);
	ck_assert_int_eq(PARSE("--io", "event", "--io", "auto", "g"), 0);
	ck_assert_int_eq(options.config.io, IO_AUTO);
	ck_assert_int_lt(PARSE("--io", "epoll", "g"), 0);
}
END_TEST

START_TEST(help_and_version_need_no_image)
{
	ck_assert_int_eq(PARSE("--help"), 0);
	ck_assert(options.help);
	ck_assert_int_eq(PARSE("-h", "--nonsense"), 0);
	ck_assert(options.help);
	ck_assert_int_eq(PARSE("--version"), 0);
	ck_assert(options.version);
}
END_TEST

static const struct {
	struct command_line line;
	const char *says; /* part of the sentence */
} mistakes[] = {
	{{{NULL}}, "no guest image"},
	{{{"--stats"}}, "no guest image"},
	{{{"--"}}, "no guest image"},
	{{{"--memroy", "1G", "g"}}, "did you mean --memory?"},
	{{{"--lisen=127.0.0.1:1", "g"}}, "no option --lisen; did you mean --listen?"},
	{{{"--mounts", "/a:/b", "g"}}, "did you mean --mount?"},
	{{{"--stat", "g"}}, "did you mean --stats?"},
	{{{"-stats", "g"}}, "did you mean"},
	{{{"--frobnicate", "g"}}, "ferrule run --help"},
	{{{"--a-very-long-option-that-nobody-could-ever-have-meant", "g"}}, "ferrule run --help"},
	{{{"-x", "g"}}, "no option -x"},
	{{{"-p", "8080", "g"}},
		"--publish '8080' is not a port of this machine and a port of the guest; write"},
	{{{"-p8080:http", "g"}}, "write [ADDR:]PORT:GUESTPORT, for example 8080:80"},
	{{{"--publish=8080:80:", "g"}}, "write [ADDR:]PORT:GUESTPORT, for example 8080:80"},
	{{{"--udp", "127.0.0.1", "g"}}, "--udp '127.0.0.1' is not a host and a port; write"},
	{{{"--grants", "/no/such/file", "g"}},
		"--grants '/no/such/file' cannot be opened (ENOENT); correct"},
	{{{"--grants", "/", "g"}}, "--grants '/' cannot be read; is it a directory?"},
	{{{"--network=host", "g"}}, "no option --network; write --publish"},
	{{{"--volume", "/a:/b", "g"}}, "no option --volume; write --mount"},
	{{{"-d", "g"}}, "no option -d; leave it out"},
	{{{"-it", "g"}}, "no option -it; leave it out"},
	{{{"--rm", "g"}}, "no option --rm; leave it out"},
	{{{"--name", "web", "g"}}, "no option --name; leave it out"},
	{{{"--publisher", "x", "g"}}, "did you mean --publish?"},
	{{{"--=1", "g"}}, "no option --"},
	{{{"--stats=yes", "g"}}, "takes no value"},
	{{{"--listen"}}, "--listen has no value; write --listen HOST:PORTS"},
	{{{"-m"}}, "--memory has no value"},
	{{{"-m", "256", "g"}}, "less than any guest needs; write a size with k, M or G"},
	{{{"--listen", "no_where:80", "g"}},
		"--listen 'no_where:80' has a host name that is not known here; write"},
	{{{"--connect", "host", "g"}}, "--connect 'host'"},
	{{{"--mount", "/", "g"}}, "--mount '/'"},
	{{{"--mount", "/no/such/directory:/x", "g"}}, "is not there"},
};

START_TEST(mistakes_earn_a_sentence)
{
	ck_assert_int_lt(parse(&mistakes[_i].line), 0);
	ck_assert_msg(strstr(error_text, mistakes[_i].says) != NULL, "'%s' is not in '%s'",
		mistakes[_i].says, error_text);
	ck_assert_msg(strstr(error_text, "; ") != NULL, "no remedy in '%s'", error_text);
	ck_assert_ptr_null(strchr(error_text, '\n'));
}
END_TEST

START_TEST(help_names_every_option)
{
	static const char *const names[] = {"--listen HOST:PORTS", "--connect HOST:PORTS",
		"--udp HOST:PORTS", "-p, --publish [ADDR:]PORT:GUESTPORT", "--grants FILE", "--limit NAME=N",
		"--mount HOSTDIR:GUESTDIR[:rw]", "--engine kvm|process|auto",
		"--io uring|event|auto", "--memory SIZE", "--env NAME", "--wrap COMMAND",
		"--poll-us N", "--log-level LEVEL", "--stats", "--help", "--version"};
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	options_help(file);
	fclose(file);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(strstr(text, names[i]) != NULL, "--help has no %s", names[i]);
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
		ck_assert_uint_le(strcspn(line, "\n"), 90);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tests = tcase_create("options");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, defaults_are_as_documented);
	tcase_add_test(tests, image_ends_the_options);
	tcase_add_test(tests, two_dashes_end_the_options);
	tcase_add_test(tests, value_follows_or_is_attached);
	tcase_add_loop_test(tests, memory_is_a_size, 0, (int)(sizeof(sizes) / sizeof(sizes[0])));
	tcase_add_test(tests, env_is_set_copied_and_replaced);
	tcase_add_test(tests, wrap_is_words);
	tcase_add_test(tests, poll_is_in_microseconds);
	tcase_add_test(tests, log_level_and_engine_are_words);
	tcase_add_test(tests, io_is_a_word);
	tcase_add_test(tests, help_and_version_need_no_image);
	tcase_add_loop_test(
		tests, mistakes_earn_a_sentence, 0, (int)(sizeof(mistakes) / sizeof(mistakes[0])));
	tcase_add_test(tests, help_names_every_option);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
