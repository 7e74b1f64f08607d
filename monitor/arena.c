#include "monitor/arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_PAGE       4096u
#define BELL_TO_HOST_AT  0u
#define BELL_TO_GUEST_AT ARENA_PAGE
#define PIPES_AT         (2 * ARENA_PAGE)
#define SIZE_CLASSES     13 /* RING_CAPACITY_MIN << 0 .. << 12 */

_Static_assert(
	RING_CAPACITY_MIN << (SIZE_CLASSES - 1) == RING_CAPACITY_MAX, "one class per capacity");
_Static_assert(RING_CAPACITY_MIN == ARENA_PAGE, "a ring is whole pages");
_Static_assert(sizeof(struct bell_shared) <= ARENA_PAGE, "DATAPIPE.md section 9");

/* Rings of one capacity that nobody holds, the last one given back on top. */
struct free_rings {
	uint64_t *offset;
	size_t count;
	size_t trimmed; /* so many at the bottom have no memory */
	size_t resting; /* so many there were not touched since arena_trim_next */
	size_t cut;     /* rings of this size that exist */
	size_t room; /* entries of offset[]: at least cut, so that giving a ring back cannot fail */
};

struct arena {
	int fd;
	uint64_t len;
	uint32_t slots;
	uint64_t rings_offset;
	uint64_t cut_upto;     /* arena offset behind the last ring */
	unsigned char *head;   /* bells and pipe headers, rings_offset bytes */
	unsigned char *window; /* 2 * len of address space; the ring at o lies at 2 * o */
	struct free_rings free[SIZE_CLASSES];
};

static unsigned int size_class(uint64_t capacity)
{
	return (unsigned int)__builtin_ctzll(capacity / RING_CAPACITY_MIN);
}

