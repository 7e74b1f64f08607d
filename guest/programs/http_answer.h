/*
 * http_answer: the head of an HTTP/1.x answer and the body behind it, whichever
 * way its length is told. Pure functions, for a client.
 */
#ifndef FERRULE_GUEST_PROGRAMS_HTTP_ANSWER_H
#define FERRULE_GUEST_PROGRAMS_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a reader is in the body. */
struct http_body {
	enum {
		HTTP_BODY_LENGTH, /* 'left' bytes */
		HTTP_BODY_CHUNKED,
		HTTP_BODY_TO_END, /* of the connection */
	} form;
	bool done;
	bool in_chunk; /* chunked: 'left' bytes of the chunk are to come */
	bool trailer;  /* chunked: the last chunk was there */
	uint64_t left;
};

struct http_answer {
	int status;
	struct http_body body;
};

/* The head at the start of 'len' bytes: the bytes it takes, 0 when it goes on behind them, or -1.
 * 1xx heads are skipped with the one that follows. */
long http_parse_answer(const char *bytes, size_t len, struct http_answer *ret_answer);

/* What the next bytes of the connection are: 'skip' of framing, then 'len' of the body. */
struct http_piece {
	size_t skip, len;
	bool error;
};
/* Takes in as much of the bytes (at least one) as is one piece. skip + len may be 0 when a line of
 * the framing is not complete: then wait for more bytes than these. */
struct http_piece http_body_next(struct http_body *body, const unsigned char *bytes, size_t len);

/* The connection has ended: was that the body's end too? */
bool http_body_end(struct http_body *body);

#endif
