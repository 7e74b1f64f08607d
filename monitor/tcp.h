/*
 * tcp: what the listener (tcp_listen.c), the connector (tcp_connect.c) and the relay of an
 * established connection (tcp_relay.c) share. PROTOCOL.md section 6.
 */
#ifndef FERRULE_MONITOR_TCP_H
#define FERRULE_MONITOR_TCP_H

#include <sys/socket.h>

#include "monitor/stream.h"
#include "protocol/tcp.h"

/* The address of an IPv4 or IPv6 endpoint. 0, or -EAFNOSUPPORT for any other family. */
int tcp_to_sockaddr(const struct tcp_endpoint *endpoint, struct sockaddr_storage *ret_address,
		socklen_t *ret_len);
/* An address that is neither becomes family 0. */
struct tcp_endpoint tcp_from_sockaddr(const struct sockaddr_storage *address);
/*
 * Loopback, link-local and unspecified addresses, and those of the metadata services of clouds: what a guest
 * is not to reach unless it was meant. An IPv4 address within an IPv6 one (mapped, compatible, NAT64, 6to4) is that
 * IPv4 address here.
 */
bool tcp_is_special(const struct tcp_endpoint *endpoint);
/* Is it one of this machine's addresses? Also when that cannot be told. */
bool tcp_is_own(const struct tcp_endpoint *endpoint);
/* The socket's own address. */
struct tcp_endpoint tcp_local(int fd);
#define TCP_TEXT_LEN 64
/* "127.0.0.1:80", "[::1]:80"; returns 'text'. */
const char *tcp_text(const struct tcp_endpoint *endpoint, char text[TCP_TEXT_LEN]);

/*
 * The stream (held by the caller, who hands it over) and the connected socket become a relay,
 * which ends by itself. 0, or -ENOMEM: then both are still the caller's. Follow with
 * stream_opened or stream_begin and stream_signal.
 */
int tcp_relay_create(struct stream *stream, int fd);

#endif
