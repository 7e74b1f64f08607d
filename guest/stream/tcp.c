#include "guest/stream/control.h"
#include "guest/stream/endpoint.h"
#include "guest/stream/listener.h"
#include "guest/stream/stream.h"

static const struct listener_kind tcp_kind = {
	.protocol = PROTOCOL_TCP_LISTEN,
	.listen = &tcp_listen_message,
	.listening = &tcp_listening_message,
	.incoming = &tcp_incoming_message,
};

int tcp_listen(const struct endpoint *local, struct listener **ret_listener, deadline until)
{
	return tcp_listen_with(local, &(struct listen_options){0}, ret_listener, until);
}

int tcp_listen_with(const struct endpoint *local, const struct listen_options *options,
	struct listener **ret_listener, deadline until)
{
	struct tcp_listen listen = {.local = *local,
		.backlog = options->backlog,
		.flags = options->flags,
		.options = options->tcp};
	struct tcp_listening listening;
	int error = listener_open(&tcp_kind, &listen, &listening, ret_listener, until);

	if (!error)
		listener_set_local(*ret_listener, &listening.local);
	return error;
}

static void note_ends(struct stream *stream, const union listener_incoming *incoming)
{
	stream->local = incoming->tcp.local;
	stream->peer = incoming->tcp.remote;
}

int tcp_accept(struct listener *listener, struct stream **ret_stream, struct endpoint *ret_peer,
	struct endpoint *ret_local, deadline until)
{
	union listener_incoming incoming;
	int error = listener_accept(listener, &tcp_kind, ret_stream, &incoming, until);

	if (error)
		return error;
	note_ends(*ret_stream, &incoming);
	if (ret_peer)
		*ret_peer = incoming.tcp.remote;
	if (ret_local)
		*ret_local = incoming.tcp.local;
	return 0;
}

static void begin(struct stream *stream, const union listener_incoming *incoming,
	const struct listener_serving *serving)
{
	note_ends(stream, incoming);
	serving->serve.tcp(stream, &incoming->tcp.remote, serving->argument);
}

int tcp_serve(struct listener *listener,
	void (*serve)(struct stream *stream, const struct endpoint *peer, void *argument),
	void *argument)
{
	const struct listener_serving serving = {
		.begin = begin, .serve = {.tcp = serve}, .argument = argument};

	return listener_serve(listener, &tcp_kind, &serving);
}

static int open_connection(
	const struct tcp_connect *connect, struct stream **ret_stream, deadline until)
{
	struct tcp_connected connected;
	struct stream *stream;
	int error = control_new_stream(STREAM_CAPACITY, STREAM_CAPACITY, &stream, until);

	if (error)
		return error;
	error = stream_open_protocol(stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, connect,
		&tcp_connected_message, &connected, until);
	if (error) {
		stream_close(stream);
		return error;
	}
	stream->local = connected.local;
	stream->peer = connected.remote;
	*ret_stream = stream;
	return 0;
}

static struct tcp_connect connect_message(const struct connect_options *options, deadline until)
{
	struct tcp_connect connect = {.timeout_ms = stream_timeout_ms(until)};

	if (options) {
		connect.local = options->local;
		connect.options = options->tcp;
	}
	return connect;
}

int tcp_connect_with(const char *target, const struct connect_options *options,
	struct stream **ret_stream, deadline until)
{
	struct tcp_connect connect = connect_message(options, until);
	int error = endpoint_parse_target(target, &connect.remote, &connect.host);

	return error ? error : open_connection(&connect, ret_stream, until);
}

int tcp_connect(const char *target, struct stream **ret_stream, deadline until)
{
	return tcp_connect_with(target, NULL, ret_stream, until);
}

int tcp_connect_to(const struct endpoint *remote, const struct connect_options *options,
	struct stream **ret_stream, deadline until)
{
	struct tcp_connect connect = connect_message(options, until);

	connect.remote = *remote;
	return open_connection(&connect, ret_stream, until);
}

const struct endpoint *stream_local(const struct stream *stream)
{
	return &stream->local;
}

const struct endpoint *stream_peer(const struct stream *stream)
{
	return &stream->peer;
}
