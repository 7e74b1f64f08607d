/*
 * Files on their way to streams: the monitor reads them straight into the room of the ring that
 * this side writes (PROTOCOL.md section 5.16).
 */
#include "guest/stream/fs.h"
#include "guest/stream/stream.h"

#define INTO_MOST (128u << 10) /* bytes at a time */

static long read_into(struct file *file, struct stream *stream, size_t at, size_t len,
	uint64_t offset, deadline until)
{
	struct fs_read_into request = {.handle = file->handle,
		.length = (uint32_t)len,
		.offset = offset,
		.stream_id = stream->id,
		.position = ring_reserved_at(&stream->pipe.out) + at};
	struct fs_was_read answer;
	struct fs_call call = {
		.type = FS_READ_INTO, .request = &request, .reply = &answer, .into = stream};
	int error = fs_perform(file->client, &call, until);

	if (error)
		return error;
	return answer.length > len ? -EPROTO : (long)answer.length;
}

/* A monitor that does not know ReadInto: the bytes come in the reply, and are copied. */
static long copy_into(struct file *file, struct stream *stream, size_t at, size_t len,
	uint64_t offset, deadline until)
{
	const struct ring_producer *out = &stream->pipe.out;
	uint64_t position = ring_reserved_at(out) + at;

	return file_read(file, out->data + (position & (out->capacity - 1)), len, offset, until);
}

long file_read_into(struct file *file, struct stream *stream, size_t at, size_t len,
	uint64_t offset, deadline until)
{
	size_t room = ring_reserved_len(&stream->pipe.out);

	if (stream->filling)
		return -EBUSY;
	if (at > room || len > room - at)
		return -EINVAL;
	if (!fs_supports(file->client, FS_READ_INTO))
		return copy_into(file, stream, at, len, offset, until);
	return read_into(file, stream, at, len < INTO_MOST ? len : INTO_MOST, offset, until);
}

/* Reserves, reads and commits one piece of what is left. */
static long send_piece(
	struct stream *stream, struct file *file, uint64_t offset, size_t left, deadline until)
{
	size_t worthwhile = stream_write_capacity(stream) / 4;
	unsigned char *room;
	long got = stream_reserve(stream, &room, left < worthwhile ? left : worthwhile, until);

	if (got < 0)
		return got;
	if ((size_t)got < left)
		left = (size_t)got;
	got = file_read_into(file, stream, 0, left, offset, until);
	if (got > 0)
		stream_commit(stream, (size_t)got);
	return got;
}

long stream_send_file(
	struct stream *stream, struct file *file, uint64_t offset, size_t len, deadline until)
{
	size_t done = 0;
	long got = 1;

	while (done < len && got > 0) {
		got = send_piece(stream, file, offset + done, len - done, until);
		if (got > 0)
			done += (size_t)got;
	}
	return done || got > 0 ? (long)done : got;
}
