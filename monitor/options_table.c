#include "monitor/options_table.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/names.h"

#define MEMORY_MIN  (1ull << 20) /* bytes; what an image needs is the engine's to say */
#define MEMORY_MAX  (1ull << 40) /* bytes */
#define MEMORY_UNIT 4096u        /* bytes; sizes are rounded up to it */
#define POLL_US_MAX 1000000u

static option_parse parse_dns, parse_add_host, parse_bundle, parse_engine, parse_io, parse_memory,
	parse_limit, parse_env, parse_wrap, parse_poll, parse_log_level, parse_stats, parse_help,
	parse_version;

const struct option_row option_rows[] = {
	{"listen", 0, "HOST:PORTS",
		"the guest may listen there. HOST: an address, a range\n"
		"(10.0.0.0/8), a name, or any; 0.0.0.0 and [::]: every\n"
		"address of that family. PORTS: one, 8000-8100, or *",
		NULL, grants_add_listen},
	{"connect", 0, "HOST:PORTS",
		"the guest may connect there, HOST and PORTS as above;\n"
		"*.NAME: every name below. any is the world: loopback, link-\n"
		"local, metadata and this machine's addresses are no part",
		NULL, grants_add_connect},
	{"udp", 0, "HOST:PORTS[:listen|:connect]",
		"the guest may bind a UDP socket there, and send there;\n"
		"with an end behind it only one of these",
		NULL, grants_add_udp},
	{"publish", 'p', "[ADDR:]PORT:GUESTPORT[/udp]",
		"what the guest listens on as GUESTPORT is PORT of this\n"
		"machine, at ADDR or on every IPv4 address",
		NULL, grants_add_publish},
	{"grants", 0, "FILE",
		"grants, one in a line: listen, connect, udp, publish,\n"
		"mount or unix, and its value; # begins a comment",
		NULL, grants_add_file},
	{"dns", 0, "ADDR[:PORT]",
		"ask this name server for the names that the guest\n"
		"connects to, instead of those of /etc/resolv.conf",
		parse_dns},
	{"add-host", 0, "NAME:ADDR", "NAME has this address, whatever else says another",
		parse_add_host},
	{"mount", 'v', "HOSTDIR:GUESTDIR[:rw]",
		"the guest may use HOSTDIR under the name GUESTDIR,\n"
		"read-only unless :rw is said",
		NULL, grants_add_mount},
	{"bundle", 0, "FILE",
		"the guest has the files of this cpio archive (newc) as\n"
		"boot:/, read-only, in its own memory",
		parse_bundle},
	{"unix", 0, "PATH[:listen|:connect]",
		"the guest may listen at and connect to the UNIX socket\n"
		"PATH, or any below the directory PATH; @NAME: an\n"
		"abstract one. With an end behind it only one of these",
		NULL, grants_add_unix},
	{"engine", 0, "kvm|process|auto",
		"what runs the guest: KVM, or a Linux process (a hosted\n"
		"guest, which is not confined: of NAME.elf, the NAME\n"
		"beside it); auto, the default, is KVM where it is usable",
		parse_engine},
	{"io", 0, "uring|event|auto",
		"what moves sockets and files: io_uring, or libevent;\n"
		"auto, the default, is io_uring where it is not refused",
		parse_io},
	{"memory", 'm', "SIZE", "memory of a KVM guest, with k, M or G (default 256M)",
		parse_memory},
	{"limit", 0, "NAME=N",
		"a limit of the guest: streams, accepts, in-flight,\n"
		"datagram-queue, and in a second connect-rate,\n"
		"accept-rate, send-rate, receive-rate; bytes with k, M, G",
		parse_limit},
	{"env", 'e', "NAME[=VALUE]",
		"a variable of the guest's environment, which is empty\n"
		"otherwise; without =VALUE it is copied from here",
		parse_env},
	{"wrap", 0, "COMMAND",
		"run a hosted guest under COMMAND, for example\n"
		"--wrap 'valgrind -q'; means --engine process",
		parse_wrap},
	{"poll-us", 0, "N",
		"spin for at most N microseconds before sleeping\n"
		"(default 200; 0: never)",
		parse_poll},
	{"log-level", 0, "LEVEL", "error, warning (the default), info or debug", parse_log_level},
	{"stats", 0, NULL,
		"print counters to stderr at the end, and what each\n"
		"MiB cost once there was one",
		parse_stats},
	{"help", 'h', NULL, "print this and exit", parse_help},
	{"version", 'V', NULL, "print the version and exit", parse_version},
};
const size_t option_row_count = sizeof(option_rows) / sizeof(option_rows[0]);

static int parse_dns(struct options *options, const char *value, char *ret_error, size_t error_len)
{
	return names_add_server(&options->config.resolver, value, ret_error, error_len);
}

static int parse_add_host(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	return names_add_host(&options->config.resolver, value, ret_error, error_len);
}

static int parse_engine(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	static const char *const names[] = {"auto", "kvm", "process"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(value, names[i]) == 0) {
			options->config.engine = names[i];
			return 0;
		}
	return log_sentence(ret_error, error_len, EINVAL,
		"there is no engine '%s'; write --engine kvm, process or auto", value);
}

static int parse_io(struct options *options, const char *value, char *ret_error, size_t error_len)
{
	static const char *const names[] = {
		[IO_AUTO] = "auto", [IO_URING] = "uring", [IO_EVENT] = "event"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(value, names[i]) == 0) {
			options->config.io = (enum io_choice)i;
			return 0;
		}
	return log_sentence(ret_error, error_len, EINVAL,
		"--io has no '%s'; write --io uring, event or auto", value);
}

