/* Datagrams of the socket, to the guest. udp.h has the theory. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "monitor/limits.h"
#include "monitor/loop.h"
#include "monitor/stats.h"
#include "monitor/udp.h"

/* How receiving went on. */
enum outcome {
	MORE,    /* something was taken off the socket */
	NOTHING, /* there is nothing */
	NO_ROOM, /* the next one finds no room */
};

/* Frames that are written, and committed together. */
struct batch {
	struct ring_span room; /* as reserved */
	size_t filled;         /* bytes of it */
	size_t wanted;         /* after NO_ROOM: bytes that the next frame takes */
	unsigned count;        /* datagrams, also those that were not given to the guest: */
	unsigned unheard;
	uint64_t now_ms;
};

/* An error that the socket had to tell, of a datagram that was sent. */
static enum outcome outcome_of(struct udp_socket *socket, int error)
{
	if (error == EAGAIN)
		return NOTHING;
	if (error != EINTR)
		udp_note_error(socket, &socket->remote, error);
	return MORE;
}

/* The frame of a datagram of which the kernel has put 'len' bytes behind the room for its header.
 */
static void write_header(unsigned char *at, const struct udp_frame *datagram, size_t len)
{
	struct frame frame = {.request_id = 0};

	wire_encode(&udp_datagram_message, &frame, datagram, at, UDP_HEADER_LEN);
	frame.type = UDP_DATAGRAM;
	frame.length = (uint32_t)(UDP_HEADER_LEN + len);
	frame_encode(&frame, at);
}

/* The datagrams that the kernel has lost until the one that was received now. */
static void note_overflow(struct udp_socket *socket, uint32_t overflow)
{
	stats.datagrams_dropped += overflow - socket->overflow_seen;
	socket->overflow_seen = overflow;
}

/* What came before the socket was connected may be anybody's. */
static bool may_hear(struct udp_socket *socket, const struct endpoint *remote, uint64_t now_ms)
{
	if (!udp_is_connected(socket))
		return udp_peers_may_hear(socket->peers, remote, now_ms);
	return remote->family == socket->remote.family && remote->port == socket->remote.port &&
	       memcmp(remote->addr, socket->remote.addr, sizeof(remote->addr)) == 0;
}

/* One that was received. Whoever may not be heard is as if it had sent nothing. */
static void take(struct udp_socket *socket, struct batch *batch, struct msghdr *header,
	const struct udp_message *message, size_t len)
{
	struct udp_frame datagram = {.length = (uint32_t)len};
	uint32_t overflow = socket->overflow_seen;
	size_t kept = len < message->span.iov_len ? len : message->span.iov_len;

	udp_message_read(header, message, &datagram, &overflow);
	note_overflow(socket, overflow);
	datagram.local.port = socket->local.port;
	if (!may_hear(socket, &datagram.remote, batch->now_ms)) {
		stats.datagrams_refused++;
		batch->unheard++;
		return;
	}
	datagram.dropped = overflow - socket->overflow;
	socket->overflow = overflow;
	write_header(batch->room.data + batch->filled, &datagram, kept);
	batch->filled += UDP_HEADER_LEN + kept;
	stats.bytes_to_guest += kept;
	stats.datagrams_to_guest++;
}

static enum outcome receive_one(struct udp_socket *socket, struct batch *batch)
{
	size_t left = batch->room.len - batch->filled, most = udp_frame_most(socket->stream);
	struct udp_message message;
	struct msghdr header;

	batch->count++;
	if (left < most) { /* how long is it? */
		ssize_t next = recv(socket->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
		if (next < 0)
			return outcome_of(socket, errno);
		batch->wanted = UDP_HEADER_LEN + (size_t)next;
		if (batch->wanted > most)
			batch->wanted = most;
		if (left < batch->wanted)
			return NO_ROOM;
		most = left < most ? left : most;
	}
	struct iovec span = {
		batch->room.data + batch->filled + UDP_HEADER_LEN, most - UDP_HEADER_LEN};
	udp_message_from(&header, &message, span);
	ssize_t len = recvmsg(socket->fd, &header, MSG_TRUNC | MSG_DONTWAIT);
	if (len < 0)
		return outcome_of(socket, errno);
	take(socket, batch, &header, &message, (size_t)len);
	return MORE;
}

/* The guest's reading will signal, once there is room for the next datagram and some more. */
static void await_room(struct udp_socket *socket, size_t wanted)
{
	struct stream *stream = socket->stream;
	size_t quarter = stream->ring[PIPE_HOST].capacity / 4;

	ring_await_room(&stream->pipe.out, wanted > quarter ? wanted : quarter);
	/* Announced, it has to be looked for once more. Partner: the guest's ring_wake_producer. */
	if (ring_reserve(&stream->pipe.out).len >= wanted)
		loop_again(stream->loop, stream->slot);
}

void udp_receive(struct udp_socket *socket)
{
	struct ring_producer *out = &socket->stream->pipe.out;
	struct batch batch = {.room = ring_reserve(out), .now_ms = udp_now_ms()};
	enum outcome outcome = MORE;

	socket->deaf |= batch.room.end != 0;
	if (socket->deaf || socket->closing || socket->awaits_readable)
		return;
	struct rate *rate = &loop_limits(socket->stream->loop)->receives;
	uint64_t allowed = rate_allows(rate);
	if (allowed == 0) {
		rate_wait(rate, &socket->receive_turn);
		return;
	}
	if (allowed > UDP_QUANTUM)
		allowed = UDP_QUANTUM;
	while (outcome == MORE && batch.count < UDP_BATCH && batch.filled < allowed)
		outcome = receive_one(socket, &batch);
	rate_spend(rate, batch.filled + (uint64_t)batch.unheard * UDP_HEADER_LEN);
	ring_commit_rewind(out, batch.filled);
	if (outcome == NO_ROOM)
		await_room(socket, batch.wanted);
	else /* also when there is more: others have their turn first */
		udp_await_readable(socket);
}
