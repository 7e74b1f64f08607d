/*
 * Protocol 2: an outgoing connection. A name is looked up by a worker; its addresses are tried
 * one after the other, in the order that the resolver gave, until one answers or time is over.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/stats.h"
#include "monitor/tcp.h"
#include "monitor/worker.h"

#define CONNECT_ADDRESSES 8u /* of one name that are tried at most */

struct connector {
	struct stream *stream;
	struct io *io;
	int fd; /* of the attempt in flight, or -1 */
	struct io_op op;
	bool connecting; /* in flight */
	struct io_timer timer;
	bool timing;     /* in flight */
	bool looking_up; /* in flight */
	bool over; /* answered, or the guest is gone: what is in flight only has to come back */
	bool cancelled;
	int error; /* of the last attempt */

	char host[TCP_HOST_MAX + 1];
	uint16_t port;
	struct worker_job lookup;
	struct sockaddr_storage address[CONNECT_ADDRESSES];
	socklen_t address_len[CONNECT_ADDRESSES];
	unsigned address_count;
	unsigned next; /* address to try */
};

static void connector_next(struct connector *connector);

/* Of the attempt that failed or is not wanted any more, if there was one. */
static void connector_close(struct connector *connector)
{
	if (connector->fd < 0)
		return;
	io_forget(connector->io, connector->fd);
	close(connector->fd);
	connector->fd = -1;
}

/* The connector's own end, once an answer was given and nothing is in flight. */
static void connector_settle(struct connector *connector)
{
	if (!connector->over)
		return;
	if (!connector->cancelled) {
		connector->cancelled = true;
		if (connector->connecting)
			io_cancel(connector->io, &connector->op);
		if (connector->timing)
			io_cancel(connector->io, &connector->timer.op);
	}
	if (connector->connecting || connector->timing || connector->looking_up)
		return;
	connector_close(connector);
	if (connector->stream != NULL)
		stream_release(connector->stream);
	free(connector);
}

/*
 * The guest is told at once. Its stream is held until the connector is gone: a lookup cannot be
 * cancelled, and so there are never more of them than streams.
 */
static void connector_fail(struct connector *connector, int error)
{
	connector->over = true;
	stream_answer_refused(connector->stream, error);
	connector_settle(connector);
}

