#include "monitor/path.h"

#include <string.h>

bool path_normal(const char *path, size_t len, char *ret_normal)
{
	bool absolute = len != 0 && path[0] == '/';
	size_t used = 0;

	for (size_t at = 0, end; at < len; at = end + 1) {
		end = at;
		while (end < len && path[end] != '/')
			end++;
		size_t part = end - at;
		if (part == 0 || (part == 1 && path[at] == '.'))
			continue;
		if (part == 2 && path[at] == '.' && path[at + 1] == '.')
			return false;
		if (used != 0 || absolute)
			ret_normal[used++] = '/';
		memcpy(ret_normal + used, path + at, part);
		used += part;
	}
	if (used == 0)
		ret_normal[used++] = absolute ? '/' : '.';
	ret_normal[used] = '\0';
	if (ret_normal[0] == '@' && path[0] != '@') {
		memmove(ret_normal + 2, ret_normal, used + 1);
		memcpy(ret_normal, "./", 2);
	}
	return true;
}
