/* The messages of the control pipe, and boot information as both sides read it. */
#include <errno.h>

#include "control/boot.h"
#include "control/control.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/lib/wire_cases.h"

static uint64_t seed;

START_TEST(table_is_indexed_by_type)
{
	ck_assert_uint_eq(control_messages[_i].type, _i);
	wire_case_table(&control_messages[_i]);
}
END_TEST

START_TEST(survives_the_codec)
{
	const struct wire_message *message = &control_messages[_i];
	struct random random = {.state = seed + (unsigned)_i};

	wire_case_round_trip(message, &random);
	wire_case_truncated(message, &random);
	wire_case_longer(message, &random);
	wire_case_bad_strings(message, &random);
	wire_case_random_bytes(message, &random, 5000);
}
END_TEST

START_TEST(hello_is_these_bytes)
{
	const struct control_hello hello = {.magic = CONTROL_MAGIC,
		.version_major = CONTROL_VERSION_MAJOR,
		.version_minor = CONTROL_VERSION_MINOR,
		.features = 1,
		.max_streams = 2,
		.min_ring = 4096,
		.max_ring = 65536};
	const unsigned char expected[] = {'F', 'R', 'R', 'L', 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2,
		0, 0, 0, 0, 16, 0, 0, 0, 0, 1, 0};
	unsigned char bytes[sizeof(expected)];

	ck_assert_uint_eq(
		wire_encode_body(&control_messages[CONTROL_HELLO], &hello, bytes, sizeof(bytes)),
		sizeof(bytes));
	ck_assert_mem_eq(bytes, expected, sizeof(bytes));
}
END_TEST

START_TEST(slot_of_a_stream_id)
{
	ck_assert_uint_eq(control_stream_slot(0xffffffff00000007u), 7);
	ck_assert_uint_eq(control_stream_slot(0x00000001ffffffffu), 0xffffffff);
}
END_TEST

START_TEST(boot_magic_spells_the_name)
{
	const uint64_t magic = BOOT_MAGIC;

	ck_assert_mem_eq(&magic, "FERRULE", 8);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control");
	TCase *tcase = tcase_create("control");

	seed = random_seed();
	tcase_add_loop_test(tcase, table_is_indexed_by_type, 0, CONTROL_TYPE_COUNT);
	tcase_add_loop_test(tcase, survives_the_codec, 0, CONTROL_TYPE_COUNT);
	tcase_add_test(tcase, hello_is_these_bytes);
	tcase_add_test(tcase, slot_of_a_stream_id);
	tcase_add_test(tcase, boot_magic_spells_the_name);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
