/*
 * Each request of protocol 0 by itself, from the guest's end of a stream. fs_stream_test has
 * them all at once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

static struct guest_stream fs;
static struct fs_mounted mounted;

static void setup(void)
{
	fs_guest_setup();
	file_write(fs_guest_host_path("file"), "hello", 5);
	expect_equal(mkdir(fs_guest_host_path("dir"), 0755), 0);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, &mounted);
}

static void expect_host_file(const char *name, const char *text)
{
	char bytes[256] = {0};
	FILE *file = fopen(fs_guest_host_path(name), "re");

	expect(file != NULL);
	expect_equal(fread(bytes, 1, sizeof(bytes) - 1, file), strlen(text));
	expect(strcmp(bytes, text) == 0);
	fclose(file);
}

static void expect_read(uint32_t handle, uint32_t len, uint64_t offset, const char *text)
{
	struct wire_bytes data;

	expect_equal(fs_guest_read(&fs, handle, len, offset, &data), 0);
	expect_equal(data.len, strlen(text));
	expect(memcmp(data.data, text, data.len) == 0);
}

START_TEST(only_granted_mounts_open)
{
	static const char *const refused[] = {"/", "/r", "/rw/", "/rw/dir", "", "/etc"};
	struct guest_stream stream;
	struct fs_mounted other;

	expect_equal(mounted.flags, FS_MOUNTED_WRITABLE);
	expect_equal(mounted.max_frame, FS_GUEST_RING / 2);
	expect_equal(mounted.operations, (1u << FS_TYPE_COUNT) - 1);
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct fs_mount mount = {fs_guest_bytes(refused[i])};
		expect_equal(guest_stream_new(&fs_guest, &stream, 4096, 4096), 0);
		expect_equal(guest_stream_open(
				     &stream, PROTOCOL_FS, &fs_mount_message, &mount, NULL, NULL),
			EACCES);
		guest_stream_close(&stream);
	}
	expect_equal(guest_stream_new(&fs_guest, &stream, 4096, 4096), 0);
	expect_equal(guest_stream_open(&stream, PROTOCOL_FS, NULL, NULL, NULL, NULL), EPROTO);
	guest_stream_close(&stream);
	fs_guest_open("/ro", 4096, 65536, &other);
	expect_equal(other.flags, 0);
	expect_equal(other.max_frame, 4096);
	fs_guest_open("/ro", 16 << 20, 16 << 20, &other);
	expect_equal(other.max_frame, FRAME_LEN_MAX);
}
END_TEST

START_TEST(reads)
{
	uint32_t handle = fs_guest_handle(&fs, "file", FS_OPEN_READ);

	expect_read(handle, 100, 0, "hello");
	expect_read(handle, 3, 1, "ell");
	expect_read(handle, 0, 1, "");
	expect_read(handle, 10, 5, "");
	expect_read(handle, UINT32_MAX, 4, "o");
	expect_read(handle, 1, INT64_MAX, "");
	expect_equal(fs_guest_read(&fs, handle, 1, (uint64_t)INT64_MAX + 1, NULL), EINVAL);
	expect_equal(fs_guest_read(&fs, handle, 1, UINT64_MAX - 1, NULL), EINVAL);
	expect_equal(fs_guest_write(&fs, handle, 0, "x", 1), EBADF);
	expect_equal(fs_guest_write(&fs, handle, 0, "", 0), EBADF);
	expect_equal(fs_guest_close(&fs, handle), 0);
	expect_equal(fs_guest_close(&fs, handle), EBADF);
}
END_TEST

START_TEST(a_read_is_at_most_a_frame)
{
	static unsigned char wanted[FS_GUEST_RING];
	struct wire_bytes data;

	file_write_pattern(fs_guest_host_path("large"), 7, 1 << 20);
	uint32_t handle = fs_guest_handle(&fs, "large", FS_OPEN_READ);
	for (uint64_t at = 0; at < 1 << 20; at += data.len) {
		expect_equal(fs_guest_read(&fs, handle, UINT32_MAX, at, &data), 0);
		expect(data.len > 0 && data.len <= mounted.max_frame - FRAME_HEADER_LEN);
		pattern_fill(7, at, wanted, data.len);
		expect(memcmp(data.data, wanted, data.len) == 0);
	}
}
END_TEST

START_TEST(writes)
{
	uint32_t handle =
		fs_guest_handle(&fs, "new", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE);
	static unsigned char large[60000];

	expect_equal(fs_guest_write(&fs, handle, 0, "abcdef", 6), 0);
	expect_equal(fs_guest_write(&fs, handle, 2, "XY", 2), 0);
	expect_equal(fs_guest_write(&fs, handle, 6, "", 0), 0);
	expect_host_file("new", "abXYef");
	expect_equal(fs_guest_read(&fs, handle, 1, 0, NULL), EBADF);
	expect_equal(fs_guest_write(&fs, handle, UINT64_MAX - 1, "x", 1), EINVAL);
	expect_equal(fs_guest_write(&fs, handle, INT64_MAX, "x", 1), EINVAL);
	for (unsigned i = 0; i < 20; i++) {
		pattern_fill(3, i * sizeof(large), large, sizeof(large));
		expect_equal(
			fs_guest_write(&fs, handle, i * sizeof(large), large, sizeof(large)), 0);
	}
	char *wanted = scratch_path("wanted-%d", (int)getpid());
	file_write_pattern(wanted, 3, 20 * sizeof(large));
	expect_same_file(fs_guest_host_path("new"), wanted);
	free(wanted);
}
END_TEST

/* Bytes of the largest file; far above what Check writes of its results, which go to a file too. */
#define CUT_OFF (1u << 20)

