/* Requests on open files. Reading goes on in fs_reply.c; writing is in fs_write.c. */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int close_one(struct fs_request *request, uint32_t handle)
{
	int fd, result;

	fs_lock_close(request->fs, handle);
	result = fs_handles_close(&request->fs->handles, handle, &fd);
	if (result == 0)
		fs_close_fd(request->fs, fd);
	return result;
}

/* All of them, though one may not be open. Of those in the ring each is loaded once. */
int fs_close_start(struct fs_request *request)
{
	const struct wire_bytes *more = &request->body.close.more;
	uint32_t handle;

	if (more->len % sizeof(handle) != 0)
		return -EPROTO;
	int result = close_one(request, request->body.close.handle);
	for (size_t at = 0; at < more->len; at += sizeof(handle)) {
		memcpy(&handle, (const unsigned char *)more->data + at, sizeof(handle));
		int other = close_one(request, handle);
		result = result < 0 ? result : other;
	}
	return result;
}

/*
 * At the file's position: the kernel keeps it with the descriptor, and moves it. One at a time,
 * since it would let two at once read the same bytes.
 */
int fs_read_turn(struct fs_request *request)
{
	(void)request;
	return FS_DATA;
}

int fs_read_start(struct fs_request *request)
{
	const struct fs_read *read = &request->body.read;
	uint32_t most = request->fs->max_frame - FS_DATA_HEAD_MOST;
	bool at_position = read->offset == FS_POSITION;

	if (read->offset > LLONG_MAX && !at_position)
		return -EINVAL;
	int result = fs_request_use_as(request, read->handle, false);
	if (result < 0)
		return result;
	request->file_fd = request->directory[0];
	request->file_offset = read->offset;
	request->file_left = read->length < most ? read->length : most;
	if (at_position) {
		request->lane = &request->fs->positions;
		return FS_TURN_OF_LANE;
	}
	/*
	 * To the kernel a range beyond the last offset is EINVAL; to the guest it is the end of
	 * the file.
	 */
	if (request->file_left > LLONG_MAX - read->offset)
		request->file_left = LLONG_MAX - read->offset;
	return FS_DATA;
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
