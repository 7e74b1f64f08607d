/*
 * page_table: builds a guest's four-level page tables before it runs, in a
 * stretch of its RAM that no guest address maps, so that no code at CPL 3
 * can change them (and on PVM, where writing them would trap, none has to).
 * An image that brings its own CPL 0 code can: nothing here may be called once the guest
 * runs, but page_table_entry, for tables that page_table_reserve has told of before.
 */
#ifndef FERRULE_MONITOR_PAGE_TABLE_H
#define FERRULE_MONITOR_PAGE_TABLE_H

#include <stdint.h>

#define PAGE_SIZE_4K 4096ull
#define PAGE_SIZE_2M (2ull << 20)

enum page_flags {
	PAGE_WRITE = 1 << 0,
	PAGE_EXECUTE = 1 << 1,
	PAGE_USER = 1 << 2, /* CPL 3 may touch it */
};

struct page_table {
	unsigned char *memory; /* tables_len zeroed bytes, page-aligned */
	uint64_t gpa;          /* where the guest has them; cr3 */
	uint64_t len;
	uint64_t used;
};

/* 0, or -ENOMEM when not even the root fits. */
int page_table_init(struct page_table *table, unsigned char *memory, uint64_t gpa, uint64_t len);

/*
 * Maps [va, va + len) to [gpa, gpa + len), all multiples of 4096, with 2 MiB
 * pages where both addresses allow. 0; -EINVAL not aligned, not canonical
 * (only the lower half is used) or writable and executable; -EEXIST something
 * is mapped there; -ENOMEM the tables are full. After an error the tables are of no use.
 */
int page_table_map(
	struct page_table *table, uint64_t va, uint64_t gpa, uint64_t len, unsigned int flags);

/*
 * Prepares [va, va + len), multiples of 2 MiB, for 4 KiB pages that come later:
 * its lowest-level tables lie in a row, so the entry of page n of the window is
 * (*ret_entries)[n]. Errors as above.
 */
int page_table_reserve(struct page_table *table, uint64_t va, uint64_t len, uint64_t **ret_entries);

/* The lowest-level entry for a 4 KiB page at gpa. */
uint64_t page_table_entry(uint64_t gpa, unsigned int flags);

/* Upper bound of the bytes of tables for one window of 'len' bytes mapped or reserved. */
uint64_t page_table_cost(uint64_t len);

#endif
