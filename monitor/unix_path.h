/*
 * unix_path: the system calls behind the UNIX sockets of a guest. A path is walked by openat2 from
 * the directory of its grant and cannot leave it: '..' may be no part of it, and no symbolic link is
 * followed (-ELOOP). The socket found is connected to by way of /proc/self/fd, the same inode whatever
 * its path means by now; a socket is bound in the directory found, by the same way.
 *
 * Blocking calls for worker threads: a path can lead over a file system that is slow, or
 * hangs. They know nothing of streams. Errors are negative errno values.
 */
#ifndef FERRULE_MONITOR_UNIX_PATH_H
#define FERRULE_MONITOR_UNIX_PATH_H

#include "monitor/grants.h"
#include "protocol/unix.h"

/*
 * A connected socket, close-on-exec. The errors are connect(2)'s; -EAGAIN: the listener's backlog
 * is full.
 */
int unix_path_connect(const struct unix_place *place, uint32_t type);

/* A socket that listens, and its file. */
struct unix_bound {
	int fd;
	int directory; /* O_PATH, that the file is in; -1: abstract, there is none */
	int file;      /* O_PATH of the file: its inode cannot be another's meanwhile */
	char name[UNIX_LISTEN_NAME_MAX + 1];
};

/* 0; the errors are bind(2)'s and listen(2)'s. 'wanted->path' is not looked at, its type and flags are valid ones. */
int unix_path_listen(const struct unix_place *place, const struct unix_listen *wanted,
	unsigned backlog, struct unix_bound *ret_bound);
/*
 * Removes the file, unless its name is another file's by now, and closes all but 'fd'. (Who replaces it
 * between that look and the removal loses a file: the kernel has no call that does both.)
 */
void unix_path_remove(struct unix_bound *bound);

#endif
