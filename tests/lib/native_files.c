/*
 * The calls on files of guest/ferrule.h as plain system calls, for the native twin of
 * tests/guests/fs_equal.c. Each is what a program for Linux would call. Where the guest's differ
 * from Linux on purpose, it is done here as the guest's does, with the word RULE and why.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guest/ferrule.h"

struct file {
	int fd;
	struct fs_attributes attributes;
};

struct directory {
	DIR *listed;
	struct fs_attributes attributes;
	bool there;
};

static int result_of(int result)
{
	return result < 0 ? -errno : 0;
}

static void attributes_from(const struct stat *stat, struct fs_attributes *ret_attributes)
{
	*ret_attributes = (struct fs_attributes){
		.size = (uint64_t)stat->st_size,
		.mode = stat->st_mode,
		.nlink = (uint32_t)stat->st_nlink,
		.uid = stat->st_uid,
		.gid = stat->st_gid,
		.mtime_s = (uint64_t)stat->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)stat->st_mtim.tv_nsec,
	};
}

static int fd_of(const struct file *directory)
{
	return directory ? directory->fd : AT_FDCWD;
}

/* ---- files */

static int host_flags(uint32_t flags)
{
	int access = (flags & FS_OPEN_WRITE) == 0  ? O_RDONLY
		     : (flags & FS_OPEN_READ) != 0 ? O_RDWR
						   : O_WRONLY;

	return access | ((flags & FS_OPEN_CREATE) ? O_CREAT : 0) |
	       ((flags & FS_OPEN_EXCLUSIVE) ? O_EXCL : 0) |
	       ((flags & FS_OPEN_TRUNCATE) ? O_TRUNC : 0) |
	       ((flags & FS_OPEN_APPEND) ? O_APPEND : 0) |
	       ((flags & FS_OPEN_DIRECTORY) ? O_DIRECTORY : 0) |
	       ((flags & FS_OPEN_NOFOLLOW) ? O_NOFOLLOW : 0) | O_CLOEXEC;
}

/*
 * RULE: nothing is made through a symbolic link (PROTOCOL.md section 5.5): what it leads to is
 * opened as if it were not to be made, so a link to nothing is ENOENT.
 */
