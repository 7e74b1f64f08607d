/*
 * fetch URL: gets http://HOST:PORT/PATH (the scheme may be left out) and prints
 * the body. Exit status 0 for a 2xx answer that came completely, 2 for what is no
 * such URL, else 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "guest/ferrule.h"
#include "guest/programs/http_answer.h"
#include "guest/programs/remedy.h"
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

static int bad_url(const char *url, const char *cause, const char *remedy)
{
	fprintf(stderr, "fetch: '%s' %s; %s\n", url, cause, remedy);
	return 2;
}

/*
 * "http://host[:port][/path]" as "host:port" and the path. Returns 0, or the exit status behind a
 * message.
 */
static int split_url(const char *url, char target[TARGET_MAX], const char **ret_path)
{
	const char *scheme_end = strstr(url, "://");
	const char *slash = strchr(url, '/');
	bool scheme = scheme_end && scheme_end < slash;
	const char *start = scheme ? scheme_end + 3 : url;

	if (scheme && strncasecmp(url, "https:", 6) == 0)
		return bad_url(url, "needs TLS, which fetch does not have",
			"write http:// where the server answers that");
	if (scheme && strncasecmp(url, "http:", 5) != 0)
		return bad_url(url, "has a scheme that fetch does not know", "write http://");
	size_t len = strcspn(start, "/");
	if (len == 0)
		return bad_url(url, "names no host", "write http://HOST[:PORT][/PATH]");
	const char *bracket = memchr(start, ']', len);
	const char *host_end = bracket ? bracket : start;
	const char *colon = memchr(host_end, ':', len - (size_t)(host_end - start));
	if (memchr(start, '@', len) || memchr(start, '?', len) || memchr(start, '#', len))
		return bad_url(url, "has more than a host and a port before its path",
			"write http://HOST[:PORT][/PATH]");
	*ret_path = start[len] ? start + len : "/";
	if (snprintf(target, TARGET_MAX, "%.*s%s", (int)len, start, colon ? "" : ":80") >=
		TARGET_MAX)
		return bad_url(url, "has too long a host", "write one of at most 253 bytes");
	return 0;
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
		return cannot_connect("fetch", target, error);
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

static const char help[] =
	"usage: fetch http://HOST[:PORT][/PATH]\n"
	"\n"
	"Gets it (http:// may be left out, port 80 is meant without one) and prints the body.\n"
	"Exit status 0 for a 2xx answer that came completely, 1 when it did not, 2 for a bad URL.\n"
	"\n"
	"It needs the grant --connect HOST:PORT:\n"
	"  ferrule run --connect example.org:80 fetch.elf http://example.org/\n";

int main(int argc, char **argv)
{
	char target[TARGET_MAX];
	const char *path;

	if (help_asked(argc, argv, help))
		return 0;
	if (argc != 2) {
		fprintf(stderr, "usage: fetch http://HOST[:PORT][/PATH]; --help explains\n");
		return 2;
	}
	int status = split_url(argv[1], target, &path);
	return status ? status : fetch(target, path);
}
