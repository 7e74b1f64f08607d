#include <stdlib.h>
#include <string.h>

#include "guest/stream/fs.h"
#include "guest/stream/path.h"

#define BATCH_LEN (16u << 10) /* bytes of entries asked for at once */

struct directory {
	struct fs_client *client;
	uint32_t handle;
	uint64_t cookie; /* of the last entry that was given out */
	bool at_end;
	size_t used, len; /* bytes of 'entries' given out, and there */
	char name[FS_NAME_MAX + 1];
	unsigned char entries[BATCH_LEN];
};

static int open_handle(struct directory *directory, const char *path, deadline until)
{
	struct mount_path at;
	struct fs_open request = {.flags = FS_OPEN_READ | FS_OPEN_DIRECTORY};
	struct fs_opened opened;
	struct fs_call call = {.type = FS_OPEN, .request = &request, .reply = &opened};
	int error = mount_resolve(path, &at);

	if (error)
		return error;
	request.path = (struct wire_bytes){at.relative, strlen(at.relative)};
	error = mount_client(&at, &directory->client, until);
	if (error)
		return error;
	error = fs_perform(directory->client, &call, until);
	if (error)
		fs_release(directory->client);
	else
		directory->handle = opened.handle;
	return error;
}

int directory_open(struct directory **ret_directory, const char *path, deadline until)
{
	struct directory *directory = malloc(sizeof(*directory));
	int error;

	if (!directory)
		return -ENOMEM;
	directory->cookie = 0;
	directory->at_end = false;
	directory->used = directory->len = 0;
	error = open_handle(directory, path, until);
	if (error)
		free(directory);
	else
		*ret_directory = directory;
	return error;
}

static int next_batch(struct directory *directory, deadline until)
{
	struct fs_list request = {
		.handle = directory->handle, .length = BATCH_LEN, .cookie = directory->cookie};
	struct fs_call call = {.type = FS_LIST,
		.request = &request,
		.bytes = directory->entries,
		.room = BATCH_LEN};
	int error = fs_perform(directory->client, &call, until);

	if (error)
		return error;
	directory->used = 0;
	directory->len = call.len;
	directory->at_end = call.len == 0;
	return 0;
}

int directory_next(
	struct directory *directory, const char **ret_name, uint16_t *ret_type, deadline until)
{
	struct fs_entry entry;
	int error = 0;
	long used;

	if (directory->used == directory->len && !directory->at_end)
		error = next_batch(directory, until);
	if (error || directory->at_end)
		return error;
	used = fs_entry_decode(
		&entry, directory->entries + directory->used, directory->len - directory->used);
	if (used <= 0 || entry.name.len > FS_NAME_MAX)
		return -EPROTO;
	directory->used += (size_t)used;
	directory->cookie = entry.cookie;
	memcpy(directory->name, entry.name.data, entry.name.len);
	directory->name[entry.name.len] = 0;
	*ret_name = directory->name;
	*ret_type = entry.type;
	return 1;
}

void directory_close(struct directory *directory)
{
	fs_close_handle(directory->client, directory->handle);
	fs_release(directory->client);
	free(directory);
}
