/* options_table: the options of `ferrule run` and how their values are read. An option is one row. */
#ifndef FERRULE_MONITOR_OPTIONS_TABLE_H
#define FERRULE_MONITOR_OPTIONS_TABLE_H

#include <stddef.h>

#include "monitor/options.h"

/* Puts the value (NULL when the option takes none) where it belongs. 0, or a negative errno with one
 * sentence in ret_error. */
typedef int option_parse(
	struct options *options, const char *value, char *ret_error, size_t error_len);

/* The same for what is granted. */
typedef int option_grant(struct grants *grants, const char *value, char *ret_error, size_t error_len);

struct option_row {
	const char *name;  /* without the dashes */
	char letter;	   /* its short form; 0: none */
	const char *value; /* what the value is called; NULL: it takes none */
	const char *help;  /* lines are separated by '\n' */
	option_parse *parse;
	option_grant *grant; /* where 'parse' is NULL */
};

extern const struct option_row option_rows[];
extern const size_t option_row_count;

#endif
