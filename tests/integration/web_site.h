/* web_site: the directory that the tests of the guest program web serve, and how it is served. */
#ifndef FERRULE_TESTS_INTEGRATION_WEB_SITE_H
#define FERRULE_TESTS_INTEGRATION_WEB_SITE_H

#include <stddef.h>
#include <stdint.h>

#include "tests/lib/command.h"

#define SECRET      "must not be seen"
#define LETTERS     "abcdefghijklmnopqrstuvwxyz"
#define DEEP_TEXT   "deep down"
#define WEB_MESSAGE "contents of "

struct web {
	struct command monitor;
	uint16_t port;
	char *root; /* the host directory; beside it lies "secret" */
};

/* Names that are hard to write in a URL or in a page. Each file holds WEB_MESSAGE and its name. */
extern const char *const hard_names[];
extern const size_t hard_name_count;

/*
 * Makes the site: the hard names, "letters.txt" (LETTERS), "empty", "sub/deep/file.txt"
 * (DEEP_TEXT), links that stay inside ("inner") and that do not ("out_relative", "out_absolute",
 * "out_directory"), and a FIFO ("fifo"). Then serves it.
 */
void web_start(struct web *ret_web);
void web_stop(struct web *web);

/* Serves a directory that is there. */
void web_serve(struct web *ret_web, const char *root);

/* Each byte that is not a letter or digit as %XX, '/' as it is; to be freed. */
char *percent_encode(const char *name);

#endif
