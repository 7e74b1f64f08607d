/* Mounts, and the end of all grants. Addresses are read in grants_net.c and asked for in
 * grants_cover.c, UNIX sockets in grants_unix.c. */
#include "monitor/grants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/complaint.h"
#include "monitor/path.h"

/* ---- mounts */

/* The guest's directory, as a guest asks for it; to be freed. */
static int normal_path(const struct complaint *about, const char *path, size_t len, char **ret_path)
{
	char *normal = malloc(len + 2);

	if (normal == NULL)
		return complain_memory(about);
	if (!path_normal(path, len, normal)) {
		free(normal);
		return complain(about, EINVAL, "has '..' in the guest's directory",
			"write the path without it");
	}
	*ret_path = normal;
	return 0;
}

/*
 * "HOSTDIR:GUESTDIR[:rw|:ro]". Read from the end, so that HOSTDIR may have colons in it.
 */
static int split_mount(const struct complaint *about, struct grant_mount *mount)
{
	const char *value = about->value;
	size_t len = strlen(value);

	if (len > 3 && strcmp(value + len - 3, ":rw") == 0)
		mount->writable = true;
	if (mount->writable || (len > 3 && strcmp(value + len - 3, ":ro") == 0))
		len -= 3;
	const char *colon = memrchr(value, ':', len);
	if (colon == NULL || colon == value)
		return complain(about, EINVAL, "does not name two directories",
			"write HOSTDIR:GUESTDIR, for example /srv/www:/www");
	const char *guest = colon + 1;
	if (*guest != '/')
		return complain(about, EINVAL,
			"ends neither in a directory of the guest nor in ':rw' or ':ro'",
			"write HOSTDIR:/GUESTDIR[:rw]");
	int error = normal_path(about, guest, len - (size_t)(guest - value), &mount->guest_path);
	if (error)
		return error;
	mount->host_path = strndup(value, (size_t)(colon - value));
	return mount->host_path != NULL ? 0 : complain_memory(about);
}

static bool is_socket(const char *path)
{
	struct stat of;

	return stat(path, &of) == 0 && S_ISSOCK(of.st_mode);
}

static int open_mount(const struct complaint *about, struct grant_mount *mount)
{
	mount->fd = open(mount->host_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount->fd < 0) {
		switch (errno) {
		case ENOENT:
			return complain(about, ENOENT, "is not there on the host",
				"create the directory or correct the path");
		case ENOTDIR:
			if (is_socket(mount->host_path))
				return complain(about, ENOTDIR, "is a UNIX socket on the host",
					"grant it with --unix PATH:connect; the guest names it by "
					"that path");
			return complain(about, ENOTDIR, "is not a directory on the host",
				"give the directory that the file is in");
		default:
			return complain(about, errno, "cannot be opened on the host",
				"check the permissions along the path");
		}
	}
	int listing = openat(mount->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (listing < 0)
		return complain(about, errno, "cannot be read by this user",
			"give read permission or choose another directory");
	close(listing);
	return 0;
}

static void free_mount(struct grant_mount *mount)
{
	if (mount->fd >= 0)
		close(mount->fd);
	free(mount->host_path);
	free(mount->guest_path);
}

static int add_mount(
	const struct complaint *about, struct grants *grants, const struct grant_mount *mount)
{
	if (grants_mount(grants, mount->guest_path, strlen(mount->guest_path)) != NULL)
		return complain(about, EEXIST, "uses a directory of the guest a second time",
			"give each mount a directory of its own");
	struct grant_mount *more =
		reallocarray(grants->mount, grants->mount_count + 1, sizeof(*more));
	if (more == NULL)
		return complain_memory(about);
	more[grants->mount_count++] = *mount;
	grants->mount = more;
	return 0;
}

int grants_add_mount(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--mount", value, ret_error, error_len};
	struct grant_mount mount = {.fd = -1};

	int error = split_mount(&about, &mount);
	if (!error)
		error = open_mount(&about, &mount);
	if (!error)
		error = add_mount(&about, grants, &mount);
	if (error)
		free_mount(&mount);
	return error;
}

/* ---- all */

void grants_free(struct grants *grants)
{
	for (int use = 0; use < GRANT_USE_COUNT; use++) {
		struct grant_list *list = &grants->net[use];
		for (size_t i = 0; i < list->count; i++)
			free(list->grant[i].host);
		free(list->grant);
	}
	for (size_t i = 0; i < grants->mount_count; i++)
		free_mount(&grants->mount[i]);
	grants_free_unix(grants);
	free(grants->publish);
	free(grants->mount);
	*grants = (struct grants){0};
}

const struct grant_mount *grants_mount(
	const struct grants *grants, const char *path, size_t path_len)
{
	for (size_t i = 0; i < grants->mount_count; i++) {
		const char *granted = grants->mount[i].guest_path;
		if (strlen(granted) == path_len && memcmp(granted, path, path_len) == 0)
			return &grants->mount[i];
	}
	return NULL;
}
