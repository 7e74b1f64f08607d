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

#define LISTEN_ACCEPTS     8u    /* accept operations in flight at most */
#define LISTEN_POSTED      1024u /* streams that can be posted at once; a power of two */
#define LISTEN_BACKLOG     4096u
#define LISTEN_REPLY_ROOM  96u   /* bytes; no reply is longer */
#define LISTEN_RETRY_NS    100000000u /* after EMFILE and the like */

struct tcp_listener;

struct accept {
	struct io_op op;
	struct tcp_listener *listener;
	bool in_flight;
	struct sockaddr_storage peer;
	socklen_t peer_len;
};

struct posted {
	struct stream *stream;
	uint32_t request_id;
};

struct tcp_listener {
	struct stream *stream;
	struct io *io;
	int fd;
	bool closing;
	bool cancelled;
	unsigned accepting;  /* accepts in flight */
	struct accept accept[LISTEN_ACCEPTS];
	struct io_timer retry; /* no accept is started while it runs */
	bool retrying;
	struct posted posted[LISTEN_POSTED]; /* a queue; indices run free */
	uint32_t posted_first;
	uint32_t posted_end;
};

static uint32_t posted_count(const struct tcp_listener *listener)
{
	return listener->posted_end - listener->posted_first;
}

/* ---- the end */

static void posted_free_all(struct tcp_listener *listener)
{
	while (posted_count(listener) != 0) {
		struct stream *stream = listener->posted[listener->posted_first++ % LISTEN_POSTED].stream;
		ring_fail(&stream->pipe.out, ECONNABORTED);
		stream_flush(stream);
		stream_release(stream);
	}
}

/* Everything in flight comes back first; then nothing is left. */
static void listener_settle(struct tcp_listener *listener)
{
	if (!listener->closing)
		return;
	if (!listener->cancelled) {
		listener->cancelled = true;
		for (unsigned i = 0; i < LISTEN_ACCEPTS; i++)
			if (listener->accept[i].in_flight)
				io_cancel(listener->io, &listener->accept[i].op);
		if (listener->retrying)
			io_cancel(listener->io, &listener->retry.op);
	}
	if (listener->accepting != 0 || listener->retrying)
		return;
	struct stream *stream = listener->stream;
	posted_free_all(listener);
	close(listener->fd); /* a listening socket's close does not wait */
	ring_finish(&stream->pipe.out);
	stream_flush(stream);
	stream->relay = NULL;
	free(listener);
	stream_release(stream);
}

/* ---- accepting */

/* The next posted stream that the guest has not closed meanwhile; NULL: none. */
static struct stream *posted_take(struct tcp_listener *listener, uint32_t *ret_request_id)
{
	while (posted_count(listener) != 0) {
		struct posted *posted = &listener->posted[listener->posted_first++ % LISTEN_POSTED];
		if (!posted->stream->guest_closed) {
			*ret_request_id = posted->request_id;
			return posted->stream;
		}
		stream_release(posted->stream);
	}
	return NULL;
}

