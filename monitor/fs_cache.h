/*
 * fs_cache: small files that FS_READ_FILE has read lately, still open. Opening one anew by way
 * of /proc/self/fd, and closing it, was a quarter of the I/O thread's time for a file of 1 KiB.
 *
 * Each path is still walked: that alone says what it names now, and that it may be reached. A file
 * of the cache takes the place of the opening when the walk ends at its inode, in its mount,
 * with its ctime, mode and owner, so that nothing has changed by which the opening would now be
 * refused. (The number of an inode is not given to another while one is open.) Size and times are
 * the walk's, never the cache's, and bytes are not kept.
 *
 * A walk serves every request for the same path that was in the ring before it began: to all of them it
 * is a look at a moment between request and reply.
 *
 * What differs from opening each time, for at most FS_CACHE_IDLE_MS x 2 after the last use:
 * - who asks for a write lease (fcntl(2)) on such a file, or unmounts a file system beneath the
 *   mount, is told that it is in use;
 * - the blocks of a file that was deleted are freed then (64 files of 128 KiB, unless they grow);
 * - fanotify and inotify tell of one opening for many reads; a security module's change of
 *   mind that leaves the inode alone counts from the next opening on.
 *
 * Not for overlayfs: two names of one lower inode are one file there until one of them is
 * written to, and then the open file has become the other one.
 *
 * Private to monitor/fs*.c; one for each stream; I/O thread only.
 */
#ifndef FERRULE_MONITOR_FS_CACHE_H
#define FERRULE_MONITOR_FS_CACHE_H

#include <stdint.h>

#include "monitor/fs_path.h"

struct fs_cache;
struct io;

#define FS_CACHE_FILES     64u          /* the most; fewer where descriptors are scarce */
#define FS_CACHE_SIZE      (128u << 10) /* bytes of a file: one read, so nobody shares a readahead */
#define FS_CACHE_PATH      128u         /* bytes of a path whose walk can serve others */
#define FS_CACHE_IDLE_MS   500u         /* a file not used for 1 to 2 times this is closed */
#define FS_CACHE_SETTLE_MS 100u         /* a ctime says nothing of changes within a tick of the clock */
#define FS_CACHE_NONE      UINT32_MAX   /* a place that no file has */

/* NULL: no memory. */
struct fs_cache *fs_cache_new(struct io *io);
/* Nothing is in use. 'cache' may be NULL. */
void fs_cache_end(struct fs_cache *cache);

/* Of a request for a path. */
struct fs_cache_asked {
	uint32_t directory; /* handle */
	const char *path;
	uint64_t turn; /* now; not 0 */
	uint64_t end;  /* position of the ring behind the request */
};

/*
 * These return a place with a file, to be used until fs_cache_leave, or FS_CACHE_NONE.
 * The file that a walk of this turn led to, begun when the request was in the ring.
 */
uint32_t fs_cache_recall(struct fs_cache *cache, const struct fs_cache_asked *asked,
	struct fs_attributes *ret_attributes);
/* The file that was walked to. */
uint32_t fs_cache_find(struct fs_cache *cache, const struct fs_walked *walked);
/* The same, not found and opened for reading. FS_CACHE_NONE: 'fd' is still the caller's. */
uint32_t fs_cache_add(struct fs_cache *cache, const struct fs_walked *walked, int fd);

/* A walk led to the file in this place; 'seen': position of the ring up to which it serves. */
void fs_cache_note(struct fs_cache *cache, uint32_t place, const struct fs_cache_asked *asked,
	uint64_t seen, const struct fs_attributes *attributes);
int fs_cache_fd(const struct fs_cache *cache, uint32_t place);
void fs_cache_leave(struct fs_cache *cache, uint32_t place);

#endif
