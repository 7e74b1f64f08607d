/*
 * Replies. What is ready is sent first come, first served, as the ring has room. Bytes of a file
 * that lie in memory are read into the ring at once. Others have to come from a disk, or from a
 * server. When nothing else is under way a disk may fill a span of the ring; then nothing else can
 * be sent before it has. Else they are read into memory aside, any number at a time, and copied
 * when they are there: next to what a disk takes that is little. A whole file goes to the end of
 * the queue after each frame, so that what is small does not wait for what is large.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/stats.h"
#include "protocol/error.h"

static const struct wire_message unsupported =
	WIRE_MESSAGE_EMPTY("Unsupported", STREAM_UNSUPPORTED);

static const struct wire_message *reply_message(const struct fs_request *request)
{
	if (request->operation == NULL)
		return &unsupported;
	return &fs_replies[request->frame.type - STREAM_FIRST];
}

/* ---- replies that are complete */

static size_t answer_len(const struct fs_request *request)
{
	if (request->result < 0)
		return FRAME_HEADER_LEN;
	return wire_encoded_len(reply_message(request), &request->reply);
}

static void send_answer(struct fs_request *request)
{
	struct ring_producer *out = &request->fs->stream->pipe.out;
	struct ring_span span = ring_reserve(out);
	struct frame frame = {
		.flags = FRAME_REPLY | (request->more_replies ? FRAME_MORE : 0),
		.request_id = request->frame.request_id,
		.error = request->result < 0 ? wire_error_number(-request->result) : 0,
	};

	ring_commit_rewind(out,
		wire_encode(reply_message(request), &frame, &request->reply, span.data, span.len));
	fs_request_free(request);
}

/* ---- bytes of files */

/*
 * Of the attributes that go ahead of the first bytes: with them they are one commit, and one
 * wake.
 */
static size_t lead_len(const struct fs_request *request)
{
	return request->attributes_due ? FRAME_HEADER_LEN + sizeof(struct fs_attributes) : 0;
}

static size_t chunk_len(const struct fs_request *request)
{
	size_t most = request->fs->max_frame - FS_DATA_HEAD_MOST - lead_len(request);

	if (request->aside != NULL)
		return request->aside_len;
	if (request->whole_file && most > FS_CHUNK)
		most = FS_CHUNK;
	return request->file_left < most ? (size_t)request->file_left : most;
}

static void write_lead(struct fs_request *request, unsigned char *at, size_t room)
{
	struct frame frame = {
		.flags = FRAME_REPLY | FRAME_MORE, .request_id = request->frame.request_id};

	request->file_lead = 0;
	if (request->attributes_due)
		request->file_lead = wire_encode(&fs_replies[FS_READ_FILE - STREAM_FIRST], &frame,
			&request->reply.attributes, at, room);
	request->attributes_due = false;
}

/* The bytes are where fs_data_place wants them: writes their header and commits. Is the request
 * done with? */
static bool commit_data(struct fs_request *request, size_t len)
{
	struct ring_producer *out = &request->fs->stream->pipe.out;
	struct ring_span span = ring_reserve(out);

	request->file_offset += len;
	request->file_left -= len;
	bool more = request->whole_file && len > 0 && request->file_left > 0;
	unsigned char *at = span.data + request->file_lead;
	struct frame frame = {
		.length = (uint32_t)((size_t)(fs_data_place(at) - at) + len),
		.type = request->frame.type,
		.flags = FRAME_REPLY | (more ? FRAME_MORE : 0),
		.request_id = request->frame.request_id,
	};
	frame_encode(&frame, at);
	ring_commit_rewind(out, request->file_lead + frame.length);
	stats.bytes_to_guest += len;
	return !more;
}

static void after_data(struct fs_request *request, size_t len)
{
	if (commit_data(request, len))
		fs_request_free(request);
	else
		fs_queue_push(&request->fs->ready, request);
}

static void read_done(struct io_op *op, int result)
{
	struct fs_request *request = io_container(op, struct fs_request, op);
	struct fs_stream *fs = request->fs;

	fs->reading = NULL;
	if (ring_reserve(&fs->stream->pipe.out).end != 0) {
		fs_request_free(request);
	} else if (result < 0) {
		fs_request_go_on(request, result);
	} else {
		after_data(request, (size_t)result);
	}
	fs_pump(fs);
}

/*
 * What lies in memory is had at once: an operation of io is a turn of the loop for each. Less than
 * all of it can mean that the rest is not in memory, and to the guest it would be the end of the
 * file; at the file's position what was read is read. The bytes of a turn are bounded, for the
 * other streams.
 */
static bool read_now(struct fs_request *request, unsigned char *to)
{
	struct fs_stream *fs = request->fs;
	size_t len = request->file_chunk;
	long got = io_read_now(request->file_fd, to, len, request->file_offset);

	if (got != (long)len && (got <= 0 || request->file_offset != FS_POSITION))
		return false;
	fs->read_left -= (size_t)got < fs->read_left ? (size_t)got : fs->read_left;
	after_data(request, (size_t)got);
	return true;
}