static bool is_link(int directory, const char *path)
{
	struct stat stat;

	return fstatat(directory, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(stat.st_mode);
}

int file_open_at(struct file **ret_file, struct file *directory, const char *path, uint32_t flags,
	uint32_t mode, deadline until)
{
	struct stat stat;

	(void)until;
	if (!(flags & FS_OPEN_EXCLUSIVE) && is_link(fd_of(directory), path))
		flags &= ~(uint32_t)FS_OPEN_CREATE;
	int fd = openat(fd_of(directory), path, host_flags(flags), mode);
	if (fd < 0)
		return -errno;
	struct file *file = calloc(1, sizeof(*file));
	if (file == NULL || fstat(fd, &stat) < 0)
		abort();
	file->fd = fd;
	attributes_from(&stat, &file->attributes);
	*ret_file = file;
	return 0;
}

int file_open(
	struct file **ret_file, const char *path, uint32_t flags, uint32_t mode, deadline until)
{
	return file_open_at(ret_file, NULL, path, flags, mode, until);
}

void file_close(struct file *file)
{
	close(file->fd);
	free(file);
}

const struct fs_attributes *file_attributes(const struct file *file)
{
	return &file->attributes;
}

int file_stat(struct file *file, struct fs_attributes *ret_attributes, deadline until)
{
	struct stat stat;
	int result = result_of(fstat(file->fd, &stat));

	(void)until;
	if (result == 0)
		attributes_from(&stat, ret_attributes);
	return result;
}

long file_pread(struct file *file, void *ret_bytes, size_t len, uint64_t offset, deadline until)
{
	(void)until;
	/* RULE: what would reach beyond the last offset is cut off there (PROTOCOL.md section 5.7).
	 */
	if (offset <= INT64_MAX && len > (uint64_t)INT64_MAX - offset)
		len = (size_t)((uint64_t)INT64_MAX - offset);
	ssize_t got = pread(file->fd, ret_bytes, len, (off_t)offset);
	return got < 0 ? -errno : got;
}

long file_pwrite(struct file *file, const void *bytes, size_t len, uint64_t offset, deadline until)
{
	(void)until;
	ssize_t put = pwrite(file->fd, bytes, len, (off_t)offset);
	return put < 0 ? -errno : put;
}

long file_read(struct file *file, void *ret_bytes, size_t len, deadline until)
{
	ssize_t got = read(file->fd, ret_bytes, len);

	(void)until;
	return got < 0 ? -errno : got;
}

long file_write(struct file *file, const void *bytes, size_t len, deadline until)
{
	ssize_t put = write(file->fd, bytes, len);

	(void)until;
	return put < 0 ? -errno : put;
}

int64_t file_seek(struct file *file, int64_t offset, enum fs_seek_whence whence, deadline until)
{
	static const int of_host[] = {SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE};
	struct stat stat;

	(void)until;
	/* RULE: a directory has no position (section 5.19). */
	if (fstat(file->fd, &stat) == 0 && S_ISDIR(stat.st_mode))
		return -EISDIR;
	off_t at = lseek(file->fd, offset, of_host[whence]);
	return at < 0 ? -errno : at;
}

static int change_fd(int fd, const struct file_change *change)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = change->mtime_s, .tv_nsec = change->mtime_ns},
	};
	int result = 0;

	if (change->set & FS_SET_SIZE)
		result = result_of(ftruncate(fd, (off_t)change->size));
	if (result == 0 && change->set & FS_SET_UID)
		result = result_of(fchown(fd, change->uid, change->gid));
	if (result == 0 && change->set & FS_SET_MODE)
		result = result_of(fchmod(fd, change->mode));
	if (result == 0 && change->set & FS_SET_MTIME)
		result = result_of(futimens(fd, times));
	return result;
}

int file_truncate(struct file *file, uint64_t size, deadline until)
{
	const struct file_change change = {.set = FS_SET_SIZE, .size = size};

	(void)until;
	return change_fd(file->fd, &change);
}

int file_sync(struct file *file, deadline until)
{
	(void)until;
	return result_of(fsync(file->fd));
}

int file_sync_data(struct file *file, deadline until)
{
	(void)until;
	return result_of(fdatasync(file->fd));
}

int file_allocate(struct file *file, uint32_t flags, uint64_t offset, uint64_t len, deadline until)
{
	int mode = ((flags & FS_ALLOCATE_KEEP_SIZE) ? FALLOC_FL_KEEP_SIZE : 0) |
		   ((flags & FS_ALLOCATE_PUNCH_HOLE) ? FALLOC_FL_PUNCH_HOLE : 0) |
		   ((flags & FS_ALLOCATE_ZERO) ? FALLOC_FL_ZERO_RANGE : 0);

	(void)until;
	return result_of(fallocate(file->fd, mode, (off_t)offset, (off_t)len));
}

int64_t file_copy(struct file *from, uint64_t from_offset, struct file *to, uint64_t to_offset,
	uint64_t len, deadline until)
{
	off_t from_at = (off_t)from_offset, to_at = (off_t)to_offset;
	int64_t done = 0;
	ssize_t some = 1;

	(void)until;
	while (done < (int64_t)len && some > 0) {
		some = copy_file_range(
			from->fd, &from_at, to->fd, &to_at, (size_t)len - (size_t)done, 0);
		if (some > 0)
			done += some;
	}
	return some < 0 && done == 0 ? -errno : done;
}

