/* Requests about links, hard and symbolic: fs_path does the work, on a worker. */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <stdlib.h>

int fs_link_start(struct fs_request *request)
{
	int result = fs_may_change(request);

	if (result == 0)
		result = fs_request_use(request, 0, request->body.link.from_directory, true);
	if (result == 0)
		result = fs_request_use(request, 1, request->body.link.to_directory, true);
	return result < 0 ? result : FS_WORK;
}

int fs_link_work(struct fs_request *request)
{
	return fs_path_link(
		request->directory[0], request->path[0], request->directory[1], request->path[1]);
}

/* path[0] is the link's text. */
int fs_symlink_start(struct fs_request *request)
{
	int result = fs_may_change(request);

	if (result == 0)
		result = fs_request_use(request, 0, request->body.symlink.directory, true);
	return result < 0 ? result : FS_WORK;
}

int fs_symlink_work(struct fs_request *request)
{
	return fs_path_symlink(request->path[0], request->directory[0], request->path[1]);
}

int fs_read_link_start(struct fs_request *request)
{
	int result = fs_request_use(request, 0, request->body.read_link.directory, true);

	if (result < 0)
		return result;
	request->text = malloc(FS_PATH_MAX);
	return request->text == NULL ? -ENOMEM : FS_WORK;
}

int fs_read_link_work(struct fs_request *request)
{
	size_t most = request->fs->max_frame - FRAME_HEADER_LEN;
	long len = fs_path_read_link(
		request->directory[0], request->path[0], request->text, FS_PATH_MAX);

	if (len < 0)
		return (int)len;
	if ((size_t)len > most)
		return -ERANGE;
	request->reply.data = (struct fs_data){.data = {request->text, (size_t)len}};
	return 0;
}
