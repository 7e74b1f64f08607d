/*
 * unix: protocol 4 (UNIX listener) and protocol 5 (UNIX connection), PROTOCOL.md section 8.
 *
 * A listener's stream carries frames as a TCP listener's does: the guest posts Accept (tcp.h), the
 * monitor answers IncomingUnix and carries that connection on the stream that was posted. The
 * stream of a connection of UNIX_STREAM is raw bytes until it ends, that of UNIX_SEQPACKET frames: a
 * Packet for each packet.
 */
#ifndef FERRULE_PROTOCOL_UNIX_H
#define FERRULE_PROTOCOL_UNIX_H

#include "protocol/fs.h"
#include "protocol/tcp.h"

enum unix_message {
	UNIX_INCOMING = TCP_INCOMING, /* IncomingUnix, or an errno: answers TCP_ACCEPT */
	UNIX_PACKET = TCP_TYPE_END,   /* either way */
};

enum unix_type { /* Linux's numbers */
	UNIX_STREAM = 1,
	UNIX_SEQPACKET = 5,
};

#define UNIX_LISTEN_NAME_MAX 86u /* bytes of the last component of a path to listen at; then ENAMETOOLONG */

enum unix_listen_flag {
	UNIX_LISTEN_REPLACE = 1u << 0, /* a socket file that no process has bound is no obstacle */
	UNIX_LISTEN_KNOWN = (1u << 1) - 1, /* any other bit is refused with EINVAL */
};

struct unix_listen {           /* payload of Open */
	uint32_t type;         /* enum unix_type */
	uint32_t backlog;      /* 0: the monitor's choice */
	uint32_t mode;         /* permissions of the socket file; 0: what the monitor's umask leaves */
	uint32_t flags;        /* enum unix_listen_flag */
	struct wire_bytes path; /* as granted, or below a directory that is; '@' first: an abstract name */
};

struct unix_connect {          /* payload of Open */
	uint32_t type;         /* enum unix_type */
	uint32_t timeout_ms;   /* for the listener to have room for one more; 0: for ever */
	struct wire_bytes path;
};

/* Who is at the other end, as SO_PEERCRED has it. */
struct unix_connected {        /* payload of Opened */
	uint32_t pid;          /* 0: not of the monitor's PID namespace */
	uint32_t uid;
	uint32_t gid;
	uint32_t packet_max;   /* bytes of the longest packet that the guest may send; 0: a stream */
};

struct unix_incoming {
	uint64_t stream_id;    /* as posted */
	uint32_t pid;
	uint32_t uid;
	uint32_t gid;
	uint32_t packet_max;
};

struct unix_packet {
	uint32_t length;       /* bytes of the packet as it was sent; more than 'data' has: the rest is lost */
	struct wire_bytes data;
};
#define UNIX_PACKET_HEADER_LEN (FRAME_HEADER_LEN + 8u) /* bytes in front of the data */

extern const struct wire_message unix_listen_message;
extern const struct wire_message unix_connect_message;
extern const struct wire_message unix_connected_message;
extern const struct wire_message unix_incoming_message;
extern const struct wire_message unix_packet_message;

#endif
