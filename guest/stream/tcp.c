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
	struct tcp_listen listen = {.local = *local};
	struct tcp_listening listening;
	int error = listener_open(&tcp_kind, &listen, &listening, ret_listener, until);

	if (!error)
		listener_set_local(*ret_listener, &listening.local);
	return error;
}

int tcp_accept(struct listener *listener, struct stream **ret_stream, struct endpoint *ret_peer,
	struct endpoint *ret_local, deadline until)
{
	union listener_incoming incoming;
	int error = listener_accept(listener, &tcp_kind, ret_stream, &incoming, until);

	if (error)
		return error;
	if (ret_peer)
		*ret_peer = incoming.tcp.remote;
	if (ret_local)
		*ret_local = incoming.tcp.local;
	return 0;
}

static void begin(struct stream *stream, const union listener_incoming *incoming,
	const struct listener_serving *serving)
{
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

int tcp_connect(const char *target, struct stream **ret_stream, deadline until)
{
	struct tcp_connect connect = {.timeout_ms = stream_timeout_ms(until)};
	struct tcp_connected connected;
	struct stream *stream;
	int error = endpoint_parse_target(target, &connect.remote, &connect.host);

	if (error)
		return error;
	error = control_new_stream(STREAM_CAPACITY, STREAM_CAPACITY, &stream, until);
	if (error)
		return error;
	error = stream_open_protocol(stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &connect,
		&tcp_connected_message, &connected, until);
	if (error) {
		stream_close(stream);
		return error;
	}
	*ret_stream = stream;
	return 0;
}
