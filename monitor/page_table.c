#include "monitor/page_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* Intel SDM volume 3, 4.5: one bit layout for all levels. */
#define ENTRY_PRESENT  (1ull << 0)
#define ENTRY_WRITE    (1ull << 1)
#define ENTRY_USER     (1ull << 2)
#define ENTRY_ACCESSED (1ull << 5)
#define ENTRY_DIRTY    (1ull << 6)
#define ENTRY_LARGE    (1ull << 7)
#define ENTRY_NX       (1ull << 63)
#define ENTRY_ADDRESS  0x000ffffffffff000ull

/* The rights of a range are those of its lowest level. */
#define ENTRY_LINK (ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER | ENTRY_ACCESSED)

#define ENTRIES      512
#define VA_END       (1ull << 47)
#define LEVEL_4K     0
#define LEVEL_2M     1
#define LEVEL_ROOT   3
#define LEVEL_BITS   9
#define PAGE_4K_BITS 12

static bool aligned(uint64_t value, uint64_t to)
{
	return (value & (to - 1)) == 0;
}

static uint64_t *table_at(struct page_table *table, uint64_t gpa)
{
	return (uint64_t *)(void *)(table->memory + (gpa - table->gpa));
}

/* 'count' empty tables in a row; 0 when they do not fit. */
static uint64_t take_tables(struct page_table *table, uint64_t count)
{
	if (count > (table->len - table->used) / PAGE_SIZE_4K)
		return 0;
	uint64_t gpa = table->gpa + table->used;
	table->used += count * PAGE_SIZE_4K;
	return gpa;
}

int page_table_init(struct page_table *table, unsigned char *memory, uint64_t gpa, uint64_t len)
{
	*table = (struct page_table){.memory = memory, .gpa = gpa, .len = len};
	return take_tables(table, 1) ? 0 : -ENOMEM;
}

/* Accessed and dirty are set beforehand: nobody looks at them, and an engine with shadow page
 * tables would fault once more to set them. */
uint64_t page_table_entry(uint64_t gpa, unsigned int flags)
{
	return gpa | ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY |
	       (flags & PAGE_WRITE ? ENTRY_WRITE : 0) | (flags & PAGE_USER ? ENTRY_USER : 0) |
	       (flags & PAGE_EXECUTE ? 0 : ENTRY_NX);
}

/* The entry for va at this level, with the tables above it. 0, -ENOMEM, -EEXIST under a large page.
 */
static int walk(struct page_table *table, uint64_t va, unsigned int to_level, uint64_t **ret_entry)
{
	uint64_t *entry = NULL;
	uint64_t at = table->gpa;

	for (unsigned int level = LEVEL_ROOT;; level--) {
		unsigned int shift = PAGE_4K_BITS + LEVEL_BITS * level;

		entry = table_at(table, at) + (va >> shift) % ENTRIES;
		if (level == to_level)
			break;
		if (*entry & ENTRY_LARGE)
			return -EEXIST;
		if (!*entry) {
			uint64_t next = take_tables(table, 1);

			if (!next)
				return -ENOMEM;
			/* Anonymous memory that is read first is faulted in twice. */
			*(volatile uint64_t *)table_at(table, next) = 0;
			*entry = next | ENTRY_LINK;
		}
		at = *entry & ENTRY_ADDRESS;
	}
	*ret_entry = entry;
	return 0;
}

static bool range_valid(uint64_t va, uint64_t len)
{
	return va < VA_END && len <= VA_END - va;
}

/* 4 KiB pages from va on, to the end of their table at the most; how many bytes, or a negative errno. */
static int64_t map_small(
	struct page_table *table, uint64_t va, uint64_t gpa, uint64_t len, unsigned int flags)
{
	uint64_t room = PAGE_SIZE_2M - va % PAGE_SIZE_2M;
	uint64_t entry = page_table_entry(gpa, flags);
	uint64_t *first, there = 0;
	int error = walk(table, va, LEVEL_4K, &first);

	if (error)
		return error;
	uint64_t count = (len < room ? len : room) / PAGE_SIZE_4K;
	for (uint64_t i = 0; i < count; i++) {
		there |= first[i];
		first[i] = entry + i * PAGE_SIZE_4K;
	}
	return there ? -EEXIST : (int64_t)(count * PAGE_SIZE_4K);
}

static int64_t map_large(struct page_table *table, uint64_t va, uint64_t gpa, unsigned int flags)
{
	uint64_t *entry;
	int error = walk(table, va, LEVEL_2M, &entry);

	if (error)
		return error;
	if (*entry)
		return -EEXIST;
	*entry = page_table_entry(gpa, flags) | ENTRY_LARGE;
	return (int64_t)PAGE_SIZE_2M;
}

int page_table_map(
	struct page_table *table, uint64_t va, uint64_t gpa, uint64_t len, unsigned int flags)
{
	if (!aligned(va | gpa | len, PAGE_SIZE_4K) || !range_valid(va, len) ||
		(flags & PAGE_WRITE && flags & PAGE_EXECUTE))
		return -EINVAL;
	for (int64_t step; len > 0; len -= (uint64_t)step) {
		bool large = aligned(va | gpa, PAGE_SIZE_2M) && len >= PAGE_SIZE_2M;

		step = large ? map_large(table, va, gpa, flags)
			     : map_small(table, va, gpa, len, flags);
		if (step < 0)
			return (int)step;
		va += (uint64_t)step;
		gpa += (uint64_t)step;
	}
	return 0;
}

int page_table_reserve(struct page_table *table, uint64_t va, uint64_t len, uint64_t **ret_entries)
{
	if (!aligned(va | len, PAGE_SIZE_2M) || len == 0 || !range_valid(va, len))
		return -EINVAL;
	uint64_t first = take_tables(table, len / PAGE_SIZE_2M);
	if (!first)
		return -ENOMEM;
	for (uint64_t n = 0; n < len / PAGE_SIZE_2M; n++) {
		uint64_t *entry = NULL;
		int error = walk(table, va + n * PAGE_SIZE_2M, LEVEL_2M, &entry);

		if (error)
			return error;
		if (*entry)
			return -EEXIST;
		*entry = (first + n * PAGE_SIZE_4K) | ENTRY_LINK;
	}
	*ret_entries = table_at(table, first);
	return 0;
}

uint64_t page_table_cost(uint64_t len)
{
	uint64_t lowest = len / PAGE_SIZE_2M + 2;
	uint64_t middle = lowest / ENTRIES + 2;
	uint64_t upper = middle / ENTRIES + 2;

	return (lowest + middle + upper) * PAGE_SIZE_4K;
}
