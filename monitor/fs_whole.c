/*
 * FS_READ_FILE: whole files, for one request. What is small stays open for the next one (fs_cache.h);
 * reading is in fs_reply.c.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file is open: what is to be sent of it. */
int fs_read_file_finish(struct fs_request *request)
{
	const struct fs_read_file *read = &request->body.read_file;
	uint64_t size = request->reply.attributes.size;
	bool cached = request->cached != FS_CACHE_NONE;

	if (S_ISDIR(request->reply.attributes.mode))
		return -EISDIR;
	request->file_fd =
		cached ? fs_cache_fd(request->fs->cache, request->cached) : request->fd;
	request->file_offset = read->offset;
	request->file_left = read->length;
	request->whole_file = true;
	request->attributes_due = true;
	/* As long as it was when opened, as its attributes say, however it grows. Size 0 can be a
	 * file of /proc or /sys, which says nothing of its length. */
	uint64_t rest = size > 0 ? size : LLONG_MAX;
	rest = read->offset < rest ? rest - read->offset : 0;
	if (rest < request->file_left)
		request->file_left = rest;
	return FS_DATA;
}

int fs_read_file_work(struct fs_request *request)
{
	return fs_path_open(request->directory[0], request->path[0], FS_OPEN_READ, 0, &request->fd,
		&request->reply.attributes);
}

/* ---- without a worker */

/* The file that was walked to: open already, or opened. Its walked descriptor is closed. */
static int open_walked(struct fs_request *request, struct fs_walked *walked)
{
	struct fs_stream *fs = request->fs;

	if (fs->cache != NULL)
		request->cached = fs_cache_find(fs->cache, walked);
	if (request->cached == FS_CACHE_NONE) {
		int fd = fs_path_quick_reopen(walked, FS_OPEN_READ);
		if (fd < 0)
			return fd;
		if (fs->cache != NULL)
			request->cached = fs_cache_add(fs->cache, walked, fd);
		if (request->cached == FS_CACHE_NONE)
			request->fd = fd;
	}
	close(walked->fd); /* not the last of this inode, so nothing hangs on it */
	walked->fd = -1;
	request->reply.attributes = walked->attributes;
	return 0;
}

static int quick_open(struct fs_request *request, const struct fs_cache_asked *asked)
{
	struct fs_stream *fs = request->fs;
	uint64_t seen = ring_consumer_seen(&fs->stream->pipe.in); /* before the walk */
	struct fs_walked walked;
	int result = fs_path_quick_walk(
		&fs->root, request->directory[0], request->path[0], FS_OPEN_READ, &walked);

	if (result == 0)
		result = open_walked(request, &walked);
	fs_close_fd(fs, walked.fd);
	if (result == 0 && request->cached != FS_CACHE_NONE)
		fs_cache_note(
			fs->cache, request->cached, asked, seen, &request->reply.attributes);
	return result;
}

int fs_read_file_turn(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;
	struct fs_cache_asked asked = {
		.directory = request->body.read_file.directory,
		.path = request->path[0],
		.turn = fs->pumps,
		.end = request->end,
	};
	int result = 0;

	if (!fs_path_may_be_quick(&fs->root, FS_OPEN_READ))
		return FS_WORK;
	if (fs->root.plain && fs->cache == NULL)
		fs->cache = fs_cache_new(fs_io(fs)); /* NULL: it does without */
	if (fs->cache != NULL)
		request->cached = fs_cache_recall(fs->cache, &asked, &request->reply.attributes);
	if (request->cached == FS_CACHE_NONE)
		result = quick_open(request, &asked);
	if (result == -EAGAIN)
		return FS_WORK;
	return result < 0 ? result : fs_read_file_finish(request);
}

int fs_read_file_start(struct fs_request *request)
{
	const struct fs_read_file *read = &request->body.read_file;

	if (read->offset > LLONG_MAX)
		return -EINVAL;
	int result = fs_request_use(request, 0, read->directory, true);
	if (result < 0)
		return result;
	request->lane = &request->fs->files;
	return FS_TURN_OF_LANE;
}
