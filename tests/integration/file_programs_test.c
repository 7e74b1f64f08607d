/* The programs that work on files, beside those of the host: tree, cat, cp, sha256sum, and the
 * exerciser fsx. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 60000

/* A tree with odd names, links, a sparse file, modes and times, in 'source'. */
static const char make_source[] =
	"cd \"$1\" && mkdir -p a/b/c 'with space' empty && "
	"for i in $(seq 300); do head -c $((i * 37)) /dev/urandom > \"a/b/file $i\"; done && "
	"printf 'x' > \"$(printf 'odd\\377name')\" && ln -s a/b/c link && ln -s nowhere dangling "
	"&& "
	"truncate -s 5M sparse && printf 'end' >> sparse && head -c 3000000 /dev/urandom > big && "
	": > none && "
	"chmod 600 big && chmod 751 a/b && touch -d '2001-02-03 04:05:06.789 UTC' big a";

static char *source, *target; /* of this test */
static char *mounts[2];

static void setup_trees(void)
{
	struct command command;
	char name[32];

	snprintf(name, sizeof(name), "source-%d", (int)getpid());
	source = scratch_subdir(name);
	snprintf(name, sizeof(name), "target-%d", (int)getpid());
	target = scratch_subdir(name);
	umask(022);
	expect_equal(
		command_run(&command, WORDS("sh", "-c", make_source, "sh", source), WAIT_MS), 0);
	if (asprintf(&mounts[0], "%s:/source", source) < 0 ||
		asprintf(&mounts[1], "%s:/target:rw", target) < 0)
		abort();
}

static char *run(const char *program, const char *const *arguments)
{
	struct command monitor;
	int status = guest_run(&monitor, WORDS("--mount", mounts[0], "--mount", mounts[1]), program,
		arguments, WAIT_MS);

	if (status != 0)
		ck_abort_msg("%s: status %d\n%s", program, status, file_tail(monitor.err));
	return file_text(monitor.out, NULL);
}

/* What a script says that is given the two directories. */
static char *host_says(const char *script)
{
	struct command command;
	int status =
		command_run(&command, WORDS("sh", "-c", script, "sh", source, target), WAIT_MS);

	if (status != 0)
		ck_abort_msg("%s: status %d\n%s%s", script, status, file_tail(command.out),
			file_tail(command.err));
	return file_text(command.out, NULL);
}

START_TEST(copies)
{
	setup_trees();
	free(run("cp", WORDS("-r", "-p", "/source", "/target/copy")));
	free(host_says("diff -r --no-dereference \"$1\" \"$2/copy\""));
	char *same = host_says("list() { (cd \"$1\" && find . ! -type l -printf '%P %m %T@\\n' | "
			       "LC_ALL=C sort | tail -n +2); }; "
			       "[ \"$(list \"$1\")\" = \"$(list \"$2/copy\")\" ] && "
			       "[ $(stat -c %b \"$2/copy/sparse\") -lt 1000 ] && echo same");
	ck_assert_str_eq(same, "same\n");
	free(same);
	free(run("cp", WORDS("-R", "/source/a//", "/target/copy/empty")));
	free(host_says("diff -r \"$1/a\" \"$2/copy/empty/a\""));
	/* Within one mount, and into a directory. */
	free(run("cp", WORDS("/target/copy/big", "/target/copy/none", "/target/copy/empty")));
	free(host_says(
		"cmp \"$1/big\" \"$2/copy/empty/big\" && cmp \"$1/none\" \"$2/copy/empty/none\""));
}
END_TEST

START_TEST(hashes)
{
	setup_trees();
	char *guest = run("sha256sum", WORDS("/source/big", "/source/none", "/source/sparse",
					       "/source/a/b/file 1", "/source/a/b/file 300"));
	char *host =
		host_says("cd \"$1\" && sha256sum big none sparse 'a/b/file 1' 'a/b/file 300' | "
			  "sed 's|  |  /source/|'");
	ck_assert_str_eq(guest, host);
	char *list;
	if (asprintf(&list, "%s/list", target) < 0)
		abort();
	file_write(list, host, strlen(host));
	free(guest);
	guest = run("sha256sum", WORDS("-c", "/target/list"));
	ck_assert_str_eq(guest, "/source/big: OK\n/source/none: OK\n/source/sparse: OK\n"
				"/source/a/b/file 1: OK\n/source/a/b/file 300: OK\n");
	/* One digit is wrong. */
	struct command monitor;
	host[0] = host[0] == '0' ? '1' : '0';
	file_write(list, host, strlen(host));
	expect_equal(guest_run(&monitor, WORDS("--mount", mounts[0], "--mount", mounts[1]),
			     "sha256sum", WORDS("-c", "/target/list"), WAIT_MS),
		1);
	/* What has no hashes is not right. */
	file_write(list, "", 0);
	expect_equal(guest_run(&monitor, WORDS("--mount", mounts[1]), "sha256sum",
			     WORDS("-c", "/target/list"), WAIT_MS),
		1);
	command_expect_error(&monitor, "/target/list has no list of hashes");
	free(list);
	free(guest);
	free(host);
}
END_TEST

