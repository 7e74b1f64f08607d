/*
 * Protocol 2: an outgoing connection.
 *
 * A name is looked up by the resolver, which answers for each family. Its addresses are tried as
 * RFC 8305 says (eyeballs.h): IPv6 and IPv4 in turn; the next begins beside those under way when
 * the last one has had a quarter of a second, or has failed; the first that answers is the
 * connection, and the others are given up. An IPv4 answer waits a moment for the IPv6 one.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/eyeballs.h"
#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/reach.h"
#include "monitor/relay.h"
#include "monitor/resolver.h"
#include "monitor/stats.h"
#include "monitor/target.h"
#include "monitor/tcp_options.h"
#include "monitor/stream.h"
#include "protocol/tcp.h"

struct attempt {
	struct connector *connector;
	struct io_op op;
	int fd;          /* -1: there is none */
	bool connecting; /* in flight */
	struct endpoint remote;
	struct sockaddr_storage address; /* io's while connecting */
};

/* What an error says: a later one counts only if it says as much. */
enum rank {
	RANK_NO_NAME,     /* there is no such name */
	RANK_NO_ANSWER,   /* no name server says */
	RANK_NOT_TRIED,   /* no address may be tried */
	RANK_NOT_REACHED, /* an address was tried in vain */
	RANK_REACHED,     /* a host has answered: no */
};

struct connector {
	struct stream *stream;
	struct io *io;
	struct io_timer limit; /* of all of it */
	struct io_timer pause; /* until the next attempt begins beside the last */
	bool limited, pausing; /* in flight */
	uint64_t pause_end_ns;
	bool over; /* answered, or the guest is gone: what is in flight only has to come back */
	bool cancelled;
	enum rank rank; /* of error */
	int error;      /* what a guest is told when all has failed */

	uint16_t port;
	struct endpoint local; /* family 0: the host's choice */
	struct tcp_options options;
	enum grant_name name; /* how the name is granted that is looked up */
	struct resolver_query lookup;
	bool looking_up[RESOLVER_FAMILIES]; /* in flight */
	bool started;                       /* the first attempt was made */
	struct eyeballs eyeballs;
	struct attempt attempt[EYEBALLS_MOST];
	unsigned attempt_count;
};

static void connector_go_on(struct connector *connector);

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static unsigned connecting(const struct connector *connector)
{
	unsigned count = 0;
	for (unsigned i = 0; i < connector->attempt_count; i++)
		count += connector->attempt[i].connecting;
	return count;
}

static bool looking_up(const struct connector *connector)
{
	return connector->looking_up[RESOLVER_IPV6] || connector->looking_up[RESOLVER_IPV4];
}

/* Of an attempt that failed or is not wanted any more, if there was one. */
static void attempt_close(struct attempt *attempt)
{
	if (attempt->fd < 0)
		return;
	io_forget(attempt->connector->io, attempt->fd);
	close(attempt->fd);
	attempt->fd = -1;
}

static void connector_cancel(struct connector *connector)
{
	connector->cancelled = true;
	for (unsigned i = 0; i < connector->attempt_count; i++)
		if (connector->attempt[i].connecting)
			io_cancel(connector->io, &connector->attempt[i].op);
	if (connector->limited)
		io_cancel(connector->io, &connector->limit.op);
	if (connector->pausing)
		io_cancel(connector->io, &connector->pause.op);
	if (looking_up(connector))
		resolver_cancel(connector->lookup.resolver, &connector->lookup);
}

static void note_error(struct connector *connector, enum rank rank, int error)
{
	if (connector->error != 0 && rank < connector->rank)
		return;
	connector->rank = rank;
	connector->error = error;
}

/* The connector's own end, once an answer was given and nothing is in flight. */
static void connector_settle(struct connector *connector)
{
	if (!connector->over)
		return;
	if (!connector->cancelled)
		connector_cancel(connector);
	if (connecting(connector) != 0 || connector->limited || connector->pausing ||
		looking_up(connector))
		return;
	for (unsigned i = 0; i < connector->attempt_count; i++)
		attempt_close(&connector->attempt[i]);
	if (connector->stream != NULL)
		stream_release(connector->stream);
	free(connector);
}

/* The guest is told at once. Its stream is held until the connector is gone. */
static void connector_fail(struct connector *connector, int error)
{
	connector->over = true;
	stream_answer_refused(connector->stream, error);
	connector_settle(connector);
}

static void connector_done(struct connector *connector, struct attempt *attempt)
{
	struct stream *stream = connector->stream;
	struct tcp_connected connected = {.remote = attempt->remote};
	int fd = attempt->fd;
	if (relay_create(stream, fd, tcp_options_idle_ns(&connector->options)) < 0) {
		connector_fail(connector, ENOMEM);
		return;
	}
	stats.connections_made++;
	attempt->fd = -1;
	connector->stream = NULL;
	connector->over = true;
	connector_settle(connector);
	connected.local = address_local(fd);
	stream_opened(stream, &tcp_connected_message, &connected);
}

