/* Files of the host in a guest: lays out what tests/guests/fs_exercise.c then goes through. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 60000

static void make_links(const char *mount)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{"inner_link", "known"},
		{"link_out_relative", "../outside/secret"},
		{"link_out_absolute", NULL}, /* the same, by its whole path */
		{"dir_out", "../outside"},
		{"link_proc", "/proc/self/root/etc/passwd"},
	};
	char *secret = scratch_path("outside/secret");

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		char *path = scratch_path("%s/%s", mount, links[i].name);
		expect_equal(symlink(links[i].target != NULL ? links[i].target : secret, path), 0);
		free(path);
	}
	free(secret);
}

/* What both mounts have. */
static void make_mount(const char *name)
{
	struct utimbuf times = {1000000000, 1000000000};
	char *root = scratch_subdir(name), *dir = scratch_path("%s/dir", name),
	     *known = scratch_path("%s/known", name), *empty = scratch_path("%s/empty", name),
	     *fifo = scratch_path("%s/fifo", name);

	file_write(known, "known", 5);
	expect_equal(chmod(known, 0644), 0);
	expect_equal(utime(known, &times), 0);
	file_write(empty, "", 0);
	expect_equal(mkdir(dir, 0755), 0);
	expect_equal(mkfifo(fifo, 0644), 0);
	make_links(name);
	free(root);
	free(dir);
	free(known);
	free(empty);
	free(fifo);
}

/* Those of users are not on every tmpfs. */
static bool has_xattrs(void)
{
	char *path = scratch_path("rw/known");
	bool has = setxattr(path, "user.probe", "", 0, 0) == 0 || errno != ENOTSUP;

	removexattr(path, "user.probe");
	free(path);
	if (!has)
		printf("not tested: extended attributes, which this file system does not have\n");
	return has;
}

START_TEST(exercise)
{
	struct command monitor;
	char *outside = scratch_subdir("outside"), *secret = scratch_path("outside/secret");
	char *rw, *ro, *nest, *inner;

	umask(022);
	file_write(secret, "secret", 6);
	make_mount("rw");
	make_mount("ro");
	make_mount("nest");
	if (asprintf(&rw, "%s/rw:/rw:rw", scratch_dir()) < 0 ||
		asprintf(&ro, "%s/ro:/ro", scratch_dir()) < 0 ||
		asprintf(&nest, "%s/nest:/nest:rw", scratch_dir()) < 0 ||
		asprintf(&inner, "%s/ro:/nest/dir/inner", scratch_dir()) < 0)
		abort();
	int status = guest_run(&monitor,
		WORDS("--mount", rw, "--mount", ro, "--mount", nest, "--mount", inner),
		"fs_exercise", has_xattrs() ? NO_WORDS : WORDS("no-xattrs"), WAIT_MS);
	char *out = file_text(monitor.out, NULL);
	if (status != 0 || strcmp(out, "passed\n") != 0)
		ck_abort_msg("status %d\n%s%s", status, out, file_tail(monitor.err));
	command_expect_error(&monitor, "--mount"); /* what was not granted is logged */

	/* Seen from outside: what was removed is gone, and nothing came out of the mounts. */
	char *big = scratch_path("rw/big");
	struct stat attributes;
	expect_equal(stat(big, &attributes), 0);
	expect_equal(attributes.st_size, 3 << 20);
	expect_equal(attributes.st_mode & 0777, 0644);
	expect_equal(access(outside, F_OK), 0);
	char *text = file_text(secret, NULL);
	ck_assert_str_eq(text, "secret");
	free(text);
	free(big);
	free(out);
	free(rw);
	free(ro);
	free(nest);
	free(inner);
	free(secret);
	free(outside);
}
END_TEST

static const struct integration_test tests[] = {
	{&exercise, 90},
};

INTEGRATION_MAIN("files", tests, NULL)
