/*
 * The calls on files that move no bytes by themselves, right and wrong: positions, ranges, locks,
 * attributes, links, extended attributes, whole files, calls from directories, watches. A part of
 * fs_exercise.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "tests/guests/fs_exercise.h"

#define RW (FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE)

static struct file *open_rw(const char *path, uint32_t flags)
{
	struct file *file = NULL;

	CHECK(file_open(&file, path, flags, 0644, SOON), 0);
	return file;
}

static void positions(void)
{
	struct file *file = open_rw("/rw/position", RW);
	char bytes[16];

	CHECK(file_write(file, "hello, ", 7, SOON), 7);
	CHECK(file_write(file, "world", 5, SOON), 5);
	CHECK(file_read(file, bytes, 16, SOON), 0);
	CHECK(file_seek(file, 2, FS_SEEK_SET, SOON), 2);
	CHECK(file_read(file, bytes, 3, SOON), 3);
	CHECK(memcmp(bytes, "llo", 3), 0);
	CHECK(file_seek(file, -4, FS_SEEK_CURRENT, SOON), 1);
	CHECK(file_seek(file, -2, FS_SEEK_CURRENT, SOON), -EINVAL);
	CHECK(file_seek(file, -5, FS_SEEK_END, SOON), 7);
	CHECK(file_read(file, bytes, 16, SOON), 5);
	CHECK(memcmp(bytes, "world", 5), 0);
	CHECK(file_seek(file, INT64_MAX, FS_SEEK_CURRENT, SOON), -EOVERFLOW);
	file_close(file);
	file = open_rw("/rw/position", FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_APPEND);
	CHECK(file_read(file, bytes, 5, SOON), 5);
	CHECK(file_seek(file, 0, FS_SEEK_CURRENT, SOON), 5);
	CHECK(file_write(file, "!", 1, SOON), 1);
	CHECK(file_seek(file, 0, FS_SEEK_CURRENT, SOON), 13);
	CHECK(file_pwrite(file, "?", 1, 0, SOON), 1);
	CHECK(file_seek(file, 0, FS_SEEK_CURRENT, SOON), 13);
	CHECK(file_read(file, bytes, 5, SOON), 1);
	file_close(file);
	CHECK(path_unlink("/rw/position", SOON), 0);
}

static void ranges(void)
{
	struct file *file = open_rw("/rw/range", RW), *to = open_rw("/rw/range2", RW);
	struct fs_attributes attributes;
	unsigned char *bytes = malloc(300000), *back = malloc(300000);

	for (unsigned i = 0; i < 300000; i++)
		bytes[i] = (unsigned char)(i * 7 + i / 1000);
	CHECK(file_pwrite(file, bytes, 300000, 100000, SOON), 300000);
	CHECK(file_seek(file, 0, FS_SEEK_DATA, SOON) > 0, 1);
	CHECK(file_copy(file, 100000, to, 5, UINT64_MAX, SOON), 300000);
	CHECK(file_pread(to, back, 300000, 5, SOON), 300000);
	CHECK(memcmp(bytes, back, 300000), 0);
	CHECK(file_truncate(file, 150000, SOON), 0);
	CHECK(file_stat(file, &attributes, SOON), 0);
	CHECK(attributes.size, 150000);
	CHECK(file_pread(file, back, 300000, 100000, SOON), 50000);
	CHECK(memcmp(bytes, back, 50000), 0);
	CHECK(file_allocate(file, FS_ALLOCATE_KEEP_SIZE | FS_ALLOCATE_PUNCH_HOLE, 0, 131072, SOON),
		0);
	CHECK(file_pread(file, back, 1, 120000, SOON), 1);
	CHECK(back[0], 0);
	CHECK(file_allocate(file, 0, 0, 400000, SOON), 0);
	CHECK(file_stat(file, &attributes, SOON), 0);
	CHECK(attributes.size, 400000);
	CHECK(file_sync_data(file, SOON), 0);
	file_close(file);
	file_close(to);
	free(bytes);
	free(back);
	CHECK(path_unlink("/rw/range", SOON), 0);
	CHECK(path_unlink("/rw/range2", SOON), 0);
}

/* Through the guest, from one mount to another. */
static void copy_between_mounts(void)
{
	struct file *from = open_rw("/ro/known", FS_OPEN_READ), *to = open_rw("/rw/copied", RW);
	char bytes[16];

	CHECK(file_copy(from, 1, to, 0, 100, SOON), 4);
	CHECK(file_pread(to, bytes, 16, 0, SOON), 4);
	CHECK(memcmp(bytes, "nown", 4), 0);
	file_close(from);
	file_close(to);
	CHECK(path_unlink("/rw/copied", SOON), 0);
}

