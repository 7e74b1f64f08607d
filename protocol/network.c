#include "protocol/network.h"

_Static_assert(sizeof(struct network_interface) == 56, "PROTOCOL.md section 9");
_Static_assert(offsetof(struct network_interface, index) == 24, "PROTOCOL.md section 9");
_Static_assert(offsetof(struct network_interface, prefix) == 36, "PROTOCOL.md section 9");
_Static_assert(offsetof(struct network_interface, name) == 40, "PROTOCOL.md section 9");

static const struct wire_field resolve_fields[] = {
	WIRE_FIELD_U16(struct network_resolve, family),
	WIRE_FIELD_PAD(2),
	WIRE_FIELD_U32(struct network_resolve, timeout_ms),
	WIRE_FIELD_STRING(struct network_resolve, host, ENDPOINT_HOST_MAX),
};

static const struct wire_field resolved_fields[] = {
	WIRE_FIELD_U32(struct network_resolved, ttl_s),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_TAIL(struct network_resolved, addresses),
};

static const struct wire_field interfaces_fields[] = {
	WIRE_FIELD_U32(struct network_interfaces, first),
};

static const struct wire_field interfaces_reply_fields[] = {
	WIRE_FIELD_U32(struct network_interfaces_reply, total),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_TAIL(struct network_interfaces_reply, interfaces),
};

/* The struct field by field; elsewhere it is one piece. */
static const struct wire_field interface_fields[] = {
	WIRE_FIELD_FIXED(struct network_interface, address),
	WIRE_FIELD_U32(struct network_interface, index),
	WIRE_FIELD_U32(struct network_interface, flags),
	WIRE_FIELD_U32(struct network_interface, mtu),
	WIRE_FIELD_U16(struct network_interface, prefix),
	WIRE_FIELD_U16(struct network_interface, reserved),
	WIRE_FIELD_FIXED(struct network_interface, name),
};

const struct wire_message network_open_message = WIRE_MESSAGE_EMPTY("Network", 0);
const struct wire_message network_resolve_message =
	WIRE_MESSAGE("Resolve", NETWORK_RESOLVE, resolve_fields, struct network_resolve);
const struct wire_message network_resolved_message =
	WIRE_MESSAGE("Resolved", NETWORK_RESOLVE, resolved_fields, struct network_resolved);
const struct wire_message network_interfaces_message = WIRE_MESSAGE(
	"Interfaces", NETWORK_INTERFACES, interfaces_fields, struct network_interfaces);
const struct wire_message network_interfaces_reply_message = WIRE_MESSAGE("InterfacesReply",
	NETWORK_INTERFACES, interfaces_reply_fields, struct network_interfaces_reply);
const struct wire_message network_interface_message =
	WIRE_MESSAGE("Interface", 0, interface_fields, struct network_interface);
