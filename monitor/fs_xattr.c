/*
 * Extended attributes. Their values pass through the stream's one list buffer, in the lane of those
 * who use it: so any number of requests need no more memory. A value that is to be set waits in the
 * ring for its turn; what is in the buffer then is the monitor's alone.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <string.h>

#define XATTR_KNOWN (FS_AT_KNOWN | FS_XATTR_CREATE | FS_XATTR_REPLACE)

_Static_assert(FS_XATTR_MAX <= FS_LIST_MAX, "the list buffer holds a value");

/* path[0] is the path, path[1] the name. */
static int start(struct fs_request *request, uint32_t directory, uint32_t flags, uint32_t known)
{
	int result = fs_at_check(request, flags, known);

	if (result == 0)
		result = fs_request_use(request, 0, directory, true);
	if (result < 0)
		return result;
	request->lane = &request->fs->lists;
	return FS_TURN_OF_LANE;
}

static size_t room(const struct fs_request *request)
{
	size_t most = request->fs->max_frame - FRAME_HEADER_LEN;

	return most < FS_LIST_MAX ? most : FS_LIST_MAX;
}

static int answer(struct fs_request *request, long len)
{
	if (len < 0)
		return (int)len;
	request->reply.data = (struct fs_data){.data = {request->fs->list_buffer, (size_t)len}};
	return 0;
}

/* ---- reading */

int fs_get_xattr_start(struct fs_request *request)
{
	const struct fs_get_xattr *get = &request->body.get_xattr;

	return start(request, get->directory, get->flags, FS_AT_KNOWN);
}

int fs_get_xattr_work(struct fs_request *request)
{
	uint32_t flags = request->body.get_xattr.flags;
	int fd = fs_path_at(request->directory[0], request->path[0], flags);

	if (fd < 0)
		return fd;
	long len = fs_path_get_xattr(fd, request->path[1], request->fs->list_buffer, room(request));
	fs_path_at_leave(fd, flags);
	return answer(request, len);
}

int fs_list_xattrs_start(struct fs_request *request)
{
	const struct fs_list_xattrs *list = &request->body.list_xattrs;

	return start(request, list->directory, list->flags, FS_AT_KNOWN);
}

int fs_list_xattrs_work(struct fs_request *request)
{
	uint32_t flags = request->body.list_xattrs.flags;
	int fd = fs_path_at(request->directory[0], request->path[0], flags);

	if (fd < 0)
		return fd;
	long len = fs_path_list_xattrs(fd, (char *)request->fs->list_buffer, room(request));
	fs_path_at_leave(fd, flags);
	return answer(request, len);
}

/* ---- changing */

int fs_remove_xattr_start(struct fs_request *request)
{
	const struct fs_get_xattr *remove = &request->body.get_xattr;
	int result = fs_may_change(request);

	return result < 0 ? result : start(request, remove->directory, remove->flags, FS_AT_KNOWN);
}

int fs_remove_xattr_work(struct fs_request *request)
{
	uint32_t flags = request->body.get_xattr.flags;
	int fd = fs_path_at(request->directory[0], request->path[0], flags);

	if (fd < 0)
		return fd;
	int result = fs_path_remove_xattr(fd, request->path[1]);
	fs_path_at_leave(fd, flags);
	return result;
}

int fs_set_xattr_start(struct fs_request *request)
{
	const struct fs_set_xattr *set = &request->body.set_xattr;
	int result = fs_may_change(request);

	if (result == 0 && set->value.len > FS_XATTR_MAX)
		result = -E2BIG;
	if (result == 0)
		result = start(request, set->directory, set->flags, XATTR_KNOWN);
	if (result < 0)
		return result;
	request->bytes = set->value;
	fs_write_enter(request);
	return result;
}

int fs_set_xattr_turn(struct fs_request *request)
{
	int result = fs_list_turn(request);

	if (result == FS_WORK && request->bytes.len > 0)
		memcpy(request->fs->list_buffer, request->bytes.data, request->bytes.len);
	fs_write_leave(request);
	return result;
}

int fs_set_xattr_work(struct fs_request *request)
{
	uint32_t flags = request->body.set_xattr.flags;
	int fd = fs_path_at(request->directory[0], request->path[0], flags);

	if (fd < 0)
		return fd;
	int result = fs_path_set_xattr(
		fd, request->path[1], request->fs->list_buffer, request->bytes.len, flags);
	fs_path_at_leave(fd, flags);
	return result;
}