static struct file *late;

static void give_back(void *argument)
{
	(void)argument;
	fiber_sleep(in_milliseconds(100));
	CHECK(file_lock(late, FS_LOCK_UNLOCK, 0, 0, SOON), 0);
}

static void locks(void)
{
	struct file *one = open_rw("/rw/lock", RW), *two = open_rw("/rw/lock", RW);

	CHECK(file_lock(one, FS_LOCK_EXCLUSIVE, 0, 0, SOON), 0);
	CHECK(file_lock(two, FS_LOCK_SHARED, 0, 0, SOON), -EAGAIN);
	CHECK(file_lock(two, FS_LOCK_SHARED | FS_LOCK_WAIT, 0, 0, in_milliseconds(50)), -ETIMEDOUT);
	late = one;
	CHECK(fiber_spawn(give_back, NULL), 0);
	CHECK(file_lock(two, FS_LOCK_EXCLUSIVE | FS_LOCK_WAIT, 0, 0, SOON), 0);
	CHECK(file_lock(one, FS_LOCK_SHARED, 0, 0, SOON), -EAGAIN);
	file_close(two);
	CHECK(file_lock(one, FS_LOCK_SHARED | FS_LOCK_WAIT, 0, 0, SOON), 0);
	file_close(one);
	CHECK(path_unlink("/rw/lock", SOON), 0);
}

static void attributes(void)
{
	const struct file_change change = {.set = FS_SET_MODE | FS_SET_MTIME | FS_SET_SIZE,
		.mode = 0600,
		.mtime_s = -3,
		.mtime_ns = 5,
		.size = 77};
	const struct file_change suid = {.set = FS_SET_MODE, .mode = 04755};
	const struct file_change time = {.set = FS_SET_MTIME, .mtime_s = 9};
	struct fs_attributes now;
	struct fs_system system;

	file_close(open_rw("/rw/attributes", RW));
	CHECK(path_set("/rw/attributes", &change, SOON), 0);
	CHECK(path_stat("/rw/attributes", &now, SOON), 0);
	CHECK(now.mode, 0100600);
	CHECK(now.size, 77);
	CHECK((int64_t)now.mtime_s, -3);
	CHECK(path_set("/rw/attributes", &suid, SOON), -EPERM);
	CHECK(path_set("/rw/attributes/", &time, SOON), -ENOTDIR);
	CHECK(path_set("/ro/known", &time, SOON), -EROFS);
	CHECK(path_set_link("/rw/inner_link", &time, SOON), 0);
	CHECK(path_lstat("/rw/inner_link", &now, SOON), 0);
	CHECK(now.mode >> 12, FILE_TYPE_LINK);
	CHECK(now.mtime_s, 9);
	CHECK(path_stat_system("/rw/dir", &system, SOON), 0);
	CHECK(system.flags, FS_MOUNTED_WRITABLE);
	CHECK(system.block_size > 0 && system.blocks > 0, 1);
	CHECK(path_stat_system("/ro", &system, SOON), 0);
	CHECK(system.flags, 0);
	CHECK(path_unlink("/rw/attributes", SOON), 0);
}

static void links(void)
{
	struct fs_attributes now;
	char text[32];

	CHECK(path_link("/rw/known", "/rw/linked", SOON), 0);
	CHECK(path_stat("/rw/known", &now, SOON), 0);
	CHECK(now.nlink, 2);
	CHECK(path_link("/rw/known", "/rw/linked", SOON), -EEXIST);
	CHECK(path_link("/rw/known", "/ro/linked", SOON), -EXDEV);
	CHECK(path_symlink("some/where", "/rw/symlink", SOON), 0);
	CHECK(path_readlink("/rw/symlink", text, sizeof(text), SOON), 10);
	CHECK(strcmp(text, "some/where"), 0);
	CHECK(path_readlink("/rw/symlink", text, 5, SOON), 10);
	CHECK(strcmp(text, "some"), 0);
	CHECK(path_readlink("/rw/known", text, sizeof(text), SOON), -EINVAL);
	CHECK(path_rename_with("/rw/symlink", "/rw/linked", FS_RENAME_NOREPLACE, SOON), -EEXIST);
	CHECK(path_rename_with("/rw/symlink", "/rw/linked", FS_RENAME_EXCHANGE, SOON), 0);
	CHECK(path_readlink("/rw/linked", text, sizeof(text), SOON), 10);
	CHECK(path_unlink("/rw/symlink", SOON), 0);
	CHECK(path_unlink("/rw/linked", SOON), 0);
}

