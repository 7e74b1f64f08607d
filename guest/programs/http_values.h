/*
 * http_values: what the fields of a request mean for a file: ranges, entity tags
 * and dates (RFC 9110), and whether they can be right at all. Pure functions.
 */
#ifndef FERRULE_GUEST_PROGRAMS_HTTP_VALUES_H
#define FERRULE_GUEST_PROGRAMS_HTTP_VALUES_H

#include "guest/programs/http_text.h"

/*
 * A Range field (section 14.2) over a file of 'size' bytes. 1: send
 * [*ret_first, *ret_first + *ret_len); 0: send everything (no range, several, or
 * not understood); -416: nothing of it exists.
 */
int http_parse_range(struct http_text range, uint64_t size, uint64_t *ret_first, uint64_t *ret_len);

/* Can it be the value of a Host field (RFC 9112 section 3.2)? Empty ones can. */
bool http_host_valid(struct http_text host);

/* Is the tag (with its quotes) in an If-None-Match list? Weakly; '*' is every tag. */
bool http_etag_listed(struct http_text list, const char *etag);

#define HTTP_DATE_LEN 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a 0 */

/* Seconds since 1970, of the years 1 to 9999; returns 'text'. */
char *http_date_format(int64_t seconds, char text[HTTP_DATE_LEN]);
/* The form that http_date_format writes; the two obsolete ones are not read. */
bool http_date_parse(struct http_text text, int64_t *ret_seconds);

#endif