/* The file system takes a part and then no more: the part is told, and then the errno. */
START_TEST(a_write_that_is_cut_off)
{
	uint32_t handle = fs_guest_handle(&fs, "new", FS_OPEN_WRITE | FS_OPEN_CREATE);
	struct fs_write write = {.handle = handle,
		.offset = CUT_OFF - 1500,
		.data = {(unsigned char[2000]){0}, 2000}};
	struct fs_written written;
	struct rlimit before, small;

	signal(SIGXFSZ, SIG_IGN);
	expect_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = CUT_OFF;
	expect_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	expect_equal(fs_guest_call(&fs, FS_WRITE, &write, &written), 0);
	expect_equal(written.length, 1500);
	expect_equal(fs_guest_write(&fs, handle, CUT_OFF, "x", 1), EFBIG);
	expect_equal(fs_guest_write(&fs, handle, CUT_OFF - 1, "x", 1), 0);
	expect_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}
END_TEST

START_TEST(appends_and_truncates)
{
	uint32_t handle =
		fs_guest_handle(&fs, "file", FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_APPEND);

	expect_equal(fs_guest_write(&fs, handle, 0, " there", 6), 0);
	expect_equal(fs_guest_write(&fs, handle, UINT64_MAX, "!", 1), 0);
	expect_read(handle, 100, 0, "hello there!");
	handle = fs_guest_handle(&fs, "file", FS_OPEN_WRITE | FS_OPEN_TRUNCATE);
	expect_host_file("file", "");
	expect_equal(fs_guest_write(&fs, handle, 0, "anew", 4), 0);
	expect_host_file("file", "anew");
	expect_equal(
		fs_guest_try_open(&fs, "file", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE),
		EEXIST);
	expect_equal(fs_guest_try_open(&fs, "file", FS_OPEN_READ | FS_OPEN_TRUNCATE), EINVAL);
	expect_equal(fs_guest_try_open(&fs, "file", FS_OPEN_KNOWN + 1), EINVAL);
}
END_TEST

