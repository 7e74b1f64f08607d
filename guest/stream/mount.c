#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/boot.h"
#include "guest/platform.h"
#include "guest/stream/boot_tree.h"
#include "guest/stream/fiber.h"
#include "guest/stream/fs.h"
#include "guest/stream/path.h"
#include "guest/stream/start.h"

struct mount {
	const char *granted; /* the directory as the monitor writes it */
	char directory[FS_PATH_MAX + 1];
	size_t len;               /* of 'directory'; 0 for the top */
	struct fs_client *client; /* NULL until the first use */
	struct fiber_mutex opening;
};

static struct {
	struct mount *mount;
	uint32_t count;
	bool read;
	struct boot_tree tree;
} mounts;

/* One entry of boot_info.mounts: "ro:/dir" or "rw:/dir". */
static void read_mount(struct mount *mount, const char *entry)
{
	const char *colon = strchr(entry, ':');
	bool slash;

	if (!colon || path_normalize(colon + 1, mount->directory, &slash))
		guest_panic("the monitor named the mount '%.100s'", entry);
	mount->granted = colon + 1;
	mount->len = strlen(mount->directory);
	if (mount->len == 1)
		mount->len = 0;
}

static int make_tree(void)
{
	const char **directories = calloc(mounts.count + 1u, sizeof(*directories));
	int error = -ENOMEM;

	for (uint32_t i = 0; directories && i < mounts.count; i++)
		directories[i] = mounts.mount[i].directory;
	if (directories)
		error = boot_tree_of_directories(&mounts.tree, directories, mounts.count);
	free(directories);
	return error;
}

static void read_mounts(void)
{
	const struct boot_info *boot = platform_boot();
	const char *entry = (const char *)boot + boot->mounts_offset;

	mounts.read = true;
	mounts.mount = calloc(boot->mountc + 1u, sizeof(*mounts.mount));
	if (!mounts.mount)
		guest_panic("no memory for %u mounts", boot->mountc);
	for (; mounts.count < boot->mountc; mounts.count++) {
		read_mount(&mounts.mount[mounts.count], entry);
		entry += strlen(entry) + 1;
	}
	if (make_tree())
		guest_panic("no memory for %u mounts", boot->mountc);
}

static bool lies_in(const char *plain, const struct mount *mount)
{
	return strncmp(plain, mount->directory, mount->len) == 0 &&
	       (plain[mount->len] == '/' || plain[mount->len] == 0);
}

/* The mount whose directory is the longest that the path begins with. */
static struct mount *find_mount(const char *plain)
{
	struct mount *best = NULL;

	for (uint32_t i = 0; i < mounts.count; i++) {
		struct mount *mount = &mounts.mount[i];

		if (lies_in(plain, mount) && (!best || mount->len > best->len))
			best = mount;
	}
	return best;
}

const struct boot_tree *mount_tree(void)
{
	if (!mounts.read)
		read_mounts();
	return &mounts.tree;
}

static bool is_mount(const struct boot_node *node)
{
	for (uint32_t i = 0; i < mounts.count; i++) {
		if (strcmp(mounts.mount[i].directory + 1, node->path) == 0)
			return true;
	}
	return false;
}

const struct boot_node *mount_above(const struct mount_path *path)
{
	return path->node && boot_tree_next(&mounts.tree, path->node, NULL) ? path->node : NULL;
}

/* The length of a plain path of 'len' bytes without its last name, but not of less than 'base'. */
static size_t without_name(const char *plain, size_t len, size_t base)
{
	while (len > base && plain[len - 1] != '/')
		len--;
	return len > base ? len - 1 : len;
}

