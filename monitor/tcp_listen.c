/*
 * Protocol 1: a listening TCP socket (listener.h).
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/listener.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/relay.h"
#include "monitor/stream.h"
#include "monitor/tcp_options.h"
#include "protocol/tcp.h"

#define LISTEN_BACKLOG 4096u

/* ---- connections */

static int join(void *context, struct stream *stream, int fd)
{
	return relay_create(stream, fd, tcp_options_idle_ns(context));
}

static void announce(void *context, struct stream *listener, const struct frame *frame,
	const struct stream *stream, int fd, const struct sockaddr_storage *peer)
{
	(void)context;
	struct tcp_incoming incoming = {
		.stream_id = stream->id,
		.remote = address_from_sockaddr(peer),
		.local = address_local(fd),
	};
	stream_send(listener, &tcp_incoming_message, frame, &incoming);
}

static void end(void *context, struct stream *listener)
{
	free(context);
	listener_ended(listener);
}

static const struct listener_ops tcp_listener = {.join = join, .announce = announce, .end = end};

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
	int reuse = (wanted->flags & TCP_LISTEN_EXCLUSIVE) == 0;
	result = tcp_options_set(fd, &wanted->options);
	if (result < 0) {
		close(fd);
		return result;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0 ||
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

static int create(struct stream *stream, int fd, const struct tcp_options *options)
{
	struct tcp_options *kept = malloc(sizeof(*kept));
	if (kept == NULL)
		return -ENOMEM;
	*kept = *options;
	int result = listener_create(stream, fd, &tcp_listener, kept);
	if (result < 0)
		free(kept);
	return result;
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
	if (wanted.local.family != ENDPOINT_IPV4 && wanted.local.family != ENDPOINT_IPV6) {
		stream_refuse(stream, EAFNOSUPPORT);
		return;
	}
	const struct endpoint *published = grants_published(grants, false, wanted.local.port);
	if (published != NULL) {
		wanted.local = *published;
		wanted.flags &= ~(uint32_t)TCP_LISTEN_V6ONLY;
	} else if (!grants_cover(grants, GRANT_TCP_LISTEN, &wanted.local)) {
		char publish[GRANTS_PUBLISH_LEN];
		bool meant = grants_publish_meant(grants, false, wanted.local.port, publish);
		address_text(&wanted.local, text);
		grants_refused(text, meant ? "--publish" : "--listen", meant ? publish : text);
		stream_refuse(stream, EACCES);
		return;
	}
	bool known = (wanted.flags & ~TCP_LISTEN_KNOWN) == 0;
	if (published == NULL && !grants_cover_both(grants, GRANT_TCP_LISTEN, &wanted.local))
		wanted.flags |= TCP_LISTEN_V6ONLY;
	int result = known ? listen_socket(&wanted, &fd) : -EINVAL;
	if (result == 0) {
		result = create(stream, fd, &wanted.options);
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
