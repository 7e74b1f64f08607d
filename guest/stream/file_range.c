/* Open files: what is done to them and to ranges of them. */
#include <stdlib.h>

#include "guest/stream/fs.h"

#define COPY_LEN (128u << 10) /* bytes, where they pass through the guest */

/* Of a file in boot:/: there is nothing to sync, and nobody else who could lock it. */
static int perform_in_boot(const struct file *file, const struct fs_call *call)
{
	struct fs_attributes *attributes = call->reply;

	if (call->type == FS_STAT)
		*attributes = file->attributes;
	return call->type == FS_STAT || call->type == FS_SYNC ? 0 : -EBADF;
}

static int perform(struct file *file, struct fs_call *call, deadline until)
{
	if (!file->client)
		return perform_in_boot(file, call);
	if (!fs_supports(file->client, call->type))
		return -ENOTSUP;
	return fs_perform(file->client, call, until);
}

int file_stat(struct file *file, struct fs_attributes *ret_attributes, deadline until)
{
	struct fs_stat request = {
		.directory = file->handle, .flags = FS_AT_HANDLE, .path = {"", 0}};
	struct fs_call call = {.type = FS_STAT, .request = &request, .reply = ret_attributes};

	return perform(file, &call, until);
}

static int sync_file(struct file *file, uint32_t flags, deadline until)
{
	struct fs_sync request = {.handle = file->handle, .flags = flags};
	struct fs_call call = {.type = FS_SYNC, .request = &request};

	return perform(file, &call, until);
}

int file_sync(struct file *file, deadline until)
{
	return sync_file(file, 0, until);
}

int file_sync_data(struct file *file, deadline until)
{
	return sync_file(file, FS_SYNC_DATA, until);
}

int file_allocate(struct file *file, uint32_t flags, uint64_t offset, uint64_t len, deadline until)
{
	struct fs_allocate request = {
		.handle = file->handle, .flags = flags, .offset = offset, .length = len};
	struct fs_call call = {.type = FS_ALLOCATE, .request = &request};

	return perform(file, &call, until);
}

int file_lock(struct file *file, uint32_t flags, uint64_t offset, uint64_t len, deadline until)
{
	struct fs_lock request = {
		.handle = file->handle, .flags = flags, .offset = offset, .length = len};

	if (!file->client)
		return 0;
	if (!fs_supports(file->client, FS_LOCK))
		return -ENOTSUP;
	return fs_perform_lock(file->client, &request, until);
}

/* ---- copying */

struct copy {
	struct file *from, *to;
	uint64_t from_offset, to_offset;
	uint64_t len, done;
};

/* One request: the bytes copied, 0 at the end of the file, or an errno. */
static int64_t copy_on_host(const struct copy *copy, deadline until)
{
	uint64_t left = copy->len - copy->done;
	struct fs_copy_range request = {.from_handle = copy->from->handle,
		.to_handle = copy->to->handle,
		.from_offset = copy->from_offset + copy->done,
		.to_offset = copy->to_offset + copy->done,
		.length = left};
	struct fs_copied copied;
	struct fs_call call = {.type = FS_COPY_RANGE, .request = &request, .reply = &copied};
	int error = perform(copy->from, &call, until);

	if (error)
		return error;
	return copied.length <= left ? (int64_t)copied.length : -EPROTO;
}

static int64_t copy_through(const struct copy *copy, void *bytes, deadline until)
{
	uint64_t left = copy->len - copy->done;
	size_t some = left < COPY_LEN ? (size_t)left : COPY_LEN;
	long got = file_pread(copy->from, bytes, some, copy->from_offset + copy->done, until);

	if (got <= 0)
		return got;
	return file_pwrite(copy->to, bytes, (size_t)got, copy->to_offset + copy->done, until);
}

/* Some file systems cannot; a monitor may not know it; and two mounts are two streams. */
static bool host_cannot(int64_t error)
{
	return error == -EXDEV || error == -ENOTSUP || error == -ENOSYS;
}

int64_t file_copy(struct file *from, uint64_t from_offset, struct file *to, uint64_t to_offset,
	uint64_t len, deadline until)
{
	struct copy copy = {from, to, from_offset, to_offset, len, 0};
	void *bytes = NULL;
	int64_t some = from->client && from->client == to->client ? 1 : -EXDEV;

	while (copy.done < len && some > 0) {
		some = copy_on_host(&copy, until);
		if (some > 0)
			copy.done += (uint64_t)some;
	}
	if (host_cannot(some)) {
		bytes = malloc(COPY_LEN);
		some = bytes ? 1 : -ENOMEM;
	}
	while (bytes && copy.done < len && some > 0) {
		some = copy_through(&copy, bytes, until);
		if (some > 0)
			copy.done += (uint64_t)some;
	}
	free(bytes);
	return some < 0 && copy.done == 0 ? some : (int64_t)copy.done;
}
