/* Requests about attributes of files and of file systems: fs_path does the work, on a worker. */
#include "monitor/fs_stream.h"

#include <errno.h>

int fs_at_check(const struct fs_request *request, uint32_t flags, uint32_t known)
{
	if ((flags & ~known) != 0)
		return -EINVAL;
	if ((flags & FS_AT_HANDLE) != 0 && request->path[0][0] != 0)
		return -EINVAL;
	return 0;
}

int fs_set_attributes_start(struct fs_request *request)
{
	const struct fs_set_attributes *set = &request->body.set_attributes;
	int result = fs_may_change(request);

	if (result == 0)
		result = fs_at_check(request, set->flags, FS_AT_KNOWN);
	if (result == 0)
		result = fs_request_use(request, 0, set->directory, true);
	return result < 0 ? result : FS_WORK;
}

int fs_set_attributes_work(struct fs_request *request)
{
	const struct fs_set_attributes *set = &request->body.set_attributes;
	int fd = fs_path_at(request->directory[0], request->path[0], set->flags);

	if (fd < 0)
		return fd;
	int result = fs_path_set(fd, set);
	if (result == 0)
		result = fs_path_attributes(fd, &request->reply.attributes);
	fs_path_at_leave(fd, set->flags);
	return result;
}

int fs_stat_system_start(struct fs_request *request)
{
	int result = fs_request_use(request, 0, request->body.stat_system.handle, true);

	return result < 0 ? result : FS_WORK;
}

int fs_stat_system_work(struct fs_request *request)
{
	int result = fs_path_system(request->directory[0], &request->reply.system);

	if (!request->fs->mount->writable)
		request->reply.system.flags &= ~(uint32_t)FS_MOUNTED_WRITABLE;
	return result;
}
