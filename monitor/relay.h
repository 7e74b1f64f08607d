/*
 * relay: a connected stream socket, carried by a stream's pipe as raw bytes both ways
 * (PROTOCOL.md section 6.9).
 */
#ifndef FERRULE_MONITOR_RELAY_H
#define FERRULE_MONITOR_RELAY_H

#include <stdint.h>
#define RELAY_STALL_NS 30000000000u /* without a byte taken, after CloseStream: the peer is given up */

struct stream;

/*
 * The stream (held by the caller, who hands it over) and the connected socket become a relay,
 * which ends by itself. 'idle_ns': so long may no byte move, either way, until it is reset with ETIMEDOUT (up to a quarter
 * more can pass); 0: for ever. 0, or -ENOMEM: then both are still the caller's. Follow with
 * stream_opened or stream_begin and stream_signal.
 */
int relay_create(struct stream *stream, int fd, uint64_t idle_ns);

#endif
