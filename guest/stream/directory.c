/* Directories: their entries, in batches, perhaps with attributes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/stream/boot.h"
#include "guest/stream/place.h"

#define BATCH_LEN (64u << 10) /* bytes of entries asked for at once */

struct directory {
	struct file *file;
	const struct boot_node *last; /* of this side's: the entry that was given out last */
	bool on_host; /* not all of the host's were given out; behind them come the mounts in it */
	uint32_t flags;  /* enum fs_list_flag */
	uint64_t cookie; /* of the last entry that was given out */
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
	if (error) {
		free(directory);
		return error;
	}
	directory->on_host = directory->file->client != NULL;
	*ret_directory = directory;
	return 0;
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
	return 0;
}

#define LOOK_MS 1000u

/* A mount may be slow, or gone: then its name is all there is. */
static void look(struct directory *directory, const struct boot_node *node, deadline until)
{
	struct fs_entry *entry = &directory->entry;
	char path[FS_PATH_MAX + 2];

	entry->has_attributes = directory->flags & FS_LIST_ATTRIBUTES;
	entry->attributes = node->attributes;
	if (!entry->has_attributes ||
		(!directory->file->client && directory->file->tree != mount_tree()))
		return;
	snprintf(path, sizeof(path), "/%s", node->path);
	deadline soon = in_milliseconds(LOOK_MS);
	entry->has_attributes =
		path_stat(path, &entry->attributes, until < soon ? until : soon) == 0;
}

static int give(struct directory *directory, const struct boot_node *node, const char **ret_name,
	uint16_t *ret_type, deadline until)
{
	directory->last = node;
	directory->at_end = node == NULL;
	if (!node)
		return 0;
	look(directory, node, until);
	*ret_name = boot_node_name(node);
	*ret_type = (uint16_t)(node->attributes.mode >> 12);
	return 1;
}

static int next_on_host(struct directory *directory, deadline until)
{
	struct fs_entry *entry = &directory->entry;
	int error = directory->used < directory->len ? 0 : next_batch(directory, until);
	long used;

	if (error || directory->len == 0)
		return error;
	used = fs_entry_decode(
		entry, directory->entries + directory->used, directory->len - directory->used);
	if (used <= 0 || entry->name.len > FS_NAME_MAX)
		return -EPROTO;
	directory->used += (size_t)used;
	directory->cookie = entry->cookie;
	memcpy(directory->name, entry->name.data, entry->name.len);
	directory->name[entry->name.len] = 0;
	return 1;
}

static const struct boot_node *next_mount(
	const struct directory *directory, const struct boot_node *last)
{
	return directory->file->above ? mount_next(directory->file->above, last) : NULL;
}

/* Another mount lies on it. */
static bool is_covered(const struct directory *directory)
{
	const struct boot_node *node = NULL;

	while ((node = next_mount(directory, node)) != NULL) {
		if (strcmp(boot_node_name(node), directory->name) == 0)
			return true;
	}
	return false;
}

int directory_next(
	struct directory *directory, const char **ret_name, uint16_t *ret_type, deadline until)
{
	while (directory->on_host) {
		int more = next_on_host(directory, until);

		if (more < 0)
			return more;
		directory->on_host = more > 0;
		if (more > 0 && !is_covered(directory)) {
			*ret_name = directory->name;
			*ret_type = directory->entry.type;
			return 1;
		}
	}
	if (directory->at_end)
		return 0;
	return give(directory,
		directory->file->client ? next_mount(directory, directory->last)
					: boot_next(directory->file, directory->last),
		ret_name, ret_type, until);
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
