/*
 * burst ADDR:PORT: reads a number and a newline from each connection, writes that
 * many bytes of a counter pattern and closes at once, without waiting for anything.
 * A number behind '!' resets the connection instead of closing it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"

#define REQUEST_MAX 16 /* bytes */

static int read_request(struct stream *stream, char request[REQUEST_MAX])
{
	size_t len = 0;

	while (len < REQUEST_MAX - 1) {
		if (stream_read(stream, request + len, 1, FOREVER) <= 0)
			return -1;
		if (request[len] == '\n')
			break;
		len++;
	}
	request[len] = '\0';
	return 0;
}

/* Byte i of the answer: each has its own neighbours, so that one that is missing shows. */
static void fill(unsigned char *bytes, size_t len, size_t from)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)((from + i) * 31 + (from + i) / 251);
}

static void serve(struct stream *stream, const struct endpoint *peer, void *argument)
{
	char request[REQUEST_MAX];
	unsigned char *room;

	(void)peer, (void)argument;
	if (read_request(stream, request) < 0)
		return;
	bool reset = request[0] == '!';
	size_t len = strtoul(request + reset, NULL, 10), done = 0;
	while (done < len) {
		long n = stream_reserve(stream, &room, 1, FOREVER);
		if (n <= 0)
			return;
		if ((size_t)n > len - done)
			n = (long)(len - done);
		fill(room, (size_t)n, done);
		stream_commit(stream, (size_t)n);
		done += (size_t)n;
	}
	if (reset)
		stream_fail(stream, ECONNRESET);
}

int main(int argc, char **argv)
{
	char text[ENDPOINT_TEXT_LEN];
	struct endpoint local;
	struct listener *listener;

	if (argc != 2 || endpoint_parse(argv[1], &local) != 0 ||
		tcp_listen(&local, &listener, FOREVER) != 0) {
		fprintf(stderr, "burst: cannot listen\n");
		return 2;
	}
	printf("burst: listening on %s\n", endpoint_format(listener_local(listener), text));
	tcp_serve(listener, serve, NULL);
	return 1;
}
