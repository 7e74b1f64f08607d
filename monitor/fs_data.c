/* Requests on open files. Data moves between files and rings; reading is in fs_reply.c. */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <limits.h>

#include "monitor/stats.h"

int fs_close_start(struct fs_request *request)
{
	int fd;
	int result = fs_handles_close(&request->fs->handles, request->body.close.handle, &fd);

	if (result == 0)
		fs_close_fd(request->fs, fd);
	return result;
}

int fs_read_start(struct fs_request *request)
{
	const struct fs_read *read = &request->body.read;
	uint32_t most = request->fs->max_frame - FRAME_HEADER_LEN;

	if (read->offset > LLONG_MAX)
		return -EINVAL;
	int result = fs_request_use_as(request, read->handle, false);
	if (result < 0)
		return result;
	request->file_fd = request->directory[0];
	request->file_offset = read->offset;
	request->file_left = read->length < most ? read->length : most;
	/*
	 * To the kernel a range beyond the last offset is EINVAL; to the guest it is the end of
	 * the file.
	 */
	if (request->file_left > LLONG_MAX - read->offset)
		request->file_left = LLONG_MAX - read->offset;
	return FS_DATA;
}

/* ---- write: straight from the ring, whose head the frame stays at until it is done */

static void write_more(struct fs_request *request)
{
	const struct fs_write *write = &request->body.write;
	const unsigned char *bytes = write->data.data;
	uint64_t offset = write->offset + request->written;

	if (fs_request_kind(request) == FS_HANDLE_APPEND)
		offset = UINT64_MAX;
	io_write(fs_io(request->fs), &request->op, request->directory[0], bytes + request->written,
		write->data.len - request->written, offset);
}

static void write_done(struct io_op *op, int result)
{
	struct fs_request *request = io_container(op, struct fs_request, op);
	struct fs_stream *fs = request->fs;

	if (result > 0) {
		request->written += (size_t)result;
		stats.bytes_to_host += (uint64_t)result;
		if (request->written < request->body.write.data.len) {
			write_more(request);
			return;
		}
	}
	/* What was written counts; why the rest was not, the next write will say. */
	request->reply.written.length = (uint32_t)request->written;
	fs->writing = NULL;
	ring_consume(&fs->stream->pipe.in, request->frame.length);
	fs_request_go_on(request, result < 0 && request->written == 0 ? result : FS_ANSWER);
	fs_pump(fs);
}

int fs_write_start(struct fs_request *request)
{
	const struct fs_write *write = &request->body.write;
	int result = fs_may_change(request);

	if (result == 0)
		result = fs_request_use_as(request, write->handle, false);
	if (result < 0)
		return result;
	if (fs_request_kind(request) != FS_HANDLE_APPEND) {
		if (write->offset > LLONG_MAX)
			return -EINVAL;
		if (write->data.len > LLONG_MAX - write->offset)
			return -EFBIG;
	}
	request->fs->writing = request;
	request->op.done = write_done;
	write_more(request); /* of no bytes too: is the file open for writing? */
	return FS_LATER;
}

/* ---- sync */

static void sync_done(struct io_op *op, int result)
{
	struct fs_request *request = io_container(op, struct fs_request, op);
	struct fs_stream *fs = request->fs;

	fs_request_go_on(request, result < 0 ? result : FS_ANSWER);
	fs_pump(fs);
}

int fs_sync_start(struct fs_request *request)
{
	const struct fs_sync *sync = &request->body.sync;

	if ((sync->flags & ~(uint32_t)FS_SYNC_DATA) != 0)
		return -EINVAL;
	int result = fs_request_use(request, 0, sync->handle, false);
	if (result < 0)
		return result;
	request->op.done = sync_done;
	io_sync(fs_io(request->fs), &request->op, request->directory[0],
		(sync->flags & FS_SYNC_DATA) != 0);
	return FS_LATER;
}
