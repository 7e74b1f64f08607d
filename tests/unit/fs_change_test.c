/*
 * Making, removing and renaming below a mount: the names that Linux takes, and what it makes of
 * slashes and dots.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/fs_path.h"
#include "tests/lib/fs_tree.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

START_TEST(longest_names_and_paths)
{
	char name[FS_NAME_MAX + 2], path[FS_PATH_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[FS_NAME_MAX] = 0;
	expect_equal(fs_tree_open(name, FS_OPEN_WRITE | FS_OPEN_CREATE), 0);
	expect_equal(fs_tree_stat(name), 0);
	expect_equal(fs_path_unlink(fs_tree.mount, name, false), 0);
	expect_equal(fs_path_mkdir(fs_tree.mount, name, 0755), 0);
	expect_equal(fs_path_unlink(fs_tree.mount, name, true), 0);
	name[FS_NAME_MAX] = 'n';
	name[FS_NAME_MAX + 1] = 0;
	expect_equal(fs_tree_open(name, FS_OPEN_WRITE | FS_OPEN_CREATE), -ENAMETOOLONG);
	expect_equal(fs_tree_stat(name), -ENAMETOOLONG);
	expect_equal(fs_path_mkdir(fs_tree.mount, name, 0755), -ENAMETOOLONG);
	expect_equal(fs_path_rename(fs_tree.mount, "file", fs_tree.mount, name, 0), -ENAMETOOLONG);

	for (size_t len = FS_PATH_MAX; len <= FS_PATH_MAX + 1; len++) {
		int wanted = len == FS_PATH_MAX ? 0 : -ENAMETOOLONG;
		for (size_t i = 0; i < len - 4; i++)
			path[i] = i % 2 == len % 2 ? '.' : '/';
		path[0] = '.';
		path[1] = '/';
		strcpy(path + len - 4, "file");
		path[len - 5] = '/';
		expect_equal(strlen(path), len);
		expect_equal(fs_tree_open(path, FS_OPEN_READ), wanted);
		expect_equal(fs_tree_stat(path), wanted);
		strcpy(path + len - 4, "newd");
		expect_equal(fs_path_mkdir(fs_tree.mount, path, 0755), wanted);
	}
}
END_TEST

START_TEST(any_bytes_are_a_name)
{
	static const char *const name[] = {
		"\xff\xfe", "\n", "\x01\x7f", " ", "\xc3\x28", "...", "..a", "-rf"};

	for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		expect_equal(
			fs_tree_open(name[i], FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE),
			0);
		expect(fs_tree_has(fs_tree.mount, name[i]));
		expect_equal(fs_path_unlink(fs_tree.mount, name[i], false), 0);
	}
}
END_TEST

START_TEST(empty_paths_and_dots)
{
	expect_equal(fs_tree_open("", FS_OPEN_READ), -ENOENT);
	expect_equal(fs_tree_open("", FS_OPEN_WRITE | FS_OPEN_CREATE), -ENOENT);
	expect_equal(fs_tree_stat(""), -ENOENT);
	expect_equal(fs_tree_open(".", FS_OPEN_READ | FS_OPEN_DIRECTORY), 0);
	expect_equal(fs_tree_open("./", FS_OPEN_DIRECTORY), 0);
	expect_equal(fs_tree_stat("."), 0);
	expect_equal(fs_path_mkdir(fs_tree.mount, "", 0755), -ENOENT);
	expect_equal(fs_path_unlink(fs_tree.mount, "", true), -ENOENT);
	expect_equal(fs_path_rename(fs_tree.mount, "", fs_tree.mount, "x", 0), -ENOENT);
	expect_equal(fs_path_rename(fs_tree.mount, "file", fs_tree.mount, "", 0), -ENOENT);
	expect_equal(fs_path_mkdir(fs_tree.mount, "../..//", 0755), -EXDEV);
	static const char *const dots[] = {
		".", "..", "./", "../", "dir/.", "dir/..", "dir/../"};
	for (unsigned i = 0; i < sizeof(dots) / sizeof(dots[0]); i++) {
		bool up = strstr(dots[i], "..") != NULL;
		expect_equal(fs_path_mkdir(fs_tree.mount, dots[i], 0755), -EEXIST);
		expect_equal(
			fs_path_unlink(fs_tree.mount, dots[i], true), up ? -ENOTEMPTY : -EINVAL);
		expect_equal(fs_path_unlink(fs_tree.mount, dots[i], false), -EISDIR);
		expect_equal(fs_path_rename(fs_tree.mount, dots[i], fs_tree.mount, "x", 0), -EBUSY);
		expect_equal(
			fs_path_rename(fs_tree.mount, "file", fs_tree.mount, dots[i], 0), -EBUSY);
		expect_equal(fs_path_link(fs_tree.mount, "file", fs_tree.mount, dots[i]), -EEXIST);
		expect_equal(fs_path_symlink("file", fs_tree.mount, dots[i]), -EEXIST);
	}
}
END_TEST

START_TEST(trailing_slashes_mean_a_directory)
{
	expect_equal(fs_tree_open("file/", FS_OPEN_READ), -ENOTDIR);
	expect_equal(fs_tree_stat("file/"), -ENOTDIR);
	expect_equal(fs_tree_open("dir///", FS_OPEN_READ), 0);
	expect_equal(fs_tree_open("new/", FS_OPEN_WRITE | FS_OPEN_CREATE), -EISDIR);
	expect_equal(fs_path_mkdir(fs_tree.mount, "made//", 0755), 0);
	expect_equal(fs_path_rename(fs_tree.mount, "made/", fs_tree.mount, "moved/", 0), 0);
	expect_equal(fs_path_rename(fs_tree.mount, "file/", fs_tree.mount, "x", 0), -ENOTDIR);
	expect_equal(fs_path_unlink(fs_tree.mount, "moved/", true), 0);
	expect_equal(fs_path_unlink(fs_tree.mount, "file/", false), -ENOTDIR);
	expect_equal(fs_path_unlink(fs_tree.mount, "to-file/", false), -ENOTDIR);
	/* The link is not followed. */
	expect_equal(fs_path_unlink(fs_tree.mount, "to-dir/", true), -ENOTDIR);
	expect_equal(fs_path_mkdir(fs_tree.mount, "to-nothing/", 0755), -EEXIST);
	expect(fs_tree_has(fs_tree.mount, "dir") && fs_tree_has(fs_tree.mount, "file"));
}
END_TEST

