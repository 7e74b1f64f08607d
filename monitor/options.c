#include "monitor/options.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/names.h"
#include "monitor/options_table.h"

#define DEFAULT_MEMORY  (256ull << 20) /* bytes */
#define DEFAULT_POLL_US 200u
#define HELP_COLUMN     30 /* where the help text begins */

/* ---- did you mean */

#define WORD_MAX 32 /* longer ones are like nothing we know */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

/* Letters to add, drop or change to make one word of the other. */
static unsigned distance(const char *a, size_t a_len, const char *b)
{
	size_t b_len = strlen(b);
	unsigned row[WORD_MAX + 1];

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned above = row[j];
			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

/* The option that such a word may be meant to be; NULL: none is near. */
static const struct option_row *nearest(const char *word, size_t len)
{
	const struct option_row *best = NULL;
	unsigned least = len > 3 ? 3 : 2; /* this far is too far */

	for (size_t i = 0; i < option_row_count; i++) {
		unsigned far = distance(word, len, option_rows[i].name);
		if (far < least) {
			least = far;
			best = &option_rows[i];
		}
	}
	return best;
}

/* ---- what other commands of the kind have */

struct foreign_option {
	const char *name; /* as it is written, dashes included */
	const char *hint; /* what to do instead */
};

static const struct foreign_option foreign_options[] = {
	{"--expose", "write --listen ADDR:PORT, or --publish PORT:GUESTPORT"},
	{"--net", "write --publish PORT:GUESTPORT and --connect HOST:PORT for what it may reach"},
	{"--network",
		"write --publish PORT:GUESTPORT and --connect HOST:PORT for what it may reach"},
	{"--volume", "write --mount HOSTDIR:GUESTDIR, or -v"},
	{"-d", "leave it out; put & behind the command to go on without it"},
	{"--detach", "leave it out; put & behind the command to go on without it"},
	{"-i", "leave it out; a guest has a console to write to and no stdin"},
	{"-t", "leave it out; a guest has a console to write to and no stdin"},
	{"-it", "leave it out; a guest has a console to write to and no stdin"},
	{"-ti", "leave it out; a guest has a console to write to and no stdin"},
	{"--interactive", "leave it out; a guest has a console to write to and no stdin"},
	{"--tty", "leave it out; a guest has a console to write to and no stdin"},
	{"--rm", "leave it out; nothing of a guest stays behind"},
	{"--name", "leave it out; a guest is known by its process id"},
	{"--restart", "leave it out; start it again from a shell or a service manager"},
	{"--cpus", "leave it out; a guest has one vCPU"},
	{"--entrypoint", "name the program as the image, and its arguments behind it"},
	{"--env-file", "write --env NAME=VALUE for each variable"},
};

/* The row of "--name" and "--name=x". */
static const struct foreign_option *find_foreign(const char *argument, size_t name_len)
{
	for (size_t i = 0; i < sizeof(foreign_options) / sizeof(foreign_options[0]); i++) {
		const char *name = foreign_options[i].name;
		size_t len = strlen(name);
		if (strncmp(argument, name, len) == 0 && len == name_len)
			return &foreign_options[i];
	}
	return NULL;
}

static int unknown_option(const char *argument, size_t name_len, char *ret_error, size_t error_len)
{
	size_t dashes = strspn(argument, "-");
	size_t len = name_len > dashes ? name_len - dashes : 0;
	const struct option_row *near = nearest(argument + dashes, len);
	const struct foreign_option *foreign = find_foreign(argument, name_len);

	if (foreign != NULL)
		return log_sentence(ret_error, error_len, EINVAL, "there is no option %s; %s",
			foreign->name, foreign->hint);
	if (near != NULL)
		return log_sentence(ret_error, error_len, EINVAL,
			"there is no option %.*s; did you mean --%s?", (int)name_len, argument,
			near->name);
	return log_sentence(ret_error, error_len, EINVAL,
		"there is no option %.*s; ferrule run --help lists them", (int)name_len, argument);
}

/* ---- the command line */

static const struct option_row *find_name(const char *name, size_t len)
{
	for (size_t i = 0; i < option_row_count; i++)
		if (strlen(option_rows[i].name) == len &&
			memcmp(option_rows[i].name, name, len) == 0)
			return &option_rows[i];
	return NULL;
}

static const struct option_row *find_letter(char letter)
{
	for (size_t i = 0; i < option_row_count; i++)
		if (option_rows[i].letter == letter)
			return &option_rows[i];
	return NULL;
}

/*
 * Which option 'argument' is, and the value written in the same argument (NULL: none), for
 * --NAME=VALUE and -LVALUE. NULL: there is no such option; *ret_len is what was looked for.
 */
static const struct option_row *find_option(
	const char *argument, const char **ret_value, size_t *ret_len)
{
	*ret_value = NULL;
	if (argument[1] != '-') {
		*ret_len = strlen(argument);
		if (*ret_len > 2)
			*ret_value = argument + 2;
		return find_letter(argument[1]);
	}
	const char *end = strchrnul(argument, '=');
	if (*end == '=')
		*ret_value = end + 1;
	*ret_len = (size_t)(end - argument);
	return find_name(argument + 2, *ret_len - 2);
}

/* Reads argv[0] and perhaps its value in argv[1]. Returns how many arguments that were, or a
 * negative errno. */
static int parse_option(
	struct options *options, int argc, char **argv, char *ret_error, size_t error_len)
{
	const char *value;
	size_t len;
	int taken = 1;
	const struct option_row *row = find_option(argv[0], &value, &len);

	if (row == NULL)
		return unknown_option(argv[0], len, ret_error, error_len);
	if (row->value == NULL && value != NULL)
		return log_sentence(ret_error, error_len, EINVAL,
			"--%s takes no value; leave '%s' out", row->name, value);
	if (row->value != NULL && value == NULL) {
		if (argc < 2)
			return log_sentence(ret_error, error_len, EINVAL,
				"--%s has no value; write --%s %s", row->name, row->name,
				row->value);
		value = argv[1];
		taken = 2;
	}
	int error = row->parse != NULL
			    ? row->parse(options, value, ret_error, error_len)
			    : row->grant(&options->config.grants, value, ret_error, error_len);
	return error ? error : taken;
}

static bool is_option(const char *argument)
{
	return argument[0] == '-' && argument[1] != '\0';
}

int options_parse(
	struct options *ret_options, int argc, char **argv, char *ret_error, size_t error_len)
{
	*ret_options = (struct options){
		.config = {.engine = "auto",
			.memory = DEFAULT_MEMORY,
			.poll_ns = DEFAULT_POLL_US * 1000ull},
	};
	int at = 0;
	while (at < argc && is_option(argv[at])) {
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		int taken = parse_option(ret_options, argc - at, argv + at, ret_error, error_len);
		if (taken < 0)
			return taken;
		if (ret_options->help || ret_options->version)
			return 0;
		at += taken;
	}
	if (at == argc)
		return log_sentence(ret_error, error_len, EINVAL,
			"no guest image is given; write ferrule run [options] GUEST.elf "
			"[arguments]");
	ret_options->config.image = argv[at];
	ret_options->config.argc = argc - at;
	ret_options->config.argv = argv + at;
	return 0;
}

void options_free(struct options *options)
{
	struct config *config = &options->config;

	for (int i = 0; i < config->envc; i++)
		free(config->env[i]);
	free(config->env);
	free(config->wrap);
	grants_free(&config->grants);
	names_free(&config->resolver);
	*options = (struct options){0};
}

/* ---- help */

static void print_row(FILE *file, const struct option_row *row)
{
	int at = row->letter ? fprintf(file, "  -%c, --%s", row->letter, row->name)
			     : fprintf(file, "      --%s", row->name);

	if (row->value != NULL)
		at += fprintf(file, " %s", row->value);
	if (at >= HELP_COLUMN) {
		fputc('\n', file);
		at = 0;
	}
	for (const char *line = row->help; *line != '\0'; at = 0) {
		int len = (int)strcspn(line, "\n");
		fprintf(file, "%*s%.*s\n", HELP_COLUMN - at, "", len, line);
		line += len + (line[len] == '\n');
	}
}

void options_help(FILE *file)
{
	for (size_t i = 0; i < option_row_count; i++)
		print_row(file, &option_rows[i]);
}