/* ---- attempts */

static void attempt_complete(struct io_op *op, int result)
{
	struct attempt *attempt = io_container(op, struct attempt, op);
	struct connector *connector = attempt->connector;
	attempt->connecting = false;
	if (connector->over) {
		connector_settle(connector);
	} else if (result == 0) {
		connector_done(connector, attempt);
	} else {
		note_error(connector, result == -ECONNREFUSED ? RANK_REACHED : RANK_NOT_REACHED,
			-result);
		attempt_close(attempt);
		connector->pause_end_ns = 0; /* the next need not wait */
		connector_go_on(connector);
	}
}

/* This end, as the guest wants it. With port 0 the port is chosen by connect(2), which may choose
 * one that is in use for another peer. */
static int bind_local(const struct connector *connector, int fd)
{
	struct sockaddr_storage address;
	socklen_t len;
	const int on = 1;
	if (connector->local.family == ENDPOINT_NAME)
		return 0;
	int result = address_to_sockaddr(&connector->local, &address, &len);
	if (result < 0)
		return result;
	if (connector->local.port == 0)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&address, len) < 0 ? -errno : 0;
}

/* A descriptor, or a negative errno. */
static int attempt_socket(const struct connector *connector, sa_family_t family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int result = tcp_options_set(fd, &connector->options);
	if (result == 0)
		result = bind_local(connector, fd);
	if (result < 0)
		close(fd);
	return result < 0 ? result : fd;
}

/* False: it has failed already. */
static bool attempt_start(struct connector *connector, const struct endpoint *remote)
{
	struct attempt *attempt = &connector->attempt[connector->attempt_count++];
	socklen_t len;
	*attempt = (struct attempt){
		.connector = connector, .op = {attempt_complete}, .fd = -1, .remote = *remote};
	attempt->remote.port = connector->port;
	int result = address_to_sockaddr(&attempt->remote, &attempt->address, &len);
	if (result < 0) {
		note_error(connector, RANK_NOT_REACHED, -result);
		return false;
	}
	bool other = connector->local.family != ENDPOINT_NAME &&
		     connector->local.family != remote->family;
	result = other ? -EADDRNOTAVAIL : attempt_socket(connector, attempt->address.ss_family);
	if (result < 0) {
		note_error(connector, other ? RANK_NOT_TRIED : RANK_NOT_REACHED, -result);
		return false;
	}
	attempt->fd = result;
	if (connector->attempt_count > 1) /* the first was paid for by Connect */
		rate_spend(&loop_limits(connector->stream->loop)->connects, 1);
	attempt->connecting = true;
	io_connect(connector->io, &attempt->op, attempt->fd, (struct sockaddr *)&attempt->address,
		len);
	return true;
}

static void pause_complete(struct io_op *op, int result)
{
	struct connector *connector = io_container(op, struct connector, pause.op);
	(void)result;
	connector->pausing = false;
	if (connector->over)
		connector_settle(connector);
	else
		connector_go_on(connector);
}

/* From now on so long, whatever timer is under way: when that one ends too early it is started
 * anew. */
static void pause_for(struct connector *connector, uint64_t ns)
{
	connector->pause_end_ns = now_ns() + ns;
}

/* Is it time? If not, it will be gone on then. */
static bool pause_is_over(struct connector *connector)
{
	uint64_t now = now_ns();
	if (now >= connector->pause_end_ns)
		return true;
	if (!connector->pausing) {
		connector->pausing = true;
		io_timeout(connector->io, &connector->pause, connector->pause_end_ns - now);
	}
	return false;
}

/* Starts what is to be started now, waits for what is under way, or gives up. */
static void connector_go_on(struct connector *connector)
{
	while (connector->eyeballs.next < connector->eyeballs.count) {
		if (!pause_is_over(connector))
			return;
		connector->started = true;
		if (attempt_start(connector, eyeballs_take(&connector->eyeballs)))
			pause_for(connector, EYEBALLS_ATTEMPT_NS);
	}
	if (connecting(connector) == 0 && !looking_up(connector))
		connector_fail(connector, connector->error);
}

static void limit_complete(struct io_op *op, int result)
{
	struct connector *connector = io_container(op, struct connector, limit.op);
	connector->limited = false;
	if (connector->over || result != -ETIME) {
		connector_settle(connector);
		return;
	}
	connector_fail(connector, ETIMEDOUT);
}

/* ---- names */

static void take_addresses(struct connector *connector, struct resolver_answer *answer)
{
	struct reach *reach = loop_reach(connector->stream->loop);
	const char *host = connector->lookup.name;
	unsigned kept =
		reach_believe(reach, GRANT_TCP_CONNECT, connector->port, connector->name, answer);
	if (kept == 0)
		note_error(connector, RANK_NOT_TRIED, EACCES);
	reach_learn(reach, host, strlen(host), answer);
	eyeballs_add(&connector->eyeballs, answer->address, kept);
}

