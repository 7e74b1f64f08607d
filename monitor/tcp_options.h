/* tcp_options: options of TCP sockets, as messages have them (PROTOCOL.md section 6.10). */
#ifndef FERRULE_MONITOR_TCP_OPTIONS_H
#define FERRULE_MONITOR_TCP_OPTIONS_H

#include "protocol/tcp.h"

/*
 * Sets them on a socket: before listen(2) or connect(2), as the sizes of buffers decide what is offered to the peer.
 * Connections inherit those of their listener. 0 or a negative errno.
 */
int tcp_options_set(int fd, const struct tcp_options *options);

/* For relay_create. */
uint64_t tcp_options_idle_ns(const struct tcp_options *options);

#endif
