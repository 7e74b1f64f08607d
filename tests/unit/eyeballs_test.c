/* In which order addresses are tried. */
#include "monitor/eyeballs.h"

#include <string.h>

#include "tests/lib/suite.h"

/* "6a 4b": family and a letter that tells addresses apart. */
static struct endpoint address(const char *text)
{
	return (struct endpoint){.family = text[0] == '6' ? ENDPOINT_IPV6 : ENDPOINT_IPV4,
		.addr = {(unsigned char)text[1]}};
}

static void add(struct eyeballs *eyeballs, const char *text)
{
	struct endpoint list[32];
	unsigned count = 0;

	for (; *text != '\0'; text += text[2] == ' ' ? 3 : 2)
		list[count++] = address(text);
	eyeballs_add(eyeballs, list, count);
}

static void expect_next(struct eyeballs *eyeballs, const char *text)
{
	for (; *text != '\0'; text += text[2] == ' ' ? 3 : 2) {
		const struct endpoint *next = eyeballs_take(eyeballs);
		struct endpoint wanted = address(text);

		expect(next != NULL);
		expect(memcmp(next, &wanted, sizeof(wanted)) == 0);
	}
}

static void expect_end(struct eyeballs *eyeballs)
{
	expect(eyeballs_take(eyeballs) == NULL);
}

START_TEST(families_take_turns)
{
	struct eyeballs eyeballs = {.count = 0};

	add(&eyeballs, "4a 4b 4c");
	add(&eyeballs, "6a 6b");
	expect_next(&eyeballs, "6a 4a 6b 4b 4c");
	expect_end(&eyeballs);
}
END_TEST

START_TEST(one_family_alone)
{
	struct eyeballs four = {.count = 0}, six = {.count = 0};

	add(&four, "4a 4b");
	expect_next(&four, "4a 4b");
	expect_end(&four);
	add(&six, "6a 6b 6c");
	expect_next(&six, "6a 6b 6c");
	expect_end(&six);
	expect_end(&six);
}
END_TEST

/* What comes late goes on in turns from what was tried last. */
START_TEST(a_late_answer)
{
	struct eyeballs eyeballs = {.count = 0};

	add(&eyeballs, "4a 4b 4c");
	expect_next(&eyeballs, "4a");
	add(&eyeballs, "6a 6b");
	expect_next(&eyeballs, "6a 4b 6b 4c");
	expect_end(&eyeballs);
	add(&eyeballs, "");
	expect_end(&eyeballs);
}
END_TEST

START_TEST(no_more_than_there_is_room_for)
{
	struct eyeballs eyeballs = {.count = 0};

	add(&eyeballs, "4a 4b 4c 4d 4e 4f 4g 4h 4i 4j");
	expect_next(&eyeballs, "4a");
	add(&eyeballs, "6a 6b 6c 6d 6e 6f 6g 6h 6i");
	expect_next(&eyeballs, "6a 4b 6b 4c 6c 4d 6d");
	expect_end(&eyeballs);
	add(&eyeballs, "6z");
	expect_end(&eyeballs);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("eyeballs");
	TCase *tcase = tcase_create("eyeballs");

	tcase_add_test(tcase, families_take_turns);
	tcase_add_test(tcase, one_family_alone);
	tcase_add_test(tcase, a_late_answer);
	tcase_add_test(tcase, no_more_than_there_is_room_for);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
