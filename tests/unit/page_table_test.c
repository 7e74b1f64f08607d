/* Page tables: what a walk of them, as the CPU does it, finds. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "monitor/page_table.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define TABLES_LEN (1u << 20)
#define TABLES_GPA 0x140000000ull
#define GIB        (1ull << 30)
#define PRESENT    1ull
#define LARGE      0x80ull
#define ADDRESS    0x000ffffffffff000ull

static unsigned char *memory;
static struct page_table table;

static void setup(void)
{
	memory = mmap(NULL, TABLES_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(memory != MAP_FAILED);
	expect_equal(page_table_init(&table, memory, TABLES_GPA, TABLES_LEN), 0);
}

static void teardown(void)
{
	munmap(memory, TABLES_LEN);
}

struct found {
	uint64_t gpa;
	bool present, large, write, user, execute;
};

/* Intel SDM volume 3, 4.5, written anew from there. */
static struct found look_up(uint64_t va)
{
	struct found found = {.write = true, .user = true, .execute = true};
	uint64_t at = TABLES_GPA;

	for (int shift = 39;; shift -= 9) {
		uint64_t entry;

		expect(at >= TABLES_GPA && at < TABLES_GPA + table.used);
		memcpy(&entry, memory + (at - TABLES_GPA) + (va >> shift & 511) * 8, sizeof(entry));
		if (!(entry & PRESENT))
			return (struct found){.present = false};
		found.write &= entry >> 1 & 1;
		found.user &= entry >> 2 & 1;
		found.execute &= !(entry >> 63);
		at = entry & ADDRESS;
		found.large = shift == 21 && entry & LARGE;
		if (shift == 12 || found.large) {
			found.present = true;
			found.gpa = at + (va & ((1ull << shift) - 1));
			return found;
		}
	}
}

START_TEST(rights_are_those_asked_for)
{
	const unsigned int flags[] = {0, PAGE_WRITE, PAGE_EXECUTE, PAGE_USER,
		PAGE_USER | PAGE_WRITE, PAGE_USER | PAGE_EXECUTE};

	for (unsigned int i = 0; i < 6; i++) {
		uint64_t va = 0x400000 + i * 4096ull;

		ck_assert_int_eq(
			page_table_map(&table, va, 0x100005000 + i * 8192ull, 4096, flags[i]), 0);
		struct found found = look_up(va + 123);
		ck_assert(found.present && !found.large);
		ck_assert_uint_eq(found.gpa, 0x100005000 + i * 8192ull + 123);
		ck_assert_int_eq(found.write, !!(flags[i] & PAGE_WRITE));
		ck_assert_int_eq(found.user, !!(flags[i] & PAGE_USER));
		ck_assert_int_eq(found.execute, !!(flags[i] & PAGE_EXECUTE));
	}
	ck_assert(!look_up(0x400000 - 1).present);
	ck_assert(!look_up(0x406000).present);
	ck_assert(!look_up(0).present);
}
END_TEST

START_TEST(large_pages_where_both_are_aligned)
{
	const uint64_t va = 0x80000000 - 4096, gpa = 0x100200000 - 4096;

	ck_assert_int_eq(page_table_map(&table, va, gpa, 2 * PAGE_SIZE_2M + 3 * 4096,
				 PAGE_USER | PAGE_WRITE),
		0);
	ck_assert(!look_up(va).large);
	ck_assert(look_up(va + 4096).large && look_up(va + 4096 + PAGE_SIZE_2M).large);
	ck_assert(!look_up(va + 4096 + 2 * PAGE_SIZE_2M).large);
	for (uint64_t at = 0; at < 2 * PAGE_SIZE_2M + 3 * 4096; at += 4096)
		ck_assert_uint_eq(look_up(va + at).gpa, gpa + at);
	ck_assert(!look_up(va + 2 * PAGE_SIZE_2M + 3 * 4096).present);
	/* Not congruent modulo 2 MiB. */
	ck_assert_int_eq(page_table_map(&table, GIB * 4, 0x100001000, PAGE_SIZE_2M, PAGE_USER), 0);
	ck_assert(look_up(GIB * 4 + 4096 * 511).present && !look_up(GIB * 4).large);
}
END_TEST

