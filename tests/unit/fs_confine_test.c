/*
 * Every request that takes a path, with every kind of path that leads out of the mount: refused,
 * and nothing outside is touched or told of. And with those that stay inside, which work.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

static struct guest_stream fs;
static char *outside; /* a directory beside the mount, with a file "secret" */

static void setup(void)
{
	char target[600];

	fs_guest_setup();
	outside = scratch_path("outside-%d", (int)getpid());
	expect_equal(mkdir(outside, 0755), 0);
	snprintf(target, sizeof(target), "%s/secret", outside);
	file_write(target, "secret", 6);
	expect_equal(setxattr(target, "user.mark", "m", 1, 0), 0);
	file_write(fs_guest_host_path("file"), "hello", 5);
	expect_equal(mkdir(fs_guest_host_path("dir"), 0755), 0);
	expect_equal(symlink(target, fs_guest_host_path("to-secret")), 0);
	expect_equal(symlink(outside, fs_guest_host_path("to-outside")), 0);
	snprintf(target, sizeof(target), "../outside-%d", (int)getpid());
	expect_equal(symlink(target, fs_guest_host_path("up-outside")), 0);
	expect_equal(symlink("../file", fs_guest_host_path("dir/inside")), 0);
	expect_equal(symlink("/proc/self/root/etc/passwd", fs_guest_host_path("proc")), 0);
	expect_equal(symlink("ring", fs_guest_host_path("ring")), 0);
	expect_equal(mkfifo(fs_guest_host_path("fifo"), 0644), 0);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}

static void teardown(void)
{
	free(outside);
	fs_guest_teardown();
}

/* ---- requests, each with one path that the test chooses */

/* What the last that was done has told of the file: its size, or the bytes of an attribute. */
static uint64_t told;

static int open_and_close(const struct fs_open *open)
{
	struct fs_opened opened;
	int error = fs_guest_call(&fs, FS_OPEN, open, &opened);

	if (error != 0)
		return error;
	told = opened.attributes.size;
	return fs_guest_close(&fs, opened.handle);
}

static int do_open(struct wire_bytes path)
{
	return open_and_close(&(struct fs_open){.flags = FS_OPEN_READ, .path = path});
}

static int do_create(struct wire_bytes path)
{
	return open_and_close(&(struct fs_open){
		.flags = FS_OPEN_WRITE | FS_OPEN_CREATE, .mode = 0644, .path = path});
}

static int do_read_file(struct wire_bytes path)
{
	struct fs_read_file read = {.length = 100, .path = path};
	struct fs_reply reply;

	fs_guest_send(&fs, FS_READ_FILE, &read);
	reply = fs_guest_receive(&fs);
	told = 0;
	while ((reply.frame.flags & FRAME_MORE) != 0) {
		reply = fs_guest_receive(&fs);
		told += reply.frame.error == 0 ? fs_guest_data(&reply).len : 0;
	}
	return (int)reply.frame.error;
}

static int do_write_file(struct wire_bytes path)
{
	struct fs_write_file write = {.flags = FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE,
		.mode = 0644,
		.path = path};

	return fs_guest_call(&fs, FS_WRITE_FILE, &write, NULL);
}

static int do_stat(struct wire_bytes path)
{
	struct fs_attributes attributes = {0};
	int error = fs_guest_call(&fs, FS_STAT, &(struct fs_stat){.path = path}, &attributes);

	told = attributes.size;
	return error;
}

static int do_mkdir(struct wire_bytes path)
{
	return fs_guest_call(&fs, FS_MKDIR, &(struct fs_mkdir){.mode = 0755, .path = path}, NULL);
}

static int do_unlink(struct wire_bytes path)
{
	return fs_guest_call(&fs, FS_UNLINK, &(struct fs_unlink){.path = path}, NULL);
}

static int do_rename_from(struct wire_bytes path)
{
	struct fs_rename rename = {.from = path, .to = {"stolen", 6}};

	return fs_guest_call(&fs, FS_RENAME, &rename, NULL);
}

static int do_rename_to(struct wire_bytes path)
{
	struct fs_rename rename = {.flags = FS_RENAME_NOREPLACE, .from = {"file", 4}, .to = path};

	return fs_guest_call(&fs, FS_RENAME, &rename, NULL);
}

static int do_link_from(struct wire_bytes path)
{
	struct fs_link link = {.from = path, .to = {"stolen", 6}};

	return fs_guest_call(&fs, FS_LINK, &link, NULL);
}

static int do_link_to(struct wire_bytes path)
{
	struct fs_link link = {.from = {"file", 4}, .to = path};

	return fs_guest_call(&fs, FS_LINK, &link, NULL);
}

