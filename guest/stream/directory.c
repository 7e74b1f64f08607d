/* Directories: their entries, in batches, perhaps with attributes. */
#include <stdlib.h>
#include <string.h>

#include "guest/stream/boot.h"
#include "guest/stream/place.h"

#define BATCH_LEN (64u << 10) /* bytes of entries asked for at once */

struct directory {
	struct file *file;
	const struct boot_node *last; /* in boot:/: the entry that was given out last */
	uint32_t flags;               /* enum fs_list_flag */
	uint64_t cookie;              /* of the last entry that was given out */
	bool at_end;
	size_t used, len; /* bytes of 'entries' given out, and there */
	struct fs_entry entry;
	char name[FS_NAME_MAX + 1];
	unsigned char entries[BATCH_LEN];
};

static int open_listed(struct directory **ret_directory, struct file *from, const char *path,
	uint32_t flags, deadline until)
{
	struct directory *directory = malloc(sizeof(*directory));
	int error;

	if (!directory)
		return -ENOMEM;
	directory->flags = flags;
	directory->cookie = 0;
	directory->last = NULL;
	directory->at_end = false;
	directory->used = directory->len = 0;
	directory->entry.has_attributes = false;
	error = file_open_at(
		&directory->file, from, path, FS_OPEN_READ | FS_OPEN_DIRECTORY, 0, until);
	if (error)
		free(directory);
	else
		*ret_directory = directory;
	return error;
}

int directory_open(struct directory **ret_directory, const char *path, deadline until)
{
	return open_listed(ret_directory, NULL, path, 0, until);
}

int directory_open_at(
	struct directory **ret_directory, struct file *from, const char *path, deadline until)
{
	return open_listed(ret_directory, from, path, 0, until);
}

int directory_open_with_attributes(
	struct directory **ret_directory, const char *path, deadline until)
{
	return open_listed(ret_directory, NULL, path, FS_LIST_ATTRIBUTES, until);
}

static int next_batch(struct directory *directory, deadline until)
{
	struct fs_list request = {.handle = directory->file->handle,
		.length = BATCH_LEN,
		.cookie = directory->cookie,
		.flags = directory->flags};
	struct fs_call call = {.type = FS_LIST,
		.request = &request,
		.bytes = directory->entries,
		.room = BATCH_LEN};
	int error = fs_perform(directory->file->client, &call, until);

	if (error)
		return error;
	directory->used = 0;
	directory->len = call.len;
	directory->at_end = call.len == 0;
	return 0;
}

static int next_in_boot(struct directory *directory, const char **ret_name, uint16_t *ret_type)
{
	const struct boot_node *node =
		directory->at_end ? NULL : boot_next(directory->file, directory->last);

	directory->last = node;
	directory->at_end = node == NULL;
	if (!node)
		return 0;
	directory->entry.has_attributes = directory->flags & FS_LIST_ATTRIBUTES;
	directory->entry.attributes = node->attributes;
	*ret_name = boot_node_name(node);
	*ret_type = (uint16_t)(node->attributes.mode >> 12);
	return 1;
}

int directory_next(
	struct directory *directory, const char **ret_name, uint16_t *ret_type, deadline until)
{
	struct fs_entry *entry = &directory->entry;
	int error = 0;
	long used;

	if (!directory->file->client)
		return next_in_boot(directory, ret_name, ret_type);
	if (directory->used == directory->len && !directory->at_end)
		error = next_batch(directory, until);
	if (error || directory->at_end)
		return error;
	used = fs_entry_decode(
		entry, directory->entries + directory->used, directory->len - directory->used);
	if (used <= 0 || entry->name.len > FS_NAME_MAX)
		return -EPROTO;
	directory->used += (size_t)used;
	directory->cookie = entry->cookie;
	memcpy(directory->name, entry->name.data, entry->name.len);
	directory->name[entry->name.len] = 0;
	*ret_name = directory->name;
	*ret_type = entry->type;
	return 1;
}

const struct fs_attributes *directory_attributes(const struct directory *directory)
{
	return directory->entry.has_attributes ? &directory->entry.attributes : NULL;
}

void directory_close(struct directory *directory)
{
	file_close(directory->file);
	free(directory);
}
