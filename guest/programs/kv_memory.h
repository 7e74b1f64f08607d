/*
 * kv_memory: the memory of kv: objects of some thirty sizes, cut from blocks of
 * 16 KiB, of which there may be as many as the limit has room for. A block that
 * has no object in it any more serves every size, so that what was freed can be
 * had again in any shape, and nothing is ever larger than a block: the limit is
 * all there is to be full.
 *
 * The blocks come from malloc, 1 MiB at a time, and stay. The kv_*.h rooms are
 * pure: no I/O and no clock. They are compiled for the host too, and tested there.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_MEMORY_H
#define FERRULE_GUEST_PROGRAMS_KV_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_BLOCK      16384u           /* bytes, and its alignment */
#define KV_BLOCK_HEAD 64u              /* of which so many are kv_memory's */
#define KV_OBJECT_MOST (KV_BLOCK - KV_BLOCK_HEAD)
#define KV_OBJECT_HALF (KV_OBJECT_MOST / 2) /* the largest object that shares a block */
#define KV_CLASSES    30u
#define KV_EXTENT     (1u << 20) /* bytes of one malloc, with what that puts around them */

/* The least that a limit can be: the empty table, and a little to work with. */
#define KV_LIMIT_LEAST (1u << 20)

enum kv_use {
	KV_DATA,   /* what the limit is for */
	KV_URGENT, /* what has to be had to answer at all: may use the reserve beyond the limit */
};

struct kv_memory {
	uint64_t limit;      /* bytes of blocks in use */
	uint64_t blocks;     /* in use */
	uint64_t peak;       /* the most that there were */
	uint64_t objects;    /* in use */
	uint64_t object_len; /* bytes of them, rounded to their sizes */
	uint64_t extents;    /* that malloc gave */
	/* Asked when the limit is reached: frees something that is only waiting to be freed. False: there is
	 * nothing. */
	bool (*reclaim)(void *context);
	void *reclaim_context;

	struct kv_block *partial[KV_CLASSES]; /* blocks with room for another object of the class */
	struct kv_free_block *free;
	struct kv_extent *extent;
};

void kv_memory_start(struct kv_memory *memory, uint64_t limit);
/* Gives everything back to malloc, objects in use included. */
void kv_memory_end(struct kv_memory *memory);

/* Bytes of the heap that a limit can lead to, reserve and malloc's own included. */
uint64_t kv_memory_heap(uint64_t limit);
/* The largest limit for which that is at most 'heap'; 0: none is. */
uint64_t kv_memory_limit_of(uint64_t heap);

/* An object of 'size' bytes, at most KV_OBJECT_MOST, aligned to 16; NULL: the limit is reached. */
void *kv_memory_take(struct kv_memory *memory, size_t size, enum kv_use use);
void kv_memory_give(struct kv_memory *memory, void *object);
/* How many bytes an object of this size really has, and what lies in one that there is. */
size_t kv_memory_room_of(size_t size);
size_t kv_memory_room(const void *object);

/* A whole block, all zero, for tables. */
void *kv_memory_take_block(struct kv_memory *memory, enum kv_use use);
void kv_memory_give_block(struct kv_memory *memory, void *block);

/* Bytes: what counts against the limit, and the most that it was. */
static inline uint64_t kv_memory_used(const struct kv_memory *memory)
{
	return memory->blocks * KV_BLOCK;
}
static inline uint64_t kv_memory_peak(const struct kv_memory *memory)
{
	return memory->peak * KV_BLOCK;
}

#endif
