/*
 * relay LISTEN TARGET: a proxy between TCP and UNIX sockets, either way or within one kind.
 * Connects each connection onward to TARGET and carries the bytes both ways, with half-closes
 * and resets as they come; a UNIX socket has no reset, and is closed where TCP would be reset.
 */
#include <stdio.h>
#include <string.h>

#include "guest/programs/remedy.h"
#include "guest/programs/service.h"

#define CONNECT_TIMEOUT_MS 15000

/* One direction of a relayed connection. */
struct pump {
	struct stream *from, *to;
	bool done; /* the end was passed on, or there is nobody to pass anything to */
};

/* The source ended with this: 0, or an errno that the other side is to see. */
static void pass_end(struct pump *pump, int error)
{
	if (error)
		stream_fail(pump->to, -error);
	else
		stream_finish(pump->to);
	pump->done = true;
}

/* Moves what can be moved without waiting. */
static void pump_now(struct pump *pump)
{
	const unsigned char *data;
	unsigned char *room;

	while (!pump->done) {
		long len = stream_peek(pump->from, &data, 1, NO_WAIT), space;

		if (len == -ETIMEDOUT)
			return;
		if (len <= 0) {
			pass_end(pump, (int)len);
			return;
		}
		space = stream_reserve(pump->to, &room, 1, NO_WAIT);
		if (space == -ETIMEDOUT)
			return;
		if (space < 0) { /* the target reads no more: so the source need not go on */
			stream_stop(pump->from);
			pump->done = true;
			return;
		}
		len = len < space ? len : space;
		memcpy(room, data, (size_t)len);
		stream_commit(pump->to, (size_t)len);
		stream_consume(pump->from, (size_t)len);
	}
}

/* What a pump that could not go on waits for. */
static void add_wait(const struct pump *pump, struct wait_item items[2])
{
	const unsigned char *data;

	if (pump->done)
		return;
	/* The two streams are items 0 and 1, and each pump waits for one of them. */
	if (stream_peek(pump->from, &data, 1, NO_WAIT) > 0)
		items[items[0].stream == pump->to ? 0 : 1].events |= WAIT_WRITABLE;
	else
		items[items[0].stream == pump->from ? 0 : 1].events |= WAIT_READABLE;
}

static void pump_both(struct stream *near, struct stream *far)
{
	struct pump there = {near, far, false}, back = {far, near, false};

	for (;;) {
		struct wait_item items[2] = {{.stream = near}, {.stream = far}};

		pump_now(&there);
		pump_now(&back);
		if (there.done && back.done)
			return;
		add_wait(&there, items);
		add_wait(&back, items);
		wait_any(items, 2, FOREVER);
	}
}

static int connect_onward(const char *target, struct stream **ret_onward)
{
	const char *path = unix_path(target);
	deadline until = in_milliseconds(CONNECT_TIMEOUT_MS);

	return path ? unix_connect(path, UNIX_STREAM, ret_onward, NULL, until)
		    : tcp_connect(target, ret_onward, until);
}

static void serve(struct stream *stream, void *argument)
{
	const char *target = argument;
	struct stream *onward;
	int error = connect_onward(target, &onward);

	if (error) {
		cannot_connect("relay", target, error);
		stream_fail(stream, ECONNRESET);
		return;
	}
	pump_both(stream, onward);
	stream_close(onward);
}

static const char help[] =
	"usage: relay LISTEN TARGET\n"
	"\n"
	"Connects each connection onward to the target, and carries the bytes both ways,\n"
	"whatever they are. LISTEN is ADDR:PORT or unix:PATH, TARGET is HOST:PORT or\n"
	"unix:PATH, a UNIX socket of the host. A socket's file that a dead server has\n"
	"left at LISTEN is replaced.\n"
	"\n"
	"It needs the grants --listen ADDR:PORT or --unix PATH:listen, and\n"
	"--connect HOST:PORT or --unix PATH:connect:\n"
	"  ferrule run --listen 127.0.0.1:7003 --connect example.org:80 relay.elf \\\n"
	"      127.0.0.1:7003 example.org:80\n"
	"  ferrule run --unix /run/web.sock:listen --connect 127.0.0.1:8080 relay.elf \\\n"
	"      unix:/run/web.sock 127.0.0.1:8080\n";

int main(int argc, char **argv)
{
	static const struct service service = {.name = "relay", .serve = serve};

	if (help_asked(argc, argv, help))
		return 0;
	if (argc != 3) {
		fprintf(stderr, "usage: relay LISTEN TARGET; --help explains\n");
		return 2;
	}
	return service_run(&service, argv[1], argv[2]);
}
