#include "guest/stream/place.h"

int place_find(struct place *place, struct file *directory, const char *path, deadline until)
{
	int error;

	if (directory) {
		place->client = fs_hold(directory->client);
		place->directory = directory->handle;
		place->path = bytes_of(path);
		return 0;
	}
	error = mount_resolve(path, &place->at);
	if (error)
		return error;
	place->directory = 0;
	place->path = bytes_of(place->at.relative);
	return mount_client(&place->at, &place->client, until);
}

void place_leave(struct place *place)
{
	fs_release(place->client);
}

int place_perform(struct place *place, struct fs_call *call, deadline until)
{
	if (!fs_supports(place->client, call->type))
		return -ENOTSUP;
	return fs_perform(place->client, call, until);
}
