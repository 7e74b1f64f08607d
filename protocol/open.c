#include "protocol/open.h"

static const struct wire_field open_fields[] = {
	WIRE_FIELD_U16(struct stream_open, protocol),
	WIRE_FIELD_U16(struct stream_open, version),
	WIRE_FIELD_PAD(4), /* the payload is a body of its own, and aligned as one */
	WIRE_FIELD_TAIL(struct stream_open, payload),
};

static const struct wire_field opened_fields[] = {
	WIRE_FIELD_TAIL(struct stream_opened, payload),
};

const struct wire_message stream_open_message =
	WIRE_MESSAGE("Open", STREAM_OPEN, open_fields, struct stream_open);
const struct wire_message stream_opened_message =
	WIRE_MESSAGE("Opened", STREAM_OPENED, opened_fields, struct stream_opened);
