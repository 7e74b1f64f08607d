#include "protocol/unix.h"

static const struct wire_field listen_fields[] = {
	WIRE_FIELD_U32(struct unix_listen, type),
	WIRE_FIELD_U32(struct unix_listen, backlog),
	WIRE_FIELD_U32(struct unix_listen, mode),
	WIRE_FIELD_U32(struct unix_listen, flags),
	WIRE_FIELD_STRING(struct unix_listen, path, FS_PATH_MAX),
};

static const struct wire_field connect_fields[] = {
	WIRE_FIELD_U32(struct unix_connect, type),
	WIRE_FIELD_U32(struct unix_connect, timeout_ms),
	WIRE_FIELD_STRING(struct unix_connect, path, FS_PATH_MAX),
};

static const struct wire_field connected_fields[] = {
	WIRE_FIELD_U32(struct unix_connected, pid),
	WIRE_FIELD_U32(struct unix_connected, uid),
	WIRE_FIELD_U32(struct unix_connected, gid),
	WIRE_FIELD_U32(struct unix_connected, packet_max),
};

static const struct wire_field incoming_fields[] = {
	WIRE_FIELD_U64(struct unix_incoming, stream_id),
	WIRE_FIELD_U32(struct unix_incoming, pid),
	WIRE_FIELD_U32(struct unix_incoming, uid),
	WIRE_FIELD_U32(struct unix_incoming, gid),
	WIRE_FIELD_U32(struct unix_incoming, packet_max),
};

static const struct wire_field packet_fields[] = {
	WIRE_FIELD_U32(struct unix_packet, length),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_TAIL(struct unix_packet, data),
};

const struct wire_message unix_listen_message =
	WIRE_MESSAGE("UnixListen", 0, listen_fields, struct unix_listen);
const struct wire_message unix_connect_message =
	WIRE_MESSAGE("UnixConnect", 0, connect_fields, struct unix_connect);
const struct wire_message unix_connected_message =
	WIRE_MESSAGE("UnixConnected", 0, connected_fields, struct unix_connected);
const struct wire_message unix_incoming_message =
	WIRE_MESSAGE("IncomingUnix", UNIX_INCOMING, incoming_fields, struct unix_incoming);
const struct wire_message unix_packet_message =
	WIRE_MESSAGE("Packet", UNIX_PACKET, packet_fields, struct unix_packet);
