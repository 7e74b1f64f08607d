/*
 * FS_WATCH: one inotify instance for each stream, made with its first watch. It is read only while
 * the ring has room for what comes of it, so that the kernel's queue is all there is of events that
 * the guest does not take; what that loses the kernel tells.
 *
 * Two watches of one inode share a watch descriptor: the kernel watches for what any of them wants,
 * and each is told what it wants itself. The descriptor is given up with the last of them, but not
 * while a worker is adding a watch, which may be to get that descriptor.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "monitor/log.h"

#define FORGET_TURNS 2u
#define EVENTS_LEN   4096u /* bytes read at once: some of the longest */

_Static_assert(EVENTS_LEN >= sizeof(struct inotify_event) + FS_NAME_MAX + 1, "one fits");

struct fs_watch_point {
	struct fs_watch_point *next;
	uint32_t request_id;
	uint32_t events; /* enum fs_watch_event: that are told */
	int wd;
	bool ending; /* its last reply is still to be sent */
	bool gone;   /* nothing is to be sent any more */
	int error;   /* of the last reply; 0: FS_WATCH_ENDED */
};

struct fs_watches {
	struct fs_stream *fs;
	int fd; /* inotify */
	struct fs_watch_point *first;
	unsigned count;  /* with those that are being added */
	unsigned adding; /* by workers */
	/* Descriptors of which no more will come, since a worker is adding one: it may be of these.
	 */
	int ended[FS_WATCHES_MAX];
	unsigned ended_count;
	bool ended_lost; /* there were more */
	bool polling;
	unsigned forgotten; /* turns since io was told to forget it */
	struct io_op poll;
	size_t used, len; /* bytes of 'events' told, and there */
	struct fs_watch_point
		*told; /* who has the event at 'used' already: up to this one; NULL: nobody */
	_Alignas(struct inotify_event) unsigned char events[EVENTS_LEN];
};

static const struct {
	uint32_t event;
	uint32_t of_kernel;
} kinds[] = {
	{FS_WATCH_CREATED, IN_CREATE},
	{FS_WATCH_REMOVED, IN_DELETE},
	{FS_WATCH_MOVED_FROM, IN_MOVED_FROM},
	{FS_WATCH_MOVED_TO, IN_MOVED_TO},
	{FS_WATCH_MODIFIED, IN_MODIFY},
	{FS_WATCH_ATTRIBUTES, IN_ATTRIB},
	{FS_WATCH_WRITTEN, IN_CLOSE_WRITE},
	{FS_WATCH_OPENED, IN_OPEN},
	{FS_WATCH_SELF_REMOVED, IN_DELETE_SELF},
	{FS_WATCH_SELF_MOVED, IN_MOVE_SELF},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint32_t to_kernel(uint32_t events)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < KINDS; i++)
		mask |= (events & kinds[i].event) != 0 ? kinds[i].of_kernel : 0;
	return mask;
}

static uint32_t from_kernel(uint32_t mask)
{
	for (unsigned i = 0; i < KINDS; i++) {
		if ((mask & kinds[i].of_kernel) != 0)
			return kinds[i].event;
	}
	return 0;
}

/* ---- the table */

static bool wd_in_use(const struct fs_watches *watches, int wd)
{
	for (const struct fs_watch_point *point = watches->first; point != NULL;
		point = point->next) {
		if (point->wd == wd && !point->gone)
			return true;
	}
	return false;
}

/* Takes those out that nothing is to be sent for. */
static void reap(struct fs_watches *watches)
{
	struct fs_watch_point **link = &watches->first;

	if (watches->adding > 0)
		return;
	while (*link != NULL) {
		struct fs_watch_point *point = *link;
		if (!point->gone) {
			link = &point->next;
			continue;
		}
		*link = point->next;
		if (!wd_in_use(watches, point->wd))
			inotify_rm_watch(watches->fd, point->wd);
		free(point);
		watches->count--;
	}
}

/* ---- telling */

static bool send_event(struct fs_stream *fs, const struct fs_watch_point *point,
	const struct fs_watched *watched, bool last, int error)
{
	const struct wire_message *message = &fs_replies[FS_WATCH - STREAM_FIRST];
	struct stream *stream = fs->stream;
	struct frame frame = {
		.flags = FRAME_REPLY | (last ? 0 : FRAME_MORE),
		.request_id = point->request_id,
		.error = (uint32_t)error,
	};

	if (!stream_room(stream, FRAME_HEADER_LEN + wire_encoded_len(message, watched)))
		return false;
	struct ring_span span = ring_reserve(&stream->pipe.out);
	if (span.end == 0)
		ring_commit_rewind(&stream->pipe.out,
			wire_encode(message, &frame, watched, span.data, span.len));
	return true;
}

