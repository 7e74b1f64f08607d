#include "guest/programs/kv_memory.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(at, len)   ASAN_POISON_MEMORY_REGION(at, len)
#define UNPOISON(at, len) ASAN_UNPOISON_MEMORY_REGION(at, len)
#else
#define POISON(at, len)   ((void)(at), (void)(len))
#define UNPOISON(at, len) ((void)(at), (void)(len))
#endif

#define MALLOC_OWN    64u /* bytes that malloc may put around an extent: it stays within 1 MiB */
#define EXTENT_BLOCKS (KV_EXTENT / KV_BLOCK - 1) /* that are surely aligned in one */

/* Four sizes for each power of two, and for the larger ones those that fill a block. */
static const uint16_t class_sizes[KV_CLASSES] = {32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256,
	320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1808, 2032, 2320, 2720, 3264, 4080,
	5440, KV_OBJECT_HALF, KV_OBJECT_MOST};

struct free_object {
	struct free_object *next;
};

/* The head of a block of objects. */
struct kv_block {
	struct kv_block *next, *previous; /* in the list of its class, while it has room */
	struct free_object *free;         /* objects that were used before */
	uint32_t cut;  /* bytes of the block that have been objects, head included */
	uint16_t used; /* objects */
	uint16_t class;
};
_Static_assert(sizeof(struct kv_block) <= KV_BLOCK_HEAD, "the head of a block");

struct kv_free_block {
	struct kv_free_block *next;
};

/* At the start of what malloc gave. */
struct kv_extent {
	struct kv_extent *next;
	unsigned cut; /* blocks that have been in use */
};

/* ---- blocks */

static unsigned char *first_block(struct kv_extent *extent)
{
	uintptr_t address = (uintptr_t)(extent + 1);

	return (unsigned char *)((address + KV_BLOCK - 1) & ~(uintptr_t)(KV_BLOCK - 1));
}

static uint64_t reserve_of(uint64_t limit)
{
	return limit / 16 + KV_LIMIT_LEAST;
}

uint64_t kv_memory_heap(uint64_t limit)
{
	uint64_t blocks = (limit + reserve_of(limit)) / KV_BLOCK;

	return (blocks / EXTENT_BLOCKS + 1) * KV_EXTENT;
}

uint64_t kv_memory_limit_of(uint64_t heap)
{
	uint64_t blocks = heap / KV_EXTENT * EXTENT_BLOCKS, limit;

	if (blocks * KV_BLOCK <= reserve_of(KV_LIMIT_LEAST) + KV_EXTENT)
		return 0;
	limit = (blocks * KV_BLOCK - KV_LIMIT_LEAST - KV_EXTENT) / 17 * 16;
	return limit < KV_LIMIT_LEAST ? 0 : limit;
}

static bool within(const struct kv_memory *memory, enum kv_use use)
{
	uint64_t most = memory->limit;

	if (use == KV_URGENT)
		most += reserve_of(memory->limit);
	return kv_memory_used(memory) + KV_BLOCK <= most;
}

static bool add_extent(struct kv_memory *memory)
{
	struct kv_extent *extent = malloc(KV_EXTENT - MALLOC_OWN);

	if (!extent)
		return false;
	extent->next = memory->extent;
	extent->cut = 0;
	memory->extent = extent;
	memory->extents++;
	return true;
}

/* As it was left: not zero. */
static void *take_raw(struct kv_memory *memory, enum kv_use use)
{
	struct kv_free_block *block;

	while (!within(memory, use))
		if (!memory->reclaim || !memory->reclaim(memory->reclaim_context))
			return NULL;
	block = memory->free;
	if (block) {
		memory->free = block->next;
	} else {
		if ((!memory->extent || memory->extent->cut == EXTENT_BLOCKS) &&
			!add_extent(memory))
			return NULL;
		block = (void *)(first_block(memory->extent) + memory->extent->cut++ * KV_BLOCK);
	}
	memory->blocks++;
	if (memory->blocks > memory->peak)
		memory->peak = memory->blocks;
	UNPOISON(block, KV_BLOCK);
	return block;
}

