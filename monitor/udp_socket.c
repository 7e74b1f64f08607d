/* The life of a UDP socket. udp.h has the theory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/limits.h"
#include "monitor/loop.h"
#include "monitor/trim.h"
#include "monitor/udp.h"
#include "protocol/error.h"

static void pump(struct udp_socket *socket);

/* ---- waiting for the socket */

/* Not asked for here, a poll ends early when the monitor does, or has no memory for it. */
static void poll_complete(struct udp_socket *socket, int result)
{
	if (result < 0)
		socket->closing = true;
	pump(socket);
}

static void readable_complete(struct io_op *op, int result)
{
	struct udp_socket *socket = io_container(op, struct udp_socket, readable);

	socket->awaits_readable = false;
	poll_complete(socket, result);
}

static void writable_complete(struct io_op *op, int result)
{
	struct udp_socket *socket = io_container(op, struct udp_socket, writable);

	socket->awaits_writable = false;
	poll_complete(socket, result);
}

void udp_await_readable(struct udp_socket *socket)
{
	if (socket->awaits_readable)
		return;
	socket->awaits_readable = true;
	io_poll(socket->io, &socket->readable, socket->fd, POLLIN);
}

void udp_await_writable(struct udp_socket *socket)
{
	if (socket->awaits_writable)
		return;
	socket->awaits_writable = true;
	io_poll(socket->io, &socket->writable, socket->fd, POLLOUT);
}

/* ---- errors of datagrams */

void udp_note_error(struct udp_socket *socket, const struct endpoint *remote, int error)
{
	struct udp_errors *errors = &socket->errors;
	uint32_t number = wire_error_number(error);

	for (unsigned i = 0; i < errors->count; i++) {
		struct udp_send_error *entry = &errors->entry[i];
		if (entry->error == number &&
			memcmp(&entry->remote, remote, sizeof(*remote)) == 0) {
			entry->count++;
			return;
		}
	}
	if (errors->count < UDP_ERRORS)
		errors->entry[errors->count++] = (struct udp_send_error){*remote, number, 1};
}

static void tell_errors(struct udp_socket *socket)
{
	struct udp_errors *errors = &socket->errors;
	const struct frame frame = {.request_id = 0};
	unsigned told = 0;

	while (told < errors->count &&
		stream_room(socket->stream,
			FRAME_HEADER_LEN + sizeof(struct endpoint) + 2 * sizeof(uint32_t)))
		stream_send(
			socket->stream, &udp_send_error_message, &frame, &errors->entry[told++]);
	errors->count -= told;
	memmove(&errors->entry[0], &errors->entry[told], errors->count * sizeof(errors->entry[0]));
}

/* ---- the end */

static void settle(struct udp_socket *socket)
{
	struct stream *stream = socket->stream;

	if (!socket->closing)
		return;
	if (!socket->cancelled) {
		socket->cancelled = true;
		if (socket->awaits_readable)
			io_cancel(socket->io, &socket->readable);
		if (socket->awaits_writable)
			io_cancel(socket->io, &socket->writable);
	}
	if (socket->awaits_readable || socket->awaits_writable)
		return;
	rate_forget(&loop_limits(stream->loop)->receives, &socket->receive_turn);
	rate_forget(&loop_limits(stream->loop)->sends, &socket->send_turn);
	io_forget(socket->io, socket->fd);
	/* Before the guest is told: then the port is free. Closing a datagram socket does not wait.
	 */
	close(socket->fd);
	ring_finish(&stream->pipe.out);
	ring_stop(&stream->pipe.in);
	stream_flush(stream);
	udp_peers_destroy(socket->peers);
	free(socket);
	stream->relay = NULL;
	stream_release(stream);
}

static void pump(struct udp_socket *socket)
{
	struct stream *stream = socket->stream;

	if (!socket->closing) {
		udp_send(socket);
		tell_errors(socket);
		udp_receive(socket);
		tell_errors(socket);
	}
	if (!socket->closing && stream_pipe_broken(stream)) {
		stream_broken(stream, "impossible ring positions");
		socket->closing = true;
	}
	stream_flush(stream);
	settle(socket);
}

static void receive_turn(struct rate_waiter *waiter)
{
	pump(io_container(waiter, struct udp_socket, receive_turn));
}

static void send_turn(struct rate_waiter *waiter)
{
	pump(io_container(waiter, struct udp_socket, send_turn));
}

void udp_socket_signal(struct stream *stream)
{
	pump(stream->relay);
}

/* No operation owns memory of the ring. */
void udp_socket_trim(struct stream *stream)
{
	arena_trim_ring(loop_arena(stream->loop), &stream->ring[PIPE_HOST], TRIM_KEPT);
}

/* ---- the beginning */

int udp_socket_create(struct stream *stream, const struct udp_parts *parts)
{
	struct udp_socket *socket = calloc(1, sizeof(*socket));

	if (socket == NULL)
		return -ENOMEM;
	*socket = (struct udp_socket){
		.stream = stream,
		.io = loop_io(stream->loop),
		.fd = parts->fd,
		.remote = parts->remote,
		.ipv6 = parts->ipv6,
		.serves = parts->serves,
		.readable = {readable_complete},
		.writable = {writable_complete},
		.receive_turn = {receive_turn},
		.send_turn = {send_turn},
	};
	struct endpoint local = address_local(parts->fd);
	socket->local = udp_plain(&local);
	if (!udp_is_connected(socket)) {
		socket->peers = udp_peers_create(loop_reach(stream->loop), parts->serves);
		if (socket->peers == NULL) {
			free(socket);
			return -ENOMEM;
		}
	}
	stream->relay = socket;
	const struct udp_bound bound = {
		.local = socket->local,
		.remote = socket->remote,
		.max_datagram = udp_frame_most(stream) - UDP_HEADER_LEN,
	};
	stream_opened(stream, &udp_bound_message, &bound);
	return 0;
}
