#include "guest/programs/kv_store.h"

#include <errno.h>
#include <string.h>

#define RECLAIM_STEPS 256u
#define RANDOM_TRIES  128u

/* ---- entries */

static struct kv_value *value_apart(const struct kv_entry *entry)
{
	struct kv_value *value;

	memcpy(&value, entry->bytes + entry->key_len, sizeof(value));
	return value;
}

struct kv_bytes kv_entry_value(const struct kv_entry *entry)
{
	if (entry->value_len == KV_APART)
		return kv_value_bytes(value_apart(entry));
	return (struct kv_bytes){.data = entry->bytes + entry->key_len, .len = entry->value_len};
}

static size_t entry_size(size_t key_len, size_t value_len)
{
	return sizeof(struct kv_entry) + key_len + value_len;
}

static bool fits_entry(size_t key_len, uint64_t value_len)
{
	return value_len < KV_OBJECT_HALF &&
	       entry_size(key_len, (size_t)value_len) <= KV_OBJECT_HALF;
}

void kv_store_let_go(struct kv_store *store, struct kv_value *value)
{
	struct kv_value *rest = kv_value_let_go(&store->memory, value);

	if (rest) {
		rest->next = store->old_values;
		store->old_values = rest;
	}
}

static void free_entry(struct kv_store *store, struct kv_entry *entry)
{
	if (entry->value_len == KV_APART)
		kv_store_let_go(store, value_apart(entry));
	kv_memory_give(&store->memory, entry);
}

bool kv_entry_expired(const struct kv_store *store, const struct kv_entry *entry)
{
	return entry->expires < store->now;
}

static void remove_link(struct kv_store *store, struct kv_entry **link)
{
	store->table->expires -= (*link)->expires != KV_NEVER;
	free_entry(store, kv_table_remove(store->table, &store->memory, link));
}

/* As kv_table_find; what has expired is removed, and then *link is NULL. */
static struct kv_entry **find_link(
	struct kv_store *store, uint64_t hash, const struct kv_bytes *key)
{
	struct kv_entry **link = kv_table_find(store->table, hash, key->data, key->len);

	if (!*link || !kv_entry_expired(store, *link))
		return link;
	remove_link(store, link);
	store->expired++;
	return kv_table_find(store->table, hash, key->data, key->len);
}

static uint64_t hash_of(const struct kv_store *store, const struct kv_bytes *key)
{
	return kv_hash(store->hash_key, key->data, key->len);
}

bool kv_store_key_possible(const struct kv_bytes *key)
{
	return key->data && key->len <= KV_KEY_MOST;
}

struct kv_entry *kv_store_find(struct kv_store *store, const struct kv_bytes *key)
{
	return kv_store_key_possible(key) ? *find_link(store, hash_of(store, key), key) : NULL;
}

struct kv_entry *kv_store_get(struct kv_store *store, const struct kv_bytes *key)
{
	struct kv_entry *entry = kv_store_find(store, key);

	if (entry)
		store->hits++;
	else
		store->misses++;
	return entry;
}

/* ---- freeing */

/* Frees some of the entries of the first old table, and the table with the last of them. */
static unsigned free_old_entries(struct kv_store *store, unsigned most)
{
	struct kv_table *table = store->old_tables;
	unsigned steps = 0;

	while (steps < most) {
		struct kv_entry **bucket;

		if (store->old_cursor == table->buckets) {
			store->old_tables = table->next;
			store->old_cursor = 0;
			kv_table_free(&store->memory, table);
			return steps + 1;
		}
		bucket = kv_table_bucket(table, store->old_cursor);
		for (; *bucket && steps < most; steps++) {
			struct kv_entry *entry = *bucket;

			*bucket = entry->next;
			free_entry(store, entry);
		}
		if (!*bucket) {
			store->old_cursor++;
			steps++;
		}
	}
	return steps;
}