static void extended(bool xattrs)
{
	char bytes[64];

	if (!xattrs) {
		CHECK(path_set_xattr("/rw/dir", "user.a", "value", 5, 0, SOON), -ENOTSUP);
		CHECK(path_get_xattr("/rw/dir", "user.a", bytes, sizeof(bytes), SOON), -ENOTSUP);
		return;
	}
	CHECK(path_set_xattr("/rw/dir", "user.a", "value", 5, FS_XATTR_CREATE, SOON), 0);
	CHECK(path_get_xattr("/rw/dir", "user.a", bytes, sizeof(bytes), SOON), 5);
	CHECK(memcmp(bytes, "value", 5), 0);
	CHECK(path_get_xattr("/rw/dir", "user.a", bytes, 4, SOON), -ERANGE);
	CHECK(path_list_xattrs("/rw/dir", bytes, sizeof(bytes), SOON), 7);
	CHECK(strcmp(bytes, "user.a"), 0);
	CHECK(path_remove_xattr("/rw/dir", "user.a", SOON), 0);
	CHECK(path_remove_xattr("/rw/dir", "user.a", SOON), -ENODATA);
	CHECK(path_set_xattr("/ro/dir", "user.a", "", 0, 0, SOON), -EROFS);
}

/* ---- whole files */

#define WHOLE_LEN (3u << 20)

struct source {
	size_t given, fail_at;
};

static long give(void *argument, void *ret_bytes, size_t room)
{
	struct source *source = argument;
	size_t some = WHOLE_LEN - source->given < room ? WHOLE_LEN - source->given : room;

	if (source->fail_at && source->given >= source->fail_at)
		return -EILSEQ;
	for (size_t i = 0; i < some; i++)
		((unsigned char *)ret_bytes)[i] = (unsigned char)((source->given + i) % 251);
	source->given += some;
	return (long)some;
}

static int take(
	void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len)
{
	size_t *taken = argument;

	CHECK(attributes->size, WHOLE_LEN);
	for (size_t i = 0; i < len; i++)
		CHECK(((const unsigned char *)bytes)[i], (*taken + i) % 251);
	*taken += len;
	return 0;
}

static void whole_files(void)
{
	const uint32_t flags = FS_OPEN_CREATE | FS_OPEN_TRUNCATE;
	struct source all = {0}, some = {.fail_at = 1 << 20}, none = {0};
	struct fs_attributes now = {0};
	size_t taken = 0;

	CHECK(file_write_whole("/rw/whole", flags, 0640, give, &all, &now, SOON), 0);
	CHECK(now.size, WHOLE_LEN);
	CHECK(now.mode, 0100640);
	CHECK(file_read_whole("/rw/whole", 0, UINT64_MAX, take, &taken, SOON), 0);
	CHECK(taken, WHOLE_LEN);
	CHECK(file_write_whole("/rw/whole", flags | FS_OPEN_EXCLUSIVE, 0, give, &none, NULL, SOON),
		-EEXIST);
	CHECK(file_write_whole("/rw/whole", flags | FS_WRITE_FILE_SYNC, 0, give, &some, NULL, SOON),
		-EILSEQ);
	CHECK(file_write_whole("/ro/whole", flags, 0, give, &none, NULL, SOON), -EROFS);
	CHECK(file_write_whole("/rw/none/whole", flags, 0, give, &none, NULL, SOON), -ENOENT);
	CHECK(file_write_whole("/none/whole", flags, 0, give, &none, NULL, SOON), -EACCES);
	CHECK(path_unlink("/rw/whole", SOON), 0);
}

/* ---- from directories */

