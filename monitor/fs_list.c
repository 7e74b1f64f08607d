/*
 * Listing: getdents64 into the worker's stack, from there entry by entry as the
 * protocol has them into the stream's one list buffer. Lists of a stream take
 * turns, which bounds that buffer and gives each handle's position one user.
 */
#include "monitor/fs_stream.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GETDENTS_LEN 16384u

/* The buffer that entries go to. */
struct target {
	int directory;
	bool with_attributes;
	unsigned char *bytes;
	size_t room;
	size_t used;
	bool full;
};

/* linux_dirent64 is what struct dirent64 is, but for the length of its name. */
static void add_entry(struct target *target, const struct dirent64 *dirent)
{
	struct fs_entry entry = {
		.inode = dirent->d_ino,
		.cookie = (uint64_t)dirent->d_off,
		.type = dirent->d_type, /* DT_* is stat's mode >> 12 */
		.name = {dirent->d_name, strlen(dirent->d_name)},
	};

	if (strcmp(dirent->d_name, ".") == 0 || strcmp(dirent->d_name, "..") == 0)
		return;
	if (entry.name.len > FS_NAME_MAX)
		return; /* some file systems have such; no protocol message has */
	/* It may be gone by now: then without. */
	entry.has_attributes =
		target->with_attributes &&
		fs_path_entry(target->directory, dirent->d_name, &entry.attributes) == 0;
	size_t used =
		fs_entry_encode(&entry, target->bytes + target->used, target->room - target->used);
	target->full = used == 0;
	target->used += used;
}

/* One getdents64. The bytes it gave, 0 at the end, or a negative errno. */
static long add_some(struct target *target, int fd)
{
	_Alignas(struct dirent64) char buffer[GETDENTS_LEN];
	long len = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));

	if (len < 0)
		return -errno;
	for (long at = 0; at < len && !target->full;) {
		const struct dirent64 *dirent = (const void *)(buffer + at);
		add_entry(target, dirent);
		at += dirent->d_reclen;
	}
	return len;
}

int fs_list_work(struct fs_request *request)
{
	struct target target = {
		.directory = request->directory[0],
		.with_attributes = (request->body.list.flags & FS_LIST_ATTRIBUTES) != 0,
		.bytes = request->fs->list_buffer,
		.room = request->body.list.length, /* checked by start */
	};
	int fd = request->directory[0];
	long len = 1;

	if (lseek(fd, (off_t)request->body.list.cookie, SEEK_SET) < 0)
		return -errno;
	while (len > 0 && !target.full)
		len = add_some(&target, fd);
	if (len < 0 && target.used == 0)
		return (int)len;
	if (target.full && target.used == 0)
		return -EINVAL; /* as getdents64 has it: not even one fits */
	request->reply.data = (struct fs_data){.data = {target.bytes, target.used}};
	return 0;
}

int fs_list_turn(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;

	if (fs->list_buffer == NULL)
		fs->list_buffer = malloc(FS_LIST_MAX);
	return fs->list_buffer == NULL ? -ENOMEM : FS_WORK;
}

int fs_list_start(struct fs_request *request)
{
	struct fs_list *list = &request->body.list;
	uint32_t most = request->fs->max_frame - FRAME_HEADER_LEN;

	if (list->cookie > LLONG_MAX || (list->flags & ~(uint32_t)FS_LIST_KNOWN) != 0)
		return -EINVAL;
	if (most > FS_LIST_MAX)
		most = FS_LIST_MAX;
	if (list->length > most)
		list->length = most;
	int result = fs_request_use_as(request, list->handle, true);
	if (result < 0)
		return result;
	request->lane = &request->fs->lists;
	return FS_TURN_OF_LANE;
}
