/* Long writes past the caches: every byte arrives, none beside them is touched, and they are taken
 * for a reader that runs beside the writer alone. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "pipe/copy.h"
#include "tests/lib/cpus.h"
#include "tests/lib/ring_memory.h"
#include "tests/lib/suite.h"

#define MESSAGE  65536
#define CAPACITY (4 * MESSAGE)
#define AREA     1024
#define GUARD    0xee

static struct ring_memory memory;
static struct ring_producer p;
static struct ring_consumer c;
static unsigned char message[MESSAGE], arrived[MESSAGE];

static void setup(void)
{
	ck_assert_int_eq(ring_memory_create(&memory, 1, CAPACITY), 0);
	ring_producer_attach(&p, &memory.pipe[0].ring[0], memory.area[0][0].data, CAPACITY, 0);
	ring_consumer_attach(&c, &memory.pipe[0].ring[0], memory.area[0][0].data, CAPACITY, 0);
	for (size_t i = 0; i < MESSAGE; i++)
		message[i] = (unsigned char)(i * 31 + i / 256);
}

static void teardown(void)
{
	ring_memory_destroy(&memory);
}

/* Of every length up to some lines, from and to every place of a line. */
START_TEST(copies_what_memcpy_does)
{
	static unsigned char area[AREA], expected[AREA];
	size_t to = (size_t)_i;

	for (size_t from = 0; from < 64; from += 7)
		for (size_t len = 0; len < 300; len++) {
			memset(area, GUARD, AREA);
			memset(expected, GUARD, AREA);
			memcpy(expected + 128 + to, message + from, len);
			copy_past_caches(area + 128 + to, message + from, len);
			expect(memcmp(area, expected, AREA) == 0);
		}
}
END_TEST

START_TEST(not_for_a_reader_that_takes_turns)
{
	for (int i = 0; i < 20; i++) {
		expect_equal(ring_write(&p, message, MESSAGE), MESSAGE);
		expect_equal(ring_read(&c, arrived, MESSAGE), MESSAGE);
		expect(memcmp(message, arrived, MESSAGE) == 0);
		expect_equal(p.beside_writes, 0);
	}
}
END_TEST

#define ODD (MESSAGE - 37) /* so that places in lines, heads and tails go round */

/* The reader's side of the next test: each message is one value of byte, and that counts. */
static void *read_beside(void *argument)
{
	static unsigned char expected[ODD];
	unsigned char next = 0;
	size_t have = 0;

	pin_to(*(int *)argument);
	for (;;) {
		struct ring_span span = ring_peek(&c);
		size_t len = span.len < ODD - have ? span.len : ODD - have;

		memcpy(arrived + have, span.data, len);
		ring_consume(&c, len);
		have += len;
		if (have == ODD) {
			memset(expected, next++, ODD);
			expect(memcmp(arrived, expected, ODD) == 0);
			have = 0;
		} else if (len == 0 && span.end != 0) {
			return NULL;
		} else if (len == 0) {
			sched_yield();
		}
	}
}

START_TEST(for_a_reader_beside)
{
	pthread_t reader;
	int cpu[2], beside = 0;

	if (!two_cpus(cpu)) {
		printf("copy_test: skipped for_a_reader_beside: there is one CPU only\n");
		return;
	}
	pin_to(cpu[0]);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_beside, &cpu[1]), 0);
	for (unsigned i = 0; i < 20000; i++) {
		memset(message, (int)(i & 0xff), ODD);
		while (ring_writable_len(&p) < ODD)
			sched_yield();
		beside += p.beside_writes > 0;
		expect_equal(ring_write(&p, message, ODD), ODD);
	}
	ring_finish(&p);
	pthread_join(reader, NULL);
	/* So many went past the caches. */
	expect(beside > 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("copy");
	TCase *tcase = tcase_create("copy");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, copies_what_memcpy_does, 0, 64);
	tcase_add_test(tcase, not_for_a_reader_that_takes_turns);
	tcase_add_test(tcase, for_a_reader_beside);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
