/* A directory page in a browser: headless Chromium renders it and shows every entry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/integration/web_site.h"
#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 90000
#define CHROMIUM                                                                                   \
	"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",               \
		"--no-first-run", "--disable-background-networking", "--disable-component-update", \
		"--disable-sync", "--no-proxy-server", "--virtual-time-budget=5000"

static char *url_of(const struct web *web, const char *target)
{
	char *url;

	if (asprintf(&url, "http://127.0.0.1:%u%s", web->port, target) < 0)
		abort();
	return url;
}

/* What Chromium made of the page: its document, written out again. */
static char *dump_page(const struct web *web, const char *target)
{
	char *profile, *url = url_of(web, target);
	struct command chromium;

	if (asprintf(&profile, "--user-data-dir=%s/profile", scratch_dir()) < 0)
		abort();
	int status = command_run(&chromium, WORDS(CHROMIUM, profile, "--dump-dom", url), WAIT_MS);
	if (status != 0)
		ck_abort_msg("chromium: status %d\n%s", status, file_tail(chromium.err));
	free(profile);
	free(url);
	return file_text(chromium.out, NULL);
}

static void expect_shown(const char *page, const char *text)
{
	if (strstr(page, text) == NULL)
		ck_abort_msg("the page does not show %s:\n%.3000s", text, page);
}

START_TEST(shows_directory)
{
	static const char *const shown[] = {">plain.txt<", ">two words.txt<", ">letters.txt<",
		">empty<", ">sub/<", ">gr\303\274\303\237e \xe2\x82\xac.html<",
		">\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e<", ">100%<", ">double\"quote<",
		/* As text, not as markup. */
		">&lt;b&gt;&amp;amp;&lt;i&gt;<"};
	struct web web;

	web_start(&web);
	char *page = dump_page(&web, "/");
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		expect_shown(page, shown[i]);
	free(page);
	web_stop(&web);
}
END_TEST

START_TEST(shows_file)
{
	struct web web;

	web_start(&web);
	char *page = dump_page(&web, "/sub/deep/file.txt");
	expect_shown(page, DEEP_TEXT);
	free(page);
	web_stop(&web);
}
END_TEST

/* A picture that is not blank: a PNG of a white page is far smaller. */
START_TEST(draws_directory)
{
	char *picture = scratch_path("page.png"), *option, *profile;
	struct command chromium;
	struct stat status;
	struct web web;

	web_start(&web);
	char *url = url_of(&web, "/");
	if (asprintf(&option, "--screenshot=%s", picture) < 0 ||
		asprintf(&profile, "--user-data-dir=%s/profile", scratch_dir()) < 0)
		abort();
	expect_equal(
		command_run(&chromium,
			WORDS(CHROMIUM, profile, "--window-size=900,1200", option, url), WAIT_MS),
		0);
	expect_equal(stat(picture, &status), 0);
	printf("the picture of the page has %lld bytes\n", (long long)status.st_size);
	expect(status.st_size > 10000);
	web_stop(&web);
}
END_TEST

static const struct integration_test tests[] = {
	{&shows_directory, 120},
	{&shows_file, 120},
	{&draws_directory, 120},
};

INTEGRATION_MAIN("browser", tests, "chromium")
