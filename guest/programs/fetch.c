/*
 * fetch URL: gets http://HOST:PORT/PATH (the scheme may be left out) and prints
 * the body. Exit status 0 for a 2xx answer that came completely, else 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "guest/programs/http_answer.h"
#include "protocol/error.h"

#define TIMEOUT_MS  30000
#define TARGET_MAX  300   /* bytes of "host:port" */
#define OUTPUT_LEN  65536 /* bytes printed at once: the console is slow per call */
#define REQUEST_MAX 4096

static struct {
	char bytes[OUTPUT_LEN];
	size_t len;
} output;

static deadline soon(void)
{
	return in_milliseconds(TIMEOUT_MS);
}

static int complain(const char *what, int error)
{
	if (error < 0)
		fprintf(stderr, "fetch: %s (%s)\n", what, wire_error_name(-error));
	else
		fprintf(stderr, "fetch: %s\n", what);
	return 1;
}

static void flush(void)
{
	fwrite(output.bytes, 1, output.len, stdout);
	fflush(stdout);
	output.len = 0;
}

static void print(const unsigned char *bytes, size_t len)
{
	while (len > 0) {
		size_t part = OUTPUT_LEN - output.len < len ? OUTPUT_LEN - output.len : len;

		memcpy(output.bytes + output.len, bytes, part);
		output.len += part;
		bytes += part;
		len -= part;
		if (output.len == OUTPUT_LEN)
			flush();
	}
}

/* "http://host[:port][/path]" as "host:port" and the path. False: it is neither that nor without
 * scheme. */
static bool split_url(const char *url, char target[TARGET_MAX], const char **ret_path)
{
	const char *start = strncmp(url, "http://", 7) == 0 ? url + 7 : url;
	size_t len = strcspn(start, "/");
	const char *bracket = memchr(start, ']', len);
	const char *colon = memchr(bracket ? bracket : start, ':',
		len - (size_t)((bracket ? bracket : start) - start));

	if (len == 0 || strstr(url, "://") > url + 4)
		return false;
	*ret_path = start[len] ? start + len : "/";
	return snprintf(target, TARGET_MAX, "%.*s%s", (int)len, start, colon ? "" : ":80") <
	       TARGET_MAX;
}

static int send_request(struct stream *stream, const char *target, const char *path)
{
	char request[REQUEST_MAX];
	int len = snprintf(request, sizeof(request),
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ferrule-fetch\r\nAccept: "
		"*/*\r\nConnection: close\r\n\r\n",
		path, target);
	long sent;

	if (len < 0 || len >= (int)sizeof(request))
		return complain("the address is too long", 0);
	sent = stream_write(stream, request, (size_t)len, soon());
	return sent == len ? 0
			   : complain("the request could not be sent",
				     sent < 0 ? (int)sent : -ETIMEDOUT);
}

/* Waits until the head of the answer is complete, and takes it. */
static int read_head(struct stream *stream, struct http_answer *ret_answer)
{
	size_t seen = 0;

	for (;;) {
		const unsigned char *data;
		long len = stream_peek(stream, &data, seen + 1, soon()), head;

		if (len < 0)
			return complain("no answer came", (int)len);
		if ((size_t)len <= seen)
			return complain("the server ended the connection without an answer", 0);
		head = http_parse_answer((const char *)data, (size_t)len, ret_answer);
		if (head < 0)
			return complain("the answer is not HTTP", 0);
		if (head > 0) {
			stream_consume(stream, (size_t)head);
			return 0;
		}
		seen = (size_t)len;
	}
}

/* Prints the body as it comes. */
static int read_body(struct stream *stream, struct http_body *body)
{
	size_t least = 1;

	while (!body->done) {
		const unsigned char *data;
		struct http_piece piece;
		long len = stream_peek(stream, &data, least, soon());

		if (len < 0)
			return complain("the answer broke off", (int)len);
		if ((size_t)len < least)
			return http_body_end(body) ? 0 : complain("the answer broke off", 0);
		piece = http_body_next(body, data, (size_t)len);
		if (piece.error)
			return complain("the answer's chunks are broken", 0);
		print(data + piece.skip, piece.len);
		stream_consume(stream, piece.skip + piece.len);
		least = piece.skip + piece.len ? 1 : (size_t)len + 1;
	}
	return 0;
}

static int fetch(const char *target, const char *path)
{
	struct http_answer answer;
	struct stream *stream;
	int error = tcp_connect(target, &stream, soon());
	int status;

	if (error)
		return complain("cannot connect", error);
	status = send_request(stream, target, path);
	if (!status)
		status = read_head(stream, &answer);
	if (!status) {
		status = read_body(stream, &answer.body);
		flush();
		if (answer.status < 200 || answer.status > 299) {
			fprintf(stderr, "fetch: the server answered with status %d\n",
				answer.status);
			status = 1;
		}
	}
	stream_close(stream);
	return status;
}

int main(int argc, char **argv)
{
	char target[TARGET_MAX];
	const char *path;

	if (argc != 2 || !split_url(argv[1], target, &path)) {
		fprintf(stderr, "usage: fetch http://HOST[:PORT][/PATH]\n");
		return 2;
	}
	return fetch(target, path);
}
