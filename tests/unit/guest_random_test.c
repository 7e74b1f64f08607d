/* guest_random: ChaCha20 as RFC 8439 has it, from the bytes of the boot information. */
#include "guest/stream/random.h"

#include <string.h>

#include "control/boot.h"
#include "guest/ferrule.h"
#include "guest/platform.h"
#include "tests/lib/suite.h"

static struct boot_info boot = {.random = {1, 2, 3}};

const struct boot_info *platform_boot(void)
{
	return &boot;
}

/* The test vector of section 2.3.2. */
START_TEST(block_is_that_of_the_standard)
{
	static const uint32_t tail[4] = {1, 0x09000000, 0x4a000000, 0};
	static const uint32_t expected[16] = {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
		0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214,
		0xa2028bd9, 0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
	uint32_t key[8], block[16];
	unsigned char *bytes = (unsigned char *)key;

	for (unsigned char i = 0; i < sizeof(key); i++)
		bytes[i] = i;
	random_block(key, tail, block);
	expect_equal(memcmp(block, expected, sizeof(block)), 0);
}
END_TEST

/* No piece of what is given out comes again, nor is it the key that it began with. */
START_TEST(bytes_do_not_repeat)
{
	unsigned char bytes[64][16] = {{0}}, odd[100] = {0};

	for (int i = 0; i < 64; i++) {
		guest_random(bytes[i], sizeof(bytes[i]));
		expect(memcmp(bytes[i], boot.random, sizeof(bytes[i])) != 0);
		for (int j = 0; j < i; j++)
			expect(memcmp(bytes[i], bytes[j], sizeof(bytes[i])) != 0);
	}
	guest_random(odd, sizeof(odd) - 1);
	expect_equal(odd[sizeof(odd) - 1], 0);
	expect(memcmp(odd, odd + 32, 32) != 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_random");
	TCase *all = tcase_create("all");

	tcase_add_test(all, block_is_that_of_the_standard);
	tcase_add_test(all, bytes_do_not_repeat);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
