/* Requests that name things: fs_path does the work, on a worker unless it is sure not to block. */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int fs_may_change(const struct fs_request *request)
{
	const struct grant_mount *mount = request->fs->mount;
	char value[2 * FS_PATH_MAX], what[32 + FS_PATH_MAX];

	if (mount->writable)
		return 0;
	snprintf(what, sizeof(what), "a change in directory %s", mount->guest_path);
	snprintf(value, sizeof(value), "%s:%s:rw", mount->host_path, mount->guest_path);
	grants_refused(what, "--mount", value);
	return -EROFS;
}

/* ---- open */

static enum fs_handle_kind kind_of(
	const struct fs_open *open, const struct fs_attributes *attributes)
{
	if (S_ISDIR(attributes->mode))
		return FS_HANDLE_DIRECTORY;
	return (open->flags & FS_OPEN_APPEND) != 0 ? FS_HANDLE_APPEND : FS_HANDLE_FILE;
}

int fs_open_finish(struct fs_request *request)
{
	struct fs_handles *handles = &request->fs->handles;
	enum fs_handle_kind kind = kind_of(&request->body.open, &request->reply.opened.attributes);

	request->reply.opened = (struct fs_opened){
		.handle = fs_handles_fill(handles, request->reserved, request->fd, kind),
		.attributes = request->reply.opened.attributes,
	};
	request->reserved = FS_HANDLE_NONE;
	request->fd = -1;
	return FS_ANSWER;
}

int fs_open_work(struct fs_request *request)
{
	const struct fs_open *open = &request->body.open;

	return fs_path_open(request->directory[0], request->path[0], open->flags, open->mode,
		&request->fd, &request->reply.opened.attributes);
}

static int quick_open(struct fs_request *request)
{
	int walked;
	int result = fs_path_quick_open(&request->fs->root, request->directory[0], request->path[0],
		request->body.open.flags, &request->fd, &request->reply.opened.attributes, &walked);

	fs_close_fd(request->fs, walked);
	if (result == -EAGAIN)
		return FS_WORK;
	return result < 0 ? result : fs_open_finish(request);
}

int fs_open_start(struct fs_request *request)
{
	const struct fs_open *open = &request->body.open;
	int result = fs_path_flags_check(open->flags);

	if (result == 0 && fs_path_flags_modify(open->flags))
		result = fs_may_change(request);
	if (result == 0)
		result = fs_request_use(request, 0, open->directory, true);
	if (result == 0)
		result = fs_handles_take(&request->fs->handles, &request->reserved);
	if (result < 0)
		return result;
	return fs_path_may_be_quick(&request->fs->root, open->flags) ? quick_open(request)
								     : FS_WORK;
}

/* ---- stat */

int fs_stat_work(struct fs_request *request)
{
	uint32_t flags = request->body.stat.flags;

	if ((flags & FS_AT_HANDLE) != 0)
		return fs_path_attributes(request->directory[0], &request->reply.attributes);
	return fs_path_stat(
		request->directory[0], request->path[0], flags, &request->reply.attributes);
}

static int quick_stat(struct fs_request *request)
{
	const struct fs_path_root *root = &request->fs->root;
	uint32_t flags = request->body.stat.flags;
	int walked = -1;
	int result;

	if ((flags & FS_AT_HANDLE) != 0)
		result = fs_path_quick_attributes(
			root, request->directory[0], &request->reply.attributes);
	else
		result = fs_path_quick_stat(root, request->directory[0], request->path[0], flags,
			&request->reply.attributes, &walked);
	fs_close_fd(request->fs, walked);
	return result == -EAGAIN ? FS_WORK : result;
}

int fs_stat_start(struct fs_request *request)
{
	uint32_t flags = request->body.stat.flags;

	int result = fs_at_check(request, flags, FS_AT_KNOWN);
	if (result == 0)
		result = fs_request_use(request, 0, request->body.stat.directory, true);
	if (result < 0)
		return result;
	bool quick = request->fs->root.local && !io_closes_hang(fs_io(request->fs));
	return quick ? quick_stat(request) : FS_WORK;
}

/* ---- changes */

int fs_mkdir_start(struct fs_request *request)
{
	int result = fs_may_change(request);

	if (result == 0)
		result = fs_request_use(request, 0, request->body.mkdir.directory, true);
	return result < 0 ? result : FS_WORK;
}

int fs_mkdir_work(struct fs_request *request)
{
	return fs_path_mkdir(request->directory[0], request->path[0], request->body.mkdir.mode);
}

int fs_unlink_start(struct fs_request *request)
{
	int result = fs_may_change(request);

	if (result == 0 && (request->body.unlink.flags & ~(uint32_t)FS_UNLINK_DIRECTORY) != 0)
		result = -EINVAL;
	if (result == 0)
		result = fs_request_use(request, 0, request->body.unlink.directory, true);
	return result < 0 ? result : FS_WORK;
}

int fs_unlink_work(struct fs_request *request)
{
	bool directory = (request->body.unlink.flags & FS_UNLINK_DIRECTORY) != 0;

	return fs_path_unlink(request->directory[0], request->path[0], directory);
}

int fs_rename_start(struct fs_request *request)
{
	uint32_t flags = request->body.rename.flags;
	int result = fs_may_change(request);

	if (result == 0 && ((flags & ~(uint32_t)FS_RENAME_KNOWN) != 0 || flags == FS_RENAME_KNOWN))
		result = -EINVAL;
	if (result == 0)
		result = fs_request_use(request, 0, request->body.rename.from_directory, true);
	if (result == 0)
		result = fs_request_use(request, 1, request->body.rename.to_directory, true);
	return result < 0 ? result : FS_WORK;
}

int fs_rename_work(struct fs_request *request)
{
	return fs_path_rename(request->directory[0], request->path[0], request->directory[1],
		request->path[1], request->body.rename.flags);
}