START_TEST(handles_are_not_mistaken)
{
	uint32_t first = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	struct fs_list list = {.handle = first, .length = 4096};

	expect_equal(fs_guest_close(&fs, first), 0);
	file_write(fs_guest_host_path("other"), "other", 5);
	uint32_t second = fs_guest_handle(&fs, "other", FS_OPEN_READ);
	expect(first != second);
	static const uint32_t never[] = {0, 1, 1023, 1024, 5000, UINT32_MAX};
	for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		expect(never[i] == second || fs_guest_read(&fs, never[i], 1, 0, NULL) == EBADF);
	expect_equal(fs_guest_read(&fs, first, 1, 0, NULL), EBADF);
	expect_equal(fs_guest_write(&fs, first, 0, "x", 1), EBADF);
	expect_equal(fs_guest_close(&fs, first), EBADF);
	expect_equal(fs_guest_call(&fs, FS_LIST, &list, NULL), EBADF);
	expect_equal(fs_guest_call(&fs, FS_SYNC, &(struct fs_sync){.handle = first}, NULL), EBADF);
	struct fs_mkdir make = {.directory = first, .path = fs_guest_bytes("x")};
	expect_equal(fs_guest_call(&fs, FS_MKDIR, &make, NULL), EBADF);
	struct fs_stat stat = {.directory = first, .flags = FS_AT_HANDLE};
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, NULL), EBADF);
	expect_read(second, 9, 0, "other");

	uint32_t dir = fs_guest_handle(&fs, "dir", FS_OPEN_READ);
	expect_equal(fs_guest_read(&fs, dir, 1, 0, NULL), EISDIR);
	expect_equal(fs_guest_write(&fs, dir, 0, "x", 1), EBADF);
	list.handle = second;
	expect_equal(fs_guest_call(&fs, FS_LIST, &list, NULL), ENOTDIR);
	stat = (struct fs_stat){.directory = second, .path = fs_guest_bytes("file")};
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, NULL), ENOTDIR);
}
END_TEST

START_TEST(handles_run_out)
{
	static uint32_t handle[FS_HANDLES_MAX];

	for (unsigned i = 0; i < FS_HANDLES_MAX; i++)
		handle[i] = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	expect_equal(fs_guest_try_open(&fs, "file", FS_OPEN_READ), EMFILE);
	expect_equal(fs_guest_try_open(&fs, "made", FS_OPEN_WRITE | FS_OPEN_CREATE), EMFILE);
	expect(access(fs_guest_host_path("made"), F_OK) < 0);
	expect_equal(fs_guest_close(&fs, handle[500]), 0);
	expect_equal(fs_guest_try_open(&fs, "nothing", FS_OPEN_READ), ENOENT);
	expect_equal(fs_guest_try_open(&fs, "made", FS_OPEN_WRITE | FS_OPEN_CREATE), 0);
	for (unsigned i = 0; i < FS_HANDLES_MAX; i++)
		expect_equal(fs_guest_close(&fs, handle[i]), i == 500 ? EBADF : 0);
}
END_TEST

START_TEST(stats)
{
	struct fs_attributes attributes;
	struct fs_stat stat = {.path = fs_guest_bytes("file")};
	struct stat host;

	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, &attributes), 0);
	expect_equal(lstat(fs_guest_host_path("file"), &host), 0);
	expect_equal(attributes.size, 5);
	expect_equal(attributes.inode, host.st_ino);
	expect_equal(attributes.mode, host.st_mode);
	expect_equal(attributes.nlink, 1);
	expect_equal(attributes.uid, host.st_uid);
	expect_equal(attributes.blocks, host.st_blocks);
	expect_equal(attributes.mtime_s, host.st_mtim.tv_sec);
	expect_equal(attributes.mtime_ns, host.st_mtim.tv_nsec);
	expect_equal(attributes.ctime_s, host.st_ctim.tv_sec);
	expect_equal(attributes.reserved, 0);
	stat.path = fs_guest_bytes("dir/../..");
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, &attributes), EXDEV);
	stat.path = fs_guest_bytes("");
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, &attributes), ENOENT);
	stat.flags = FS_AT_HANDLE;
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, &attributes), 0);
	expect(S_ISDIR(attributes.mode));
	stat.directory = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, &attributes), 0);
	expect_equal(attributes.size, 5);
	stat.path = fs_guest_bytes("x");
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, &attributes), EINVAL);
	stat = (struct fs_stat){.flags = 4, .path = fs_guest_bytes("file")};
	expect_equal(fs_guest_call(&fs, FS_STAT, &stat, &attributes), EINVAL);
}
END_TEST