/* ---- memory aside */

static bool fits_aside(const struct fs_stream *fs, const struct fs_request *request)
{
	return fs->aside == 0 || fs->aside + request->file_chunk <= FS_ASIDE_MOST;
}

static void aside_done(struct io_op *op, int result)
{
	struct fs_request *request = io_container(op, struct fs_request, op);
	struct fs_stream *fs = request->fs;

	if (result < 0) {
		fs_reply_drop_aside(request);
		fs_request_go_on(request, result);
	} else {
		request->aside_len = (size_t)result;
		fs_queue_push(&fs->ready, request);
	}
	fs_pump(fs);
}

static void read_aside(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;

	if (!fits_aside(fs, request)) {
		fs_queue_push(&fs->cold, request);
		return;
	}
	request->aside = malloc(request->file_chunk + 1); /* of no bytes, too */
	if (request->aside == NULL) {
		fs_request_go_on(request, -ENOMEM);
		return;
	}
	fs->aside += request->file_chunk;
	request->op.done = aside_done;
	io_read(fs_io(fs), &request->op, request->file_fd, request->aside, request->file_chunk,
		request->file_offset);
}

void fs_reply_drop_aside(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;

	if (request->aside == NULL)
		return;
	free(request->aside);
	request->aside = NULL;
	fs->aside -= request->file_chunk;
	while (fs->cold.first != NULL && fits_aside(fs, fs->cold.first))
		read_aside(fs_queue_pop(&fs->cold));
}

static void send_aside(struct fs_request *request, unsigned char *to)
{
	size_t len = request->aside_len;

	memcpy(to, request->aside, len);
	fs_reply_drop_aside(request);
	after_data(request, len);
}

/* ---- bytes of files, by whichever way */

/* A server or a daemon may take for ever. */
static bool may_own_span(const struct fs_request *request)
{
	return request->fs->in_flight == 1 && fs_asks_nobody(request->fs, request->file_fd);
}

static void read_from_disk(struct fs_request *request, unsigned char *to)
{
	struct fs_stream *fs = request->fs;

	if (!may_own_span(request)) {
		request->attributes_due = request->file_lead > 0;
		read_aside(request);
		return;
	}
	fs->reading = request;
	request->op.done = read_done;
	io_read(fs_io(fs), &request->op, request->file_fd, to, request->file_chunk,
		request->file_offset);
}

static void send_data(struct fs_request *request)
{
	struct ring_span span = ring_reserve(&request->fs->stream->pipe.out);

	if (request->aside == NULL)
		request->file_chunk = chunk_len(request);
	write_lead(request, span.data, span.len);
	unsigned char *to = fs_data_place(span.data + request->file_lead);
	if (request->aside != NULL)
		send_aside(request, to);
	else if (request->whole_file && request->file_chunk == 0)
		after_data(request, 0);
	else if (!read_now(request, to))
		read_from_disk(request, to);
}

/* ---- the queue */

/* Can the guest still be sent something? Notes when not. */
static bool look_at_reader(struct fs_stream *fs)
{
	int end = ring_reserve(&fs->stream->pipe.out).end;

	if (end == -RING_EPROTO && !fs->broken) {
		stream_broken(fs->stream, "impossible ring positions");
		fs->broken = true;
		fs_input_end(fs);
	}
	fs->unread = fs->unread || end != 0;
	return !fs_mute(fs);
}

static size_t room_for(const struct fs_request *request)
{
	if (!request->sends_data)
		return answer_len(request);
	return lead_len(request) + FS_DATA_HEAD_MOST + chunk_len(request);
}

/*
 * Is there room for all of its frame? If not, the guest's reading will signal: once, for a
 * file, when half of the ring is free, so that what follows fills that half without a wake each.
 */
static bool has_room(const struct fs_request *request)
{
	struct stream *stream = request->fs->stream;
	size_t least = room_for(request);
	size_t wait = least;

	if (request->sends_data && wait < stream->ring[PIPE_HOST].capacity / 2)
		wait = stream->ring[PIPE_HOST].capacity / 2;
	return ring_reserve(&stream->pipe.out).len >= least || stream_room(stream, wait);
}

/* Are there bytes left of this turn? If not, it goes on in the next. */
static bool has_turn(const struct fs_request *request)
{
	if (request->sends_data && request->fs->read_left == 0)
		fs_again(request->fs);
	return !request->sends_data || request->fs->read_left > 0;
}

void fs_reply_send(struct fs_stream *fs)
{
	while (fs->reading == NULL && fs->ready.first != NULL) {
		struct fs_request *request = fs->ready.first;

		/* A reader's end is room enough. */
		if (!fs_mute(fs) && (!has_turn(request) || !has_room(request)))
			return;
		fs_queue_pop(&fs->ready);
		if (!look_at_reader(fs))
			fs_request_free(request);
		else if (request->sends_data)
			send_data(request);
		else
			send_answer(request);
	}
}
