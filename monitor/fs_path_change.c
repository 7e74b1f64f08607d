/*
 * Making, removing, renaming and linking. The parent directory is walked to and held by a
 * descriptor; the last component goes to the kernel as it is, in calls that
 * do not follow a link there.
 */
#include "monitor/fs_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE_NAME_LEN (FS_NAME_MAX + 3) /* bytes: one too many, a slash, and the 0 */

/* Where a path's last component is to be made, removed or replaced. */
struct place {
	int parent;                /* O_PATH of a directory beneath the one that was asked for */
	char name[PLACE_NAME_LEN]; /* with one '/' behind it if the path had any there */
};

/*
 * Splits 'path' into the name and what comes before it, "." for nothing. 0 or a negative errno. Of
 * a name that is too long as much is left as is too long: the kernel says so when it is its turn.
 */
static int split(const char *path, char ret_name[PLACE_NAME_LEN], char ret_parent[FS_PATH_MAX + 1])
{
	size_t len = strlen(path);
	size_t end = len;

	if (len == 0)
		return -ENOENT;
	if (len > FS_PATH_MAX)
		return -ENAMETOOLONG;
	if (path[0] == '/')
		return -EXDEV;
	while (path[end - 1] == '/') /* path[0] is none */
		end--;
	size_t start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	size_t name_len = end - start <= FS_NAME_MAX ? end - start : FS_NAME_MAX + 1;
	snprintf(ret_name, PLACE_NAME_LEN, "%.*s%s", (int)name_len, path + start,
		end < len ? "/" : "");
	snprintf(ret_parent, FS_PATH_MAX + 1, "%.*s", start > 0 ? (int)start : 1,
		start > 0 ? path : ".");
	return 0;
}

/* The calls that follow refuse a name that is '.' or '..' themselves, each with its own errno. */
static int place_find(int directory, const char *path, struct place *ret_place)
{
	char parent[FS_PATH_MAX + 1];
	int result = split(path, ret_place->name, parent);

	if (result < 0)
		return result;
	ret_place->parent = fs_path_walk(directory, parent, O_PATH | O_DIRECTORY, 0);
	return ret_place->parent < 0 ? ret_place->parent : 0;
}

int fs_path_mkdir(int directory, const char *path, uint32_t mode)
{
	struct place place;
	int result = place_find(directory, path, &place);

	if (result < 0)
		return result;
	if (mkdirat(place.parent, place.name, mode & 0777) < 0)
		result = -errno;
	close(place.parent);
	return result;
}

int fs_path_unlink(int directory, const char *path, bool remove_directory)
{
	struct place place;
	int result = place_find(directory, path, &place);

	if (result < 0)
		return result;
	if (unlinkat(place.parent, place.name, remove_directory ? AT_REMOVEDIR : 0) < 0)
		result = -errno;
	close(place.parent);
	return result;
}

static unsigned rename_flags(uint32_t flags)
{
	return ((flags & FS_RENAME_NOREPLACE) != 0 ? RENAME_NOREPLACE : 0u) |
	       ((flags & FS_RENAME_EXCHANGE) != 0 ? RENAME_EXCHANGE : 0u);
}

int fs_path_rename(
	int from_directory, const char *from, int to_directory, const char *to, uint32_t flags)
{
	struct place source, target;
	int result = place_find(from_directory, from, &source);

	if (result < 0)
		return result;
	result = place_find(to_directory, to, &target);
	if (result == 0) {
		if (renameat2(source.parent, source.name, target.parent, target.name,
			    rename_flags(flags)) < 0)
			result = -errno;
		close(target.parent);
	}
	close(source.parent);
	return result;
}

/*
 * The source is walked to, and linked by its descriptor: linkat would follow a symbolic link with a
 * slash behind it, out of the mount as well.
 */
int fs_path_link(int from_directory, const char *from, int to_directory, const char *to)
{
	char link[FS_PATH_LINK_LEN];
	struct place target;
	int source = fs_path_walk(from_directory, from, O_PATH | O_NOFOLLOW, 0);

	if (source < 0)
		return source;
	fs_path_link_of(source, link);
	int result = place_find(to_directory, to, &target);
	if (result == 0) {
		if (linkat(AT_FDCWD, link, target.parent, target.name, AT_SYMLINK_FOLLOW) < 0)
			result = -errno;
		close(target.parent);
	}
	close(source);
	return result;
}

int fs_path_symlink(const char *text, int directory, const char *path)
{
	struct place place;
	int result = place_find(directory, path, &place);

	if (result < 0)
		return result;
	if (symlinkat(text, place.parent, place.name) < 0)
		result = -errno;
	close(place.parent);
	return result;
}

long fs_path_read_link(int directory, const char *path, char *ret_text, size_t room)
{
	int walked = fs_path_walk(directory, path, O_PATH | O_NOFOLLOW, 0);

	if (walked < 0)
		return walked;
	ssize_t len = readlinkat(walked, "", ret_text, room);
	long result = len < 0 ? -errno : len;
	close(walked);
	/* What is no link is ENOENT when it is named by its descriptor, EINVAL by a path. */
	return result == -ENOENT ? -EINVAL : result;
}
