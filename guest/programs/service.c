#include "guest/programs/service.h"

#include <stdio.h>

#include "guest/programs/remedy.h"
#include "protocol/error.h"

int service_run(const struct service *service, const char *address, void *argument)
{
	char text[ENDPOINT_TEXT_LEN];
	struct endpoint local;
	struct listener *listener;
	int error;

	if (endpoint_parse(address, &local)) {
		fprintf(stderr, "%s: '%s' is no address: write 127.0.0.1:7000 or [::1]:7000\n",
			service->name, address);
		return 2;
	}
	error = tcp_listen(&local, &listener, FOREVER);
	if (error)
		return cannot_listen(service->name, address, error);
	printf("%s: listening on %s\n", service->name,
		endpoint_format(listener_local(listener), text));
	error = tcp_serve(listener, service->serve, argument);
	fprintf(stderr, "%s: the listener failed (%s)\n", service->name, wire_error_name(-error));
	return 1;
}

void service_linger(struct stream *stream, uint64_t ms)
{
	deadline until = in_milliseconds(ms);
	const unsigned char *data;
	long len;

	stream_finish(stream);
	while ((len = stream_peek(stream, &data, 1, until)) > 0)
		stream_consume(stream, (size_t)len);
}

int service_main(int argc, char **argv, const struct service *service)
{
	char help[512];

	snprintf(help, sizeof(help),
		"usage: %s [ADDR:PORT]\n"
		"\n"
		"%s\n"
		"Listens on %s unless told otherwise.\n"
		"\n"
		"It needs the grant --listen ADDR:PORT:\n"
		"  ferrule run --listen %s %s.elf\n",
		service->name, service->does, service->address, service->address, service->name);
	if (help_asked(argc, argv, help))
		return 0;
	if (argc > 2) {
		fprintf(stderr, "usage: %s [ADDR:PORT]; --help explains\n", service->name);
		return 2;
	}
	return service_run(service, argc > 1 ? argv[1] : service->address, NULL);
}
