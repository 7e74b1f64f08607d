/*
 * fs_path: the system calls behind the paths of a guest. Every path is walked by
 * openat2 with RESOLVE_BENEATH from a directory's descriptor and so cannot
 * leave it: not by '..', not by an absolute path, not by a symbolic link
 * (-EXDEV), not by a magic link of /proc (-ELOOP), and not while someone
 * renames directories on the way.
 *
 * Blocking calls for worker threads; they know nothing of streams. Paths are
 * strings of at most FS_PATH_MAX bytes in private memory. All return 0 or a
 * negative errno.
 */
#ifndef FERRULE_MONITOR_FS_PATH_H
#define FERRULE_MONITOR_FS_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/fs.h"

/* A mount, as it was when a stream was opened. */
struct fs_path_root {
	int fd;          /* O_PATH | O_DIRECTORY */
	bool local;      /* a file system whose opens wait for nobody but the disk */
	bool plain;      /* and on which an inode with the same ctime is the same file */
	uint64_t device; /* st_dev of the mount's directory */
};

/* Looks at the mount behind 'fd'. Can block. */
int fs_path_root_probe(int fd, struct fs_path_root *ret_root);

/*
 * Opens a file or directory as 'flags' (enum fs_open_flag, checked by
 * fs_path_flags_check) say. -EACCES for what is neither a regular file nor a
 * directory; it is not opened even for a moment.
 */
int fs_path_open(int directory, const char *path, uint32_t flags, uint32_t mode, int *ret_fd,
	struct fs_attributes *ret_attributes);
int fs_path_stat(
	int directory, const char *path, uint32_t stat_flags, struct fs_attributes *ret_attributes);

/*
 * The same for the I/O thread: never blocks. -EAGAIN: it would have to, ask a worker. Only for
 * flags that fs_path_may_be_quick takes, and a root that is local. *ret_walked, or the fd in it, is
 * -1, or a descriptor for the caller to close without blocking; set in any case.
 */
bool fs_path_may_be_quick(const struct fs_path_root *root, uint32_t open_flags);

/* An open in two halves: what a path leads to, which may be opened; and its opening. */
struct fs_walked {
	int fd;         /* O_PATH */
	uint64_t mount; /* that it lies in: id for as long as a file of it is open */
	struct fs_attributes attributes;
};

int fs_path_quick_walk(const struct fs_path_root *root, int directory, const char *path,
	uint32_t open_flags, struct fs_walked *ret_walked);
/* A descriptor, or a negative errno. 'walked' stays the caller's. */
int fs_path_quick_reopen(const struct fs_walked *walked, uint32_t open_flags);
/* Both. */
int fs_path_quick_open(const struct fs_path_root *root, int directory, const char *path,
	uint32_t flags, int *ret_fd, struct fs_attributes *ret_attributes, int *ret_walked);
int fs_path_quick_stat(const struct fs_path_root *root, int directory, const char *path,
	uint32_t stat_flags, struct fs_attributes *ret_attributes, int *ret_walked);

int fs_path_quick_attributes(
	const struct fs_path_root *root, int fd, struct fs_attributes *ret_attributes);

/* Of an open descriptor. */
int fs_path_attributes(int fd, struct fs_attributes *ret_attributes);

int fs_path_mkdir(int directory, const char *path, uint32_t mode);
/* 'remove_directory': rmdir(2), else unlink(2). */
int fs_path_unlink(int directory, const char *path, bool remove_directory);
/* As renameat2(2); flags: enum fs_rename_flag. */
int fs_path_rename(int from_directory, const char *from, int to_directory, const char *to, uint32_t flags);
/* Another name of a file; what 'from' leads to may be a symbolic link, and is linked itself. */
int fs_path_link(int from_directory, const char *from, int to_directory, const char *to);
int fs_path_symlink(const char *target, int directory, const char *path);
/* The text of a symbolic link, without a 0 byte: its length, at most 'room', or a negative errno. */
long fs_path_read_link(int directory, const char *path, char *ret_text, size_t room);

/*
 * What a path with enum fs_at_flag leads to: with FS_AT_HANDLE 'directory' itself, else an O_PATH descriptor
 * for the caller to close (fs_path_at_leave). A descriptor or a negative errno.
 */
int fs_path_at(int directory, const char *path, uint32_t at_flags);
void fs_path_at_leave(int fd, uint32_t at_flags);

/*
 * These act on any descriptor, one of O_PATH too, but for FS_SET_SIZE by FS_AT_HANDLE, which is ftruncate(2).
 * -EINVAL and -EPERM as PROTOCOL.md section 5.20 has them.
 */
int fs_path_set(int fd, const struct fs_set_attributes *change);
int fs_path_system(int fd, struct fs_system *ret_system);
/* Only of names that begin with "user.", else -ENOTSUP. The length, or a negative errno. */
long fs_path_get_xattr(int fd, const char *name, void *ret_value, size_t room);
int fs_path_set_xattr(int fd, const char *name, const void *value, size_t len, uint32_t xattr_flags);
int fs_path_remove_xattr(int fd, const char *name);
/* Names, each ended by a 0 byte: their length. -ERANGE when they need more than 'room'. */
long fs_path_list_xattrs(int fd, char *ret_names, size_t room);

/* Of a name right in an open directory, no path; a symbolic link is not followed. */
int fs_path_entry(int directory, const char *name, struct fs_attributes *ret_attributes);
/* The inode behind a descriptor, O_PATH or not, opened anew: a descriptor or a negative errno. */
int fs_path_reopen(int fd, int open_flags);
/* The link to it below /proc, which system calls without a form for descriptors take. */
#define FS_PATH_LINK_LEN 32
void fs_path_link_of(int fd, char ret_link[FS_PATH_LINK_LEN]);

/* The confined openat2 that all of these use: a descriptor or a negative errno. */
int fs_path_walk(int directory, const char *path, uint64_t open_flags, uint32_t mode);
/* The same, and no symbolic link is followed, wherever it leads (-ELOOP). */
int fs_path_walk_unlinked(int directory, const char *path, uint64_t open_flags);

/* Do these flags make sense together? 0 or -EINVAL. */
int fs_path_flags_check(uint32_t open_flags);
/* Would opening with them change anything? */
bool fs_path_flags_modify(uint32_t open_flags);

#endif
