/*
 * Whole files that are written, each by a stream of its own: the caller fills the ring itself,
 * right behind the header of the frame that its bytes become.
 */
#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/place.h"
#include "guest/stream/stream.h"

/* What comes back is small, but half of the smaller ring is the longest frame. */
#define WHOLE_TO_HOST_CAPACITY  (1u << 20)
#define WHOLE_TO_GUEST_CAPACITY (1u << 20)
#define WHOLE_PIECE             (256u << 10) /* bytes of a frame: others are filled while one is written */
#define WHOLE_REQUEST           2u

struct upload {
	struct stream *stream;
	long (*source)(void *argument, void *ret_bytes, size_t room);
	void *argument;
	size_t piece;  /* the most bytes of a frame */
	bool answered; /* before the end: why is in 'error' */
	int error;
	struct fs_file_written written;
};

static int take_answer(struct upload *upload, const struct frame *frame, const unsigned char *body)
{
	if (frame->error)
		return -(int)(frame->error & 0xffff);
	if (frame->type != FS_WRITE_FILE)
		return -EPROTO;
	return wire_decode(&fs_replies[FS_WRITE_FILE - STREAM_FIRST], &upload->written, body,
		frame->length - FRAME_HEADER_LEN);
}

/* The answer, if it has come: then nothing more is of use. */
static void look_for_answer(struct upload *upload, deadline until)
{
	const unsigned char *body;
	struct frame frame;
	int error = frame_await(upload->stream, &frame, &body, until);

	if (error == -ETIMEDOUT && until == NO_WAIT)
		return;
	upload->answered = true;
	if (error) {
		upload->error = error == -EPIPE ? -EIO : error;
		return;
	}
	upload->error = take_answer(upload, &frame, body);
	frame_done(upload->stream, &frame);
}

/* One frame of what the source has. The bytes, 0 behind the last, or an errno. */
static long send_piece(struct upload *upload, deadline until)
{
	struct frame frame = {.type = FS_WRITE_DATA, .request_id = WHOLE_REQUEST};
	size_t least = FS_DATA_HEAD_MOST + upload->piece;
	unsigned char *room, *bytes;
	long got = stream_reserve(upload->stream, &room, least, until);

	if (got < 0)
		return got;
	bytes = fs_data_place(room);
	got = upload->source(upload->argument, bytes, upload->piece);
	if (got < 0)
		return got;
	frame.length = (uint32_t)((size_t)(bytes - room) + (size_t)got);
	frame.flags = got > 0 ? FRAME_MORE : 0;
	frame_encode(&frame, room);
	stream_commit(upload->stream, frame.length);
	return got;
}

static int send_pieces(struct upload *upload, deadline until)
{
	long got = 1;

	while (got > 0 && !upload->answered) {
		got = send_piece(upload, until);
		look_for_answer(upload, NO_WAIT);
	}
	return got < 0 && !upload->answered ? (int)got : 0;
}

static int open_stream(struct upload *upload, const struct mount_path *at, deadline until)
{
	struct fs_mount payload = {mount_directory(at)};
	struct fs_mounted mounted;
	int error = stream_open_protocol(upload->stream, PROTOCOL_FS, &fs_mount_message, &payload,
		&fs_mounted_message, &mounted, until);

	if (error)
		return error;
	if (!(mounted.operations >> (FS_WRITE_FILE - STREAM_FIRST) & 1))
		return -ENOTSUP;
	if (mounted.max_frame < RING_CAPACITY_MIN)
		return -EPROTO;
	upload->piece = mounted.max_frame - FS_DATA_HEAD_MOST;
	if (upload->piece > WHOLE_PIECE)
		upload->piece = WHOLE_PIECE;
	return 0;
}

static int write_on_stream(struct upload *upload, const struct mount_path *at, uint32_t flags,
	uint32_t mode, deadline until)
{
	struct fs_write_file request = {
		.flags = flags | FS_OPEN_WRITE, .mode = mode, .path = bytes_of(at->relative)};
	struct frame frame = {.flags = FRAME_MORE, .request_id = WHOLE_REQUEST};
	int error = open_stream(upload, at, until);

	if (!error)
		error = frame_send(upload->stream, NULL, &fs_requests[FS_WRITE_FILE - STREAM_FIRST],
			&frame, &request, until);
	if (!error)
		error = send_pieces(upload, until);
	if (!error && !upload->answered)
		look_for_answer(upload, until);
	return error ? error : upload->error;
}

int file_write_whole(const char *path, uint32_t flags, uint32_t mode,
	long (*source)(void *argument, void *ret_bytes, size_t room), void *argument,
	struct fs_attributes *ret_attributes, deadline until)
{
	struct upload upload = {.source = source, .argument = argument};
	struct mount_path at;
	int error = mount_resolve(path, &at);

	if (!error && at.boot)
		return -EROFS;
	if (!error)
		error = control_new_stream(
			WHOLE_TO_HOST_CAPACITY, WHOLE_TO_GUEST_CAPACITY, &upload.stream, until);
	if (error)
		return error;
	error = write_on_stream(&upload, &at, flags, mode, until);
	stream_close(upload.stream);
	if (!error && ret_attributes)
		*ret_attributes = upload.written.attributes;
	return error;
}
