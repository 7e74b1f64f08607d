/* path: paths as text. */
#ifndef FERRULE_MONITOR_PATH_H
#define FERRULE_MONITOR_PATH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes the path without '.', '//' and a '/' at the end, ended by a 0 byte: at most len + 2 bytes. It stays absolute
 * or relative; nothing left is "/" or ".". A relative one that begins with '@', which would be an abstract socket, keeps "./". False: it has '..' in it.
 */
bool path_normal(const char *path, size_t len, char *ret_normal);

#endif