/* The steps that it took; fewer than 'most' when nothing more waits. */
static unsigned free_old(struct kv_store *store, unsigned most)
{
	unsigned left = most, steps;

	while (left > 0 && store->old_values) {
		struct kv_value *value = store->old_values, *next = value->next;

		if (kv_value_shorten(&store->memory, value, &left))
			store->old_values = next;
	}
	steps = most - left;
	while (steps < most && store->old_tables)
		steps += free_old_entries(store, most - steps);
	return steps;
}

/* For kv_memory: whether a step was made towards a free block. */
static bool reclaim(void *context)
{
	return free_old(context, RECLAIM_STEPS) > 0;
}

/* ---- changing */

/* The value that an entry is to point to: the one that the bytes lie in, or a copy. */
static struct kv_value *share_value(struct kv_store *store, const struct kv_bytes *bytes)
{
	struct kv_value *value;

	if (bytes->value)
		return kv_value_hold(bytes->value);
	value = kv_value_new(&store->memory, KV_DATA);
	if (value && !kv_value_append(&store->memory, value, bytes->data, bytes->len, 0, KV_DATA)) {
		kv_store_let_go(store, value);
		return NULL;
	}
	return value;
}

/* Puts the value into an entry that has room for it, in place of none. */
static void put_value(struct kv_entry *entry, const struct kv_bytes *bytes, struct kv_value *apart)
{
	unsigned char *at = entry->bytes + entry->key_len;

	if (apart) {
		entry->value_len = KV_APART;
		memcpy(at, &apart, sizeof(apart));
	} else {
		entry->value_len = (uint32_t)bytes->len;
		kv_bytes_copy(at, bytes);
	}
}

static struct kv_entry *new_entry(
	struct kv_store *store, uint64_t hash, const struct kv_bytes *key, size_t size)
{
	struct kv_entry *entry = kv_memory_take(&store->memory, size, KV_DATA);

	if (!entry)
		return NULL;
	*entry =
		(struct kv_entry){.hash = hash, .key_len = (uint32_t)key->len, .expires = KV_NEVER};
	memcpy(entry->bytes, key->data, key->len);
	return entry;
}

static void set_expires(struct kv_store *store, struct kv_entry *entry, int64_t expires)
{
	store->table->expires -= entry->expires != KV_NEVER;
	store->table->expires += expires != KV_NEVER;
	entry->expires = expires;
}

static bool same_room(const struct kv_entry *entry, size_t size)
{
	return kv_memory_room(entry) == kv_memory_room_of(size);
}

/* The value of the entry at 'link', which is made or replaced when it has no room for it. */
static int set_at(struct kv_store *store, struct kv_entry **link, uint64_t hash,
	const struct kv_bytes *key, const struct kv_bytes *bytes, int64_t expires)
{
	bool fits = fits_entry(key->len, bytes->len);
	size_t size = entry_size(key->len, fits ? bytes->len : sizeof(struct kv_value *));
	struct kv_value *apart = fits ? NULL : share_value(store, bytes);
	struct kv_entry *old = *link, *entry = old;

	if (!fits && !apart)
		return -ENOMEM;
	if (!old || !same_room(old, size))
		entry = new_entry(store, hash, key, size);
	if (!entry) {
		if (apart)
			kv_store_let_go(store, apart);
		return -ENOMEM;
	}
	if (old && old->value_len == KV_APART)
		kv_store_let_go(store, value_apart(old));
	put_value(entry, bytes, apart);
	if (old && old != entry) {
		entry->next = old->next;
		entry->expires = old->expires;
		kv_memory_give(&store->memory, old);
	}
	*link = entry;
	set_expires(store, entry, expires);
	if (!old)
		kv_table_added(store->table, &store->memory);
	return 0;
}

int kv_store_set(struct kv_store *store, const struct kv_bytes *key, const struct kv_bytes *value,
	int64_t expires)
{
	uint64_t hash;

	if (!kv_store_key_possible(key))
		return -ENAMETOOLONG;
	hash = hash_of(store, key);
	return set_at(store, find_link(store, hash, key), hash, key, value, expires);
}

