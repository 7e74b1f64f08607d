#include "control/wire.h"

#include "pipe/ring.h"

/* WIRE_FIXED copies structs as they lie. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

#define BODY_LEN_MAX   (FRAME_LEN_MAX - FRAME_HEADER_LEN)
#define STRING_LEN_LEN 2u

/* A reader's place in a body: 'left' is checked before 'at' moves. */
struct cursor {
	const unsigned char *at;
	size_t left;
};

static void put_u16(unsigned char *bytes, uint16_t value)
{
	bytes[0] = (unsigned char)value;
	bytes[1] = (unsigned char)(value >> 8);
}

static void put_u32(unsigned char *bytes, uint32_t value)
{
	put_u16(bytes, (uint16_t)value);
	put_u16(bytes + 2, (uint16_t)(value >> 16));
}

static void put_u64(unsigned char *bytes, uint64_t value)
{
	put_u32(bytes, (uint32_t)value);
	put_u32(bytes + 4, (uint32_t)(value >> 32));
}

static uint16_t get_u16(const unsigned char *bytes)
{
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t get_u32(const unsigned char *bytes)
{
	return get_u16(bytes) | (uint32_t)get_u16(bytes + 2) << 16;
}

static uint64_t get_u64(const unsigned char *bytes)
{
	return get_u32(bytes) | (uint64_t)get_u32(bytes + 4) << 32;
}

/* The body may lie in memory that the peer writes: a length must not be loaded again after its
 * check. */
static size_t loaded_once(size_t len)
{
	__asm__("" : "+r"(len));
	return len;
}

/* A string or tail may be empty and have no address: not even 0 bytes are copied from NULL. */
static void copy(void *to, const void *from, size_t len)
{
	if (len > 0)
		__builtin_memcpy(to, from, len);
}

static bool has_nul(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == 0)
			return true;
	}
	return false;
}

static struct wire_bytes bytes_of(const void *value)
{
	struct wire_bytes bytes;

	__builtin_memcpy(&bytes, value, sizeof(bytes));
	return bytes;
}

void frame_encode(const struct frame *frame, void *ret_bytes)
{
	unsigned char *bytes = ret_bytes;

	put_u32(bytes, frame->length);
	put_u16(bytes + 4, frame->type);
	put_u16(bytes + 6, frame->flags);
	put_u32(bytes + 8, frame->request_id);
	put_u32(bytes + 12, frame->error);
}

int frame_decode(struct frame *ret_frame, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	uint32_t length;

	if (len < sizeof(length))
		return 0;
	length = (uint32_t)loaded_once(get_u32(at));
	if (length < FRAME_HEADER_LEN || length > FRAME_LEN_MAX)
		return -RING_EPROTO;
	if (len < FRAME_HEADER_LEN)
		return 0;
	*ret_frame = (struct frame){
		.length = length,
		.type = get_u16(at + 4),
		.flags = get_u16(at + 6),
		.request_id = get_u32(at + 8),
		.error = get_u32(at + 12),
	};
	return 1;
}

/* Bytes on the wire of the field whose C value is at 'value'; false: it must not be sent. */
static bool field_len(const struct wire_field *field, const void *value, size_t *ret_len)
{
	struct wire_bytes bytes;

	switch (field->kind) {
	case WIRE_STRING:
		bytes = bytes_of(value);
		if (bytes.len > field->size || bytes.len > UINT16_MAX ||
			has_nul(bytes.data, bytes.len))
			return false;
		*ret_len = STRING_LEN_LEN + bytes.len;
		return true;
	case WIRE_TAIL:
		*ret_len = bytes_of(value).len;
		return true;
	default:
		*ret_len = field->size;
		return true;
	}
}

static bool body_len(const struct wire_message *message, const void *body, size_t *ret_len)
{
	size_t total = 0;

	for (unsigned i = 0; i < message->field_count; i++) {
		const struct wire_field *field = &message->fields[i];
		size_t len;

		if (!field_len(field, (const unsigned char *)body + field->offset, &len))
			return false;
		if (len > BODY_LEN_MAX - total)
			return false;
		total += len;
	}
	*ret_len = total;
	return true;
}

/* Writes one field that body_len has found room for; where the next one goes. */
static unsigned char *field_encode(
	const struct wire_field *field, const void *value, unsigned char *at)
{
	struct wire_bytes bytes;

	switch (field->kind) {
	case WIRE_U16:
		put_u16(at, *(const uint16_t *)value);
		break;
	case WIRE_U32:
		put_u32(at, *(const uint32_t *)value);
		break;
	case WIRE_U64:
		put_u64(at, *(const uint64_t *)value);
		break;
	case WIRE_FIXED:
		__builtin_memcpy(at, value, field->size);
		break;
	case WIRE_PAD:
		__builtin_memset(at, 0, field->size);
		break;
	case WIRE_STRING:
		bytes = bytes_of(value);
		put_u16(at, (uint16_t)bytes.len);
		copy(at + STRING_LEN_LEN, bytes.data, bytes.len);
		return at + STRING_LEN_LEN + bytes.len;
	case WIRE_TAIL:
		bytes = bytes_of(value);
		copy(at, bytes.data, bytes.len);
		return at + bytes.len;
	}
	return at + field->size;
}

