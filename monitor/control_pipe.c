#include "monitor/control_pipe.h"

#include <errno.h>
#include <stdlib.h>

#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/stats.h"

struct control_pipe {
	bool started; /* the engine runs */
	bool greeted; /* the guest's Hello was taken */
	bool broken;  /* no more is read */
};

#define CONTROL_REPLY_ROOM 128u /* bytes; no reply is longer */

/* Frames of a turn that a new stream counts for: it takes 10-20 us, and sockets are to be served
 * between. With 2 in a turn instead of 16 a quarter fewer connections were taken in a second. */
#define CONTROL_NEW_STREAM_TURN 16u

static void reply(struct stream *stream, enum control_type type, const struct frame *request,
	const void *body)
{
	struct frame frame = {.flags = FRAME_REPLY, .request_id = request->request_id};
	stream_send(stream, &control_messages[type], &frame, body);
}

static uint32_t max_streams(const struct stream *stream)
{
	uint32_t slots = arena_slots(loop_arena(stream->loop)) - 1;
	uint64_t allowed = loop_config(stream->loop)->config->limits.streams;

	return allowed != 0 && allowed < slots ? (uint32_t)allowed : slots;
}

static int on_hello(struct stream *stream, const struct frame *frame, const void *body)
{
	struct control_pipe *control = stream->relay;
	const struct control_hello *hello = body;
	if (hello->magic != CONTROL_MAGIC)
		return EPROTO;
	if (hello->version_major != CONTROL_VERSION_MAJOR) {
		log_guest(LOG_ERROR,
			"the guest speaks version %u.%u of the control protocol and this monitor "
			"%u.%u; "
			"build the guest with this monitor's release",
			hello->version_major, hello->version_minor, CONTROL_VERSION_MAJOR,
			CONTROL_VERSION_MINOR);
		return EPROTONOSUPPORT;
	}
	control->greeted = true;
	reply(stream, CONTROL_HELLO, frame,
		&(struct control_hello){
			.magic = CONTROL_MAGIC,
			.version_major = CONTROL_VERSION_MAJOR,
			.version_minor = CONTROL_VERSION_MINOR,
			.max_streams = max_streams(stream),
			.min_ring = RING_CAPACITY_MIN,
			.max_ring = RING_CAPACITY_MAX,
		});
	return 0;
}

static int on_new_stream(struct stream *stream, const struct frame *frame, const void *body)
{
	const struct control_new_stream *wanted = body;
	struct stream *made;
	int result = stream_create(loop_streams(stream->loop), wanted->to_host_capacity,
		wanted->to_guest_capacity, &made);
	if (result < 0) {
		stats.streams_refused++;
		return -result;
	}
	stream->turn -=
		stream->turn < CONTROL_NEW_STREAM_TURN ? stream->turn : CONTROL_NEW_STREAM_TURN;
	reply(stream, CONTROL_STREAM_INFO, frame,
		&(struct control_stream_info){
			.stream_id = made->id,
			.pipe_offset = arena_pipe_offset(loop_arena(stream->loop), made->slot),
			.to_host_offset = made->ring[PIPE_GUEST].offset,
			.to_guest_offset = made->ring[PIPE_HOST].offset,
			.to_host_capacity = (uint32_t)made->ring[PIPE_GUEST].capacity,
			.to_guest_capacity = (uint32_t)made->ring[PIPE_HOST].capacity,
		});
	return 0;
}

static int on_close_stream(struct stream *stream, const struct frame *frame, const void *body)
{
	(void)frame;
	const struct control_close_stream *wanted = body;
	struct stream *closing = stream_find(loop_streams(stream->loop), wanted->stream_id);
	if (closing == NULL || closing->guest_closed)
		return ENOENT;
	stream_guest_close(closing);
	return 0;
}

/* What the guest may send. Each handler answers, or returns the positive errno to answer with. */
static const struct control_row {
	int (*handle)(struct stream *stream, const struct frame *frame, const void *body);
	bool before_hello;
} control_rows[CONTROL_TYPE_COUNT] = {
	[CONTROL_HELLO] = {on_hello, true},
	[CONTROL_NEW_STREAM] = {on_new_stream, false},
	[CONTROL_CLOSE_STREAM] = {on_close_stream, false},
};

union control_body {
	struct control_hello hello;
	struct control_new_stream new_stream;
	struct control_close_stream close_stream;
};

static void handle(struct stream *stream, const struct frame *frame, const unsigned char *bytes)
{
	struct control_pipe *control = stream->relay;
	union control_body body;
	if (frame->type >= CONTROL_TYPE_COUNT || control_rows[frame->type].handle == NULL) {
		stream_send_error(stream, CONTROL_UNSUPPORTED, frame->request_id, ENOTSUP);
		return;
	}
	const struct control_row *row = &control_rows[frame->type];
	int error = wire_decode(
		&control_messages[frame->type], &body, bytes, frame->length - FRAME_HEADER_LEN);
	if (error == 0 && !control->greeted && !row->before_hello)
		error = -EPROTO;
	error = error < 0 ? -error : row->handle(stream, frame, &body);
	/* A refused Hello is answered by a Hello, everything else by StreamError. */
	uint16_t answer = frame->type == CONTROL_HELLO ? CONTROL_HELLO : CONTROL_STREAM_ERROR;
	if (error != 0)
		stream_send_error(stream, answer, frame->request_id, error);
}

static void control_signal(struct stream *stream)
{
	struct control_pipe *control = stream->relay;
	struct frame frame;
	const unsigned char *body;
	int result;
	if (!control->started || control->broken)
		return;
	while (stream_room(stream, CONTROL_REPLY_ROOM)) {
		result = stream_frame(stream, &frame, &body);
		if (result == 0)
			return;
		if (result < 0) {
			control->broken = true;
			return;
		}
		handle(stream, &frame, body);
		stream_frame_done(stream, &frame);
	}
}

int control_pipe_create(struct stream *stream)
{
	stream->relay = calloc(1, sizeof(struct control_pipe));
	return stream->relay == NULL ? -ENOMEM : 0;
}

void control_pipe_destroy(struct stream *stream)
{
	free(stream->relay);
}

void control_pipe_start(struct stream *stream)
{
	((struct control_pipe *)stream->relay)->started = true;
	control_signal(stream);
}

/* Never opened and never closed by a message. */
const struct protocol_ops control_protocol = {.name = "control", .signal = control_signal};
