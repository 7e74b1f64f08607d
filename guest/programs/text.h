/*
 * text: a buffer that grows, for pages that are made before they are sent.
 */
#ifndef FERRULE_GUEST_PROGRAMS_TEXT_H
#define FERRULE_GUEST_PROGRAMS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised: empty. */
struct text {
	char *data;
	size_t len, room;
	bool failed; /* memory ran out: what was added since is missing */
};

void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const char *bytes, size_t len);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With &, <, >, " and ' as HTML writes them. */
void text_add_html(struct text *text, const char *string);
/* Percent-encoded as a path in a URL: slashes stay. */
void text_add_url(struct text *text, const char *path);
/* What was added, ended by a 0 byte; NULL when memory ran out. */
char *text_string(struct text *text);
void text_free(struct text *text);

#endif
