/*
 * beside ADDR:PORT [write ADDR:PORT | hold ADDR:PORT | connect TARGET]: echo at the first address,
 * and beside it what gets nowhere: connections on which it writes to peers that do not read,
 * connections that it does not read, or 64 connects to where nobody answers, each begun anew when
 * its time is over.
 */
#include <stdio.h>
#include <string.h>

#include "guest/ferrule.h"

#define CONNECTS   64
#define CONNECT_MS 2000

static void serve_echo(struct stream *stream, const struct endpoint *peer, void *argument)
{
	char bytes[4096];
	long len;

	(void)peer, (void)argument;
	while ((len = stream_read(stream, bytes, sizeof(bytes), FOREVER)) > 0)
		stream_write(stream, bytes, (size_t)len, FOREVER);
}

static void serve_writing(struct stream *stream, const struct endpoint *peer, void *argument)
{
	static const char bytes[65536];

	(void)peer, (void)argument;
	while (stream_write(stream, bytes, sizeof(bytes), FOREVER) > 0)
		;
}

static void serve_holding(struct stream *stream, const struct endpoint *peer, void *argument)
{
	(void)stream, (void)peer, (void)argument;
	fiber_sleep(FOREVER);
}

/* A fiber. */
static void connect_on_and_on(void *target)
{
	struct stream *stream;

	for (;;) {
		int error = tcp_connect(target, &stream, in_milliseconds(CONNECT_MS));

		if (!error)
			stream_close(stream);
		else if (error != -ETIMEDOUT)
			fiber_sleep(in_milliseconds(CONNECT_MS));
	}
}

/* ---- listening */

struct place {
	const char *name;
	struct listener *listener;
	void (*serve)(struct stream *stream, const struct endpoint *peer, void *argument);
};

static bool listen_at(struct place *place, const char *address)
{
	char text[ENDPOINT_TEXT_LEN];
	struct endpoint local;

	if (endpoint_parse(address, &local) != 0 ||
		tcp_listen(&local, &place->listener, FOREVER) != 0)
		return false;
	printf("beside: %s on %s\n", place->name,
		endpoint_format(listener_local(place->listener), text));
	return true;
}

/* A fiber. */
static void serve(void *argument)
{
	const struct place *place = argument;

	tcp_serve(place->listener, place->serve, NULL);
}

static bool start_noise(struct place *noise, const char *what, char *where)
{
	if (strcmp(what, "connect") == 0) {
		for (int i = 0; i < CONNECTS; i++)
			if (fiber_spawn(connect_on_and_on, where) != 0)
				return false;
		return true;
	}
	noise->serve = strcmp(what, "write") == 0 ? serve_writing : serve_holding;
	return listen_at(noise, where) && fiber_spawn(serve, noise) == 0;
}

int main(int argc, char **argv)
{
	struct place echo = {.name = "echo", .serve = serve_echo}, noise = {.name = "noise"};

	if ((argc != 2 && argc != 4) || !listen_at(&echo, argv[1]) ||
		(argc == 4 && !start_noise(&noise, argv[2], argv[3]))) {
		fprintf(stderr, "beside: it cannot be served\n");
		return 2;
	}
	serve(&echo);
	return 1;
}
