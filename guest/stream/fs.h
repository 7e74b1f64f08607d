/*
 * fs: the client of the FileSystem protocol (PROTOCOL.md section 5). One stream
 * per mount carries the requests of all fibers; the scheduler's hook hands each
 * answer to the fiber that waits for it.
 */
#ifndef FERRULE_GUEST_STREAM_FS_H
#define FERRULE_GUEST_STREAM_FS_H

#include "guest/ferrule.h"

struct fs_client;
struct mount_path;

/* An open file. */
struct file {
	struct fs_client *client;
	uint32_t handle;
	struct fs_attributes attributes;
};

/* A request and where its answer goes. Lies on the stack of the fiber that waits. */
struct fs_call {
	enum fs_type type;
	const void *request; /* the C struct of fs_requests[type - STREAM_FIRST] */
	void *reply; /* of FS_OPEN, FS_STAT, FS_WRITE, FS_READ_FILE, FS_READ_INTO: where to decode
		      * the (first) answer's struct; NULL: it is not wanted */
	unsigned char *bytes; /* of FS_READ, FS_LIST and FS_READ_FILE: where the bytes go */
	size_t room;          /* bytes there; more than that is a broken answer */
	size_t len;           /* bytes that came */
	unsigned answers;     /* so far */
	bool done;
	int error;
	struct wait_list waiters;
};

/* 0 or the errno of the answer, of the stream, or -ETIMEDOUT: then the answer is discarded when it
 * comes. */
int fs_perform(struct fs_client *client, struct fs_call *call, deadline until);

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
