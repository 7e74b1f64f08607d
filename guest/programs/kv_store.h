/*
 * kv_store: keys and their values: a table of them, when they expire, and how
 * much memory they take. Pure: the time is told by kv_store_tick.
 *
 * What takes long to free is put aside and freed by kv_store_work, a little at a
 * time; what is put aside counts as used until then, and is freed at once when the
 * limit is reached.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_STORE_H
#define FERRULE_GUEST_PROGRAMS_KV_STORE_H

#include "guest/programs/kv_hash.h"
#include "guest/programs/kv_table.h"

#define KV_KEY_MOST   8000u /* bytes of a key */
#define KV_VALUE_MOST (512u << 20)

struct kv_store {
	struct kv_memory memory;
	struct kv_table *table;
	struct kv_table *old_tables; /* to be freed, with all that is in them */
	struct kv_value *old_values; /* to be freed */
	uint64_t old_cursor;         /* of the first old table */
	uint64_t expire_cursor;      /* a bucket's number */
	uint64_t random;             /* state of what kv_store_random picks by */
	uint8_t hash_key[KV_HASH_KEY_LEN];
	int64_t now; /* milliseconds since 1970-01-01 UTC */
	uint64_t expired, hits, misses; /* since the beginning */
};

/* 'limit': bytes, at least KV_LIMIT_LEAST. 'secret': random bytes. 0 or -ENOMEM. */
int kv_store_start(struct kv_store *store, uint64_t limit, const uint8_t secret[KV_HASH_KEY_LEN]);
void kv_store_end(struct kv_store *store);
void kv_store_tick(struct kv_store *store, int64_t now_ms);

/* The entry, until the store is next changed or ticked; NULL: there is none, or it has expired. */
struct kv_entry *kv_store_find(struct kv_store *store, const struct kv_bytes *key);
/* The same for a command that reads: counted as a hit or a miss. */
struct kv_entry *kv_store_get(struct kv_store *store, const struct kv_bytes *key);
/* Its value. Read it before the store is next changed; 'value' may be held for longer. */
struct kv_bytes kv_entry_value(const struct kv_entry *entry);

/*
 * Sets key and value; 'expires' in milliseconds as 'now', or KV_NEVER. 0, -ENAMETOOLONG for a key
 * beyond KV_KEY_MOST, or -ENOMEM, and then what was there still is.
 */
int kv_store_set(struct kv_store *store, const struct kv_bytes *key, const struct kv_bytes *value,
	int64_t expires);
/* What setting a key takes at most, in bytes; and whether so much can surely be had for so many keys. */
uint64_t kv_store_size_of(const struct kv_bytes *key, const struct kv_bytes *value);
bool kv_store_has_room(struct kv_store *store, uint64_t size, uint64_t keys);
bool kv_store_key_possible(const struct kv_bytes *key);
/* Adds to the value of an entry that there is, which may move it. 0 or -ENOMEM. */
int kv_store_append(struct kv_store *store, struct kv_entry *entry, const struct kv_bytes *more);
/* One holder less of a value; what nobody holds is freed, soon. */
void kv_store_let_go(struct kv_store *store, struct kv_value *value);
bool kv_store_delete(struct kv_store *store, const struct kv_bytes *key);
void kv_store_expire_at(struct kv_store *store, struct kv_entry *entry, int64_t expires);
/* Forgets everything, in a bounded time. */
void kv_store_clear(struct kv_store *store);

uint64_t kv_store_count(const struct kv_store *store); /* what has expired unnoticed included */
uint64_t kv_store_expires(const struct kv_store *store);
/* Visits what lies at the cursor and tells the next one; 0: that was all. The visitor must not change the
 * store. */
uint64_t kv_store_scan(const struct kv_store *store, uint64_t cursor,
	void (*visit)(void *context, const struct kv_entry *entry), void *context);
/* Any entry that has not expired; NULL: none was found. */
const struct kv_entry *kv_store_random(struct kv_store *store);
bool kv_entry_expired(const struct kv_store *store, const struct kv_entry *entry);

/*
 * Frees what waits to be freed, and what has expired among some of the buckets; 'most' bounds the steps.
 * True: there is more to do now. False: nothing, until time has passed.
 */
bool kv_store_work(struct kv_store *store, unsigned most);
/* Whether there is anything for kv_store_work, now or later. */
bool kv_store_has_work(const struct kv_store *store);

#endif
