/*
 * fs_guest: calls of protocol 0 from the guest's end (guest_end.h), for tests of the
 * monitor's half. The mount is a fresh directory of the scratch directory.
 */
#ifndef FERRULE_TESTS_LIB_FS_GUEST_H
#define FERRULE_TESTS_LIB_FS_GUEST_H

#include "protocol/fs.h"
#include "tests/lib/guest_end.h"

#define FS_GUEST_RING (256u << 10)

/* A reply as it came; the body is valid until the next one. */
struct fs_reply {
	struct frame frame;
	const unsigned char *body;
	size_t len;
	uint64_t end; /* its position in the ring, behind the last byte */
};

extern struct guest_end fs_guest;

/* Fixture: the I/O thread, with the mount at /rw and, read-only, at /ro; may listen on 127.0.0.1.
 */
void fs_guest_setup(void);
void fs_guest_teardown(void);
/* A path in the mounted directory; valid until the next call. */
const char *fs_guest_host_path(const char *name);

/* Throws the file out of memory, where it can be: reading takes a while then. */
void fs_guest_make_cold(const char *name);

/* A stream opened on a mount. */
struct guest_stream fs_guest_open(
	const char *mount, uint32_t to_host, uint32_t to_guest, struct fs_mounted *ret_mounted);

uint32_t fs_guest_send(struct guest_stream *stream, enum fs_type type, const void *body);
/* A frame with this id and these flags, up to the length of a ring. */
void fs_guest_send_frame(struct guest_stream *stream, enum fs_type type, uint32_t flags, uint32_t id,
	const void *body);
struct fs_reply fs_guest_receive(struct guest_stream *stream);
/* The bytes of a file in it. */
struct wire_bytes fs_guest_data(const struct fs_reply *reply);
/*
 * Sends and receives; nothing else may be unanswered. ret_body (of the reply) may be NULL.
 * Returns the errno.
 */
int fs_guest_call(struct guest_stream *stream, enum fs_type type, const void *body, void *ret_body);

struct wire_bytes fs_guest_bytes(const char *text);
/* The handle, which is not 0; fails the test when it cannot be opened. */
uint32_t fs_guest_handle(struct guest_stream *stream, const char *path, uint32_t flags);
int fs_guest_try_open(struct guest_stream *stream, const char *path, uint32_t flags);
int fs_guest_read(struct guest_stream *stream, uint32_t handle, uint32_t len, uint64_t offset,
	struct wire_bytes *ret_data);
int fs_guest_write(struct guest_stream *stream, uint32_t handle, uint64_t offset, const void *bytes,
	size_t len);
int fs_guest_close(struct guest_stream *stream, uint32_t handle);

/* ReadFile of all of it; 'path' stays with the caller. */
struct fs_read_file fs_guest_whole(const char *path);
/* How far a file has come whose bytes are a pattern of this key (random.h). */
struct fs_guest_file {
	uint64_t key;
	uint64_t offset; /* where reading began */
	uint64_t got;    /* bytes so far */
	bool begun;      /* the attributes have come */
};
/* Takes one reply in and checks it. Does another follow? */
bool fs_guest_take_piece(struct fs_guest_file *file, const struct fs_reply *reply);
/* One ReadFile from request to end; returns the bytes. */
uint64_t fs_guest_read_whole(
	struct guest_stream *stream, const struct fs_read_file *read, uint64_t key);

/*
 * Accepts a connection of a native client as this stream, which is new; the client's socket. Its receive buffer has
 * 'most' bytes; 0: what the kernel thinks.
 */
int fs_guest_connect(struct guest_stream *target, int most);

#endif
