/*
 * web: one request and its answer, and the parts of the web server that work on it.
 */
#ifndef FERRULE_GUEST_PROGRAMS_WEB_H
#define FERRULE_GUEST_PROGRAMS_WEB_H

#include "guest/ferrule.h"
#include "guest/programs/http_parse.h"

#define WEB_TIMEOUT_MS 30000 /* for a request to come, and for each step of an answer */
#define WEB_HEAD_MAX   1024u /* bytes of the head of an answer, without a Location */

struct exchange {
	struct stream *stream;
	const char *root; /* the guest directory that is served */
	bool writable;    /* PUT and DELETE are allowed */
	size_t head;      /* bytes of the request's head that are still in the stream */
	struct http_request request;
	bool keep_alive;              /* as it stands: errors clear it */
	char path[2 * HTTP_PATH_MAX]; /* root and request.path */
};

/* What the head of an answer says. */
struct answer {
	int status;
	const char *type; /* of the content; NULL: there is none */
	uint64_t length;  /* bytes of the body */
	const struct fs_attributes
		*attributes;  /* of the file, for Last-Modified and ETag; NULL: no file */
	uint64_t range_first; /* with 206: which part of the file */
	const char *location; /* with 301, encoded; NULL otherwise */
};

static inline deadline web_deadline(void)
{
	return in_milliseconds(WEB_TIMEOUT_MS);
}

/* ---- web_answer.c */

/* Writes the head; its length, or -ENOBUFS. */
long answer_format_head(
	const struct exchange *exchange, const struct answer *answer, char *ret_bytes, size_t room);
int answer_send_head(struct exchange *exchange, const struct answer *answer);
/* Head and body; the body is left out for HEAD. 0, or the errno of the stream. */
int answer_send(struct exchange *exchange, const struct answer *answer, const char *body);
/* A page that says what is wrong. */
int answer_error(struct exchange *exchange, int status);
/* The status for an errno of the file calls. */
int answer_status(int error);
#define ETAG_LEN 64
char *answer_etag(const struct fs_attributes *attributes, char text[ETAG_LEN]);

/* ---- web_write.c */

/*
 * PUT and DELETE of exchange->path. The body is taken from the stream, behind the head, or left there when
 * it is refused. False: the connection is of no use any more.
 */
bool web_write(struct exchange *exchange);

/* ---- web_file.c */

/* Do If-Match and If-Unmodified-Since allow it? 'attributes' NULL: there is no file. */
bool web_precondition(const struct http_request *request, const struct fs_attributes *attributes);

/*
 * Answers with a file: 0 when an answer was sent, -ECONNABORTED when the
 * connection is of no use any more, -EISDIR for a directory, or another errno
 * of the file with nothing sent.
 */
int web_send_file(struct exchange *exchange, const char *path);

#endif
