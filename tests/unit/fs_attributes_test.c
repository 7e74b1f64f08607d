/*
 * Attributes, links, extended attributes and lists with attributes, each request by itself, from
 * the guest's end of a stream and compared with what the host sees.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

static struct guest_stream fs;

static void setup(void)
{
	fs_guest_setup();
	file_write(fs_guest_host_path("file"), "hello", 5);
	expect_equal(mkdir(fs_guest_host_path("dir"), 0755), 0);
	expect_equal(symlink("file", fs_guest_host_path("link")), 0);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}

static struct stat host_stat(const char *name)
{
	struct stat now;

	expect_equal(lstat(fs_guest_host_path(name), &now), 0);
	return now;
}

/* ---- attributes */

static int set(const char *path, struct fs_set_attributes change)
{
	struct fs_attributes attributes;

	change.path = fs_guest_bytes(path);
	return fs_guest_call(&fs, FS_SET_ATTRIBUTES, &change, &attributes);
}

START_TEST(attributes_are_set)
{
	struct fs_set_attributes all = {
		.set = FS_SET_MODE | FS_SET_SIZE | FS_SET_ATIME | FS_SET_MTIME,
		.mode = 0600,
		.size = 3,
		.atime_s = 1000,
		.atime_ns = 999999999,
		.mtime_s = (uint64_t)-5,
		.mtime_ns = 7,
		.path = fs_guest_bytes("file")};
	struct fs_attributes answer;

	expect_equal(fs_guest_call(&fs, FS_SET_ATTRIBUTES, &all, &answer), 0);
	struct stat now = host_stat("file");
	expect_equal(now.st_mode & 07777, 0600);
	expect_equal(now.st_size, 3);
	expect_equal(now.st_atim.tv_sec, 1000);
	expect_equal(now.st_atim.tv_nsec, 999999999);
	expect_equal(now.st_mtim.tv_sec, -5);
	expect_equal(now.st_mtim.tv_nsec, 7);
	expect_equal(answer.size, 3);
	expect_equal(answer.mode, now.st_mode);
	expect_equal(set("file", (struct fs_set_attributes){.set = FS_SET_MTIME_NOW}), 0);
	now = host_stat("file");
	expect(now.st_mtim.tv_sec > 1000 && now.st_atim.tv_sec == 1000);
	expect_equal(set("dir", (struct fs_set_attributes){.set = FS_SET_MODE, .mode = 01777}), 0);
	expect_equal(host_stat("dir").st_mode & 07777, 01777);
	expect_equal(
		set("file", (struct fs_set_attributes){.set = FS_SET_SIZE, .size = 1 << 20}), 0);
	expect_equal(host_stat("file").st_size, 1 << 20);
}
END_TEST

START_TEST(links_are_followed_or_not)
{
	struct fs_set_attributes times = {.set = FS_SET_MTIME, .mtime_s = 77};

	expect_equal(set("link", times), 0);
	expect_equal(host_stat("file").st_mtim.tv_sec, 77);
	expect(host_stat("link").st_mtim.tv_sec != 77);
	times.flags = FS_AT_NOFOLLOW;
	times.mtime_s = 88;
	expect_equal(set("link", times), 0);
	expect_equal(host_stat("file").st_mtim.tv_sec, 77);
	expect_equal(host_stat("link").st_mtim.tv_sec, 88);
	struct fs_set_attributes mode = {.flags = FS_AT_NOFOLLOW, .set = FS_SET_MODE, .mode = 0600};
	expect_equal(set("link", mode), ENOTSUP);
	struct fs_set_attributes size = {.flags = FS_AT_NOFOLLOW, .set = FS_SET_SIZE};
	expect_equal(set("link", size), ELOOP);
	expect_equal(host_stat("file").st_size, 5);
}
END_TEST

