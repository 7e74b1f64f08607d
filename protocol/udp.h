/*
 * udp: protocol 3, a UDP socket, PROTOCOL.md section 7.
 *
 * After Opened the stream carries one frame for each datagram, both ways, and, to the guest, frames that tell
 * of datagrams which could not be sent.
 */
#ifndef FERRULE_PROTOCOL_UDP_H
#define FERRULE_PROTOCOL_UDP_H

#include "protocol/endpoint.h"
#include "protocol/open.h"

enum udp_type {
	UDP_DATAGRAM = STREAM_FIRST, /* either side's */
	UDP_SEND_ERROR,              /* monitor's */
	UDP_TYPE_END,
};

enum udp_bind_flag {
	UDP_V6ONLY = 1u << 0,    /* an IPv6 socket has no IPv4 peers */
	UDP_BROADCAST = 1u << 1, /* broadcast addresses may be sent to, where they are granted */
	UDP_BIND_KNOWN = (1u << 2) - 1, /* any other bit is refused with EINVAL */
};

#define UDP_DATAGRAM_MAX 65535u /* bytes of one datagram; the host's limit is a little less */
#define UDP_HEADER_LEN   72u    /* bytes of the frame of a datagram in front of its data */

struct udp_bind {               /* payload of Open */
	struct endpoint local;   /* family ENDPOINT_NAME: the host's choice */
	struct endpoint remote;  /* of a connected socket; ENDPOINT_NAME: 'host' and this port, or none */
	uint32_t flags;          /* enum udp_bind_flag */
	uint32_t receive_buffer; /* bytes that the host may keep for the guest; 0: the host's choice */
	struct wire_bytes host;  /* of a socket that is connected to a name; else empty */
};

struct udp_bound {              /* payload of Opened */
	struct endpoint local;   /* with the port that was really given */
	struct endpoint remote;  /* of a connected socket; else family ENDPOINT_NAME */
	uint32_t max_datagram;   /* bytes; longer ones are cut off before the guest has them */
};

struct udp_frame {              /* Datagram */
	struct endpoint remote;  /* where it came from, or goes to; from the guest on a connected socket: none */
	struct endpoint local;   /* where it was sent to, or is to seem to come from; none: the host's choice */
	uint32_t length;         /* to the guest: bytes that it had, more than 'data' has when it was cut off */
	uint32_t dropped;        /* to the guest: datagrams lost since the last one that it was given */
	struct wire_bytes data;
};

struct udp_send_error {
	struct endpoint remote;  /* where to; family ENDPOINT_NAME: not known */
	uint32_t error;          /* errno */
	uint32_t count;          /* datagrams, 1 at least */
};

extern const struct wire_message udp_bind_message;
extern const struct wire_message udp_bound_message;
extern const struct wire_message udp_datagram_message;
extern const struct wire_message udp_send_error_message;

#endif
