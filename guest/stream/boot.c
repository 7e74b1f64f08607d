#include "guest/stream/boot.h"

#include <string.h>

#include "guest/platform.h"
#include "guest/stream/start.h"

#define TYPE(node) ((node)->attributes.mode >> 12)

/* Of `ferrule-cc --bundle`; without it neither is there. */
extern const unsigned char ferrule_bundle_start[] __attribute__((weak));
extern const unsigned char ferrule_bundle_end[] __attribute__((weak));

static struct boot_tree bundle;

/* The tree of boot:/, read at first use. */
static int get_bundle(void)
{
	static int error = 1; /* it was not looked for yet */
	const unsigned char *archive;
	size_t len;

	if (error <= 0)
		return error;
	archive = platform_bundle(&len);
	if (!archive && ferrule_bundle_start) {
		archive = ferrule_bundle_start;
		len = (size_t)(ferrule_bundle_end - ferrule_bundle_start);
	}
	error = archive ? boot_tree_read(&bundle, archive, len) : -ENOENT;
	return error;
}

int boot_find(const struct place *place, bool follow, const struct boot_node **ret_node)
{
	const struct boot_tree *tree = place->tree ? place->tree : &bundle;
	int error = place->tree ? 0 : get_bundle();

	return error ? error
		     : boot_tree_find(tree, place->from, place->path.data, follow, ret_node);
}

int boot_refuse(enum fs_type type)
{
	return type == FS_GET_XATTR || type == FS_LIST_XATTRS ? -ENOTSUP : -EROFS;
}

int boot_open(const struct place *place, struct file *file)
{
	const uint32_t changes = FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE | FS_OPEN_APPEND;
	bool directory = file->flags & FS_OPEN_DIRECTORY;
	const struct boot_node *node;
	int error = boot_find(place, !(file->flags & FS_OPEN_NOFOLLOW), &node);

	if (!(file->flags & (FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_DIRECTORY)) ||
		file->flags & ~(uint32_t)FS_OPEN_KNOWN)
		return -EINVAL;
	if (file->flags & changes)
		return -EROFS;
	if (error)
		return error;
	if (TYPE(node) == FILE_TYPE_LINK)
		return -ELOOP;
	if (directory && TYPE(node) != FILE_TYPE_DIRECTORY)
		return -ENOTDIR;
	if (TYPE(node) != FILE_TYPE_DIRECTORY && TYPE(node) != FILE_TYPE_REGULAR)
		return -EACCES;
	file->client = NULL;
	file->tree = place->tree ? place->tree : &bundle;
	file->node = node;
	file->attributes = node->attributes;
	return 0;
}

long boot_move(const struct file *file, bool writes, void *bytes, size_t len, uint64_t offset)
{
	uint64_t size = file->node->attributes.size;

	if (writes)
		return -EBADF;
	if (TYPE(file->node) == FILE_TYPE_DIRECTORY)
		return -EISDIR;
	if (offset >= size)
		return 0;
	if (len > size - offset)
		len = (size_t)(size - offset);
	memcpy(bytes, file->node->data + offset, len);
	return (long)len;
}

int64_t boot_seek(const struct file *file, int64_t offset, enum fs_seek_whence whence)
{
	int64_t size = (int64_t)file->node->attributes.size;

	if (TYPE(file->node) == FILE_TYPE_DIRECTORY)
		return -EISDIR;
	/* A file is data all through, and a hole behind its end. */
	if (whence == FS_SEEK_DATA || whence == FS_SEEK_HOLE) {
		if (offset < 0 || offset >= size)
			return -ENXIO;
		return whence == FS_SEEK_DATA ? offset : size;
	}
	if (whence != FS_SEEK_END || offset > INT64_MAX - size || offset < -size)
		return -EINVAL;
	return size + offset;
}

void boot_system(const struct file *file, struct fs_system *ret_system)
{
	const struct boot_tree *tree = file->tree;

	*ret_system = (struct fs_system){.block_size = 512, .name_max = FS_NAME_MAX};
	for (size_t i = 0; i < tree->count; i++)
		ret_system->blocks += tree->node[i].attributes.blocks;
	ret_system->files = tree->count;
}

const struct boot_node *boot_next(const struct file *file, const struct boot_node *last)
{
	return boot_tree_next(file->tree, file->node, last);
}
