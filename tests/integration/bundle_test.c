/* boot:/: files that come with the guest, given by --bundle or linked into the image, and served
 * without the monitor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 60000

static char *archive, *tree;

static void make_archive(void)
{
	static const char script[] =
		"mkdir -p \"$1/dir/sub\" && cd \"$1\" && head -c 3000001 /dev/urandom > big && "
		"printf hello > dir/sub/file && "
		"ln -s dir/sub/file link && ln -s ../../etc/passwd out && : > empty && "
		"find . | cpio -o -H newc --quiet > \"$2\"";
	struct command command;
	char name[32];

	snprintf(name, sizeof(name), "tree-%d", (int)getpid());
	tree = scratch_subdir(name);
	archive = scratch_path("%s.cpio", name);
	if (command_run(&command, WORDS("sh", "-c", script, "sh", tree, archive), WAIT_MS) != 0)
		ck_abort_msg("%s", file_tail(command.err));
}

static char *host_says(const char *script, uint16_t port)
{
	struct command command;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	command_run(&command, WORDS("sh", "-c", script, "sh", tree, url), WAIT_MS);
	return file_text(command.out, NULL);
}

START_TEST(served)
{
	struct command monitor;

	make_archive();
	uint16_t port = guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--bundle", archive),
		"web", WORDS("--listen", ANY_PORT, "boot:/"));
	char *says = host_says(
		"curl -s $2/big | cmp - \"$1/big\" && curl -s -r 1000-1999 $2/big | wc -c; "
		"curl -s $2/link; curl -s -o /dev/null -w ' %{http_code}' $2/none; "
		"curl -s -o /dev/null -w ' %{http_code}' $2/out; curl -s $2/dir/ | grep -c sub/; "
		"curl -sI $2/big | tr -d '\r' | grep -c '^ETag\\|^Last-Modified'",
		port);
	ck_assert_str_eq(says, "1000\nhello 404 4041\n2\n");
	free(says);
	guest_stop(&monitor, port);
}
END_TEST

/* As every other tree: listed, hashed, copied out; and never changed. */
START_TEST(copied)
{
	struct command monitor;
	char *mount, *copy = scratch_subdir("copy");

	make_archive();
	if (asprintf(&mount, "%s:/copy:rw", copy) < 0)
		abort();
	expect_equal(guest_run(&monitor, WORDS("--bundle", archive, "--mount", mount), "cp",
			     WORDS("-r", "-p", "boot:/", "/copy/out"), WAIT_MS),
		0);
	char *script;
	if (asprintf(&script, "diff -r --no-dereference \"$1\" %s/out && echo same", copy) < 0)
		abort();
	char *says = host_says(script, 0);
	ck_assert_str_eq(says, "same\n");
	expect_equal(guest_run(&monitor, WORDS("--bundle", archive), "cp",
			     WORDS("boot:/big", "boot:/other"), WAIT_MS),
		1);
	command_expect_error(&monitor, "cannot write boot:/other (EROFS)");
	free(says);
	free(script);
	free(mount);
	free(copy);
}
END_TEST

START_TEST(what_is_no_bundle)
{
	struct command monitor;
	char *text = scratch_path("text"), *cut = scratch_path("cut"), *bytes;
	size_t len;

	make_archive();
	file_write(text, "no archive", 10);
	expect_equal(
		guest_run(&monitor, WORDS("--bundle", text), "cat", WORDS("boot:/x"), WAIT_MS), 2);
	command_expect_error(&monitor, "is no cpio archive of the form newc; make one by");
	expect_equal(
		guest_run(&monitor, WORDS("--bundle", "/none"), "cat", WORDS("boot:/x"), WAIT_MS),
		2);
	command_expect_error(&monitor, "No such file or directory; correct the path");
	expect_equal(
		guest_run(&monitor, WORDS("--bundle", "/"), "cat", WORDS("boot:/x"), WAIT_MS), 2);
	/* One that ends early is the guest's to find. */
	bytes = file_text(archive, &len);
	file_write(cut, bytes, len / 2);
	expect_equal(
		guest_run(&monitor, WORDS("--bundle", cut), "cat", WORDS("boot:/empty"), WAIT_MS),
		1);
	command_expect_error(&monitor, "cannot read boot:/empty (EBADMSG)");
	expect_equal(guest_run(&monitor, NO_WORDS, "cat", WORDS("boot:/empty"), WAIT_MS), 1);
	command_expect_error(&monitor, "cannot read boot:/empty (ENOENT)");
	free(bytes);
	free(text);
	free(cut);
}
END_TEST

static const struct integration_test tests[] = {
	{&served, 60},
	{&copied, 60},
	{&what_is_no_bundle, 60},
};

INTEGRATION_MAIN("bundle", tests, "cpio")
