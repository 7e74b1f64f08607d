#include "tests/lib/ring_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BELL_STRIDE 4096
#define HEAD_LEN    (3 * BELL_STRIDE) /* two bells and a page of pipe headers */

_Static_assert(RING_MEMORY_PIPES * sizeof(struct pipe_shared) <= BELL_STRIDE, "fits its page");

/* 'capacity' bytes at 'offset' of the file, twice in a row; NULL: errno says why. */
static unsigned char *map_twice(int fd, uint64_t offset, uint64_t capacity)
{
	unsigned char *data =
		mmap(NULL, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (data == MAP_FAILED)
		return NULL;
	for (int half = 0; half < 2; half++) {
		void *at = data + half * capacity;

		if (mmap(at, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			    (off_t)offset) == MAP_FAILED) {
			munmap(data, 2 * capacity);
			return NULL;
		}
	}
	return data;
}

static int map_all(struct ring_memory *memory)
{
	uint64_t offset = HEAD_LEN;
	char *head = mmap(NULL, HEAD_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);

	if (head == MAP_FAILED)
		return -errno;
	memory->head = head;
	memory->bell[PIPE_GUEST] = (void *)head;
	memory->bell[PIPE_HOST] = (void *)(head + BELL_STRIDE);
	memory->pipe = (void *)(head + 2 * BELL_STRIDE);
	for (unsigned i = 0; i < 2 * memory->pipes; i++) {
		struct pipe_area *area = &memory->area[i / 2][i % 2];

		area->capacity = memory->capacity;
		area->data = map_twice(memory->fd, offset, memory->capacity);
		if (area->data == NULL)
			return -errno;
		offset += memory->capacity;
	}
	return 0;
}

static void unmap_all(struct ring_memory *memory)
{
	for (unsigned i = 0; i < 2 * memory->pipes; i++)
		if (memory->area[i / 2][i % 2].data != NULL)
			munmap(memory->area[i / 2][i % 2].data, 2 * memory->capacity);
	if (memory->head != NULL)
		munmap(memory->head, HEAD_LEN);
}

int ring_memory_create(struct ring_memory *ret_memory, unsigned pipes, uint64_t capacity)
{
	struct ring_memory memory = {.pipes = pipes, .capacity = capacity};
	int error;

	memory.fd = memfd_create("ring_memory", MFD_CLOEXEC);
	if (memory.fd < 0)
		return -errno;
	error = ftruncate(memory.fd, (off_t)(HEAD_LEN + 2 * pipes * capacity)) == 0 ? 0 : -errno;
	if (error == 0)
		error = map_all(&memory);
	if (error != 0) {
		unmap_all(&memory);
		close(memory.fd);
		return error;
	}
	for (unsigned i = 0; i < pipes; i++)
		pipe_init(&memory.pipe[i]);
	*ret_memory = memory;
	return 0;
}

int ring_memory_map_again(const struct ring_memory *memory, struct ring_memory *ret_memory)
{
	struct ring_memory again = {
		.fd = memory->fd, .pipes = memory->pipes, .capacity = memory->capacity};
	int error = map_all(&again);

	if (error != 0) {
		unmap_all(&again);
		return error;
	}
	again.fd = -1;
	*ret_memory = again;
	return 0;
}

void ring_memory_destroy(struct ring_memory *memory)
{
	unmap_all(memory);
	if (memory->fd >= 0)
		close(memory->fd);
	memset(memory, 0, sizeof(*memory));
	memory->fd = -1;
}
