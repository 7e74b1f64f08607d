/* The store of kv: memory, values, the table, expiry and the limit; and all of it beside a model.
 */
#include "guest/programs/kv_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define MB (1u << 20)

static const uint8_t secret[KV_HASH_KEY_LEN] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static struct kv_store store;

static void start(uint64_t limit)
{
	expect_equal(kv_store_start(&store, limit, secret), 0);
	kv_store_tick(&store, 1000000);
}

static struct kv_bytes bytes_of(const void *data, size_t len)
{
	return (struct kv_bytes){.data = data, .len = len};
}

static struct kv_bytes key_of(const char *prefix, unsigned number)
{
	static char text[4][32];
	static unsigned next;
	char *at = text[next++ % 4];

	return bytes_of(at, (size_t)snprintf(at, sizeof(text[0]), "%s%u", prefix, number));
}

static int set(const struct kv_bytes *key, const void *value, size_t len, int64_t expires)
{
	struct kv_bytes bytes = bytes_of(value, len);

	return kv_store_set(&store, key, &bytes, expires);
}

static void work_off(void)
{
	while (kv_store_work(&store, 100))
		;
}

/* ---- the table */

static uint64_t longest_bucket(void)
{
	uint64_t longest = 0;

	for (uint64_t i = 0; i < store.table->buckets; i++) {
		uint64_t len = 0;

		for (struct kv_entry *entry = *kv_table_bucket(store.table, i); entry;
			entry = entry->next)
			len++;
		longest = len > longest ? len : longest;
	}
	return longest;
}

/* No key more or less makes the table do more than a step or two, and no bucket gets long. */
START_TEST(table_grows_and_shrinks_by_steps)
{
	enum { KEYS = 100000 };

	start(64 * MB);
	for (unsigned i = 0; i < KEYS; i++) {
		uint64_t before = store.table->buckets;
		struct kv_bytes key = key_of("key:", i);

		expect_equal(set(&key, "v", 1, KV_NEVER), 0);
		expect(store.table->buckets - before <= 2);
	}
	expect(store.table->buckets >= KEYS && longest_bucket() <= 20);
	for (unsigned i = 0; i < KEYS; i++) {
		uint64_t before = store.table->buckets;
		struct kv_bytes key = key_of("key:", i);

		expect(kv_store_delete(&store, &key));
		expect(before - store.table->buckets <= 8);
	}
	expect_equal(store.table->buckets, KV_BUCKETS_LEAST);
	expect_equal(store.memory.objects, 1); /* the table itself */
	kv_store_end(&store);
}
END_TEST

/* ---- scans */

enum { STAYING = 3000, PASSING = 20000 };

static unsigned met[STAYING];

static void note(void *context, const struct kv_entry *entry)
{
	(void)context;
	if (entry->bytes[0] == 's')
		met[atoi((const char *)entry->bytes + 1)]++;
}

/* Keys come and go by thousands while a scan is under way: the table grows and shrinks in it. */
START_TEST(scan_meets_all_that_stay)
{
	struct random random = {random_seed()};
	char name[16];

	start(64 * MB);
	for (unsigned i = 0; i < STAYING; i++) {
		/* Ended by a 0 byte of its own, for atoi. */
		struct kv_bytes key =
			bytes_of(name, (size_t)snprintf(name, sizeof(name), "s%u", i) + 1);

		expect_equal(set(&key, "v", 1, KV_NEVER), 0);
	}
	for (unsigned round = 0; round < 20; round++) {
		uint64_t cursor = 0, least = UINT64_MAX, most = 0;

		memset(met, 0, sizeof(met));
		do {
			bool growing = random_once_in(&random, 2);

			cursor = kv_store_scan(&store, cursor, note, NULL);
			for (uint64_t n = random_below(&random, 200); n > 0; n--) {
				struct kv_bytes key =
					key_of("p", (unsigned)random_below(&random, PASSING));

				if (growing)
					expect_equal(set(&key, "v", 1, KV_NEVER), 0);
				else
					kv_store_delete(&store, &key);
			}
			if (random_once_in(&random, 500))
				for (unsigned i = 0; i < PASSING; i++) {
					struct kv_bytes key = key_of("p", i);

					kv_store_delete(&store, &key);
				}
			least = store.table->buckets < least ? store.table->buckets : least;
			most = store.table->buckets > most ? store.table->buckets : most;
		} while (cursor != 0);
		for (unsigned i = 0; i < STAYING; i++)
			ck_assert_msg(met[i] > 0, "key s%u was there and not met", i);
		expect(most > least);
	}
	kv_store_end(&store);
}
END_TEST

