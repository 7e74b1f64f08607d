/*
 * FS_WRITE_FILE: whole files, for one request. Its bytes come in FS_WRITE_DATA frames behind it,
 * each of which is written from the ring like any write, as many at a time as there are; those that
 * come before the file is open wait in the ring. When the last is written the file is synced,
 * looked at and closed on a worker, and that is the reply.
 *
 * An error is answered at once, or when what is under way has ended. Frames that come later fit no
 * request, and are dropped.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Lives as long as its request is not answered. */
struct fs_upload {
	struct fs_upload *next; /* in fs->uploads */
	struct fs_request *request;
	struct fs_queue waiting; /* FS_WRITE_DATA: for the file to be open */
	uint64_t offset;         /* where the next frame's bytes go */
	uint64_t written;        /* bytes */
	unsigned under_way;      /* FS_WRITE_DATA that were begun */
	bool open;
	bool appends;
	bool whole; /* the last frame was taken */
	bool closing;
	int error;  /* the first */
	int worked; /* result of the worker, which touches nothing else here but 'closing' */
};

static bool sync_wanted(const struct fs_request *request)
{
	return (request->body.write_file.flags & FS_WRITE_FILE_SYNC) != 0;
}

static uint32_t open_flags(const struct fs_request *request)
{
	return request->body.write_file.flags & ~(uint32_t)FS_WRITE_FILE_SYNC;
}

/* ---- the end of one */

static void leave(struct fs_upload *upload)
{
	struct fs_request *request = upload->request;
	struct fs_upload **link = &request->fs->uploads;

	while (*link != upload)
		link = &(*link)->next;
	*link = upload->next;
	free(upload);
	request->uploading = NULL;
}

/* What waits for a file that will not be open, or no longer is of use. */
static void drop_waiting(struct fs_upload *upload)
{
	struct fs_request *data;

	while ((data = fs_queue_pop(&upload->waiting)) != NULL) {
		fs_write_leave(data);
		fs_request_free(data);
	}
}

/* Goes on to the reply when nothing is under way and nothing more is to come. */
static void end_if_done(struct fs_upload *upload)
{
	struct fs_request *request = upload->request;

	if (!upload->open || upload->closing || upload->under_way > 0)
		return;
	if (upload->error < 0) {
		int error = upload->error;
		leave(upload);
		fs_request_go_on(request, error);
	} else if (upload->whole) {
		upload->closing = true;
		request->reply.file_written.length = upload->written;
		fs_request_go_on(request, FS_WORK);
	}
}

/* ---- bytes */

static void begin_data(struct fs_upload *upload, struct fs_request *data)
{
	data->directory[0] = upload->request->fd;
	data->write_offset = upload->appends ? UINT64_MAX : upload->offset;
	upload->offset += data->bytes.len;
	upload->under_way++;
	if (upload->appends) {
		data->lane = &data->fs->positions;
		fs_request_go_on(data, FS_TURN_OF_LANE);
	} else {
		fs_write_begin(data);
	}
}

void fs_write_data_done(struct fs_request *data, int error)
{
	struct fs_upload *upload = data->upload->uploading;

	upload->written += data->written;
	if (error < 0 && upload->error == 0)
		upload->error = error;
	/* The next of the lane may begin and end in there: this one is under way until then. */
	fs_request_free(data);
	upload->under_way--;
	end_if_done(upload);
}

/* What is appended behind bytes that are missing would be in the wrong place. */
bool fs_write_file_failed(const struct fs_request *request)
{
	return request->uploading->error < 0;
}

static struct fs_upload *find_upload(const struct fs_stream *fs, uint32_t request_id)
{
	struct fs_upload *upload = fs->uploads;

	while (upload != NULL && upload->request->frame.request_id != request_id)
		upload = upload->next;
	return upload;
}

/* A frame that is of no use to anyone, but for the end that it may be. */
static int drop(struct fs_request *data, struct fs_upload *upload)
{
	fs_request_free(data);
	if (upload != NULL)
		end_if_done(upload);
	return FS_LATER;
}

