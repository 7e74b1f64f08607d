/*
 * Grants of UNIX sockets: --unix PATH[:listen|:connect].
 *
 * Every one holds a directory from the start, PATH itself or the one that PATH is in, and what a
 * guest asks for is walked to from there (unix_path.h): whatever is renamed or linked on the way to
 * it meanwhile, the grant stays where its user meant it to be.
 */
#include "monitor/grants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "monitor/complaint.h"
#include "monitor/path.h"
#include "protocol/fs.h"

#define ABSTRACT_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1) /* bytes of a name */

static bool takes_end(const char *value, size_t *len, const char *end)
{
	size_t end_len = strlen(end);

	if (*len <= end_len || strncmp(value + *len - end_len, end, end_len) != 0)
		return false;
	*len -= end_len;
	return true;
}

/* ---- reading an option */

static int check_abstract(const struct complaint *about, const struct grant_unix *grant)
{
	if (grant->path[1] == '\0')
		return complain(
			about, EINVAL, "names no abstract socket", "write its name behind the '@'");
	if (strlen(grant->path + 1) > ABSTRACT_MAX)
		return complain(about, ENAMETOOLONG, "is longer than an abstract socket's name is",
			"write at most 107 bytes behind the '@'");
	return 0;
}

/* Of a socket that need not be there yet. */
static int open_parent(const struct complaint *about, struct grant_unix *grant)
{
	char *slash = strrchr(grant->path, '/');
	char *parent = slash == NULL
			       ? strdup(".")
			       : strndup(grant->path,
					 slash == grant->path ? 1 : (size_t)(slash - grant->path));
	struct stat file;

	if (parent == NULL)
		return complain_memory(about);
	grant->fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = grant->fd < 0 ? errno : 0;
	free(parent);
	if (error == ENOENT || error == ENOTDIR)
		return complain(about, error, "is in a directory that is not there",
			"create the directory or correct the path");
	if (error != 0)
		return complain(about, error, "is in a directory that cannot be opened",
			"check the permissions along the path");
	const char *name = slash == NULL ? grant->path : slash + 1;
	if (fstatat(grant->fd, name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(file.st_mode))
		return complain(about, ELOOP, "is a symbolic link, which is never followed",
			"write the path of what it leads to");
	return 0;
}

static int open_place(const struct complaint *about, struct grant_unix *grant)
{
	if (grant->path[0] == '@')
		return check_abstract(about, grant);
	if (strlen(grant->path) > FS_PATH_MAX)
		return complain(
			about, ENAMETOOLONG, "is too long for a path", "write a shorter one");
	grant->fd = open(grant->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	grant->below = grant->fd >= 0;
	return grant->below ? 0 : open_parent(about, grant);
}

static int read_value(const struct complaint *about, struct grant_unix *grant)
{
	const char *value = about->value;
	size_t len = strlen(value);

	grant->listen = takes_end(value, &len, ":listen");
	grant->connect = !grant->listen && takes_end(value, &len, ":connect");
	if (!grant->listen && !grant->connect)
		grant->listen = grant->connect = true;
	if (len == 0)
		return complain(about, EINVAL, "names no socket",
			"write a path, for example /run/app/app.sock");
	if (strncmp(value, "unix:", 5) == 0)
		return complain(about, EINVAL, "begins with 'unix:', as programs have it",
			"leave that out");
	if (value[len - 1] == '/' && access(value, F_OK) < 0 && errno == ENOENT)
		return complain(about, ENOENT, "is a directory that is not there",
			"create it or correct the path");
	grant->path = malloc(len + 2);
	if (grant->path == NULL)
		return complain_memory(about);
	if (value[0] == '@') {
		memcpy(grant->path, value, len);
		grant->path[len] = '\0';
	} else if (!path_normal(value, len, grant->path)) {
		return complain(about, EINVAL, "has '..' in it", "write the path without it");
	}
	return 0;
}

static int add(const struct complaint *about, struct grants *grants, const struct grant_unix *grant)
{
	struct grant_unix *more =
		reallocarray(grants->unix_socket, grants->unix_count + 1, sizeof(*more));

	if (more == NULL)
		return complain_memory(about);
	more[grants->unix_count++] = *grant;
	grants->unix_socket = more;
	return 0;
}

static void free_one(struct grant_unix *grant)
{
	if (grant->fd >= 0)
		close(grant->fd);
	free(grant->path);
}

int grants_add_unix(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--unix", value, ret_error, error_len};
	struct grant_unix grant = {.fd = -1};

	int error = read_value(&about, &grant);
	if (!error)
		error = open_place(&about, &grant);
	if (!error)
		error = add(&about, grants, &grant);
	if (error)
		free_one(&grant);
	return error;
}

void grants_free_unix(struct grants *grants)
{
	for (size_t i = 0; i < grants->unix_count; i++)
		free_one(&grants->unix_socket[i]);
	free(grants->unix_socket);
}

/* ---- what a guest asks for */

/* The part of the path behind the directory's; NULL: it is not below it. */
static const char *below(const char *directory, const char *path)
{
	size_t len = strlen(directory);

	if (strcmp(directory, ".") == 0)
		return path[0] != '/' && path[0] != '@' ? path : NULL;
	if (strncmp(directory, path, len) != 0)
		return NULL;
	if (directory[len - 1] == '/') /* the root */
		return path[len] != '\0' ? path + len : ".";
	if (path[len] == '\0')
		return ".";
	return path[len] == '/' ? path + len + 1 : NULL;
}

static const char *covers(const struct grant_unix *grant, const char *path)
{
	if (grant->below)
		return below(grant->path, path);
	if (strcmp(grant->path, path) != 0)
		return NULL;
	if (path[0] == '@')
		return path + 1;
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

bool grants_unix(
	const struct grants *grants, bool listen, const char *path, struct unix_place *ret_place)
{
	const struct grant_unix *best = NULL;

	/* The nearest one: below it no symbolic link is followed, but it may itself be behind one.
	 */
	for (size_t i = 0; i < grants->unix_count; i++) {
		const struct grant_unix *grant = &grants->unix_socket[i];
		const char *rest = covers(grant, path);

		if (rest == NULL || !(listen ? grant->listen : grant->connect) ||
			(best != NULL && strlen(best->path) >= strlen(grant->path)))
			continue;
		best = grant;
		*ret_place = (struct unix_place){grant->fd, rest};
	}
	return best != NULL;
}
