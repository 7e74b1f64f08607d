/* The arena: layout, rings mapped twice, reuse, exhaustion. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/arena.h"
#include "tests/lib/suite.h"

#define LEN   (4u << 20)
#define SLOTS 100

static struct arena *arena;

static void setup(void)
{
	expect_equal(arena_create(&arena, LEN, SLOTS), 0);
}

static void teardown(void)
{
	arena_destroy(arena);
}

static struct arena_ring take(uint64_t capacity, bool expect_fresh)
{
	struct arena_ring ring;
	bool fresh;

	expect_equal(arena_take_ring(arena, capacity, &ring, &fresh), 0);
	expect_equal(fresh, expect_fresh);
	expect_equal(ring.capacity, capacity);
	return ring;
}

START_TEST(parts_do_not_overlap)
{
	uint64_t last = arena_pipe_offset(arena, SLOTS - 1) + sizeof(struct pipe_shared);

	ck_assert_uint_eq(arena_bell_offset(arena, PIPE_GUEST), 0);
	ck_assert_uint_eq(arena_bell_offset(arena, PIPE_HOST), 4096);
	ck_assert_uint_eq(arena_pipe_offset(arena, 0), 8192);
	ck_assert_uint_eq(arena_pipe_offset(arena, 1), 8192 + 512);
	ck_assert_uint_ge(arena_rings_offset(arena), last);
	ck_assert_uint_eq(arena_rings_offset(arena) % 4096, 0);
	ck_assert_uint_eq(take(4096, true).offset, arena_rings_offset(arena));
	ck_assert_uint_eq(arena_len(arena), LEN);
	ck_assert_uint_eq(arena_slots(arena), SLOTS);
	ck_assert_ptr_eq((unsigned char *)arena_pipe(arena, 3),
		(unsigned char *)arena_bell(arena, PIPE_GUEST) + arena_pipe_offset(arena, 3));
}
END_TEST

START_TEST(ring_is_mapped_twice)
{
	struct arena_ring a = take(65536, true), b = take(4096, true), c = take(1 << 20, true);
	const struct arena_ring *ring[] = {&a, &b, &c};
	unsigned char byte;

	for (int i = 0; i < 3; i++) {
		for (uint64_t at = 0; at < ring[i]->capacity; at += 509) {
			ck_assert_uint_eq(ring[i]->data[at], 0);
			ring[i]->data[at] = (unsigned char)(at + i + 1);
			ck_assert_uint_eq(
				ring[i]->data[ring[i]->capacity + at], (unsigned char)(at + i + 1));
		}
		ring[i]->data[ring[i]->capacity] = 0xa5; /* byte 0 */
		ck_assert_int_eq(pread(arena_fd(arena), &byte, 1, (off_t)ring[i]->offset), 1);
		ck_assert_uint_eq(byte, 0xa5);
	}
	ck_assert_uint_ge(b.offset, a.offset + a.capacity);
	ck_assert_uint_ge(c.offset, b.offset + b.capacity);
}
END_TEST

START_TEST(last_ring_given_is_first_taken)
{
	struct arena_ring a = take(8192, true), b = take(8192, true);

	arena_give_ring(arena, &a);
	arena_give_ring(arena, &b);
	take(4096, true); /* of another size */
	ck_assert_uint_eq(take(8192, false).offset, b.offset);
	ck_assert_uint_eq(take(8192, false).offset, a.offset);
	take(8192, true);
}
END_TEST

START_TEST(what_is_taken_is_counted)
{
	struct arena_ring small = take(8192, true), large = take(65536, true);

	expect_equal(arena_taken(arena), 8192 + 65536);
	arena_give_ring(arena, &small);
	expect_equal(arena_taken(arena), 65536);
	large = take(65536, true);
	arena_uncut_ring(arena, &large);
	expect_equal(arena_taken(arena), 65536);
}
END_TEST

