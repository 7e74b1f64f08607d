/*
 * A path is walked to an O_PATH descriptor first. That has no effect on what it
 * names, so a FIFO does not wake its writer and a device does not notice; what
 * is neither a file nor a directory is refused there. The descriptor is then
 * opened anew by way of /proc/self/fd: the same inode, whatever its name means by
 * now. That link is the monitor's own; a guest's path is never walked through /proc/self.
 */
#include "monitor/fs_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define XFS_MAGIC 0x58465342 /* not in linux/magic.h of Debian 12 */

/* openat2 says EAGAIN when a rename anywhere made it unsure whether a '..' stayed beneath. */
#define WALK_TRIES 128
/*
 * Rounds of 'it is not there, make it', 'it is there, open it' with someone who makes and
 * removes it.
 */
#define CREATE_TRIES 8

#define MODIFYING (FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE | FS_OPEN_APPEND)

static pthread_once_t own_fds_once = PTHREAD_ONCE_INIT;
static int own_fds = -1; /* /proc/self/fd, or a negative errno */

static void own_fds_open(void)
{
	own_fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (own_fds < 0)
		own_fds = -errno;
}

static int walk_once(
	int directory, const char *path, uint64_t flags, uint32_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.mode = mode,
		.resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int fs_path_walk(int directory, const char *path, uint64_t flags, uint32_t mode)
{
	int fd = -EAGAIN;

	for (int i = 0; i < WALK_TRIES && fd == -EAGAIN; i++)
		fd = walk_once(directory, path, flags, mode, 0);
	return fd;
}

int fs_path_walk_unlinked(int directory, const char *path, uint64_t flags)
{
	return walk_once(directory, path, flags, 0, RESOLVE_NO_SYMLINKS);
}

/* The inode behind an O_PATH descriptor, for use. */
int fs_path_reopen(int walked, int flags)
{
	char name[12];

	if (own_fds < 0)
		return own_fds;
	snprintf(name, sizeof(name), "%d", walked);
	int fd = openat(own_fds, name, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static int look(int fd, int sync, struct statx *ret_stat)
{
	unsigned mask = STATX_BASIC_STATS | STATX_MNT_ID;

	return statx(fd, "", AT_EMPTY_PATH | sync, mask, ret_stat) < 0 ? -errno : 0;
}

static void attributes_from(const struct statx *stat, struct fs_attributes *ret_attributes)
{
	*ret_attributes = (struct fs_attributes){
		.size = stat->stx_size,
		.blocks = stat->stx_blocks,
		.inode = stat->stx_ino,
		.mtime_s = (uint64_t)stat->stx_mtime.tv_sec,
		.atime_s = (uint64_t)stat->stx_atime.tv_sec,
		.ctime_s = (uint64_t)stat->stx_ctime.tv_sec,
		.mtime_ns = stat->stx_mtime.tv_nsec,
		.atime_ns = stat->stx_atime.tv_nsec,
		.ctime_ns = stat->stx_ctime.tv_nsec,
		.mode = stat->stx_mode,
		.nlink = stat->stx_nlink,
		.uid = stat->stx_uid,
		.gid = stat->stx_gid,
	};
}

int fs_path_attributes(int fd, struct fs_attributes *ret_attributes)
{
	struct statx stat;
	int result = look(fd, 0, &stat);

	if (result == 0)
		attributes_from(&stat, ret_attributes);
	return result;
}

/* Opening a file on these asks no server and no daemon, so it can wait for a disk at most. */
static bool is_local(long type)
{
	static const long local[] = {EXT4_SUPER_MAGIC, XFS_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
		OVERLAYFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, SQUASHFS_MAGIC};

	for (unsigned i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		if (type == local[i])
			return true;
	}
	return false;
}

int fs_path_root_probe(int fd, struct fs_path_root *ret_root)
{
	struct statfs system;
	struct stat stat;

	pthread_once(&own_fds_once, own_fds_open);
	if (own_fds < 0)
		return own_fds;
	if (fstatfs(fd, &system) < 0 || fstat(fd, &stat) < 0)
		return -errno;
	*ret_root = (struct fs_path_root){
		.fd = fd,
		.local = is_local(system.f_type),
		.plain = is_local(system.f_type) && system.f_type != OVERLAYFS_SUPER_MAGIC,
		.device = stat.st_dev,
	};
	return 0;
}

int fs_path_flags_check(uint32_t flags)
{
	if ((flags & ~(uint32_t)FS_OPEN_KNOWN) != 0)
		return -EINVAL;
	if ((flags & FS_OPEN_DIRECTORY) != 0)
		return (flags & (MODIFYING | FS_OPEN_EXCLUSIVE)) != 0 ? -EINVAL : 0;
	if ((flags & (FS_OPEN_READ | FS_OPEN_WRITE)) == 0)
		return -EINVAL;
	if ((flags & (FS_OPEN_TRUNCATE | FS_OPEN_APPEND)) != 0 && (flags & FS_OPEN_WRITE) == 0)
		return -EINVAL;
	if ((flags & FS_OPEN_EXCLUSIVE) != 0 && (flags & FS_OPEN_CREATE) == 0)
		return -EINVAL;
	return 0;
}

bool fs_path_flags_modify(uint32_t flags)
{
	return (flags & MODIFYING) != 0;
}

static uint64_t walk_flags(uint32_t flags)
{
	return O_PATH | ((flags & FS_OPEN_DIRECTORY) != 0 ? O_DIRECTORY : 0u) |
	       ((flags & FS_OPEN_NOFOLLOW) != 0 ? O_NOFOLLOW : 0u);
}

static int access_flags(uint32_t flags)
{
	int append = (flags & FS_OPEN_APPEND) != 0 ? O_APPEND : 0;

	if ((flags & FS_OPEN_WRITE) == 0)
		return O_RDONLY;
	return append | ((flags & FS_OPEN_READ) != 0 ? O_RDWR : O_WRONLY);
}

/* May an inode of this type be opened? 0 or a negative errno. */
static int type_check(uint32_t mode, uint32_t flags)
{
	if (S_ISREG(mode))
		return 0;
	if (S_ISLNK(mode)) /* the walk stops at one only when told not to follow */
		return -ELOOP;
	if (!S_ISDIR(mode))
		return -EACCES;
	return fs_path_flags_modify(flags) ? -EISDIR : 0;
}

/* What was walked to, opened as 'flags' say. */
static int open_walked(int walked, uint32_t flags, struct fs_attributes *ret_attributes)
{
	struct statx stat;
	int result = look(walked, 0, &stat);

	if (result == 0)
		result = type_check(stat.stx_mode, flags);
	if (result < 0)
		return result;
	attributes_from(&stat, ret_attributes);
	return fs_path_reopen(
		walked, access_flags(flags) | ((flags & FS_OPEN_TRUNCATE) != 0 ? O_TRUNC : 0));
}

static int open_existing(
	int directory, const char *path, uint32_t flags, struct fs_attributes *ret_attributes)
{
	int walked = fs_path_walk(directory, path, walk_flags(flags), 0);
	if (walked < 0)
		return walked;
	int fd = open_walked(walked, flags, ret_attributes);
	close(walked);
	if (fd >= 0 && (flags & FS_OPEN_TRUNCATE) != 0)
		fs_path_attributes(fd, ret_attributes); /* cannot fail if it did not a moment ago */
	return fd;
}

/* O_EXCL: what this opens is a regular file that it made, and no link was followed to it. */
static int create(int directory, const char *path, uint32_t flags, uint32_t mode,
	struct fs_attributes *ret_attributes)
{
	uint64_t how = (uint64_t)access_flags(flags) | O_CREAT | O_EXCL | O_NOCTTY;
	int fd = fs_path_walk(directory, path, how, mode & 0777);
	if (fd < 0)
		return fd;
	int result = fs_path_attributes(fd, ret_attributes);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

/* A symbolic link to nothing is not created through: that stays -ENOENT. */
static int open_or_create(int directory, const char *path, uint32_t flags, uint32_t mode,
	struct fs_attributes *ret_attributes)
{
	int fd = -ENOENT;

	for (int i = 0; i < CREATE_TRIES && fd == -ENOENT; i++) {
		fd = create(directory, path, flags, mode, ret_attributes);
		if (fd == -EEXIST && (flags & FS_OPEN_EXCLUSIVE) == 0)
			fd = open_existing(directory, path, flags, ret_attributes);
		else if (fd == -ENOENT)
			break; /* a directory on the way is not there */
	}
	return fd;
}

int fs_path_open(int directory, const char *path, uint32_t flags, uint32_t mode, int *ret_fd,
	struct fs_attributes *ret_attributes)
{
	int fd = (flags & FS_OPEN_CREATE) != 0
			 ? open_or_create(directory, path, flags, mode, ret_attributes)
			 : open_existing(directory, path, flags, ret_attributes);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int fs_path_entry(int directory, const char *name, struct fs_attributes *ret_attributes)
{
	struct statx stat;

	if (statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
		    &stat) < 0)
		return -errno;
	attributes_from(&stat, ret_attributes);
	return 0;
}

static uint64_t stat_walk_flags(uint32_t stat_flags)
{
	return O_PATH | ((stat_flags & FS_AT_NOFOLLOW) != 0 ? O_NOFOLLOW : 0u);
}

int fs_path_stat(
	int directory, const char *path, uint32_t stat_flags, struct fs_attributes *ret_attributes)
{
	int walked = fs_path_walk(directory, path, stat_walk_flags(stat_flags), 0);
	if (walked < 0)
		return walked;
	int result = fs_path_attributes(walked, ret_attributes);
	close(walked);
	return result;
}

/* ---- for the I/O thread */

bool fs_path_may_be_quick(const struct fs_path_root *root, uint32_t flags)
{
	return root->local && !fs_path_flags_modify(flags);
}

/*
 * RESOLVE_CACHED walks in memory alone, without taking a lock or a reference, or
 * says EAGAIN. statx of an inode in memory, told not to ask a server, reads its
 * fields; and it is on the mount's own file system, of which is_local is known,
 * since the walk could have crossed into another.
 */
static int quick_look(const struct fs_path_root *root, int fd, struct statx *ret_stat)
{
	int result = look(fd, AT_STATX_DONT_SYNC, ret_stat);

	if (result == 0 &&
		makedev(ret_stat->stx_dev_major, ret_stat->stx_dev_minor) != root->device)
		result = -EAGAIN;
	return result;
}

static int quick_walk(const struct fs_path_root *root, int directory, const char *path,
	uint64_t flags, struct statx *ret_stat, int *ret_walked)
{
	int walked = walk_once(directory, path, flags, 0, RESOLVE_CACHED);

	*ret_walked = walked < 0 ? -1 : walked;
	return walked < 0 ? walked : quick_look(root, walked, ret_stat);
}

int fs_path_quick_walk(const struct fs_path_root *root, int directory, const char *path,
	uint32_t flags, struct fs_walked *ret_walked)
{
	struct statx stat;
	int result = quick_walk(root, directory, path, walk_flags(flags), &stat, &ret_walked->fd);

	if (result == 0)
		result = type_check(stat.stx_mode, flags);
	/* Of an overlay it opens those of the layers, which can be a daemon's. Files of such
	 * a layer have a device of their own. */
	if (result == 0 && !root->plain && S_ISDIR(stat.stx_mode))
		result = -EAGAIN;
	if (result < 0)
		return result;
	ret_walked->mount = stat.stx_mnt_id;
	attributes_from(&stat, &ret_walked->attributes);
	return 0;
}

int fs_path_quick_reopen(const struct fs_walked *walked, uint32_t flags)
{
	/* O_NONBLOCK: a lease on the file (fcntl(2)) is EAGAIN, not waited for. */
	int fd = fs_path_reopen(walked->fd, access_flags(flags) | O_NONBLOCK);

	if (fd >= 0)
		fcntl(fd, F_SETFL, 0); /* reads wait for the disk again, in io */
	return fd;
}

int fs_path_quick_open(const struct fs_path_root *root, int directory, const char *path,
	uint32_t flags, int *ret_fd, struct fs_attributes *ret_attributes, int *ret_walked)
{
	struct fs_walked walked;
	int result = fs_path_quick_walk(root, directory, path, flags, &walked);

	*ret_walked = walked.fd;
	if (result < 0)
		return result;
	int fd = fs_path_quick_reopen(&walked, flags);
	if (fd < 0)
		return fd;
	close(walked.fd); /* not the last of this inode, so nothing hangs on it */
	*ret_walked = -1;
	*ret_attributes = walked.attributes;
	*ret_fd = fd;
	return 0;
}

int fs_path_quick_stat(const struct fs_path_root *root, int directory, const char *path,
	uint32_t stat_flags, struct fs_attributes *ret_attributes, int *ret_walked)
{
	struct statx stat;
	int result =
		quick_walk(root, directory, path, stat_walk_flags(stat_flags), &stat, ret_walked);

	if (result == 0)
		attributes_from(&stat, ret_attributes);
	return result;
}

int fs_path_quick_attributes(
	const struct fs_path_root *root, int fd, struct fs_attributes *ret_attributes)
{
	struct statx stat;
	int result = quick_look(root, fd, &stat);

	if (result == 0)
		attributes_from(&stat, ret_attributes);
	return result;
}
