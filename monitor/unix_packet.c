/*
 * The connection of a UNIX socket of SOCK_SEQPACKET: a Packet on the stream for each packet of the
 * socket, both ways.
 *
 * Theory of operation. Packets are moved by recvmsg(2) and sendmsg(2) that do not wait, straight
 * out of the ring and into it, as many in one go as fairness to others allows; io only waits for
 * the socket (io_poll), so no operation ever owns memory of the rings.
 *
 *   sending    guest -> socket, until it takes no more (then io_poll), the ring is empty, or the
 *              turn is over. When the guest finished and all is sent:
 *              shutdown(SHUT_WR). When it failed its direction: the socket is closed, at once.
 *   receiving  socket -> guest, while the next packet has room. How long it is only the socket
 *              knows: it is asked before, unless the ring is empty, and so has all the room
 *              that there can be. What is longer than that is cut off, and its length told.
 *   discarding takes the place of receiving when the guest will read no more.
 *
 * A direction ends once: 'send_done', 'recv_done'. With both done and nothing in flight the
 * socket is closed and the stream let go. CloseStream counts as finished for what is still to
 * be sent. Bytes that were sent are the peer's, whether the socket is closed or not: nothing
 * lingers. A peer that takes nothing for RELAY_STALL_NS after CloseStream is given up.
 *
 * Linux tells a socket's error once, to whichever call asks first, and before the packets that
 * came before it. It is kept, and told to the guest behind them.
 *
 * recvmsg(2) returns 0 for the end and for a packet of no bytes. With a packet comes a time stamp,
 * which was asked for, and with the end none.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/loop.h"
#include "monitor/relay.h"
#include "monitor/stats.h"
#include "monitor/trim.h"
#include "monitor/unix.h"
#include "protocol/error.h"

/* What may be moved one way before others have their turn. */
#define TURN_PACKETS 256u
#define TURN_BYTES   (256u << 10)

struct packets {
	struct stream *stream;
	struct io *io;
	int fd;
	uint32_t packet_max; /* bytes */
	struct io_op in_op, out_op;
	struct io_timer timer;                      /* runs after CloseStream only */
	struct rate_waiter receive_turn, send_turn; /* for what the limits allow */
	bool awaiting_in;                           /* in flight */
	bool awaiting_out;                          /* in flight */
	bool timing;                                /* in flight */
	bool send_done;
	bool recv_done;
	bool cancelled;     /* all that is in flight, since both are done */
	bool discard;       /* the guest reads no more */
	bool failed;        /* a receive was told an error */
	int error;          /* errno of a call, to be told behind the last packet */
	uint64_t sent;      /* packets */
	uint64_t sent_then; /* when the timer was started */
};

static void packets_pump(struct packets *packets);

/* Both directions are over. */
static void packets_give_up(struct packets *packets, int error)
{
	packets->send_done = true;
	packets->recv_done = true;
	ring_fail(&packets->stream->pipe.out, error);
	ring_stop(&packets->stream->pipe.in);
}

/* ---- sending: guest to socket */

/* False: the socket takes no more now, or will never. */
static bool send_packet(struct packets *packets, const struct unix_packet *packet)
{
	ssize_t result;
	do
		result = send(packets->fd, packet->data.data, packet->data.len,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	while (result < 0 && errno == EINTR);
	if (result >= 0) {
		stats.bytes_to_host += (size_t)result;
		rate_spend(&loop_limits(packets->stream->loop)->sends,
			(uint64_t)result + UNIX_PACKET_HEADER_LEN);
		packets->sent++;
		return true;
	}
	if (errno == EAGAIN) {
		packets->awaiting_out = true;
		io_poll(packets->io, &packets->out_op, packets->fd, POLLOUT);
		return false;
	}
	/* The guest's writes get -EPIPE from here on; why, its reads will tell. */
	packets->send_done = true;
	if (errno != EPIPE)
		packets->error = errno;
	ring_stop(&packets->stream->pipe.in);
	return false;
}

/* False: the frame stays, for later or for good. */
static bool send_frame(
	struct packets *packets, const struct frame *frame, const unsigned char *body)
{
	struct unix_packet packet;
	if (frame->type != UNIX_PACKET) {
		if (!stream_room(packets->stream, FRAME_HEADER_LEN))
			return false;
		stream_send_error(packets->stream, STREAM_UNSUPPORTED, frame->request_id, ENOTSUP);
		return true;
	}
	if (wire_decode(&unix_packet_message, &packet, body, frame->length - FRAME_HEADER_LEN) <
			0 ||
		packet.length != packet.data.len) {
		stream_broken(packets->stream, "a packet has another length than it says");
		packets_give_up(packets, EPROTO);
		return false;
	}
	if (packet.length > packets->packet_max) {
		packets_give_up(packets, EMSGSIZE);
		return false;
	}
	return send_packet(packets, &packet);
}

static void packets_send(struct packets *packets)
{
	struct stream *stream = packets->stream;
	struct frame frame;
	const unsigned char *body;
	struct rate *rate = &loop_limits(stream->loop)->sends;
	size_t bytes = 0;
	while (!packets->send_done && !packets->awaiting_out) {
		if (bytes >= TURN_BYTES) {
			loop_again(stream->loop, stream->slot);
			return;
		}
		if (rate_allows(rate) == 0) {
			rate_wait(rate, &packets->send_turn);
			return;
		}
		int result = stream_frame(stream, &frame, &body);
		if (result == 0)
			return;
		if (result == -EPROTO || ring_peek(&stream->pipe.in).end < 0) {
			packets_give_up(packets, result == -EPROTO ? EPROTO : ECONNABORTED);
		} else if (result < 0) {
			shutdown(packets->fd, SHUT_WR);
			packets->send_done = true;
		} else if (send_frame(packets, &frame, body)) {
			stream_frame_done(stream, &frame);
			bytes += frame.length;
		} else {
			return;
		}
	}
}

static void out_complete(struct io_op *op, int result)
{
	struct packets *packets = io_container(op, struct packets, out_op);
	(void)result; /* the next send finds out */
	packets->awaiting_out = false;
	packets_pump(packets);
}

/* ---- receiving: socket to guest */

/* The next packet, as much of it as there is room for. Its length; -ENODATA: the end; or a negative
 * errno. */
static ssize_t receive_packet(int fd, void *ret_bytes, size_t room)
{
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(struct timeval))];
	struct iovec span = {ret_bytes, room};
	struct msghdr message = {
		.msg_iov = &span,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t len;
	do
		len = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	return len == 0 && message.msg_controllen == 0 ? -ENODATA : len;
}