uint64_t kv_store_size_of(const struct kv_bytes *key, const struct kv_bytes *value)
{
	size_t key_len = key->len < KV_KEY_MOST ? key->len : KV_KEY_MOST;

	if (fits_entry(key_len, value->len))
		return kv_memory_room_of(entry_size(key_len, value->len));
	/* The pieces of a copy, each with its head and at most a quarter more than was asked for.
	 */
	return kv_memory_room_of(entry_size(key_len, sizeof(struct kv_value *))) +
	       (value->value ? 0 : value->len + value->len / 4 + KV_BLOCK);
}

bool kv_store_has_room(struct kv_store *store, uint64_t size, uint64_t keys)
{
	struct kv_memory *memory = &store->memory;
	uint64_t blocks = 2 + (keys < KV_CLASSES ? keys : KV_CLASSES);

	/* Objects fill a block but for its head and a remainder, and each size may begin a block.
	 */
	size += size / 8 + blocks * KV_BLOCK;
	while (kv_memory_used(memory) + size > memory->limit)
		if (!reclaim(store))
			return false;
	return true;
}

static int append_apart(struct kv_store *store, struct kv_entry **link, const struct kv_bytes *key,
	const struct kv_bytes *more)
{
	struct kv_bytes old = kv_entry_value(*link), all;
	struct kv_value *value = kv_value_new(&store->memory, KV_DATA);
	int error = -ENOMEM;

	if (!value)
		return -ENOMEM;
	if (kv_value_append(&store->memory, value, old.data, old.len, more->len, KV_DATA) &&
		kv_value_append_bytes(&store->memory, value, more)) {
		all = kv_value_bytes(value);
		error = set_at(store, link, (*link)->hash, key, &all, (*link)->expires);
	}
	kv_store_let_go(store, value);
	return error;
}

int kv_store_append(struct kv_store *store, struct kv_entry *entry, const struct kv_bytes *more)
{
	unsigned char bytes[KV_OBJECT_HALF];
	struct kv_bytes key = {.data = entry->bytes, .len = entry->key_len},
			old = kv_entry_value(entry),
			all = {.data = bytes, .len = old.len + more->len};
	struct kv_entry **link;

	if (entry->value_len == KV_APART)
		return kv_value_append_bytes(&store->memory, old.value, more) ? 0 : -ENOMEM;
	link = kv_table_find(store->table, entry->hash, key.data, key.len);
	if (!fits_entry(key.len, all.len))
		return append_apart(store, link, &key, more);
	kv_bytes_copy(bytes, &old);
	kv_bytes_copy(bytes + old.len, more);
	return set_at(store, link, entry->hash, &key, &all, entry->expires);
}

bool kv_store_delete(struct kv_store *store, const struct kv_bytes *key)
{
	struct kv_entry **link;

	if (!kv_store_key_possible(key))
		return false;
	link = find_link(store, hash_of(store, key), key);
	if (!*link)
		return false;
	remove_link(store, link);
	return true;
}

void kv_store_expire_at(struct kv_store *store, struct kv_entry *entry, int64_t expires)
{
	set_expires(store, entry, expires);
}

/* ---- clearing */

void kv_store_clear(struct kv_store *store)
{
	struct kv_table *old = store->table, *fresh;

	if (old->count == 0)
		return;
	/* With all memory in use the table cannot be replaced: then this takes as long as it takes.
	 */
	fresh = kv_table_new(&store->memory);
	if (fresh) {
		/* Behind the first one, in which old_cursor is. */
		struct kv_table **link =
			store->old_tables ? &store->old_tables->next : &store->old_tables;

		old->next = *link;
		*link = old;
		store->table = fresh;
		free_old(store, RECLAIM_STEPS);
		return;
	}
	for (uint64_t i = 0; old->count > 0; i = (i + 1) % old->buckets)
		while (*kv_table_bucket(old, i % old->buckets))
			remove_link(store, kv_table_bucket(old, i % old->buckets));
}