START_TEST(owners_are_set_where_permitted)
{
	struct fs_set_attributes owner = {.set = FS_SET_UID | FS_SET_GID, .uid = 12, .gid = 34};

	if (geteuid() != 0) {
		expect_equal(set("file", owner), EPERM);
		return;
	}
	expect_equal(set("file", owner), 0);
	expect_equal(host_stat("file").st_uid, 12);
	expect_equal(host_stat("file").st_gid, 34);
	owner = (struct fs_set_attributes){.set = FS_SET_GID, .uid = 99, .gid = 35};
	expect_equal(set("file", owner), 0);
	expect_equal(host_stat("file").st_uid, 12);
	expect_equal(host_stat("file").st_gid, 35);
}
END_TEST

START_TEST(attributes_that_cannot_be_set)
{
	static const struct {
		struct fs_set_attributes change;
		int error;
	} rows[] = {
		{{.set = FS_SET_KNOWN + 1}, EINVAL},
		{{.flags = 4}, EINVAL},
		{{.flags = FS_AT_HANDLE}, EINVAL},
		{{.set = FS_SET_MODE, .mode = 04755}, EPERM},
		{{.set = FS_SET_MODE, .mode = 02755}, EPERM},
		{{.set = FS_SET_MODE, .mode = S_IFREG | 0755}, EPERM},
		{{.set = FS_SET_SIZE, .size = UINT64_MAX}, EINVAL},
		{{.set = FS_SET_SIZE, .size = INT64_MAX}, EFBIG},
		{{.set = FS_SET_ATIME, .atime_ns = 1000000000}, EINVAL},
		{{.set = FS_SET_MTIME, .mtime_ns = UINT32_MAX}, EINVAL},
		{{.set = FS_SET_ATIME | FS_SET_ATIME_NOW}, EINVAL},
		{{.set = FS_SET_MTIME | FS_SET_MTIME_NOW}, EINVAL},
	};
	struct stat before = host_stat("file");

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_equal(set("file", rows[i].change), rows[i].error);
	struct stat after = host_stat("file");
	expect_equal(after.st_mode, before.st_mode);
	expect_equal(after.st_size, before.st_size);
	expect_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	expect_equal(set("dir", (struct fs_set_attributes){.set = FS_SET_SIZE}), EISDIR);
	expect_equal(set("nothing", (struct fs_set_attributes){.set = FS_SET_SIZE}), ENOENT);
	expect_equal(mkfifo(fs_guest_host_path("fifo"), 0600), 0);
	expect_equal(set("fifo", (struct fs_set_attributes){.set = FS_SET_SIZE}), EINVAL);
	expect_equal(set("fifo", (struct fs_set_attributes){.set = FS_SET_MODE, .mode = 0644}), 0);
}
END_TEST

/* What has no name left, too. */
START_TEST(attributes_by_handle)
{
	uint32_t writer = fs_guest_handle(&fs, "file", FS_OPEN_WRITE);
	uint32_t reader = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	uint32_t directory = fs_guest_handle(&fs, "dir", FS_OPEN_DIRECTORY);
	struct fs_unlink gone = {.path = fs_guest_bytes("file")};
	struct fs_attributes answer;

	expect_equal(fs_guest_call(&fs, FS_UNLINK, &gone, NULL), 0);
	struct fs_set_attributes change = {.directory = writer,
		.flags = FS_AT_HANDLE,
		.set = FS_SET_SIZE | FS_SET_MODE,
		.mode = 0640,
		.size = 2};
	expect_equal(fs_guest_call(&fs, FS_SET_ATTRIBUTES, &change, &answer), 0);
	expect_equal(answer.size, 2);
	expect_equal(answer.mode & 07777, 0640);
	expect_equal(answer.nlink, 0);
	change.directory = reader;
	expect_equal(fs_guest_call(&fs, FS_SET_ATTRIBUTES, &change, &answer), EINVAL);
	change.set = FS_SET_MODE;
	expect_equal(fs_guest_call(&fs, FS_SET_ATTRIBUTES, &change, &answer), 0);
	change.directory = directory;
	expect_equal(fs_guest_call(&fs, FS_SET_ATTRIBUTES, &change, &answer), 0);
	expect_equal(host_stat("dir").st_mode & 07777, 0640);
	change.directory = 4711;
	expect_equal(fs_guest_call(&fs, FS_SET_ATTRIBUTES, &change, &answer), EBADF);
}
END_TEST

