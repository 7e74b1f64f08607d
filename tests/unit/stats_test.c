/* What --stats prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/stats.h"
#include "tests/lib/suite.h"

#define MIB (1u << 20)

static char *print(uint64_t to_guest, uint64_t to_host)
{
	char *text = NULL;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	stats = (struct stats){
		.bytes_to_guest = to_guest, .bytes_to_host = to_host, .doorbells = 6, .sleeps = 17};
	stats_print(file);
	fclose(file);
	return text;
}

/* The number behind a name at the start of a line; -1: there is no such line. */
static double value(const char *text, const char *name)
{
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
			return atof(line + strlen(name));
	return -1;
}

START_TEST(counters_are_printed_zero_or_not)
{
	char *text = print(0, 0);

	ck_assert(value(text, "sleeps") == 17);
	ck_assert(value(text, "bytes_to_host") == 0);
	ck_assert(value(text, "descriptors_left") == 0);
	ck_assert(value(text, "other_exits") == 0);
	free(text);
}
END_TEST

START_TEST(ratios_need_a_mib)
{
	char *text = print(MIB / 2, MIB / 2 - 1);

	ck_assert_ptr_null(strstr(text, "per_mib"));
	free(text);
	text = print(MIB / 2, MIB / 2);
	ck_assert(value(text, "doorbells_per_mib") == 6);
	ck_assert(value(text, "interrupts_per_mib") == 0);
	free(text);
	text = print(MIB, MIB);
	ck_assert(value(text, "doorbells_per_mib") == 3);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats");
	TCase *tests = tcase_create("stats");

	tcase_add_test(tests, counters_are_printed_zero_or_not);
	tcase_add_test(tests, ratios_need_a_mib);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
