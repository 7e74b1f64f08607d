/*
 * http_text: pieces of a request or an answer, for those who parse them. Nothing is copied.
 */
#ifndef FERRULE_GUEST_PROGRAMS_HTTP_TEXT_H
#define FERRULE_GUEST_PROGRAMS_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a request; len 0 and NULL when there are none. */
struct http_text {
	const char *data;
	size_t len;
};

char http_lower(char c); /* ASCII */
struct http_text http_slice(const char *from, const char *to);
struct http_text http_trim(struct http_text text); /* of spaces and tabs at both ends */

/* Equal but for the case of ASCII letters. */
bool http_text_is(struct http_text text, const char *lower_case);

/*
 * The line at *at without its end, which may be a bare LF (RFC 9112 section 2.2), and *at behind
 * that. False: no end is there.
 */
bool http_next_line(const char *bytes, size_t len, size_t *at, struct http_text *ret_line);

/* The next element of a comma-separated list, taken off its front; false: none is left. */
bool http_next_element(struct http_text *list, struct http_text *ret_element);

int http_hex_value(char c); /* of a hexadecimal digit; -1: it is none */

/* Digits alone. False: it is no number, or one beyond 2^63. */
bool http_parse_number(struct http_text text, uint64_t *ret_number);

#endif