START_TEST(full_arena_refuses)
{
	struct arena_ring ring, held = {0};
	bool fresh;
	int count = 0;

	while (arena_take_ring(arena, 65536, &ring, &fresh) == 0) {
		held = ring;
		count++;
	}
	ck_assert_int_eq(count, (LEN - arena_rings_offset(arena)) / 65536);
	ck_assert_int_eq(arena_take_ring(arena, 65536, &ring, &fresh), -ENOMEM);
	arena_give_ring(arena, &held);
	ck_assert_uint_eq(take(65536, false).offset, held.offset);
	ck_assert_int_eq(arena_take_ring(arena, RING_CAPACITY_MAX, &ring, &fresh), -ENOMEM);
}
END_TEST

START_TEST(an_uncut_ring_is_cut_again)
{
	struct arena_ring a = take(65536, true), b = take(65536, true);

	arena_uncut_ring(arena, &b);
	ck_assert_uint_eq(take(4096, true).offset, b.offset);
	arena_give_ring(arena, &a);
	ck_assert_uint_eq(take(65536, false).offset, a.offset);
	ck_assert_uint_eq(take(65536, true).offset, b.offset + 4096);
}
END_TEST

START_TEST(bad_sizes_are_refused)
{
	const uint64_t bad[] = {
		0, 1, 4095, 4097, 12288, 2 * (uint64_t)RING_CAPACITY_MAX, UINT64_MAX};
	struct arena *other;
	struct arena_ring ring;
	bool fresh;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(arena_take_ring(arena, bad[i], &ring, &fresh), -EINVAL);
	ck_assert_int_eq(arena_create(&other, LEN, 0), -EINVAL);
	ck_assert_int_eq(arena_create(&other, LEN, BELL_SLOTS + 1), -EINVAL);
	ck_assert_int_eq(arena_create(&other, 4096, 1), -EINVAL);
	ck_assert_int_eq(arena_create(&other, LEN + 1, 1), -EINVAL);
	ck_assert_int_eq(arena_create(&other, UINT64_MAX - 4095, 1), -EINVAL);
}
END_TEST

/* A hosted guest has the descriptor: shrinking the file would make the monitor fault. */
START_TEST(size_is_sealed)
{
	ck_assert_int_lt(ftruncate(arena_fd(arena), 4096), 0);
	ck_assert_int_lt(ftruncate(arena_fd(arena), 2 * LEN), 0);
}
END_TEST

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "ferrule-arena") != NULL;
	fclose(maps);
	return count;
}

/* vm.max_map_count is 65,530, and two rings each for 10,000 streams have to fit. */
START_TEST(a_ring_costs_one_mapping)
{
	int before = count_mappings();

	for (int i = 0; i < 100; i++)
		take(i % 2 ? 4096 : 8192, true);
	ck_assert_int_le(count_mappings() - before, 101);
}
END_TEST

/* Large rings for as many as a quarter of the arena holds, and for whoever finds one free. */
START_TEST(large_rings_while_there_is_plenty)
{
	struct arena_ring ring;
	bool fresh;
	unsigned large = 0;

	while (arena_fitting_capacity(arena, 256u << 10) == 256u << 10) {
		ring = take(256u << 10, true);
		large++;
	}
	ck_assert_uint_ge(large, LEN / 4 / (256u << 10) - 1);
	ck_assert_uint_le(large, LEN / 4 / (256u << 10) + 1);
	ck_assert_uint_eq(arena_fitting_capacity(arena, 256u << 10), ARENA_MODEST_RING);
	ck_assert_uint_eq(arena_fitting_capacity(arena, 4096), 4096);
	arena_give_ring(arena, &ring);
	ck_assert_uint_eq(arena_fitting_capacity(arena, 256u << 10), 256u << 10);
	while (arena_take_ring(arena, arena_fitting_capacity(arena, 256u << 10), &ring, &fresh) ==
		0)
		;
	ck_assert_uint_eq(ring.capacity, ARENA_MODEST_RING);
}
END_TEST

