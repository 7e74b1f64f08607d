#include "monitor/fs_stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Any decoded body; paths still point into the ring. */
union decoded {
	unsigned char bytes[1];
	struct fs_open open;
	struct fs_write write;
	struct fs_read_file read_file;
	struct fs_rename rename;
	struct fs_set_attributes set_attributes;
	struct fs_set_xattr set_xattr;
};

_Static_assert(
	sizeof(union decoded) >= sizeof(((struct fs_request *)0)->body), "it holds every body");

struct io *fs_io(const struct fs_stream *fs)
{
	return loop_io(fs->stream->loop);
}

void fs_queue_push(struct fs_queue *queue, struct fs_request *request)
{
	request->next = NULL;
	if (queue->first == NULL)
		queue->first = request;
	else
		queue->last->next = request;
	queue->last = request;
}

struct fs_request *fs_queue_pop(struct fs_queue *queue)
{
	struct fs_request *request = queue->first;

	if (request != NULL)
		queue->first = request->next;
	return request;
}

bool fs_asks_nobody(const struct fs_stream *fs, int fd)
{
	struct fs_attributes attributes;

	return fs->root.local && fs_path_quick_attributes(&fs->root, fd, &attributes) == 0;
}

/* ---- decoding */

/* The path at an offset of the decoded body; an empty one when the operation has none. */
static struct wire_bytes path_at(
	const struct fs_operation *operation, const union decoded *body, unsigned which)
{
	struct wire_bytes path = {NULL, 0};

	if (operation != NULL && operation->path_at[which] != 0)
		memcpy(&path, body->bytes + operation->path_at[which], sizeof(path));
	return path;
}

/*
 * Copies the path and ends it with a 0. The guest can have written another 0 since the
 * decoder looked, so the copy is looked at again. Returns the bytes used; 0: malformed.
 */
static size_t copy_path(char *to, struct wire_bytes path)
{
	if (path.len > 0)
		memcpy(to, path.data, path.len);
	to[path.len] = 0;
	return strlen(to) == path.len ? path.len + 1 : 0;
}

static struct fs_request *allocate(struct fs_stream *fs, size_t paths_len)
{
	struct fs_request *request = malloc(sizeof(*request) + paths_len);

	if (request == NULL)
		return NULL;
	*request = (struct fs_request){
		.fs = fs,
		.held = {FS_HANDLE_NONE, FS_HANDLE_NONE},
		.reserved = FS_HANDLE_NONE,
		.fd = -1,
		.cached = FS_CACHE_NONE,
		.paths_len = paths_len,
	};
	fs->in_flight++;
	fs->paths += paths_len;
	return request;
}

struct fs_request *fs_request_new(
	struct fs_stream *fs, const struct frame *frame, const unsigned char *body)
{
	union decoded decoded;
	const struct fs_operation *operation = NULL;
	unsigned row = frame->type - (unsigned)STREAM_FIRST; /* wraps for what is below */
	int result = -ENOTSUP;

	memset(&decoded, 0, sizeof(decoded));
	if (row < FS_TYPE_COUNT && fs_operations[row].start != NULL) {
		operation = &fs_operations[row];
		result = wire_decode(
			&fs_requests[row], &decoded, body, frame->length - FRAME_HEADER_LEN);
	}
	struct wire_bytes path[2] = {{NULL, 0}, {NULL, 0}};
	for (unsigned i = 0; i < 2 && result == 0; i++)
		path[i] = path_at(operation, &decoded, i);
	struct fs_request *request = allocate(fs, path[0].len + path[1].len + 2);
	if (request == NULL)
		return NULL;
	char *at = (char *)(request + 1);
	for (unsigned i = 0; i < 2; i++) {
		size_t used = copy_path(at, path[i]);
		if (used == 0)
			result = -EPROTO;
		request->path[i] = at;
		at += used;
	}
	memcpy(&request->body, &decoded, sizeof(request->body));
	request->operation = operation;
	request->frame = *frame;
	request->end = ring_consumer_position(&fs->stream->pipe.in) + fs->taken + frame->length;
	request->result = result;
	return request;
}

/* ---- running */