static void accepted(struct tcp_listener *listener, int fd, const struct sockaddr_storage *peer)
{
	uint32_t request_id;
	struct stream *stream = posted_take(listener, &request_id);
	if (stream == NULL || tcp_relay_create(stream, fd) < 0) {
		close(fd);
		if (stream != NULL)
			stream_release(stream);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	stats.connections_accepted++;
	struct tcp_incoming incoming = {
		.stream_id = stream->id,
		.remote = tcp_from_sockaddr(peer),
		.local = tcp_local(fd),
	};
	struct frame frame = { .flags = FRAME_REPLY, .request_id = request_id };
	stream_send(listener->stream, &tcp_incoming_message, &frame, &incoming);
	stream_begin(stream);
	stream_signal(stream);
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
	log_guest(LOG_WARNING, "accepting a connection failed: %s; trying again in 0.1 s%s", strerrorname_np(error),
			error == EMFILE ? " (raise the limit of open files, ulimit -n)" : "");
	listener->retrying = true;
	io_timeout(listener->io, &listener->retry, LISTEN_RETRY_NS);
}

static void accept_complete(struct io_op *op, int result)
{
	struct accept *accept = io_container(op, struct accept, op);
	struct tcp_listener *listener = accept->listener;
	accept->in_flight = false;
	listener->accepting--;
	if (result >= 0 && !listener->closing)
		accepted(listener, result, &accept->peer);
	else if (result >= 0)
		close(result);
	else
		accept_failed(listener, -result);
	listener_accept(listener);
	listener_settle(listener);
}

/* As many accepts in flight as there are streams posted, room for their replies, and slots. */
static void listener_accept(struct tcp_listener *listener)
{
	for (unsigned i = 0; i < LISTEN_ACCEPTS; i++) {
		struct accept *accept = &listener->accept[i];
		if (listener->closing || listener->retrying || listener->accepting >= posted_count(listener) ||
				!stream_room(listener->stream, (listener->accepting + 1) * LISTEN_REPLY_ROOM))
			return;
		if (accept->in_flight)
			continue;
		accept->in_flight = true;
		listener->accepting++;
		accept->peer_len = sizeof(accept->peer);
		io_accept(listener->io, &accept->op, listener->fd, (struct sockaddr *)&accept->peer, &accept->peer_len);
	}
}

/* ---- requests */

static int listener_post(struct tcp_listener *listener, const struct frame *frame, const unsigned char *body)
{
	struct tcp_accept wanted;
	int result = wire_decode(&tcp_accept_message, &wanted, body, frame->length - FRAME_HEADER_LEN);
	if (result < 0)
		return -result;
	struct stream *stream = stream_find(loop_streams(listener->stream->loop), wanted.stream_id);
	if (stream == NULL)
		return ENOENT;
	if (stream->state != STREAM_FRESH || stream->guest_closed)
		return EBUSY;
	if (posted_count(listener) == LISTEN_POSTED)
		return ENOBUFS;
	stream_claim(stream, &tcp_posted_protocol);
	listener->posted[listener->posted_end++ % LISTEN_POSTED] =
			(struct posted){ stream, frame->request_id };
	return 0;
}

static void listener_request(struct tcp_listener *listener, const struct frame *frame, const unsigned char *body)
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
	while (!listener->closing && stream_room(stream, (listener->accepting + 1) * LISTEN_REPLY_ROOM)) {
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
	int result = tcp_to_sockaddr(&wanted->local, &address, &len);
	if (result < 0)
		return result;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int v6only = (wanted->flags & TCP_LISTEN_V6ONLY) != 0;
	unsigned backlog = wanted->backlog == 0 || wanted->backlog > LISTEN_BACKLOG ? LISTEN_BACKLOG : wanted->backlog;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
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
	char text[TCP_TEXT_LEN];
	int fd = -1;
	if (wire_decode(&tcp_listen_message, &wanted, payload.data, payload.len) < 0) {
		stream_refuse(stream, EPROTO);
		return;
	}
	if (!grants_may_listen(&loop_config(stream->loop)->config->grants, &wanted.local)) {
		grants_refused("--listen", tcp_text(&wanted.local, text));
		stream_refuse(stream, EACCES);
		return;
	}
	int result = wanted.flags & ~TCP_LISTEN_KNOWN ? -EINVAL : listen_socket(&wanted, &fd);
	if (result == 0) {
		result = listener_create(stream, fd);
		if (result < 0)
			close(fd);
	}
	if (result < 0) {
		log_guest(LOG_WARNING, "the guest cannot listen on %s: %s", tcp_text(&wanted.local, text),
				strerrorname_np(-result));
		stream_refuse(stream, -result);
		return;
	}
	struct tcp_listening listening = { .local = tcp_local(fd) };
	log_line(LOG_INFO, "the guest listens on %s", tcp_text(&listening.local, text));
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

/* A posted stream has no socket yet: its listener lets go of it when its turn comes. */
static void posted_ignore(struct stream *stream)
{
	(void)stream;
}

const struct protocol_ops tcp_posted_protocol = {
	.name = "tcp-posted",
	.signal = posted_ignore,
	.closed = posted_ignore,
};
