/*
 * Protocol 1: a listening socket. Connections are accepted only while the guest has
 * streams posted for them; the rest wait in the kernel's backlog, as they would for
 * any slow server.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/stats.h"
#include "monitor/tcp.h"

#define LISTEN_ACCEPTS    8u    /* accept operations in flight at most */
#define LISTEN_POSTED     1024u /* streams that can be posted at once */
#define LISTEN_BACKLOG    4096u
#define LISTEN_REPLY_ROOM 96u        /* bytes; no reply is longer */
#define LISTEN_RETRY_NS   100000000u /* after EMFILE and the like */

struct tcp_listener;

struct accept {
	struct io_op op;
	struct tcp_listener *listener;
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

struct tcp_listener {
	struct stream *stream;
	struct io *io;
	int fd;
	bool closing;
	bool cancelled;
	unsigned accepting; /* accepts in flight */
	struct accept accept[LISTEN_ACCEPTS];
	struct io_timer retry; /* no accept is started while it runs */
	bool retrying;
	struct posted posted[LISTEN_POSTED]; /* in the order in which they were posted */
	uint32_t posted_count;
	struct waiting waiting[LISTEN_ACCEPTS];
	uint32_t waiting_count;
};

/* Bytes that this many more replies need, besides those for what was accepted or will be. */
static size_t reply_room(const struct tcp_listener *listener, unsigned more)
{
	return (size_t)(listener->accepting + listener->waiting_count + more) * LISTEN_REPLY_ROOM;
}

static void posted_remove(struct tcp_listener *listener, uint32_t index)
{
	listener->posted_count--;
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

static void cancel_accepts(struct tcp_listener *listener, unsigned keep)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < LISTEN_ACCEPTS; i++) {
		struct accept *accept = &listener->accept[i];
		if (!accept->in_flight || kept++ < keep || accept->cancelled)
			continue;
		accept->cancelled = true;
		io_cancel(listener->io, &accept->op);
	}
}

/* Everything in flight comes back first; then nothing is left. */
static void listener_settle(struct tcp_listener *listener)
{
	if (!listener->closing)
		return;
	if (!listener->cancelled) {
		listener->cancelled = true;
		cancel_accepts(listener, 0);
		if (listener->retrying)
			io_cancel(listener->io, &listener->retry.op);
	}
	if (listener->accepting != 0 || listener->retrying)
		return;
	struct stream *stream = listener->stream;
	for (uint32_t i = 0; i < listener->posted_count; i++)
		posted_release(listener->posted[i].stream, ECONNABORTED);
	for (uint32_t i = 0; i < listener->waiting_count; i++)
		close(listener->waiting[i].fd);
	io_forget(listener->io, listener->fd);
	close(listener->fd); /* a listening socket's close does not wait */
	ring_finish(&stream->pipe.out);
	stream_flush(stream);
	stream->relay = NULL;
	free(listener);
	stream_release(stream);
}

/* ---- accepting */