static void connector_done(struct connector *connector)
{
	struct stream *stream = connector->stream;
	int fd = connector->fd;
	struct sockaddr_storage peer = connector->address[connector->next - 1];
	if (tcp_relay_create(stream, fd) < 0) {
		connector_fail(connector, ENOMEM);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	stats.connections_made++;
	connector->stream = NULL;
	connector->fd = -1;
	connector->over = true;
	connector_settle(connector);
	struct tcp_connected connected = {
		.local = tcp_local(fd), .remote = tcp_from_sockaddr(&peer)};
	stream_opened(stream, &tcp_connected_message, &connected);
}

static void connect_complete(struct io_op *op, int result)
{
	struct connector *connector = io_container(op, struct connector, op);
	connector->connecting = false;
	if (connector->over) {
		connector_settle(connector);
	} else if (result == 0) {
		connector_done(connector);
	} else {
		connector->error = -result;
		connector_close(connector);
		connector_next(connector);
	}
}

static void connector_next(struct connector *connector)
{
	if (connector->next == connector->address_count) {
		connector_fail(connector, connector->error);
		return;
	}
	unsigned i = connector->next++;
	connector->fd = socket(connector->address[i].ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connector->fd < 0) {
		connector->error = errno;
		/* That family may be missing here, and another of the name's addresses do. */
		if (errno == EAFNOSUPPORT)
			connector_next(connector);
		else
			connector_fail(connector, errno);
		return;
	}
	connector->connecting = true;
	io_connect(connector->io, &connector->op, connector->fd,
		(struct sockaddr *)&connector->address[i], connector->address_len[i]);
}

static void timer_complete(struct io_op *op, int result)
{
	struct connector *connector = io_container(op, struct connector, timer.op);
	connector->timing = false;
	if (connector->over || result != -ETIME) {
		connector_settle(connector);
		return;
	}
	connector_fail(connector, ETIMEDOUT);
}

/* ---- names */

/* What getaddrinfo says, as the errno that a connect would have given. */
static int lookup_error(int error)
{
	switch (error) {
	case EAI_MEMORY:
		return ENOMEM;
	case EAI_AGAIN:
		return EAGAIN;
	case EAI_SYSTEM:
		return errno;
	default:
		return EHOSTUNREACH;
	}
}

static void lookup_work(struct worker_job *job)
{
	struct connector *connector = io_container(job, struct connector, lookup);
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char port[8];
	snprintf(port, sizeof(port), "%u", connector->port);
	int result = getaddrinfo(connector->host, port, &hints, &list);
	connector->error = result == 0 ? EHOSTUNREACH : lookup_error(result);
	for (struct addrinfo *a = list; a != NULL && connector->address_count < CONNECT_ADDRESSES;
		a = a->ai_next) {
		memcpy(&connector->address[connector->address_count], a->ai_addr, a->ai_addrlen);
		connector->address_len[connector->address_count++] = a->ai_addrlen;
	}
	if (list != NULL)
		freeaddrinfo(list);
}

static void lookup_done(struct worker_job *job)
{
	struct connector *connector = io_container(job, struct connector, lookup);
	connector->looking_up = false;
	if (connector->over)
		connector_settle(connector);
	else
		connector_next(connector);
}

/* ---- opening */

static struct connector *connector_create(struct stream *stream, const struct tcp_connect *wanted)
{
	struct connector *connector = calloc(1, sizeof(*connector));
	if (connector == NULL)
		return NULL;
	connector->stream = stream;
	connector->io = loop_io(stream->loop);
	connector->fd = -1;
	connector->op.done = connect_complete;
	connector->timer.op.done = timer_complete;
	connector->lookup.work = lookup_work;
	connector->lookup.done = lookup_done;
	connector->port = wanted->remote.port;
	memcpy(connector->host, wanted->host.data, wanted->host.len);
	stream->relay = connector;
	if (wanted->timeout_ms != 0) {
		connector->timing = true;
		io_timeout(
			connector->io, &connector->timer, (uint64_t)wanted->timeout_ms * 1000000u);
	}
	return connector;
}

static void connector_start(struct connector *connector, const struct tcp_connect *wanted)
{
	if (wanted->remote.family == TCP_NAME) {
		connector->looking_up = true;
		worker_submit(loop_resolvers(connector->stream->loop), &connector->lookup);
		return;
	}
	int result = tcp_to_sockaddr(
		&wanted->remote, &connector->address[0], &connector->address_len[0]);
	if (result < 0) {
		connector_fail(connector, -result);
		return;
	}
	connector->address_count = 1;
	connector_next(connector);
}

static bool connect_granted(struct stream *stream, const struct tcp_connect *wanted)
{
	char text[TCP_HOST_MAX + TCP_TEXT_LEN];
	const char *host = wanted->host.data;
	int host_len = (int)wanted->host.len;
	bool could = true;

	if (grants_may_connect(&loop_config(stream->loop)->config->grants, &wanted->remote,
		    wanted->host.data, wanted->host.len))
		return true;
	if (wanted->remote.family == TCP_NAME) {
		bool ipv6 = memchr(host, ':', wanted->host.len) != NULL;
		snprintf(text, sizeof(text), ipv6 ? "[%.*s]:%u" : "%.*s:%u", host_len, host,
			wanted->remote.port);
		could = grants_could_connect(host, wanted->host.len);
	} else {
		tcp_text(&wanted->remote, text);
	}
	grants_refused(text, "--connect", could ? text : NULL);
	return false;
}

static void connect_open(struct stream *stream, struct wire_bytes payload)
{
	struct tcp_connect wanted;
	if (wire_decode(&tcp_connect_message, &wanted, payload.data, payload.len) < 0 ||
		wanted.host.len > TCP_HOST_MAX ||
		(wanted.remote.family == TCP_NAME) != (wanted.host.len != 0)) {
		stream_refuse(stream, EPROTO);
		return;
	}
	if (!connect_granted(stream, &wanted)) {
		stream_refuse(stream, EACCES);
		return;
	}
	struct connector *connector = connector_create(stream, &wanted);
	if (connector == NULL)
		stream_refuse(stream, ENOMEM);
	else
		connector_start(connector, &wanted);
}

/* The guest closed while the connection was being made: what it wrote before that still has to
 * arrive. */
static void connect_closed(struct stream *stream)
{
	struct connector *connector = stream->relay;
	struct ring_span written = ring_peek(&stream->pipe.in);
	if (!connector->over && (written.len == 0 || written.end < 0))
		connector_fail(connector, ECANCELED);
}

static void connect_signal(struct stream *stream)
{
	(void)stream; /* bytes before Opened wait in the ring */
}

const struct protocol_ops tcp_connect_protocol = {
	.name = "tcp-connect",
	.number = PROTOCOL_TCP_CONNECT,
	.version = PROTOCOL_VERSION,
	.open = connect_open,
	.signal = connect_signal,
	.closed = connect_closed,
};
