#include "monitor/unix_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "monitor/fs_path.h"

#define PROC_FD     "/proc/self/fd/"
#define FD_DIGITS   7u   /* of a descriptor's number */
#define PERMISSIONS 0777 /* of a mode */

_Static_assert(sizeof(PROC_FD) - 1 + FD_DIGITS + 1 + UNIX_LISTEN_NAME_MAX ==
		       sizeof(((struct sockaddr_un *)0)->sun_path),
	"a name fits in an address, the 0 byte behind it left out");

struct address {
	struct sockaddr_un un;
	socklen_t len;
};

static int walk(int directory, const char *path, uint64_t flags)
{
	return fs_path_walk_unlinked(directory, path, flags | O_PATH);
}

/* ---- addresses */

/* Of the inode behind a descriptor, or of a name in that directory. */
static int address_by_fd(int fd, const char *name, struct address *ret_address)
{
	char path[sizeof(PROC_FD) + 16 + 1 + UNIX_LISTEN_NAME_MAX];
	struct sockaddr_un *un = &ret_address->un;
	int len = snprintf(path, sizeof(path), PROC_FD "%d%s%s", fd, name != NULL ? "/" : "",
		name != NULL ? name : "");

	if ((size_t)len > sizeof(un->sun_path))
		return -ENAMETOOLONG;
	*ret_address = (struct address){.un = {.sun_family = AF_UNIX}};
	memcpy(un->sun_path, path, (size_t)len);
	ret_address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
	return 0;
}

static int address_abstract(const char *name, struct address *ret_address)
{
	struct sockaddr_un *un = &ret_address->un;
	size_t len = strlen(name);

	if (len > sizeof(un->sun_path) - 1)
		return -ENAMETOOLONG;
	*ret_address = (struct address){.un = {.sun_family = AF_UNIX}};
	memcpy(un->sun_path + 1, name, len);
	ret_address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
	return 0;
}

static int connect_to(int fd, const struct address *address)
{
	return connect(fd, (const struct sockaddr *)&address->un, address->len) < 0 ? -errno : 0;
}

/* ---- connecting */

static int connect_file(int fd, const struct unix_place *place)
{
	struct address address;
	int file = walk(place->directory, place->path, 0);

	if (file < 0)
		return file;
	int result = address_by_fd(file, NULL, &address);
	if (result == 0)
		result = connect_to(fd, &address);
	close(file);
	return result;
}