static int map_memory(struct arena *arena)
{
	arena->head =
		mmap(NULL, arena->rings_offset, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
	if (arena->head == MAP_FAILED) {
		arena->head = NULL;
		return -errno;
	}
	arena->window = mmap(NULL, 2 * arena->len, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena->window == MAP_FAILED) {
		arena->window = NULL;
		return -errno;
	}
	return 0;
}

int arena_create(struct arena **ret_arena, uint64_t len, uint32_t slots)
{
	uint64_t rings_offset = PIPES_AT + (uint64_t)slots * sizeof(struct pipe_shared);

	rings_offset = (rings_offset + ARENA_PAGE - 1) & ~(uint64_t)(ARENA_PAGE - 1);
	if (slots == 0 || slots > BELL_SLOTS || len % ARENA_PAGE || len < rings_offset ||
		len > ((uint64_t)1 << 40))
		return -EINVAL;
	struct arena *arena = calloc(1, sizeof(*arena));
	if (!arena)
		return -ENOMEM;
	arena->len = len;
	arena->slots = slots;
	arena->rings_offset = arena->cut_upto = rings_offset;
	arena->fd = memfd_create("ferrule-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error = 0;
	if (arena->fd < 0 || ftruncate(arena->fd, (off_t)len) < 0)
		error = -errno;
	/* A process guest holds the descriptor too: if it could shrink the file, touching a ring
	 * would kill the monitor. */
	else if (fcntl(arena->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		error = -errno;
	else
		error = map_memory(arena);
	if (error) {
		arena_destroy(arena);
		return error;
	}
	*ret_arena = arena;
	return 0;
}

void arena_destroy(struct arena *arena)
{
	if (!arena)
		return;
	if (arena->window)
		munmap(arena->window, 2 * arena->len);
	if (arena->head)
		munmap(arena->head, arena->rings_offset);
	if (arena->fd >= 0)
		close(arena->fd);
	for (unsigned int i = 0; i < SIZE_CLASSES; i++)
		free(arena->free[i].offset);
	free(arena);
}

int arena_fd(const struct arena *arena)
{
	return arena->fd;
}

uint64_t arena_len(const struct arena *arena)
{
	return arena->len;
}

uint32_t arena_slots(const struct arena *arena)
{
	return arena->slots;
}

uint64_t arena_rings_offset(const struct arena *arena)
{
	return arena->rings_offset;
}

uint64_t arena_bell_offset(const struct arena *arena, enum pipe_side poster)
{
	(void)arena;
	return poster == PIPE_GUEST ? BELL_TO_HOST_AT : BELL_TO_GUEST_AT;
}

uint64_t arena_pipe_offset(const struct arena *arena, uint32_t slot)
{
	assert(slot < arena->slots);
	return PIPES_AT + (uint64_t)slot * sizeof(struct pipe_shared);
}

/* Through void: the head is page-aligned and its parts are laid out by offset. */
static void *at(const struct arena *arena, uint64_t offset)
{
	return arena->head + offset;
}

struct bell_shared *arena_bell(struct arena *arena, enum pipe_side poster)
{
	return at(arena, arena_bell_offset(arena, poster));
}

struct pipe_shared *arena_pipe(struct arena *arena, uint32_t slot)
{
	return at(arena, arena_pipe_offset(arena, slot));
}

/*
 * The second copy of a ring and the first copy of the ring cut after it are
 * neighbours in memory and in the file alike, so Linux makes one mapping of
 * the two: n rings cost n + 1 mappings, not 2 n (vm.max_map_count).
 */
static int map_twice(struct arena *arena, uint64_t offset, uint64_t capacity)
{
	unsigned char *data = arena->window + 2 * offset;

	for (int copy = 0; copy < 2; copy++) {
		void *got = mmap(data + (uint64_t)copy * capacity, capacity, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED, arena->fd, (off_t)offset);
		if (got == MAP_FAILED)
			return -errno;
	}
	return 0;
}

uint64_t arena_fitting_capacity(const struct arena *arena, uint64_t wanted)
{
	bool plenty = arena->cut_upto <= arena->len / 4;

	if (wanted <= ARENA_MODEST_RING || plenty || arena->free[size_class(wanted)].count)
		return wanted;
	return ARENA_MODEST_RING;
}

static int make_room(struct free_rings *list)
{
	if (list->cut < list->room)
		return 0;
	size_t room = list->room ? list->room * 2 : 16;
	uint64_t *offset = realloc(list->offset, room * sizeof(*offset));
	if (!offset)
		return -ENOMEM;
	list->offset = offset;
	list->room = room;
	return 0;
}

static int cut_ring(struct arena *arena, struct free_rings *list, uint64_t capacity)
{
	uint64_t offset = arena->cut_upto;

	if (capacity > arena->len - offset)
		return -ENOMEM;
	int error = make_room(list);
	if (!error)
		error = map_twice(arena, offset, capacity);
	if (error)
		return error;
	arena->cut_upto += capacity;
	list->cut++;
	list->offset[list->count++] = offset;
	return 0;
}

static uint64_t pop(struct free_rings *list)
{
	size_t left = --list->count;

	if (list->trimmed > left)
		list->trimmed = left;
	if (list->resting > left)
		list->resting = left;
	return list->offset[left];
}

int arena_take_ring(
	struct arena *arena, uint64_t capacity, struct arena_ring *ret_ring, bool *ret_fresh)
{
	if (!ring_capacity_valid(capacity))
		return -EINVAL;
	struct free_rings *list = &arena->free[size_class(capacity)];
	bool fresh = list->count == 0;
	if (fresh) {
		int error = cut_ring(arena, list, capacity);
		if (error)
			return error;
	}
	uint64_t offset = pop(list);
	*ret_ring = (struct arena_ring){
		.offset = offset, .capacity = capacity, .data = arena->window + 2 * offset};
	*ret_fresh = fresh;
	return 0;
}

void arena_uncut_ring(struct arena *arena, const struct arena_ring *ring)
{
	assert(ring->offset + ring->capacity == arena->cut_upto);
	arena->cut_upto = ring->offset;
	arena->free[size_class(ring->capacity)].cut--;
}

void arena_give_ring(struct arena *arena, const struct arena_ring *ring)
{
	struct free_rings *list = &arena->free[size_class(ring->capacity)];

	assert(list->count < list->cut);
	list->offset[list->count++] = ring->offset;
}

uint64_t arena_taken(const struct arena *arena)
{
	uint64_t taken = 0;

	for (unsigned int i = 0; i < SIZE_CLASSES; i++)
		taken += (arena->free[i].cut - arena->free[i].count) *
			 ((uint64_t)RING_CAPACITY_MIN << i);
	return taken;
}

/* ---- memory back to the host */

static void punch(const struct arena *arena, uint64_t offset, uint64_t len)
{
	/* Should it fail, the memory is there a while longer. */
	(void)!fallocate(
		arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len);
}

void arena_trim_ring(struct arena *arena, const struct arena_ring *ring, uint64_t keep)
{
	if (keep < ring->capacity)
		punch(arena, ring->offset + keep, ring->capacity - keep);
}

unsigned arena_trim(struct arena *arena, unsigned most)
{
	unsigned done = 0;

	for (unsigned int i = 0; i < SIZE_CLASSES; i++) {
		struct free_rings *list = &arena->free[i];

		while (done < most && list->trimmed < list->resting) {
			punch(arena, list->offset[list->trimmed++],
				(uint64_t)RING_CAPACITY_MIN << i);
			done++;
		}
	}
	return done;
}

bool arena_trim_next(struct arena *arena)
{
	bool left = false;

	for (unsigned int i = 0; i < SIZE_CLASSES; i++) {
		struct free_rings *list = &arena->free[i];

		list->resting = list->count;
		left |= list->trimmed < list->resting;
	}
	return left;
}
