/*
 * Protocol 0: a stream's opening, the taking of its requests, and its end. fs_stream.h tells
 * how it hangs together.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "monitor/monitor.h"
#include "monitor/stats.h"

#define REQUEST_MIN_MAX 4096u /* before it has read max_frame: PROTOCOL.md section 5.2 */

bool fs_mute(const struct fs_stream *fs)
{
	return fs->closed || fs->broken || fs->unread;
}

void fs_fail(struct fs_stream *fs, int error)
{
	ring_fail(&fs->stream->pipe.out, error);
	ring_stop(&fs->stream->pipe.in);
	fs->broken = true;
	fs_input_end(fs);
}

void fs_input_end(struct fs_stream *fs)
{
	fs->input_ended = true;
	fs_write_file_end(fs);
	fs_lock_cancel_all(fs, FS_HANDLE_NONE);
	fs_watch_cancel_all(fs);
}

/* ---- taking requests */

/* The next frame, unless it is not to be taken now. */
static bool next_frame(
	struct fs_stream *fs, struct frame *ret_frame, const unsigned char **ret_body)
{
	if (fs->input_ended || fs->in_flight >= FS_IN_FLIGHT ||
		fs->paths > fs->stream->ring[PIPE_GUEST].capacity)
		return false;
	size_t before = fs->taken;
	int result = stream_frame_from(fs->stream, &fs->taken, ret_frame, ret_body);
	size_t dropped = fs->taken - before;
	if (fs->closed)
		fs->left -= dropped < fs->left ? dropped : fs->left;
	if (result == 1 && ret_frame->length > fs->max_frame) {
		stream_broken(fs->stream, "a request is longer than max_frame");
		result = -EPROTO;
	}
	/* What the guest goes on to write after CloseStream is nothing to wait for. */
	if (result == 1 && fs->closed && ret_frame->length > fs->left)
		result = -EPIPE;
	if (result == 1)
		return true;
	fs->broken = fs->broken || result == -EPROTO;
	if (result < 0)
		fs_input_end(fs);
	return false;
}

/* Frames that were dropped are given back: there may have been no room for the next. */
static bool look_again(
	struct fs_stream *fs, struct frame *ret_frame, const unsigned char **ret_body)
{
	size_t before = fs->taken;

	fs_write_consume(fs);
	if (fs->taken == before || !next_frame(fs, ret_frame, ret_body)) {
		fs_write_consume(fs);
		return false;
	}
	return true;
}

static void begin(struct fs_request *request)
{
	const struct fs_operation *operation = request->operation;

	if (fs_mute(request->fs) && (operation == NULL || operation->only_reads))
		fs_request_free(request);
	else if (operation != NULL && operation->opens && io_closes_hang(fs_io(request->fs)))
		fs_request_go_on(request, -ENFILE);
	else if (request->result < 0 && (operation == NULL || !operation->unanswered))
		fs_request_go_on(request, request->result);
	else
		fs_request_go_on(request, operation->start(request));
}

/* One frame. False: there is none to be taken now. */
static bool take(struct fs_stream *fs)
{
	struct frame frame;
	const unsigned char *body;

	if (!next_frame(fs, &frame, &body) && !look_again(fs, &frame, &body))
		return false;
	if (fs->closed)
		fs->left -= frame.length;
	struct fs_request *request = fs_request_new(fs, &frame, body);
	if (request == NULL) {
		fs_fail(fs, ENOMEM);
		return false;
	}
	stats.fs_requests++;
	fs->taken += frame.length;
	begin(request);
	/* Told to the guest once for all, by fs_pump. */
	fs_write_consume(fs);
	return true;
}

/* ---- the end */

static void end(struct fs_stream *fs)
{
	struct stream *stream = fs->stream;
	int fd;

	while ((fd = fs_handles_drain(&fs->handles)) >= 0)
		fs_close_fd(fs, fd);
	fs_handles_free(&fs->handles);
	fs_cache_end(fs->cache);
	fs_watch_free(fs);
	free(fs->list_buffer);
	free(fs);
	stream->relay = NULL;
	stream_release(stream);
}

static void end_if_done(struct fs_stream *fs)
{
	if (!fs->input_ended || fs->in_flight > 0 || fs->again_posted)
		return;
	if (fs_lock_busy(fs) || fs_watch_busy(fs))
		return;
	if (fs->broken || fs->closed) {
		end(fs);
		return;
	}
	/* The guest sends no more: no reply will follow either, and it will close. */
	ring_finish(&fs->stream->pipe.out);
	stream_flush(fs->stream);
}

/* ---- turns */

static void run_again(struct loop_message *message)
{
	struct fs_stream *fs = io_container(message, struct fs_stream, again);

	fs->again_posted = false;
	fs_pump(fs);
}

