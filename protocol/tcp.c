#include "protocol/tcp.h"

_Static_assert(sizeof(struct endpoint) == 24, "PROTOCOL.md section 6");
_Static_assert(offsetof(struct endpoint, family) == 0, "PROTOCOL.md section 6");
_Static_assert(offsetof(struct endpoint, port) == 2, "PROTOCOL.md section 6");
_Static_assert(offsetof(struct endpoint, scope) == 4, "PROTOCOL.md section 6");
_Static_assert(offsetof(struct endpoint, addr) == 8, "PROTOCOL.md section 6");

_Static_assert(sizeof(struct tcp_options) == 32, "PROTOCOL.md section 6");
_Static_assert(offsetof(struct tcp_options, receive_buffer) == 16, "PROTOCOL.md section 6");
_Static_assert(offsetof(struct tcp_options, idle_ms) == 28, "PROTOCOL.md section 6");

/* The struct field by field; elsewhere it is one WIRE_FIXED field. */
static const struct wire_field options_fields[] = {
	WIRE_FIELD_U32(struct tcp_options, flags),
	WIRE_FIELD_U32(struct tcp_options, keepalive_s),
	WIRE_FIELD_U32(struct tcp_options, keepalive_interval_s),
	WIRE_FIELD_U32(struct tcp_options, keepalive_count),
	WIRE_FIELD_U32(struct tcp_options, receive_buffer),
	WIRE_FIELD_U32(struct tcp_options, send_buffer),
	WIRE_FIELD_U32(struct tcp_options, unacknowledged_ms),
	WIRE_FIELD_U32(struct tcp_options, idle_ms),
};

static const struct wire_field listen_fields[] = {
	WIRE_FIELD_FIXED(struct tcp_listen, local),
	WIRE_FIELD_U32(struct tcp_listen, backlog),
	WIRE_FIELD_U32(struct tcp_listen, flags),
	WIRE_FIELD_FIXED(struct tcp_listen, options),
};

static const struct wire_field listening_fields[] = {
	WIRE_FIELD_FIXED(struct tcp_listening, local),
};

static const struct wire_field connect_fields[] = {
	WIRE_FIELD_FIXED(struct tcp_connect, remote),
	WIRE_FIELD_FIXED(struct tcp_connect, local),
	WIRE_FIELD_U32(struct tcp_connect, timeout_ms),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_FIXED(struct tcp_connect, options),
	WIRE_FIELD_STRING(struct tcp_connect, host, ENDPOINT_HOST_MAX),
};

static const struct wire_field connected_fields[] = {
	WIRE_FIELD_FIXED(struct tcp_connected, local),
	WIRE_FIELD_FIXED(struct tcp_connected, remote),
};

static const struct wire_field accept_fields[] = {
	WIRE_FIELD_U64(struct tcp_accept, stream_id),
};

static const struct wire_field incoming_fields[] = {
	WIRE_FIELD_U64(struct tcp_incoming, stream_id),
	WIRE_FIELD_FIXED(struct tcp_incoming, remote),
	WIRE_FIELD_FIXED(struct tcp_incoming, local),
};

/* Payloads have no type of their own: they ride in Open and Opened. */
const struct wire_message tcp_listen_message =
	WIRE_MESSAGE("Listen", 0, listen_fields, struct tcp_listen);
const struct wire_message tcp_listening_message =
	WIRE_MESSAGE("Listening", 0, listening_fields, struct tcp_listening);
const struct wire_message tcp_connect_message =
	WIRE_MESSAGE("Connect", 0, connect_fields, struct tcp_connect);
const struct wire_message tcp_connected_message =
	WIRE_MESSAGE("Connected", 0, connected_fields, struct tcp_connected);
const struct wire_message tcp_accept_message =
	WIRE_MESSAGE("Accept", TCP_ACCEPT, accept_fields, struct tcp_accept);
const struct wire_message tcp_incoming_message =
	WIRE_MESSAGE("IncomingConnection", TCP_INCOMING, incoming_fields, struct tcp_incoming);
const struct wire_message tcp_options_message =
	WIRE_MESSAGE("TcpOptions", 0, options_fields, struct tcp_options);
