#include "guest/stream/place.h"

#include "guest/stream/boot.h"

/* By what mount_resolve has found. */
static int find_whole(struct place *place, deadline until)
{
	if (place->at.above)
		place->tree = mount_tree();
	place->path = bytes_of(place->at.relative);
	return place->at.boot ? 0 : mount_client(&place->at, &place->client, until);
}

/*
 * By the directory, wherever it is now. By its path, when another mount lies on the way, or when
 * there is nothing on the host that the directory could be.
 */
static int find_at(struct place *place, struct file *directory, const char *path, deadline until)
{
	const struct boot_node *above = directory->above;
	bool here = !directory->client && directory->tree == mount_tree();
	int error = above ? mount_resolve_at(above, path, &place->at) : 0;

	if (above && !error)
		place->above = mount_above(&place->at);
	if (here || (above && mount_enters(above, path)))
		return error ? error : find_whole(place, until);
	if (directory->client)
		place->client = fs_hold(directory->client);
	place->tree = directory->tree;
	place->from = directory->node;
	place->directory = directory->handle;
	place->path = bytes_of(path);
	return 0;
}

int place_find(struct place *place, struct file *directory, const char *path, deadline until)
{
	int error;

	place->client = NULL;
	place->tree = NULL;
	place->from = place->above = NULL;
	place->directory = 0;
	if (directory)
		return find_at(place, directory, path, until);
	error = mount_resolve(path, &place->at);
	if (error)
		return error;
	place->above = mount_above(&place->at);
	return find_whole(place, until);
}

void place_leave(struct place *place)
{
	if (place->client)
		fs_release(place->client);
}

int place_perform(struct place *place, struct fs_call *call, deadline until)
{
	if (!place->client)
		return boot_refuse(call->type);
	if (!fs_supports(place->client, call->type))
		return -ENOTSUP;
	return fs_perform(place->client, call, until);
}

int place_call(struct file *directory, const char *path, struct fs_call *call,
	uint32_t *request_directory, struct wire_bytes *request_path, deadline until)
{
	struct place place;
	int error = place_find(&place, directory, path, until);

	if (error)
		return error;
	*request_directory = place.directory;
	*request_path = place.path;
	error = place_perform(&place, call, until);
	place_leave(&place);
	return error;
}
