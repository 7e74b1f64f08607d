#include "guest/programs/kv_table.h"

#include <string.h>

#define SPLITS_MOST 2u /* of one entry more */
#define SPARSE      4u /* a table with fewer entries than one in so many buckets shrinks */
#define MERGES_MOST (2 * SPARSE) /* of one entry less: it has to shrink faster than it empties */

static unsigned log2_of(uint64_t number)
{
	return 63 - (unsigned)__builtin_clzll(number);
}

/* While there are 2^level + split buckets, the first 'split' are split already: one bit more of the
 * hash tells them from those at the end. */
static unsigned bits_of(uint64_t buckets, uint64_t bucket)
{
	unsigned level = log2_of(buckets);
	uint64_t half = 1ull << level;

	return bucket >= half || bucket < buckets - half ? level + 1 : level;
}

static uint64_t bucket_of(uint64_t buckets, uint64_t hash)
{
	uint64_t half = 1ull << log2_of(buckets), bucket = hash & (half - 1);

	return bucket < buckets - half ? hash & (2 * half - 1) : bucket;
}

static struct kv_entry ***segment_of(const struct kv_table *table, uint64_t number)
{
	return &table->directory[number / KV_SEGMENT / KV_SEGMENT]
				[number / KV_SEGMENT % KV_SEGMENT];
}

struct kv_entry **kv_table_bucket(const struct kv_table *table, uint64_t number)
{
	return &(*segment_of(table, number))[number % KV_SEGMENT];
}

/* ---- segments */

/* The segment that begins with this bucket. False: no memory, or there may be no more. */
static bool add_segment(struct kv_table *table, struct kv_memory *memory, uint64_t number)
{
	uint64_t at = number / KV_SEGMENT / KV_SEGMENT;

	if (at >= KV_DIRECTORIES)
		return false;
	if (!table->directory[at])
		table->directory[at] = kv_memory_take_block(memory, KV_DATA);
	if (!table->directory[at])
		return false;
	*segment_of(table, number) = kv_memory_take_block(memory, KV_DATA);
	return *segment_of(table, number) != NULL;
}

static void drop_segment(struct kv_table *table, struct kv_memory *memory, uint64_t number)
{
	uint64_t at = number / KV_SEGMENT / KV_SEGMENT;

	kv_memory_give_block(memory, *segment_of(table, number));
	*segment_of(table, number) = NULL;
	if (number / KV_SEGMENT % KV_SEGMENT == 0) {
		kv_memory_give_block(memory, table->directory[at]);
		table->directory[at] = NULL;
	}
}

struct kv_table *kv_table_new(struct kv_memory *memory)
{
	struct kv_table *table = kv_memory_take(memory, sizeof(*table), KV_DATA);

	if (!table)
		return NULL;
	*table = (struct kv_table){.buckets = KV_BUCKETS_LEAST};
	if (add_segment(table, memory, 0))
		return table;
	if (table->directory[0])
		kv_memory_give_block(memory, table->directory[0]);
	kv_memory_give(memory, table);
	return NULL;
}

void kv_table_free(struct kv_memory *memory, struct kv_table *table)
{
	for (uint64_t segments = (table->buckets + KV_SEGMENT - 1) / KV_SEGMENT; segments > 0;
		segments--)
		drop_segment(table, memory, (segments - 1) * KV_SEGMENT);
	kv_memory_give(memory, table);
}

/* ---- growing and shrinking */

/* Moves what belongs into the new last bucket out of the one that it is split off. */
static bool split_bucket(struct kv_table *table, struct kv_memory *memory)
{
	uint64_t number = table->buckets, half = 1ull << log2_of(number);
	struct kv_entry **from, **to;

	if (number % KV_SEGMENT == 0 && !add_segment(table, memory, number))
		return false;
	from = kv_table_bucket(table, number - half);
	to = kv_table_bucket(table, number);
	while (*from) {
		struct kv_entry *entry = *from;

		if ((entry->hash & (2 * half - 1)) == number) {
			*from = entry->next;
			entry->next = *to;
			*to = entry;
		} else {
			from = &entry->next;
		}
	}
	table->buckets++;
	return true;
}

static void merge_bucket(struct kv_table *table, struct kv_memory *memory)
{
	uint64_t number = table->buckets - 1;
	struct kv_entry **to = kv_table_bucket(table, number - (1ull << log2_of(number)));

	while (*to)
		to = &(*to)->next;
	*to = *kv_table_bucket(table, number);
	*kv_table_bucket(table, number) = NULL;
	table->buckets--;
	if (number % KV_SEGMENT == 0)
		drop_segment(table, memory, number);
}

void kv_table_added(struct kv_table *table, struct kv_memory *memory)
{
	table->count++;
	/* Without memory for another segment the buckets get longer, and all else goes on. */
	for (unsigned i = 0; i < SPLITS_MOST && table->count > table->buckets; i++)
		if (!split_bucket(table, memory))
			break;
}

struct kv_entry *kv_table_remove(
	struct kv_table *table, struct kv_memory *memory, struct kv_entry **link)
{
	struct kv_entry *entry = *link;

	*link = entry->next;
	table->count--;
	for (unsigned i = 0; i < MERGES_MOST; i++)
		if (table->buckets > KV_BUCKETS_LEAST && table->count < table->buckets / SPARSE)
			merge_bucket(table, memory);
	return entry;
}

/* ---- looking */

struct kv_entry **kv_table_find(
	const struct kv_table *table, uint64_t hash, const void *key, size_t key_len)
{
	struct kv_entry **link = kv_table_bucket(table, bucket_of(table->buckets, hash));

	for (; *link; link = &(*link)->next)
		if ((*link)->hash == hash && (*link)->key_len == key_len &&
			memcmp((*link)->bytes, key, key_len) == 0)
			break;
	return link;
}

static uint64_t reverse_bits(uint64_t word)
{
	word = (word >> 1 & 0x5555555555555555ull) | (word & 0x5555555555555555ull) << 1;
	word = (word >> 2 & 0x3333333333333333ull) | (word & 0x3333333333333333ull) << 2;
	word = (word >> 4 & 0x0f0f0f0f0f0f0f0full) | (word & 0x0f0f0f0f0f0f0f0full) << 4;
	return __builtin_bswap64(word);
}

struct kv_entry **kv_table_at(const struct kv_table *table, uint64_t cursor, uint64_t *ret_next)
{
	uint64_t bucket = bucket_of(table->buckets, cursor);
	unsigned bits = bits_of(table->buckets, bucket);

	/* The interval begins at the reversed number of the bucket; behind the last one this is 0.
	 */
	*ret_next = reverse_bits(reverse_bits(bucket) + (1ull << (64 - bits)));
	return kv_table_bucket(table, bucket);
}
