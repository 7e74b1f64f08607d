#include "guest/programs/service.h"

#include <stdio.h>

#include "protocol/error.h"

int service_run(const char *name, const char *address,
	void (*serve)(struct stream *stream, const struct tcp_endpoint *peer, void *argument),
	void *argument)
{
	char text[ENDPOINT_TEXT_LEN];
	struct tcp_endpoint local;
	struct listener *listener;
	int error;

	if (endpoint_parse(address, &local)) {
		fprintf(stderr, "%s: '%s' is no address: write 127.0.0.1:7000 or [::1]:7000\n",
			name, address);
		return 2;
	}
	error = tcp_listen(&local, &listener, FOREVER);
	if (error) {
		fprintf(stderr, "%s: cannot listen on %s (%s): allow it with --listen %s\n", name,
			address, wire_error_name(-error), address);
		return 1;
	}
	printf("%s: listening on %s\n", name, endpoint_format(listener_local(listener), text));
	error = tcp_serve(listener, serve, argument);
	fprintf(stderr, "%s: the listener failed (%s)\n", name, wire_error_name(-error));
	return 1;
}
