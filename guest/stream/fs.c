#include "guest/stream/fs.h"

#include <stdlib.h>
#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/fiber.h"
#include "guest/stream/path.h"
#include "guest/stream/start.h"
#include "guest/stream/stream.h"

#define FS_TO_HOST_CAPACITY  (1u << 20)
#define FS_TO_GUEST_CAPACITY (1u << 20)
#define REQUESTS_MOST        65536u       /* under way on one stream */
#define PIECE_MOST           (256u << 10) /* bytes of a read or write: one is on its way, one is moved */
#define WRITE_HEADER_LEN     32u
#define LOCK_PATIENCE_MS     1000u

/* What has to be known of a request until its answer comes, also when nobody waits. */
struct fs_request {
	uint32_t id; /* generation << 16 | index in the table */
	enum fs_type type;
	struct fs_call *call; /* NULL: discard the answer */
	union {
		struct fs_close close;
		struct fs_lock lock; /* what FS_LOCK asked for, or that it is given back */
		struct fs_cancel cancel;
	} body;
	struct fs_request *next; /* free, or still to be sent */
};

struct fs_client {
	struct stream *stream;
	struct fiber_mutex mutex; /* of those who write a frame */
	uint32_t max_frame;       /* bytes */
	uint64_t operations;      /* of struct fs_mounted */
	unsigned holders;
	int error; /* not 0: the stream is of no use any more */
	struct fs_request **table;
	uint32_t table_len, table_room;
	struct fs_request *free;
	struct fs_request *unsent; /* for want of room: of what nobody waits for */
};

/* ---- the table of requests */

static bool grow_table(struct fs_client *client)
{
	uint32_t room = client->table_room ? 2 * client->table_room : 64;
	struct fs_request **table;

	if (room > REQUESTS_MOST)
		return false;
	table = realloc(client->table, room * sizeof(struct fs_request *));
	if (!table)
		return false;
	client->table = table;
	client->table_room = room;
	return true;
}

static struct fs_request *new_request(struct fs_client *client)
{
	struct fs_request *request;

	if (client->table_len == client->table_room && !grow_table(client))
		return NULL;
	request = calloc(1, sizeof(*request));
	if (!request)
		return NULL;
	request->id = client->table_len;
	client->table[client->table_len++] = request;
	return request;
}

static struct fs_request *take_request(
	struct fs_client *client, enum fs_type type, struct fs_call *call)
{
	struct fs_request *request = client->free;

	if (request)
		client->free = request->next;
	else
		request = new_request(client);
	if (!request)
		return NULL;
	/* Another generation of the index, and never id 0. */
	request->id += 0x10000;
	if (request->id < 0x10000)
		request->id += 0x10000;
	request->type = type;
	request->call = call;
	request->next = NULL;
	return request;
}

static void free_request(struct fs_client *client, struct fs_request *request)
{
	request->type = 0;
	request->call = NULL;
	request->next = client->free;
	client->free = request;
}

static struct fs_request *find_request(const struct fs_client *client, uint32_t id)
{
	uint32_t index = id & 0xffff;
	struct fs_request *request = index < client->table_len ? client->table[index] : NULL;

	return request && request->id == id && request->type ? request : NULL;
}

/* ---- requests whose answers nobody waits for */

/*
 * A frame is written in one go once there is room for it, so between two turns
 * of the fibers the ring is at the border of two frames and the hook may write
 * one of its own.
 */
static void send_unsent(struct fs_client *client)
{
	struct fs_request *request;

	while ((request = client->unsent)) {
		struct frame frame = {.request_id = request->id};

		if (frame_send_soon(client->stream, &fs_requests[request->type - STREAM_FIRST],
			    &frame, &request->body) == -EAGAIN)
			return;
		client->unsent = request->next;
	}
}

/* Now, or as soon as there is room. Without memory for it it is not sent: the stream's end does as
 * well. */
static void send_unawaited(
	struct fs_client *client, enum fs_type type, const void *body, size_t len)
{
	struct fs_request *request = client->error ? NULL : take_request(client, type, NULL);

	if (!request)
		return;
	memcpy(&request->body, body, len);
	request->next = client->unsent;
	client->unsent = request;
	send_unsent(client);
}

