#include <stdlib.h>
#include <string.h>

#include "guest/stream/fs.h"
#include "guest/stream/path.h"

static struct wire_bytes bytes_of(const char *text)
{
	return (struct wire_bytes){text, strlen(text)};
}

/* One request to the mount that a path lies in. */
static int perform_at(const struct mount_path *at, struct fs_call *call, deadline until)
{
	struct fs_client *client;
	int error = mount_client(at, &client, until);

	if (error)
		return error;
	error = fs_perform(client, call, until);
	fs_release(client);
	return error;
}

/* ---- files */

static int open_at(
	const struct mount_path *at, struct fs_open *request, struct file *file, deadline until)
{
	struct fs_opened opened;
	struct fs_call call = {.type = FS_OPEN, .request = request, .reply = &opened};
	int error = mount_client(at, &file->client, until);

	if (error)
		return error;
	error = fs_perform(file->client, &call, until);
	if (error) {
		fs_release(file->client);
		return error;
	}
	file->handle = opened.handle;
	file->attributes = opened.attributes;
	return 0;
}

int file_open(
	struct file **ret_file, const char *path, uint32_t flags, uint32_t mode, deadline until)
{
	struct mount_path at;
	struct fs_open request = {.flags = flags, .mode = mode};
	struct file *file;
	int error = mount_resolve(path, &at);

	if (error)
		return error;
	if (at.directory)
		request.flags |= FS_OPEN_DIRECTORY;
	request.path = bytes_of(at.relative);
	file = malloc(sizeof(*file));
	if (!file)
		return -ENOMEM;
	error = open_at(&at, &request, file, until);
	if (error) {
		free(file);
		return error;
	}
	*ret_file = file;
	return 0;
}

const struct fs_attributes *file_attributes(const struct file *file)
{
	return &file->attributes;
}

static long read_piece(
	struct file *file, unsigned char *bytes, size_t len, uint64_t offset, deadline until)
{
	struct fs_read request = {
		.handle = file->handle, .length = (uint32_t)len, .offset = offset};
	struct fs_call call = {.type = FS_READ, .request = &request, .bytes = bytes, .room = len};
	int error = fs_perform(file->client, &call, until);

	return error ? error : (long)call.len;
}

long file_pread(struct file *file, void *ret_bytes, size_t len, uint64_t offset, deadline until)
{
	size_t most = fs_most_read(file->client), done = 0;

	while (done < len) {
		size_t piece = len - done < most ? len - done : most;
		long got = read_piece(
			file, (unsigned char *)ret_bytes + done, piece, offset + done, until);

		if (got < 0)
			return done ? (long)done : got;
		done += (size_t)got;
		if ((size_t)got < piece)
			break;
	}
	return (long)done;
}

static long write_piece(
	struct file *file, const unsigned char *bytes, size_t len, uint64_t offset, deadline until)
{
	struct fs_write request = {.handle = file->handle, .offset = offset, .data = {bytes, len}};
	struct fs_written written;
	struct fs_call call = {.type = FS_WRITE, .request = &request, .reply = &written};
	int error = fs_perform(file->client, &call, until);

	if (error)
		return error;
	return written.length > len ? -EPROTO : (long)written.length;
}

long file_pwrite(struct file *file, const void *bytes, size_t len, uint64_t offset, deadline until)
{
	size_t most = fs_most_written(file->client), done = 0;

	while (done < len) {
		size_t piece = len - done < most ? len - done : most;
		long put = write_piece(
			file, (const unsigned char *)bytes + done, piece, offset + done, until);

		if (put <= 0)
			return put ? put : -EIO;
		done += (size_t)put;
	}
	return (long)done;
}

int file_sync(struct file *file, deadline until)
{
	struct fs_sync request = {.handle = file->handle};
	struct fs_call call = {.type = FS_SYNC, .request = &request};

	return fs_perform(file->client, &call, until);
}

void file_close(struct file *file)
{
	fs_close_handle(file->client, file->handle);
	fs_release(file->client);
	free(file);
}

long path_read(const char *path, void *ret_bytes, size_t len, struct fs_attributes *ret_attributes,
	deadline until)
{
	struct mount_path at;
	struct fs_read_file request = {.length = len};
	struct fs_call call = {.type = FS_READ_FILE,
		.request = &request,
		.reply = ret_attributes,
		.bytes = ret_bytes,
		.room = len};
	int error = mount_resolve(path, &at);

	if (!error && at.directory)
		error = -EISDIR;
	if (error)
		return error;
	request.path = bytes_of(at.relative);
	error = perform_at(&at, &call, until);
	return error ? error : (long)call.len;
}

/* ---- paths */

/* Of the name itself, be it a symbolic link: -ENOTDIR when it is no directory. */
static int expect_directory(const struct mount_path *at, deadline until)
{
	struct fs_attributes attributes;
	struct fs_stat request = {.flags = FS_AT_NOFOLLOW, .path = bytes_of(at->relative)};
	struct fs_call call = {.type = FS_STAT, .request = &request, .reply = &attributes};
	int error = perform_at(at, &call, until);

	return error || attributes.mode >> 12 == FILE_TYPE_DIRECTORY ? error : -ENOTDIR;
}

int path_stat(const char *path, struct fs_attributes *ret_attributes, deadline until)
{
	struct mount_path at;
	struct fs_stat request = {0};
	struct fs_call call = {.type = FS_STAT, .request = &request, .reply = ret_attributes};
	int error = mount_resolve(path, &at);

	if (error)
		return error;
	request.path = bytes_of(at.relative);
	error = perform_at(&at, &call, until);
	if (!error && at.directory && ret_attributes->mode >> 12 != FILE_TYPE_DIRECTORY)
		return -ENOTDIR;
	return error;
}

int path_mkdir(const char *path, uint32_t mode, deadline until)
{
	struct mount_path at;
	struct fs_mkdir request = {.mode = mode};
	struct fs_call call = {.type = FS_MKDIR, .request = &request};
	int error = mount_resolve(path, &at);

	if (error)
		return error;
	request.path = bytes_of(at.relative);
	return perform_at(&at, &call, until);
}

static int unlink_path(const char *path, uint32_t flags, deadline until)
{
	struct mount_path at;
	struct fs_unlink request = {.flags = flags};
	struct fs_call call = {.type = FS_UNLINK, .request = &request};
	int error = mount_resolve(path, &at);

	if (error)
		return error;
	if (at.directory && !(flags & FS_UNLINK_DIRECTORY)) {
		error = expect_directory(&at, until);
		return error ? error : -EISDIR;
	}
	request.path = bytes_of(at.relative);
	return perform_at(&at, &call, until);
}

int path_unlink(const char *path, deadline until)
{
	return unlink_path(path, 0, until);
}

int path_rmdir(const char *path, deadline until)
{
	return unlink_path(path, FS_UNLINK_DIRECTORY, until);
}

int path_rename(const char *from, const char *to, deadline until)
{
	struct mount_path source, target;
	struct fs_rename request = {0};
	struct fs_call call = {.type = FS_RENAME, .request = &request};
	int error = mount_resolve(from, &source);

	if (!error)
		error = mount_resolve(to, &target);
	if (error)
		return error;
	if (source.mount != target.mount)
		return -EXDEV;
	if (source.directory || target.directory)
		error = expect_directory(&source, until);
	if (error)
		return error;
	request.from = bytes_of(source.relative);
	request.to = bytes_of(target.relative);
	return perform_at(&source, &call, until);
}
