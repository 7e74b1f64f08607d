#include "control/control.h"

static const struct wire_field hello_fields[] = {
	WIRE_FIELD_U32(struct control_hello, magic),
	WIRE_FIELD_U16(struct control_hello, version_major),
	WIRE_FIELD_U16(struct control_hello, version_minor),
	WIRE_FIELD_U64(struct control_hello, features),
	WIRE_FIELD_U32(struct control_hello, max_streams),
	WIRE_FIELD_U32(struct control_hello, min_ring),
	WIRE_FIELD_U32(struct control_hello, max_ring),
};

static const struct wire_field new_stream_fields[] = {
	WIRE_FIELD_U32(struct control_new_stream, to_host_capacity),
	WIRE_FIELD_U32(struct control_new_stream, to_guest_capacity),
};

static const struct wire_field stream_info_fields[] = {
	WIRE_FIELD_U64(struct control_stream_info, stream_id),
	WIRE_FIELD_U64(struct control_stream_info, pipe_offset),
	WIRE_FIELD_U64(struct control_stream_info, to_host_offset),
	WIRE_FIELD_U64(struct control_stream_info, to_guest_offset),
	WIRE_FIELD_U32(struct control_stream_info, to_host_capacity),
	WIRE_FIELD_U32(struct control_stream_info, to_guest_capacity),
};

static const struct wire_field close_stream_fields[] = {
	WIRE_FIELD_U64(struct control_close_stream, stream_id),
};

const struct wire_message control_messages[CONTROL_TYPE_COUNT] = {
	[CONTROL_UNSUPPORTED] = WIRE_MESSAGE_EMPTY("Unsupported", CONTROL_UNSUPPORTED),
	[CONTROL_HELLO] = WIRE_MESSAGE("Hello", CONTROL_HELLO, hello_fields, struct control_hello),
	[CONTROL_NEW_STREAM] = WIRE_MESSAGE("NewStreamRequest", CONTROL_NEW_STREAM,
		new_stream_fields, struct control_new_stream),
	[CONTROL_STREAM_INFO] = WIRE_MESSAGE("DataStreamInfo", CONTROL_STREAM_INFO,
		stream_info_fields, struct control_stream_info),
	[CONTROL_STREAM_ERROR] = WIRE_MESSAGE_EMPTY("StreamError", CONTROL_STREAM_ERROR),
	[CONTROL_CLOSE_STREAM] = WIRE_MESSAGE("CloseStream", CONTROL_CLOSE_STREAM,
		close_stream_fields, struct control_close_stream),
};

_Static_assert(CONTROL_TYPE_COUNT == 6, "a new type needs a row in control_messages");
