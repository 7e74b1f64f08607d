/*
 * A watch has a stream of its own: who is slow to take its events holds up no other request, and
 * what is not taken waits in the ring and then on the host, which says when it has lost some.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/place.h"
#include "guest/stream/stream.h"

#define WATCH_TO_HOST_CAPACITY  8192u
#define WATCH_TO_GUEST_CAPACITY 16384u
#define WATCH_REQUEST           2u

struct watch {
	struct stream *stream;
	bool ended;
};

/* The next answer: 1, 0 when it says that no more will come, or an errno. */
static int next_answer(struct watch *watch, struct watch_event *ret_event, deadline until)
{
	struct fs_watched watched;
	const unsigned char *body;
	struct frame frame;
	int error = frame_await(watch->stream, &frame, &body, until);

	if (error)
		return error == -EPIPE ? -EIO : error;
	if (frame.error)
		error = -(int)(frame.error & 0xffff);
	else if (frame.type != FS_WATCH)
		error = -EPROTO;
	else
		error = wire_decode(&fs_replies[FS_WATCH - STREAM_FIRST], &watched, body,
			frame.length - FRAME_HEADER_LEN);
	if (!error) {
		ret_event->events = watched.events;
		ret_event->cookie = watched.cookie;
		memcpy(ret_event->name, watched.name.data, watched.name.len);
		ret_event->name[watched.name.len] = 0;
	}
	frame_done(watch->stream, &frame);
	watch->ended = error || !(frame.flags & FRAME_MORE);
	return error ? error : !watch->ended;
}

static int open_stream(
	struct watch *watch, const struct mount_path *at, uint32_t events, deadline until)
{
	struct fs_mount payload = {mount_directory(at)};
	struct fs_mounted mounted;
	struct fs_watch request = {.events = events, .path = bytes_of(at->relative)};
	struct frame frame = {.request_id = WATCH_REQUEST};
	struct watch_event begun;
	int error = stream_open_protocol(watch->stream, PROTOCOL_FS, &fs_mount_message, &payload,
		&fs_mounted_message, &mounted, until);

	if (error)
		return error;
	if (!(mounted.operations >> (FS_WATCH - STREAM_FIRST) & 1))
		return -ENOTSUP;
	error = frame_send(watch->stream, NULL, &fs_requests[FS_WATCH - STREAM_FIRST], &frame,
		&request, until);
	if (error)
		return error;
	error = next_answer(watch, &begun, until);
	return error < 0 ? error : 0;
}

int watch_open(struct watch **ret_watch, const char *path, uint32_t events, deadline until)
{
	struct watch *watch;
	struct mount_path at;
	int error = mount_resolve(path, &at);

	if (!error && at.boot)
		error = -ENOTSUP; /* nothing ever happens there */
	if (error)
		return error;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	error = control_new_stream(
		WATCH_TO_HOST_CAPACITY, WATCH_TO_GUEST_CAPACITY, &watch->stream, until);
	if (!error) {
		error = open_stream(watch, &at, events, until);
		if (error)
			stream_close(watch->stream);
	}
	if (error)
		free(watch);
	else
		*ret_watch = watch;
	return error;
}

int watch_next(struct watch *watch, struct watch_event *ret_event, deadline until)
{
	return watch->ended ? 0 : next_answer(watch, ret_event, until);
}

void watch_close(struct watch *watch)
{
	stream_close(watch->stream);
	free(watch);
}