int file_lock(struct file *file, uint32_t flags, uint64_t offset, uint64_t len, deadline until)
{
	bool shared = flags & FS_LOCK_SHARED, exclusive = flags & FS_LOCK_EXCLUSIVE;
	struct flock range = {.l_type = shared      ? F_RDLCK
					: exclusive ? F_WRLCK
						    : F_UNLCK,
		.l_start = (off_t)offset,
		.l_len = (off_t)len};

	(void)until;
	if (flags & FS_LOCK_WHOLE)
		return result_of(flock(file->fd, (shared             ? LOCK_SH
							 : exclusive ? LOCK_EX
								     : LOCK_UN) |
							 LOCK_NB));
	return result_of(fcntl(file->fd, F_OFD_SETLK, &range));
}

/* ---- whole files */

int file_read_whole(const char *path, uint64_t offset, uint64_t length,
	int (*sink)(void *argument, const struct fs_attributes *attributes, const void *bytes,
		size_t len),
	void *argument, deadline until)
{
	static char bytes[65536];
	struct file *file;
	int error = file_open(&file, path, FS_OPEN_READ, 0, until);
	ssize_t got;

	(void)offset, (void)length;
	if (error)
		return error;
	while ((got = read(file->fd, bytes, sizeof(bytes))) > 0)
		sink(argument, &file->attributes, bytes, (size_t)got);
	error = got < 0 ? -errno : 0;
	file_close(file);
	return error;
}

int file_write_whole(const char *path, uint32_t flags, uint32_t mode,
	long (*source)(void *argument, void *ret_bytes, size_t room), void *argument,
	struct fs_attributes *ret_attributes, deadline until)
{
	static char bytes[65536];
	struct file *file;
	int error = file_open(&file, path, flags | FS_OPEN_WRITE, mode, until);
	long len;

	if (error)
		return error;
	while ((len = source(argument, bytes, sizeof(bytes))) > 0) {
		if (write(file->fd, bytes, (size_t)len) != len)
			abort();
	}
	error = file_stat(file, ret_attributes, until);
	file_close(file);
	return error;
}

/* ---- paths */

int path_stat_at(struct file *directory, const char *path, uint32_t flags,
	struct fs_attributes *ret_attributes, deadline until)
{
	struct stat stat;
	int result = result_of(fstatat(
		fd_of(directory), path, &stat, (flags & FS_AT_NOFOLLOW) ? AT_SYMLINK_NOFOLLOW : 0));

	(void)until;
	if (result == 0)
		attributes_from(&stat, ret_attributes);
	return result;
}

int path_stat(const char *path, struct fs_attributes *ret_attributes, deadline until)
{
	return path_stat_at(NULL, path, 0, ret_attributes, until);
}

int path_lstat(const char *path, struct fs_attributes *ret_attributes, deadline until)
{
	return path_stat_at(NULL, path, FS_AT_NOFOLLOW, ret_attributes, until);
}

static int change_path(const char *path, int at_flags, const struct file_change *change)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = change->mtime_s, .tv_nsec = change->mtime_ns},
	};
	struct stat stat;
	int result = result_of(fstatat(AT_FDCWD, path, &stat, at_flags));

	if (result == 0 && change->set & FS_SET_SIZE)
		result = result_of(truncate(path, (off_t)change->size));
	if (result == 0 && change->set & FS_SET_UID)
		result = result_of(fchownat(AT_FDCWD, path, change->uid, change->gid, at_flags));
	if (result == 0 && change->set & FS_SET_MODE)
		result = S_ISLNK(stat.st_mode) ? -ENOTSUP : result_of(chmod(path, change->mode));
	if (result == 0 && change->set & FS_SET_MTIME)
		result = result_of(utimensat(AT_FDCWD, path, times, at_flags));
	return result;
}

int path_set(const char *path, const struct file_change *change, deadline until)
{
	(void)until;
	return change_path(path, 0, change);
}

int path_set_link(const char *path, const struct file_change *change, deadline until)
{
	(void)until;
	return change_path(path, AT_SYMLINK_NOFOLLOW, change);
}

int path_mkdir_at(struct file *directory, const char *path, uint32_t mode, deadline until)
{
	(void)until;
	return result_of(mkdirat(fd_of(directory), path, mode));
}

