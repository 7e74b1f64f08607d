/* The guest program web and curl: files large and many, byte for byte. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/integration/web_site.h"
#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define CURL "curl", "--disable", "--noproxy", "*", "--silent", "--show-error", "--fail"

static char *url_of(const struct web *web, const char *target)
{
	char *url;

	if (asprintf(&url, "http://127.0.0.1:%u%s", web->port, target) < 0)
		abort();
	return url;
}

static void curl_to(const struct web *web, const char *target, const char *output)
{
	struct command curl;
	char *url = url_of(web, target);

	if (command_run(&curl, WORDS(CURL, "--output", output, url), 60000) != 0)
		ck_abort_msg("curl %s: %s", url, file_tail(curl.err));
	free(url);
}

START_TEST(big_file)
{
	char *root = scratch_subdir("big"), *file = scratch_path("big/file"),
	     *copy = scratch_path("big.copy");
	uint64_t len = (uint64_t)scale(200, 200) << 20;
	struct web web;

	file_write_pattern(file, random_seed(), len);
	web_serve(&web, root);
	uint64_t start = clock_ns();
	curl_to(&web, "/file", copy);
	double seconds = (double)(clock_ns() - start) / 1e9;
	printf("%.0f MiB in %.2f s: %.0f MiB/s\n", (double)len / 1048576, seconds,
		(double)len / 1048576 / seconds);
	expect_same_file(copy, file);
	web_stop(&web);
	unlink(file);
	unlink(copy);
}
END_TEST

/* A piece of a file, as a download that goes on does it. */
START_TEST(curl_range)
{
	char *root = scratch_subdir("range"), *file = scratch_path("range/file"),
	     *copy = scratch_path("range.copy");
	struct command curl;
	struct web web;

	file_write_pattern(file, 1, 10u << 20);
	web_serve(&web, root);
	char *url = url_of(&web, "/file");
	curl_to(&web, "/file", copy);
	expect_equal(truncate(copy, 3333333), 0);
	expect_equal(
		command_run(&curl, WORDS(CURL, "--continue-at", "-", "--output", copy, url), 60000),
		0);
	expect_same_file(copy, file);
	expect_equal(command_run(&curl, WORDS(CURL, "--range", "7-1000006", url), 60000), 0);
	char *piece = file_text(curl.out, NULL);
	expect_equal(pattern_match(1, 7, (unsigned char *)piece, 1000000), 1000000);
	web_stop(&web);
}
END_TEST

/* ---- a thousand files */

#define FILES 1000

static void make_files(const char *root)
{
	struct random random = {random_seed()};
	char *path;

	for (unsigned i = 0; i < FILES; i++) {
		if (asprintf(&path, "%s/file %u", root, i) < 0)
			abort();
		file_write_pattern(path, i, i % 50 == 0 ? 0 : random_len(&random, 300000));
		free(path);
	}
}

/* What curl fetches by one call: --config reads the names from a file. */
static void write_config(const struct web *web, const char *path, const char *copies)
{
	FILE *config = fopen(path, "we");

	expect(config != NULL);
	for (unsigned i = 0; i < FILES; i++)
		fprintf(config,
			"url = \"http://127.0.0.1:%u/file%%20%u\"\noutput = \"%s/file %u\"\n",
			web->port, i, copies, i);
	expect_equal(fclose(config), 0);
}

START_TEST(thousand_files)
{
	char *root = scratch_subdir("thousand"), *copies = scratch_subdir("thousand.copy"),
	     *config = scratch_path("thousand.curl");
	struct command curl, diff;
	struct web web;

	make_files(root);
	web_serve(&web, root);
	write_config(&web, config, copies);
	uint64_t start = clock_ns();
	if (command_run(&curl, WORDS(CURL, "--config", config), 60000) != 0)
		ck_abort_msg("curl: %s", file_tail(curl.err));
	printf("%d files in %.2f s\n", FILES, (double)(clock_ns() - start) / 1e9);
	if (command_run(&diff, WORDS("diff", "-r", root, copies), 60000) != 0)
		ck_abort_msg("they differ: %s", file_tail(diff.out));
	web_stop(&web);
}
END_TEST

/* The page of a directory of a thousand files has a link to each. */
START_TEST(thousand_entries)
{
	char *root = scratch_subdir("entries"), *page = scratch_path("entries.html"), *path;
	char link[64];
	struct web web;

	for (unsigned i = 0; i < FILES; i++) {
		path = scratch_path("entries/file-%u-", i);
		file_write(path, "", 0);
		free(path);
	}
	web_serve(&web, root);
	curl_to(&web, "/", page);
	char *text = file_text(page, NULL);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(link, sizeof(link), "file-%u-\"", i);
		if (strstr(text, link) == NULL)
			ck_abort_msg("the page has no link to %s", link);
	}
	free(text);
	web_stop(&web);
}
END_TEST

/* ---- at once */

#define CURLS 200

START_TEST(two_hundred_curls)
{
	static struct command curls[CURLS];
	char *root = scratch_subdir("curls"), *file = scratch_path("curls/file"), *url;
	struct web web;

	file_write_pattern(file, random_seed(), 1u << 20);
	web_serve(&web, root);
	url = url_of(&web, "/file");
	for (unsigned i = 0; i < CURLS; i++)
		command_start(&curls[i], WORDS(CURL, "--max-time", "50", url));
	for (unsigned i = 0; i < CURLS; i++) {
		if (command_wait(&curls[i], 60000) != 0)
			ck_abort_msg("curl %u: status %d, %s", i, curls[i].status,
				file_tail(curls[i].err));
		expect_same_file(curls[i].out, file);
		unlink(curls[i].out);
	}
	web_stop(&web);
}
END_TEST

static const struct integration_test tests[] = {
	{&big_file, 90},
	{&curl_range, 60},
	{&thousand_files, 90},
	{&thousand_entries, 60},
	{&two_hundred_curls, 90},
};

INTEGRATION_MAIN("web_load", tests, "curl")
