#include "guest/stream/boot_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/stream/path.h"

#define HEADER_LEN 110u /* bytes: the magic and 13 numbers of 8 digits */
#define LINKS_MOST 40u  /* symbolic links on one way, as Linux has it */
#define TYPE(mode) ((mode) >> 12)
#define LAST_NAME  "TRAILER!!!"

/* ---- the archive */

/* The numbers of a header, in their order; after cpio(5). */
enum {
	NEWC_INODE,
	NEWC_MODE,
	NEWC_UID,
	NEWC_GID,
	NEWC_NLINK,
	NEWC_MTIME,
	NEWC_FILE_LEN,
	NEWC_NAME_LEN = 11,
	NEWC_NUMBERS = 13,
};

struct entry {
	uint32_t number[NEWC_NUMBERS];
	const char *name; /* ended by a 0 */
	const unsigned char *data;
};

static bool read_number(const unsigned char *digits, uint32_t *ret_number)
{
	static const char known[] = "0123456789abcdefABCDEF";

	*ret_number = 0;
	for (unsigned i = 0; i < 8; i++) {
		const char *digit = digits[i] ? strchr(known, digits[i]) : NULL;
		unsigned value = digit ? (unsigned)(digit - known) : 0;

		if (!digit)
			return false;
		*ret_number = *ret_number << 4 | (value > 15 ? value - 6 : value);
	}
	return true;
}

static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

/* The entry at the start: the bytes that it takes; 0: it is damaged. Every length is checked before
 * it is used. */
static size_t read_entry(const unsigned char *at, size_t left, struct entry *entry)
{
	size_t name_len, data_at, data_len;

	if (left < HEADER_LEN || (memcmp(at, "070701", 6) != 0 && memcmp(at, "070702", 6) != 0))
		return 0;
	for (unsigned i = 0; i < NEWC_NUMBERS; i++) {
		if (!read_number(at + 6 + 8 * i, &entry->number[i]))
			return 0;
	}
	name_len = entry->number[NEWC_NAME_LEN];
	data_len = entry->number[NEWC_FILE_LEN];
	if (name_len == 0 || name_len > FS_PATH_MAX || name_len > left - HEADER_LEN)
		return 0;
	entry->name = (const char *)at + HEADER_LEN;
	if (memchr(entry->name, 0, name_len) != entry->name + name_len - 1)
		return 0;
	data_at = padded(HEADER_LEN + name_len);
	if (data_at > left || data_len > left - data_at)
		return 0;
	entry->data = at + data_at;
	return data_at + data_len < left - 3 ? padded(data_at + data_len) : left;
}

/* ---- the list of nodes */

/* A slash sorts before all that a name can have, so that what is below a directory follows it. */
static int compare_paths(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	unsigned x = *a == '/' ? 1 : (unsigned char)*a + (*a ? 1u : 0u);
	unsigned y = *b == '/' ? 1 : (unsigned char)*b + (*b ? 1u : 0u);
	return x < y ? -1 : x > y;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct boot_node *x = a, *y = b;
	int order = compare_paths(x->path, y->path);

	/* Of the same name the later one first: 'reserved' is its number, until all are sorted. */
	if (order == 0)
		order = x->attributes.reserved > y->attributes.reserved ? -1 : 1;
	return order;
}

static struct boot_node *add_node(struct boot_tree *tree, const char *path, size_t len)
{
	struct boot_node *node;

	if (tree->count == tree->room) {
		size_t room = tree->room ? tree->room * 2 : 64;

		node = realloc(tree->node, room * sizeof(*node));
		if (!node)
			return NULL;
		tree->node = node;
		tree->room = room;
	}
	node = &tree->node[tree->count];
	*node = (struct boot_node){.path = malloc(len + 1)};
	if (!node->path)
		return NULL;
	memcpy(node->path, path, len);
	node->path[len] = 0;
	node->attributes.reserved = (uint32_t)++tree->count;
	return node;
}

/* A directory that no entry may have named. Number 0: any that one has comes first. */
static bool add_directory(struct boot_tree *tree, const char *path, size_t len)
{
	struct boot_node *node = add_node(tree, path, len);

	if (node)
		node->attributes = (struct fs_attributes){.mode = 0040555, .nlink = 2};
	return node != NULL;
}

