/*
 * echo [ADDR:PORT]: sends back what comes, and ends when the other side has
 * ended. The bytes go from one ring of the connection into the other.
 */
#include <string.h>

#include "guest/programs/service.h"

/* All that is there, as far as there is room. False: no more comes, or nobody listens. */
static bool echo_some(struct stream *stream)
{
	const unsigned char *data;
	unsigned char *room;
	long len = stream_peek(stream, &data, 1, FOREVER), space;

	if (len <= 0)
		return false;
	space = stream_reserve(stream, &room, 1, FOREVER);
	if (space < 0)
		return false;
	if (space < len)
		len = space;
	memcpy(room, data, (size_t)len);
	stream_commit(stream, (size_t)len);
	stream_consume(stream, (size_t)len);
	return true;
}

static void serve(struct stream *stream, void *argument)
{
	(void)argument;
	while (echo_some(stream))
		;
}

int main(int argc, char **argv)
{
	static const struct service service = {
		"echo", "Sends back what comes.", "127.0.0.1:7000", serve};

	return service_main(argc, argv, &service);
}