int path_mkdir(const char *path, uint32_t mode, deadline until)
{
	return path_mkdir_at(NULL, path, mode, until);
}

int path_unlink_at(struct file *directory, const char *path, uint32_t flags, deadline until)
{
	(void)until;
	return result_of(
		unlinkat(fd_of(directory), path, (flags & FS_UNLINK_DIRECTORY) ? AT_REMOVEDIR : 0));
}

int path_unlink(const char *path, deadline until)
{
	return path_unlink_at(NULL, path, 0, until);
}

int path_rmdir(const char *path, deadline until)
{
	return path_unlink_at(NULL, path, FS_UNLINK_DIRECTORY, until);
}

int path_rename_at(struct file *from_directory, const char *from, struct file *to_directory,
	const char *to, uint32_t flags, deadline until)
{
	unsigned how = ((flags & FS_RENAME_NOREPLACE) ? RENAME_NOREPLACE : 0u) |
		       ((flags & FS_RENAME_EXCHANGE) ? RENAME_EXCHANGE : 0u);

	(void)until;
	return result_of(renameat2(fd_of(from_directory), from, fd_of(to_directory), to, how));
}

int path_rename_with(const char *from, const char *to, uint32_t flags, deadline until)
{
	return path_rename_at(NULL, from, NULL, to, flags, until);
}

int path_link(const char *from, const char *to, deadline until)
{
	(void)until;
	return result_of(link(from, to));
}

int path_symlink(const char *target, const char *path, deadline until)
{
	(void)until;
	return result_of(symlink(target, path));
}

long path_readlink(const char *path, char *ret_text, size_t len, deadline until)
{
	char text[FS_PATH_MAX + 1];
	ssize_t got = readlink(path, text, sizeof(text));

	(void)until;
	if (got < 0)
		return -errno;
	snprintf(ret_text, len, "%.*s", (int)got, text);
	return got;
}

/* ---- extended attributes */

long path_get_xattr(const char *path, const char *name, void *ret_value, size_t len, deadline until)
{
	ssize_t got = getxattr(path, name, ret_value, len);

	(void)until;
	return got < 0 ? -errno : got;
}

int path_set_xattr(const char *path, const char *name, const void *value, size_t len,
	uint32_t flags, deadline until)
{
	int how = ((flags & FS_XATTR_CREATE) ? XATTR_CREATE : 0) |
		  ((flags & FS_XATTR_REPLACE) ? XATTR_REPLACE : 0);

	(void)until;
	return result_of(setxattr(path, name, value, len, how));
}

int path_remove_xattr(const char *path, const char *name, deadline until)
{
	(void)until;
	return result_of(removexattr(path, name));
}

long path_list_xattrs(const char *path, char *ret_names, size_t len, deadline until)
{
	ssize_t got = listxattr(path, ret_names, len);

	(void)until;
	return got < 0 ? -errno : got;
}

/* ---- directories */

int directory_open_with_attributes(
	struct directory **ret_directory, const char *path, deadline until)
{
	DIR *listed = opendir(path);

	(void)until;
	if (listed == NULL)
		return -errno;
	struct directory *directory = calloc(1, sizeof(*directory));
	if (directory == NULL)
		abort();
	directory->listed = listed;
	*ret_directory = directory;
	return 0;
}

int directory_next(
	struct directory *directory, const char **ret_name, uint16_t *ret_type, deadline until)
{
	struct dirent *entry;
	struct stat stat;

	(void)until;
	do {
		errno = 0;
		entry = readdir(directory->listed);
		if (entry == NULL)
			return -errno;
	} while (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
	directory->there =
		fstatat(dirfd(directory->listed), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0;
	if (directory->there)
		attributes_from(&stat, &directory->attributes);
	*ret_name = entry->d_name;
	*ret_type = entry->d_type;
	return 1;
}

const struct fs_attributes *directory_attributes(const struct directory *directory)
{
	return directory->there ? &directory->attributes : NULL;
}

void directory_close(struct directory *directory)
{
	closedir(directory->listed);
	free(directory);
}