static void body_encode(const struct wire_message *message, const void *body, unsigned char *at)
{
	for (unsigned i = 0; i < message->field_count; i++) {
		const struct wire_field *field = &message->fields[i];

		at = field_encode(field, (const unsigned char *)body + field->offset, at);
	}
}

size_t wire_encode_body(
	const struct wire_message *message, const void *body, void *ret_bytes, size_t room)
{
	size_t len;

	if (!body_len(message, body, &len) || len > room)
		return 0;
	body_encode(message, body, ret_bytes);
	return len;
}

size_t wire_encoded_len(const struct wire_message *message, const void *body)
{
	size_t len;

	return body_len(message, body, &len) ? FRAME_HEADER_LEN + len : 0;
}

size_t wire_encode(const struct wire_message *message, const struct frame *frame, const void *body,
	void *ret_bytes, size_t room)
{
	unsigned char *bytes = ret_bytes;
	struct frame header = *frame;
	size_t len = 0;

	if (frame->error == 0 && !body_len(message, body, &len))
		return 0;
	if (room < FRAME_HEADER_LEN || len > room - FRAME_HEADER_LEN)
		return 0;
	header.length = (uint32_t)(FRAME_HEADER_LEN + len);
	header.type = message->type;
	frame_encode(&header, bytes);
	if (frame->error == 0)
		body_encode(message, body, bytes + FRAME_HEADER_LEN);
	return header.length;
}

/* The next 'len' bytes, or NULL when there are not so many. */
static const unsigned char *take(struct cursor *cursor, size_t len)
{
	const unsigned char *bytes = cursor->at;

	if (len > cursor->left)
		return NULL;
	cursor->at += len;
	cursor->left -= len;
	return bytes;
}

static int number_decode(
	const struct wire_field *field, unsigned char *value, struct cursor *cursor)
{
	const unsigned char *bytes = take(cursor, field->size);

	if (bytes == NULL)
		return -RING_EPROTO;
	switch (field->kind) {
	case WIRE_U16:
		*(uint16_t *)(void *)value = get_u16(bytes);
		break;
	case WIRE_U32:
		*(uint32_t *)(void *)value = get_u32(bytes);
		break;
	case WIRE_U64:
		*(uint64_t *)(void *)value = get_u64(bytes);
		break;
	case WIRE_FIXED:
		__builtin_memcpy(value, bytes, field->size);
		break;
	default: /* WIRE_PAD: whatever a later version puts here */
		break;
	}
	return 0;
}

static int string_decode(const struct wire_field *field, void *value, struct cursor *cursor)
{
	const unsigned char *len_bytes = take(cursor, STRING_LEN_LEN);
	struct wire_bytes string;

	if (len_bytes == NULL)
		return -RING_EPROTO;
	string.len = loaded_once(get_u16(len_bytes));
	if (string.len > field->size)
		return -RING_EPROTO;
	string.data = take(cursor, string.len);
	if (string.data == NULL || has_nul(string.data, string.len))
		return -RING_EPROTO;
	__builtin_memcpy(value, &string, sizeof(string));
	return 0;
}

static void tail_decode(void *value, struct cursor *cursor)
{
	struct wire_bytes tail = {.data = cursor->at, .len = cursor->left};

	__builtin_memcpy(value, &tail, sizeof(tail));
	cursor->at += cursor->left;
	cursor->left = 0;
}

int wire_decode(const struct wire_message *message, void *ret_struct, const void *body, size_t len)
{
	static const unsigned char nothing[1];
	/* An empty body may come without an address: an address keeps NULL free for 'too short'. */
	struct cursor cursor = {.at = len > 0 ? body : nothing, .left = len};

	for (unsigned i = 0; i < message->field_count; i++) {
		const struct wire_field *field = &message->fields[i];
		unsigned char *value = (unsigned char *)ret_struct + field->offset;
		int error = 0;

		if (field->kind == WIRE_STRING)
			error = string_decode(field, value, &cursor);
		else if (field->kind == WIRE_TAIL)
			tail_decode(value, &cursor);
		else
			error = number_decode(field, value, &cursor);
		if (error != 0)
			return error;
	}
	return 0;
}
