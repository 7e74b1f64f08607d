/*
 * tcp: what the listener (tcp_listen.c), the connector (tcp_connect.c) and the relay of an
 * established connection (tcp_relay.c) share. PROTOCOL.md section 6.
 */
#ifndef FERRULE_MONITOR_TCP_H
#define FERRULE_MONITOR_TCP_H

#include "monitor/address.h"
#include "monitor/stream.h"
#include "protocol/tcp.h"

/*
 * The stream (held by the caller, who hands it over) and the connected socket become a relay,
 * which ends by itself. 0, or -ENOMEM: then both are still the caller's. Follow with
 * stream_opened or stream_begin and stream_signal.
 */
int tcp_relay_create(struct stream *stream, int fd);

#endif