START_TEST(file_systems_are_told)
{
	struct fs_stat_system ask = {.handle = 0};
	struct fs_system told;
	struct statfs host;

	expect_equal(fs_guest_call(&fs, FS_STAT_SYSTEM, &ask, &told), 0);
	expect_equal(statfs(fs_guest_host_path("."), &host), 0);
	expect_equal(told.blocks, host.f_blocks);
	expect_equal(told.block_size, host.f_bsize);
	expect_equal(told.files, host.f_files);
	expect_equal(told.name_max, host.f_namelen);
	expect_equal(told.type, host.f_type);
	expect_equal(told.flags, FS_MOUNTED_WRITABLE);
	expect(told.available <= told.free && told.free <= told.blocks);
	struct guest_stream reader = fs_guest_open("/ro", 4096, 4096, NULL);
	expect_equal(fs_guest_call(&reader, FS_STAT_SYSTEM, &ask, &told), 0);
	expect_equal(told.flags, 0);
	guest_stream_close(&reader);
	ask.handle = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	expect_equal(fs_guest_call(&fs, FS_STAT_SYSTEM, &ask, &told), 0);
	ask.handle = 4711;
	expect_equal(fs_guest_call(&fs, FS_STAT_SYSTEM, &ask, &told), EBADF);
}
END_TEST

/* ---- links and names */

static int make_link(const char *from, const char *to)
{
	struct fs_link link = {.from = fs_guest_bytes(from), .to = fs_guest_bytes(to)};

	return fs_guest_call(&fs, FS_LINK, &link, NULL);
}

START_TEST(hard_links)
{
	expect_equal(make_link("file", "dir/other"), 0);
	expect_equal(host_stat("dir/other").st_ino, host_stat("file").st_ino);
	expect_equal(host_stat("file").st_nlink, 2);
	/* The symbolic link itself. */
	expect_equal(make_link("link", "link2"), 0);
	expect_equal(host_stat("link2").st_ino, host_stat("link").st_ino);
	expect_equal(make_link("file", "dir/other"), EEXIST);
	expect_equal(make_link("file", "link"), EEXIST);
	expect_equal(make_link("dir", "dir2"), EPERM);
	expect_equal(make_link("nothing", "x"), ENOENT);
	expect_equal(make_link("file/", "x"), ENOTDIR);
	expect_equal(make_link("file", "nothing/x"), ENOENT);
	expect_equal(make_link("file", "dir/."), EEXIST);
	expect_equal(make_link("", "x"), ENOENT);
}
END_TEST

static int make_symlink(const char *target, const char *path)
{
	struct fs_symlink link = {.target = fs_guest_bytes(target), .path = fs_guest_bytes(path)};

	return fs_guest_call(&fs, FS_SYMLINK, &link, NULL);
}

static int read_link(const char *path, const char *text)
{
	struct fs_read_link read = {.path = fs_guest_bytes(path)};
	struct fs_data data;
	int error = fs_guest_call(&fs, FS_READ_LINK, &read, &data);

	if (error == 0) {
		expect_equal(data.data.len, strlen(text));
		expect(memcmp(data.data.data, text, data.data.len) == 0);
	}
	return error;
}

START_TEST(symbolic_links)
{
	char longest[FS_PATH_MAX + 1], host[64];

	expect_equal(make_symlink("../anything\xff/at all", "new"), 0);
	expect(readlink(fs_guest_host_path("new"), host, sizeof(host)) == 19);
	expect_equal(read_link("new", "../anything\xff/at all"), 0);
	expect_equal(read_link("link", "file"), 0);
	expect_equal(read_link("file", ""), EINVAL);
	expect_equal(read_link("dir", ""), EINVAL);
	expect_equal(read_link(".", ""), EINVAL);
	expect_equal(read_link("nothing", ""), ENOENT);
	expect_equal(read_link("", ""), ENOENT);
	expect_equal(read_link("link/", ""), ENOTDIR);
	expect_equal(make_symlink("x", "file"), EEXIST);
	expect_equal(make_symlink("x", "new"), EEXIST);
	expect_equal(make_symlink("", "empty"), ENOENT);
	expect_equal(make_symlink("x", "nothing/new"), ENOENT);
	memset(longest, 'l', FS_PATH_MAX);
	longest[FS_PATH_MAX] = 0;
	expect_equal(make_symlink(longest, "long"), 0);
	expect_equal(read_link("long", longest), 0);
}
END_TEST