/* With nothing changing each key is met once. */
START_TEST(scan_meets_each_once)
{
	uint64_t cursor = 0;
	char name[16];

	start(16 * MB);
	for (unsigned i = 0; i < STAYING; i++) {
		struct kv_bytes key =
			bytes_of(name, (size_t)snprintf(name, sizeof(name), "s%u", i) + 1);

		expect_equal(set(&key, "v", 1, KV_NEVER), 0);
	}
	memset(met, 0, sizeof(met));
	do
		cursor = kv_store_scan(&store, cursor, note, NULL);
	while (cursor != 0);
	for (unsigned i = 0; i < STAYING; i++)
		expect_equal(met[i], 1);
	kv_store_end(&store);
}
END_TEST

START_TEST(random_key_is_any)
{
	unsigned count[50] = {0};

	start(MB);
	expect(kv_store_random(&store) == NULL);
	for (unsigned i = 0; i < 50; i++) {
		struct kv_bytes key = key_of("", i);

		expect_equal(set(&key, "v", 1, i % 2 ? 2000000 : KV_NEVER), 0);
	}
	for (unsigned i = 0; i < 5000; i++)
		count[atoi((const char *)kv_store_random(&store)->bytes)]++;
	for (unsigned i = 0; i < 50; i++)
		expect(count[i] > 0);
	kv_store_tick(&store, 3000000);
	for (unsigned i = 0; i < 1000; i++)
		expect(kv_store_random(&store)->expires == KV_NEVER);
	kv_store_end(&store);
}
END_TEST

/* ---- expiry */

/* Without being asked for: each turn is bounded, and what stays is left alone. */
START_TEST(expired_keys_are_freed)
{
	unsigned turns = 0;

	start(16 * MB);
	for (unsigned i = 0; i < 10000; i++) {
		struct kv_bytes key = key_of("k", i);

		expect_equal(set(&key, "v", 1, i % 4 ? 1000100 : i % 8 ? 9000000 : KV_NEVER), 0);
	}
	expect_equal(kv_store_expires(&store), 8750);
	kv_store_tick(&store, 1000100);
	for (unsigned i = 0; i < 1000; i++)
		kv_store_work(&store, 100);
	expect_equal(
		kv_store_count(&store), 10000); /* in this very millisecond they are still there */
	kv_store_tick(&store, 1000101);
	for (; kv_store_count(&store) > 2500 && turns < 10000; turns++) {
		uint64_t before = kv_store_count(&store);

		kv_store_work(&store, 100);
		expect(before - kv_store_count(&store) <= 100);
	}
	expect_equal(kv_store_count(&store), 2500);
	expect_equal(kv_store_expires(&store), 1250);
	expect_equal(store.expired, 7500);
	kv_store_end(&store);
}
END_TEST

/* ---- the limit */

/* A value of 20 MB is freed piece by piece, or at once by who needs its memory. */
START_TEST(large_values_are_freed_later)
{
	static unsigned char value[20 * MB];
	struct kv_bytes key = bytes_of("big", 3), other = bytes_of("other", 5);
	uint64_t before;

	start(32 * MB);
	pattern_fill(1, 0, value, sizeof(value));
	expect_equal(set(&key, value, sizeof(value), KV_NEVER), 0);
	expect_equal(set(&other, value, sizeof(value), KV_NEVER), -ENOMEM);
	before = store.memory.blocks;
	expect(kv_store_delete(&store, &key));
	expect(before - store.memory.blocks <= KV_LARGE + 1);
	expect(kv_store_has_work(&store));
	expect_equal(set(&other, value, sizeof(value), KV_NEVER), 0);
	expect(kv_bytes_equal(
		&(struct kv_bytes){.value = kv_entry_value(kv_store_find(&store, &other)).value,
			.len = sizeof(value)},
		value, sizeof(value)));
	expect(kv_store_delete(&store, &other));
	work_off();
	expect_equal(store.memory.objects, 1);
	kv_store_end(&store);
}
END_TEST