/* False: there is no room. */
static bool send_ends(struct fs_stream *fs)
{
	struct fs_watched ended = {.events = FS_WATCH_ENDED, .name = {"", 0}};

	for (struct fs_watch_point *point = fs->watches->first; point != NULL;
		point = point->next) {
		if (!point->ending || point->gone)
			continue;
		if (!send_event(fs, point, &ended, true, point->error))
			return false;
		point->gone = true;
	}
	return true;
}

/* What one watch is told of an event; 0: nothing. */
static uint32_t told_to(const struct fs_watch_point *point, const struct inotify_event *event)
{
	uint32_t events = from_kernel(event->mask) & point->events;

	if (point->ending || point->gone)
		return 0;
	if ((event->mask & IN_Q_OVERFLOW) != 0)
		return FS_WATCH_OVERFLOW;
	if (point->wd != event->wd || events == 0)
		return 0;
	return events | ((event->mask & IN_ISDIR) != 0 ? FS_WATCH_DIRECTORY : 0);
}

static void note_end(struct fs_watches *watches, int wd)
{
	if (watches->adding == 0)
		return;
	if (watches->ended_count < FS_WATCHES_MAX)
		watches->ended[watches->ended_count++] = wd;
	else
		watches->ended_lost = true;
}

/* A worker has added this one. Has the last been read of it already? */
static bool has_ended(struct fs_watches *watches, int wd)
{
	bool ended = watches->ended_lost;

	for (unsigned i = 0; i < watches->ended_count && !ended; i++)
		ended = watches->ended[i] == wd;
	if (--watches->adding == 0) {
		watches->ended_count = 0;
		watches->ended_lost = false;
	}
	return ended;
}

/* To all whom it concerns and who do not have it yet. False: there is no room. */
static bool tell(struct fs_stream *fs, const struct inotify_event *event)
{
	struct fs_watches *watches = fs->watches;
	struct fs_watched watched = {.cookie = event->cookie};
	struct fs_watch_point *point = watches->told != NULL ? watches->told->next : watches->first;

	if (event->len > 0)
		watched.name = (struct wire_bytes){event->name, strlen(event->name)};
	for (; point != NULL; point = point->next) {
		watched.events = told_to(point, event);
		if (watched.events != 0 && !send_event(fs, point, &watched, false, 0))
			return false;
		watches->told = point;
		/* No more will come by this descriptor. */
		if ((event->mask & IN_IGNORED) != 0 && point->wd == event->wd)
			point->ending = true;
	}
	return true;
}

static const struct inotify_event *next_event(const struct fs_watches *watches)
{
	return (const void *)(watches->events + watches->used);
}

/* False: there is no room. */
static bool tell_all(struct fs_stream *fs)
{
	struct fs_watches *watches = fs->watches;

	while (watches->used < watches->len) {
		const struct inotify_event *event = next_event(watches);
		if (!tell(fs, event))
			return false;
		if ((event->mask & IN_IGNORED) != 0)
			note_end(watches, event->wd);
		watches->used += sizeof(*event) + event->len;
		watches->told = NULL;
		if (!send_ends(fs))
			return false;
	}
	return true;
}

static void poll_done(struct io_op *op, int result)
{
	struct fs_watches *watches = io_container(op, struct fs_watches, poll);
	struct fs_stream *fs = watches->fs;

	(void)result;
	watches->polling = false;
	fs_pump(fs);
}

/* Some more from the kernel. False: there are none, and it will be told when there are. */
static bool read_some(struct fs_stream *fs)
{
	struct fs_watches *watches = fs->watches;
	ssize_t len = read(watches->fd, watches->events, sizeof(watches->events));

	watches->used = 0;
	watches->len = len > 0 ? (size_t)len : 0;
	if (len > 0)
		return true;
	if (!watches->polling && watches->count > 0) {
		watches->polling = true;
		watches->poll.done = poll_done;
		io_poll(fs_io(fs), &watches->poll, watches->fd, POLLIN);
	}
	return false;
}

void fs_watch_send(struct fs_stream *fs)
{
	struct fs_watches *watches = fs->watches;

	if (watches == NULL || fs_mute(fs))
		return;
	for (unsigned turn = 0; turn < FS_TURN; turn++) {
		/* Room that is wanted will signal when it comes. */
		if (!send_ends(fs) || !tell_all(fs))
			return;
		reap(watches);
		if (fs->input_ended || !read_some(fs))
			return;
	}
	fs_again(fs);
}

/* ---- ends */

static void end(struct fs_watch_point *point, int error)
{
	if (point->ending)
		return;
	point->ending = true;
	point->error = error;
}

bool fs_watch_cancel(struct fs_stream *fs, uint32_t request_id)
{
	struct fs_watch_point *point = fs->watches != NULL ? fs->watches->first : NULL;

	while (point != NULL && (point->ending || point->request_id != request_id))
		point = point->next;
	if (point != NULL)
		end(point, ECANCELED);
	return point != NULL;
}