void fs_again(struct fs_stream *fs)
{
	if (fs->again_posted)
		return;
	fs->again_posted = true;
	fs->again.run = run_again;
	loop_post(fs->stream->loop, &fs->again);
}

void fs_pump(struct fs_stream *fs)
{
	unsigned taken = 0;

	if (fs->probing)
		return;
	fs->pumps++;
	fs->read_left = FS_TURN_READ;
	fs->into_left = FS_TURN_INTO;
	do {
		fs_reply_send(fs);
		if (taken % FS_TURN_UNTOLD == FS_TURN_UNTOLD - 1)
			stream_flush(fs->stream);
	} while (taken++ < FS_TURN && fs->into_left > 0 && take(fs));
	if (taken > FS_TURN || fs->into_left == 0)
		fs_again(fs);
	if (fs->input_ended)
		fs_reply_send(fs); /* what that has ended */
	if (fs->ready.first == NULL && fs->reading == NULL)
		fs_watch_send(fs);
	stream_flush(fs->stream);
	end_if_done(fs);
}

/* ---- what the stream table calls */

static uint32_t max_frame(const struct stream *stream)
{
	uint64_t to_host = stream->ring[PIPE_GUEST].capacity;
	uint64_t to_guest = stream->ring[PIPE_HOST].capacity;
	/* Half: one is filled while one is read. */
	uint64_t most = (to_host < to_guest ? to_host : to_guest) / 2;

	if (most < REQUEST_MIN_MAX)
		return REQUEST_MIN_MAX;
	return most < FRAME_LEN_MAX ? (uint32_t)most : FRAME_LEN_MAX;
}

static void probe_run(struct worker_job *job)
{
	struct fs_stream *fs = io_container(job, struct fs_stream, probe);

	fs->probe_result = fs_path_root_probe(fs->mount->fd, &fs->root);
}

static void probe_done(struct worker_job *job)
{
	struct fs_stream *fs = io_container(job, struct fs_stream, probe);
	struct stream *stream = fs->stream;

	fs->probing = false;
	if (fs->probe_result < 0) {
		int error = -fs->probe_result;
		stream->relay = NULL;
		free(fs);
		stream_refuse(stream, error);
		return;
	}
	struct fs_mounted mounted = {
		.flags = fs->mount->writable ? FS_MOUNTED_WRITABLE : 0,
		.max_frame = fs->max_frame,
		.operations = fs_operations_known(),
	};
	stream_opened(stream, &fs_mounted_message, &mounted);
}

/* The mount that the payload names. 0 or a negative errno. */
static int find_mount(const struct stream *stream, struct wire_bytes payload,
	const struct grant_mount **ret_mount)
{
	const struct grants *grants = &loop_config(stream->loop)->config->grants;
	char value[32 + FS_PATH_MAX], what[32 + FS_PATH_MAX];
	struct fs_mount message;

	if (wire_decode(&fs_mount_message, &message, payload.data, payload.len) < 0)
		return -EPROTO;
	*ret_mount = grants_mount(grants, message.path.data, message.path.len);
	if (*ret_mount != NULL)
		return 0;
	int len = (int)message.path.len;
	const char *path = message.path.data;
	snprintf(what, sizeof(what), "directory %.*s", len, path);
	snprintf(value, sizeof(value), "HOSTDIR:%.*s", len, path);
	grants_refused(what, "--mount", len > 0 && path[0] == '/' ? value : NULL);
	return -EACCES;
}

static void fs_open(struct stream *stream, struct wire_bytes payload)
{
	const struct grant_mount *mount;
	int result = find_mount(stream, payload, &mount);

	struct fs_stream *fs = result < 0 ? NULL : calloc(1, sizeof(*fs));
	if (fs == NULL) {
		stream_refuse(stream, result < 0 ? -result : ENOMEM);
		return;
	}
	*fs = (struct fs_stream){
		.stream = stream,
		.mount = mount,
		.max_frame = max_frame(stream),
		.probing = true,
		.probe = {.work = probe_run, .done = probe_done},
	};
	stream->relay = fs;
	worker_submit(loop_workers(stream->loop), &fs->probe);
}

static void fs_signal(struct stream *stream)
{
	fs_pump(stream->relay);
}

/* What was written before is still done, as far as it changes anything. */
static void fs_closed(struct stream *stream)
{
	struct fs_stream *fs = stream->relay;

	fs->closed = true;
	size_t len = ring_peek(&stream->pipe.in).len;
	fs->left = len > fs->taken ? len - fs->taken : 0;
	fs_pump(fs);
}

const struct protocol_ops fs_protocol = {
	.name = "fs",
	.number = PROTOCOL_FS,
	.version = PROTOCOL_VERSION,
	.open = fs_open,
	.signal = fs_signal,
	.closed = fs_closed,
};