/* Full to the last block, emptied, and full again with something else. */
START_TEST(full_and_full_again)
{
	static unsigned char value[30000];
	struct kv_bytes key;
	unsigned small = 0, large = 0;

	start(4 * MB);
	for (;; small++) {
		key = key_of("small", small);
		if (set(&key, "0123456789", 10, KV_NEVER))
			break;
	}
	expect(small > 4 * MB / 100);
	expect_equal(kv_store_count(&store), small);
	expect(kv_memory_used(&store.memory) <= store.memory.limit);
	kv_store_clear(&store); /* there is no memory for a new table */
	expect_equal(kv_store_count(&store), 0);
	for (;; large++) {
		key = key_of("large", large);
		if (set(&key, value, sizeof(value), KV_NEVER))
			break;
	}
	expect(large > 4 * MB / 36000);
	key = key_of("large", 0);
	expect(kv_store_delete(&store, &key));
	key = key_of("again", 0);
	expect_equal(set(&key, value, sizeof(value), KV_NEVER), 0);
	kv_store_clear(&store);
	work_off();
	expect_equal(store.memory.objects, 1);
	kv_store_end(&store);
}
END_TEST

START_TEST(clearing_is_bounded)
{
	start(64 * MB);
	for (unsigned i = 0; i < 100000; i++) {
		struct kv_bytes key = key_of("key", i);

		expect_equal(set(&key, "v", 1, i % 2 ? KV_NEVER : 2000000), 0);
	}
	uint64_t before = store.memory.objects;
	kv_store_clear(&store);
	expect_equal(kv_store_count(&store), 0);
	expect_equal(kv_store_expires(&store), 0);
	expect(before - store.memory.objects <= 1000);
	work_off();
	expect_equal(store.memory.objects, 1);
	kv_store_end(&store);
}
END_TEST

/* Who holds a value reads it to its end as it was, whatever becomes of its key. */
START_TEST(held_values_stay)
{
	static unsigned char value[100000], copy[100000];
	struct kv_bytes key = bytes_of("k", 1), more = bytes_of("more", 4), held;

	start(4 * MB);
	pattern_fill(3, 0, value, sizeof(value));
	expect_equal(set(&key, value, sizeof(value), KV_NEVER), 0);
	held = kv_entry_value(kv_store_find(&store, &key));
	kv_value_hold(held.value);
	expect_equal(kv_store_append(&store, kv_store_find(&store, &key), &more), 0);
	expect_equal(kv_entry_value(kv_store_find(&store, &key)).len, sizeof(value) + 4);
	kv_store_clear(&store);
	work_off();
	kv_bytes_copy(copy, &held);
	expect_equal(pattern_match(3, 0, copy, sizeof(copy)), sizeof(copy));
	kv_store_let_go(&store, held.value);
	expect_equal(store.memory.objects, 1);
	kv_store_end(&store);
}
END_TEST

/* ---- beside a model */

enum { KEYS = 400, VALUE_MOST = 60000 };

struct modelled {
	bool there;
	size_t len;
	int64_t expires;
	unsigned char *value;
};

static struct modelled model[KEYS];
static unsigned char key_bytes[KEYS][64], piece[VALUE_MOST];

/* The first is empty; the others differ in their first two bytes. */
static struct kv_bytes model_key(unsigned index)
{
	return bytes_of(key_bytes[index], index ? 2 + index % 62 : 0);
}

static bool model_has(unsigned index)
{
	return model[index].there && model[index].expires >= store.now;
}

static void model_forget(unsigned index)
{
	model[index].there = false;
}

static void check_key(unsigned index)
{
	struct kv_bytes key = model_key(index), value;
	struct kv_entry *entry = kv_store_find(&store, &key);

	expect_equal(entry != NULL, model_has(index));
	if (!entry)
		return;
	value = kv_entry_value(entry);
	expect(kv_bytes_equal(&value, model[index].value, model[index].len));
	expect(entry->expires == model[index].expires);
}