/* Bytes of the arena that exist. */
static long held(void)
{
	struct stat stat;

	expect_equal(fstat(arena_fd(arena), &stat), 0);
	return (long)stat.st_blocks * 512;
}

static void touch(const struct arena_ring *ring)
{
	memset(ring->data, 1, ring->capacity);
}

START_TEST(rings_that_rest_are_trimmed)
{
	struct arena_ring a = take(65536, true), b = take(65536, true), c = take(4096, true);
	long before = held();

	touch(&a);
	touch(&b);
	touch(&c);
	expect(!arena_trim_next(arena));
	expect_equal(arena_trim(arena, 10), 0); /* all are in use */
	arena_give_ring(arena, &a);
	arena_give_ring(arena, &b);
	expect_equal(arena_trim(arena, 10), 0); /* they have not rested yet */
	expect(arena_trim_next(arena));
	arena_give_ring(arena, &c);
	expect_equal(arena_trim(arena, 1), 1);
	expect_equal(held(), before + 65536 + 4096);
	expect_equal(arena_trim(arena, 10), 1);
	expect_equal(held(), before + 4096);
	expect(arena_trim_next(arena)); /* the last one */
	expect_equal(arena_trim(arena, 10), 1);
	expect_equal(held(), before);
	expect(!arena_trim_next(arena));
	expect_equal(arena_trim(arena, 10), 0);
	take(65536, false);
}
END_TEST

START_TEST(rings_that_were_used_meanwhile_are_not)
{
	struct arena_ring a = take(65536, true), b = take(65536, true);
	long before = held();

	touch(&a);
	touch(&b);
	arena_give_ring(arena, &a);
	arena_give_ring(arena, &b);
	arena_trim_next(arena);
	b = take(65536, false);
	arena_give_ring(arena, &b);
	expect_equal(arena_trim(arena, 10), 1);
	expect_equal(b.data[0], 1);
	expect_equal(held(), before + 65536);
	/* Trimmed, taken and used again: it rests anew. */
	b = take(65536, false);
	a = take(65536, false);
	touch(&a);
	arena_give_ring(arena, &a);
	arena_give_ring(arena, &b);
	arena_trim_next(arena);
	expect_equal(arena_trim(arena, 10), 2);
	expect_equal(held(), before);
}
END_TEST

START_TEST(a_ring_in_use_keeps_its_first_bytes)
{
	struct arena_ring a = take(65536, true);
	long before = held();

	touch(&a);
	arena_trim_ring(arena, &a, 16384);
	expect_equal(held(), before + 16384);
	expect_equal(a.data[16383], 1);
	expect_equal(a.data[16384], 0);
	expect_equal(a.data[65536], 1);
	arena_trim_ring(arena, &a, 65536);
	expect_equal(held(), before + 16384 + 4096); /* the byte that was looked at */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("arena");
	TCase *tcase = tcase_create("arena");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, parts_do_not_overlap);
	tcase_add_test(tcase, ring_is_mapped_twice);
	tcase_add_test(tcase, last_ring_given_is_first_taken);
	tcase_add_test(tcase, what_is_taken_is_counted);
	tcase_add_test(tcase, full_arena_refuses);
	tcase_add_test(tcase, an_uncut_ring_is_cut_again);
	tcase_add_test(tcase, bad_sizes_are_refused);
	tcase_add_test(tcase, size_is_sealed);
	tcase_add_test(tcase, a_ring_costs_one_mapping);
	tcase_add_test(tcase, large_rings_while_there_is_plenty);
	tcase_add_test(tcase, rings_that_rest_are_trimmed);
	tcase_add_test(tcase, rings_that_were_used_meanwhile_are_not);
	tcase_add_test(tcase, a_ring_in_use_keeps_its_first_bytes);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
