#include "guest/programs/service.h"

#include <stdio.h>

#include "guest/programs/remedy.h"
#include "protocol/error.h"

/* What the loops of both kinds of listeners pass on. */
struct serving {
	const struct service *service;
	void *argument;
};

static void serve_tcp(struct stream *stream, const struct endpoint *peer, void *argument)
{
	const struct serving *serving = argument;

	(void)peer;
	serving->service->serve(stream, serving->argument);
}

static void serve_unix(struct stream *stream, const struct unix_peer *peer, void *argument)
{
	const struct serving *serving = argument;

	(void)peer;
	serving->service->serve(stream, serving->argument);
}

static int run_tcp(const char *address, struct serving *serving)
{
	char text[ENDPOINT_TEXT_LEN];
	struct endpoint local;
	struct listener *listener;
	int error;

	if (endpoint_parse(address, &local)) {
		fprintf(stderr,
			"%s: '%s' is no address: write 127.0.0.1:7000, [::1]:7000 or unix:PATH\n",
			serving->service->name, address);
		return 2;
	}
	error = tcp_listen(&local, &listener, FOREVER);
	if (error)
		return cannot_listen(serving->service->name, address, error);
	printf("%s: listening on %s\n", serving->service->name,
		endpoint_format(listener_local(listener), text));
	return tcp_serve(listener, serve_tcp, serving);
}

static int run_unix(const char *address, struct serving *serving)
{
	struct listener *listener;
	int error = unix_listen(
		unix_path(address), UNIX_STREAM, UNIX_LISTEN_REPLACE, 0, &listener, FOREVER);

	if (error)
		return cannot_listen(serving->service->name, address, error);
	printf("%s: listening on %s\n", serving->service->name, address);
	return unix_serve(listener, serve_unix, serving);
}

int service_run(const struct service *service, const char *address, void *argument)
{
	static struct serving serving; /* fibers go on when this returns */
	int status;

	serving = (struct serving){service, argument};
	status = unix_path(address) ? run_unix(address, &serving) : run_tcp(address, &serving);
	if (status >= 0)
		return status;
	fprintf(stderr, "%s: the listener failed (%s)\n", service->name, wire_error_name(-status));
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
		"usage: %s [ADDR:PORT|unix:PATH]\n"
		"\n"
		"%s\n"
		"Listens on %s unless told otherwise.\n"
		"\n"
		"It needs the grant --listen ADDR:PORT, or --unix PATH:listen:\n"
		"  ferrule run --listen %s %s.elf\n",
		service->name, service->does, service->address, service->address, service->name);
	if (help_asked(argc, argv, help))
		return 0;
	if (argc > 2 || (argc > 1 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: %s [ADDR:PORT|unix:PATH]; --help explains%s\n",
			service->name, hint_for_option(argv[1]));
		return 2;
	}
	return service_run(service, argc > 1 ? argv[1] : service->address, NULL);
}
