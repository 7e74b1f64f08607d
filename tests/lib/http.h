/*
 * http: requests of a test to a server on 127.0.0.1, as they go over the wire, for
 * what curl does not send. Uses client.h.
 */
#ifndef FERRULE_TESTS_LIB_HTTP_H
#define FERRULE_TESTS_LIB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 8192 /* bytes */

struct http_reply {
	int status;
	char head[HTTP_HEAD_MAX]; /* status line and fields, ended by a 0 byte */
	char *body;               /* ended by a 0 byte behind body_len bytes */
	size_t body_len;
	bool closes; /* the server closes behind this reply */
};

/* Reads one reply on a connection; 'to_head': of a HEAD request, which has no body. */
void http_receive(int fd, bool to_head, struct http_reply *ret_reply);
/* Sends these bytes on a new connection, reads one reply, and closes. */
void http_exchange(uint16_t port, const char *request, struct http_reply *ret_reply);
/* "GET TARGET HTTP/1.1" with Host and these fields ("" or lines that end in \r\n). */
void http_get(uint16_t port, const char *target, const char *fields, struct http_reply *ret_reply);
/* Writes the value of a field; false: the reply has none. */
bool http_field(const struct http_reply *reply, const char *name, char *ret_value, size_t room);
void http_reply_free(struct http_reply *reply);

#endif