static int do_symlink(struct wire_bytes path)
{
	struct fs_symlink link = {.target = {"x", 1}, .path = path};

	return fs_guest_call(&fs, FS_SYMLINK, &link, NULL);
}

static int do_read_link(struct wire_bytes path)
{
	return fs_guest_call(&fs, FS_READ_LINK, &(struct fs_read_link){.path = path}, NULL);
}

static int do_set(struct wire_bytes path)
{
	struct fs_set_attributes set = {.set = FS_SET_MTIME | FS_SET_SIZE, .path = path};

	return fs_guest_call(&fs, FS_SET_ATTRIBUTES, &set, NULL);
}

static int do_get_xattr(struct wire_bytes path)
{
	struct fs_get_xattr get = {.name = {"user.mark", 9}, .path = path};
	struct fs_data value = {{NULL, 0}};
	int error = fs_guest_call(&fs, FS_GET_XATTR, &get, &value);

	told = value.data.len;
	return error;
}

static int do_set_xattr(struct wire_bytes path)
{
	struct fs_set_xattr set = {.name = {"user.mark", 9}, .path = path, .value = {"n", 1}};

	return fs_guest_call(&fs, FS_SET_XATTR, &set, NULL);
}

static int do_list_xattrs(struct wire_bytes path)
{
	return fs_guest_call(&fs, FS_LIST_XATTRS, &(struct fs_list_xattrs){.path = path}, NULL);
}

static int do_remove_xattr(struct wire_bytes path)
{
	struct fs_get_xattr remove = {.name = {"user.mark", 9}, .path = path};

	return fs_guest_call(&fs, FS_REMOVE_XATTR, &remove, NULL);
}

static int do_watch(struct wire_bytes path)
{
	struct fs_watch watch = {.events = FS_WATCH_MODIFIED, .path = path};
	/* It goes on telling. */
	struct guest_stream own = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	int error = fs_guest_call(&own, FS_WATCH, &watch, NULL);

	guest_stream_close(&own);
	/* Closing an instance of inotify takes milliseconds, and a user has 128. */
	if (error == EMFILE) {
		usleep(10000);
		return do_watch(path);
	}
	return error;
}