START_TEST(bad_ranges_are_refused)
{
	ck_assert_int_eq(page_table_map(&table, 1, 0, 4096, 0), -EINVAL);
	ck_assert_int_eq(page_table_map(&table, 0, 1, 4096, 0), -EINVAL);
	ck_assert_int_eq(page_table_map(&table, 0, 0, 4095, 0), -EINVAL);
	ck_assert_int_eq(page_table_map(&table, 1ull << 47, 0, 4096, 0), -EINVAL);
	ck_assert_int_eq(page_table_map(&table, (1ull << 47) - 4096, 0, 8192, 0), -EINVAL);
	ck_assert_int_eq(page_table_map(&table, 4096, 0, -4096ull, 0), -EINVAL);
	ck_assert_int_eq(page_table_map(&table, 4096, 0, 4096, PAGE_WRITE | PAGE_EXECUTE), -EINVAL);
}
END_TEST

START_TEST(nothing_is_mapped_twice)
{
	uint64_t *entries;

	ck_assert_int_eq(page_table_map(&table, 0x400000, 0x100000000, 4096, 0), 0);
	ck_assert_int_eq(page_table_map(&table, 0x400000, 0x100001000, 4096, 0), -EEXIST);
	ck_assert_int_eq(page_table_map(&table, 0x400000, 0x100200000, PAGE_SIZE_2M, 0), -EEXIST);
	ck_assert_int_eq(page_table_map(&table, 0x800000, 0x100200000, PAGE_SIZE_2M, 0), 0);
	ck_assert_int_eq(page_table_map(&table, 0x801000, 0x100001000, 4096, 0), -EEXIST);
	ck_assert_int_eq(page_table_reserve(&table, 0x800000, PAGE_SIZE_2M, &entries), -EEXIST);
}
END_TEST

START_TEST(reserved_window_is_one_row_of_entries)
{
	const uint64_t va = GIB * 3 - PAGE_SIZE_2M, len = 5 * PAGE_SIZE_2M;
	uint64_t *entries;

	ck_assert_int_eq(page_table_reserve(&table, va, len, &entries), 0);
	for (uint64_t page = 0; page < len / 4096; page++) {
		ck_assert(!look_up(va + page * 4096).present);
		entries[page] =
			page_table_entry(0x200000000 + page * 4096 * 7, PAGE_USER | PAGE_WRITE);
		struct found found = look_up(va + page * 4096);
		ck_assert(found.present && found.write && found.user && !found.execute);
		ck_assert_uint_eq(found.gpa, 0x200000000 + page * 4096 * 7);
	}
}
END_TEST

START_TEST(full_tables_are_reported)
{
	uint64_t *entries;

	ck_assert_int_eq(
		page_table_reserve(&table, GIB, TABLES_LEN / 4096 * PAGE_SIZE_2M, &entries),
		-ENOMEM);
	int error = 0;
	for (uint64_t va = 0; !error; va += GIB)
		error = page_table_map(&table, va, 0, 4096, 0);
	ck_assert_int_eq(error, -ENOMEM);
	ck_assert_uint_eq(table.used, TABLES_LEN);
	ck_assert_int_eq(page_table_init(&table, memory, TABLES_GPA, 0), -ENOMEM);
}
END_TEST

/* page_table_cost is what the caller sizes the tables by. */
START_TEST(cost_is_an_upper_bound)
{
	struct random random = {random_seed()};

	for (int i = 0; i < 300; i++) {
		uint64_t len = random_below(&random, 100) * PAGE_SIZE_2M +
			       random_below(&random, 1000) * 4096;
		uint64_t va = random_below(&random, 1ull << 34) << 12;

		memset(memory, 0, TABLES_LEN);
		expect_equal(page_table_init(&table, memory, TABLES_GPA, TABLES_LEN), 0);
		uint64_t before = table.used;
		expect_equal(page_table_map(&table, va, 0x100001000, len, 0), 0);
		expect(table.used - before <= page_table_cost(len));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("page_table");
	TCase *tcase = tcase_create("page_table");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, rights_are_those_asked_for);
	tcase_add_test(tcase, large_pages_where_both_are_aligned);
	tcase_add_test(tcase, bad_ranges_are_refused);
	tcase_add_test(tcase, nothing_is_mapped_twice);
	tcase_add_test(tcase, reserved_window_is_one_row_of_entries);
	tcase_add_test(tcase, full_tables_are_reported);
	tcase_add_test(tcase, cost_is_an_upper_bound);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
