/*
 * A host directory in the guest says what the host says: random calls (tests/guests/fs_equal.c) on
 * a mount and the same as plain system calls on a directory beside it; every result, errno and
 * byte, and the trees at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/integration.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 280000

/* The native program lies beside the guest. */
static char *native_path(void)
{
	char *guest = guest_path("fs_equal"), *path;
	char *end = strrchr(guest, '/');

	if (asprintf(&path, "%.*s/fs_equal_native", (int)(end - guest), guest) < 0)
		abort();
	free(guest);
	return path;
}

/* The first line in which they differ fails the test. */
static void expect_same_lines(char *guest, char *native)
{
	char *at[2] = {guest, native}, *line[2];

	while (*at[0] != 0 || *at[1] != 0) {
		for (unsigned i = 0; i < 2; i++) {
			line[i] = at[i];
			at[i] += strcspn(at[i], "\n");
			if (*at[i] != 0)
				*at[i]++ = 0;
		}
		if (strcmp(line[0], line[1]) != 0)
			ck_abort_msg(
				"they differ\nguest:  %.600s\nnative: %.600s", line[0], line[1]);
	}
}

static void expect_same_trees(const char *guest, const char *native)
{
	/* Names, types, modes, owners, sizes but of directories, links; then the contents. */
	static const char script[] =
		"list() { (cd \"$1\" && find . \\( -type d -printf '%P %y %m %U:%G\\n' \\) -o "
		"-printf '%P %y %m %U:%G %s %n %l\\n' | LC_ALL=C sort); }; "
		"[ \"$(list \"$1\")\" = \"$(list \"$2\")\" ] && diff -r --no-dereference \"$1\" "
		"\"$2\"";
	struct command command;
	const char *words[] = {"sh", "-c", script, "sh", guest, native, NULL};

	if (command_run(&command, words, 60000) != 0)
		ck_abort_msg("the trees differ\n%s", file_tail(command.out));
}

static void compare(uint64_t seed, unsigned count)
{
	char *guest_root = scratch_subdir("guest"), *native_root = scratch_subdir("native");
	char *native = native_path(), *mount, seed_text[32], count_text[16];
	struct command monitor, twin;

	snprintf(seed_text, sizeof(seed_text), "%#llx", (unsigned long long)seed);
	snprintf(count_text, sizeof(count_text), "%u", count);
	if (asprintf(&mount, "%s:/rw:rw", guest_root) < 0)
		abort();
	const char *words[] = {native, native_root, seed_text, count_text, NULL};
	expect_equal(command_run(&twin, words, WAIT_MS), 0);
	expect_equal(guest_run(&monitor, WORDS("--mount", mount), "fs_equal",
			     WORDS("/rw", seed_text, count_text), WAIT_MS),
		0);
	char *guest_says = file_text(monitor.out, NULL), *native_says = file_text(twin.out, NULL);
	expect_same_lines(guest_says, native_says);
	expect_same_trees(guest_root, native_root);
	free(guest_says);
	free(native_says);
	free(mount);
	free(native);
	free(guest_root);
	free(native_root);
}

START_TEST(every_result)
{
	umask(022);
	compare(random_seed(), scale(10000, 100000));
}
END_TEST

static const struct integration_test tests[] = {
	{&every_result, 290},
};

INTEGRATION_MAIN("fs_equal", tests, NULL)
