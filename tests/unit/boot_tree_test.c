/* Archives in memory, whole, odd and damaged, and one that cpio made. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/stream/boot_tree.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

static unsigned char archive[1 << 16];
static size_t archive_len;
static struct boot_tree tree;

static void pad(void)
{
	while (archive_len % 4 != 0)
		archive[archive_len++] = 0;
}

static void put(const char *name, unsigned mode, unsigned inode, unsigned nlink, const char *data)
{
	archive_len += (size_t)sprintf((char *)archive + archive_len,
		"070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", inode, mode, 1, 2,
		nlink, 1000, strlen(data), 0, 0, 0, 0, strlen(name) + 1, 0);
	memcpy(archive + archive_len, name, strlen(name) + 1);
	archive_len += strlen(name) + 1;
	pad();
	memcpy(archive + archive_len, data, strlen(data));
	archive_len += strlen(data);
	pad();
}

static void put_all(void)
{
	archive_len = 0;
	put(".", 0040755, 1, 2, "");
	put("./a.txt", 0100644, 2, 1, "old");
	put("dir/sub/deep", 0100600, 3, 1, "deep");
	put("dir-", 0100644, 4, 1, "-");
	put("/dir.x", 0100644, 5, 1, ".");
	put("a.txt", 0100644, 6, 1, "new text");
	put("hard1", 0100644, 7, 2, "");
	put("hard2", 0100644, 7, 2, "shared");
	put("link", 0120777, 8, 1, "dir/sub");
	put("up", 0120777, 9, 1, "../../a.txt");
	put("absolute", 0120777, 10, 1, "/dir/sub/deep");
	put("loop", 0120777, 11, 1, "loop");
	put("nowhere", 0120777, 12, 1, "none");
	put("fifo", 0010644, 13, 1, "");
	put("../out", 0100644, 14, 1, "out");
	put("TRAILER!!!", 0, 0, 1, "");
}

static int find(const char *path, bool follow, const char *text)
{
	const struct boot_node *node;
	int error = boot_tree_find(&tree, NULL, path, follow, &node);

	if (error == 0 && text != NULL) {
		expect_equal(node->attributes.size, strlen(text));
		expect(memcmp(node->data, text, strlen(text)) == 0);
	}
	return error;
}

START_TEST(paths_lead_there)
{
	put_all();
	expect_equal(boot_tree_read(&tree, archive, archive_len), 0);
	expect_equal(find("a.txt", true, "new text"), 0);
	expect_equal(find("/a.txt", true, "new text"), 0);
	expect_equal(find("dir/sub/deep", true, "deep"), 0);
	expect_equal(find("dir//./sub/../sub/deep", true, "deep"), 0);
	expect_equal(find("link/deep", false, "deep"), 0);
	expect_equal(find("link/../sub/deep", false, "deep"), 0);
	expect_equal(find("link", false, "dir/sub"), 0);
	expect_equal(find("up", true, "new text"), 0);
	expect_equal(find("absolute", true, "deep"), 0);
	expect_equal(find("hard1", true, "shared"), 0);
	expect_equal(find("out", true, "out"), 0);
	expect_equal(find("../../../out", true, "out"), 0);
	expect_equal(find("loop", true, NULL), -ELOOP);
	expect_equal(find("nowhere", true, NULL), -ENOENT);
	expect_equal(find("nowhere", false, "none"), 0);
	expect_equal(find("none", true, NULL), -ENOENT);
	expect_equal(find("a.txt/x", true, NULL), -ENOTDIR);
	expect_equal(find("a.txt/", true, NULL), -ENOTDIR);
	expect_equal(find("", true, NULL), -ENOENT);
	expect_equal(find("/", true, NULL), 0);
	const struct boot_node *dir, *node;
	expect_equal(boot_tree_find(&tree, NULL, "dir", true, &dir), 0);
	expect_equal(dir->attributes.mode, 0040555);
	expect_equal(boot_tree_find(&tree, dir, "sub/deep", true, &node), 0);
	expect_equal(node->attributes.mode, 0100600);
	expect_equal(node->attributes.uid, 1);
	expect_equal(node->attributes.mtime_s, 1000);
	boot_tree_free(&tree);
}
END_TEST

static void expect_list(const char *path, const char *wanted)
{
	const struct boot_node *dir, *entry = NULL;
	char names[512] = "";

	expect_equal(boot_tree_find(&tree, NULL, path, true, &dir), 0);
	while ((entry = boot_tree_next(&tree, dir, entry)) != NULL)
		sprintf(names + strlen(names), "%s ", boot_node_name(entry));
	ck_assert_str_eq(names, wanted);
}

START_TEST(directories_list_what_is_right_in_them)
{
	put_all();
	expect_equal(boot_tree_read(&tree, archive, archive_len), 0);
	expect_list(
		"/", "a.txt absolute dir dir- dir.x fifo hard1 hard2 link loop nowhere out up ");
	expect_list("dir", "sub ");
	expect_list("dir/sub", "deep ");
	boot_tree_free(&tree);
}
END_TEST

/* Each once, with those above it. */
START_TEST(directories_alone)
{
	static const char *const directories[] = {
		"/srv/deep/b", "/data", "/srv-x", "/", "/data", "/srv"};

	expect_equal(boot_tree_of_directories(&tree, directories, 6), 0);
	expect_list("/", "data srv srv-x ");
	expect_list("/srv", "deep ");
	expect_list("/srv/deep", "b ");
	expect_list("/srv/deep/b", "");
	expect(boot_tree_at(&tree, "srv/deep") != NULL);
	expect(boot_tree_at(&tree, "srv/dee") == NULL);
	boot_tree_free(&tree);
	expect_equal(boot_tree_of_directories(&tree, directories, 0), 0);
	expect_list("/", "");
	boot_tree_free(&tree);
}
END_TEST

/* Cut at every byte, and with bytes changed: refused, or read as something else, never beyond its
 * end. */
START_TEST(damaged_archives_do_no_harm)
{
	struct random random = {random_seed()};

	put_all();
	for (size_t cut = 0; cut < archive_len; cut++) {
		unsigned char *copy = malloc(cut + 1);
		memcpy(copy, archive, cut);
		unsigned char *exact = realloc(copy, cut > 0 ? cut : 1);
		int error = boot_tree_read(&tree, exact, cut);
		expect(error == -EBADMSG || cut + 4 >= archive_len);
		boot_tree_free(&tree);
		free(exact);
	}
	for (unsigned round = 0; round < 20000; round++) {
		unsigned char *copy = malloc(archive_len);
		memcpy(copy, archive, archive_len);
		for (unsigned i = 0; i < 3; i++)
			copy[random_below(&random, archive_len)] =
				(unsigned char)random_next(&random);
		if (boot_tree_read(&tree, copy, archive_len) == 0) {
			find("dir/sub/deep", true, NULL);
			find("up", true, NULL);
			for (size_t i = 0; i < tree.count; i++)
				boot_tree_next(&tree, &tree.node[0], i > 0 ? &tree.node[i] : NULL);
		}
		boot_tree_free(&tree);
		free(copy);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("boot_tree");
	TCase *tcase = tcase_create("boot_tree");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, paths_lead_there);
	tcase_add_test(tcase, directories_list_what_is_right_in_them);
	tcase_add_test(tcase, directories_alone);
	tcase_add_test(tcase, damaged_archives_do_no_harm);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