static bool add_parents(struct boot_tree *tree, const char *path)
{
	for (size_t i = 0; path[i]; i++) {
		if (path[i] == '/' && !add_directory(tree, path, i))
			return false;
	}
	return true;
}

static int add_entry(struct boot_tree *tree, const struct entry *entry)
{
	char plain[FS_PATH_MAX + 1];
	struct boot_node *node;
	bool slash;

	if (path_normalize(entry->name, plain, &slash) || strlen(plain) < 2)
		return 0; /* the top has its own */
	if (!add_parents(tree, plain + 1))
		return -ENOMEM;
	node = add_node(tree, plain + 1, strlen(plain + 1));
	if (!node)
		return -ENOMEM;
	node->data = entry->data;
	node->attributes = (struct fs_attributes){
		.size = entry->number[NEWC_FILE_LEN],
		.blocks = (entry->number[NEWC_FILE_LEN] + 511u) / 512u,
		.inode = entry->number[NEWC_INODE],
		.mtime_s = entry->number[NEWC_MTIME],
		.atime_s = entry->number[NEWC_MTIME],
		.ctime_s = entry->number[NEWC_MTIME],
		.mode = entry->number[NEWC_MODE],
		.nlink = entry->number[NEWC_NLINK],
		.uid = entry->number[NEWC_UID],
		.gid = entry->number[NEWC_GID],
		.reserved = node->attributes.reserved,
	};
	return 0;
}

/* Each name once. */
static void sort(struct boot_tree *tree)
{
	size_t kept = 0;

	qsort(tree->node, tree->count, sizeof(*tree->node), compare_nodes);
	for (size_t i = 0; i < tree->count; i++) {
		if (kept > 0 && strcmp(tree->node[kept - 1].path, tree->node[i].path) == 0) {
			free(tree->node[i].path);
			continue;
		}
		tree->node[kept] = tree->node[i];
		tree->node[kept++].attributes.reserved = 0;
	}
	tree->count = kept;
}

/* Of the names of one file the archive has the bytes with the last. */
static void join_hard_links(struct boot_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		struct fs_attributes *to = &tree->node[i].attributes;

		if (TYPE(to->mode) != 8 || to->size > 0 || to->nlink < 2)
			continue;
		for (size_t j = 0; j < tree->count; j++) {
			const struct fs_attributes *of = &tree->node[j].attributes;

			if (of->inode == to->inode && of->size > 0 && of->nlink == to->nlink) {
				to->size = of->size;
				to->blocks = of->blocks;
				tree->node[i].data = tree->node[j].data;
				break;
			}
		}
	}
}

int boot_tree_read(struct boot_tree *ret_tree, const unsigned char *archive, size_t len)
{
	struct boot_tree tree = {0};
	struct entry entry;
	size_t at = 0, used = 0;
	int error = add_directory(&tree, "", 0) ? 0 : -ENOMEM;

	do {
		used = error ? 0 : read_entry(archive + at, len - at, &entry);
		if (!error && !used)
			error = -EBADMSG;
		if (error || strcmp(entry.name, LAST_NAME) == 0)
			break;
		error = add_entry(&tree, &entry);
		at += used;
	} while (!error);
	if (error) {
		boot_tree_free(&tree);
	} else {
		sort(&tree);
		join_hard_links(&tree);
	}
	*ret_tree = tree;
	return error;
}

int boot_tree_of_directories(
	struct boot_tree *ret_tree, const char *const directories[], size_t count)
{
	struct boot_tree tree = {0};
	bool made = add_directory(&tree, "", 0);

	for (size_t i = 0; made && i < count; i++) {
		const char *path = directories[i] + 1;

		made = add_parents(&tree, path) && add_directory(&tree, path, strlen(path));
	}
	if (made)
		sort(&tree);
	else
		boot_tree_free(&tree);
	*ret_tree = tree;
	return made ? 0 : -ENOMEM;
}

void boot_tree_free(struct boot_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		free(tree->node[i].path);
	free(tree->node);
	*tree = (struct boot_tree){0};
}

/* ---- looking */