static void from_directories(void)
{
	struct file *directory, *file;
	struct fs_attributes now;
	struct directory *listed;
	const char *name;
	char text[16];

	CHECK(path_mkdir("/rw/base", 0755, SOON), 0);
	CHECK(file_open(&directory, "/rw/base", FS_OPEN_DIRECTORY, 0, SOON), 0);
	CHECK(path_rename("/rw/base", "/rw/dir/base", SOON), 0);
	CHECK(file_open_at(&file, directory, "file", RW, 0644, SOON), 0);
	CHECK(file_pwrite(file, "x", 1, 0, SOON), 1);
	CHECK(path_mkdir_at(directory, "sub", 0755, SOON), 0);
	CHECK(path_rename_at(directory, "file", directory, "sub/file", 0, SOON), 0);
	CHECK(path_link_at(directory, "sub/file", directory, "again", SOON), 0);
	CHECK(path_symlink_at("again", directory, "link", SOON), 0);
	CHECK(path_readlink_at(directory, "link", text, sizeof(text), SOON), 5);
	CHECK(path_stat_at(directory, "link", 0, &now, SOON), 0);
	CHECK(now.nlink, 2);
	CHECK(path_stat("/rw/dir/base/again", &now, SOON), 0);
	CHECK(path_stat_at(directory, "../../known", 0, &now, SOON), -EXDEV);
	CHECK(path_stat_at(directory, "/known", 0, &now, SOON), -EXDEV);
	CHECK(path_unlink_at(directory, "link", 0, SOON), 0);
	CHECK(path_unlink_at(directory, "again", 0, SOON), 0);
	CHECK(path_unlink_at(directory, "sub/file", 0, SOON), 0);
	/* Open, it is there without a name. */
	CHECK(file_pread(file, text, 1, 0, SOON), 1);
	file_close(file);
	CHECK(directory_open_at(&listed, directory, ".", SOON), 0);
	CHECK(directory_next(listed, &name, &(uint16_t){0}, SOON), 1);
	CHECK(strcmp(name, "sub"), 0);
	CHECK(directory_next(listed, &name, &(uint16_t){0}, SOON), 0);
	directory_close(listed);
	CHECK(path_unlink_at(directory, "sub", FS_UNLINK_DIRECTORY, SOON), 0);
	CHECK(path_rmdir("/rw/dir/base", SOON), 0);
	CHECK(file_open_at(&file, directory, "file", RW, 0644, SOON), -ENOENT);
	file_close(directory);
	CHECK(directory_open_with_attributes(&listed, "/ro", SOON), 0);
	while (directory_next(listed, &name, &(uint16_t){0}, SOON) == 1) {
		const struct fs_attributes *of = directory_attributes(listed);
		CHECK(of != NULL, 1);
		if (of != NULL && strcmp(name, "known") == 0)
			CHECK(of->size, 5);
	}
	directory_close(listed);
}

/* ---- watches */

static void expect_event(struct watch *watch, uint32_t events, const char *name)
{
	struct watch_event event = {0};

	CHECK(watch_next(watch, &event, SOON), 1);
	CHECK(event.events, events);
	CHECK(strcmp(event.name, name), 0);
}

static void watches(void)
{
	struct watch_event event;
	struct watch *watch;

	CHECK(watch_open(&watch, "/rw/nothing", FS_WATCH_CREATED, SOON), -ENOENT);
	CHECK(watch_open(&watch, "/rw/dir", FS_WATCH_CREATED | FS_WATCH_REMOVED, SOON), 0);
	CHECK(watch_next(watch, &event, in_milliseconds(20)), -ETIMEDOUT);
	CHECK(path_mkdir("/rw/dir/new", 0755, SOON), 0);
	CHECK(path_rmdir("/rw/dir/new", SOON), 0);
	expect_event(watch, FS_WATCH_CREATED | FS_WATCH_DIRECTORY, "new");
	expect_event(watch, FS_WATCH_REMOVED | FS_WATCH_DIRECTORY, "new");
	watch_close(watch);
	CHECK(path_mkdir("/rw/watched", 0755, SOON), 0);
	CHECK(watch_open(&watch, "/rw/watched", FS_WATCH_SELF_REMOVED, SOON), 0);
	CHECK(path_rmdir("/rw/watched", SOON), 0);
	expect_event(watch, FS_WATCH_SELF_REMOVED, "");
	CHECK(watch_next(watch, &event, SOON), 0);
	CHECK(watch_next(watch, &event, SOON), 0);
	watch_close(watch);
}

void exercise_calls(bool xattrs)
{
	positions();
	ranges();
	copy_between_mounts();
	locks();
	attributes();
	links();
	extended(xattrs);
	whole_files();
	from_directories();
	watches();
}