static const struct {
	const char *name;
	int (*call)(struct wire_bytes path);
	bool follows; /* the last component, when it is a symbolic link */
	bool changes;
} requests[] = {
	{"open", do_open, true, false},
	{"create", do_create, true, true},
	{"read_file", do_read_file, true, false},
	{"write_file", do_write_file, true, true},
	{"stat", do_stat, true, false},
	{"mkdir", do_mkdir, false, true},
	{"unlink", do_unlink, false, true},
	{"rename_from", do_rename_from, false, true},
	{"rename_to", do_rename_to, false, true},
	{"link_from", do_link_from, false, true},
	{"link_to", do_link_to, false, true},
	{"symlink", do_symlink, false, true},
	{"read_link", do_read_link, false, false},
	{"set", do_set, true, true},
	{"get_xattr", do_get_xattr, true, false},
	{"set_xattr", do_set_xattr, true, true},
	{"list_xattrs", do_list_xattrs, true, false},
	{"remove_xattr", do_remove_xattr, true, true},
	{"watch", do_watch, true, false},
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

/* ---- */

static void expect_error(unsigned i, const char *path, int wanted)
{
	int error = requests[i].call(fs_guest_bytes(path));

	if (error != wanted)
		ck_abort_msg("%s of %s: %d instead of %d", requests[i].name, path, error, wanted);
}

static void expect_untouched(const char *name, const char *text)
{
	char *path = scratch_path("outside-%d/%s", (int)getpid(), name), mark[4];
	struct stat now;

	expect_equal(stat(path, &now), 0);
	expect_equal(now.st_size, strlen(text));
	expect_equal(now.st_nlink, 1);
	expect(now.st_mtim.tv_sec != 0);
	expect(getxattr(path, "user.mark", mark, sizeof(mark)) == 1 && mark[0] == 'm');
	free(path);
	path = scratch_path("outside-%d/new", (int)getpid());
	expect(access(path, F_OK) != 0);
	free(path);
}

START_TEST(no_way_leads_out)
{
	char up[64];

	snprintf(up, sizeof(up), "../outside-%d/secret", (int)getpid());
	for (unsigned i = 0; i < REQUESTS; i++) {
		expect_error(i, "/etc/passwd", EXDEV);
		expect_error(i, "../file", EXDEV);
		expect_error(i, up, EXDEV);
		expect_error(i, "dir/../../file", EXDEV);
		expect_error(i, "to-outside/secret", EXDEV);
		expect_error(i, "up-outside/secret", EXDEV);
		expect_error(i, "to-outside/new", EXDEV);
		expect_error(i, "to-outside/../x", EXDEV);
		expect_error(i, "ring/x", ELOOP);
		if (requests[i].follows) {
			expect_error(i, "to-secret", requests[i].call == do_create ? EXDEV : EXDEV);
			expect_error(i, "proc", EXDEV);
			expect_error(i, "ring", ELOOP);
		}
	}
	/* With a slash behind it a link would be followed: whether it leads somewhere is not told.
	 */
	for (unsigned i = 0; i < REQUESTS; i++) {
		int error = requests[i].call(fs_guest_bytes("to-outside/"));
		expect(error == EXDEV || error == ENOTDIR || error == EEXIST || error == EISDIR);
		if (requests[i].call == do_link_from || requests[i].call == do_read_link)
			expect_equal(error, EXDEV);
	}
	expect_untouched("secret", "secret");
}
END_TEST

/* A path with a 0 byte or one that is too long is no path. */
START_TEST(what_is_no_path)
{
	static char name[256], longest[FS_PATH_MAX + 1];

	memset(name, 'n', sizeof(name));
	for (unsigned i = 0; i < sizeof(longest); i++)
		longest[i] = i % 2 ? '/' : '.';
	for (unsigned i = 0; i < REQUESTS; i++) {
		int error = requests[i].call((struct wire_bytes){name, 256});
		if (error != ENAMETOOLONG)
			ck_abort_msg("%s of a long name: %d", requests[i].name, error);
		expect_error(i, "", ENOENT);
	}
}
END_TEST

/* Names of any bytes and of the greatest length, in every request that can work on one. */
START_TEST(any_name_is_one)
{
	static char longest[255];
	static const char *const names[] = {"\xff\xfe\x80", "\n", "..a", "a b", "-r"};

	memset(longest, 'n', sizeof(longest));
	for (unsigned n = 0; n <= sizeof(names) / sizeof(names[0]); n++) {
		struct wire_bytes name = n > 0 ? fs_guest_bytes(names[n - 1])
					       : (struct wire_bytes){longest, sizeof(longest)};
		expect_equal(do_create(name), 0);
		expect_equal(do_open(name), 0);
		expect_equal(do_stat(name), 0);
		expect_equal(do_set(name), 0);
		expect_equal(do_set_xattr(name), 0);
		expect_equal(do_remove_xattr(name), 0);
		expect_equal(do_rename_from(name), 0);
		expect_equal(do_link_to(name), 0);
		expect_equal(do_unlink(name), 0);
		expect_equal(do_symlink(name), 0);
		expect_equal(do_unlink(name), 0);
		expect_equal(do_mkdir(name), 0);
		expect_equal(do_rename_from(name), ENOTDIR);
		expect_equal(rmdir(fs_guest_host_path("x")), -1);
		expect_equal(do_unlink(fs_guest_bytes("stolen")), 0);
	}
}
END_TEST

/* What is neither a file nor a directory is not opened, and its attributes are had all the same. */
START_TEST(special_files_are_left_alone)
{
	struct wire_bytes fifo = fs_guest_bytes("fifo");

	expect_equal(do_open(fifo), EACCES);
	expect_equal(do_create(fifo), EACCES);
	expect_equal(do_read_file(fifo), EACCES);
	expect_equal(do_write_file(fifo), EACCES);
	expect_equal(do_set(fifo), EINVAL);
	expect_equal(do_stat(fifo), 0);
	expect_equal(do_set_xattr(fifo), EPERM);
}
END_TEST

/* Read-only: whatever changes anything is refused, and nothing has changed. */
START_TEST(a_read_only_mount_does_not_change)
{
	struct stat before, after;

	guest_stream_close(&fs);
	fs = fs_guest_open("/ro", FS_GUEST_RING, FS_GUEST_RING, NULL);
	expect_equal(stat(fs_guest_host_path("file"), &before), 0);
	for (unsigned i = 0; i < REQUESTS; i++) {
		if (requests[i].changes) {
			expect_error(i, "file", EROFS);
			expect_error(i, "new", EROFS);
		}
	}
	uint32_t handle = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	expect_equal(fs_guest_write(&fs, handle, 0, "x", 1), EROFS);
	struct fs_allocate allocate = {.handle = handle, .length = 1};
	expect_equal(fs_guest_call(&fs, FS_ALLOCATE, &allocate, NULL), EROFS);
	struct fs_copy_range copy = {.from_handle = handle, .to_handle = handle, .length = 1};
	expect_equal(fs_guest_call(&fs, FS_COPY_RANGE, &copy, NULL), EROFS);
	struct fs_lock lock = {.handle = handle, .flags = FS_LOCK_EXCLUSIVE | FS_LOCK_WHOLE};
	expect_equal(fs_guest_call(&fs, FS_LOCK, &lock, NULL), EROFS);
	lock.flags = FS_LOCK_SHARED | FS_LOCK_WHOLE;
	expect_equal(fs_guest_call(&fs, FS_LOCK, &lock, NULL), 0);
	expect_equal(stat(fs_guest_host_path("file"), &after), 0);
	expect_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	expect_equal(after.st_nlink, before.st_nlink);
	expect(access(fs_guest_host_path("new"), F_OK) != 0);
	expect(access(fs_guest_host_path("stolen"), F_OK) != 0);
}
END_TEST

/* ---- someone on the host moves a directory out of the mount and back while a request walks it */

#define RACE_MS  100u
#define RACE_WAY "dir/sub/low/../../" /* to dir, or to the directory outside: never */

static atomic_bool racing;

static void *race(void *argument)
{
	char *const *ends = argument; /* inside and outside */

	while (atomic_load(&racing)) {
		rename(ends[0], ends[1]);
		rename(ends[1], ends[0]);
	}
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* As it was before a request took it away or put it there. */
static void put_back(void)
{
	char path[512];

	file_write(fs_guest_host_path("file"), "hello", 5);
	snprintf(path, sizeof(path), "%s", fs_guest_host_path("dir/secret"));
	file_write(path, "inside", 7);
	setxattr(path, "user.mark", "in", 2, 0);
	unlink(fs_guest_host_path("stolen"));
	snprintf(path, sizeof(path), "%s", fs_guest_host_path("dir/new"));
	if (unlink(path) < 0)
		rmdir(path);
}

/* It makes a name. */
static bool makes(unsigned i)
{
	return requests[i].call == do_mkdir || requests[i].call == do_symlink ||
	       requests[i].call == do_link_to || requests[i].call == do_rename_to ||
	       requests[i].call == do_create || requests[i].call == do_write_file;
}

/* What it should have told of the file inside; of the one outside it is 6 and 1. 0: it tells
 * nothing. */
static uint64_t tells(unsigned i)
{
	if (requests[i].call == do_get_xattr)
		return 2;
	return requests[i].call == do_open || requests[i].call == do_read_file ||
			       requests[i].call == do_stat
		       ? 7
		       : 0;
}

/* Done where it belongs, or not: the way is not there, or leads out just now; what is there is no
 * link. */
static bool fair(unsigned i, int error)
{
	if (error == 0 || error == ENOENT || error == EXDEV)
		return true;
	return error == EINVAL && requests[i].call == do_read_link;
}

static bool race_once(unsigned i)
{
	put_back();
	int error = requests[i].call(fs_guest_bytes(makes(i) ? RACE_WAY "new" : RACE_WAY "secret"));
	if (!fair(i, error))
		ck_abort_msg("%s: error %d", requests[i].name, error);
	if (error == 0 && tells(i) != 0 && told != tells(i))
		ck_abort_msg("%s: of the file outside", requests[i].name);
	if (error == 0)
		expect_untouched("secret", "secret");
	return error == 0;
}

START_TEST(nothing_leads_out_while_a_directory_moves)
{
	char *ends[2] = {strdup(fs_guest_host_path("dir/sub")),
		scratch_path("outside-%d/sub", (int)getpid())};
	unsigned done = 0, missed = 0;
	pthread_t thread;

	expect_equal(mkdir(fs_guest_host_path("dir/sub"), 0755), 0);
	expect_equal(mkdir(fs_guest_host_path("dir/sub/low"), 0755), 0);
	atomic_store(&racing, true);
	expect_equal(pthread_create(&thread, NULL, race, ends), 0);
	for (unsigned i = 0; i < REQUESTS; i++) {
		uint64_t end = now_ms() + RACE_MS;

		while (now_ms() < end) {
			bool was_done = race_once(i);
			done += was_done;
			missed += !was_done;
		}
	}
	atomic_store(&racing, false);
	pthread_join(thread, NULL);
	free(ends[0]);
	free(ends[1]);
	printf("raced: done %u, missed %u\n", done, missed);
	expect(done > 0 && missed > 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_confine");
	TCase *tcase = tcase_create("confine");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, no_way_leads_out);
	tcase_add_test(tcase, what_is_no_path);
	tcase_add_test(tcase, any_name_is_one);
	tcase_add_test(tcase, special_files_are_left_alone);
	tcase_add_test(tcase, a_read_only_mount_does_not_change);
	tcase_add_test(tcase, nothing_leads_out_while_a_directory_moves);
	suite_add_tcase(suite, tcase);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
