/*
 * fs_tree: a mount with everything in it that leads out of one, in the scratch
 * directory, and short calls of fs_path on it.
 *
 *	outside/secret           "outside"
 *	mount/file               "hello"
 *	mount/dir/inner          "inner"
 *	mount/dir/sub/
 *	mount/dir/up-inside      -> ../file
 *	mount/to-file            -> file
 *	mount/to-dir             -> dir
 *	mount/to-file-around     -> dir/../file
 *	mount/to-secret          -> ../outside/secret
 *	mount/to-outside         -> ../outside
 *	mount/to-secret-absolute -> /.../outside/secret
 *	mount/to-file-absolute   -> /.../mount/file
 *	mount/to-nothing         -> nothing
 *	mount/to-itself          -> to-itself
 */
#ifndef FERRULE_TESTS_LIB_FS_TREE_H
#define FERRULE_TESTS_LIB_FS_TREE_H

#include <stdbool.h>

#include "monitor/fs_path.h"

struct fs_tree {
	int top; /* holds the two below; O_PATH, as they are */
	int mount;
	int outside;
	struct fs_path_root root;
};

extern struct fs_tree fs_tree;

/* Fixture. Needs scratch_create. */
void fs_tree_setup(void);
void fs_tree_teardown(void);

void fs_tree_put(int directory, const char *name, const char *text);
bool fs_tree_has(int directory, const char *name);
/* 0, or the errno (negative) of opening in the mount. */
int fs_tree_open(const char *path, uint32_t flags);
int fs_tree_stat(const char *path);
/* Opens for reading and compares: 0, an errno (negative), or -1000 when it is another file. */
int fs_tree_read_is(int directory, const char *path, uint32_t flags, const char *text);

#endif