/* A whole number in *ret_number, and what follows it in *ret_rest; false: none, or too large. */
static bool parse_number(const char *text, uint64_t *ret_number, const char **ret_rest)
{
	char *rest;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret_number = strtoull(text, &rest, 10);
	*ret_rest = rest;
	return errno == 0;
}

/* "k", "M", "GiB": by how many bits a size is shifted; -1: not a unit. */
static int unit_shift(const char *unit)
{
	static const char letters[] = "kmgt";

	if (*unit == '\0')
		return 0;
	const char *letter = strchr(letters, *unit | 0x20);
	if (letter == NULL ||
		(unit[1] != '\0' && strcmp(unit + 1, "B") != 0 && strcmp(unit + 1, "iB") != 0))
		return -1;
	return 10 * (int)(letter - letters + 1);
}

static int parse_memory(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	const char *unit;
	uint64_t number;

	if (!parse_number(value, &number, &unit) || unit_shift(unit) < 0)
		return log_sentence(ret_error, error_len, EINVAL,
			"--memory '%s' is not a size; write a number with k, M or G, "
			"for example 256M",
			value);
	int shift = unit_shift(unit);
	if (number > MEMORY_MAX >> shift)
		return log_sentence(ret_error, error_len, ERANGE,
			"--memory '%s' is more than 1T; write a smaller size", value);
	if (number << shift < MEMORY_MIN)
		return log_sentence(ret_error, error_len, ERANGE,
			"--memory '%s' is less than any guest needs; write a size with k, M or G, "
			"for example 64M",
			value);
	options->config.memory =
		((number << shift) + MEMORY_UNIT - 1) & ~(uint64_t)(MEMORY_UNIT - 1);
	return 0;
}

static int parse_limit(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	return limits_add(&options->config.limits, value, ret_error, error_len);
}

/* Takes the string; one of the same name is replaced. */
static int set_env(struct config *config, char *setting)
{
	size_t name_len = (size_t)(strchr(setting, '=') - setting) + 1;

	for (int i = 0; i < config->envc; i++)
		if (strncmp(config->env[i], setting, name_len) == 0) {
			free(config->env[i]);
			config->env[i] = setting;
			return 0;
		}
	char **more = reallocarray(config->env, (size_t)config->envc + 1, sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	more[config->envc++] = setting;
	config->env = more;
	return 0;
}

static int parse_bundle(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	(void)ret_error, (void)error_len;
	options->config.bundle = value; /* looked at when the guest is started */
	return 0;
}

static int parse_env(struct options *options, const char *value, char *ret_error, size_t error_len)
{
	const char *own = "";
	char *setting = NULL;

	if (*value == '\0' || *value == '=')
		return log_sentence(ret_error, error_len, EINVAL,
			"--env '%s' has no name; write NAME=VALUE", value);
	if (strchr(value, '=') == NULL) {
		own = getenv(value);
		if (own == NULL)
			return log_sentence(ret_error, error_len, EINVAL,
				"--env %s is not set here; write --env %s=VALUE", value, value);
		if (asprintf(&setting, "%s=%s", value, own) < 0)
			setting = NULL;
	} else {
		setting = strdup(value);
	}
	int error = setting != NULL ? set_env(&options->config, setting) : -ENOMEM;
	if (error) {
		free(setting);
		return log_sentence(
			ret_error, error_len, ENOMEM, "--env found no memory; free some");
	}
	return 0;
}

/* Words are separated by spaces; there is no quoting. They lie behind the array, in one allocation.
 */
static int parse_wrap(struct options *options, const char *value, char *ret_error, size_t error_len)
{
	size_t slots = strlen(value) / 2 + 2;
	char **words = calloc(1, slots * sizeof(*words) + strlen(value) + 1);
	size_t count = 0;

	if (words == NULL)
		return log_sentence(
			ret_error, error_len, ENOMEM, "--wrap found no memory; free some");
	free(options->config.wrap);
	options->config.wrap = words;
	char *rest = strcpy((char *)(words + slots), value);
	for (char *word; (word = strsep(&rest, " ")) != NULL;)
		if (*word != '\0')
			words[count++] = word;
	if (count != 0)
		return 0;
	return log_sentence(ret_error, error_len, EINVAL,
		"--wrap '%s' has no command; write for example --wrap 'valgrind -q'", value);
}

static int parse_poll(struct options *options, const char *value, char *ret_error, size_t error_len)
{
	const char *rest;
	uint64_t us;

	if (!parse_number(value, &us, &rest) || *rest != '\0' || us > POLL_US_MAX)
		return log_sentence(ret_error, error_len, EINVAL,
			"--poll-us '%s' is not a time; write microseconds from 0 to %u", value,
			POLL_US_MAX);
	options->config.poll_ns = us * 1000;
	return 0;
}

static int parse_log_level(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	(void)options;
	if (!log_level_parse(value, &log_level))
		return log_sentence(ret_error, error_len, EINVAL,
			"there is no log level '%s'; write error, warning, info or debug", value);
	return 0;
}

static int parse_stats(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	(void)value, (void)ret_error, (void)error_len;
	options->config.stats = true;
	return 0;
}

static int parse_help(struct options *options, const char *value, char *ret_error, size_t error_len)
{
	(void)value, (void)ret_error, (void)error_len;
	options->help = true;
	return 0;
}

static int parse_version(
	struct options *options, const char *value, char *ret_error, size_t error_len)
{
	(void)value, (void)ret_error, (void)error_len;
	options->version = true;
	return 0;
}