START_TEST(names_are_made_and_removed)
{
	uint32_t dir = fs_guest_handle(&fs, "dir", FS_OPEN_READ | FS_OPEN_DIRECTORY);
	struct fs_mkdir make = {.directory = dir, .mode = 0700, .path = fs_guest_bytes("sub")};
	struct fs_rename rename = {.from = fs_guest_bytes("file"),
		.to_directory = dir,
		.to = fs_guest_bytes("sub/file")};
	struct fs_unlink remove = {.path = fs_guest_bytes("dir/sub")};

	expect_equal(fs_guest_call(&fs, FS_MKDIR, &make, NULL), 0);
	expect_equal(fs_guest_call(&fs, FS_MKDIR, &make, NULL), EEXIST);
	expect_equal(fs_guest_call(&fs, FS_RENAME, &rename, NULL), 0);
	expect_host_file("dir/sub/file", "hello");
	expect_equal(fs_guest_call(&fs, FS_RENAME, &rename, NULL), ENOENT);
	expect_equal(fs_guest_call(&fs, FS_UNLINK, &remove, NULL), EISDIR);
	remove.flags = FS_UNLINK_DIRECTORY;
	expect_equal(fs_guest_call(&fs, FS_UNLINK, &remove, NULL), ENOTEMPTY);
	remove = (struct fs_unlink){.directory = dir, .path = fs_guest_bytes("sub/file")};
	expect_equal(fs_guest_call(&fs, FS_UNLINK, &remove, NULL), 0);
	remove =
		(struct fs_unlink){.flags = FS_UNLINK_DIRECTORY, .path = fs_guest_bytes("dir/sub")};
	expect_equal(fs_guest_call(&fs, FS_UNLINK, &remove, NULL), 0);
	remove.flags = 2;
	expect_equal(fs_guest_call(&fs, FS_UNLINK, &remove, NULL), EINVAL);
	rename.to = fs_guest_bytes("../file");
	file_write(fs_guest_host_path("file"), "hello", 5);
	expect_equal(fs_guest_call(&fs, FS_RENAME, &rename, NULL), EXDEV);
}
END_TEST

START_TEST(syncs)
{
	uint32_t handle = fs_guest_handle(&fs, "file", FS_OPEN_WRITE);
	uint32_t dir = fs_guest_handle(&fs, ".", FS_OPEN_READ);

	expect_equal(fs_guest_call(&fs, FS_SYNC, &(struct fs_sync){handle, 0}, NULL), 0);
	expect_equal(fs_guest_call(&fs, FS_SYNC, &(struct fs_sync){handle, FS_SYNC_DATA}, NULL), 0);
	expect_equal(fs_guest_call(&fs, FS_SYNC, &(struct fs_sync){dir, 0}, NULL), 0);
	expect_equal(fs_guest_call(&fs, FS_SYNC, &(struct fs_sync){handle, 2}, NULL), EINVAL);
}
END_TEST

START_TEST(read_only_means_it)
{
	static const uint32_t flags[] = {FS_OPEN_WRITE, FS_OPEN_READ | FS_OPEN_WRITE,
		FS_OPEN_READ | FS_OPEN_CREATE, FS_OPEN_WRITE | FS_OPEN_TRUNCATE,
		FS_OPEN_WRITE | FS_OPEN_APPEND};
	struct guest_stream ro = fs_guest_open("/ro", 4096, 4096, NULL);
	struct fs_mkdir make = {.path = fs_guest_bytes("made")};
	struct fs_unlink remove = {.path = fs_guest_bytes("file")};
	struct fs_rename rename = {.from = fs_guest_bytes("file"), .to = fs_guest_bytes("moved")};

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		expect_equal(fs_guest_try_open(&ro, "file", flags[i]), EROFS);
		expect_equal(fs_guest_try_open(&ro, "made", flags[i]), EROFS);
	}
	expect_equal(fs_guest_call(&ro, FS_MKDIR, &make, NULL), EROFS);
	expect_equal(fs_guest_call(&ro, FS_UNLINK, &remove, NULL), EROFS);
	expect_equal(fs_guest_call(&ro, FS_RENAME, &rename, NULL), EROFS);
	uint32_t handle = fs_guest_handle(&ro, "file", FS_OPEN_READ);
	expect_equal(fs_guest_write(&ro, handle, 0, "x", 1), EROFS);
	expect_host_file("file", "hello");
	expect(access(fs_guest_host_path("made"), F_OK) < 0);
}
END_TEST