START_TEST(names_change_where_they_are)
{
	expect_equal(fs_path_mkdir(fs_tree.mount, "dir", 0755), -EEXIST);
	expect_equal(fs_path_mkdir(fs_tree.mount, "to-nothing", 0755), -EEXIST);
	expect_equal(fs_path_mkdir(fs_tree.mount, "nothing/x", 0755), -ENOENT);
	expect_equal(fs_path_mkdir(fs_tree.mount, "file/x", 0755), -ENOTDIR);
	expect_equal(fs_path_mkdir(fs_tree.mount, "to-dir/made", 07777), 0);
	struct stat stat;
	expect_equal(fstatat(fs_tree.mount, "dir/made", &stat, 0), 0);
	expect_equal(stat.st_mode & 07777, 0755);
	expect_equal(fs_path_unlink(fs_tree.mount, "dir", true), -ENOTEMPTY);
	expect_equal(fs_path_unlink(fs_tree.mount, "dir", false), -EISDIR);
	expect_equal(fs_path_unlink(fs_tree.mount, "file", true), -ENOTDIR);
	expect_equal(fs_path_rename(fs_tree.mount, "dir", fs_tree.mount, "dir/sub/x", 0), -EINVAL);
	expect_equal(
		fs_path_rename(fs_tree.mount, "to-secret", fs_tree.mount, "dir/to-secret", 0), 0);
	expect_equal(fs_path_unlink(fs_tree.mount, "dir/to-secret", false), 0);
	expect_equal(
		fs_path_rename(fs_tree.mount, "file", fs_tree.mount, "to-secret-absolute", 0), 0);
	expect_equal(fs_tree_read_is(fs_tree.mount, "to-secret-absolute", 0, "hello"), 0);
	expect_equal(fs_path_unlink(fs_tree.mount, "to-outside", false), 0);
	expect_equal(fs_tree_read_is(fs_tree.outside, "secret", 0, "outside"), 0);
}
END_TEST

