/*
 * The position of an open file. It is this side's, so that a deadline which passes loses no bytes;
 * but of a file that is appended to only the host knows where it is, and has it.
 */
#include "guest/stream/boot.h"
#include "guest/stream/fs.h"

static bool is_hosts(const struct file *file)
{
	return (file->flags & FS_OPEN_APPEND) != 0;
}

static void advance(struct file *file, long moved)
{
	if (moved > 0 && !is_hosts(file))
		file->position += (uint64_t)moved;
}

long file_read(struct file *file, void *ret_bytes, size_t len, deadline until)
{
	int error = fiber_lock(&file->position_lock, until);
	long got;

	if (error)
		return error;
	got = file_move(
		file, false, ret_bytes, len, is_hosts(file) ? FS_POSITION : file->position, until);
	advance(file, got);
	fiber_unlock(&file->position_lock);
	return got;
}

long file_write(struct file *file, const void *bytes, size_t len, deadline until)
{
	int error = fiber_lock(&file->position_lock, until);
	long put;

	if (error)
		return error;
	put = file_move(
		file, true, bytes, len, is_hosts(file) ? FS_POSITION : file->position, until);
	advance(file, put);
	fiber_unlock(&file->position_lock);
	return put;
}

static int64_t seek_on_host(
	struct file *file, int64_t offset, enum fs_seek_whence whence, deadline until)
{
	struct fs_seek request = {
		.handle = file->handle, .whence = whence, .offset = (uint64_t)offset};
	struct fs_sought sought;
	struct fs_call call = {.type = FS_SEEK, .request = &request, .reply = &sought};
	int error;

	if (!file->client)
		return boot_seek(file, offset, whence);
	if (!fs_supports(file->client, FS_SEEK))
		return -ENOTSUP;
	error = fs_perform(file->client, &call, until);
	return error ? error : (int64_t)sought.offset;
}

static int64_t seek(struct file *file, int64_t offset, enum fs_seek_whence whence, deadline until)
{
	int64_t base = whence == FS_SEEK_CURRENT ? (int64_t)file->position : 0, at;

	if (is_hosts(file) || whence > FS_SEEK_CURRENT)
		return seek_on_host(file, offset, whence, until);
	if (file->attributes.mode >> 12 != FILE_TYPE_REGULAR)
		return -EISDIR;
	if (__builtin_add_overflow(base, offset, &at))
		return -EOVERFLOW;
	return at < 0 ? -EINVAL : at;
}

int64_t file_seek(struct file *file, int64_t offset, enum fs_seek_whence whence, deadline until)
{
	int64_t at = fiber_lock(&file->position_lock, until);

	if (at < 0)
		return at;
	at = seek(file, offset, whence, until);
	if (at >= 0)
		file->position = (uint64_t)at;
	fiber_unlock(&file->position_lock);
	return at;
}
