/*
 * fs_handle: the open files of one stream, by the numbers that the guest has for
 * them. A number is generation << 10 | place in the table, so that a stale one
 * names nothing (-EBADF), never the file that has its place by now. A file that is in
 * use stays open until the last user lets go, whatever the guest closes.
 */
#ifndef FERRULE_MONITOR_FS_HANDLE_H
#define FERRULE_MONITOR_FS_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/fs.h"

#define FS_HANDLE_NONE UINT32_MAX /* a place that no handle has */

enum fs_handle_kind {
	FS_HANDLE_FILE,
	FS_HANDLE_APPEND, /* a file, opened with FS_OPEN_APPEND */
	FS_HANDLE_DIRECTORY,
};

struct fs_handle {
	uint32_t generation; /* never 0 once the place was used */
	uint32_t next_free;  /* place, or FS_HANDLE_NONE */
	int fd;
	uint16_t users;
	bool open;    /* the guest has the number and has not closed it */
	bool locked;  /* it has had locks */
	uint8_t kind; /* enum fs_handle_kind */
	uint16_t ranges; /* calls that may each have made a range of locked bytes more */
};

/* All zero: empty. */
struct fs_handles {
	struct fs_handle *handle; /* [count], grows up to FS_HANDLES_MAX */
	uint32_t count;
	uint32_t free_count;
	uint32_t first_free;
};

/* Takes a place for a file that is about to be opened. 0, -EMFILE, -ENOMEM. */
int fs_handles_take(struct fs_handles *handles, uint32_t *ret_place);
/* It could not be opened. */
void fs_handles_give(struct fs_handles *handles, uint32_t place);
/* It was opened: the number for the guest, never 0. 'fd' belongs to the table. */
uint32_t fs_handles_fill(
	struct fs_handles *handles, uint32_t place, int fd, enum fs_handle_kind kind);

/* Uses the file with this number; valid until fs_handles_leave. 0 or -EBADF. */
int fs_handles_use(struct fs_handles *handles, uint32_t number, uint32_t *ret_place);
const struct fs_handle *fs_handles_at(const struct fs_handles *handles, uint32_t place);
/* Returns a descriptor that is to be closed now, or -1. */
int fs_handles_leave(struct fs_handles *handles, uint32_t place);

/* Of a number that is or was open. */
static inline uint32_t fs_handles_place(uint32_t number)
{
	return number & (FS_HANDLES_MAX - 1);
}

/* It has got a lock. */
void fs_handles_lock(struct fs_handles *handles, uint32_t place, uint16_t ranges);

/* The guest is done with this number. 0 or -EBADF; *ret_fd is to be closed now unless -1. */
int fs_handles_close(struct fs_handles *handles, uint32_t number, int *ret_fd);
/* At the end, when nothing is in use: a descriptor to be closed, -1 after the last. */
int fs_handles_drain(struct fs_handles *handles);
void fs_handles_free(struct fs_handles *handles);

#endif
