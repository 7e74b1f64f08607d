/*
 * Requests about ranges of open files: seeking, allocating, copying. A seek and what is read or
 * written at the position share a lane: the kernel locks a position, and nobody is to wait for that
 * lock on the I/O thread.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

/* ---- seek */

int fs_seek_work(struct fs_request *request)
{
	static const int whence[] = {
		[FS_SEEK_SET] = SEEK_SET,
		[FS_SEEK_CURRENT] = SEEK_CUR,
		[FS_SEEK_END] = SEEK_END,
		[FS_SEEK_DATA] = SEEK_DATA,
		[FS_SEEK_HOLE] = SEEK_HOLE,
	};
	const struct fs_seek *seek = &request->body.seek;
	off_t at = lseek(request->directory[0], (off_t)seek->offset, whence[seek->whence]);

	if (at < 0)
		return -errno;
	request->reply.sought.offset = (uint64_t)at;
	return 0;
}

int fs_seek_turn(struct fs_request *request)
{
	if (request->body.seek.whence > FS_SEEK_CURRENT)
		return FS_WORK; /* a file system may have to look */
	int result = fs_seek_work(request);
	return result < 0 ? result : FS_ANSWER;
}

int fs_seek_start(struct fs_request *request)
{
	const struct fs_seek *seek = &request->body.seek;

	if (seek->whence > FS_SEEK_HOLE)
		return -EINVAL;
	int result = fs_request_use_as(request, seek->handle, false);
	if (result < 0)
		return result;
	request->lane = &request->fs->positions;
	return FS_TURN_OF_LANE;
}

/* ---- allocate */

static void allocate_done(struct io_op *op, int result)
{
	struct fs_request *request = io_container(op, struct fs_request, op);
	struct fs_stream *fs = request->fs;

	fs_request_go_on(request, result < 0 ? result : FS_ANSWER);
	fs_pump(fs);
}

static int allocate_mode(uint32_t flags)
{
	return ((flags & FS_ALLOCATE_KEEP_SIZE) != 0 ? FALLOC_FL_KEEP_SIZE : 0) |
	       ((flags & FS_ALLOCATE_PUNCH_HOLE) != 0 ? FALLOC_FL_PUNCH_HOLE : 0) |
	       ((flags & FS_ALLOCATE_ZERO) != 0 ? FALLOC_FL_ZERO_RANGE : 0);
}

int fs_allocate_start(struct fs_request *request)
{
	const struct fs_allocate *allocate = &request->body.allocate;
	int result = fs_may_change(request);

	if (result == 0 && (allocate->flags & ~(uint32_t)FS_ALLOCATE_KNOWN) != 0)
		result = -EINVAL;
	if (result == 0 && (allocate->offset > LLONG_MAX || allocate->length > LLONG_MAX))
		result = -EINVAL;
	if (result == 0)
		result = fs_request_use(request, 0, allocate->handle, false);
	if (result < 0)
		return result;
	request->op.done = allocate_done;
	io_allocate(fs_io(request->fs), &request->op, request->directory[0],
		allocate_mode(allocate->flags), allocate->offset, allocate->length);
	return FS_LATER;
}

/* ---- copy */

int fs_copy_range_start(struct fs_request *request)
{
	const struct fs_copy_range *copy = &request->body.copy_range;
	int result = fs_may_change(request);

	if (result == 0 && (copy->from_offset > LLONG_MAX || copy->to_offset > LLONG_MAX))
		result = -EINVAL;
	if (result == 0)
		result = fs_request_use_as(request, copy->from_handle, false);
	if (result == 0)
		result = fs_request_use(request, 1, copy->to_handle, false);
	if (result < 0)
		return result;
	const struct fs_handle *to = fs_handles_at(&request->fs->handles, request->held[1]);
	return to->kind == FS_HANDLE_DIRECTORY ? -EISDIR : FS_WORK;
}

int fs_copy_range_work(struct fs_request *request)
{
	const struct fs_copy_range *copy = &request->body.copy_range;
	off_t from = (off_t)copy->from_offset, to = (off_t)copy->to_offset;
	size_t len = copy->length < FS_COPY_MAX ? (size_t)copy->length : FS_COPY_MAX;
	ssize_t copied =
		copy_file_range(request->directory[0], &from, request->directory[1], &to, len, 0);

	if (copied < 0)
		return -errno;
	request->reply.copied.length = (uint64_t)copied;
	return 0;
}
