/* The guest program web under wrk: no socket error, and no answer but 2xx. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/web_site.h"
#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

static double number_behind(const char *text, const char *label)
{
	const char *found = strstr(text, label);

	return found != NULL ? strtod(found + strlen(label), NULL) : 0;
}

/* wrk tells of errors, and of statuses that are not 2xx or 3xx, in lines that are missing else. */
START_TEST(no_errors)
{
	char *root = scratch_subdir("site"), *file = scratch_path("site/file"), *url;
	struct command wrk;
	struct web web;
	char duration[16];

	file_write_pattern(file, 1, 1024);
	web_serve(&web, root);
	if (asprintf(&url, "http://127.0.0.1:%u/file", web.port) < 0)
		abort();
	snprintf(duration, sizeof(duration), "-d%us", scale(2, 5));
	expect_equal(command_run(&wrk, WORDS("wrk", "-t1", "-c64", duration, url), 60000), 0);
	char *report = file_text(wrk.out, NULL);
	if (strstr(report, "Socket errors") != NULL || strstr(report, "Non-2xx") != NULL)
		ck_abort_msg("wrk met errors:\n%s", report);
	double rate = number_behind(report, "Requests/sec:");
	printf("wrk -t1 -c64 %s: %.0f requests/s\n", duration, rate);
	expect(rate > 100);
	web_stop(&web);
}
END_TEST

static const struct integration_test tests[] = {
	{&no_errors, 60},
};

INTEGRATION_MAIN("wrk", tests, "wrk")