START_TEST(shows)
{
	setup_trees();
	char *guest = run("tree", WORDS("/source"));
	char *host = host_says(
		"cd \"$1\" && printf '%d directories, %d files, %d bytes\\n' "
		"$(find . -mindepth 1 -type d | wc -l) $(find . ! -type d -printf 'x\\n' | wc -l) "
		"$(find . -type f -printf '%s\\n' | awk '{ s += $1 } END { print s }')");
	ck_assert_msg(strstr(guest, host) != NULL, "%s is not in\n%s", host, guest);
	ck_assert(strstr(guest, "  link -> a/b/c\n") != NULL);
	ck_assert(strstr(guest, "      c/\n") != NULL);
	ck_assert(strstr(guest, "      file 300 11100\n") != NULL);
	free(guest);
	free(host);
	struct command monitor;
	expect_equal(guest_run(&monitor, WORDS("--mount", mounts[0]), "cat",
			     WORDS("/source/big", "/source/none", "/source/sparse"), WAIT_MS),
		0);
	char *script;
	if (asprintf(&script, "cd \"$1\" && cat big none sparse | cmp - %s", monitor.out) < 0)
		abort();
	free(host_says(script));
	free(script);
	expect_equal(guest_run(&monitor, WORDS("--mount", mounts[0]), "cat",
			     WORDS("/source/nothing"), WAIT_MS),
		1);
	command_expect_error(&monitor, "cannot read /source/nothing (ENOENT): ");
}
END_TEST

/* Nothing is lost, and nothing runs away. */
START_TEST(copies_onto_itself)
{
	static const char *const pairs[][3] = {{"/target/one", "/target/one", NULL},
		{"/target/one", "/target", NULL}, {"/target/one", "/target/hard", NULL},
		{"/target/one", "/target/soft", NULL}, {"/target/one", "/again/one", NULL},
		{"-r", "/target/d", "/target/d/sub"}, {"-r", "/target/d", "/target"},
		{"-r", "/target", "/target/d"}};
	char again[PATH_MAX];

	setup_trees();
	snprintf(again, sizeof(again), "%s:/again:rw", target);
	free(host_says("cd \"$2\" && echo precious > one && ln one hard && ln -s one soft && "
		       "mkdir d && echo text > d/file"));
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct command monitor;
		expect_equal(
			guest_run(&monitor, WORDS("--mount", mounts[1], "--mount", again), "cp",
				pairs[i][2] ? WORDS(pairs[i][0], pairs[i][1], pairs[i][2])
					    : WORDS(pairs[i][0], pairs[i][1]),
				WAIT_MS),
			1);
		command_expect_error(&monitor, "name another target");
	}
	char *left = host_says("cd \"$2\" && cat one hard soft d/file && find . | wc -l");
	ck_assert_str_eq(left, "precious\nprecious\nprecious\ntext\n6\n");
	free(left);
}
END_TEST

static char *tree_of(const char *path, const char *const grants[])
{
	struct command monitor;
	expect_equal(guest_run(&monitor, grants, "tree", WORDS(path), WAIT_MS), 0);
	return file_text(monitor.out, NULL);
}

/* Mounts are entries of the directories that they lie in, on the host or not, and are walked into.
 */
START_TEST(shows_mounts)
{
	char grant[4][PATH_MAX];

	setup_trees();
	free(host_says("mkdir -p \"$1/top/data\" \"$1/top/other\" \"$1/a1\" && "
		       "echo 123 >\"$1/a1/f\" && echo 1 >\"$1/top/data/hidden\""));
	snprintf(grant[0], PATH_MAX, "%s/a1:/data", source);
	snprintf(grant[1], PATH_MAX, "%s/a1:/srv/deep/b", source);
	snprintf(grant[2], PATH_MAX, "%s/top:/", source);
	snprintf(grant[3], PATH_MAX, "%s/a1:/other/c", source);
	char *tree = tree_of("/", WORDS("--mount", grant[0], "--mount", grant[1]));
	ck_assert_str_eq(tree, "/\n  data/\n    f 4\n  srv/\n    deep/\n      b/\n        f 4\n"
			       "4 directories, 2 files, 8 bytes\n");
	free(tree);
	tree = tree_of("/srv", WORDS("--mount", grant[0], "--mount", grant[1]));
	ck_assert_str_eq(
		tree, "/srv\n  deep/\n    b/\n      f 4\n2 directories, 1 files, 4 bytes\n");
	free(tree);
	/* In the host's directories likewise: one of a name that the host has too, and one of a
	 * new name. What the host does not have on the way to a mount is not there. */
	tree = tree_of("/", WORDS("--mount", grant[0], "--mount", grant[1], "--mount", grant[2],
				    "--mount", grant[3]));
	ck_assert_str_eq(tree, "/\n  data/\n    f 4\n  other/\n    c/\n      f 4\n"
			       "3 directories, 2 files, 8 bytes\n");
	free(tree);
	struct command monitor;
	expect_equal(guest_run(&monitor, WORDS("--mount", grant[1], "--mount", mounts[1]), "cp",
			     WORDS("-r", "/srv", "/target/srv"), WAIT_MS),
		0);
	free(host_says("cmp \"$1/a1/f\" \"$2/srv/deep/b/f\""));
	/* Nothing can be made above mounts. */
	expect_equal(guest_run(&monitor, WORDS("--mount", grant[0], "--mount", grant[1]), "cp",
			     WORDS("/data/f", "/srv"), WAIT_MS),
		1);
}
END_TEST

START_TEST(exercises)
{
	char operations[16];

	setup_trees();
	snprintf(operations, sizeof(operations), "%u", scale(5000, 100000));
	char *says = run("fsx", WORDS("--operations", operations, "/target/fsx"));
	ck_assert(strstr(says, "no difference") != NULL);
	free(says);
}
END_TEST

static const struct integration_test tests[] = {
	{&copies, 90},
	{&copies_onto_itself, 90},
	{&hashes, 90},
	{&shows, 90},
	{&shows_mounts, 90},
	{&exercises, 120},
};

INTEGRATION_MAIN("file_programs", tests, NULL)