static void commit_packet(struct packets *packets, struct ring_span room, size_t len)
{
	const struct unix_packet packet = {.length = (uint32_t)len};
	struct frame frame = {.type = UNIX_PACKET};
	size_t most = room.len - UNIX_PACKET_HEADER_LEN;
	wire_encode(&unix_packet_message, &frame, &packet, room.data, room.len);
	frame.length = (uint32_t)(UNIX_PACKET_HEADER_LEN + (len < most ? len : most));
	frame_encode(&frame, room.data); /* the bytes are there already */
	ring_commit_rewind(&packets->stream->pipe.out, frame.length);
	stats.bytes_to_guest += len < most ? len : most;
}

static void recv_end(struct packets *packets)
{
	struct ring_producer *out = &packets->stream->pipe.out;
	packets->recv_done = true;
	if (packets->error == 0) {
		ring_finish(out);
		return;
	}
	/* The connection is gone, both ways. */
	ring_fail(out, (int)wire_error_number(packets->error));
	packets->send_done = true;
	ring_stop(&packets->stream->pipe.in);
}

/* 0: *ret_room is enough for the next packet, or the whole ring. -ENOBUFS: there is no room for it;
 * or the errno of the socket, which has none. */
static int room_for_next(struct packets *packets, struct ring_span *ret_room)
{
	struct ring_producer *out = &packets->stream->pipe.out;
	size_t capacity = packets->stream->ring[PIPE_HOST].capacity;
	*ret_room = ring_reserve(out);
	if (ret_room->len == capacity)
		return 0;
	/* One that comes behind this look is another look's: its length is not known. */
	ssize_t len = recv(packets->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	if (len < 0)
		return -errno;
	size_t need = UNIX_PACKET_HEADER_LEN + (size_t)len;
	if (need > capacity)
		need = capacity;
	if (ret_room->len < need) {
		ring_await_room(out, need);
		*ret_room = ring_reserve(out);
	}
	return ret_room->len >= need ? 0 : -ENOBUFS;
}

/* The length of the packet, or as room_for_next and receive_packet. */
static ssize_t receive_to_ring(struct packets *packets)
{
	struct ring_span room;
	ssize_t len = room_for_next(packets, &room);
	if (len < 0)
		return len;
	if (room.len > FRAME_LEN_MAX)
		room.len = FRAME_LEN_MAX;
	len = receive_packet(
		packets->fd, room.data + UNIX_PACKET_HEADER_LEN, room.len - UNIX_PACKET_HEADER_LEN);
	if (len >= 0)
		commit_packet(packets, room, (size_t)len);
	return len;
}

/* The length of the packet that was received or dropped, if one was; negative: none is there, now
 * or ever. */
static ssize_t receive_one(struct packets *packets)
{
	ssize_t len =
		packets->discard ? receive_packet(packets->fd, NULL, 0) : receive_to_ring(packets);
	if (len >= 0 || len == -ENOBUFS)
		return len;
	if (len == -EINTR)
		return 0;
	if (len == -EAGAIN) {
		packets->awaiting_in = true;
		io_poll(packets->io, &packets->in_op, packets->fd, POLLIN);
		return len;
	}
	if (len != -ENODATA && !packets->failed) {
		packets->failed = true;
		packets->error = (int)-len;
		return 0;
	}
	recv_end(packets);
	return len;
}

static void packets_receive(struct packets *packets)
{
	struct rate *rate = &loop_limits(packets->stream->loop)->receives;
	size_t bytes = 0;
	for (unsigned i = 0; !packets->recv_done && !packets->awaiting_in; i++) {
		if (rate_allows(rate) == 0) {
			rate_wait(rate, &packets->receive_turn);
			return;
		}
		if (i == TURN_PACKETS || bytes >= TURN_BYTES) {
			loop_again(packets->stream->loop, packets->stream->slot);
			return;
		}
		ssize_t len = receive_one(packets);
		if (len < 0)
			return;
		bytes += (size_t)len;
		rate_spend(rate, (size_t)len + UNIX_PACKET_HEADER_LEN);
	}
}

static void in_complete(struct io_op *op, int result)
{
	struct packets *packets = io_container(op, struct packets, in_op);
	(void)result;
	packets->awaiting_in = false;
	packets_pump(packets);
}

/* ---- both directions */

static void timer_complete(struct io_op *op, int result)
{
	struct packets *packets = io_container(op, struct packets, timer.op);
	packets->timing = false;
	if (result == -ETIME && packets->sent == packets->sent_then && !packets->send_done &&
		!rate_waits(&packets->send_turn))
		packets_give_up(packets, ETIMEDOUT);
	packets_pump(packets);
}

/* What the guest did to the pipe that concerns what is waited for, too. */
static void packets_look(struct packets *packets)
{
	struct stream *stream = packets->stream;
	struct ring_span in = ring_peek(&stream->pipe.in);
	struct ring_span out = ring_reserve(&stream->pipe.out);
	if (packets->send_done && packets->recv_done)
		return;
	if (stream_pipe_broken(stream)) {
		stream_broken(stream, "impossible ring positions");
		packets_give_up(packets, EPROTO);
	} else if (in.end < 0 && (packets->awaiting_out || rate_waits(&packets->send_turn))) {
		packets_give_up(packets, ECONNABORTED);
	}
	if (out.end != 0 || stream->guest_closed)
		packets->discard = true;
}

static void packets_cancel(struct packets *packets)
{
	if (packets->cancelled)
		return;
	packets->cancelled = true;
	if (packets->awaiting_in)
		io_cancel(packets->io, &packets->in_op);
	if (packets->awaiting_out)
		io_cancel(packets->io, &packets->out_op);
	if (packets->timing)
		io_cancel(packets->io, &packets->timer.op);
}

static void packets_settle(struct packets *packets)
{
	struct stream *stream = packets->stream;
	if (stream->guest_closed && packets->send_done)
		packets->recv_done = true;
	bool over = packets->send_done && packets->recv_done;
	if (over)
		packets_cancel(packets);
	if (!over && stream->guest_closed && !packets->timing) {
		packets->timing = true;
		packets->sent_then = packets->sent;
		io_timeout(packets->io, &packets->timer, RELAY_STALL_NS);
	}
	stream_flush(stream);
	if (!over || packets->awaiting_in || packets->awaiting_out || packets->timing)
		return;
	rate_forget(&loop_limits(stream->loop)->receives, &packets->receive_turn);
	rate_forget(&loop_limits(stream->loop)->sends, &packets->send_turn);
	io_close_socket(packets->io, packets->fd);
	stream->relay = NULL;
	free(packets);
	stream_release(stream);
}

static void packets_pump(struct packets *packets)
{
	packets_look(packets);
	packets_send(packets);
	packets_receive(packets);
	packets_settle(packets);
}

static void receive_turn(struct rate_waiter *waiter)
{
	packets_pump(io_container(waiter, struct packets, receive_turn));
}

static void send_turn(struct rate_waiter *waiter)
{
	packets_pump(io_container(waiter, struct packets, send_turn));
}

static void packets_signal(struct stream *stream)
{
	packets_pump(stream->relay);
}

static void packets_trim(struct stream *stream)
{
	arena_trim_ring(loop_arena(stream->loop), &stream->ring[PIPE_HOST], TRIM_KEPT);
}

static const struct protocol_ops packets_protocol = {
	.name = "unix-packets",
	.trim = packets_trim,
	.signal = packets_signal,
	.closed = packets_signal,
};

int unix_packet_create(struct stream *stream, int fd)
{
	struct packets *packets = calloc(1, sizeof(*packets));
	struct unix_connected peer;
	if (packets == NULL)
		return -ENOMEM;
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &(int){1}, sizeof(int));
	unix_peer(stream, fd, UNIX_SEQPACKET, &peer);
	*packets = (struct packets){
		.stream = stream,
		.io = loop_io(stream->loop),
		.fd = fd,
		.packet_max = peer.packet_max,
		.in_op = {in_complete},
		.out_op = {out_complete},
		.timer = {.op = {timer_complete}},
		.receive_turn = {receive_turn},
		.send_turn = {send_turn},
	};
	stream->relay = packets;
	stream->protocol = &packets_protocol;
	return 0;
}
