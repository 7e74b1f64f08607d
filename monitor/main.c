/* The command line: `ferrule run` and what explains it. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/options.h"
#include "monitor/run.h"

#define SENTENCE_LEN 1024

static int say_error(const char *sentence)
{
	fprintf(stderr, "ferrule: %s\n", sentence);
	return MONITOR_STATUS_USAGE;
}

static void print_usage(FILE *file)
{
	fputs("Ferrule runs a guest without a network card or a disk: its sockets and files are\n"
	      "pipes in shared memory, which this monitor joins to the host's.\n"
	      "\n"
	      "Usage:\n"
	      "  ferrule run [options] GUEST.elf [arguments]   run a guest\n"
	      "  ferrule run --help                            list the options\n"
	      "  ferrule --help                                print this\n"
	      "  ferrule --version                             print the version\n",
		file);
}

static void print_run_help(FILE *file)
{
	fputs("Usage: ferrule run [options] GUEST.elf [arguments]\n"
	      "\n"
	      "Runs the guest until it ends; its console is stdout and stderr, its exit status is\n"
	      "the command's. Ctrl-C stops it. What no option grants, the guest cannot reach.\n"
	      "\n"
	      "Options:\n",
		file);
	options_help(file);
	fputs("\n"
	      "Exit status: the guest's own; 134 when it crashed; 128 + N when signal N stopped "
	      "it;\n"
	      "2 when nothing was run, with the reason on stderr.\n"
	      "\n"
	      "Example: serve a directory at http://127.0.0.1:8080/\n"
	      "  ferrule run --listen 127.0.0.1:8080 --mount .:/srv build/guest/web.elf\n",
		file);
}

static int print_version(void)
{
	puts("ferrule " FERRULE_VERSION);
	return EXIT_SUCCESS;
}

static int command_help(int argc, char **argv)
{
	(void)argc, (void)argv;
	print_usage(stdout);
	return EXIT_SUCCESS;
}

static int command_version(int argc, char **argv)
{
	(void)argc, (void)argv;
	return print_version();
}

static int run_options(const struct options *options, char *sentence)
{
	int status;

	if (options->help) {
		print_run_help(stdout);
		return EXIT_SUCCESS;
	}
	if (options->version)
		return print_version();
	return run_guest(&options->config, &status, sentence, SENTENCE_LEN) ? say_error(sentence)
									    : status;
}

static int command_run(int argc, char **argv)
{
	char sentence[SENTENCE_LEN] = "";
	struct options options;

	int error = options_parse(&options, argc, argv, sentence, sizeof(sentence));
	int status = error ? say_error(sentence) : run_options(&options, sentence);
	options_free(&options);
	return status;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* what follows the name; the exit status */
} commands[] = {
	{"run", command_run},
	{"help", command_help},
	{"--help", command_help},
	{"-h", command_help},
	{"version", command_version},
	{"--version", command_version},
	{"-V", command_version},
};

/* "ferrule web.elf" is what one tries first. */
static int unknown_command(const char *word)
{
	char sentence[SENTENCE_LEN];

	if (access(word, F_OK) == 0)
		snprintf(sentence, sizeof(sentence),
			"there is no command %s, but a file; write ferrule run %s", word, word);
	else
		snprintf(sentence, sizeof(sentence),
			"there is no command %s; write ferrule run [options] GUEST.elf, or see "
			"ferrule --help",
			word);
	return say_error(sentence);
}

/* Where 0 to 2 were closed, a socket or the arena would become what guests and logs write to. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	/* Its threads hardly allocate: a heap for each of them would only lengthen the start. */
	mallopt(M_ARENA_MAX, 1);
	fill_standard_descriptors();
	if (argc < 2) {
		print_usage(stderr);
		return MONITOR_STATUS_USAGE;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
	return unknown_command(argv[1]);
}
