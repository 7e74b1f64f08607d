/*
 * Attributes and extended attributes of what a path or a handle leads to, by its descriptor. Where
 * a system call has no form for an O_PATH descriptor, it gets the monitor's own link to it below
 * /proc, as fs_path.c's reopening does: a guest's path is never walked through it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "monitor/fs_path.h"

#define NANOSECONDS 1000000000u

void fs_path_link_of(int fd, char ret_link[FS_PATH_LINK_LEN])
{
	snprintf(ret_link, FS_PATH_LINK_LEN, "/proc/self/fd/%d", fd);
}

int fs_path_at(int directory, const char *path, uint32_t flags)
{
	if ((flags & FS_AT_HANDLE) != 0)
		return directory;
	return fs_path_walk(
		directory, path, O_PATH | ((flags & FS_AT_NOFOLLOW) != 0 ? O_NOFOLLOW : 0u), 0);
}

void fs_path_at_leave(int fd, uint32_t flags)
{
	if ((flags & FS_AT_HANDLE) == 0)
		close(fd);
}

/* ---- attributes */

/* As truncate(2) has them; the file is opened for writing only when it is one. */
static int truncate_walked(int fd, uint32_t mode, off_t size)
{
	if (S_ISDIR(mode))
		return -EISDIR;
	if (S_ISLNK(mode))
		return -ELOOP;
	if (!S_ISREG(mode))
		return -EINVAL;
	int file = fs_path_reopen(fd, O_WRONLY);
	if (file < 0)
		return file;
	int result = ftruncate(file, size) < 0 ? -errno : 0;
	close(file);
	return result;
}

static int set_size(int fd, uint32_t mode, const struct fs_set_attributes *change)
{
	if ((change->flags & FS_AT_HANDLE) == 0)
		return truncate_walked(fd, mode, (off_t)change->size);
	if (ftruncate(fd, (off_t)change->size) == 0)
		return 0;
	return errno == EBADF ? -EINVAL : -errno; /* of the mount itself, as of any other directory */
}

