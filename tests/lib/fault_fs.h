/*
 * fault_fs: a file system through FUSE that fails on demand, for tests that are root and have a mount namespace of their own. It
 * has two files of FAULT_LEN bytes: "file", which does what fault_fs says, and "sound", which works.
 */
#ifndef FERRULE_TESTS_LIB_FAULT_FS_H
#define FERRULE_TESTS_LIB_FAULT_FS_H

#include <stdatomic.h>
#include <stdbool.h>

#define FAULT_LEN (1u << 20)

/* What "file" answers with; shared with the process that serves it. 0: it works. */
struct fault_fs {
	atomic_int open, read, write, fsync, readdir, getattr; /* errno */
	atomic_bool hang; /* reads are not answered while it is set */
};

extern struct fault_fs *fault_fs;

/* Mounts it there. False: this machine cannot, and why is in ret_reason. */
bool fault_fs_start(const char *directory, const char **ret_reason);
void fault_fs_stop(void);

#endif
