#include <stdlib.h>
#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/endpoint.h"
#include "guest/stream/fiber.h"
#include "guest/stream/start.h"
#include "guest/stream/stream.h"
#include "guest/stream/udp.h"
#include "protocol/udp.h"

#define IP_UDP_LEN   28u /* bytes of the headers that an IPv4 datagram's 65535 have to hold */
#define IPV6_UDP_LEN 8u  /* of an IPv6 datagram's: its own header is not counted */

struct udp {
	struct stream *stream;
	struct endpoint local;
	struct endpoint peer;        /* of a connected socket */
	struct fiber_mutex mutex;    /* of one sender at a time */
	struct udp_send_error error; /* not told yet; error 0: none */
};

static bool is_connected(const struct udp *udp)
{
	return udp->peer.family != ENDPOINT_NAME;
}

/* ---- opening */

static int open_udp(const struct udp_bind *bind, struct udp **ret_udp, deadline until)
{
	struct udp *udp = calloc(1, sizeof(*udp));
	struct udp_bound bound;
	int error;

	if (!udp)
		return -ENOMEM;
	error = control_new_stream(STREAM_CAPACITY, STREAM_CAPACITY, &udp->stream, until);
	if (error) {
		free(udp);
		return error;
	}
	error = stream_open_protocol(udp->stream, PROTOCOL_UDP, &udp_bind_message, bind,
		&udp_bound_message, &bound, until);
	if (error) {
		udp_close(udp);
		return error;
	}
	udp->local = bound.local;
	udp->peer = bound.remote;
	*ret_udp = udp;
	return 0;
}

int udp_bind_with(const struct endpoint *local, const struct udp_options *options,
	struct udp **ret_udp, deadline until)
{
	const struct udp_bind bind = {.local = *local,
		.flags = options->flags,
		.receive_buffer = options->receive_buffer};

	return open_udp(&bind, ret_udp, until);
}

int udp_bind(const struct endpoint *local, struct udp **ret_udp, deadline until)
{
	return udp_bind_with(local, &(struct udp_options){0}, ret_udp, until);
}

int udp_connect(const char *target, struct udp **ret_udp, deadline until)
{
	struct udp_bind bind = {.local = {.family = ENDPOINT_NAME}};
	int error = endpoint_parse_target(target, &bind.remote, &bind.host);

	return error ? error : open_udp(&bind, ret_udp, until);
}

const struct endpoint *udp_local(const struct udp *udp)
{
	return &udp->local;
}

const struct endpoint *udp_peer(const struct udp *udp)
{
	return &udp->peer;
}

struct stream *udp_watch(struct udp *udp)
{
	return udp->stream;
}

void udp_close(struct udp *udp)
{
	stream_close(udp->stream);
	free(udp);
}

/* ---- receiving */

static long take_datagram(const struct frame *frame, const unsigned char *body, void *ret_bytes,
	size_t len, struct udp_datagram *ret_datagram)
{
	struct udp_frame datagram;

	if (wire_decode(&udp_datagram_message, &datagram, body, frame->length - FRAME_HEADER_LEN))
		guest_panic("the monitor sent a broken Datagram");
	if (datagram.data.len < len)
		len = datagram.data.len;
	if (len)
		memcpy(ret_bytes, datagram.data.data, len);
	if (ret_datagram)
		*ret_datagram = (struct udp_datagram){
			.peer = datagram.remote,
			.local = datagram.local,
			.len = len,
			.full_len = datagram.length,
			.dropped = datagram.dropped,
		};
	return (long)len;
}

/* 0, or what udp_receive is to return. */
static int take_error(struct udp *udp, const struct frame *frame, const unsigned char *body)
{
	struct udp_send_error error;

	if (wire_decode(&udp_send_error_message, &error, body, frame->length - FRAME_HEADER_LEN))
		guest_panic("the monitor sent a broken SendError");
	if (is_connected(udp))
		return -(int)(error.error & 0xffff);
	if (!udp->error.error)
		udp->error = error;
	return 0;
}

long udp_receive(struct udp *udp, void *ret_bytes, size_t len, struct udp_datagram *ret_datagram,
	deadline until)
{
	const unsigned char *body;
	struct frame frame;
	long result = 0;
	bool done;

	do {
		int error = frame_await(udp->stream, &frame, &body, until);
		if (error)
			return error == -EPIPE ? -ECONNABORTED : error;
		done = frame.type == UDP_DATAGRAM;
		if (done)
			result = take_datagram(&frame, body, ret_bytes, len, ret_datagram);
		else if (frame.type == UDP_SEND_ERROR)
			done = (result = take_error(udp, &frame, body)) != 0;
		else
			frame_refuse(udp->stream, &frame);
		frame_done(udp->stream, &frame);
	} while (!done);
	return result;
}

int udp_error(struct udp *udp, struct endpoint *ret_peer)
{
	int error = -(int)(udp->error.error & 0xffff);

	if (ret_peer && error)
		*ret_peer = udp->error.remote;
	udp->error.error = 0;
	return error;
}

/* ---- sending */

static size_t longest(const struct udp *udp, const struct endpoint *peer)
{
	uint16_t family = peer ? peer->family : udp->peer.family;

	return UDP_DATAGRAM_MAX - (family == ENDPOINT_IPV6 ? IPV6_UDP_LEN : IP_UDP_LEN);
}

int udp_send_from(struct udp *udp, const struct endpoint *local, const struct endpoint *peer,
	const void *bytes, size_t len, deadline until)
{
	struct udp_frame datagram = {.data = {bytes, len}};
	struct frame frame = {.request_id = 0};

	if (len > longest(udp, peer))
		return -EMSGSIZE;
	if (peer)
		datagram.remote = *peer;
	if (local)
		datagram.local = *local;
	return frame_send(
		udp->stream, &udp->mutex, &udp_datagram_message, &frame, &datagram, until);
}

int udp_send(
	struct udp *udp, const struct endpoint *peer, const void *bytes, size_t len, deadline until)
{
	return udp_send_from(udp, NULL, peer, bytes, len, until);
}
