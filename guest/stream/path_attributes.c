/* Attributes of what a path leads to, extended ones, and its file system. */
#include <stdlib.h>
#include <string.h>

#include "guest/stream/boot.h"
#include "guest/stream/place.h"

static int stat_in_boot(
	const struct place *place, uint32_t flags, struct fs_attributes *ret_attributes)
{
	const struct boot_node *node;
	int error = boot_find(place, !(flags & FS_AT_NOFOLLOW), &node);

	if (!error)
		*ret_attributes = node->attributes;
	return error;
}

/* ---- attributes */

int path_stat_at(struct file *directory, const char *path, uint32_t flags,
	struct fs_attributes *ret_attributes, deadline until)
{
	struct place place;
	struct fs_stat request = {.flags = flags};
	struct fs_call call = {.type = FS_STAT, .request = &request, .reply = ret_attributes};
	int error = place_find(&place, directory, path, until);

	if (error)
		return error;
	request.directory = place.directory;
	request.path = place.path;
	error = place.client ? place_perform(&place, &call, until)
			     : stat_in_boot(&place, flags, ret_attributes);
	place_leave(&place);
	return error;
}

int path_stat(const char *path, struct fs_attributes *ret_attributes, deadline until)
{
	return path_stat_at(NULL, path, 0, ret_attributes, until);
}

int path_lstat(const char *path, struct fs_attributes *ret_attributes, deadline until)
{
	return path_stat_at(NULL, path, FS_AT_NOFOLLOW, ret_attributes, until);
}

static struct fs_set_attributes set_request(const struct file_change *change, uint32_t flags)
{
	return (struct fs_set_attributes){
		.flags = flags,
		.set = change->set,
		.mode = change->mode,
		.uid = change->uid,
		.gid = change->gid,
		.atime_ns = change->atime_ns,
		.mtime_ns = change->mtime_ns,
		.atime_s = (uint64_t)change->atime_s,
		.mtime_s = (uint64_t)change->mtime_s,
		.size = change->size,
		.path = {"", 0},
	};
}

int path_set_at(struct file *directory, const char *path, uint32_t flags,
	const struct file_change *change, deadline until)
{
	struct fs_set_attributes request = set_request(change, flags);
	struct fs_call call = {.type = FS_SET_ATTRIBUTES, .request = &request};

	return place_call(directory, path, &call, &request.directory, &request.path, until);
}

int path_set(const char *path, const struct file_change *change, deadline until)
{
	return path_set_at(NULL, path, 0, change, until);
}

int path_set_link(const char *path, const struct file_change *change, deadline until)
{
	return path_set_at(NULL, path, FS_AT_NOFOLLOW, change, until);
}

int file_set(struct file *file, const struct file_change *change, deadline until)
{
	struct fs_set_attributes request = set_request(change, FS_AT_HANDLE);
	struct fs_call call = {.type = FS_SET_ATTRIBUTES, .request = &request};

	request.directory = file->handle;
	if (!file->client)
		return -EROFS;
	if (!fs_supports(file->client, FS_SET_ATTRIBUTES))
		return -ENOTSUP;
	return fs_perform(file->client, &call, until);
}

int file_truncate(struct file *file, uint64_t size, deadline until)
{
	const struct file_change change = {.set = FS_SET_SIZE, .size = size};

	return file_set(file, &change, until);
}

/* ---- file systems */

static int stat_system(
	struct file *file, struct fs_client *client, struct fs_system *ret_system, deadline until)
{
	struct fs_stat_system request = {.handle = file ? file->handle : 0};
	struct fs_call call = {.type = FS_STAT_SYSTEM, .request = &request, .reply = ret_system};

	if (!fs_supports(client, FS_STAT_SYSTEM))
		return -ENOTSUP;
	return fs_perform(client, &call, until);
}

/* Of the file or directory that is there: another file system can be mounted below a mount. */
int path_stat_system(const char *path, struct fs_system *ret_system, deadline until)
{
	struct file *file;
	int error = file_open(&file, path, FS_OPEN_READ, 0, until);

	if (error)
		return error;
	if (file->client)
		error = stat_system(file, file->client, ret_system, until);
	else
		boot_system(file, ret_system);
	file_close(file);
	return error;
}

/* ---- extended attributes */

/* Into memory of the caller's, which may be too little. */
static long get_bytes(const char *path, struct fs_call *call, uint32_t *request_directory,
	struct wire_bytes *request_path, void *ret_bytes, size_t len, deadline until)
{
	unsigned char *bytes = malloc(FS_XATTR_MAX);
	int error = -ENOMEM;

	call->bytes = bytes;
	call->room = FS_XATTR_MAX;
	if (bytes)
		error = place_call(NULL, path, call, request_directory, request_path, until);
	if (!error && call->len > len)
		error = -ERANGE;
	if (!error && call->len > 0)
		memcpy(ret_bytes, bytes, call->len);
	free(bytes);
	return error ? error : (long)call->len;
}

static int check_name(const char *name)
{
	return strlen(name) > FS_NAME_MAX ? -ERANGE : 0; /* as Linux has it */
}

long path_get_xattr(const char *path, const char *name, void *ret_value, size_t len, deadline until)
{
	struct fs_get_xattr request = {.name = bytes_of(name)};
	struct fs_call call = {.type = FS_GET_XATTR, .request = &request};
	int error = check_name(name);

	return error ? error
		     : get_bytes(path, &call, &request.directory, &request.path, ret_value, len,
			       until);
}

long path_list_xattrs(const char *path, char *ret_names, size_t len, deadline until)
{
	struct fs_list_xattrs request = {0};
	struct fs_call call = {.type = FS_LIST_XATTRS, .request = &request};

	return get_bytes(path, &call, &request.directory, &request.path, ret_names, len, until);
}

int path_set_xattr(const char *path, const char *name, const void *value, size_t len,
	uint32_t flags, deadline until)
{
	struct fs_set_xattr request = {
		.flags = flags, .name = bytes_of(name), .value = {value, len}};
	struct fs_call call = {.type = FS_SET_XATTR, .request = &request};
	int error = len > FS_XATTR_MAX ? -E2BIG : check_name(name);

	return error ? error
		     : place_call(NULL, path, &call, &request.directory, &request.path, until);
}

int path_remove_xattr(const char *path, const char *name, deadline until)
{
	struct fs_get_xattr request = {.name = bytes_of(name)};
	struct fs_call call = {.type = FS_REMOVE_XATTR, .request = &request};
	int error = check_name(name);

	return error ? error
		     : place_call(NULL, path, &call, &request.directory, &request.path, until);
}
