/*
 * path: paths as text, and which mount they lie in.
 */
#ifndef FERRULE_GUEST_STREAM_PATH_H
#define FERRULE_GUEST_STREAM_PATH_H

#include "guest/ferrule.h"

struct boot_node;
struct boot_tree;
struct fs_client;

/*
 * Writes the path in its plain form: absolute, without '.', '..' and repeated
 * slashes; '..' at the top stays there, and a path without a leading slash
 * counts from the top. *ret_slash: it ended in a slash, or in a '.' or '..', so
 * it can only be a directory. 0, -ENOENT for an empty path, -ENAMETOOLONG.
 */
int path_normalize(const char *path, char ret_plain[FS_PATH_MAX + 1], bool *ret_slash);

/* What follows the prefix of a path in boot:/; NULL: it is another path. */
const char *path_in_boot(const char *path);

/* A path as the file calls use it. */
struct mount_path {
	bool boot;            /* it lies in boot:/, below whose top 'relative' is; there is no mount; or */
	bool above;           /* it is a directory above mounts, and likewise below the top of mount_tree(); */
	const struct boot_node *node; /* what mount_tree() has of this path, or NULL */
	struct mount *mount;  /* NULL: no mount has it */
	const char *relative; /* below the mount, "." for the mount itself; a slash behind it if it can
			       * only be a directory; points into 'plain' */
	char plain[FS_PATH_MAX + 2];
};

/* 0, or as path_normalize; also for a path that no mount has. */
int mount_resolve(const char *path, struct mount_path *ret_path);

/* The directories that mounts are, and those above them. */
const struct boot_tree *mount_tree(void);
/* path->node, if mounts are somewhere below it; else NULL. */
const struct boot_node *mount_above(const struct mount_path *path);
/* Whether a path from such a directory comes into another mount, be it on the way. */
bool mount_enters(const struct boot_node *above, const char *path);
/* As mount_resolve, for a path from such a directory; -EXDEV when it leads out of that. */
int mount_resolve_at(const struct boot_node *above, const char *path, struct mount_path *ret_path);
/* The mounts right below such a directory, one after the other: the first with 'last' NULL; NULL behind the last. */
const struct boot_node *mount_next(const struct boot_node *above, const struct boot_node *last);

/* What to ask the monitor for: the guest directory of the mount, exactly as it was granted. */
struct wire_bytes mount_directory(const struct mount_path *path);

/*
 * The stream for the requests of all fibers to the mount of this path, opened at
 * first use and again when it broke. To be given back with fs_release. 0 or an
 * errno: EACCES where there is no mount, as the monitor says.
 */
int mount_client(const struct mount_path *path, struct fs_client **ret_client, deadline until);

#endif