/* The first node that is not before this path. */
static size_t lower_bound(const struct boot_tree *tree, const char *path)
{
	size_t low = 0, high = tree->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_paths(tree->node[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct boot_node *boot_tree_at(const struct boot_tree *tree, const char *path)
{
	size_t at = lower_bound(tree, path);

	return at < tree->count && strcmp(tree->node[at].path, path) == 0 ? &tree->node[at] : NULL;
}

/* A way through the tree: where it is, and what is still to be walked. */
struct walk {
	char here[FS_PATH_MAX + 2];
	char rest[2 * FS_PATH_MAX + 2];
	unsigned links;
};

static void go_up(struct walk *walk)
{
	char *slash = strrchr(walk->here, '/');

	*(slash ? slash : walk->here) = 0;
}

/* Puts a link's text in the place of its name. */
static int follow_link(struct walk *walk, const struct boot_node *link, const char *rest)
{
	size_t len = (size_t)link->attributes.size, rest_len = strlen(rest);
	char joined[sizeof(walk->rest)];

	if (++walk->links > LINKS_MOST)
		return -ELOOP;
	if (len == 0)
		return -ENOENT;
	if (len + rest_len >= sizeof(joined))
		return -ENAMETOOLONG;
	memcpy(joined, link->data, len);
	memcpy(joined + len, rest, rest_len + 1);
	go_up(walk);
	if (joined[0] == '/')
		walk->here[0] = 0;
	strcpy(walk->rest, joined);
	return 0;
}

/* One component further. */
static int step(const struct boot_tree *tree, struct walk *walk, bool follow)
{
	char *name = walk->rest + strspn(walk->rest, "/");
	size_t len = strcspn(name, "/"), here_len = strlen(walk->here);
	const struct boot_node *node = boot_tree_at(tree, walk->here);
	const char *rest = name + len;

	if (TYPE(node->attributes.mode) != 4)
		return -ENOTDIR;
	if (len == 0 || (len == 1 && name[0] == '.')) {
		memmove(walk->rest, rest, strlen(rest) + 1);
		return 0;
	}
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		go_up(walk);
		memmove(walk->rest, rest, strlen(rest) + 1);
		return 0;
	}
	if (here_len + 1 + len > FS_PATH_MAX)
		return -ENAMETOOLONG;
	if (here_len)
		walk->here[here_len++] = '/';
	memcpy(walk->here + here_len, name, len);
	walk->here[here_len + len] = 0;
	node = boot_tree_at(tree, walk->here);
	if (!node)
		return -ENOENT;
	if (TYPE(node->attributes.mode) == 10 && (*rest || follow))
		return follow_link(walk, node, rest);
	memmove(walk->rest, rest, strlen(rest) + 1);
	return 0;
}

int boot_tree_find(const struct boot_tree *tree, const struct boot_node *from, const char *path,
	bool follow, const struct boot_node **ret_node)
{
	struct walk walk = {.links = 0};
	int error = 0;

	if (!*path)
		return -ENOENT;
	if (strlen(path) > FS_PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(walk.here, from ? from->path : "");
	strcpy(walk.rest, path);
	if (path[0] == '/')
		walk.here[0] = 0;
	while (!error && *walk.rest)
		error = step(tree, &walk, follow);
	if (!error)
		*ret_node = boot_tree_at(tree, walk.here);
	return error;
}

const char *boot_node_name(const struct boot_node *node)
{
	const char *slash = strrchr(node->path, '/');

	return slash ? slash + 1 : node->path;
}

/* What comes behind all that is below 'last' is found without looking at it. */
const struct boot_node *boot_tree_next(const struct boot_tree *tree,
	const struct boot_node *directory, const struct boot_node *last)
{
	size_t len = strlen(directory->path);
	size_t at = (size_t)(directory - tree->node) + 1;

	if (last) {
		size_t last_len = strlen(last->path), high = tree->count;

		at = (size_t)(last - tree->node) + 1;
		while (at < high) {
			size_t middle = at + (high - at) / 2;
			const char *path = tree->node[middle].path;

			if (strncmp(path, last->path, last_len) == 0 && path[last_len] == '/')
				at = middle + 1;
			else
				high = middle;
		}
	}
	if (at >= tree->count)
		return NULL;
	const char *path = tree->node[at].path;
	if (len > 0 && (strncmp(path, directory->path, len) != 0 || path[len] != '/'))
		return NULL;
	return &tree->node[at];
}
