#include "guest/stream/fiber.h"
#include "guest/stream/stream.h"

/* Room for the payload of an Open frame: a path or a host name, and fixed fields. */
#define OPEN_PAYLOAD_MAX (FS_PATH_MAX + 64)

int frame_send_now(struct stream *stream, const struct wire_message *message,
	const struct frame *frame, const void *body)
{
	struct ring_span span = ring_reserve(&stream->pipe.out);
	size_t len;

	if (span.end)
		return span.end;
	len = wire_encode(message, frame, body, span.data, span.len);
	if (len == 0)
		return -EAGAIN;
	stream_commit(stream, len);
	return 0;
}

int frame_send_soon(struct stream *stream, const struct wire_message *message,
	const struct frame *frame, const void *body)
{
	int error = frame_send_now(stream, message, frame, body);

	if (error != -EAGAIN)
		return error;
	/* Announced, it has to be looked for once more. A fiber that waits for more announces it
	 * again when woken. */
	ring_await_room(&stream->pipe.out, wire_encoded_len(message, body));
	return frame_send_now(stream, message, frame, body);
}

/* With the mutex held. No other fiber comes between the room and the frame, so frames are never
 * mixed. */
static int send_when_room(struct stream *stream, const struct wire_message *message,
	const struct frame *frame, const void *body, deadline until)
{
	size_t len = frame->error ? FRAME_HEADER_LEN : wire_encoded_len(message, body);
	unsigned char *room;
	long got;

	if (len == 0 || len > stream_write_capacity(stream) || len > FRAME_LEN_MAX)
		return -EMSGSIZE;
	got = stream_reserve(stream, &room, len, until);
	if (got < 0)
		return (int)got;
	stream_commit(stream, wire_encode(message, frame, body, room, (size_t)got));
	return 0;
}

int frame_send(struct stream *stream, struct fiber_mutex *mutex, const struct wire_message *message,
	const struct frame *frame, const void *body, deadline until)
{
	int error;

	if (mutex && (error = fiber_lock(mutex, until)) != 0)
		return error;
	error = send_when_room(stream, message, frame, body, until);
	if (mutex)
		fiber_unlock(mutex);
	return error;
}

/* How many bytes a look has to find: the whole frame once its header is there. 0 when the frame is
 * complete. */
static long missing(
	struct stream *stream, struct frame *ret_frame, const unsigned char *data, size_t len)
{
	int known = frame_decode(ret_frame, data, len);

	if (known < 0)
		return known;
	if (known == 0)
		return FRAME_HEADER_LEN;
	if (ret_frame->length > stream_read_capacity(stream))
		return -EPROTO;
	return ret_frame->length > len ? (long)ret_frame->length : 0;
}

int frame_await(struct stream *stream, struct frame *ret_frame, const unsigned char **ret_body,
	deadline until)
{
	const unsigned char *data;
	long need = FRAME_HEADER_LEN;

	do {
		long got = stream_peek(stream, &data, (size_t)need, until);

		if (got < 0)
			return (int)got;
		if (got < need)
			return -EPIPE;
		need = missing(stream, ret_frame, data, (size_t)got);
	} while (need > 0);
	*ret_body = data + FRAME_HEADER_LEN;
	return (int)need;
}

int frame_await_now(struct stream *stream, struct frame *ret_frame, const unsigned char **ret_body)
{
	struct ring_consumer *in = &stream->pipe.in;
	size_t announced = 0;

	for (;;) {
		struct ring_span span = ring_peek(in);
		long need = span.len ? missing(stream, ret_frame, span.data, span.len)
				     : (long)FRAME_HEADER_LEN;

		if (need <= 0) {
			*ret_body = span.data + FRAME_HEADER_LEN;
			return (int)need;
		}
		if (span.end)
			return span.end < 0 && span.len == 0 ? span.end : -EPIPE;
		if (announced == (size_t)need)
			return -EAGAIN;
		/* Announced, it has to be looked for once more. Partner: the monitor's
		 * ring_wake_consumer. */
		ring_await_data(in, (size_t)need);
		announced = (size_t)need;
	}
}

void frame_done(struct stream *stream, const struct frame *frame)
{
	stream_consume(stream, frame->length);
}

void frame_refuse(struct stream *stream, const struct frame *frame)
{
	struct frame reply = {
		.flags = FRAME_REPLY, .request_id = frame->request_id, .error = ENOTSUP};

	if (!(frame->flags & FRAME_REPLY))
		frame_send_now(stream, &control_messages[CONTROL_UNSUPPORTED], &reply, NULL);
}

int stream_send_open(struct stream *stream, enum protocol_number protocol,
	const struct wire_message *payload_message, const void *payload, deadline until)
{
	unsigned char bytes[OPEN_PAYLOAD_MAX];
	size_t len = wire_encode_body(payload_message, payload, bytes, sizeof(bytes));
	struct stream_open open = {protocol, PROTOCOL_VERSION, {bytes, len}};
	struct frame frame = {.request_id = 1};

	if (len == 0 && payload_message->field_count != 0)
		return -EINVAL;
	return frame_send(stream, NULL, &stream_open_message, &frame, &open, until);
}

int stream_await_opened(struct stream *stream, const struct wire_message *opened_message,
	void *ret_opened, deadline until)
{
	const unsigned char *body;
	struct frame frame;
	int error = frame_await(stream, &frame, &body, until);

	if (error)
		return error;
	if (frame.error)
		error = -(int)(frame.error & 0xffff);
	else if (frame.type != STREAM_OPENED)
		error = -EPROTO;
	else if (opened_message)
		error = wire_decode(
			opened_message, ret_opened, body, frame.length - FRAME_HEADER_LEN);
	frame_done(stream, &frame);
	return error;
}

int stream_open_protocol(struct stream *stream, enum protocol_number protocol,
	const struct wire_message *payload_message, const void *payload,
	const struct wire_message *opened_message, void *ret_opened, deadline until)
{
	int error = stream_send_open(stream, protocol, payload_message, payload, until);

	return error ? error : stream_await_opened(stream, opened_message, ret_opened, until);
}

uint32_t stream_timeout_ms(deadline until)
{
	uint64_t now = clock_now();

	if (until == FOREVER)
		return 0;
	if (until <= now)
		return 1;
	return (until - now) / 1000000 < UINT32_MAX ? (uint32_t)((until - now) / 1000000) + 1
						    : UINT32_MAX;
}
