/*
 * path: paths as text, and which mount they lie in.
 */
#ifndef FERRULE_GUEST_STREAM_PATH_H
#define FERRULE_GUEST_STREAM_PATH_H

#include "guest/ferrule.h"

struct fs_client;
struct fiber_mutex;

/*
 * Writes the path in its plain form: absolute, without '.', '..' and repeated
 * slashes; '..' at the top stays there, and a path without a leading slash
 * counts from the top. *ret_slash: it ended in a slash, or in a '.' or '..', so
 * it can only be a directory. 0, -ENOENT for an empty path, -ENAMETOOLONG.
 */
int path_normalize(const char *path, char ret_plain[FS_PATH_MAX + 1], bool *ret_slash);

/* A path as the file calls use it. */
struct mount_path {
	struct mount *mount;
	const char *relative; /* below the mount, "." for the mount itself; points into 'plain' */
	bool directory;       /* the caller wrote it as a directory's */
	char plain[FS_PATH_MAX + 1];
};

/* 0, or as path_normalize. A path that no mount has gets one that the monitor refuses: EACCES at
 * its first use. */
int mount_resolve(const char *path, struct mount_path *ret_path);

/* The guest directory of the mount, exactly as the monitor granted it. */
struct wire_bytes mount_directory(const struct mount *mount);

/*
 * The stream for the requests of all fibers to this mount, opened at first use
 * and again when it broke. To be given back with fs_release. 0 or an errno.
 */
int mount_client(struct mount *mount, struct fs_client **ret_client, deadline until);

#endif
