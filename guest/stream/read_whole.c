/*
 * Whole files that are read. file_read_whole has a stream of its own: a caller that is slow to take
 * the pieces holds up nobody else's requests, and the pieces are handed over where they lie in the
 * ring.
 */
#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/boot.h"
#include "guest/stream/place.h"
#include "guest/stream/stream.h"

#define WHOLE_TO_HOST_CAPACITY  (512u << 10) /* half of the smaller ring is the longest frame */
#define WHOLE_TO_GUEST_CAPACITY (512u << 10)

struct whole {
	struct stream *stream;
	int (*sink)(void *argument, const struct fs_attributes *attributes, const void *bytes,
		size_t len);
	void *argument;
	struct fs_attributes attributes;
	bool begun; /* the attributes came */
};

static int take_piece(struct whole *whole, const struct frame *frame, const unsigned char *body)
{
	size_t len = frame->length - FRAME_HEADER_LEN;
	struct wire_bytes bytes;
	int error;

	if (frame->error)
		return -(int)(frame->error & 0xffff);
	if (frame->type != FS_READ_FILE)
		return -EPROTO;
	if (whole->begun) {
		error = fs_data_find(body, len, &bytes);
		if (error || !bytes.len)
			return error;
		return whole->sink(whole->argument, &whole->attributes, bytes.data, bytes.len);
	}
	whole->begun = true;
	error = wire_decode(&fs_attributes_message, &whole->attributes, body, len);
	return error ? error : whole->sink(whole->argument, &whole->attributes, "", 0);
}

static int take_pieces(struct whole *whole, deadline until)
{
	const unsigned char *body;
	struct frame frame;
	int error;

	do {
		error = frame_await(whole->stream, &frame, &body, until);
		if (error)
			return error == -EPIPE ? -EIO : error;
		error = take_piece(whole, &frame, body);
		frame_done(whole->stream, &frame);
	} while (!error && frame.flags & FRAME_MORE);
	return error;
}

static int read_on_stream(struct whole *whole, const struct mount_path *at, uint64_t offset,
	uint64_t length, deadline until)
{
	struct fs_mount payload = {mount_directory(at)};
	struct fs_mounted mounted;
	struct fs_read_file request = {
		.offset = offset, .length = length, .path = {at->relative, strlen(at->relative)}};
	struct frame frame = {.request_id = 2};
	int error = stream_open_protocol(whole->stream, PROTOCOL_FS, &fs_mount_message, &payload,
		&fs_mounted_message, &mounted, until);

	if (!error)
		error = frame_send(whole->stream, NULL, &fs_requests[FS_READ_FILE - STREAM_FIRST],
			&frame, &request, until);
	return error ? error : take_pieces(whole, until);
}

/* Handed over where it lies. */
static int read_in_boot(
	const char *path, uint64_t offset, uint64_t length, const struct whole *whole)
{
	struct file *file;
	int error = file_open(&file, path, FS_OPEN_READ, 0, FOREVER);

	if (error)
		return error;
	const struct fs_attributes *of = &file->attributes;
	uint64_t left = offset < of->size ? of->size - offset : 0;
	if (of->mode >> 12 == FILE_TYPE_DIRECTORY)
		error = -EISDIR;
	if (!error)
		error = whole->sink(whole->argument, of, "", 0);
	if (!error && left > 0 && length > 0)
		error = whole->sink(whole->argument, of, file->node->data + offset,
			(size_t)(left < length ? left : length));
	file_close(file);
	return error;
}

/* All that fits. */
static long copy_in_boot(
	const char *path, void *bytes, size_t len, struct fs_attributes *attributes)
{
	struct file *file;
	long got = file_open(&file, path, FS_OPEN_READ, 0, FOREVER);

	if (got < 0)
		return got;
	if (attributes)
		*attributes = file->attributes;
	got = file_pread(file, bytes, len, 0, FOREVER);
	file_close(file);
	return got;
}

int file_read_whole(const char *path, uint64_t offset, uint64_t length,
	int (*sink)(void *argument, const struct fs_attributes *attributes, const void *bytes,
		size_t len),
	void *argument, deadline until)
{
	struct whole whole = {.sink = sink, .argument = argument};
	struct mount_path at;
	int error = mount_resolve(path, &at);

	if (!error && at.boot)
		return read_in_boot(path, offset, length, &whole);
	if (!error)
		error = control_new_stream(
			WHOLE_TO_HOST_CAPACITY, WHOLE_TO_GUEST_CAPACITY, &whole.stream, until);
	if (error)
		return error;
	error = read_on_stream(&whole, &at, offset, length, until);
	stream_close(whole.stream);
	return error;
}

long path_read(const char *path, void *ret_bytes, size_t len, struct fs_attributes *ret_attributes,
	deadline until)
{
	struct place place;
	struct fs_read_file request = {.length = len};
	struct fs_call call = {.type = FS_READ_FILE,
		.request = &request,
		.reply = ret_attributes,
		.bytes = ret_bytes,
		.room = len};
	int error = place_find(&place, NULL, path, until);

	if (error)
		return error;
	if (!place.client)
		return copy_in_boot(path, ret_bytes, len, ret_attributes);
	request.path = place.path;
	error = place_perform(&place, &call, until);
	place_leave(&place);
	return error ? error : (long)call.len;
}