int fs_write_data_start(struct fs_request *data)
{
	struct fs_upload *upload = find_upload(data->fs, data->frame.request_id);

	if (upload == NULL || upload->whole)
		return drop(data, NULL);
	upload->whole = (data->frame.flags & FRAME_MORE) == 0;
	size_t padding = data->body.file_data.padding;
	data->bytes = data->body.file_data.data;
	if (data->result < 0 || padding > data->bytes.len) {
		upload->error = upload->error == 0 ? -EPROTO : upload->error;
		return drop(data, upload);
	}
	data->bytes.data = (const unsigned char *)data->bytes.data + padding;
	data->bytes.len -= padding;
	if (upload->error == 0 && data->bytes.len > LLONG_MAX - upload->offset)
		upload->error = -EFBIG;
	if (upload->error < 0 || data->bytes.len == 0)
		return drop(data, upload);
	data->upload = upload->request;
	fs_write_enter(data);
	if (upload->open)
		begin_data(upload, data);
	else
		fs_queue_push(&upload->waiting, data);
	return FS_LATER;
}

void fs_write_file_end(struct fs_stream *fs)
{
	struct fs_upload *next;

	for (struct fs_upload *upload = fs->uploads; upload != NULL; upload = next) {
		next = upload->next;
		if (!upload->whole && upload->error == 0)
			upload->error = -ECANCELED;
		end_if_done(upload);
	}
}

/* ---- the request */

static int open_file(struct fs_request *request)
{
	struct fs_attributes attributes;

	return fs_path_open(request->directory[0], request->path[0], open_flags(request),
		request->body.write_file.mode, &request->fd, &attributes);
}

/* Some file systems tell only here that they could not keep what was written. */
static int close_file(struct fs_request *request)
{
	int result = sync_wanted(request) && fsync(request->fd) < 0 ? -errno : 0;

	if (result == 0)
		result = fs_path_attributes(request->fd, &request->reply.file_written.attributes);
	if (close(request->fd) < 0 && result == 0)
		result = -errno;
	request->fd = -1;
	return result;
}

/* Never fails: an upload has to be ended on the I/O thread. */
int fs_write_file_work(struct fs_request *request)
{
	struct fs_upload *upload = request->uploading;

	upload->worked = upload->closing ? close_file(request) : open_file(request);
	return 0;
}

int fs_write_file_finish(struct fs_request *request)
{
	struct fs_upload *upload = request->uploading;
	int result = upload->worked < 0 ? upload->worked : FS_ANSWER;
	struct fs_request *data;

	if (upload->closing || upload->worked < 0) {
		drop_waiting(upload);
		leave(upload);
		return result;
	}
	upload->open = true;
	upload->under_way++; /* the last of them may end at once */
	while ((data = fs_queue_pop(&upload->waiting)) != NULL)
		begin_data(upload, data);
	upload->under_way--;
	end_if_done(upload);
	return FS_LATER;
}

static int flags_check(const struct fs_request *request)
{
	uint32_t flags = open_flags(request);

	if ((flags & FS_OPEN_WRITE) == 0 || (flags & (FS_OPEN_READ | FS_OPEN_DIRECTORY)) != 0)
		return -EINVAL;
	return fs_path_flags_check(flags);
}

static int make_upload(struct fs_request *request)
{
	struct fs_stream *fs = request->fs;
	unsigned count = 0;

	for (const struct fs_upload *upload = fs->uploads; upload != NULL; upload = upload->next)
		count++;
	if (count >= FS_UPLOADS)
		return -EMFILE;
	struct fs_upload *upload = malloc(sizeof(*upload));
	if (upload == NULL)
		return -ENOMEM;
	*upload = (struct fs_upload){
		.next = fs->uploads,
		.request = request,
		.appends = (open_flags(request) & FS_OPEN_APPEND) != 0,
		.whole = (request->frame.flags & FRAME_MORE) == 0,
	};
	fs->uploads = upload;
	request->uploading = upload;
	/* It waits for frames behind it: they are taken however long its path. FS_UPLOADS bounds these. */
	fs->paths -= request->paths_len;
	request->paths_len = 0;
	return 0;
}

int fs_write_file_start(struct fs_request *request)
{
	int result = flags_check(request);

	if (result == 0)
		result = fs_may_change(request);
	if (result == 0)
		result = fs_request_use(request, 0, request->body.write_file.directory, true);
	if (result == 0)
		result = make_upload(request);
	return result < 0 ? result : FS_WORK;
}
