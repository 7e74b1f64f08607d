/*
 * Bind: the opening of a UDP socket. What is asked for is granted or refused, a name is looked up,
 * and the socket made.
 *
 * Of a name, the addresses that may be sent to are tried in their order, IPv6 first: connect(2) of
 * a UDP socket only looks for a route, and does so at once. An IPv4 answer waits a moment for the
 * IPv6 one, as for TCP.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/eyeballs.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/target.h"
#include "monitor/udp.h"

/* ---- the local end */

/* Where to bind, and what follows from it. */
struct place {
	struct endpoint local;
	bool serves;
	bool v6only;
};

/* 0 or a negative errno; EACCES was logged. 'remote' is plain, of ENDPOINT_NAME where there is
 * none. */
static int find_place(const struct grants *grants, const struct udp_bind *wanted,
	const struct endpoint *remote, struct place *ret_place)
{
	struct endpoint local = udp_plain(&wanted->local);

	if (local.family == ENDPOINT_NAME)
		local = (struct endpoint){.family = remote->family, .port = local.port};
	if (local.family == ENDPOINT_NAME)
		return -EINVAL;
	*ret_place = (struct place){
		.local = local, .serves = true, .v6only = (wanted->flags & UDP_V6ONLY) != 0};
	const struct endpoint *published =
		local.port != 0 ? grants_published(grants, true, local.port) : NULL;
	if (published != NULL) {
		ret_place->local = *published;
	} else if (address_is_unspecified(&local) && local.port == 0) {
		ret_place->serves = false;
	} else if (!grants_cover(grants, GRANT_UDP_LISTEN, &local)) {
		const struct target target = {.remote = local};
		char publish[GRANTS_PUBLISH_LEN], text[ADDRESS_TEXT_LEN];
		if (grants_publish_meant(grants, true, local.port, publish))
			grants_refused(address_text(&local, text), "--publish", publish);
		else
			target_refused(&target, "--udp", ":listen");
		return -EACCES;
	} else if (!grants_cover_both(grants, GRANT_UDP_LISTEN, &local)) {
		ret_place->v6only = true;
	}
	return 0;
}

/* ---- the socket */

static bool set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* 0 or a negative errno. */
static int set_options(int fd, bool ipv6, const struct udp_bind *wanted, const struct place *place)
{
	uint32_t buffer =
		wanted->receive_buffer < INT_MAX / 2 ? wanted->receive_buffer : INT_MAX / 2;

	/* Groups are the host's: what its other programs joined is not for the guest. */
	if (!set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0) ||
		(ipv6 && !set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)) ||
		(ipv6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, place->v6only)) ||
		((wanted->flags & UDP_BROADCAST) != 0 && !set(fd, SOL_SOCKET, SO_BROADCAST, 1)) ||
		(buffer != 0 && !set(fd, SOL_SOCKET, SO_RCVBUF, (int)buffer)))
		return -errno;
	return udp_message_ask(fd, ipv6);
}

/* The user's limit counts bytes of datagrams, the kernel's size, twice as much, also what it needs
 * itself. */
static int limit_queue(int fd, uint64_t limit)
{
	int size = 0;

	if (limit == 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &(socklen_t){sizeof(size)}) < 0)
		return -errno;
	if ((uint64_t)size / 2 > limit && !set(fd, SOL_SOCKET, SO_RCVBUF, (int)limit))
		return -errno;
	return 0;
}

static int bind_to(int fd, const struct endpoint *local)
{
	struct sockaddr_storage address;
	socklen_t len;
	int result = address_to_sockaddr(local, &address, &len);

	if (result == 0 && bind(fd, (struct sockaddr *)&address, len) < 0)
		result = -errno;
	return result;
}

static int connect_to(int fd, bool ipv6, const struct endpoint *remote)
{
	struct sockaddr_storage address;
	socklen_t len;
	int result = udp_peer_address(ipv6, remote, &address, &len);

	if (result == 0 && connect(fd, (struct sockaddr *)&address, len) < 0)
		result = -errno;
	return result;
}

static int set_up(int fd, const struct udp_parts *parts, const struct udp_bind *wanted,
	const struct place *place)
{
	int result = set_options(fd, parts->ipv6, wanted, place);

	if (result == 0)
		result = bind_to(fd, &place->local);
	if (result == 0 && parts->remote.family != ENDPOINT_NAME)
		result = connect_to(fd, parts->ipv6, &parts->remote);
	return result;
}

/* Makes the socket, with this peer (ENDPOINT_NAME: none), and answers Open. 0, or a negative errno
 * and nothing was done. */
