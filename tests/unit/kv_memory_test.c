/* What the store of kv is made of: its hash, and its memory. */
#include <string.h>

#include "guest/programs/kv_hash.h"
#include "guest/programs/kv_memory.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define MB (1u << 20)

/* ---- hash */

/* Vectors that the authors of SipHash published: of the bytes 0, 1, 2 ... under the key 0 to 15. */
START_TEST(hash_is_siphash)
{
	static const struct {
		size_t len;
		uint64_t hash;
	} vectors[] = {{0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd}, {8, 0x93f5f5799a932462},
		{15, 0xa129ca6149be45e5}};
	uint8_t key[KV_HASH_KEY_LEN], bytes[16];

	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = key[i] = i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		expect(kv_hash(key, bytes, vectors[i].len) == vectors[i].hash);
}
END_TEST

/* ---- memory */

struct object {
	unsigned char *at;
	size_t len;
	uint64_t key;
};

/* Objects keep their bytes whatever else is taken and given back, and the limit holds. */
START_TEST(objects_do_not_overlap)
{
	struct random random = {random_seed()};
	static struct object objects[2000];
	struct kv_memory memory;
	uint64_t refused = 0;

	kv_memory_start(&memory, MB);
	for (uint64_t i = 0; i < 200000; i++) {
		struct object *object = &objects[random_below(&random, 2000)];

		if (object->at) {
			expect_equal(pattern_match(object->key, 0, object->at, object->len),
				object->len);
			kv_memory_give(&memory, object->at);
			object->at = NULL;
			continue;
		}
		*object = (struct object){.len = random_len(&random, KV_OBJECT_MOST), .key = i};
		object->at = kv_memory_take(&memory, object->len, KV_DATA);
		refused += !object->at;
		if (object->at) {
			expect((uintptr_t)object->at % 16 == 0);
			expect(kv_memory_room(object->at) == kv_memory_room_of(object->len));
			pattern_fill(i, 0, object->at, object->len);
		}
		expect(kv_memory_used(&memory) <= memory.limit);
		expect(memory.object_len <= kv_memory_used(&memory));
	}
	expect(refused > 0);
	for (unsigned i = 0; i < 2000; i++)
		if (objects[i].at)
			kv_memory_give(&memory, objects[i].at);
	expect(memory.blocks == 0 && memory.objects == 0 && memory.object_len == 0);
	kv_memory_end(&memory);
}
END_TEST

static unsigned fill(struct kv_memory *memory, size_t size, void **ret_objects, unsigned most)
{
	unsigned count = 0;

	while (count < most && (ret_objects[count] = kv_memory_take(memory, size, KV_DATA)))
		count++;
	return count;
}

/* What was freed in one size can be had again in any other, to the last block. */
START_TEST(freed_memory_serves_every_size)
{
	static const size_t sizes[] = {32, KV_OBJECT_MOST, 100, 5000, KV_OBJECT_MOST, 32};
	static void *objects[MB / 32];
	struct kv_memory memory;

	kv_memory_start(&memory, MB);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned count = fill(&memory, sizes[i], objects, MB / 32);
		unsigned each = KV_OBJECT_MOST / (unsigned)kv_memory_room_of(sizes[i]);

		expect_equal(count, MB / KV_BLOCK * each);
		void *urgent = kv_memory_take(&memory, sizes[i], KV_URGENT);
		expect(urgent != NULL);
		kv_memory_give(&memory, urgent);
		while (count > 0)
			kv_memory_give(&memory, objects[--count]);
		expect_equal(memory.blocks, 0);
	}
	kv_memory_end(&memory);
}
END_TEST

/* The limit that a heap is given needs no more than that heap, and not much less. */
START_TEST(limits_fit_heaps)
{
	for (uint64_t heap = 4 * MB; heap < 1ull << 34; heap += heap / 3) {
		uint64_t limit = kv_memory_limit_of(heap);

		expect(limit >= KV_LIMIT_LEAST && kv_memory_heap(limit) <= heap);
		expect(limit > heap / 2 || heap < 16 * MB);
	}
	expect_equal(kv_memory_limit_of(0), 0);
	expect_equal(kv_memory_limit_of(2 * MB), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kv_memory");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 110);
	tcase_add_test(all, hash_is_siphash);
	tcase_add_test(all, objects_do_not_overlap);
	tcase_add_test(all, freed_memory_serves_every_size);
	tcase_add_test(all, limits_fit_heaps);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