void fs_close_handle(struct fs_client *client, uint32_t handle)
{
	struct fs_close body = {.handle = handle};

	send_unawaited(client, FS_CLOSE, &body, sizeof(body));
}

/* ---- answers; hook of the scheduler */

static void complete(struct fs_call *call, int error)
{
	call->error = error;
	call->done = true;
	wait_list_wake(&call->waiters);
}

/* The stream is of no use: whoever waits on it is told so. */
static void fail_all(struct fs_client *client, int error)
{
	client->error = error;
	for (uint32_t i = 0; i < client->table_len; i++) {
		if (client->table[i]->call)
			complete(client->table[i]->call, error);
		client->table[i]->call = NULL;
	}
}

/* Those of a file lie behind their padding. */
static int take_bytes(struct fs_call *call, const unsigned char *body, size_t len)
{
	struct wire_bytes bytes = {body, len};
	int error = 0;

	if (call->type == FS_READ || call->type == FS_READ_FILE)
		error = fs_data_find(body, len, &bytes);
	if (error)
		return error;
	len = bytes.len;
	if (len > call->room - call->len)
		return -EPROTO;
	if (len)
		memcpy(call->bytes + call->len, bytes.data, len);
	call->len += len;
	return 0;
}

static int take_answer(struct fs_call *call, const struct frame *frame, const unsigned char *body)
{
	const struct wire_message *message = &fs_replies[call->type - STREAM_FIRST];
	size_t len = frame->length - FRAME_HEADER_LEN;
	bool first = call->answers++ == 0;

	if (frame->error)
		return -(int)(frame->error & 0xffff);
	if (frame->type != call->type)
		return -EPROTO;
	if (call->bytes && (call->type != FS_READ_FILE || !first))
		return take_bytes(call, body, len);
	if (!call->reply)
		return 0;
	return wire_decode(message, call->reply, body, len);
}

/* Nobody waits for this any more. A file that was opened has to be closed, though, and a lock given
 * back. */
static void discard_answer(struct fs_client *client, const struct fs_request *request,
	const struct frame *frame, const unsigned char *body)
{
	struct fs_opened opened;
	struct fs_lock back = request->body.lock;

	if (frame->error)
		return;
	if (request->type == FS_OPEN && wire_decode(&fs_replies[FS_OPEN - STREAM_FIRST], &opened,
						body, frame->length - FRAME_HEADER_LEN) == 0)
		fs_close_handle(client, opened.handle);
	if (request->type == FS_LOCK && !(back.flags & FS_LOCK_UNLOCK)) {
		back.flags = FS_LOCK_UNLOCK | (back.flags & FS_LOCK_WHOLE);
		send_unawaited(client, FS_LOCK, &back, sizeof(back));
	}
}

static void got_answer(
	struct fs_client *client, const struct frame *frame, const unsigned char *body)
{
	struct fs_request *request = find_request(client, frame->request_id);
	bool last = frame->error || !(frame->flags & FRAME_MORE);
	int error = 0;

	if (!(frame->flags & FRAME_REPLY) || !request) {
		frame_refuse(client->stream, frame);
		return;
	}
	if (request->call)
		error = take_answer(request->call, frame, body);
	else
		discard_answer(client, request, frame, body);
	if ((last || error) && request->call) {
		complete(request->call, error);
		request->call = NULL;
	}
	if (last)
		free_request(client, request);
}

static void read_answers(struct stream *stream, void *context)
{
	struct fs_client *client = context;
	const unsigned char *body;
	struct frame frame;
	int error = 0;

	while (!client->error && (error = frame_await_now(stream, &frame, &body)) == 0) {
		got_answer(client, &frame, body);
		frame_done(stream, &frame);
	}
	if (!client->error && error != -EAGAIN)
		fail_all(client, error == -EPIPE ? -EIO : error);
	send_unsent(client);
}

/* ---- requests */

int fs_begin(struct fs_client *client, struct fs_call *call, deadline until)
{
	struct fs_request *request;
	struct frame frame = {0};
	int error;

	if (client->error)
		return client->error;
	request = take_request(client, call->type, call);
	if (!request)
		return -ENOMEM;
	if (call->type == FS_LOCK)
		memcpy(&request->body.lock, call->request, sizeof(request->body.lock));
	call->pending = request;
	frame.request_id = request->id;
	error = frame_send(client->stream, &client->mutex, &fs_requests[call->type - STREAM_FIRST],
		&frame, call->request, until);
	if (!error)
		return 0;
	free_request(client, request);
	return call->done ? call->error : error;
}

