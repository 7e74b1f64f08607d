/*
 * The relay of one TCP connection: a stream's pipe on one side, a socket on the other.
 *
 * Theory of operation. The two directions are independent; each has at most one
 * operation in flight, which owns the span of ring memory that it was given.
 *
 *   sending    guest -> socket. Bytes in the ring are sent where they lie. When the
 *              guest finished and all is sent: shutdown(SHUT_WR), a FIN. When the guest
 *              failed its direction: the connection is reset (SO_LINGER 0), a RST.
 *   receiving  socket -> guest. recv(2) straight into the ring. End of file finishes
 *              the ring, an error fails it with the errno after the bytes before it.
 *              When the guest will read no more, receiving stops.
 *
 * A direction leaves its state once: 'send_done', 'recv_done'. With both done and nothing
 * in flight the socket is closed and the stream let go. CloseStream counts as
 * finished for what is still to be sent, and as done for what was still to be received; bytes
 * written before it still leave, however long the peer takes.
 *
 * Receiving waits only for a full ring, never for 'more room': the guest may be waiting for as
 * many bytes as the ring can hold. Once full, it asks for a quarter of the ring, so that no
 * one is woken for a trickle.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "monitor/io.h"
#include "monitor/loop.h"
#include "monitor/stats.h"
#include "monitor/tcp.h"
#include "protocol/error.h"

#define RELAY_QUANTUM (256u << 10) /* bytes per operation: how long one stream may keep the thread */

struct tcp_relay {
	struct stream *stream;
	struct io *io;
	int fd;
	struct io_op send_op;
	struct io_op recv_op;
	bool sending;   /* in flight */
	bool receiving; /* in flight */
	bool send_done;
	bool recv_done;
	bool recv_cancelled;
	bool send_cancelled;
};

static void relay_pump(struct tcp_relay *relay);

static size_t quantum(size_t len)
{
	return len < RELAY_QUANTUM ? len : RELAY_QUANTUM;
}

/* Both directions are over and the peer gets a RST. */
static void relay_reset(struct tcp_relay *relay, int error)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(relay->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	relay->send_done = true;
	relay->recv_done = true;
	ring_fail(&relay->stream->pipe.out, error);
	ring_stop(&relay->stream->pipe.in);
	stream_flush(relay->stream);
}

static void relay_broken(struct tcp_relay *relay)
{
	stream_broken(relay->stream, "impossible ring positions");
	relay_reset(relay, EPROTO);
}

/* ---- sending: guest to socket */

/* The ring has no bytes: is that its end? */
static void send_end(struct tcp_relay *relay, int end)
{
	if (end == -RING_EPROTO) {
		relay_broken(relay);
	} else if (end < 0) {
		relay_reset(relay, ECONNABORTED);
	} else {
		shutdown(relay->fd, SHUT_WR);
		relay->send_done = true;
	}
}

static void relay_send(struct tcp_relay *relay)
{
	struct ring_consumer *in = &relay->stream->pipe.in;
	if (relay->sending || relay->send_done)
		return;
	struct ring_span span = ring_peek(in);
	if (span.len == 0 && span.end == 0 && !relay->stream->guest_closed) {
		/* Announce, look again, and leave it to the bell; partner: the guest's ring_wake_consumer. */
		ring_await_data(in, 1);
		span = ring_peek(in);
		if (span.len == 0 && span.end == 0)
			return;
	}
	if (span.len == 0) {
		send_end(relay, span.end);
		return;
	}
	relay->sending = true;
	io_send(relay->io, &relay->send_op, relay->fd, span.data, quantum(span.len));
}

static void send_complete(struct io_op *op, int result)
{
	struct tcp_relay *relay = io_container(op, struct tcp_relay, send_op);
	relay->sending = false;
	if (result >= 0) {
		stats.bytes_to_host += (unsigned)result;
		ring_consume(&relay->stream->pipe.in, (size_t)result);
	} else if (result != -EINTR) {
		/* The guest's writes get -EPIPE from here on; why, its reads will tell. */
		relay->send_done = true;
		ring_stop(&relay->stream->pipe.in);
	}
	relay_pump(relay);
}

/* ---- receiving: socket to guest */

static void relay_receive(struct tcp_relay *relay)
{
	struct ring_producer *out = &relay->stream->pipe.out;
	if (relay->receiving || relay->recv_done)
		return;
	struct ring_span room = ring_reserve(out);
	if (room.len == 0 && room.end == 0) {
		ring_await_room(out, relay->stream->ring[PIPE_HOST].capacity / 4);
		room = ring_reserve(out);
		if (room.len == 0 && room.end == 0)
			return;
	}
	if (room.end == -RING_EPROTO) {
		relay_broken(relay);
	} else if (room.end != 0) {
		relay->recv_done = true;
	} else {
		relay->receiving = true;
		io_recv(relay->io, &relay->recv_op, relay->fd, room.data, quantum(room.len));
	}
}

static void recv_complete(struct io_op *op, int result)
{
	struct tcp_relay *relay = io_container(op, struct tcp_relay, recv_op);
	struct ring_producer *out = &relay->stream->pipe.out;
	relay->receiving = false;
	if (result > 0) {
		stats.bytes_to_guest += (unsigned)result;
		ring_commit(out, (size_t)result);
	} else if (result == 0) {
		relay->recv_done = true;
		ring_finish(out);
	} else if (result != -EINTR) {
		relay->recv_done = true;
		ring_fail(out, (int)wire_error_number(-result));
	}
	relay_pump(relay);
}

/* ---- both */

/* What is in flight for a direction that is over keeps memory of the ring: have it back soon. */
static void relay_cancel(struct tcp_relay *relay)
{
	if (relay->recv_done && relay->receiving && !relay->recv_cancelled) {
		relay->recv_cancelled = true;
		io_cancel(relay->io, &relay->recv_op);
	}
	if (relay->send_done && relay->sending && !relay->send_cancelled) {
		relay->send_cancelled = true;
		io_cancel(relay->io, &relay->send_op);
	}
}

static void relay_settle(struct tcp_relay *relay)
{
	struct stream *stream = relay->stream;
	if (stream->guest_closed && relay->send_done)
		relay->recv_done = true;
	relay_cancel(relay);
	stream_flush(stream);
	if (!relay->send_done || !relay->recv_done || relay->sending || relay->receiving)
		return;
	io_close_socket(relay->io, relay->fd);
	stream->relay = NULL;
	free(relay);
	stream_release(stream);
}

static void relay_pump(struct tcp_relay *relay)
{
	relay_send(relay);
	/* A guest that reads no more is noticed while a receive is in flight, too. */
	if (relay->receiving && !relay->recv_done && ring_reserve(&relay->stream->pipe.out).end != 0)
		relay->recv_done = true;
	relay_receive(relay);
	relay_settle(relay);
}

static void relay_signal(struct stream *stream)
{
	relay_pump(stream->relay);
}

static const struct protocol_ops relay_protocol = {
	.name = "tcp-relay",
	.signal = relay_signal,
	.closed = relay_signal,
};

int tcp_relay_create(struct stream *stream, int fd)
{
	struct tcp_relay *relay = calloc(1, sizeof(*relay));
	if (relay == NULL)
		return -ENOMEM;
	*relay = (struct tcp_relay){
		.stream = stream,
		.io = loop_io(stream->loop),
		.fd = fd,
		.send_op = { send_complete },
		.recv_op = { recv_complete },
	};
	stream->relay = relay;
	stream->protocol = &relay_protocol;
	return 0;
}