void fs_watch_cancel_all(struct fs_stream *fs)
{
	if (fs->watches == NULL)
		return;
	for (struct fs_watch_point *point = fs->watches->first; point != NULL; point = point->next)
		end(point, ECANCELED);
}

/*
 * Closing an inotify instance takes 3 to 16 ms, so a thread does it, and io is to have let go of
 * the descriptor by then: libevent does so in its next turn, which lies between two calls of this
 * that each asked for another. False: not yet.
 */
static bool forget(struct fs_watches *watches)
{
	if (watches->forgotten == 0)
		io_forget(fs_io(watches->fs), watches->fd);
	if (watches->forgotten == FORGET_TURNS)
		return true;
	watches->forgotten++;
	fs_again(watches->fs);
	return false;
}

/* Is there something still to be sent, or an operation to end? */
bool fs_watch_busy(struct fs_stream *fs)
{
	struct fs_watches *watches = fs->watches;

	if (watches == NULL)
		return false;
	if (watches->polling)
		io_cancel(fs_io(fs), &watches->poll);
	if (watches->polling || (watches->first != NULL && !fs_mute(fs)))
		return true;
	return !forget(watches);
}

void fs_watch_free(struct fs_stream *fs)
{
	struct fs_watches *watches = fs->watches;
	struct fs_watch_point *point;

	if (watches == NULL)
		return;
	while ((point = watches->first) != NULL) {
		watches->first = point->next;
		free(point);
	}
	fs_close_fd(fs, watches->fd); /* waits for those who just look at a watch */
	free(watches);
}

/* ---- the request */

static int create(struct fs_stream *fs)
{
	struct fs_watches *watches = calloc(1, sizeof(*watches));

	if (watches == NULL)
		return -ENOMEM;
	watches->fs = fs;
	watches->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watches->fd < 0) {
		int error = errno;
		free(watches);
		if (error == EMFILE)
			log_guest(LOG_WARNING,
				"no inotify instance is left for the guest's watches; raise "
				"the sysctl fs.inotify.max_user_instances");
		return -error;
	}
	fs->watches = watches;
	return 0;
}

int fs_watch_start(struct fs_request *request)
{
	const struct fs_watch *watch = &request->body.watch;
	struct fs_stream *fs = request->fs;
	int result = fs_at_check(request, watch->flags, FS_AT_KNOWN);

	if (result == 0 && (watch->events == 0 || (watch->events & ~(uint32_t)FS_WATCH_KNOWN) != 0))
		result = -EINVAL;
	if (result == 0)
		result = fs_request_use(request, 0, watch->directory, true);
	if (result == 0 && fs->watches == NULL)
		result = create(fs);
	if (result == 0 && fs->watches->count >= FS_WATCHES_MAX)
		result = -ENOSPC;
	if (result < 0)
		return result;
	request->watch_point = malloc(sizeof(*request->watch_point));
	if (request->watch_point == NULL)
		return -ENOMEM;
	fs->watches->count++;
	fs->watches->adding++;
	return FS_WORK;
}

static int add(struct fs_request *request)
{
	const struct fs_watch *watch = &request->body.watch;
	char link[FS_PATH_LINK_LEN];
	int fd = fs_path_at(request->directory[0], request->path[0], watch->flags);

	if (fd < 0)
		return fd;
	fs_path_link_of(fd, link);
	int wd = inotify_add_watch(
		request->fs->watches->fd, link, to_kernel(watch->events) | IN_MASK_ADD);
	if (wd < 0)
		wd = -errno;
	fs_path_at_leave(fd, watch->flags);
	return wd;
}

/* Never fails: the count of those that are being added is the I/O thread's. */
int fs_watch_work(struct fs_request *request)
{
	*request->watch_point = (struct fs_watch_point){
		.request_id = request->frame.request_id,
		.events = request->body.watch.events,
		.wd = add(request),
	};
	return 0;
}

int fs_watch_finish(struct fs_request *request)
{
	struct fs_watches *watches = request->fs->watches;
	struct fs_watch_point *point = request->watch_point;
	int wd = point->wd;
	bool ended = has_ended(watches, wd);

	request->watch_point = NULL;
	if (wd < 0) {
		watches->count--;
		free(point);
		if (wd == -ENOSPC)
			log_guest(LOG_WARNING, "no watch is left for the guest; raise the sysctl "
					       "fs.inotify.max_user_watches");
		return wd;
	}
	point->next = watches->first;
	watches->first = point;
	point->ending = ended;
	if (request->fs->input_ended)
		end(point, ECANCELED);
	request->reply.watched = (struct fs_watched){.name = {"", 0}};
	request->more_replies = true;
	return FS_ANSWER;
}

/* ---- FS_CANCEL */

int fs_cancel_start(struct fs_request *request)
{
	uint32_t request_id = request->body.cancel.request_id;
	bool found =
		fs_lock_cancel(request->fs, request_id) || fs_watch_cancel(request->fs, request_id);

	return found ? FS_ANSWER : -ENOENT;
}
