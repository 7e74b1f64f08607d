/*
 * kv_table: a hash table that grows and shrinks by one bucket at a time (linear hashing: W. Litwin,
 * "Linear hashing: a new tool for file and table addressing", 1980): no step of it is long, and no
 * table is ever copied. Buckets lie in segments of one block each.
 *
 * A cursor is a place in the order of the bit-reversed hashes. In that order a bucket is an interval,
 * whatever the number of buckets, so who goes on from cursor to cursor until it is 0 has met
 * each entry that was there all along.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_TABLE_H
#define FERRULE_GUEST_PROGRAMS_KV_TABLE_H

#include "guest/programs/kv_value.h"

#define KV_BUCKETS_LEAST 16u
#define KV_SEGMENT       ((uint64_t)KV_BLOCK / sizeof(void *)) /* buckets of a segment */
#define KV_DIRECTORIES   64u                                   /* of KV_SEGMENT segments each */

#define KV_NEVER INT64_MAX

/* A key and its value, which lies behind the key when it is short enough. */
struct kv_entry {
	struct kv_entry *next; /* in the bucket */
	uint64_t hash;
	int64_t expires;    /* milliseconds since 1970-01-01 UTC; KV_NEVER */
	uint32_t key_len;   /* bytes */
	uint32_t value_len; /* bytes; KV_APART: a pointer to struct kv_value follows the key */
	unsigned char bytes[];
};
#define KV_APART UINT32_MAX

struct kv_table {
	uint64_t buckets;
	uint64_t count;   /* entries */
	uint64_t expires; /* of which so many expire */
	struct kv_entry ***directory[KV_DIRECTORIES];
	struct kv_table *next; /* of those that wait to be freed */
};

/* NULL: no memory. */
struct kv_table *kv_table_new(struct kv_memory *memory);
/* Of a table without entries. */
void kv_table_free(struct kv_memory *memory, struct kv_table *table);

/* The link that points to the entry of this key; *link is NULL when there is none, and a new entry may be
 * put there. */
struct kv_entry **kv_table_find(
	const struct kv_table *table, uint64_t hash, const void *key, size_t key_len);
/* Counts an entry that was put there, and makes the table fit. */
void kv_table_added(struct kv_table *table, struct kv_memory *memory);
/* Takes the entry that 'link' points to off, for the caller to free; links are no longer valid then. */
struct kv_entry *kv_table_remove(
	struct kv_table *table, struct kv_memory *memory, struct kv_entry **link);

/* The bucket that a cursor (or a hash) lies in, and in *ret_next the cursor behind it; 0: it was the last. */
struct kv_entry **kv_table_at(const struct kv_table *table, uint64_t cursor, uint64_t *ret_next);
/* The bucket of this number, below table->buckets. */
struct kv_entry **kv_table_bucket(const struct kv_table *table, uint64_t number);

#endif
