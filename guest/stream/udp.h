/* udp: the library's own view of a UDP socket; its calls are declared in guest/ferrule.h. */
#ifndef FERRULE_GUEST_STREAM_UDP_H
#define FERRULE_GUEST_STREAM_UDP_H

#include "guest/ferrule.h"

/* For wait_any: readable when a datagram has come, or an error of one that was sent. */
struct stream *udp_watch(struct udp *udp);

#endif
