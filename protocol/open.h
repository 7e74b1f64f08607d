/*
 * open: the first frame on every new stream says which protocol it speaks, and the
 * protocol's own opening payload rides along (PROTOCOL.md section 4).
 */
#ifndef FERRULE_PROTOCOL_OPEN_H
#define FERRULE_PROTOCOL_OPEN_H

#include "control/wire.h"

enum protocol_number {
	PROTOCOL_FS = 0,         /* fs.h */
	PROTOCOL_TCP_LISTEN = 1, /* tcp.h */
	PROTOCOL_TCP_CONNECT = 2,
	PROTOCOL_UDP = 3,        /* udp.h */
	PROTOCOL_UNIX_LISTEN = 4, /* unix.h */
	PROTOCOL_UNIX_CONNECT = 5,
	PROTOCOL_NETWORK = 6,    /* network.h */
	PROTOCOL_COUNT,
};

#define PROTOCOL_VERSION 1u /* of each of the above; another is refused with EPROTONOSUPPORT */

enum open_type {
	STREAM_UNSUPPORTED = 0, /* reply to a type that the protocol does not know: ENOTSUP, no body */
	STREAM_OPEN = 1,        /* guest, first */
	STREAM_OPENED = 2,      /* monitor's reply; refused when the header's error is not 0 (then no body) */
	STREAM_FIRST = 16,      /* each protocol numbers its own messages from here */
};

struct stream_open {
	uint16_t protocol;         /* enum protocol_number */
	uint16_t version;          /* PROTOCOL_VERSION */
	struct wire_bytes payload; /* the protocol's opening message, without a frame header (wire_encode_body) */
};

struct stream_opened {
	struct wire_bytes payload; /* the protocol's answer */
};

extern const struct wire_message stream_open_message;
extern const struct wire_message stream_opened_message;

#endif
