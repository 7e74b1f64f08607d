/*
 * Writing: straight from the ring. The frame of a write stays in the ring until the file system has
 * its bytes; requests behind it are taken meanwhile, and writes may be done in any order. The ring
 * is consumed up to the oldest one that is under way, so a file system that does not answer stops
 * its stream when the ring is full of what was sent behind it, and not before.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <limits.h>

#include "monitor/stats.h"

/* ---- what of the ring is in use */

void fs_write_enter(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;

	if (fs->writes == NULL)
		fs->last_write = &fs->writes;
	request->next_write = NULL;
	request->in_ring = true;
	*fs->last_write = request;
	fs->last_write = &request->next_write;
}

void fs_write_leave(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;
	struct fs_request **link = &fs->writes;

	if (!request->in_ring)
		return;
	while (*link != request)
		link = &(*link)->next_write;
	*link = request->next_write;
	if (fs->last_write == &request->next_write)
		fs->last_write = link;
	request->in_ring = false;
	fs_write_consume(fs);
}

void fs_write_consume(struct fs_stream *fs)
{
	struct ring_consumer *in = &fs->stream->pipe.in;
	size_t len = fs->taken;

	/* Positions do not jump (DATAPIPE.md section 3.4) while bytes lie in the ring. */
	if (fs->writes != NULL)
		len = (size_t)(fs->writes->end - fs->writes->frame.length -
			       ring_consumer_position(in));
	if (len == 0)
		return;
	ring_consume(in, len);
	fs->taken -= len;
}

/* ---- writing */

static void write_done(struct io_op *op, int result)
{
	struct fs_request *request = io_container(op, struct fs_request, op);
	struct fs_stream *fs = request->fs;
	int error = result < 0 ? result : 0;

	if (result > 0) {
		request->written += (size_t)result;
		stats.bytes_to_host += (uint64_t)result;
		if (request->written < request->bytes.len) {
			fs_write_begin(request);
			return;
		}
	}
	/* No byte and no error although some were to be written: the medium takes no more. */
	if (result == 0 && request->written < request->bytes.len)
		error = -EIO;
	fs_write_leave(request);
	if (request->upload != NULL) {
		fs_write_data_done(request, error);
	} else {
		/* What was written counts; why the rest was not, the next write will say. */
		request->reply.written.length = (uint32_t)request->written;
		fs_request_go_on(request, request->written == 0 && error < 0 ? error : FS_ANSWER);
	}
	fs_pump(fs);
}

void fs_write_begin(struct fs_request *request)
{
	const unsigned char *bytes = request->bytes.data;
	uint64_t offset = request->write_offset;

	if (offset != UINT64_MAX)
		offset += request->written;
	request->op.done = write_done;
	io_write(fs_io(request->fs), &request->op, request->directory[0], bytes + request->written,
		request->bytes.len - request->written, offset);
}

/* ---- the request */

int fs_write_turn(struct fs_request *request)
{
	if (request->upload != NULL && fs_write_file_failed(request->upload)) {
		fs_write_leave(request);
		fs_write_data_done(request, 0);
	} else {
		fs_write_begin(request);
	}
	return FS_LATER;
}

int fs_write_start(struct fs_request *request)
{
	const struct fs_write *write = &request->body.write;
	struct fs_stream *fs = request->fs;
	int result = fs_may_change(request);

	if (result == 0)
		result = fs_request_use_as(request, write->handle, false);
	if (result == -EISDIR)
		result = -EBADF; /* no directory is open for writing */
	if (result < 0)
		return result;
	bool at_position = write->offset == FS_POSITION;
	bool at_end = fs_request_kind(request) == FS_HANDLE_APPEND;
	if (!at_position && write->offset > LLONG_MAX)
		return -EINVAL;
	request->bytes = write->data;
	request->write_offset =
		write->offset; /* at the end it says only whether the position moves */
	fs_write_enter(request);
	if (at_position || at_end) {
		request->lane = &fs->positions;
		return FS_TURN_OF_LANE;
	}
	fs_write_begin(request); /* of no bytes too: is the file open for writing? */
	return FS_LATER;
}