static int rename_with(const char *from, const char *to, uint32_t flags)
{
	struct fs_rename rename = {
		.flags = flags, .from = fs_guest_bytes(from), .to = fs_guest_bytes(to)};

	return fs_guest_call(&fs, FS_RENAME, &rename, NULL);
}

START_TEST(renames_with_flags)
{
	ino_t file = host_stat("file").st_ino, dir = host_stat("dir").st_ino;

	expect_equal(rename_with("file", "dir", FS_RENAME_NOREPLACE), EEXIST);
	expect_equal(rename_with("file", "link", FS_RENAME_NOREPLACE), EEXIST);
	expect_equal(rename_with("file", "new", FS_RENAME_NOREPLACE), 0);
	expect_equal(host_stat("new").st_ino, file);
	expect_equal(rename_with("new", "dir", FS_RENAME_EXCHANGE), 0);
	expect_equal(host_stat("new").st_ino, dir);
	expect_equal(host_stat("dir").st_ino, file);
	expect_equal(rename_with("new", "nothing", FS_RENAME_EXCHANGE), ENOENT);
	expect_equal(rename_with("new", "dir", FS_RENAME_KNOWN), EINVAL);
	expect_equal(rename_with("new", "dir", 1u << 5), EINVAL);
}
END_TEST

START_TEST(many_handles_are_closed_at_once)
{
	uint32_t handles[1000];
	struct fs_close all = {.more = {handles + 1, sizeof(handles) - sizeof(handles[0])}};

	for (unsigned i = 0; i < 1000; i++)
		handles[i] = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	all.handle = handles[0];
	expect_equal(fs_guest_call(&fs, FS_CLOSE, &all, NULL), 0);
	for (unsigned i = 0; i < 1000; i++)
		expect_equal(fs_guest_close(&fs, handles[i]), EBADF);
	handles[0] = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	handles[2] = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	all = (struct fs_close){.handle = handles[0], .more = {handles + 1, 8}};
	expect_equal(fs_guest_call(&fs, FS_CLOSE, &all, NULL), EBADF);
	expect_equal(fs_guest_close(&fs, handles[2]), EBADF);
	all.more.len = 7;
	expect_equal(fs_guest_call(&fs, FS_CLOSE, &all, NULL), EPROTO);
}
END_TEST

/* ---- extended attributes */

static int set_xattr(const char *path, const char *name, size_t len, uint32_t flags)
{
	static unsigned char value[FS_XATTR_MAX + 1];
	struct fs_set_xattr request = {.flags = flags,
		.name = fs_guest_bytes(name),
		.path = fs_guest_bytes(path),
		.value = {value, len}};

	memset(value, 'v', sizeof(value));
	fs_guest_send_frame(&fs, FS_SET_XATTR, 0, 1, &request);
	return (int)fs_guest_receive(&fs).frame.error;
}

/* The errno, or minus the length. */
static long get_xattr(const char *path, const char *name, uint32_t flags)
{
	struct fs_get_xattr request = {
		.flags = flags, .name = fs_guest_bytes(name), .path = fs_guest_bytes(path)};
	struct fs_data data;
	int error = fs_guest_call(&fs, FS_GET_XATTR, &request, &data);

	for (size_t i = 0; error == 0 && i < data.data.len; i++)
		expect(((const char *)data.data.data)[i] == 'v');
	return error ? error : -(long)data.data.len;
}

