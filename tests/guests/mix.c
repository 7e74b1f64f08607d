/*
 * mix ADDR:PORT UDP-ADDR:PORT: one fiber that waits for a listener, its connections, a UDP socket
 * and a timer at the same time, by wait_any alone. Bytes and datagrams go back to where they came
 * from; the timer says "tick" on every connection each 50 ms. A connection that is finished is
 * finished.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"

#define CONNECTIONS 16
#define TICK_MS     50

enum { LISTENER, UDP, TIMER, FIRST };

static struct wait_item items[FIRST + CONNECTIONS];
static int count = FIRST;

static void accept_all(void)
{
	struct stream *stream;

	while (count < FIRST + CONNECTIONS &&
		tcp_accept(items[LISTENER].listener, &stream, NULL, NULL, NO_WAIT) == 0)
		items[count++] = (struct wait_item){.stream = stream, .events = WAIT_READABLE};
}

static void answer_datagrams(struct udp *udp)
{
	static char bytes[65536];
	struct udp_datagram datagram;
	long len;

	while ((len = udp_receive(udp, bytes, sizeof(bytes), &datagram, NO_WAIT)) >= 0)
		udp_send(udp, &datagram.peer, bytes, (size_t)len, FOREVER);
}

/* False: it has ended. */
static bool answer_stream(struct stream *stream)
{
	char bytes[4096];
	long len;

	while ((len = stream_read(stream, bytes, sizeof(bytes), NO_WAIT)) > 0)
		if (stream_write(stream, bytes, (size_t)len, FOREVER) != len)
			return false;
	return len == -ETIMEDOUT;
}

static void tick(void)
{
	for (int i = FIRST; i < count; i++)
		stream_write(items[i].stream, "tick\n", 5, FOREVER);
	items[TIMER].at = in_milliseconds(TICK_MS);
}

static void answer_streams(void)
{
	for (int i = count - 1; i >= FIRST; i--) {
		if (items[i].ready == 0 || answer_stream(items[i].stream))
			continue;
		stream_close(items[i].stream);
		items[i] = items[--count];
	}
}

int main(int argc, char **argv)
{
	struct endpoint local, udp_local_end;
	char text[ENDPOINT_TEXT_LEN];

	if (argc != 3 || endpoint_parse(argv[1], &local) || endpoint_parse(argv[2], &udp_local_end))
		return 2;
	if (tcp_listen(&local, &items[LISTENER].listener, FOREVER) ||
		udp_bind(&udp_local_end, &items[UDP].udp, FOREVER))
		return 1;
	printf("mix: UDP on port %u\n", udp_local(items[UDP].udp)->port);
	printf("mix: listening on %s\n",
		endpoint_format(listener_local(items[LISTENER].listener), text));
	items[TIMER].at = in_milliseconds(TICK_MS);
	for (;;) {
		if (wait_any(items, count, FOREVER) < 1)
			return 1;
		bool ticks = items[TIMER].ready != 0;
		answer_streams();
		if (items[UDP].ready)
			answer_datagrams(items[UDP].udp);
		if (items[LISTENER].ready)
			accept_all();
		if (ticks)
			tick();
	}
}