static void do_set(struct random *random, unsigned index)
{
	struct kv_bytes key = model_key(index);
	size_t len = random_len(random, VALUE_MOST) - 1;
	int64_t expires = random_once_in(random, 3) ? store.now + (int64_t)random_below(random, 500)
						    : KV_NEVER;
	int error;

	pattern_fill(random_next(random), 0, piece, len);
	error = set(&key, piece, len, expires);
	expect(error == 0 || error == -ENOMEM);
	if (error)
		return;
	memcpy(model[index].value, piece, len);
	model[index].there = true;
	model[index].len = len;
	model[index].expires = expires;
}

static void do_append(struct random *random, unsigned index)
{
	struct kv_bytes key = model_key(index), more;
	struct kv_entry *entry = kv_store_find(&store, &key);
	int error;

	if (!entry)
		return;
	more = bytes_of(piece, random_len(random, VALUE_MOST - model[index].len + 1) - 1);
	pattern_fill(random_next(random), 0, piece, more.len);
	error = kv_store_append(&store, entry, &more);
	expect(error == 0 || error == -ENOMEM);
	if (error)
		return;
	memcpy(model[index].value + model[index].len, piece, more.len);
	model[index].len += more.len;
}

static void do_delete(unsigned index)
{
	struct kv_bytes key = model_key(index);

	expect_equal(kv_store_delete(&store, &key), model_has(index));
	model_forget(index);
}

static void do_expire(struct random *random, unsigned index)
{
	struct kv_bytes key = model_key(index);
	struct kv_entry *entry = kv_store_find(&store, &key);
	int64_t expires = random_once_in(random, 2)
				  ? KV_NEVER
				  : store.now + (int64_t)random_below(random, 300);

	if (!entry)
		return;
	kv_store_expire_at(&store, entry, expires);
	model[index].expires = expires;
}

static void check_counts(void)
{
	uint64_t there = 0, expires = 0;

	for (unsigned i = 0; i < KEYS; i++)
		check_key(i); /* which removes what has expired */
	for (unsigned i = 0; i < KEYS; i++) {
		there += model_has(i);
		expires += model_has(i) && model[i].expires != KV_NEVER;
	}
	expect_equal(kv_store_count(&store), there);
	expect_equal(kv_store_expires(&store), expires);
	expect(kv_memory_used(&store.memory) <= store.memory.limit);
}

static void do_any(struct random *random)
{
	unsigned index = (unsigned)random_below(random, KEYS);

	switch (random_below(random, 8)) {
	case 0:
	case 1:
	case 2:
		do_set(random, index);
		break;
	case 3:
		do_append(random, index);
		break;
	case 4:
		do_delete(index);
		break;
	case 5:
		do_expire(random, index);
		break;
	case 6:
		kv_store_tick(&store, store.now + (int64_t)random_below(random, 3));
		kv_store_work(&store, (unsigned)random_below(random, 50));
		break;
	default:
		check_key(index);
	}
}

START_TEST(store_is_as_the_model)
{
	struct random random = {random_seed()};

	start(2 * MB); /* less than all of them would take */
	for (unsigned i = 0; i < KEYS; i++) {
		pattern_fill(99, i * 64, key_bytes[i], 64);
		memcpy(key_bytes[i], &i, 2);
		model[i].value = malloc(VALUE_MOST);
	}
	for (unsigned i = 0; i < 100000; i++) {
		do_any(&random);
		if (random_once_in(&random, 10000)) {
			kv_store_clear(&store);
			for (unsigned k = 0; k < KEYS; k++)
				model_forget(k);
		}
		if (i % 1000 == 0)
			check_counts();
	}
	kv_store_clear(&store);
	work_off();
	expect_equal(store.memory.objects, 1);
	kv_store_end(&store);
	for (unsigned i = 0; i < KEYS; i++)
		free(model[i].value);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kv_store");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 110);
	tcase_add_test(all, table_grows_and_shrinks_by_steps);
	tcase_add_test(all, scan_meets_all_that_stay);
	tcase_add_test(all, scan_meets_each_once);
	tcase_add_test(all, random_key_is_any);
	tcase_add_test(all, expired_keys_are_freed);
	tcase_add_test(all, large_values_are_freed_later);
	tcase_add_test(all, full_and_full_again);
	tcase_add_test(all, clearing_is_bounded);
	tcase_add_test(all, held_values_stay);
	tcase_add_test(all, store_is_as_the_model);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
