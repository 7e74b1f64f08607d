/*
 * options: the options of `ferrule run`, one row each in the table of options.c,
 * from which --help is printed too.
 */
#ifndef FERRULE_MONITOR_OPTIONS_H
#define FERRULE_MONITOR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "monitor/monitor.h"

struct options {
	struct config config;
	bool help;    /* --help was given: nothing behind it was read */
	bool version; /* likewise */
};

/*
 * Reads what follows `ferrule run`: options, the image, the program's arguments. 0, or a
 * negative errno with one sentence in ret_error. In both cases options_free
 * gives *ret_options back; the strings of argv have to outlive it.
 */
int options_parse(struct options *ret_options, int argc, char **argv, char *ret_error,
	size_t error_len);
void options_free(struct options *options);

/* A line or more for each option. */
void options_help(FILE *file);

#endif
