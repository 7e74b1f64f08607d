/*
 * Frames on a stream's pipe. A span is one piece, so a frame is decoded where it
 * lies; what it says is the guest's until it is consumed, and the guest can change
 * it meanwhile. The decoder loads each number once; a string that must not change after its check
 * is copied first by whoever uses it.
 */
#include <assert.h>
#include <errno.h>

#include "monitor/loop.h"
#include "monitor/stream.h"
#include "protocol/error.h"

/* How many bytes must be there before the frame behind 'skip' can be used. */
static int frame_need(struct stream *stream, const struct ring_span *span, size_t skip,
	struct frame *ret_frame, size_t *ret_need)
{
	size_t len = span->len > skip ? span->len - skip : 0;
	int result = frame_decode(ret_frame, span->data + skip, len);

	*ret_need = result == 1 ? ret_frame->length : FRAME_HEADER_LEN;
	if (result < 0 || *ret_need > stream->ring[PIPE_GUEST].capacity) {
		stream_broken(stream, "a frame has an impossible length");
		return -EPROTO;
	}
	*ret_need += skip;
	return 0;
}

static bool is_answer(const struct frame *frame)
{
	return frame->type == 0 || (frame->flags & FRAME_REPLY) != 0;
}

int stream_frame_from(struct stream *stream, size_t *skip, struct frame *ret_frame,
	const unsigned char **ret_body)
{
	size_t announced = 0; /* bytes from the start of the ring's */
	for (;;) {
		struct ring_span span = ring_peek(&stream->pipe.in);
		size_t need;
		if (ring_consumer_broken(&stream->pipe.in)) {
			stream_broken(stream, "impossible ring positions");
			return -EPROTO;
		}
		if (frame_need(stream, &span, *skip, ret_frame, &need) < 0)
			return -EPROTO;
		if (span.len >= need && stream->turn == 0) {
			/* The rest comes after the others have had their turn. */
			loop_again(stream->loop, stream->slot);
			return 0;
		}
		if (span.len >= need)
			stream->turn--;
		if (span.len >= need && is_answer(ret_frame)) {
			/* To nothing that was asked: dropped, PROTOCOL.md section 2. */
			*skip = need;
			continue;
		}
		if (span.len >= need) {
			*ret_body = span.data + *skip + FRAME_HEADER_LEN;
			return 1;
		}
		if (span.end != 0 || stream->guest_closed)
			return -EPIPE;
		/* There is no room for the rest before some of what is skipped is consumed. */
		if (announced == need || need > stream->ring[PIPE_GUEST].capacity)
			return 0;
		/* Announce, look again (the next round), then leave it to the bell. A look that
		 * finds the header and not the rest waits for more than was announced. */
		ring_await_data(&stream->pipe.in, need);
		announced = need;
	}
}

int stream_frame(struct stream *stream, struct frame *ret_frame, const unsigned char **ret_body)
{
	size_t dropped = 0;
	int result = stream_frame_from(stream, &dropped, ret_frame, ret_body);

	if (dropped > 0) {
		ring_consume(&stream->pipe.in, dropped);
		stream_flush(stream);
	}
	return result;
}

bool stream_frame_behind(
	struct stream *stream, size_t skip, struct frame *ret_frame, const unsigned char **ret_body)
{
	struct ring_span span = ring_peek(&stream->pipe.in);
	if (stream->turn == 0 || span.len <= skip ||
		frame_decode(ret_frame, span.data + skip, span.len - skip) != 1 ||
		ret_frame->length > span.len - skip || is_answer(ret_frame))
		return false;
	stream->turn--;
	*ret_body = span.data + skip + FRAME_HEADER_LEN;
	return true;
}

void stream_frame_done(struct stream *stream, const struct frame *frame)
{
	ring_consume(&stream->pipe.in, frame->length);
	stream_flush(stream);
}

bool stream_room(struct stream *stream, size_t len)
{
	struct ring_span room = ring_reserve(&stream->pipe.out);
	if (room.len >= len || room.end != 0)
		return true;
	ring_await_room(&stream->pipe.out, len);
	room = ring_reserve(&stream->pipe.out);
	return room.len >= len || room.end != 0;
}

void stream_send(struct stream *stream, const struct wire_message *message,
	const struct frame *frame, const void *body)
{
	struct ring_span room = ring_reserve(&stream->pipe.out);
	if (room.end != 0)
		return; /* nobody reads it */
	size_t len = FRAME_HEADER_LEN;
	if (message != NULL) {
		len = wire_encode(message, frame, body, room.data, room.len);
		assert(len != 0);
	} else {
		struct frame header = *frame;
		header.length = FRAME_HEADER_LEN;
		assert(room.len >= FRAME_HEADER_LEN);
		frame_encode(&header, room.data);
	}
	ring_commit_rewind(&stream->pipe.out, len);
	stream_flush(stream);
}

void stream_send_error(struct stream *stream, uint16_t type, uint32_t request_id, int error)
{
	struct frame frame = {
		.type = type,
		.flags = FRAME_REPLY,
		.request_id = request_id,
		.error = wire_error_number(error),
	};
	stream_send(stream, NULL, &frame, NULL);
}
