/* The bell by hand, against a plain set of slots, and with a peer that writes what it likes. */
#include <signal.h>
#include <string.h>

#include "pipe/bell.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

static struct bell_shared bell;
static uint64_t seed;

static void setup(void)
{
	memset(&bell, 0, sizeof(bell));
}

static unsigned scan_all(unsigned char ret_found[BELL_SLOTS])
{
	struct bell_scan scan = {0};
	unsigned count = 0;
	uint32_t slot;

	memset(ret_found, 0, BELL_SLOTS);
	while (bell_next(&bell, &scan, &slot)) {
		expect(slot < BELL_SLOTS);
		expect(!ret_found[slot]);
		ret_found[slot] = 1;
		count++;
	}
	expect(!bell_next(&bell, &scan, &slot));
	return count;
}

static void set_everything(void)
{
	store_relaxed(&bell.summary, UINT64_MAX);
	for (unsigned i = 0; i < BELL_WORDS; i++)
		store_relaxed(&bell.word[i], UINT64_MAX);
}

START_TEST(nothing_pending)
{
	unsigned char found[BELL_SLOTS];

	ck_assert(!bell_pending(&bell));
	ck_assert_uint_eq(scan_all(found), 0);
}
END_TEST

START_TEST(each_slot_alone)
{
	unsigned char found[BELL_SLOTS];

	for (uint32_t slot = 0; slot < BELL_SLOTS; slot++) {
		bell_post(&bell, slot);
		expect(bell_pending(&bell));
		expect_equal(scan_all(found), 1);
		expect(found[slot]);
		expect(!bell_pending(&bell));
	}
}
END_TEST

START_TEST(random_sets)
{
	static unsigned char posted[BELL_SLOTS], found[BELL_SLOTS];
	struct random random = {.state = seed};

	for (int round = 0; round < 1000; round++) {
		uint64_t posts = random_len(&random, 1000);

		memset(posted, 0, sizeof(posted));
		for (uint64_t i = 0; i < posts; i++) {
			uint32_t slot = (uint32_t)random_below(&random, BELL_SLOTS);

			bell_post(&bell, slot);
			posted[slot] = 1;
		}
		scan_all(found);
		expect(memcmp(posted, found, sizeof(posted)) == 0);
	}
}
END_TEST

/* A post into a word that the scan has taken is there for the next scan. */
START_TEST(post_during_a_scan)
{
	unsigned char found[BELL_SLOTS];
	struct bell_scan scan = {0};
	uint32_t slot;

	bell_post(&bell, 70);
	ck_assert(bell_next(&bell, &scan, &slot));
	ck_assert_uint_eq(slot, 70);
	bell_post(&bell, 70);
	ck_assert(!bell_next(&bell, &scan, &slot));
	ck_assert(bell_pending(&bell));
	ck_assert_uint_eq(scan_all(found), 1);
	ck_assert(found[70]);
}
END_TEST

START_TEST(ring_only_the_sleeping)
{
	bell_post(&bell, 3);
	ck_assert(!bell_must_ring(&bell));
	ck_assert(!bell_sleep(&bell)); /* something is pending */
	ck_assert(!bell_must_ring(&bell));
	setup();
	ck_assert(bell_sleep(&bell));
	bell_post(&bell, 3);
	bell_post(&bell, 4);
	ck_assert(bell_must_ring(&bell));
	ck_assert(!bell_must_ring(&bell)); /* once */
	setup();
	ck_assert(bell_sleep(&bell));
	bell_awake(&bell);
	bell_post(&bell, 3);
	ck_assert(!bell_must_ring(&bell));
}
END_TEST

START_TEST(hostile_everything_set)
{
	unsigned char found[BELL_SLOTS];

	set_everything();
	ck_assert_uint_eq(scan_all(found), BELL_SLOTS);
	ck_assert_uint_eq(scan_all(found), 0);
}
END_TEST

START_TEST(hostile_summary_alone)
{
	unsigned char found[BELL_SLOTS];

	store_relaxed(&bell.summary, UINT64_MAX);
	ck_assert_uint_eq(scan_all(found), 0);
}
END_TEST

START_TEST(hostile_words_alone)
{
	unsigned char found[BELL_SLOTS];

	store_relaxed(&bell.word[255], UINT64_MAX);
	ck_assert(!bell_pending(&bell));
	ck_assert_uint_eq(scan_all(found), 0);
}
END_TEST

/* A peer that sets everything again after each step does not keep a scan going. */
START_TEST(hostile_scan_ends)
{
	struct bell_scan scan = {0};
	unsigned count = 0;
	uint32_t slot;

	set_everything();
	while (bell_next(&bell, &scan, &slot)) {
		expect(slot < BELL_SLOTS);
		count++;
		store_relaxed(&bell.summary, UINT64_MAX);
		store_relaxed(&bell.word[slot / 64], UINT64_MAX);
	}
	ck_assert_uint_eq(count, BELL_SLOTS);
}
END_TEST

START_TEST(hostile_asleep)
{
	store_relaxed(&bell.asleep, 0xdeadbeef);
	ck_assert(bell_must_ring(&bell));
	ck_assert(!bell_must_ring(&bell));
}
END_TEST

START_TEST(trap_slot)
{
	bell_post(&bell, BELL_SLOTS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bell");
	TCase *tcase = tcase_create("bell");

	seed = random_seed();
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, nothing_pending);
	tcase_add_test(tcase, each_slot_alone);
	tcase_add_test(tcase, random_sets);
	tcase_add_test(tcase, post_during_a_scan);
	tcase_add_test(tcase, ring_only_the_sleeping);
	tcase_add_test(tcase, hostile_everything_set);
	tcase_add_test(tcase, hostile_summary_alone);
	tcase_add_test(tcase, hostile_words_alone);
	tcase_add_test(tcase, hostile_scan_ends);
	tcase_add_test(tcase, hostile_asleep);
	tcase_add_test_raise_signal(tcase, trap_slot, SIGILL);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
