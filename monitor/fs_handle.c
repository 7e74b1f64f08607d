#include "monitor/fs_handle.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PLACE_BITS  10
#define FIRST_COUNT 16u

_Static_assert(FS_HANDLES_MAX == 1u << PLACE_BITS, "a number holds every place");

static int grow(struct fs_handles *handles)
{
	uint32_t count = handles->count == 0 ? FIRST_COUNT : handles->count * 2;

	if (count > FS_HANDLES_MAX)
		return -EMFILE;
	struct fs_handle *handle = realloc(handles->handle, count * sizeof(*handle));
	if (handle == NULL)
		return -ENOMEM;
	handles->handle = handle;
	handles->first_free = FS_HANDLE_NONE;
	while (handles->count < count) {
		uint32_t place = handles->count++;
		handle[place] = (struct fs_handle){.fd = -1};
		fs_handles_give(handles, place);
	}
	return 0;
}

int fs_handles_take(struct fs_handles *handles, uint32_t *ret_place)
{
	if (handles->free_count == 0) {
		int result = grow(handles);
		if (result < 0)
			return result;
	}
	*ret_place = handles->first_free;
	handles->first_free = handles->handle[*ret_place].next_free;
	handles->free_count--;
	return 0;
}

void fs_handles_give(struct fs_handles *handles, uint32_t place)
{
	handles->handle[place].next_free = handles->first_free;
	handles->first_free = place;
	handles->free_count++;
}

uint32_t fs_handles_fill(
	struct fs_handles *handles, uint32_t place, int fd, enum fs_handle_kind kind)
{
	struct fs_handle *handle = &handles->handle[place];

	assert(!handle->open && handle->users == 0 && handle->fd == -1);
	/* After 4 million files in one place a number comes again; by then it is the guest's own
	 * mistake, with files of its own. */
	handle->generation = (handle->generation + 1) & (UINT32_MAX >> PLACE_BITS);
	if (handle->generation == 0)
		handle->generation = 1;
	handle->fd = fd;
	handle->open = true;
	handle->locked = false;
	handle->ranges = 0;
	handle->kind = (uint8_t)kind;
	return handle->generation << PLACE_BITS | place;
}

/* The open handle with this number, or NULL. */
static struct fs_handle *find(struct fs_handles *handles, uint32_t number)
{
	uint32_t place = fs_handles_place(number);

	if (place >= handles->count)
		return NULL;
	struct fs_handle *handle = &handles->handle[place];
	return handle->open && handle->generation == number >> PLACE_BITS ? handle : NULL;
}

int fs_handles_use(struct fs_handles *handles, uint32_t number, uint32_t *ret_place)
{
	struct fs_handle *handle = find(handles, number);

	if (handle == NULL)
		return -EBADF;
	handle->users++;
	*ret_place = fs_handles_place(number);
	return 0;
}

const struct fs_handle *fs_handles_at(const struct fs_handles *handles, uint32_t place)
{
	assert(place < handles->count && handles->handle[place].users > 0);
	return &handles->handle[place];
}

void fs_handles_lock(struct fs_handles *handles, uint32_t place, uint16_t ranges)
{
	handles->handle[place].locked = true;
	handles->handle[place].ranges = ranges;
}

/* When neither the guest nor a request has it: the place is free again. */
static int release(struct fs_handles *handles, struct fs_handle *handle)
{
	int fd = handle->fd;

	if (handle->open || handle->users > 0)
		return -1;
	handle->fd = -1;
	fs_handles_give(handles, (uint32_t)(handle - handles->handle));
	return fd;
}

int fs_handles_leave(struct fs_handles *handles, uint32_t place)
{
	struct fs_handle *handle = &handles->handle[place];

	assert(handle->users > 0);
	handle->users--;
	return release(handles, handle);
}

int fs_handles_close(struct fs_handles *handles, uint32_t number, int *ret_fd)
{
	struct fs_handle *handle = find(handles, number);

	if (handle == NULL)
		return -EBADF;
	handle->open = false;
	*ret_fd = release(handles, handle);
	return 0;
}

int fs_handles_drain(struct fs_handles *handles)
{
	while (handles->count > 0) {
		struct fs_handle *handle = &handles->handle[--handles->count];
		assert(handle->users == 0);
		if (handle->open)
			return handle->fd;
	}
	return -1;
}

void fs_handles_free(struct fs_handles *handles)
{
	free(handles->handle);
	*handles = (struct fs_handles){0};
}