/* ---- expiring */

/* Looks at the next 'most' buckets. Whether more than a quarter of what expires there had expired.
 */
static bool expire_some(struct kv_store *store, unsigned most)
{
	struct kv_table *table = store->table;
	unsigned met = 0, expired = 0;

	if (most > table->buckets)
		most = (unsigned)table->buckets;
	for (unsigned i = 0; i < most && table->expires > 0; i++) {
		struct kv_entry **link;

		/* Removing an entry may take the bucket away: the next turn meets what was in it.
		 */
		if (store->expire_cursor >= table->buckets)
			store->expire_cursor = 0;
		link = kv_table_bucket(table, store->expire_cursor++);
		while (*link && !kv_entry_expired(store, *link)) {
			met += (*link)->expires != KV_NEVER;
			link = &(*link)->next;
		}
		if (!*link)
			continue;
		remove_link(store, link);
		store->expire_cursor--; /* once more from its beginning */
		expired++;
	}
	store->expired += expired;
	return expired > (met + expired) / 4;
}

bool kv_store_work(struct kv_store *store, unsigned most)
{
	unsigned steps = free_old(store, most);
	bool more = steps >= most;

	if (!more && store->table->expires > 0)
		more = expire_some(store, most - steps);
	return more;
}

bool kv_store_has_work(const struct kv_store *store)
{
	return store->old_values || store->old_tables || store->table->expires > 0;
}

/* ---- looking around */

uint64_t kv_store_count(const struct kv_store *store)
{
	return store->table->count;
}

uint64_t kv_store_expires(const struct kv_store *store)
{
	return store->table->expires;
}

uint64_t kv_store_scan(const struct kv_store *store, uint64_t cursor,
	void (*visit)(void *context, const struct kv_entry *entry), void *context)
{
	uint64_t next;
	const struct kv_entry *entry = *kv_table_at(store->table, cursor, &next);

	for (; entry; entry = entry->next)
		if (!kv_entry_expired(store, entry))
			visit(context, entry);
	return next;
}

/* xorshift64* */
static uint64_t random_next(struct kv_store *store)
{
	store->random ^= store->random >> 12;
	store->random ^= store->random << 25;
	store->random ^= store->random >> 27;
	return store->random * 0x2545f4914f6cdd1dull;
}

const struct kv_entry *kv_store_random(struct kv_store *store)
{
	const struct kv_table *table = store->table;
	uint64_t at = random_next(store);

	if (table->count == 0)
		return NULL;
	/* At first by chance; when that fails, as in a nearly empty table, whatever comes next. */
	for (uint64_t i = 0; i < RANDOM_TRIES + table->buckets; i++) {
		const struct kv_entry *entry = *kv_table_bucket(table, at % table->buckets),
				      *found = NULL;
		unsigned among = 0;

		for (; entry; entry = entry->next)
			if (!kv_entry_expired(store, entry) && random_next(store) % ++among == 0)
				found = entry;
		if (found)
			return found;
		at = i < RANDOM_TRIES ? random_next(store) : at + 1;
	}
	return NULL;
}

/* ---- the beginning and the end */

int kv_store_start(struct kv_store *store, uint64_t limit, const uint8_t secret[KV_HASH_KEY_LEN])
{
	*store = (struct kv_store){0};
	kv_memory_start(&store->memory, limit);
	store->memory.reclaim = reclaim;
	store->memory.reclaim_context = store;
	memcpy(store->hash_key, secret, KV_HASH_KEY_LEN);
	store->random = kv_hash(secret, "random", 6) | 1;
	store->table = kv_table_new(&store->memory);
	return store->table ? 0 : -ENOMEM;
}

void kv_store_end(struct kv_store *store)
{
	kv_memory_end(&store->memory);
	*store = (struct kv_store){0};
}

void kv_store_tick(struct kv_store *store, int64_t now_ms)
{
	store->now = now_ms;
}
