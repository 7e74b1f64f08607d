/* The guest's datagrams, to the socket. udp.h has the theory. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "monitor/address.h"
#include "monitor/grants.h"
#include "monitor/limits.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/stats.h"
#include "monitor/target.h"
#include "monitor/udp.h"

/* Frames that are checked, and lie one behind the other at the start of the ring. */
struct batch {
	unsigned count;
	uint64_t most;         /* bytes, but for one frame */
	size_t end[UDP_BATCH]; /* bytes of the ring up to the end of each frame */
	struct mmsghdr header[UDP_BATCH];
	struct udp_message message[UDP_BATCH];
	struct endpoint remote[UDP_BATCH]; /* for errors */
	uint64_t now_ms;
};

/* ---- one frame */

static bool same_address(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* Is this source the socket's to choose? */
static bool may_be_source(struct udp_socket *socket, const struct endpoint *local, uint64_t now_ms)
{
	const struct grants *grants = &loop_config(socket->stream->loop)->config->grants;

	if (!address_is_unspecified(&socket->local))
		return same_address(&socket->local, local);
	if (address_is_unspecified(local) ||
		(same_address(&socket->source, local) &&
			now_ms - socket->source_ms < UDP_PEERS_FRESH_MS))
		return true;
	/* The kernel lets IPv6 datagrams come from anywhere where ip_nonlocal_bind is set. */
	if ((!socket->serves && !grants_cover_some_port(grants, GRANT_UDP_LISTEN, local)) ||
		!address_is_own(local))
		return false;
	socket->source = *local;
	socket->source_ms = now_ms;
	return true;
}

static int check_remote(struct udp_socket *socket, const struct endpoint *remote, uint64_t now_ms)
{
	if (udp_is_connected(socket))
		return remote->family == ENDPOINT_NAME ? 0 : EISCONN;
	if (remote->family == ENDPOINT_NAME)
		return EINVAL;
	if (remote->family != ENDPOINT_IPV4 && remote->family != ENDPOINT_IPV6)
		return EAFNOSUPPORT;
	return udp_peers_may_send(socket->peers, remote, now_ms) ? 0 : EACCES;
}

/*
 * The next place of the batch for what this frame says, which is loaded once. 0 or a positive
 * errno. What it is for is in the place's 'remote' then, as far as that is known.
 */
static int take_frame(struct udp_socket *socket, struct batch *batch, const struct frame *frame,
	const unsigned char *body)
{
	unsigned place = batch->count;
	struct endpoint *remote = &batch->remote[place];
	struct udp_frame datagram;

	*remote = socket->remote;
	if (wire_decode(&udp_datagram_message, &datagram, body, frame->length - FRAME_HEADER_LEN) <
		0)
		return EPROTO;
	if (datagram.remote.family != ENDPOINT_NAME)
		*remote = datagram.remote = udp_plain(&datagram.remote);
	datagram.local = udp_plain(&datagram.local);
	bool chosen = datagram.local.family != ENDPOINT_NAME;
	int error = check_remote(socket, &datagram.remote, batch->now_ms);
	if (error == 0 && chosen && !may_be_source(socket, &datagram.local, batch->now_ms))
		error = EADDRNOTAVAIL;
	if (error != 0)
		return error;
	struct iovec span = {(void *)(uintptr_t)datagram.data.data, datagram.data.len};
	return -udp_message_to(socket, &batch->header[place].msg_hdr, &batch->message[place],
		udp_is_connected(socket) ? NULL : remote, chosen ? &datagram.local : NULL, span);
}

/* ---- failures */

static void refuse(struct udp_socket *socket, const struct endpoint *remote, int error)
{
	if (error == EACCES) {
		const struct target target = {.remote = *remote};
		stats.datagrams_refused++;
		target_refused(&target, "--udp", ":connect");
	}
	udp_note_error(socket, remote, error);
}

/*
 * The first of a batch was not sent. On a connected socket that may be the network's word about one
 * which was sent before, told only once: then the same datagram is tried again. True: it is done
 * with.
 */
static bool failed(struct udp_socket *socket, const struct endpoint *remote, int error)
{
	int told = socket->tried;

	socket->tried = error;
	if (error != told)
		udp_note_error(socket, remote, error);
	return !udp_is_connected(socket) || told != 0;
}

/* ---- batches */

/* 1: gathered, or there is nothing more to gather now behind what was. Else as stream_frame. */
static int gather(struct udp_socket *socket, struct batch *batch)
{
	struct stream *stream = socket->stream;
	struct frame frame;
	const unsigned char *body;
	size_t taken = 0;

	while (batch->count < UDP_BATCH && taken < batch->most) {
		bool first = batch->count == 0;
		int result = first ? stream_frame(stream, &frame, &body)
				   : stream_frame_behind(stream, taken, &frame, &body);
		if (result != 1)
			return first ? result : 1;
		bool known = frame.type == UDP_DATAGRAM;
		int error = known ? take_frame(socket, batch, &frame, body) : ENOTSUP;
		if (error == 0) {
			taken += frame.length;
			batch->end[batch->count++] = taken;
			continue;
		}
		if (!first) /* it is met again as the first */
			return 1;
		if (known) {
			refuse(socket, &batch->remote[0], error);
		} else {
			if (!stream_room(stream, FRAME_HEADER_LEN))
				return 0;
			stream_send_error(stream, STREAM_UNSUPPORTED, frame.request_id, ENOTSUP);
		}
		stream_frame_done(stream, &frame);
	}
	return 1;
}

static void sent(struct udp_socket *socket, const struct batch *batch, unsigned count)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += batch->message[i].span.iov_len;
	stats.bytes_to_host += bytes;
	/* An empty datagram is not for nothing. */
	rate_spend(&loop_limits(socket->stream->loop)->sends,
		bytes + (uint64_t)count * UDP_HEADER_LEN);
	stats.datagrams_to_host += count;
	ring_consume(&socket->stream->pipe.in, batch->end[count - 1]);
}

/* False: the socket takes no more now. */
static bool send_batch(struct udp_socket *socket, struct batch *batch)
{
	int result = sendmmsg(socket->fd, batch->header, batch->count, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (result > 0) {
		socket->tried = 0;
		sent(socket, batch, (unsigned)result);
		return true;
	}
	if (errno == EAGAIN)
		return false;
	if (errno != EINTR && failed(socket, &batch->remote[0], errno)) {
		socket->tried = 0;
		ring_consume(&socket->stream->pipe.in, batch->end[0]);
	}
	return true;
}

void udp_send(struct udp_socket *socket)
{
	struct batch batch;
	uint64_t begun = ring_consumer_position(&socket->stream->pipe.in);

	struct rate *rate = &loop_limits(socket->stream->loop)->sends;
	batch.now_ms = udp_now_ms();
	while (!socket->awaits_writable && !socket->closing) {
		batch.most = rate_allows(rate);
		if (batch.most == 0) {
			rate_wait(rate, &socket->send_turn);
			return;
		}
		if (batch.most > UDP_QUANTUM)
			batch.most = UDP_QUANTUM;
		if (ring_consumer_position(&socket->stream->pipe.in) - begun >= UDP_QUANTUM) {
			loop_again(socket->stream->loop, socket->stream->slot);
			return;
		}
		batch.count = 0;
		int result = gather(socket, &batch);
		if (result < 0)
			socket->closing = true;
		if (result != 1)
			return;
		if (!send_batch(socket, &batch))
			udp_await_writable(socket);
	}
}