/* ---- listing */

#define ENTRIES 1000

static unsigned char seen[ENTRIES];

/* Takes the entries of one reply in; the cookie of the last one. */
static uint64_t take_entries(struct wire_bytes data)
{
	const unsigned char *at = data.data;
	struct fs_entry entry = {0};
	size_t left = data.len;
	unsigned number;
	char name[FS_NAME_MAX + 1];

	while (left > 0) {
		long used = fs_entry_decode(&entry, at, left);
		expect(used > 0);
		memcpy(name, entry.name.data, entry.name.len);
		name[entry.name.len] = 0;
		expect_equal(sscanf(name, "entry-%u", &number), 1);
		expect(number < ENTRIES && seen[number] == 0);
		expect_equal(entry.type, number % 2 == 0 ? S_IFREG >> 12 : S_IFDIR >> 12);
		expect(entry.inode != 0);
		seen[number] = 1;
		at += used;
		left -= (size_t)used;
	}
	return entry.cookie;
}

/* How many replies it took. */
static unsigned list_all(uint32_t handle, uint32_t len)
{
	struct fs_list list = {.handle = handle, .length = len};
	struct fs_data data;
	unsigned replies = 0;

	memset(seen, 0, sizeof(seen));
	for (;; replies++) {
		expect_equal(fs_guest_call(&fs, FS_LIST, &list, &data), 0);
		expect(data.data.len <= len);
		if (data.data.len == 0)
			break;
		list.cookie = take_entries(data.data);
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		expect_equal(seen[i], 1);
	return replies;
}

START_TEST(lists)
{
	char name[64];
	struct fs_list list = {.length = 280};
	struct fs_data data;

	list.handle = fs_guest_handle(&fs, "dir", FS_OPEN_READ);
	expect_equal(fs_guest_call(&fs, FS_LIST, &list, &data), 0);
	expect_equal(data.data.len, 0);
	for (unsigned i = 0; i < ENTRIES; i++) {
		snprintf(name, sizeof(name), "dir/entry-%u-%.*s", i, (int)(i % 20),
			"--------------------");
		if (i % 2 == 0)
			file_write(fs_guest_host_path(name), "", 0);
		else
			expect_equal(mkdir(fs_guest_host_path(name), 0755), 0);
	}
	static const uint32_t lengths[] = {280, 1000, 4096, 40000, UINT32_MAX};
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		list_all(list.handle, lengths[i]);
	expect(list_all(list.handle, UINT32_MAX) <= 2);
	list.length = 24;
	expect_equal(fs_guest_call(&fs, FS_LIST, &list, NULL), EINVAL);
	list.length = 0;
	expect_equal(fs_guest_call(&fs, FS_LIST, &list, NULL), EINVAL);
	list.cookie = (uint64_t)INT64_MAX + 1;
	expect_equal(fs_guest_call(&fs, FS_LIST, &list, NULL), EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs");
	TCase *requests = tcase_create("requests");

	tcase_add_checked_fixture(requests, setup, fs_guest_teardown);
	tcase_set_timeout(requests, 20);
	tcase_add_test(requests, only_granted_mounts_open);
	tcase_add_test(requests, reads);
	tcase_add_test(requests, a_read_is_at_most_a_frame);
	tcase_add_test(requests, writes);
	tcase_add_test(requests, a_write_that_is_cut_off);
	tcase_add_test(requests, appends_and_truncates);
	tcase_add_test(requests, handles_are_not_mistaken);
	tcase_add_test(requests, handles_run_out);
	tcase_add_test(requests, stats);
	tcase_add_test(requests, names_are_made_and_removed);
	tcase_add_test(requests, syncs);
	tcase_add_test(requests, read_only_means_it);
	tcase_add_test(requests, lists);
	suite_add_tcase(suite, requests);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
