/*
 * network: protocol 6, what the host knows of the network: the addresses of a name, and the interfaces;
 * of both, what the guest may reach or listen on (PROTOCOL.md section 9).
 */
#ifndef FERRULE_PROTOCOL_NETWORK_H
#define FERRULE_PROTOCOL_NETWORK_H

#include "protocol/endpoint.h"
#include "protocol/open.h"

/* Open and Opened have no payload. */
enum network_type {
	NETWORK_RESOLVE = STREAM_FIRST, /* guest; monitor's reply: Resolved */
	NETWORK_INTERFACES,             /* guest; monitor's reply: InterfacesReply */
	NETWORK_TYPE_END,
};

struct network_resolve {
	uint16_t family;        /* ENDPOINT_IPV4 or ENDPOINT_IPV6; 0: both */
	uint32_t timeout_ms;    /* until ETIMEDOUT; 0: as long as it takes */
	struct wire_bytes host; /* at most ENDPOINT_HOST_MAX bytes */
};

#define NETWORK_ADDRESSES 32u /* that one reply has at most */

struct network_resolved {
	uint32_t ttl_s;              /* seconds that this is good for */
	struct wire_bytes addresses; /* struct endpoint, port 0, one behind the other */
};

struct network_interfaces {
	uint32_t first; /* how many to leave out at the start */
};

#define NETWORK_NAME_MAX 16u /* bytes of an interface's name, zeros behind it */

enum network_flag {
	NETWORK_UP = 1u << 0,
	NETWORK_LOOPBACK = 1u << 1,
	NETWORK_BROADCAST = 1u << 2,
	NETWORK_POINT_TO_POINT = 1u << 3,
	NETWORK_MULTICAST = 1u << 4,
};

/* One address of an interface: 56 bytes on the wire, as they lie here. */
struct network_interface {
	struct endpoint address; /* port 0 */
	uint32_t index;          /* of the interface on the host */
	uint32_t flags;          /* enum network_flag */
	uint32_t mtu;            /* bytes */
	uint16_t prefix;         /* bits of the address that are its network's */
	uint16_t reserved;
	char name[NETWORK_NAME_MAX];
};

#define NETWORK_INTERFACES_AT_ONCE 64u /* that one reply has at most */

struct network_interfaces_reply {
	uint32_t total;               /* that there are to be seen */
	struct wire_bytes interfaces; /* struct network_interface, from 'first' on */
};

extern const struct wire_message network_open_message; /* of Open and Opened: no fields */
extern const struct wire_message network_resolve_message;
extern const struct wire_message network_resolved_message;
extern const struct wire_message network_interfaces_message;
extern const struct wire_message network_interfaces_reply_message;
extern const struct wire_message network_interface_message; /* the structure alone */

#endif
