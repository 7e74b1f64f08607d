#include "monitor/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/stats.h"
#include "monitor/stream.h"
#include "protocol/tcp.h"

#define LISTENER_ACCEPTS  8u         /* accept operations in flight at most */
#define LISTENER_POSTED   1024u      /* streams that can be posted at once */
#define LISTENER_RETRY_NS 100000000u /* after EMFILE and the like */

struct listener;

struct accept {
	struct io_op op;
	struct listener *listener;
	bool in_flight;
	bool cancelled;
	struct sockaddr_storage peer;
	socklen_t peer_len;
};

/* A stream that waits for a connection. */
struct posted {
	struct stream *stream;
	uint32_t request_id;
};

/* A connection that waits for a stream: the one that it was accepted for was withdrawn. */
struct waiting {
	int fd;
	struct sockaddr_storage peer;
};

struct listener {
	struct stream *stream;
	struct io *io;
	const struct listener_ops *ops;
	void *context; /* the protocol's */
	int fd;
	bool closing;
	bool cancelled;
	unsigned accepting; /* accepts in flight */
	struct accept accept[LISTENER_ACCEPTS];
	struct rate_waiter turn; /* for what the limits allow */
	struct io_timer retry;   /* no accept is started while it runs */
	bool retrying;
	struct posted posted[LISTENER_POSTED]; /* in the order in which they were posted */
	uint32_t posted_count;
	struct waiting waiting[LISTENER_ACCEPTS];
	uint32_t waiting_count;
};

/* Bytes that this many more replies need, besides those for what was accepted or will be. */
static size_t reply_room(const struct listener *listener, unsigned more)
{
	return (size_t)(listener->accepting + listener->waiting_count + more) * LISTENER_REPLY_MAX;
}

static void posted_remove(struct listener *listener, uint32_t index)
{
	listener->posted_count--;
	loop_limits(listener->stream->loop)->posted--;
	memmove(&listener->posted[index], &listener->posted[index + 1],
		(listener->posted_count - index) * sizeof(listener->posted[0]));
}

/* ---- the end */

static void posted_release(struct stream *stream, int error)
{
	ring_fail(&stream->pipe.out, error);
	ring_stop(&stream->pipe.in);
	stream_flush(stream);
	stream->relay = NULL;
	stream_release(stream);
}

static void cancel_accepts(struct listener *listener, unsigned keep)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
		struct accept *accept = &listener->accept[i];
		if (!accept->in_flight || kept++ < keep || accept->cancelled)
			continue;
		accept->cancelled = true;
		io_cancel(listener->io, &accept->op);
	}
}

void listener_ended(struct stream *stream)
{
	ring_finish(&stream->pipe.out);
	stream_flush(stream);
	stream_release(stream);
}

static void listener_end(struct listener *listener)
{
	struct stream *stream = listener->stream;
	const struct listener_ops *ops = listener->ops;
	void *context = listener->context;
	rate_forget(&loop_limits(stream->loop)->accepts, &listener->turn);
	loop_limits(stream->loop)->posted -= listener->posted_count;
	for (uint32_t i = 0; i < listener->posted_count; i++)
		posted_release(listener->posted[i].stream, ECONNABORTED);
	for (uint32_t i = 0; i < listener->waiting_count; i++)
		close(listener->waiting[i].fd);
	io_forget(listener->io, listener->fd);
	close(listener->fd); /* a listening socket's close does not wait */
	stream->relay = NULL;
	free(listener);
	if (ops->end != NULL)
		ops->end(context, stream);
	else
		listener_ended(stream);
}

/* Everything in flight comes back first; then nothing is left. */
static void listener_settle(struct listener *listener)
{
	if (!listener->closing)
		return;
	if (!listener->cancelled) {
		listener->cancelled = true;
		cancel_accepts(listener, 0);
		if (listener->retrying)
			io_cancel(listener->io, &listener->retry.op);
	}
	if (listener->accepting == 0 && !listener->retrying)
		listener_end(listener);
}

/* ---- accepting */

/* The connection becomes the stream that was posted first. */
static void listener_join(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
	struct posted posted = listener->posted[0];
	struct frame frame = {.flags = FRAME_REPLY, .request_id = posted.request_id};
	posted_remove(listener, 0);
	if (listener->ops->join(listener->context, posted.stream, fd) < 0) {
		close(fd);
		stream_send_error(listener->stream, TCP_INCOMING, posted.request_id, ENOMEM);
		posted_release(posted.stream, ENOMEM);
		return;
	}
	stats.connections_accepted++;
	rate_spend(&loop_limits(listener->stream->loop)->accepts, 1);
	listener->ops->announce(
		listener->context, listener->stream, &frame, posted.stream, fd, peer);
	stream_begin(posted.stream);
	stream_signal(posted.stream);
}

static void listener_deliver(struct listener *listener)
{
	while (listener->waiting_count != 0 && listener->posted_count != 0) {
		struct waiting first = listener->waiting[0];
		listener->waiting_count--;
		memmove(&listener->waiting[0], &listener->waiting[1],
			listener->waiting_count * sizeof(listener->waiting[0]));
		listener_join(listener, first.fd, &first.peer);
	}
}

static void listener_accept(struct listener *listener);

static void listener_turn(struct rate_waiter *waiter)
{
	listener_accept(io_container(waiter, struct listener, turn));
}

static void retry_complete(struct io_op *op, int result)
{
	(void)result;
	struct listener *listener = io_container(op, struct listener, retry.op);
	listener->retrying = false;
	listener_accept(listener);
	listener_settle(listener);
}