static void work_run(struct worker_job *job)
{
	struct fs_request *request = io_container(job, struct fs_request, job);
	request->result = request->operation->work(request);
}

static void work_done(struct worker_job *job)
{
	struct fs_request *request = io_container(job, struct fs_request, job);
	struct fs_stream *fs = request->fs;
	int (*finish)(struct fs_request *) = request->operation->finish;
	int progress = request->result;

	if (progress == 0)
		progress = finish != NULL ? finish(request) : FS_ANSWER;
	fs_request_go_on(request, progress);
	fs_pump(fs);
}

static void submit_work(struct fs_request *request)
{
	request->job.work = work_run;
	request->job.done = work_done;
	worker_submit(loop_workers(request->fs->stream->loop), &request->job);
}

static void take_lane(struct fs_lane *lane, struct fs_request *request)
{
	lane->active = request;
	fs_request_go_on(request, request->operation->turn(request));
}

static void wait_for_lane(struct fs_request *request)
{
	if (request->lane->active == NULL)
		take_lane(request->lane, request);
	else
		fs_queue_push(&request->lane->waiting, request);
}

void fs_request_go_on(struct fs_request *request, int progress)
{
	if (progress < 0)
		request->result = progress;
	switch (progress) {
	case FS_LATER:
		return;
	case FS_WORK:
		submit_work(request);
		return;
	case FS_TURN_OF_LANE:
		wait_for_lane(request);
		return;
	case FS_DATA:
		request->sends_data = true;
		break;
	default:
		request->sends_data = false;
		break;
	}
	fs_queue_push(&request->fs->ready, request);
}

/* ---- handles and the end */

int fs_request_use(struct fs_request *request, unsigned which, uint32_t handle, bool mount_too)
{
	struct fs_handles *handles = &request->fs->handles;

	if (handle == 0 && mount_too) {
		request->directory[which] = request->fs->root.fd;
		return 0;
	}
	int result = fs_handles_use(handles, handle, &request->held[which]);
	if (result < 0)
		return result;
	request->directory[which] = fs_handles_at(handles, request->held[which])->fd;
	return 0;
}

int fs_request_use_as(struct fs_request *request, uint32_t handle, bool directory)
{
	int result = fs_request_use(request, 0, handle, false);
	if (result < 0)
		return result;
	bool is_directory = fs_request_kind(request) == FS_HANDLE_DIRECTORY;
	if (is_directory != directory)
		return is_directory ? -EISDIR : -ENOTDIR;
	return 0;
}

enum fs_handle_kind fs_request_kind(const struct fs_request *request)
{
	return fs_handles_at(&request->fs->handles, request->held[0])->kind;
}

void fs_close_fd(struct fs_stream *fs, int fd)
{
	if (fd >= 0)
		io_close_file(fs_io(fs), fd);
}

/* The next in line; what nobody will see the outcome of is not begun, unless it changes something.
 */
static void leave_lane(struct fs_stream *fs, struct fs_lane *lane)
{
	struct fs_request *next;

	lane->active = NULL;
	while (lane->active == NULL && (next = fs_queue_pop(&lane->waiting)) != NULL) {
		if (!fs_mute(fs) || !next->operation->only_reads) {
			take_lane(lane, next);
			continue;
		}
		next->lane = NULL;
		fs_request_free(next);
	}
}

void fs_request_free(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;
	struct fs_lane *lane = request->lane;

	assert(fs->reading != request && !request->in_ring && request->uploading == NULL);
	for (unsigned i = 0; i < 2; i++) {
		if (request->held[i] != FS_HANDLE_NONE)
			fs_close_fd(fs, fs_handles_leave(&fs->handles, request->held[i]));
	}
	if (request->reserved != FS_HANDLE_NONE)
		fs_handles_give(&fs->handles, request->reserved);
	fs_close_fd(fs, request->fd);
	if (request->cached != FS_CACHE_NONE)
		fs_cache_leave(fs->cache, request->cached);
	fs_reply_drop_aside(request);
	free(request->text);
	fs->in_flight--;
	fs->paths -= request->paths_len;
	free(request);
	if (lane != NULL)
		leave_lane(fs, lane);
}
