/*
 * wire: messages as bytes. A message body is described by a table of fields, and one
 * encoder and one decoder walk it: what PROTOCOL.md tabulates is what runs.
 *
 * control/ holds the frame, the messages of the control pipe and the boot
 * information; protocol/ holds the open frame and each protocol's messages.
 * Both are pure functions over byte buffers, freestanding C11, compiled
 * unchanged for both sides. control/ may include pipe/, protocol/ may include
 * control/ and pipe/. No I/O, no allocation, no logging.
 *
 * All numbers are little-endian, of fixed width, aligned to their size within
 * the body. Strings and byte tails have their length before them and come last.
 */
#ifndef FERRULE_CONTROL_WIRE_H
#define FERRULE_CONTROL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that lie somewhere else: in the frame for a decoder, in the caller's memory for an encoder. */
struct wire_bytes {
	const void *data;
	size_t len;
};

enum wire_kind {
	WIRE_U16,
	WIRE_U32,
	WIRE_U64,
	WIRE_FIXED,  /* 'size' bytes, copied */
	WIRE_PAD,    /* 'size' zero bytes; ignored by the decoder, for later versions */
	WIRE_STRING, /* u16 length, then the bytes; struct wire_bytes. A NUL inside is refused */
	WIRE_TAIL,   /* all bytes to the end of the body; struct wire_bytes */
};

struct wire_field {
	const char *name;      /* as in PROTOCOL.md */
	enum wire_kind kind;
	size_t offset;         /* in the C struct */
	size_t size;           /* bytes on the wire; of WIRE_STRING the most allowed, of WIRE_TAIL unused */
};

/* 'bytes', or no compilation when the C field is of another size. */
#define WIRE_SIZE(type, field, bytes) sizeof(char[sizeof(((type *)0)->field) == (bytes) ? (bytes) : -1])

#define WIRE_FIELD_U16(type, field)    { #field, WIRE_U16, offsetof(type, field), WIRE_SIZE(type, field, 2) }
#define WIRE_FIELD_U32(type, field)    { #field, WIRE_U32, offsetof(type, field), WIRE_SIZE(type, field, 4) }
#define WIRE_FIELD_U64(type, field)    { #field, WIRE_U64, offsetof(type, field), WIRE_SIZE(type, field, 8) }
#define WIRE_FIELD_FIXED(type, field)  { #field, WIRE_FIXED, offsetof(type, field), sizeof(((type *)0)->field) }
#define WIRE_FIELD_PAD(bytes)          { "reserved", WIRE_PAD, 0, (bytes) }
#define WIRE_FIELD_STRING(type, field, most) { #field, WIRE_STRING, offsetof(type, field), (most) }
#define WIRE_FIELD_TAIL(type, field)   { #field, WIRE_TAIL, offsetof(type, field), 0 }

/* A message: its number in the frame header and what its body holds. */
struct wire_message {
	const char *name;                /* as in PROTOCOL.md */
	uint16_t type;                   /* in the frame header */
	uint16_t field_count;
	const struct wire_field *fields;
	size_t struct_size;              /* of the C struct */
};

#define WIRE_MESSAGE(name, type, fields, c_type) \
	{ (name), (type), sizeof(fields) / sizeof((fields)[0]), (fields), sizeof(c_type) }
#define WIRE_MESSAGE_EMPTY(name, type) { (name), (type), 0, NULL, 0 }

/* Every frame starts with this. */
#define FRAME_HEADER_LEN 16u       /* bytes */
#define FRAME_LEN_MAX    (1u << 20) /* bytes, header included; a longer one is a broken peer */

enum frame_flag {
	FRAME_REPLY = 1u << 0, /* answers the request with this id */
	FRAME_MORE = 1u << 1,  /* another frame answers the same request */
};

struct frame {
	uint32_t length;     /*  0 bytes of the whole frame, FRAME_HEADER_LEN at least */
	uint16_t type;       /*  4 */
	uint16_t flags;      /*  6 enum frame_flag; unknown bits are ignored */
	uint32_t request_id; /*  8 chosen by the requester, 0 for what answers nothing */
	uint32_t error;      /* 12 0, or an errno of PROTOCOL.md section 10 in a reply */
};

/* FRAME_HEADER_LEN bytes each. */
void frame_encode(const struct frame *frame, void *ret_bytes);

/*
 * The header at the start of 'len' bytes. 1: decoded (the frame's body may be still to
 * come), 0: more bytes are needed, -EPROTO: no frame can start like this.
 */
int frame_decode(struct frame *ret_frame, const void *bytes, size_t len);

/*
 * Encodes header and body. 'frame' gives flags, request id and error; type and
 * length are filled in from the message. A frame with an error has no body: 'body'
 * may be NULL then, as for a message without fields. Returns the frame's length, 0 when
 * it does not fit in 'room' bytes or in a frame, or a string is longer than allowed or has a NUL.
 */
size_t wire_encode(const struct wire_message *message, const struct frame *frame, const void *body,
		void *ret_bytes, size_t room);

/* The bytes that wire_encode would need (without an error); 0 when it would refuse. */
size_t wire_encoded_len(const struct wire_message *message, const void *body);

/* The body alone: opening payloads are bodies without a frame, and wire_decode reads them. 0 as above. */
size_t wire_encode_body(const struct wire_message *message, const void *body, void *ret_bytes, size_t room);

/*
 * Decodes a body (the bytes behind the frame header) into the C struct. 0, or -EPROTO when
 * bytes are missing or a string breaks its limits; the struct is then partly written. Bytes beyond
 * the known fields are ignored, as later versions append; absent ones are an error.
 *
 * Strings and tails point into 'body'. A body that still lies in the ring can be changed by the
 * peer at any time: nothing is read twice here, and what points into it is copied before it is checked.
 */
int wire_decode(const struct wire_message *message, void *ret_struct, const void *body, size_t len);

#endif
