#include "guest/stream/place.h"

#include "guest/stream/boot.h"

int place_find(struct place *place, struct file *directory, const char *path, deadline until)
{
	int error;

	place->client = NULL;
	place->from = NULL;
	if (directory) {
		place->client = directory->client ? fs_hold(directory->client) : NULL;
		place->from = directory->node;
		place->directory = directory->handle;
		place->path = bytes_of(path);
		return 0;
	}
	error = mount_resolve(path, &place->at);
	if (error)
		return error;
	place->directory = 0;
	place->path = bytes_of(place->at.relative);
	return place->at.boot ? 0 : mount_client(&place->at, &place->client, until);
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
