/*
 * FS_LOCK. Linux waits for a lock in a system call, which would take a worker for as long as
 * somebody else has it. So whoever waits here is tried again: by a timer, whose pauses grow, and at
 * once when this stream gives a lock back. A try is a call that does not wait; where a server has
 * to be asked a worker makes it.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define PAUSE_LEAST 1000000u  /* ns */
#define PAUSE_MOST  20000000u /* ns */

/* ---- one try */

static int try_whole(int fd, uint32_t flags)
{
	int operation = (flags & FS_LOCK_SHARED) != 0      ? LOCK_SH
			: (flags & FS_LOCK_EXCLUSIVE) != 0 ? LOCK_EX
							   : LOCK_UN;

	return flock(fd, operation | LOCK_NB) < 0 ? -errno : 0;
}

static int try_range(int fd, const struct fs_lock *lock)
{
	struct flock range = {
		.l_type = (lock->flags & FS_LOCK_SHARED) != 0      ? F_RDLCK
			  : (lock->flags & FS_LOCK_EXCLUSIVE) != 0 ? F_WRLCK
								   : F_UNLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lock->offset,
		.l_len = (off_t)lock->length,
	};

	return fcntl(fd, F_OFD_SETLK, &range) < 0 ? -errno : 0;
}

/* On a worker, or where nobody has to be asked. Its result is for the I/O thread to judge. */
int fs_lock_work(struct fs_request *request)
{
	const struct fs_lock *lock = &request->body.lock;
	int fd = request->directory[0];
	int result = (lock->flags & FS_LOCK_WHOLE) != 0 ? try_whole(fd, lock->flags)
							: try_range(fd, lock);

	/* As fcntl(2) has it on other systems. */
	request->lock_result = result == -EACCES ? -EAGAIN : result;
	return 0;
}

/* ---- how many */

static bool is_range(const struct fs_lock *lock)
{
	return (lock->flags & FS_LOCK_WHOLE) == 0;
}

static bool gives_all_back(const struct fs_lock *lock)
{
	return (lock->flags & FS_LOCK_UNLOCK) != 0 && lock->offset == 0 && lock->length == 0;
}

/* How many ranges a file has locked; FS_LOCK_RANGES when that is not told. */
static uint16_t count_ranges(int fd)
{
	char path[40], line[256];
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *told = fopen(path, "re");
	if (told == NULL)
		return FS_LOCK_RANGES;
	while (fgets(line, sizeof(line), told) != NULL && count < FS_LOCK_RANGES)
		count += strncmp(line, "lock:", 5) == 0;
	fclose(told);
	return (uint16_t)count;
}

/* Linux has no bound, and each range is memory of the kernel's and time of whoever locks the file.
 */
static bool has_many(const struct fs_request *request)
{
	struct fs_handles *handles = &request->fs->handles;
	const struct fs_handle *handle = fs_handles_at(handles, request->held[0]);

	if (!is_range(&request->body.lock) || gives_all_back(&request->body.lock) ||
		handle->ranges < FS_LOCK_RANGES)
		return false;
	/* Not each of the calls made one more. */
	fs_handles_lock(handles, request->held[0], count_ranges(handle->fd));
	return handle->ranges >= FS_LOCK_RANGES;
}

static void note_lock(const struct fs_request *request)
{
	const struct fs_lock *lock = &request->body.lock;
	struct fs_handles *handles = &request->fs->handles;
	uint16_t ranges = fs_handles_at(handles, request->held[0])->ranges;

	if (gives_all_back(lock))
		ranges = is_range(lock) ? 0 : ranges;
	else if (is_range(lock) && ranges < FS_LOCK_RANGES)
		ranges++;
	fs_handles_lock(handles, request->held[0], ranges);
}

/* ---- those who wait */

static void enter(struct fs_request *request)
{
	struct fs_request **link = &request->fs->lock_waits;

	while (*link != NULL)
		link = &(*link)->next_lock;
	*link = request;
	request->next_lock = NULL;
	request->lock_waits = true;
	request->fs->lock_waiting++;
}

static void leave(struct fs_request *request)
{
	struct fs_request **link = &request->fs->lock_waits;

	if (!request->lock_waits)
		return;
	while (*link != request)
		link = &(*link)->next_lock;
	*link = request->next_lock;
	request->lock_waits = false;
	request->fs->lock_waiting--;
}

static void try_all(struct fs_stream *fs);

static void timer_done(struct io_op *op, int result)
{
	struct fs_stream *fs = io_container(op, struct fs_stream, lock_timer.op);

	(void)result;
	fs->lock_timer_set = false;
	fs->lock_pause = fs->lock_pause * 2 < PAUSE_MOST ? fs->lock_pause * 2 : PAUSE_MOST;
	try_all(fs);
	fs_pump(fs);
}