void *kv_memory_take_block(struct kv_memory *memory, enum kv_use use)
{
	void *block = take_raw(memory, use);

	if (block)
		memset(block, 0, KV_BLOCK);
	return block;
}

void kv_memory_give_block(struct kv_memory *memory, void *area)
{
	struct kv_free_block *block = area;

	block->next = memory->free;
	memory->free = block;
	memory->blocks--;
	POISON((unsigned char *)area + sizeof(*block), KV_BLOCK - sizeof(*block));
}

/* ---- objects */

static unsigned class_of(size_t size)
{
	unsigned low = 0, high = KV_CLASSES - 1;

	if (size <= 128)
		return size <= 32 ? 0 : (unsigned)(size - 17) / 16;
	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (class_sizes[middle] < size)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct kv_block *block_of(const void *object)
{
	return (struct kv_block *)((uintptr_t)object & ~(uintptr_t)(KV_BLOCK - 1));
}

static void link_block(struct kv_memory *memory, struct kv_block *block)
{
	struct kv_block **head = &memory->partial[block->class];

	block->previous = NULL;
	block->next = *head;
	if (*head)
		(*head)->previous = block;
	*head = block;
}

static void unlink_block(struct kv_memory *memory, struct kv_block *block)
{
	if (block->previous)
		block->previous->next = block->next;
	else
		memory->partial[block->class] = block->next;
	if (block->next)
		block->next->previous = block->previous;
}

static bool has_room(const struct kv_block *block)
{
	return block->free || block->cut + class_sizes[block->class] <= KV_BLOCK;
}

static struct kv_block *add_block(struct kv_memory *memory, unsigned class, enum kv_use use)
{
	struct kv_block *block = take_raw(memory, use);

	if (!block)
		return NULL;
	*block = (struct kv_block){.cut = KV_BLOCK_HEAD, .class = (uint16_t) class};
	POISON((unsigned char *)block + KV_BLOCK_HEAD, KV_BLOCK - KV_BLOCK_HEAD);
	link_block(memory, block);
	return block;
}

void *kv_memory_take(struct kv_memory *memory, size_t size, enum kv_use use)
{
	unsigned class = class_of(size);
	struct kv_block *block = memory->partial[class];
	struct free_object *object;

	if (!block)
		block = add_block(memory, class, use);
	if (!block) /* what was freed to make room may have been of this size */
		block = memory->partial[class];
	if (!block)
		return NULL;
	object = block->free;
	if (object) {
		block->free = object->next;
	} else {
		object = (void *)((unsigned char *)block + block->cut);
		block->cut += class_sizes[class];
	}
	UNPOISON(object, class_sizes[class]);
	block->used++;
	memory->objects++;
	memory->object_len += class_sizes[class];
	if (!has_room(block))
		unlink_block(memory, block);
	return object;
}

void kv_memory_give(struct kv_memory *memory, void *area)
{
	struct kv_block *block = block_of(area);
	struct free_object *object = area;
	bool was_full = !has_room(block);

	memory->objects--;
	memory->object_len -= class_sizes[block->class];
	block->used--;
	UNPOISON(object, sizeof(*object));
	object->next = block->free;
	block->free = object;
	POISON((unsigned char *)area + sizeof(*object),
		class_sizes[block->class] - sizeof(*object));
	if (block->used == 0) {
		if (!was_full)
			unlink_block(memory, block);
		kv_memory_give_block(memory, block);
	} else if (was_full) {
		link_block(memory, block);
	}
}

size_t kv_memory_room_of(size_t size)
{
	return class_sizes[class_of(size)];
}

size_t kv_memory_room(const void *object)
{
	return class_sizes[block_of(object)->class];
}

/* ---- the beginning and the end */

void kv_memory_start(struct kv_memory *memory, uint64_t limit)
{
	*memory = (struct kv_memory){.limit = limit};
}

void kv_memory_end(struct kv_memory *memory)
{
	while (memory->extent) {
		struct kv_extent *extent = memory->extent;

		memory->extent = extent->next;
		UNPOISON(extent, KV_EXTENT - MALLOC_OWN);
		free(extent);
	}
	*memory = (struct kv_memory){0};
}