static int make_socket(
	struct stream *stream, const struct udp_bind *wanted, const struct endpoint *remote)
{
	struct udp_parts parts = {.remote = udp_plain(remote)};
	struct place place;
	int result = find_place(
		&loop_config(stream->loop)->config->grants, wanted, &parts.remote, &place);

	if (result < 0)
		return result;
	parts.serves = place.serves;
	parts.ipv6 = place.local.family == ENDPOINT_IPV6;
	if (!parts.ipv6 && place.local.family != ENDPOINT_IPV4)
		return -EAFNOSUPPORT;
	parts.fd = socket(parts.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (parts.fd < 0)
		return -errno;
	result = set_up(parts.fd, &parts, wanted, &place);
	if (result == 0)
		result = limit_queue(
			parts.fd, loop_config(stream->loop)->config->limits.datagram_queue);
	if (result == 0)
		result = udp_socket_create(stream, &parts);
	if (result < 0)
		close(parts.fd);
	return result;
}

static void log_failure(const struct udp_bind *wanted, const char *whom, int error)
{
	char text[ADDRESS_TEXT_LEN];

	if (error != EACCES)
		log_guest(LOG_WARNING, "the guest cannot have a UDP socket on %s for %s: %s",
			address_text(&wanted->local, text), whom, strerrorname_np(error));
}

/* ---- names */

/* While a name is looked up for a stream. */
struct udp_opener {
	struct stream *stream; /* NULL: answered; what is in flight only has to come back */
	struct io *io;
	struct udp_bind wanted;
	enum grant_name name; /* how it is granted */
	struct resolver_query lookup;
	bool looking_up[RESOLVER_FAMILIES]; /* in flight */
	bool tried[RESOLVER_FAMILIES];
	struct io_timer pause; /* for the IPv6 answer */
	bool pausing, paused;  /* in flight; over */
	bool cancelled;
	int error; /* positive: the last that says something */
};

static bool looking_up(const struct udp_opener *opener)
{
	return opener->looking_up[RESOLVER_IPV6] || opener->looking_up[RESOLVER_IPV4];
}

static void opener_settle(struct udp_opener *opener)
{
	if (opener->stream != NULL)
		return;
	if (!opener->cancelled) {
		opener->cancelled = true;
		if (looking_up(opener))
			resolver_cancel(opener->lookup.resolver, &opener->lookup);
		if (opener->pausing)
			io_cancel(opener->io, &opener->pause.op);
	}
	if (!looking_up(opener) && !opener->pausing)
		free(opener);
}

static void opener_fail(struct udp_opener *opener, int error)
{
	struct stream *stream = opener->stream;

	opener->stream = NULL;
	stream->relay = NULL;
	log_failure(&opener->wanted, opener->lookup.name, error);
	stream_refuse(stream, error);
}

/* The addresses of one family. True: one of them is the peer, and the stream is its socket now. */
static bool try_family(struct udp_opener *opener, enum resolver_family family)
{
	struct resolver_answer *answer = &opener->lookup.answer[family];

	opener->tried[family] = true;
	for (unsigned i = 0; answer->error == 0 && i < answer->count; i++) {
		struct endpoint remote = answer->address[i];
		remote.port = opener->wanted.remote.port;
		int result = make_socket(opener->stream, &opener->wanted, &remote);
		if (result == 0) {
			opener->stream = NULL;
			return true;
		}
		opener->error = -result;
	}
	return false;
}

static void opener_go_on(struct udp_opener *opener)
{
	bool ipv6 = opener->looking_up[RESOLVER_IPV6], ipv4 = opener->looking_up[RESOLVER_IPV4];

	if (!ipv6 && !opener->tried[RESOLVER_IPV6] && try_family(opener, RESOLVER_IPV6))
		return;
	if (ipv6 && !ipv4 && !opener->paused) {
		if (!opener->pausing) {
			opener->pausing = true;
			io_timeout(opener->io, &opener->pause, EYEBALLS_LOOKUP_NS);
		}
		return;
	}
	if (!ipv4 && !opener->tried[RESOLVER_IPV4] && try_family(opener, RESOLVER_IPV4))
		return;
	if (!ipv6 && !ipv4)
		opener_fail(opener, opener->error);
}

static void pause_complete(struct io_op *op, int result)
{
	struct udp_opener *opener = io_container(op, struct udp_opener, pause.op);

	(void)result;
	opener->pausing = false;
	opener->paused = true;
	if (opener->stream != NULL)
		opener_go_on(opener);
	opener_settle(opener);
}

/* Leaves what the guest may send to, and what is to be told if that comes to nothing. */
static void take_answer(struct udp_opener *opener, struct resolver_answer *answer)
{
	struct reach *reach = loop_reach(opener->stream->loop);
	const char *host = opener->lookup.name;

	if (answer->error != 0) {
		/* That one family has no address says nothing when the other has. */
		if (opener->error == 0 || opener->error == EHOSTUNREACH)
			opener->error = answer->error;
		return;
	}
	if (reach_believe(
		    reach, GRANT_UDP_SEND, opener->wanted.remote.port, opener->name, answer) == 0)
		opener->error = EACCES;
	reach_learn(reach, host, strlen(host), answer);
}

static void lookup_answered(struct resolver_query *query, enum resolver_family family)
{
	struct udp_opener *opener = io_container(query, struct udp_opener, lookup);

	opener->looking_up[family] = false;
	if (opener->stream != NULL) {
		take_answer(opener, &query->answer[family]);
		opener_go_on(opener);
	}
	opener_settle(opener);
}

static void look_up(struct stream *stream, const struct udp_bind *wanted,
	const struct target *target, enum grant_name name)
{
	struct udp_opener *opener = calloc(1, sizeof(*opener));

	if (opener == NULL) {
		stream_refuse(stream, ENOMEM);
		return;
	}
	opener->stream = stream;
	opener->io = loop_io(stream->loop);
	opener->wanted = *wanted;
	opener->wanted.host = (struct wire_bytes){NULL, 0}; /* it lies in Open, which goes */
	opener->name = name;
	opener->pause.op.done = pause_complete;
	opener->lookup.answered = lookup_answered;
	memcpy(opener->lookup.name, target->host.data, target->host.len);
	opener->looking_up[RESOLVER_IPV6] = opener->looking_up[RESOLVER_IPV4] = true;
	stream->relay = opener;
	resolver_ask(loop_resolver(stream->loop), &opener->lookup);
}

/* ---- opening */

static void bind_now(
	struct stream *stream, const struct udp_bind *wanted, const struct endpoint *remote)
{
	char text[ADDRESS_TEXT_LEN];
	int result = make_socket(stream, wanted, remote);