static void set_timer(struct fs_stream *fs)
{
	if (fs->lock_timer_set)
		return;
	fs->lock_timer_set = true;
	fs->lock_timer.op.done = timer_done;
	io_timeout(fs_io(fs), &fs->lock_timer, fs->lock_pause);
}

/* It could not be had. Is it worth waiting for? FS_LATER, or the errno for the reply. */
static int wait_on(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;

	if (request->lock_cancelled || fs->input_ended)
		return -ECANCELED;
	/* They are not to be all that a stream may have under way. */
	if (!request->lock_waits && fs->lock_waiting >= FS_LOCK_WAITS)
		return -ENOLCK;
	if (fs->lock_waits == NULL)
		fs->lock_pause = PAUSE_LEAST;
	if (!request->lock_waits)
		enter(request);
	set_timer(fs);
	return FS_LATER;
}

int fs_lock_finish(struct fs_request *request)
{
	int result = request->lock_result;

	request->lock_trying = false;
	if (result == -EAGAIN && (request->body.lock.flags & FS_LOCK_WAIT) != 0)
		result = wait_on(request);
	if (result != FS_LATER)
		leave(request);
	if (result == 0)
		note_lock(request);
	/* Somebody may have waited for what was given back. */
	if (result == 0 && (request->body.lock.flags & FS_LOCK_UNLOCK) != 0)
		try_all(request->fs);
	return result == 0 ? FS_ANSWER : result;
}

static int try_now(struct fs_request *request)
{
	if (!fs_asks_nobody(request->fs, request->directory[0])) {
		request->lock_trying = true;
		return FS_WORK;
	}
	fs_lock_work(request);
	return fs_lock_finish(request);
}

static void try_all(struct fs_stream *fs)
{
	struct fs_request *next;

	for (struct fs_request *request = fs->lock_waits; request != NULL; request = next) {
		next = request->next_lock;
		if (!request->lock_trying)
			fs_request_go_on(request, try_now(request));
	}
}

/* ---- ends of waiting */

/* One that a worker is just trying ends behind that. */
static void cancel(struct fs_request *request)
{
	request->lock_cancelled = true;
	if (request->lock_trying)
		return;
	leave(request);
	fs_request_go_on(request, -ECANCELED);
}

bool fs_lock_cancel(struct fs_stream *fs, uint32_t request_id)
{
	struct fs_request *request = fs->lock_waits;

	while (request != NULL && request->frame.request_id != request_id)
		request = request->next_lock;
	if (request != NULL)
		cancel(request);
	return request != NULL;
}

void fs_lock_cancel_all(struct fs_stream *fs, uint32_t place)
{
	struct fs_request *next;

	for (struct fs_request *request = fs->lock_waits; request != NULL; request = next) {
		next = request->next_lock;
		if (place == FS_HANDLE_NONE || request->held[0] == place)
			cancel(request);
	}
}

/*
 * A close gives locks back, but only when it is done, which a thread sees to some time later. Where
 * nobody has to be asked they are given back at once.
 */
static void unlock(const struct fs_handle *handle)
{
	struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	fcntl(handle->fd, F_OFD_SETLK, &all);
	flock(handle->fd, LOCK_UN);
}

void fs_lock_close(struct fs_stream *fs, uint32_t handle)
{
	uint32_t place;

	if (fs_handles_use(&fs->handles, handle, &place) < 0)
		return;
	const struct fs_handle *closed = fs_handles_at(&fs->handles, place);
	if (closed->locked && fs_asks_nobody(fs, closed->fd))
		unlock(closed);
	fs_lock_cancel_all(fs, place);
	fs_handles_leave(&fs->handles, place); /* it is open still: nothing to close */
	try_all(fs);
}

bool fs_lock_busy(struct fs_stream *fs)
{
	if (fs->lock_timer_set)
		io_cancel(fs_io(fs), &fs->lock_timer.op);
	return fs->lock_timer_set;
}

/* ---- the request */

int fs_lock_start(struct fs_request *request)
{
	const struct fs_lock *lock = &request->body.lock;
	uint32_t what = lock->flags & (FS_LOCK_SHARED | FS_LOCK_EXCLUSIVE | FS_LOCK_UNLOCK);

	if ((lock->flags & ~(uint32_t)FS_LOCK_KNOWN) != 0 ||
		(what != FS_LOCK_SHARED && what != FS_LOCK_EXCLUSIVE && what != FS_LOCK_UNLOCK))
		return -EINVAL;
	if (lock->offset > LLONG_MAX || lock->length > LLONG_MAX)
		return -EINVAL;
	/* A guest that may only read shuts nobody out. */
	int result = what == FS_LOCK_EXCLUSIVE ? fs_may_change(request) : 0;
	if (result == 0)
		result = fs_request_use(request, 0, lock->handle, false);
	if (result == 0 && has_many(request))
		result = -ENOLCK;
	return result < 0 ? result : try_now(request);
}