void fs_forget(struct fs_call *call)
{
	if (!call->done)
		call->pending->call = NULL;
}

int fs_await(struct fs_call *call, deadline until)
{
	int error = 0;

	while (!call->done && !error)
		error = wait_list_wait(&call->waiters, until);
	if (call->done)
		return call->error;
	fs_forget(call);
	return error;
}

int fs_perform(struct fs_client *client, struct fs_call *call, deadline until)
{
	int error = fs_begin(client, call, until);

	return error ? error : fs_await(call, until);
}

/*
 * The monitor ends the wait when it is asked to, so that a little patience tells how it ended. If
 * it does not, because it waits for a server itself, what comes later is given back.
 */
int fs_perform_lock(struct fs_client *client, struct fs_lock *lock, deadline until)
{
	struct fs_call call = {.type = FS_LOCK, .request = lock};
	struct fs_cancel cancel;
	int error = fs_begin(client, &call, until);

	while (!error && !call.done)
		error = wait_list_wait(&call.waiters, until);
	if (call.done)
		return call.error;
	if (!call.pending || call.pending->call != &call)
		return error;
	cancel.request_id = call.pending->id;
	send_unawaited(client, FS_CANCEL, &cancel, sizeof(cancel));
	error = fs_await(&call, in_milliseconds(LOCK_PATIENCE_MS));
	return error == -ECANCELED ? -ETIMEDOUT : error;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t fs_most_read(const struct fs_client *client)
{
	size_t frame = smaller(client->max_frame, stream_read_capacity(client->stream));

	return smaller(frame - FS_DATA_HEAD_MOST, PIECE_MOST);
}

size_t fs_most_written(const struct fs_client *client)
{
	size_t frame = smaller(client->max_frame, stream_write_capacity(client->stream) / 2);

	return smaller(frame - WRITE_HEADER_LEN, PIECE_MOST);
}

/* ---- the stream */

/* What no mount covers is only asked for to be refused: a spare stream will do. */
static int new_stream(const struct mount_path *path, struct stream **ret_stream, deadline until)
{
	if (!path->mount)
		return control_new_stream(STREAM_CAPACITY, STREAM_CAPACITY, ret_stream, until);
	return control_new_stream(FS_TO_HOST_CAPACITY, FS_TO_GUEST_CAPACITY, ret_stream, until);
}

static int open_stream(struct fs_client *client, const struct mount_path *path, deadline until)
{
	struct fs_mount payload = {mount_directory(path)};
	struct fs_mounted mounted;
	int error = stream_open_protocol(client->stream, PROTOCOL_FS, &fs_mount_message, &payload,
		&fs_mounted_message, &mounted, until);

	if (error)
		return error;
	if (mounted.max_frame < RING_CAPACITY_MIN)
		return -EPROTO;
	client->max_frame = mounted.max_frame;
	client->operations = mounted.operations;
	client->stream->hook = read_answers;
	client->stream->hook_context = client;
	/* Announces that answers are waited for. */
	read_answers(client->stream, client);
	return client->error;
}

int fs_connect(const struct mount_path *path, struct fs_client **ret_client, deadline until)
{
	struct fs_client *client = calloc(1, sizeof(*client));
	int error;

	if (!client)
		return -ENOMEM;
	error = new_stream(path, &client->stream, until);
	if (error) {
		free(client);
		return error;
	}
	client->holders = 1;
	error = open_stream(client, path, until);
	if (error) {
		fs_release(client);
		return error;
	}
	*ret_client = client;
	return 0;
}

bool fs_supports(const struct fs_client *client, enum fs_type type)
{
	return client->operations >> (type - STREAM_FIRST) & 1;
}

bool fs_usable(const struct fs_client *client)
{
	return client->error == 0;
}

struct fs_client *fs_hold(struct fs_client *client)
{
	client->holders++;
	return client;
}

void fs_release(struct fs_client *client)
{
	if (--client->holders)
		return;
	client->stream->hook = NULL;
	stream_close(client->stream);
	for (uint32_t i = 0; i < client->table_len; i++)
		free(client->table[i]);
	free(client->table);
	free(client);
}