bool mount_enters(const struct boot_node *above, const char *path)
{
	size_t base = strlen(above->path), len = base, name_len;
	char plain[FS_PATH_MAX + 1];

	memcpy(plain, above->path, base);
	for (path += strspn(path, "/"); (name_len = strcspn(path, "/")) > 0;
		path += name_len, path += strspn(path, "/")) {
		const struct boot_node *node;

		if (name_len == 1 && path[0] == '.')
			continue;
		if (name_len == 2 && path[0] == '.' && path[1] == '.') {
			if (len == base)
				return false;
			len = without_name(plain, len, base);
			continue;
		}
		if (len + 1 + name_len > FS_PATH_MAX)
			return false;
		if (len > 0)
			plain[len++] = '/';
		memcpy(plain + len, path, name_len);
		len += name_len;
		plain[len] = 0;
		node = boot_tree_at(&mounts.tree, plain);
		if (node && is_mount(node))
			return true;
	}
	return false;
}

int mount_resolve_at(const struct boot_node *above, const char *path, struct mount_path *ret_path)
{
	size_t len = strlen(above->path), path_len = strlen(path);
	char whole[2 * FS_PATH_MAX + 3];
	int error;

	if (path_len == 0)
		return -ENOENT;
	if (path_len > FS_PATH_MAX)
		return -ENAMETOOLONG;
	if (*path == '/')
		return -EXDEV;
	snprintf(whole, sizeof(whole), "/%s/%s", above->path, path);
	error = mount_resolve(whole, ret_path);
	if (error)
		return error;
	/* Below it still? */
	if (len > 0 && (strncmp(ret_path->plain + 1, above->path, len) != 0 ||
			       (ret_path->plain[1 + len] != '/' && ret_path->plain[1 + len])))
		return -EXDEV;
	return 0;
}

const struct boot_node *mount_next(const struct boot_node *above, const struct boot_node *last)
{
	do
		last = boot_tree_next(&mounts.tree, above, last);
	while (last && !is_mount(last));
	return last;
}

/* The first component, with the slash before it. */
static size_t top_len(const char *plain)
{
	return 1 + strcspn(plain + 1, "/");
}

int mount_resolve(const char *path, struct mount_path *ret_path)
{
	const char *in_boot = path_in_boot(path);
	bool slash;
	int error = path_normalize(in_boot ? in_boot : path, ret_path->plain, &slash);

	if (error)
		return error;
	mount_tree();
	ret_path->mount = in_boot ? NULL : find_mount(ret_path->plain);
	/* Without any mount there is nothing above one: the monitor is to say which option is
	 * missing. */
	ret_path->node = in_boot || mounts.count == 0
				 ? NULL
				 : boot_tree_at(&mounts.tree, ret_path->plain + 1);
	ret_path->above = ret_path->node && !ret_path->mount;
	ret_path->boot = in_boot || ret_path->above;
	ret_path->relative = ret_path->plain;
	if (!ret_path->boot)
		ret_path->relative +=
			ret_path->mount ? ret_path->mount->len : top_len(ret_path->plain);
	if (*ret_path->relative == '/')
		ret_path->relative++;
	if (!*ret_path->relative)
		ret_path->relative = ".";
	else if (slash)
		strcat(ret_path->plain, "/");
	return 0;
}

/*
 * What no mount covers is asked for all the same, by its top directory: the monitor
 * refuses it with EACCES, and tells its user which option would have granted it.
 */
struct wire_bytes mount_directory(const struct mount_path *path)
{
	if (!path->mount)
		return (struct wire_bytes){path->plain, top_len(path->plain)};
	return (struct wire_bytes){path->mount->granted, strlen(path->mount->granted)};
}

int mount_client(const struct mount_path *path, struct fs_client **ret_client, deadline until)
{
	struct mount *mount = path->mount;
	int error;

	if (!mount)
		return fs_connect(path, ret_client, until);
	error = fiber_lock(&mount->opening, until);
	if (error)
		return error;
	if (mount->client && !fs_usable(mount->client)) {
		fs_release(mount->client);
		mount->client = NULL;
	}
	if (!mount->client)
		error = fs_connect(path, &mount->client, until);
	if (!error)
		*ret_client = fs_hold(mount->client);
	fiber_unlock(&mount->opening);
	return error;
}
