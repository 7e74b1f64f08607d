/*
 * discard [ADDR:PORT]: takes what comes and forgets it.
 */
#include "guest/programs/service.h"

static void serve(struct stream *stream, void *argument)
{
	const unsigned char *data;
	long len;

	(void)argument;
	while ((len = stream_peek(stream, &data, 1, FOREVER)) > 0)
		stream_consume(stream, (size_t)len);
}

int main(int argc, char **argv)
{
	static const struct service service = {
		"discard", "Takes what comes and forgets it.", "127.0.0.1:7001", serve};

	return service_main(argc, argv, &service);
}