static int remove_xattr(const char *path, const char *name)
{
	struct fs_get_xattr request = {.name = fs_guest_bytes(name), .path = fs_guest_bytes(path)};

	return fs_guest_call(&fs, FS_REMOVE_XATTR, &request, NULL);
}

static void expect_names(const char *path, const char *names, size_t len)
{
	struct fs_list_xattrs request = {.path = fs_guest_bytes(path)};
	struct fs_data data;

	expect_equal(fs_guest_call(&fs, FS_LIST_XATTRS, &request, &data), 0);
	expect_equal(data.data.len, len);
	expect(memcmp(data.data.data, names, len) == 0);
}

START_TEST(extended_attributes)
{
	char value[16];

	expect_names("file", "", 0);
	expect_equal(set_xattr("file", "user.one", 5, 0), 0);
	expect_equal(getxattr(fs_guest_host_path("file"), "user.one", value, sizeof(value)), 5);
	expect_equal(get_xattr("file", "user.one", 0), -5);
	expect_equal(get_xattr("link", "user.one", 0), -5);
	expect_equal(set_xattr("file", "user.one", 0, FS_XATTR_REPLACE), 0);
	expect_equal(get_xattr("file", "user.one", 0), 0);
	expect_equal(set_xattr("file", "user.one", 1, FS_XATTR_CREATE), EEXIST);
	expect_equal(set_xattr("file", "user.two", 1, FS_XATTR_REPLACE), ENODATA);
	expect_equal(set_xattr("dir", "user.of a directory", 100, FS_XATTR_CREATE), 0);
	expect_equal(get_xattr("dir", "user.of a directory", 0), -100);
	expect_names("file", "user.one", 9);
	expect_equal(remove_xattr("file", "user.one"), 0);
	expect_equal(remove_xattr("file", "user.one"), ENODATA);
	expect_equal(get_xattr("file", "user.one", 0), ENODATA);
	expect_equal(get_xattr("nothing", "user.one", 0), ENOENT);
	expect_equal(set_xattr("link", "user.one", 1, FS_AT_NOFOLLOW), EPERM);
	expect_equal(set_xattr("file", "user.one", FS_XATTR_MAX + 1, 0), E2BIG);
	expect_equal(set_xattr("file", "user.one", 1, 1u << 10), EINVAL);
}
END_TEST

/* What gives rights on the host, and what a host hides behind it. */
START_TEST(only_the_users_names)
{
	static const char *const names[] = {"security.capability", "security.selinux",
		"trusted.overlay.opaque", "system.posix_acl_access", "user", "users.x", "x", ""};

	if (geteuid() == 0)
		expect_equal(setxattr(fs_guest_host_path("file"), "trusted.x", "v", 1, 0), 0);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		expect_equal(set_xattr("file", names[i], 1, 0), ENOTSUP);
		expect_equal(get_xattr("file", names[i], 0), ENOTSUP);
		expect_equal(remove_xattr("file", names[i]), ENOTSUP);
	}
	expect_equal(get_xattr("file", "trusted.x", 0), ENOTSUP);
	expect_names("file", "", 0);
	expect_equal(set_xattr("file", "user.", 1, 0), EINVAL);
}
END_TEST

/* Many under way share one buffer, and the values keep apart. */
START_TEST(values_do_not_mix)
{
	unsigned char value[2000];
	char name[16];

	for (unsigned i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "user.%c", 'a' + (char)i % 3);
		memset(value, 'A' + (int)i, sizeof(value));
		struct fs_set_xattr put = {.name = fs_guest_bytes(name),
			.path = fs_guest_bytes("file"),
			.value = {value, 1000}};
		fs_guest_send(&fs, FS_SET_XATTR, &put);
		struct fs_get_xattr get = {
			.name = fs_guest_bytes(name), .path = fs_guest_bytes("file")};
		fs_guest_send(&fs, FS_GET_XATTR, &get);
	}
	unsigned seen = 0;
	for (unsigned i = 0; i < 60; i++) {
		struct fs_reply reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.error, 0);
		if (reply.frame.type != FS_GET_XATTR)
			continue;
		expect_equal(reply.len, 1000);
		memset(value, 'A' + (int)seen++, sizeof(value));
		expect(memcmp(reply.body, value, 1000) == 0);
	}
}
END_TEST