	if (result == 0)
		return;
	log_failure(wanted, remote->family == ENDPOINT_NAME ? "all" : address_text(remote, text),
		-result);
	stream_refuse(stream, -result);
}

static void bind_open(struct stream *stream, struct wire_bytes payload)
{
	struct udp_bind wanted;

	if (wire_decode(&udp_bind_message, &wanted, payload.data, payload.len) < 0) {
		stream_refuse(stream, EPROTO);
		return;
	}
	struct target target = {wanted.remote, wanted.host};
	bool connects = target.remote.family != ENDPOINT_NAME || target.host.len != 0;
	if (!target_is_valid(&target) || (wanted.flags & ~UDP_BIND_KNOWN) != 0) {
		stream_refuse(stream, target_is_valid(&target) ? EINVAL : EPROTO);
		return;
	}
	if (!connects) {
		bind_now(stream, &wanted, &(struct endpoint){.family = ENDPOINT_NAME});
		return;
	}
	target_read_address(&target);
	enum grant_name name = target_granted(loop_reach(stream->loop),
		&loop_config(stream->loop)->config->grants, GRANT_UDP_SEND, &target);
	if (name == GRANT_NAME_REFUSED) {
		target_refused(&target, "--udp", ":connect");
		stream_refuse(stream, EACCES);
	} else if (target.remote.family == ENDPOINT_NAME) {
		look_up(stream, &wanted, &target, name);
	} else {
		bind_now(stream, &wanted, &target.remote);
	}
}

/* While a name is looked up, what was sent before the guest closed is still to be sent. */
static void closed(struct stream *stream)
{
	if (stream->state != STREAM_OPENING) {
		udp_socket_signal(stream);
		return;
	}
	struct udp_opener *opener = stream->relay;
	struct ring_span written = ring_peek(&stream->pipe.in);
	if (written.len != 0 && written.end >= 0)
		return;
	opener_fail(opener, ECANCELED);
	opener_settle(opener);
}

const struct protocol_ops udp_protocol = {
	.name = "udp",
	.number = PROTOCOL_UDP,
	.version = PROTOCOL_VERSION,
	.open = bind_open,
	.signal = udp_socket_signal,
	.trim = udp_socket_trim,
	.closed = closed,
};
