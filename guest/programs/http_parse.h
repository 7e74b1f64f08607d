/*
 * http_parse: the head of an HTTP/1.x request (RFC 9112) as values that are
 * safe to use. Pure functions over bytes: no I/O, no allocation.
 *
 * guest/programs/ holds the programs that come with Ferrule. They include
 * guest/ferrule.h, protocol/error.h, the C library and their own headers, and
 * are built once for KVM and once as Linux processes.
 */
#ifndef FERRULE_GUEST_PROGRAMS_HTTP_PARSE_H
#define FERRULE_GUEST_PROGRAMS_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/programs/http_text.h"

#define HTTP_LINE_MAX   8192u  /* bytes of the request line; then 414 */
#define HTTP_HEAD_MAX   16384u /* bytes of the whole head; then 431 */
#define HTTP_FIELDS_MAX 100u   /* header fields; then 431 */
#define HTTP_PATH_MAX   4095u  /* bytes of the decoded path; then 414 */

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_KNOWN, /* another that the standards define */
	HTTP_UNKNOWN,
};

struct http_request {
	enum http_method method;
	unsigned minor; /* of HTTP/1.minor: 0 or 1 */
	/* Decoded and plain: begins with '/', has no empty, '.' or '..' component and no NUL, and
	 * ends in
	 * '/' exactly when the client asked for a directory. */
	char path[HTTP_PATH_MAX + 1];
	struct http_text query; /* with its '?' */
	bool keep_alive;
	bool has_body; /* content_length > 0, or chunked */
	bool chunked;
	uint64_t content_length; /* bytes */
	bool expects_continue; /* the client waits for a 100 before it sends the body */
	struct http_text range, if_range, if_match, if_none_match, if_modified_since,
		if_unmodified_since;
};

/*
 * Reads the head at the start of 'len' bytes: the number of bytes it takes, 0
 * when it goes on behind them, or the negative status to answer with: -400,
 * -414, -431, -501 or -505. The texts of ret_request point into 'bytes'.
 */
long http_parse_request(const char *bytes, size_t len, struct http_request *ret_request);

#endif