int unix_path_connect(const struct unix_place *place, uint32_t type)
{
	struct address address;
	int result = 0;
	int fd = socket(AF_UNIX, (int)type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (place->directory >= 0) {
		result = connect_file(fd, place);
	} else {
		result = address_abstract(place->path, &address);
		if (result == 0)
			result = connect_to(fd, &address);
	}
	/* For io, which waits for it. */
	if (result == 0 && fcntl(fd, F_SETFL, 0) < 0)
		result = -errno;
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

/* ---- listening */

static bool same_file(int directory, const char *name, int file)
{
	struct stat named, held;

	return fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(file, &held) == 0 && named.st_dev == held.st_dev &&
	       named.st_ino == held.st_ino;
}

/*
 * Is it a socket's file that no socket is bound to? A datagram socket that connects there is told
 * ECONNREFUSED then, and EPROTOTYPE where a stream's listener is, which notices nothing of it.
 */
static bool is_dead(int file)
{
	struct address address;
	struct stat stat;

	if (fstat(file, &stat) < 0 || !S_ISSOCK(stat.st_mode) ||
		address_by_fd(file, NULL, &address) < 0)
		return false;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	bool dead = connect_to(fd, &address) == -ECONNREFUSED;
	close(fd);
	return dead;
}

/* False: what is in the way has to stay. */
static bool remove_dead(int directory, const char *name)
{
	int file = walk(directory, name, 0);
	bool removed = false;

	if (file < 0)
		return false;
	if (is_dead(file) && same_file(directory, name, file))
		removed = unlinkat(directory, name, 0) == 0;
	close(file);
	return removed;
}

static int bind_to(int fd, const struct address *address)
{
	return bind(fd, (const struct sockaddr *)&address->un, address->len) < 0 ? -errno : 0;
}

/* As far as that can be seen: whose it is depends on the file system. */
static bool is_our_socket(int file)
{
	struct stat of;

	return fstat(file, &of) == 0 && S_ISSOCK(of.st_mode) && of.st_nlink == 1;
}

/* Its permissions are never more than wanted: the kernel gives the file those of the socket, but
 * for the umask; then exactly those. */
static int bind_file(const struct unix_listen *wanted, struct unix_bound *bound)
{
	struct address address;
	mode_t mode = wanted->mode & PERMISSIONS;
	int result = address_by_fd(bound->directory, bound->name, &address);

	if (result == 0 && mode != 0 && fchmod(bound->fd, mode) < 0)
		result = -errno;
	if (result == 0)
		result = bind_to(bound->fd, &address);
	if (result == -EADDRINUSE && (wanted->flags & UNIX_LISTEN_REPLACE) != 0 &&
		remove_dead(bound->directory, bound->name))
		result = bind_to(bound->fd, &address);
	if (result < 0)
		return result;
	bound->file = walk(bound->directory, bound->name, 0);
	/* Whoever may write to the directory can have put something else there meanwhile: that is
	 * not ours to change, or to remove. */
	if (bound->file >= 0 && !is_our_socket(bound->file)) {
		close(bound->file);
		bound->file = -1;
		return -EADDRINUSE;
	}
	if (bound->file < 0)
		return bound->file;
	if (mode != 0 && address_by_fd(bound->file, NULL, &address) == 0 &&
		chmod(address.un.sun_path, mode) < 0)
		result = -errno;
	return result;
}

/* The directory of a path, and the name in it. */
static int split(const struct unix_place *place, struct unix_bound *bound)
{
	const char *slash = strrchr(place->path, '/');
	const char *name = slash != NULL ? slash + 1 : place->path;
	char parent[FS_PATH_MAX + 1] = ".";

	if (strlen(name) > UNIX_LISTEN_NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(bound->name, name);
	if (slash != NULL) {
		memcpy(parent, place->path, (size_t)(slash - place->path));
		parent[slash - place->path] = '\0';
	}
	bound->directory = walk(place->directory, parent, O_DIRECTORY);
	return bound->directory < 0 ? bound->directory : 0;
}

static int bind_place(
	const struct unix_place *place, const struct unix_listen *wanted, struct unix_bound *bound)
{
	struct address address;
	int result;

	if (place->directory >= 0) {
		result = split(place, bound);
		return result < 0 ? result : bind_file(wanted, bound);
	}
	result = address_abstract(place->path, &address);
	return result < 0 ? result : bind_to(bound->fd, &address);
}

int unix_path_listen(const struct unix_place *place, const struct unix_listen *wanted,
	unsigned backlog, struct unix_bound *ret_bound)
{
	*ret_bound = (struct unix_bound){.directory = -1, .file = -1};
	ret_bound->fd = socket(AF_UNIX, (int)wanted->type | SOCK_CLOEXEC, 0);
	if (ret_bound->fd < 0)
		return -errno;
	int result = bind_place(place, wanted, ret_bound);
	if (result == 0 && listen(ret_bound->fd, (int)backlog) < 0)
		result = -errno;
	if (result < 0) {
		unix_path_remove(ret_bound);
		close(ret_bound->fd);
	}
	return result;
}

void unix_path_remove(struct unix_bound *bound)
{
	if (bound->file >= 0) {
		if (same_file(bound->directory, bound->name, bound->file))
			unlinkat(bound->directory, bound->name, 0);
		close(bound->file);
	}
	if (bound->directory >= 0)
		close(bound->directory);
}
