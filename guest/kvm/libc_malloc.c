/*
 * malloc over the heap window: blocks of a few sizes per power of two, each
 * size with a free list of its own, last in first out (a warm block first).
 * Blocks are cut off the window once and never joined again. No lock: fibers
 * change over only where a call waits.
 *
 * Each block is guarded: a word in front says that it is in use and how long
 * it is, a word behind its last byte must still be there when it is freed.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/boot.h"
#include "guest/kvm/libc.h"
#include "guest/kvm/program.h"
#include "guest/platform.h"

#define MARK_USED 0x6665727275736564ull
#define MARK_FREE 0x6665727266726565ull
#define MARK_END  0x656e6421656e6421ull
#define SIZE_MIN  32u /* smallest block, header and end mark included */
#define STEPS     4u  /* sizes per power of two: at most a quarter is lost */
#define CLASSES   (STEPS * 40)

struct block {
	uint64_t mark;      /* MARK_ ^ own address */
	uint64_t len;       /* bytes asked for */
	struct block *next; /* of a free block; where the user's bytes begin */
};
#define HEADER offsetof(struct block, next)
_Static_assert(HEADER == 16, "user bytes are aligned to 16");

static struct block *free_list[CLASSES];
static uint64_t cut_upto; /* address; 0 before the first block */

/* Class c of step s and doubling d holds blocks of (STEPS + s) << d, times SIZE_MIN / STEPS. */
static uint64_t class_size(unsigned int class)
{
	return (uint64_t)(STEPS + class % STEPS) * (SIZE_MIN / STEPS) << class / STEPS;
}

static unsigned int class_of(uint64_t size)
{
	if (size <= SIZE_MIN)
		return 0;
	unsigned int doubling = 63 - (unsigned int)__builtin_clzll((size - 1) / SIZE_MIN);
	uint64_t step = SIZE_MIN / STEPS << doubling;
	return doubling * STEPS + (unsigned int)((size - 1) / step) - STEPS + 1;
}

/* Blocks start at multiples of 16, so sizes that are not waste the rest. */
static uint64_t block_size(unsigned int class)
{
	return (class_size(class) + 15) & ~15ull;
}

static void put_end_mark(struct block *block)
{
	const uint64_t mark = MARK_END;

	memcpy((unsigned char *)block + HEADER + block->len, &mark, sizeof(mark));
}

static bool end_mark_there(const struct block *block)
{
	uint64_t mark;

	memcpy(&mark, (const unsigned char *)block + HEADER + block->len, sizeof(mark));
	return mark == MARK_END;
}

static struct block *cut_block(unsigned int class)
{
	const struct boot_info *boot = platform_boot();

	if (!cut_upto)
		cut_upto = boot->heap;
	if (block_size(class) > boot->heap + boot->heap_len - cut_upto)
		return NULL;
	struct block *block = program_at(cut_upto);
	cut_upto += block_size(class);
	return block;
}

/* The used block of this address, or the end of the program. */
static struct block *block_of(void *area)
{
	const struct boot_info *boot = platform_boot();
	uintptr_t address = (uintptr_t)area;

	if (address % 16 || address < boot->heap + HEADER || address >= cut_upto)
		libc_die("free or realloc of an address that malloc did not give");
	struct block *block = program_at(address - HEADER);
	if (block->mark == (MARK_FREE ^ (uintptr_t)block))
		libc_die("free or realloc of memory that was freed before");
	if (block->mark != (MARK_USED ^ (uintptr_t)block) ||
		block->len > boot->heap + boot->heap_len - address - sizeof(uint64_t))
		libc_die("free or realloc of an address that malloc did not give, or its header "
			 "was overwritten");
	if (!end_mark_there(block))
		libc_die("memory was written to behind the end of a malloc block");
	return block;
}

/* *ret_fresh: never used before, hence all zero. */
static void *take(size_t len, bool *ret_fresh)
{
	if (len > platform_boot()->heap_len) {
		errno = ENOMEM;
		return NULL;
	}
	unsigned int class = class_of(HEADER + len + sizeof(uint64_t));
	struct block *block = free_list[class];
	*ret_fresh = !block;
	if (block)
		free_list[class] = block->next;
	else
		block = cut_block(class);
	if (!block) {
		errno = ENOMEM;
		return NULL;
	}
	block->mark = MARK_USED ^ (uintptr_t)block;
	block->len = len;
	put_end_mark(block);
	return &block->next;
}

void *malloc(size_t len)
{
	bool fresh;

	return take(len, &fresh);
}

void *calloc(size_t count, size_t size)
{
	size_t len;
	bool fresh;

	if (__builtin_mul_overflow(count, size, &len)) {
		errno = ENOMEM;
		return NULL;
	}
	void *area = take(len, &fresh);
	if (area && !fresh)
		memset(area, 0, len);
	return area;
}

void free(void *area)
{
	if (!area)
		return;
	struct block *block = block_of(area);
	unsigned int class = class_of(HEADER + block->len + sizeof(uint64_t));
	block->mark = MARK_FREE ^ (uintptr_t)block;
	block->next = free_list[class];
	free_list[class] = block;
}

void *realloc(void *area, size_t len)
{
	if (!area)
		return malloc(len);
	struct block *block = block_of(area);
	if (len <= platform_boot()->heap_len &&
		class_of(HEADER + len + sizeof(uint64_t)) ==
			class_of(HEADER + block->len + sizeof(uint64_t))) {
		block->len = len;
		put_end_mark(block);
		return area;
	}
	void *other = malloc(len);
	if (!other)
		return NULL;
	memcpy(other, area, len < block->len ? len : block->len);
	free(area);
	return other;
}