START_TEST(files_are_made_as_asked)
{
	const uint32_t make = FS_OPEN_WRITE | FS_OPEN_CREATE;
	struct fs_attributes attributes;
	int fd;

	expect_equal(fs_path_open(fs_tree.mount, "new", make, 07666, &fd, &attributes), 0);
	expect_equal(attributes.mode, S_IFREG | 0644);
	expect_equal(write(fd, "four", 4), 4);
	close(fd);
	expect_equal(fs_tree_open("new", make | FS_OPEN_EXCLUSIVE), -EEXIST);
	expect_equal(fs_tree_read_is(fs_tree.mount, "new", FS_OPEN_CREATE, "four"), 0);
	expect_equal(fs_path_open(fs_tree.mount, "new", FS_OPEN_WRITE | FS_OPEN_APPEND, 0, &fd,
			     &attributes),
		0);
	expect_equal(attributes.size, 4);
	expect_equal(pwrite(fd, "more", 4, 0), 4);
	close(fd);
	expect_equal(fs_tree_read_is(fs_tree.mount, "new", 0, "fourmore"), 0);
	expect_equal(
		fs_path_open(fs_tree.mount, "new", make | FS_OPEN_TRUNCATE, 0, &fd, &attributes),
		0);
	expect_equal(attributes.size, 0);
	close(fd);
	expect_equal(fs_tree_open("dir", FS_OPEN_WRITE), -EISDIR);
	expect_equal(fs_tree_open("dir", FS_OPEN_READ | FS_OPEN_CREATE), -EISDIR);
	expect_equal(fs_tree_open("file", FS_OPEN_READ | FS_OPEN_DIRECTORY), -ENOTDIR);
	expect_equal(fs_tree_open("nothing/new", make), -ENOENT);
	expect_equal(fs_tree_open("file/new", make), -ENOTDIR);
}
END_TEST

START_TEST(flags_that_open_does_not_have)
{
	static const struct {
		uint32_t flags;
		int result;
	} rows[] = {
		{0, -EINVAL},
		{FS_OPEN_READ, 0},
		{FS_OPEN_WRITE, 0},
		{FS_OPEN_READ | FS_OPEN_WRITE, 0},
		{FS_OPEN_CREATE, -EINVAL},
		{FS_OPEN_READ | FS_OPEN_CREATE, 0},
		{FS_OPEN_WRITE | FS_OPEN_EXCLUSIVE, -EINVAL},
		{FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE, 0},
		{FS_OPEN_READ | FS_OPEN_TRUNCATE, -EINVAL},
		{FS_OPEN_READ | FS_OPEN_APPEND, -EINVAL},
		{FS_OPEN_READ | FS_OPEN_DIRECTORY | FS_OPEN_NOFOLLOW, 0},
		{FS_OPEN_READ | FS_OPEN_DIRECTORY | FS_OPEN_CREATE, -EINVAL},
		{FS_OPEN_READ | 1u << 8, -EINVAL},
		{UINT32_MAX, -EINVAL},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_equal(fs_path_flags_check(rows[i].flags), rows[i].result);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_change");
	TCase *change = tcase_create("change");

	tcase_add_checked_fixture(change, fs_tree_setup, fs_tree_teardown);
	tcase_add_test(change, longest_names_and_paths);
	tcase_add_test(change, any_bytes_are_a_name);
	tcase_add_test(change, empty_paths_and_dots);
	tcase_add_test(change, trailing_slashes_mean_a_directory);
	tcase_add_test(change, names_change_where_they_are);
	tcase_add_test(change, files_are_made_as_asked);
	tcase_add_test(change, flags_that_open_does_not_have);
	suite_add_tcase(suite, change);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