static int set_owner(int fd, const struct fs_set_attributes *change)
{
	uid_t uid = (change->set & FS_SET_UID) != 0 ? change->uid : (uid_t)-1;
	gid_t gid = (change->set & FS_SET_GID) != 0 ? change->gid : (gid_t)-1;

	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_mode(int fd, uint32_t type, const struct fs_set_attributes *change)
{
	char link[FS_PATH_LINK_LEN];

	if (S_ISLNK(type))
		return -ENOTSUP;
	fs_path_link_of(fd, link);
	return chmod(link, change->mode) < 0 ? -errno : 0;
}

static struct timespec time_from(uint32_t set, uint32_t bit, uint32_t now, uint64_t s, uint32_t ns)
{
	if ((set & now) != 0)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if ((set & bit) == 0)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	return (struct timespec){.tv_sec = (time_t)s, .tv_nsec = ns};
}

static int set_times(int fd, const struct fs_set_attributes *change)
{
	struct timespec times[2] = {
		time_from(change->set, FS_SET_ATIME, FS_SET_ATIME_NOW, change->atime_s,
			change->atime_ns),
		time_from(change->set, FS_SET_MTIME, FS_SET_MTIME_NOW, change->mtime_s,
			change->mtime_ns),
	};

	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int change_check(const struct fs_set_attributes *change)
{
	uint32_t set = change->set;
	bool twice = ((set & FS_SET_ATIME) != 0 && (set & FS_SET_ATIME_NOW) != 0) ||
		     ((set & FS_SET_MTIME) != 0 && (set & FS_SET_MTIME_NOW) != 0);

	if ((set & ~(uint32_t)FS_SET_KNOWN) != 0 || twice)
		return -EINVAL;
	if (((set & FS_SET_ATIME) != 0 && change->atime_ns >= NANOSECONDS) ||
		((set & FS_SET_MTIME) != 0 && change->mtime_ns >= NANOSECONDS))
		return -EINVAL;
	if ((set & FS_SET_SIZE) != 0 && change->size > INT64_MAX)
		return -EINVAL;
	if ((set & FS_SET_MODE) != 0 && (change->mode & ~FS_SET_MODE_BITS) != 0)
		return -EPERM;
	return 0;
}

int fs_path_set(int fd, const struct fs_set_attributes *change)
{
	const uint32_t times = FS_SET_ATIME | FS_SET_MTIME | FS_SET_ATIME_NOW | FS_SET_MTIME_NOW;
	struct fs_attributes now;
	int result = change_check(change);

	if (result == 0)
		result = fs_path_attributes(fd, &now);
	if (result == 0 && (change->set & FS_SET_SIZE) != 0)
		result = set_size(fd, now.mode, change);
	if (result == 0 && (change->set & (FS_SET_UID | FS_SET_GID)) != 0)
		result = set_owner(fd, change);
	if (result == 0 && (change->set & FS_SET_MODE) != 0)
		result = set_mode(fd, now.mode, change);
	if (result == 0 && (change->set & times) != 0)
		result = set_times(fd, change);
	return result;
}

int fs_path_system(int fd, struct fs_system *ret_system)
{
	struct statfs stat;

	if (fstatfs(fd, &stat) < 0)
		return -errno;
	*ret_system = (struct fs_system){
		.blocks = stat.f_blocks,
		.free = stat.f_bfree,
		.available = stat.f_bavail,
		.files = stat.f_files,
		.files_free = stat.f_ffree,
		.block_size = (uint32_t)stat.f_bsize,
		.name_max = (uint32_t)stat.f_namelen,
		.type = (uint32_t)stat.f_type,
		.flags = (stat.f_flags & ST_RDONLY) != 0 ? 0 : FS_MOUNTED_WRITABLE,
	};
	return 0;
}

/* ---- extended attributes */

/* security.* and trusted.* give rights to programs of the host, system.* are its access lists. */
static bool is_users(const char *name)
{
	return strncmp(name, "user.", 5) == 0;
}

long fs_path_get_xattr(int fd, const char *name, void *ret_value, size_t room)
{
	char link[FS_PATH_LINK_LEN];

	if (!is_users(name))
		return -ENOTSUP;
	fs_path_link_of(fd, link);
	ssize_t len = getxattr(link, name, ret_value, room);
	return len < 0 ? -errno : len;
}

int fs_path_set_xattr(int fd, const char *name, const void *value, size_t len, uint32_t flags)
{
	int how = ((flags & FS_XATTR_CREATE) != 0 ? XATTR_CREATE : 0) |
		  ((flags & FS_XATTR_REPLACE) != 0 ? XATTR_REPLACE : 0);
	char link[FS_PATH_LINK_LEN];

	if (!is_users(name))
		return -ENOTSUP;
	fs_path_link_of(fd, link);
	return setxattr(link, name, value, len, how) < 0 ? -errno : 0;
}

int fs_path_remove_xattr(int fd, const char *name)
{
	char link[FS_PATH_LINK_LEN];

	if (!is_users(name))
		return -ENOTSUP;
	fs_path_link_of(fd, link);
	return removexattr(link, name) < 0 ? -errno : 0;
}

/* Of 'len' bytes of names those of the user's, moved together. */
static size_t keep_users(char *names, size_t len)
{
	size_t kept = 0;

	for (size_t at = 0; at < len;) {
		size_t one = strlen(names + at) + 1;
		if (is_users(names + at)) {
			memmove(names + kept, names + at, one);
			kept += one;
		}
		at += one;
	}
	return kept;
}

long fs_path_list_xattrs(int fd, char *ret_names, size_t room)
{
	static const size_t most = 65536; /* XATTR_LIST_MAX of the kernel */
	char link[FS_PATH_LINK_LEN];
	char *names = malloc(most);

	if (names == NULL)
		return -ENOMEM;
	fs_path_link_of(fd, link);
	ssize_t len = listxattr(link, names, most);
	long result = len < 0 ? -errno : (long)keep_users(names, (size_t)len);
	if (result > (long)room)
		result = -ERANGE;
	if (result > 0)
		memcpy(ret_names, names, (size_t)result);
	free(names);
	return result;
}