/* The connection becomes the stream that was posted first. */
static void listener_join(
	struct tcp_listener *listener, int fd, const struct sockaddr_storage *peer)
{
	struct posted posted = listener->posted[0];
	struct frame frame = {.flags = FRAME_REPLY, .request_id = posted.request_id};
	posted_remove(listener, 0);
	if (tcp_relay_create(posted.stream, fd) < 0) {
		close(fd);
		stream_send_error(listener->stream, TCP_INCOMING, posted.request_id, ENOMEM);
		posted_release(posted.stream, ENOMEM);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	stats.connections_accepted++;
	struct tcp_incoming incoming = {
		.stream_id = posted.stream->id,
		.remote = address_from_sockaddr(peer),
		.local = address_local(fd),
	};
	stream_send(listener->stream, &tcp_incoming_message, &frame, &incoming);
	stream_begin(posted.stream);
	stream_signal(posted.stream);
}

static void listener_deliver(struct tcp_listener *listener)
{
	while (listener->waiting_count != 0 && listener->posted_count != 0) {
		struct waiting first = listener->waiting[0];
		listener->waiting_count--;
		memmove(&listener->waiting[0], &listener->waiting[1],
			listener->waiting_count * sizeof(listener->waiting[0]));
		listener_join(listener, first.fd, &first.peer);
	}
}

static void listener_accept(struct tcp_listener *listener);

static void retry_complete(struct io_op *op, int result)
{
	(void)result;
	struct tcp_listener *listener = io_container(op, struct tcp_listener, retry.op);
	listener->retrying = false;
	listener_accept(listener);
	listener_settle(listener);
}

static void accept_failed(struct tcp_listener *listener, int error)
{
	/* That one connection was lost before it was taken: the next may be fine. */
	if (error == ECONNABORTED || error == EINTR || error == ECANCELED || listener->retrying)
		return;
	log_guest(LOG_WARNING, "accepting a connection failed: %s; trying again in 0.1 s%s",
		strerrorname_np(error),
		error == EMFILE ? " (raise the limit of open files, ulimit -n)" : "");
	listener->retrying = true;
	io_timeout(listener->io, &listener->retry, LISTEN_RETRY_NS);
}

static void accept_complete(struct io_op *op, int result)
{
	struct accept *accept = io_container(op, struct accept, op);
	struct tcp_listener *listener = accept->listener;
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
static void listener_accept(struct tcp_listener *listener)
{
	for (unsigned i = 0; i < LISTEN_ACCEPTS; i++) {
		struct accept *accept = &listener->accept[i];
		if (listener->closing || listener->retrying ||
			listener->accepting >= listener->posted_count ||
			listener->accepting + listener->waiting_count == LISTEN_ACCEPTS ||
			!stream_room(listener->stream, reply_room(listener, 1)))
			return;
		if (accept->in_flight)
			continue;
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
	struct tcp_listener *listener = stream->relay;
	uint32_t index = 0;
	while (listener->posted[index].stream != stream)
		index++;
	posted_remove(listener, index);
	posted_release(stream, ECANCELED);
	cancel_accepts(listener, listener->posted_count);
}

static const struct protocol_ops posted_protocol = {
	.name = "tcp-posted",
	.signal = posted_signal,
	.closed = posted_closed,
};

/* ---- requests */

static int listener_post(
	struct tcp_listener *listener, const struct frame *frame, const unsigned char *body)
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
	if (listener->posted_count == LISTEN_POSTED)
		return ENOBUFS;
	stream_claim(stream, &posted_protocol);
	stream->relay = listener;
	listener->posted[listener->posted_count++] = (struct posted){stream, frame->request_id};
	return 0;
}

static void listener_request(
	struct tcp_listener *listener, const struct frame *frame, const unsigned char *body)
{
	if (frame->type != TCP_ACCEPT) {
		stream_send_error(listener->stream, STREAM_UNSUPPORTED, frame->request_id, ENOTSUP);
		return;
	}
	int error = listener_post(listener, frame, body);
	if (error != 0)
		stream_send_error(listener->stream, TCP_INCOMING, frame->request_id, error);
}

static void listener_signal(struct stream *stream)
{
	struct tcp_listener *listener = stream->relay;
	struct frame frame;
	const unsigned char *body;
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

static void listener_closed(struct stream *stream)
{
	struct tcp_listener *listener = stream->relay;
	listener->closing = true;
	listener_settle(listener);
}

/* ---- opening */

static int listen_socket(const struct tcp_listen *wanted, int *ret_fd)
{
	struct sockaddr_storage address;
	socklen_t len;
	int result = address_to_sockaddr(&wanted->local, &address, &len);
	if (result < 0)
		return result;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int v6only = (wanted->flags & TCP_LISTEN_V6ONLY) != 0;
	unsigned backlog = wanted->backlog == 0 || wanted->backlog > LISTEN_BACKLOG
				   ? LISTEN_BACKLOG
				   : wanted->backlog;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
		(address.ss_family == AF_INET6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0) ||
		bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, (int)backlog) < 0) {
		result = -errno;
		close(fd);
		return result;
	}
	*ret_fd = fd;
	return 0;
}

static int listener_create(struct stream *stream, int fd)
{
	struct tcp_listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL)
		return -ENOMEM;
	listener->stream = stream;
	listener->io = loop_io(stream->loop);
	listener->fd = fd;
	listener->retry.op.done = retry_complete;
	for (unsigned i = 0; i < LISTEN_ACCEPTS; i++) {
		listener->accept[i].op.done = accept_complete;
		listener->accept[i].listener = listener;
	}
	stream->relay = listener;
	return 0;
}

static void listen_open(struct stream *stream, struct wire_bytes payload)
{
	struct tcp_listen wanted;
	const struct grants *grants = &loop_config(stream->loop)->config->grants;
	char text[ADDRESS_TEXT_LEN];
	int fd = -1;
	if (wire_decode(&tcp_listen_message, &wanted, payload.data, payload.len) < 0) {
		stream_refuse(stream, EPROTO);
		return;
	}
	const struct endpoint *published = grants_published(grants, false, wanted.local.port);
	if (published != NULL) {
		wanted.local = *published;
	} else if (!grants_cover(grants, GRANT_TCP_LISTEN, &wanted.local)) {
		address_text(&wanted.local, text);
		grants_refused(text, "--listen", text);
		stream_refuse(stream, EACCES);
		return;
	}
	bool known = (wanted.flags & ~TCP_LISTEN_KNOWN) == 0;
	if (published == NULL && !grants_cover_both(grants, GRANT_TCP_LISTEN, &wanted.local))
		wanted.flags |= TCP_LISTEN_V6ONLY;
	int result = known ? listen_socket(&wanted, &fd) : -EINVAL;
	if (result == 0) {
		result = listener_create(stream, fd);
		if (result < 0)
			close(fd);
	}
	if (result < 0) {
		log_guest(LOG_WARNING, "the guest cannot listen on %s: %s",
			address_text(&wanted.local, text), strerrorname_np(-result));
		stream_refuse(stream, -result);
		return;
	}
	struct tcp_listening listening = {.local = address_local(fd)};
	log_guest(LOG_INFO, "the guest listens on %s", address_text(&listening.local, text));
	stream_opened(stream, &tcp_listening_message, &listening);
}

const struct protocol_ops tcp_listen_protocol = {
	.name = "tcp-listen",
	.number = PROTOCOL_TCP_LISTEN,
	.version = PROTOCOL_VERSION,
	.open = listen_open,
	.signal = listener_signal,
	.closed = listener_closed,
};
