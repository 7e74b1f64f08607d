/*
 * Files on their way to streams: the monitor reads them straight into the room of the ring that
 * this side writes, and may send them before this side has committed them (PROTOCOL.md section
 * 5.16). So once it was asked, the bytes have to be committed, or the stream ended.
 */
#include "guest/stream/fs.h"
#include "guest/stream/stream.h"
#include "guest/stream/wait.h"

#define INTO_MOST (256u << 10) /* bytes at a time */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Into the room behind the lead. The bytes that are there, or an errno. */
static long read_into(struct stream *stream, size_t lead, struct file *file, uint64_t offset,
	size_t len, deadline until)
{
	struct fs_read_into request = {.handle = file->handle,
		.length = (uint32_t)smaller(len, INTO_MOST),
		.offset = offset,
		.stream_id = stream->id,
		.position = ring_reserved_at(&stream->pipe.out) + lead,
		.flags = FS_INTO_AHEAD,
		.lead = (uint32_t)lead};
	struct fs_was_read answer;
	struct fs_call call = {.type = FS_READ_INTO, .request = &request, .reply = &answer};
	int error;

	/* Not asked for, it costs nothing. */
	if (until == NO_WAIT || !fs_usable(file->client))
		return until == NO_WAIT ? -ETIMEDOUT : -EIO;
	stream->filling = true;
	error = fs_perform(file->client, &call, until);
	stream->filling = false;
	wait_list_wake(&stream->waiters);
	if (!error && answer.length > request.length)
		error = -EPROTO;
	/* What was sent, and what may still be written here, is known by a good answer or a
	 * refusal. */
	if (error == -EPROTO || (error && !call.answers))
		stream_fail(stream, error == -ETIMEDOUT ? ETIMEDOUT : EIO);
	return error ? error : (long)answer.length;
}

/* A monitor that does not know ReadInto: the bytes come in the reply, and are copied. */
static long copy_into(struct stream *stream, size_t lead, struct file *file, uint64_t offset,
	size_t len, deadline until)
{
	const struct ring_producer *out = &stream->pipe.out;
	uint64_t position = ring_reserved_at(out) + lead;
	unsigned char *room = out->data + (position & (out->capacity - 1));
	long got;

	stream->filling = true;
	got = file_pread(file, room, len, offset, until);
	stream->filling = false;
	wait_list_wake(&stream->waiters);
	return got;
}

/* One piece of what is left, into room that is reserved. */
static long send_piece(struct stream *stream, size_t lead, struct file *file, uint64_t offset,
	size_t left, deadline until)
{
	size_t room = ring_reserved_len(&stream->pipe.out);
	long got;

	if (lead > room)
		return stream->pipe.out.end ? stream->pipe.out.end : -EINVAL;
	left = smaller(left, room - lead);
	if (left == 0) {
		stream_commit(stream, lead);
		return 0;
	}
	if (file->client && fs_supports(file->client, FS_READ_INTO))
		got = read_into(stream, lead, file, offset, left, until);
	else
		got = copy_into(stream, lead, file, offset, left, until);
	if (got >= 0)
		stream_commit(stream, lead + (size_t)got);
	return got;
}

static long reserve(struct stream *stream, size_t left, deadline until)
{
	size_t worthwhile = stream_write_capacity(stream) / 4;
	unsigned char *room;

	return stream_reserve(stream, &room, smaller(left, worthwhile), until);
}

long stream_send_file(struct stream *stream, size_t lead, struct file *file, uint64_t offset,
	size_t len, deadline until)
{
	size_t done = 0;
	long got = 1;

	/* A lead goes alone when it leaves no room, or nothing is to follow it. */
	if (lead && (len == 0 || lead == ring_reserved_len(&stream->pipe.out))) {
		got = send_piece(stream, lead, file, offset, 0, until);
		lead = 0;
		got += got == 0;
	}
	while (done < len && got > 0) {
		got = lead ? 0 : reserve(stream, len - done, until);
		if (got >= 0)
			got = send_piece(stream, lead, file, offset + done, len - done, until);
		if (got > 0)
			done += (size_t)got;
		lead = 0;
	}
	return done || got > 0 ? (long)done : got;
}
