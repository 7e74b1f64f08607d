#include "protocol/udp.h"

static const struct wire_field bind_fields[] = {
	WIRE_FIELD_FIXED(struct udp_bind, local),
	WIRE_FIELD_FIXED(struct udp_bind, remote),
	WIRE_FIELD_U32(struct udp_bind, flags),
	WIRE_FIELD_U32(struct udp_bind, receive_buffer),
	WIRE_FIELD_STRING(struct udp_bind, host, ENDPOINT_HOST_MAX),
};

static const struct wire_field bound_fields[] = {
	WIRE_FIELD_FIXED(struct udp_bound, local),
	WIRE_FIELD_FIXED(struct udp_bound, remote),
	WIRE_FIELD_U32(struct udp_bound, max_datagram),
	WIRE_FIELD_PAD(4),
};

static const struct wire_field datagram_fields[] = {
	WIRE_FIELD_FIXED(struct udp_frame, remote),
	WIRE_FIELD_FIXED(struct udp_frame, local),
	WIRE_FIELD_U32(struct udp_frame, length),
	WIRE_FIELD_U32(struct udp_frame, dropped),
	WIRE_FIELD_TAIL(struct udp_frame, data),
};

static const struct wire_field send_error_fields[] = {
	WIRE_FIELD_FIXED(struct udp_send_error, remote),
	WIRE_FIELD_U32(struct udp_send_error, error),
	WIRE_FIELD_U32(struct udp_send_error, count),
};

_Static_assert(FRAME_HEADER_LEN + 2 * sizeof(struct endpoint) + 8 == UDP_HEADER_LEN,
	"PROTOCOL.md section 7.5");

const struct wire_message udp_bind_message =
	WIRE_MESSAGE("Bind", 0, bind_fields, struct udp_bind);
const struct wire_message udp_bound_message =
	WIRE_MESSAGE("Bound", 0, bound_fields, struct udp_bound);
const struct wire_message udp_datagram_message =
	WIRE_MESSAGE("Datagram", UDP_DATAGRAM, datagram_fields, struct udp_frame);
const struct wire_message udp_send_error_message =
	WIRE_MESSAGE("SendError", UDP_SEND_ERROR, send_error_fields, struct udp_send_error);
