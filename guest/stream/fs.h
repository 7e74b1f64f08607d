/*
 * fs: the client of the FileSystem protocol (PROTOCOL.md section 5). One stream
 * per mount carries the requests of all fibers; the scheduler's hook hands each
 * answer to the fiber that waits for it.
 */
#ifndef FERRULE_GUEST_STREAM_FS_H
#define FERRULE_GUEST_STREAM_FS_H

#include "guest/ferrule.h"
#include "guest/stream/fiber.h"

struct boot_node;
struct fs_client;
struct fs_request;
struct mount_path;

/* An open file or directory. */
struct file {
	struct fs_client *client;     /* NULL: this side has it itself (boot.h) */
	const struct boot_tree *tree; /* then where, */
	const struct boot_node *node; /* and what it is */
	const struct boot_node *above; /* in mount_tree(): this directory has mounts somewhere below; else NULL */
	uint32_t handle;
	uint32_t flags; /* enum fs_open_flag that it was opened with */
	struct fs_attributes attributes;
	uint64_t position; /* of a file without FS_OPEN_APPEND; with it the monitor has the position */
	struct fiber_mutex position_lock;
};

/* file_pread and file_pwrite, which may be of FS_POSITION (file.c). */
long file_move(struct file *file, bool writes, const void *bytes, size_t len, uint64_t offset,
	deadline until);

/* A request and where its answer goes. Lies on the stack of the fiber that waits. */
struct fs_call {
	enum fs_type type;
	const void *request; /* the C struct of fs_requests[type - STREAM_FIRST] */
	void *reply; /* of FS_OPEN, FS_STAT, FS_WRITE, FS_READ_FILE, FS_READ_INTO: where to decode
		      * the (first) answer's struct; NULL: it is not wanted */
	unsigned char *bytes; /* of answers that are bytes: where they go */
	size_t room;          /* bytes there; more than that is a broken answer */
	size_t len;           /* bytes that came */
	struct fs_request *pending; /* private */
	unsigned answers;     /* so far */
	bool done;
	int error;
	struct wait_list waiters;
};

/* 0 or the errno of the answer, of the stream, or -ETIMEDOUT: then the answer is discarded when it
 * comes. */
int fs_perform(struct fs_client *client, struct fs_call *call, deadline until);
/*
 * The two halves of it, for several calls under way at once: sends the request, and waits for the answer.
 * A call that was begun is awaited, or forgotten before its memory goes.
 */
int fs_begin(struct fs_client *client, struct fs_call *call, deadline until);
int fs_await(struct fs_call *call, deadline until);
void fs_forget(struct fs_call *call);
/*
 * A lock that is waited for. One that comes after the deadline is given back, unless 0 says that it came.
 */
int fs_perform_lock(struct fs_client *client, struct fs_lock *lock, deadline until);

/* Closes a handle without waiting, now or as soon as there is room for the request. */
void fs_close_handle(struct fs_client *client, uint32_t handle);

/* Bytes that one request or answer can carry. */
size_t fs_most_read(const struct fs_client *client);
size_t fs_most_written(const struct fs_client *client);

/* Makes a stream for the requests to the mount of this path, held by the caller. */
int fs_connect(const struct mount_path *path, struct fs_client **ret_client, deadline until);
/* Does the monitor know this request? */
bool fs_supports(const struct fs_client *client, enum fs_type type);
bool fs_usable(const struct fs_client *client);
struct fs_client *fs_hold(struct fs_client *client);
/* The last holder's release closes the stream. */
void fs_release(struct fs_client *client);

#endif
