/* PUT and DELETE with curl: what is put is there as a whole or not at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 60000

static struct command monitor;
static uint16_t port;
static char *site, *input;

static void serve(const char *mode, const char *option)
{
	char *mount, name[32];

	snprintf(name, sizeof(name), "site-%d", (int)getpid());
	site = scratch_subdir(name);
	input = scratch_path("input-%d", (int)getpid());
	file_write_pattern(input, 17, 20u << 20);
	if (asprintf(&mount, "%s:/srv%s", site, mode) < 0)
		abort();
	port = guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--mount", mount), "web",
		WORDS("--listen", ANY_PORT, option));
	free(mount);
}

/* A script with $1 the site's address, $2 its directory, $3 the file to put; what it says. */
static void expect_script(const char *script, const char *says)
{
	char url[64], *whole;
	struct command command;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	if (asprintf(&whole, "code() { curl -s -o /dev/null -w '%%{http_code} ' \"$@\"; }; %s",
		    script) < 0)
		abort();
	command_run(&command, WORDS("sh", "-c", whole, "sh", url, site, input), WAIT_MS);
	char *text = file_text(command.out, NULL);
	ck_assert_str_eq(text, says);
	free(text);
	free(whole);
}

START_TEST(puts_and_deletes)
{
	serve(":rw", "--write");
	expect_script("code -T \"$3\" $1/new; cmp \"$3\" \"$2/new\" && echo same", "201 same\n");
	expect_script(
		"printf text > \"$3.2\"; code -T \"$3.2\" $1/new; cat \"$2/new\"", "204 text");
	expect_script("mkdir \"$2/dir\"; code -T \"$3.2\" $1/dir/ -H 'Expect:' ; code -X PUT -d x "
		      "$1/dir; "
		      "code -T \"$3.2\" $1/none/new; code -T \"$3.2\" $1/dir/%2e%2e/up; ls \"$2\"",
		"201 409 409 201 dir\nnew\nup\n");
	expect_script("code -X DELETE $1/up; code -X DELETE $1/up; code -X DELETE $1/dir; rm -r "
		      "\"$2/dir\"/*; "
		      "code -X DELETE $1/dir; ls \"$2\"",
		"204 404 409 204 new\n");
	/* One connection for all: bodies that were refused do not become requests. */
	expect_script(
		"curl -s -w '%{http_code} %{num_connects}\\n' -X PUT -d x $1/no/a $1/b $1/no/c "
		"-o /dev/null -o /dev/null -o /dev/null",
		"409 1\n201 0\n409 0\n");
	expect_script("code -T - $1/chunked < \"$3.2\"; code -X PUT -d x $1/; ls -a \"$2\"",
		"411 409 .\n..\nb\nnew\n");
	guest_stop(&monitor, port);
}
END_TEST

START_TEST(conditions)
{
	serve(":rw", "--write");
	expect_script(
		"printf 1 > \"$3.1\"; code -T \"$3.1\" -H 'If-None-Match: *' $1/f; "
		"code -T \"$3.1\" -H 'If-None-Match: *' $1/f; "
		"tag=$(curl -sI $1/f | tr -d '\\r' | sed -n 's/^ETag: //p'); "
		"code -T \"$3.1\" -H 'If-Match: \"other\"' $1/f; printf 22 > \"$3.1\"; "
		"code -T \"$3.1\" -H \"If-Match: $tag\" $1/f; code -T \"$3.1\" -H \"If-Match: "
		"$tag\" $1/f; "
		"code -X DELETE -H \"If-Match: $tag\" $1/f; "
		"code -T \"$3.1\" -H 'If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT' $1/f; "
		"code -H 'If-Match: \"other\"' $1/f; code -T \"$3.1\" -H 'If-Match: *' $1/none; "
		"code -T \"$3.1\" -H 'Content-Range: bytes 1-2/3' $1/f; "
		"cat \"$2/f\"",
		"201 412 412 204 412 412 412 412 412 400 22");
	guest_stop(&monitor, port);
}
END_TEST

/* The old file stays while the new one comes, and when it does not come to its end. */
START_TEST(clients_that_break_off)
{
	serve(":rw", "--write");
	expect_script("printf old > \"$2/file\"; "
		      "curl -s -m 2 --limit-rate 1M -T \"$3\" $1/file & sleep 1; cat \"$2/file\"; "
		      "ls -a \"$2\" | grep -c put; wait; sleep 1; cat \"$2/file\"; ls \"$2\" -a | "
		      "grep -c put",
		"old1\nold0\n");
	guest_stop(&monitor, port);
}
END_TEST

START_TEST(only_where_it_is_allowed)
{
	serve(":rw", NULL);
	expect_script(
		"printf old > \"$2/file\"; code -T \"$2/file\" $1/new; code -X DELETE $1/file; "
		"curl -sI -X DELETE $1/file | tr -d '\\r' | sed -n 's/^Allow: //p'; ls \"$2\"",
		"405 405 GET, HEAD\nfile\n");
	guest_stop(&monitor, port);
}
END_TEST

START_TEST(a_read_only_mount)
{
	serve("", "--write");
	expect_script("printf old > \"$2/file\"; code -T \"$2/file\" $1/new; code -X DELETE "
		      "$1/file; ls \"$2\"",
		"403 403 file\n");
	guest_stop(&monitor, port);
}
END_TEST

static const struct integration_test tests[] = {
	{&puts_and_deletes, 90},
	{&conditions, 60},
	{&clients_that_break_off, 60},
	{&only_where_it_is_allowed, 60},
	{&a_read_only_mount, 60},
};

INTEGRATION_MAIN("web_put", tests, "curl")
