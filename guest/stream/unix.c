#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/listener.h"
#include "guest/stream/stream.h"

static const struct listener_kind unix_kind = {
	.protocol = PROTOCOL_UNIX_LISTEN,
	.listen = &unix_listen_message,
	.incoming = &unix_incoming_message,
};

/* 0, or the errno that the monitor would have no frame for. */
static int check_path(const char *path, struct wire_bytes *ret_path)
{
	*ret_path = (struct wire_bytes){path, strlen(path)};
	return ret_path->len <= FS_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* ---- listening */

int unix_listen(const char *path, enum unix_type type, uint32_t flags, uint32_t mode,
	struct listener **ret_listener, deadline until)
{
	struct unix_listen listen = {.type = type, .mode = mode, .flags = flags};
	int error = check_path(path, &listen.path);

	return error ? error : listener_open(&unix_kind, &listen, NULL, ret_listener, until);
}

static struct unix_peer peer_of(const struct unix_incoming *incoming)
{
	return (struct unix_peer){incoming->pid, incoming->uid, incoming->gid};
}

int unix_accept(struct listener *listener, struct stream **ret_stream, struct unix_peer *ret_peer,
	deadline until)
{
	union listener_incoming incoming;
	int error = listener_accept(listener, &unix_kind, ret_stream, &incoming, until);

	if (error)
		return error;
	(*ret_stream)->packet_max = incoming.local.packet_max;
	if (ret_peer)
		*ret_peer = peer_of(&incoming.local);
	return 0;
}

static void begin(struct stream *stream, const union listener_incoming *incoming,
	const struct listener_serving *serving)
{
	const struct unix_peer peer = peer_of(&incoming->local);

	stream->packet_max = incoming->local.packet_max;
	serving->serve.local(stream, &peer, serving->argument);
}

int unix_serve(struct listener *listener,
	void (*serve)(struct stream *stream, const struct unix_peer *peer, void *argument),
	void *argument)
{
	const struct listener_serving serving = {
		.begin = begin, .serve = {.local = serve}, .argument = argument};

	return listener_serve(listener, &unix_kind, &serving);
}

/* ---- connecting */

int unix_connect(const char *path, enum unix_type type, struct stream **ret_stream,
	struct unix_peer *ret_peer, deadline until)
{
	struct unix_connect connect = {.type = type, .timeout_ms = stream_timeout_ms(until)};
	struct unix_connected connected;
	struct stream *stream;
	int error = check_path(path, &connect.path);

	if (error)
		return error;
	error = control_new_stream(STREAM_CAPACITY, STREAM_CAPACITY, &stream, until);
	if (error)
		return error;
	error = stream_open_protocol(stream, PROTOCOL_UNIX_CONNECT, &unix_connect_message, &connect,
		&unix_connected_message, &connected, until);
	if (error) {
		stream_close(stream);
		return error;
	}
	stream->packet_max = connected.packet_max;
	if (ret_peer)
		*ret_peer = (struct unix_peer){connected.pid, connected.uid, connected.gid};
	*ret_stream = stream;
	return 0;
}

/* ---- packets */

size_t packet_max(const struct stream *stream)
{
	return stream->packet_max;
}

long packet_send(struct stream *stream, const void *bytes, size_t len, deadline until)
{
	const struct frame frame = {0};
	struct unix_packet packet = {.data = {bytes, len}};
	int error;

	if (stream->packet_max == 0)
		return -EINVAL;
	if (len > stream->packet_max)
		return -EMSGSIZE;
	packet.length = (uint32_t)len;
	error = frame_send(stream, NULL, &unix_packet_message, &frame, &packet, until);
	return error ? error : (long)len;
}

/* Of a frame: the bytes taken, -EPROTO for one that is broken, -EAGAIN: it is no packet. */
static long take_packet(struct stream *stream, const struct frame *frame, const unsigned char *body,
	void *ret_bytes, size_t room, size_t *ret_length)
{
	struct unix_packet packet;

	if (frame->type != UNIX_PACKET || frame->flags & FRAME_REPLY) {
		frame_refuse(stream, frame);
		return -EAGAIN;
	}
	if (wire_decode(&unix_packet_message, &packet, body, frame->length - FRAME_HEADER_LEN) ||
		packet.length < packet.data.len)
		return -EPROTO;
	if (packet.data.len < room)
		room = packet.data.len;
	if (room > 0)
		memcpy(ret_bytes, packet.data.data, room);
	if (ret_length)
		*ret_length = packet.length;
	return (long)room;
}

long packet_receive(
	struct stream *stream, void *ret_bytes, size_t room, size_t *ret_length, deadline until)
{
	const unsigned char *body;
	struct frame frame;
	long result;

	if (stream->packet_max == 0)
		return -EINVAL;
	do {
		int error = frame_await(stream, &frame, &body, until);

		if (error)
			return error == -EPIPE ? -ENODATA : error;
		result = take_packet(stream, &frame, body, ret_bytes, room, ret_length);
		frame_done(stream, &frame);
	} while (result == -EAGAIN);
	return result;
}