static void lookup_answered(struct resolver_query *query, enum resolver_family family)
{
	struct connector *connector = io_container(query, struct connector, lookup);
	struct resolver_answer *answer = &query->answer[family];
	connector->looking_up[family] = false;
	if (connector->over) {
		connector_settle(connector);
		return;
	}
	if (answer->error == 0)
		take_addresses(connector, answer);
	else
		note_error(connector, answer->error == EHOSTUNREACH ? RANK_NO_NAME : RANK_NO_ANSWER,
			answer->error);
	if (!connector->started) {
		/* IPv6 is to be first, if it comes soon. */
		if (connector->looking_up[RESOLVER_IPV6])
			pause_for(connector, EYEBALLS_LOOKUP_NS);
		else
			connector->pause_end_ns = 0;
	}
	connector_go_on(connector);
}

static void lookup(struct connector *connector, const struct wire_bytes *host)
{
	struct resolver *resolver = loop_resolver(connector->stream->loop);
	connector->lookup.answered = lookup_answered;
	memcpy(connector->lookup.name, host->data, host->len);
	connector->looking_up[RESOLVER_IPV6] = connector->looking_up[RESOLVER_IPV4] = true;
	resolver_ask(resolver, &connector->lookup);
}

/* ---- opening */

static struct connector *connector_create(
	struct stream *stream, const struct target *target, uint32_t timeout_ms)
{
	struct connector *connector = calloc(1, sizeof(*connector));
	if (connector == NULL)
		return NULL;
	connector->stream = stream;
	connector->io = loop_io(stream->loop);
	connector->limit.op.done = limit_complete;
	connector->pause.op.done = pause_complete;
	connector->port = target->remote.port;
	stream->relay = connector;
	if (timeout_ms != 0) {
		connector->limited = true;
		io_timeout(connector->io, &connector->limit, (uint64_t)timeout_ms * 1000000u);
	}
	return connector;
}

static void connector_start(struct connector *connector, const struct target *target)
{
	if (target->remote.family == ENDPOINT_NAME) {
		lookup(connector, &target->host);
		return;
	}
	eyeballs_add(&connector->eyeballs, &target->remote, 1);
	connector_go_on(connector);
}

/*
 * A port of this machine is taken from others, and an address can be what a server trusts: only
 * those that the guest may listen on anyway.
 */
static bool local_granted(struct stream *stream, const struct endpoint *local)
{
	const struct grants *grants = &loop_config(stream->loop)->config->grants;
	char text[ADDRESS_TEXT_LEN];
	if (local->family == ENDPOINT_NAME || (local->port == 0 && address_is_unspecified(local)))
		return true;
	if (local->port == 0 ? grants_cover_some_port(grants, GRANT_TCP_LISTEN, local)
			     : grants_cover(grants, GRANT_TCP_LISTEN, local))
		return true;
	address_text(local, text);
	grants_refused(text, "--listen", text);
	return false;
}

static bool is_known(const struct endpoint *endpoint)
{
	return endpoint->family == ENDPOINT_NAME || endpoint->family == ENDPOINT_IPV4 ||
	       endpoint->family == ENDPOINT_IPV6;
}

static void connect_open(struct stream *stream, struct wire_bytes payload)
{
	struct tcp_connect wanted;
	if (wire_decode(&tcp_connect_message, &wanted, payload.data, payload.len) < 0) {
		stream_refuse(stream, EPROTO);
		return;
	}
	struct target target = {wanted.remote, wanted.host};
	if (!target_is_valid(&target) ||
		(target.remote.family == ENDPOINT_NAME && target.host.len == 0)) {
		stream_refuse(stream, EPROTO);
		return;
	}
	target.remote = address_without_mapping(&target.remote);
	wanted.local = address_without_mapping(&wanted.local);
	if (!is_known(&target.remote) || !is_known(&wanted.local)) {
		stream_refuse(stream, EAFNOSUPPORT);
		return;
	}
	if (!limits_take_connect(loop_limits(stream->loop))) {
		stream_refuse(stream, EAGAIN);
		return;
	}
	target_read_address(&target);
	enum grant_name name = target_granted(loop_reach(stream->loop),
		&loop_config(stream->loop)->config->grants, GRANT_TCP_CONNECT, &target);
	if (name != GRANT_NAME_REFUSED && !local_granted(stream, &wanted.local)) {
		stream_refuse(stream, EACCES);
		return;
	}
	if (name == GRANT_NAME_REFUSED) {
		target_refused(&target, "--connect", "");
		stream_refuse(stream, EACCES);
		return;
	}
	struct connector *connector = connector_create(stream, &target, wanted.timeout_ms);
	if (connector == NULL) {
		stream_refuse(stream, ENOMEM);
		return;
	}
	connector->name = name;
	connector->local = wanted.local;
	connector->options = wanted.options;
	connector_start(connector, &target);
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