static void accept_failed(struct listener *listener, int error)
{
	/* That one connection was lost before it was taken: the next may be fine. */
	if (error == ECONNABORTED || error == EINTR || error == ECANCELED || listener->retrying)
		return;
	log_guest(LOG_WARNING, "accepting a connection failed: %s; trying again in 0.1 s%s",
		strerrorname_np(error),
		error == EMFILE ? " (raise the limit of open files, ulimit -n)" : "");
	listener->retrying = true;
	io_timeout(listener->io, &listener->retry, LISTENER_RETRY_NS);
}

static void accept_complete(struct io_op *op, int result)
{
	struct accept *accept = io_container(op, struct accept, op);
	struct listener *listener = accept->listener;
	accept->in_flight = false;
	accept->cancelled = false;
	listener->accepting--;
	/* There is a place for it: an accept in flight and a connection waiting are never more
	 * together. */
	if (result >= 0)
		listener->waiting[listener->waiting_count++] =
			(struct waiting){result, accept->peer};
	else
		accept_failed(listener, -result);
	if (!listener->closing)
		listener_deliver(listener);
	listener_accept(listener);
	listener_settle(listener);
}

/* As many accepts in flight as there are streams posted, room for their replies, and slots. */
static void listener_accept(struct listener *listener)
{
	struct rate *rate = &loop_limits(listener->stream->loop)->accepts;
	for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
		struct accept *accept = &listener->accept[i];
		if (listener->closing || listener->retrying ||
			listener->accepting >= listener->posted_count ||
			listener->accepting + listener->waiting_count == LISTENER_ACCEPTS ||
			!stream_room(listener->stream, reply_room(listener, 1)))
			return;
		if (accept->in_flight)
			continue;
		if (listener->accepting >= rate_allows(rate)) {
			/* What is in flight comes back here. */
			if (listener->accepting == 0)
				rate_wait(rate, &listener->turn);
			return;
		}
		accept->in_flight = true;
		listener->accepting++;
		accept->peer_len = sizeof(accept->peer);
		io_accept(listener->io, &accept->op, listener->fd, (struct sockaddr *)&accept->peer,
			&accept->peer_len);
	}
}

/* ---- posted streams */

static void posted_signal(struct stream *stream)
{
	(void)stream; /* no socket yet: bytes wait in the ring */
}

/* Withdrawn: CloseStream came before a connection did. */
static void posted_closed(struct stream *stream)
{
	struct listener *listener = stream->relay;
	uint32_t index = 0;
	while (listener->posted[index].stream != stream)
		index++;
	posted_remove(listener, index);
	posted_release(stream, ECANCELED);
	cancel_accepts(listener, listener->posted_count);
}

static const struct protocol_ops posted_protocol = {
	.name = "posted",
	.signal = posted_signal,
	.closed = posted_closed,
};

/* ---- requests */

static int listener_post(
	struct listener *listener, const struct frame *frame, const unsigned char *body)
{
	struct tcp_accept wanted;
	int result =
		wire_decode(&tcp_accept_message, &wanted, body, frame->length - FRAME_HEADER_LEN);
	if (result < 0)
		return -result;
	struct stream *stream = stream_find(loop_streams(listener->stream->loop), wanted.stream_id);
	if (stream == NULL)
		return ENOENT;
	if (stream->state != STREAM_FRESH || stream->guest_closed)
		return EBUSY;
	const struct limits_config *limits = &loop_config(stream->loop)->config->limits;
	struct limits *used = loop_limits(stream->loop);
	if (listener->posted_count == LISTENER_POSTED ||
		(limits->accepts != 0 && used->posted >= limits->accepts))
		return ENOBUFS;
	used->posted++;
	stream_claim(stream, &posted_protocol);
	stream->relay = listener;
	listener->posted[listener->posted_count++] = (struct posted){stream, frame->request_id};
	return 0;
}

static void listener_request(
	struct listener *listener, const struct frame *frame, const unsigned char *body)
{
	if (frame->type != TCP_ACCEPT) {
		stream_send_error(listener->stream, STREAM_UNSUPPORTED, frame->request_id, ENOTSUP);
		return;
	}
	int error = listener_post(listener, frame, body);
	if (error != 0)
		stream_send_error(listener->stream, TCP_INCOMING, frame->request_id, error);
}

void listener_signal(struct stream *stream)
{
	struct listener *listener = stream->relay;
	struct frame frame;
	const unsigned char *body;
	if (listener == NULL) /* it has come to its end */
		return;
	/* Room for this request's reply and for those that accepts in flight will need. */
	while (!listener->closing && stream_room(stream, reply_room(listener, 1))) {
		int result = stream_frame(stream, &frame, &body);
		if (result == 0)
			break;
		if (result < 0) {
			listener->closing = true;
			break;
		}
		listener_request(listener, &frame, body);
		stream_frame_done(stream, &frame);
	}
	if (!listener->closing)
		listener_deliver(listener);
	listener_accept(listener);
	listener_settle(listener);
}

void listener_closed(struct stream *stream)
{
	struct listener *listener = stream->relay;
	if (listener == NULL)
		return;
	listener->closing = true;
	listener_settle(listener);
}

int listener_create(struct stream *stream, int fd, const struct listener_ops *ops, void *context)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL)
		return -ENOMEM;
	listener->stream = stream;
	listener->io = loop_io(stream->loop);
	listener->fd = fd;
	listener->ops = ops;
	listener->context = context;
	listener->retry.op.done = retry_complete;
	listener->turn.go = listener_turn;
	for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
		listener->accept[i].op.done = accept_complete;
		listener->accept[i].listener = listener;
	}
	stream->relay = listener;
	return 0;
}
