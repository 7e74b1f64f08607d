/*
 * place: where the path of a public call leads: to which mount's stream, from which directory, by
 * which path there.
 */
#ifndef FERRULE_GUEST_STREAM_PLACE_H
#define FERRULE_GUEST_STREAM_PLACE_H

#include "guest/stream/fs.h"
#include "guest/stream/path.h"

struct place {
	struct fs_client *client;     /* held until place_leave; NULL: this side has it itself (boot.h) */
	const struct boot_tree *tree; /* then where; NULL: in boot:/, whose tree is read when it is needed */
	const struct boot_node *from; /* and from which directory; NULL: its top */
	const struct boot_node *above; /* of what a directory there has mounts below, or NULL: struct file */
	uint32_t directory;           /* handle, 0: the mount */
	struct wire_bytes path;       /* below it, as a request has it; ended by a 0 */
	struct mount_path at;     /* what 'path' points into, unless it is the caller's own */
};

/*
 * 'directory' NULL: 'path' is absolute. 0, or an errno; then there is nothing to leave. The struct
 * holds a path of 4 KiB: one or two at a time lie on a stack.
 */
int place_find(struct place *place, struct file *directory, const char *path, deadline until);
void place_leave(struct place *place);

/* One request to it. -ENOTSUP when the monitor does not know it; without a client what boot_refuse says. */
int place_perform(struct place *place, struct fs_call *call, deadline until);

/*
 * All of it for one request of one path, which goes to *request_directory and *request_path: found,
 * performed and left.
 */
int place_call(struct file *directory, const char *path, struct fs_call *call, uint32_t *request_directory,
	struct wire_bytes *request_path, deadline until);

static inline struct wire_bytes bytes_of(const char *text)
{
	return (struct wire_bytes){text, __builtin_strlen(text)};
}

#endif