/* ---- lists */

#define THERE 3000 /* files that are there all the time */

static atomic_bool churning;

/* Makes and removes others meanwhile. */
static void *churn(void *argument)
{
	char path[600];

	for (unsigned i = 0; atomic_load(&churning); i++) {
		snprintf(path, sizeof(path), "%s/other-%u", (char *)argument, i % 500);
		if (i / 500 % 2 == 0)
			file_write(path, "", 0);
		else
			unlink(path);
	}
	return NULL;
}

static void count_entries(const struct fs_data *data, unsigned char *seen, uint64_t *cookie)
{
	const unsigned char *at = data->data.data;
	size_t left = data->data.len;
	struct fs_entry entry;
	long used;
	unsigned number;

	while ((used = fs_entry_decode(&entry, at, left)) > 0) {
		char name[64] = "";
		memcpy(name, entry.name.data, entry.name.len < 63 ? entry.name.len : 63);
		if (sscanf(name, "there-%u", &number) == 1) {
			seen[number]++;
			expect(entry.has_attributes);
			expect_equal(entry.attributes.inode, entry.inode);
			expect_equal(entry.attributes.size, number % 7);
			expect_equal(entry.attributes.mode >> 12, entry.type);
		}
		*cookie = entry.cookie;
		at += used;
		left -= (size_t)used;
	}
	expect_equal(used, 0);
}

START_TEST(lists_with_attributes_survive_change)
{
	static unsigned char seen[THERE];
	char path[600], directory[512];
	pthread_t thread;

	snprintf(directory, sizeof(directory), "%s", fs_guest_host_path("dir"));
	for (unsigned i = 0; i < THERE; i++) {
		snprintf(path, sizeof(path), "%s/there-%u", directory, i);
		file_write(path, "1234567", i % 7);
	}
	uint32_t handle = fs_guest_handle(&fs, "dir", FS_OPEN_DIRECTORY);
	atomic_store(&churning, true);
	expect_equal(pthread_create(&thread, NULL, churn, directory), 0);
	for (unsigned round = 0; round < 3; round++) {
		struct fs_list list = {
			.handle = handle, .length = 5000, .flags = FS_LIST_ATTRIBUTES};
		struct fs_data data;
		memset(seen, 0, sizeof(seen));
		do {
			expect_equal(fs_guest_call(&fs, FS_LIST, &list, &data), 0);
			expect(data.data.len <= 5000);
			count_entries(&data, seen, &list.cookie);
		} while (data.data.len > 0);
		for (unsigned i = 0; i < THERE; i++)
			expect_equal(seen[i], 1);
	}
	atomic_store(&churning, false);
	pthread_join(thread, NULL);
	struct fs_list list = {.handle = handle, .length = 359, .flags = 2};
	expect_equal(fs_guest_call(&fs, FS_LIST, &list, NULL), EINVAL);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("attributes");
	Suite *suite = suite_create("fs_attributes");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, fs_guest_teardown);
	tcase_add_test(tcase, attributes_are_set);
	tcase_add_test(tcase, links_are_followed_or_not);
	tcase_add_test(tcase, owners_are_set_where_permitted);
	tcase_add_test(tcase, attributes_that_cannot_be_set);
	tcase_add_test(tcase, attributes_by_handle);
	tcase_add_test(tcase, file_systems_are_told);
	tcase_add_test(tcase, hard_links);
	tcase_add_test(tcase, symbolic_links);
	tcase_add_test(tcase, renames_with_flags);
	tcase_add_test(tcase, many_handles_are_closed_at_once);
	tcase_add_test(tcase, extended_attributes);
	tcase_add_test(tcase, only_the_users_names);
	tcase_add_test(tcase, values_do_not_mix);
	tcase_add_test(tcase, lists_with_attributes_survive_change);
	suite_add_tcase(suite, tcase);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
