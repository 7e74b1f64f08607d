/*
 * endpoint: an address of IPv4 or IPv6 and a port, as TCP and UDP have it, part of their
 * messages (PROTOCOL.md section 6.1).
 */
#ifndef FERRULE_PROTOCOL_ENDPOINT_H
#define FERRULE_PROTOCOL_ENDPOINT_H

#include <stdint.h>

enum endpoint_family {
	ENDPOINT_NAME = 0, /* a host name that lies beside the endpoint, for the monitor to look up; or: none */
	ENDPOINT_IPV4 = 4,
	ENDPOINT_IPV6 = 6,
};

/* 24 bytes on the wire, as they lie here (WIRE_FIXED). */
struct endpoint {
	uint16_t family;      /* enum endpoint_family */
	uint16_t port;        /* host order in the struct, little-endian on the wire; 0: any */
	uint32_t scope;       /* IPv6 scope id */
	unsigned char addr[16]; /* network order; IPv4 in the first four bytes, the rest 0 */
};

#define ENDPOINT_HOST_MAX 253u /* bytes of a host name */

#endif
