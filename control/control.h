/*
 * control: the messages of the control pipe (PROTOCOL.md section 3). They make
 * and unmake streams and know nothing of what flows on one.
 */
#ifndef FERRULE_CONTROL_CONTROL_H
#define FERRULE_CONTROL_CONTROL_H

#include "control/wire.h"

#define CONTROL_MAGIC         0x4c525246u /* the bytes "FRRL" */
#define CONTROL_VERSION_MAJOR 1u          /* another major version is refused with EPROTONOSUPPORT */
#define CONTROL_VERSION_MINOR 0u          /* the lower of both sides' is spoken */

enum control_type {
	CONTROL_UNSUPPORTED = 0,     /* reply to a type that is not known: error ENOTSUP, no body */
	CONTROL_HELLO = 1,           /* both sides, first */
	CONTROL_NEW_STREAM = 2,      /* guest: NewStreamRequest */
	CONTROL_STREAM_INFO = 3,     /* monitor: DataStreamInfo, answers CONTROL_NEW_STREAM */
	CONTROL_STREAM_ERROR = 4,    /* monitor: StreamError: errno in the frame header, no body */
	CONTROL_CLOSE_STREAM = 5,    /* guest: it will not touch this stream's pipe again; not answered unless wrong */
	CONTROL_TYPE_COUNT,
};

/* Features that a side offers; what both offer is in force. None is defined yet. */
struct control_hello {
	uint32_t magic;          /* CONTROL_MAGIC */
	uint16_t version_major;
	uint16_t version_minor;
	uint64_t features;
	uint32_t max_streams;    /* streams that may exist at once; 0 from the guest */
	uint32_t min_ring;       /* bytes */
	uint32_t max_ring;       /* bytes */
};

struct control_new_stream {
	uint32_t to_host_capacity;  /* bytes, a power of two within hello's limits */
	uint32_t to_guest_capacity;
};

/* A stream id is never 0 and never used again: generation << 32 | pipe slot. */
struct control_stream_info {
	uint64_t stream_id;
	uint64_t pipe_offset;       /* arena offset of struct pipe_shared */
	uint64_t to_host_offset;    /* arena offsets of the rings */
	uint64_t to_guest_offset;
	uint32_t to_host_capacity;  /* bytes */
	uint32_t to_guest_capacity;
};

struct control_close_stream {
	uint64_t stream_id;
};

static inline uint32_t control_stream_slot(uint64_t stream_id)
{
	return (uint32_t)stream_id;
}

/* Indexed by enum control_type; an entry without fields has no body. */
extern const struct wire_message control_messages[CONTROL_TYPE_COUNT];

#endif
