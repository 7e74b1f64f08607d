/* Names: making, removing, renaming and linking what they name. */
#include <stdlib.h>
#include <string.h>

#include "guest/stream/boot.h"
#include "guest/stream/place.h"

int path_mkdir_at(struct file *directory, const char *path, uint32_t mode, deadline until)
{
	struct fs_mkdir request = {.mode = mode};
	struct fs_call call = {.type = FS_MKDIR, .request = &request};

	return place_call(directory, path, &call, &request.directory, &request.path, until);
}

int path_mkdir(const char *path, uint32_t mode, deadline until)
{
	return path_mkdir_at(NULL, path, mode, until);
}

int path_unlink_at(struct file *directory, const char *path, uint32_t flags, deadline until)
{
	struct fs_unlink request = {.flags = flags};
	struct fs_call call = {.type = FS_UNLINK, .request = &request};

	return place_call(directory, path, &call, &request.directory, &request.path, until);
}

int path_unlink(const char *path, deadline until)
{
	return path_unlink_at(NULL, path, 0, until);
}

int path_rmdir(const char *path, deadline until)
{
	return path_unlink_at(NULL, path, FS_UNLINK_DIRECTORY, until);
}

/* ---- of two names */

/* An end of a rename or a link, and where the request has it. */
struct end {
	struct file *directory;
	const char *path;
	uint32_t *request_directory;
	struct wire_bytes *request_path;
};

static void put_end(const struct end *end, const struct place *place)
{
	*end->request_directory = place->directory;
	*end->request_path = place->path;
}

/* Both ends are to be of one mount. */
static int call_on_two(
	const struct end *from, const struct end *to, struct fs_call *call, deadline until)
{
	struct place from_place, to_place;
	int error = place_find(&from_place, from->directory, from->path, until);

	if (error)
		return error;
	error = place_find(&to_place, to->directory, to->path, until);
	if (!error) {
		put_end(from, &from_place);
		put_end(to, &to_place);
		error = from_place.client == to_place.client
				? place_perform(&from_place, call, until)
				: -EXDEV;
		place_leave(&to_place);
	}
	place_leave(&from_place);
	return error;
}

int path_rename_at(struct file *from_directory, const char *from, struct file *to_directory,
	const char *to, uint32_t flags, deadline until)
{
	struct fs_rename request = {.flags = flags};
	struct fs_call call = {.type = FS_RENAME, .request = &request};

	return call_on_two(
		&(struct end){from_directory, from, &request.from_directory, &request.from},
		&(struct end){to_directory, to, &request.to_directory, &request.to}, &call, until);
}

int path_rename_with(const char *from, const char *to, uint32_t flags, deadline until)
{
	return path_rename_at(NULL, from, NULL, to, flags, until);
}

int path_rename(const char *from, const char *to, deadline until)
{
	return path_rename_at(NULL, from, NULL, to, 0, until);
}

int path_link_at(struct file *from_directory, const char *from, struct file *to_directory,
	const char *to, deadline until)
{
	struct fs_link request = {0};
	struct fs_call call = {.type = FS_LINK, .request = &request};

	return call_on_two(
		&(struct end){from_directory, from, &request.from_directory, &request.from},
		&(struct end){to_directory, to, &request.to_directory, &request.to}, &call, until);
}

int path_link(const char *from, const char *to, deadline until)
{
	return path_link_at(NULL, from, NULL, to, until);
}

/* ---- symbolic links */

int path_symlink_at(const char *target, struct file *directory, const char *path, deadline until)
{
	struct fs_symlink request = {.target = bytes_of(target)};
	struct fs_call call = {.type = FS_SYMLINK, .request = &request};

	if (request.target.len > FS_PATH_MAX)
		return -ENAMETOOLONG;
	return place_call(directory, path, &call, &request.directory, &request.path, until);
}

int path_symlink(const char *target, const char *path, deadline until)
{
	return path_symlink_at(target, NULL, path, until);
}

static long read_link_in_boot(const struct place *place, char *text)
{
	const struct boot_node *node;
	int error = boot_find(place, false, &node);

	if (error || node->attributes.mode >> 12 != FILE_TYPE_LINK)
		return error ? error : -EINVAL;
	if (node->attributes.size > FS_PATH_MAX)
		return -EBADMSG;
	memcpy(text, node->data, (size_t)node->attributes.size);
	return (long)node->attributes.size;
}

static long read_link(struct place *place, char *text, deadline until)
{
	struct fs_read_link request = {.directory = place->directory, .path = place->path};
	struct fs_call call = {.type = FS_READ_LINK,
		.request = &request,
		.bytes = (unsigned char *)text,
		.room = FS_PATH_MAX};
	int error = place_perform(place, &call, until);

	return error ? error : (long)call.len;
}

long path_readlink_at(
	struct file *directory, const char *path, char *ret_text, size_t len, deadline until)
{
	struct place place;
	long got = place_find(&place, directory, path, until);
	char *text;

	if (got < 0)
		return got;
	text = malloc(FS_PATH_MAX);
	if (!text)
		got = -ENOMEM;
	else
		got = place.client ? read_link(&place, text, until)
				   : read_link_in_boot(&place, text);
	place_leave(&place);
	if (got >= 0 && len > 0) {
		size_t some = (size_t)got < len ? (size_t)got : len - 1;

		memcpy(ret_text, text, some);
		ret_text[some] = 0;
	}
	free(text);
	return got;
}

long path_readlink(const char *path, char *ret_text, size_t len, deadline until)
{
	return path_readlink_at(NULL, path, ret_text, len, until);
}
