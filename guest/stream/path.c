#include "guest/stream/path.h"

#include <string.h>

/* The length of 'plain' without its last component. */
static size_t parent_len(const char *plain, size_t len)
{
	while (len > 0 && plain[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

int path_normalize(const char *path, char ret_plain[FS_PATH_MAX + 1], bool *ret_slash)
{
	size_t used = 0;

	if (!*path)
		return -ENOENT;
	*ret_slash = false;
	while (*path) {
		size_t slashes = strspn(path, "/");
		const char *name = path + slashes;
		size_t len = strcspn(name, "/");

		path = name + len;
		*ret_slash = true;
		if (len == 0 || (len == 1 && name[0] == '.'))
			continue;
		if (len == 2 && name[0] == '.' && name[1] == '.') {
			used = parent_len(ret_plain, used);
			continue;
		}
		if (used + 1 + len > FS_PATH_MAX)
			return -ENAMETOOLONG;
		*ret_slash = false;
		ret_plain[used++] = '/';
		memcpy(ret_plain + used, name, len);
		used += len;
	}
	if (used == 0)
		ret_plain[used++] = '/';
	ret_plain[used] = 0;
	return 0;
}

const char *path_in_boot(const char *path)
{
	static const char prefix[] = "boot:";
	size_t len = sizeof(prefix) - 1;

	if (strncmp(path, prefix, len) != 0 || (path[len] != '/' && path[len]))
		return NULL;
	return path[len] ? path + len : "/";
}

int path_plain(const char *path, char ret_plain[FS_PATH_MAX + 2])
{
	const char *in_boot = path_in_boot(path);
	char plain[FS_PATH_MAX + 2];
	bool slash;
	int error = path_normalize(in_boot ? in_boot : path, plain, &slash);

	if (error)
		return error;
	if (slash && plain[1])
		strcat(plain, "/");
	if (strlen(plain) + (in_boot ? 5 : 0) > FS_PATH_MAX + 1)
		return -ENAMETOOLONG;
	strcpy(ret_plain, in_boot ? "boot:" : "");
	strcat(ret_plain, plain);
	return 0;
}
