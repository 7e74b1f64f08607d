/*
 * fs_exercise: every file_ and path_ call of guest/ferrule.h, right and wrong, below
 * the mounts /rw (writable), /ro and /none (not granted). files_test.c has laid out
 * what it meets there. Its last line is one word: "passed", or "failed".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "tests/guests/fs_exercise.h"

#define BIG_LEN     (3u << 20) /* bytes: more than any ring */
#define MANY        1000
#define HANDLES     200 /* files open at once */
#define PATTERN(at) ((unsigned char)((at)*31u + (at) / 251u))

static int failures;

void exercise_check(long got, long wanted, const char *file, int line)
{
	if (got == wanted)
		return;
	failures++;
	printf("%s:%d: %ld instead of %ld\n", file, line, got, wanted);
}

static int open_file(struct file **ret_file, const char *path, uint32_t flags)
{
	return file_open(ret_file, path, flags, 0644, SOON);
}

/* The errno of opening, 0 after closing again. */
static int try_open(const char *path, uint32_t flags)
{
	struct file *file;
	int error = open_file(&file, path, flags);

	if (!error)
		file_close(file);
	return error;
}

static void write_text(const char *path, const char *text)
{
	struct file *file;

	CHECK(open_file(&file, path, FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE), 0);
	CHECK(file_pwrite(file, text, strlen(text), 0, SOON), strlen(text));
	file_close(file);
}

static void expect_text(const char *path, const char *text)
{
	struct fs_attributes attributes;
	char bytes[64];
	long len = path_read(path, bytes, sizeof(bytes), &attributes, SOON);

	CHECK(len, strlen(text));
	CHECK(len == (long)strlen(text) ? memcmp(bytes, text, (size_t)len) : 1, 0);
	CHECK(attributes.size, strlen(text));
}

/* ---- one file */

static void open_flags(void)
{
	CHECK(try_open("/rw/absent", FS_OPEN_READ), -ENOENT);
	CHECK(try_open("/rw/absent", FS_OPEN_WRITE), -ENOENT);
	CHECK(try_open("/rw/new", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE), 0);
	CHECK(try_open("/rw/new", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE), -EEXIST);
	CHECK(try_open("/rw/new", FS_OPEN_WRITE | FS_OPEN_CREATE), 0);
	CHECK(try_open("/rw/new", FS_OPEN_READ | FS_OPEN_DIRECTORY), -ENOTDIR);
	CHECK(try_open("/rw/new/below", FS_OPEN_READ), -ENOTDIR);
	CHECK(try_open("/rw/new", 0), -EINVAL);
	CHECK(try_open("/rw/new", FS_OPEN_READ | FS_OPEN_TRUNCATE), -EINVAL);
	CHECK(try_open("/rw/new", FS_OPEN_READ | 1u << 20), -EINVAL);
	CHECK(try_open("/rw/dir", FS_OPEN_READ), 0);
	CHECK(try_open("/rw/dir", FS_OPEN_WRITE), -EISDIR);
	CHECK(try_open("/rw/fifo", FS_OPEN_READ), -EACCES);
	CHECK(try_open("/rw/inner_link", FS_OPEN_READ), 0);
	CHECK(try_open("/rw/inner_link", FS_OPEN_READ | FS_OPEN_NOFOLLOW), -ELOOP);
	CHECK(path_unlink("/rw/new", SOON), 0);
}

static void truncate_and_append(void)
{
	struct file *file;

	write_text("/rw/text", "long contents");
	write_text("/rw/text", "short");
	expect_text("/rw/text", "short");
	CHECK(open_file(&file, "/rw/text", FS_OPEN_WRITE | FS_OPEN_APPEND), 0);
	CHECK(file_pwrite(file, "er", 2, 0, SOON), 2);
	file_close(file);
	expect_text("/rw/text", "shorter");
	CHECK(open_file(&file, "/rw/text", FS_OPEN_READ | FS_OPEN_WRITE), 0);
	CHECK(file_pwrite(file, "S", 1, 0, SOON), 1);
	CHECK(file_pwrite(file, "!", 1, 7, SOON), 1);
	CHECK(file_sync(file, SOON), 0);
	file_close(file);
	expect_text("/rw/text", "Shorter!");
	CHECK(path_unlink("/rw/text", SOON), 0);
}

static void wrong_handle_use(void)
{
	struct file *file;
	char byte;

	CHECK(open_file(&file, "/rw/known", FS_OPEN_READ), 0);
	CHECK(file_pwrite(file, "x", 1, 0, SOON), -EBADF);
	CHECK(file_pread(file, &byte, 1, UINT64_MAX, SOON), -EINVAL);
	CHECK(file_pread(file, &byte, 1, 1u << 30, SOON), 0);
	file_close(file);
	CHECK(open_file(&file, "/rw/known", FS_OPEN_WRITE), 0);
	CHECK(file_pread(file, &byte, 1, 0, SOON), -EBADF);
	file_close(file);
	CHECK(open_file(&file, "/rw/dir", FS_OPEN_READ), 0);
	CHECK(file_pread(file, &byte, 1, 0, SOON), -EISDIR);
	file_close(file);
}

/* ---- many bytes */

static unsigned char *pattern(void)
{
	unsigned char *bytes = malloc(BIG_LEN);

	for (unsigned i = 0; bytes != NULL && i < BIG_LEN; i++)
		bytes[i] = PATTERN(i);
	CHECK(bytes != NULL, 1);
	return bytes;
}

/* At most what one reply carries comes at once: a loop, as every caller writes it. */
static long read_all(struct file *file, unsigned char *ret_bytes, size_t len)
{
	size_t done = 0;
	long n;

	while (done < len && (n = file_pread(file, ret_bytes + done, len - done, done, SOON)) > 0)
		done += (size_t)n;
	return (long)done;
}

static void big_file(const unsigned char *bytes)
{
	unsigned char *back = malloc(BIG_LEN);
	struct file *file;

	CHECK(open_file(&file, "/rw/big", FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_CREATE), 0);
	CHECK(file_attributes(file)->size, 0);
	CHECK(file_pwrite(file, bytes, BIG_LEN, 0, SOON), BIG_LEN);
	CHECK(read_all(file, back, BIG_LEN), BIG_LEN);
	CHECK(memcmp(bytes, back, BIG_LEN), 0);
	file_close(file);
	free(back);
}

struct whole {
	const unsigned char *bytes; /* what has to come */
	size_t at;
	size_t stop_at; /* the sink returns 77 from there on */
	uint64_t size;  /* from the attributes */
	int wrong;
};

static int take_piece(
	void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len)
{
	struct whole *whole = argument;

	if (len == 0)
		whole->size = attributes->size;
	else if (memcmp(whole->bytes + whole->at, bytes, len) != 0)
		whole->wrong++;
	whole->at += len;
	return whole->at >= whole->stop_at ? 77 : 0;
}

static void whole_file(const unsigned char *bytes)
{
	struct whole all = {.bytes = bytes, .stop_at = SIZE_MAX};
	struct whole part = {.bytes = bytes + 12345, .stop_at = SIZE_MAX};
	struct whole stopped = {.bytes = bytes, .stop_at = 100000};
	struct whole none = {.stop_at = SIZE_MAX};

	CHECK(file_read_whole("/rw/big", 0, UINT64_MAX, take_piece, &all, SOON), 0);
	CHECK(all.at, BIG_LEN);
	CHECK(all.size, BIG_LEN);
	CHECK(file_read_whole("/rw/big", 12345, 70000, take_piece, &part, SOON), 0);
	CHECK(part.at, 70000);
	CHECK(file_read_whole("/rw/big", 0, UINT64_MAX, take_piece, &stopped, SOON), 77);
	CHECK(all.wrong + part.wrong + stopped.wrong, 0);
	CHECK(file_read_whole("/rw/absent", 0, UINT64_MAX, take_piece, &none, SOON), -ENOENT);
	CHECK(file_read_whole("/rw/dir", 0, UINT64_MAX, take_piece, &none, SOON), -EISDIR);
	CHECK(file_read_whole("/rw/empty", 0, UINT64_MAX, take_piece, &none, SOON), 0);
	CHECK(none.at + none.size, 0);
	expect_text("/rw/known", "known"); /* what was stopped is in nobody's way */
}

/* ---- names */

static void stat_calls(void)
{
	struct fs_attributes attributes;

	CHECK(path_stat("/rw/known", &attributes, SOON), 0);
	CHECK(attributes.size, 5);
	CHECK(attributes.mode >> 12, FILE_TYPE_REGULAR);
	CHECK(attributes.mode & 0777, 0644);
	CHECK(attributes.mtime_s, 1000000000);
	CHECK(path_stat("/rw/dir", &attributes, SOON), 0);
	CHECK(attributes.mode >> 12, FILE_TYPE_DIRECTORY);
	CHECK(path_stat("/rw", &attributes, SOON), 0);
	CHECK(attributes.mode >> 12, FILE_TYPE_DIRECTORY);
	CHECK(path_stat("/rw/fifo", &attributes, SOON), 0);
	CHECK(path_stat("/rw/absent", &attributes, SOON), -ENOENT);
	CHECK(path_stat("/rw/known/below", &attributes, SOON), -ENOTDIR);
}

static void change_names(void)
{
	CHECK(path_mkdir("/rw/made", 0755, SOON), 0);
	CHECK(path_mkdir("/rw/made", 0755, SOON), -EEXIST);
	CHECK(path_mkdir("/rw/absent/below", 0755, SOON), -ENOENT);
	write_text("/rw/made/one", "1");
	CHECK(path_rmdir("/rw/made", SOON), -ENOTEMPTY);
	CHECK(path_unlink("/rw/made", SOON), -EISDIR);
	CHECK(path_rmdir("/rw/made/one", SOON), -ENOTDIR);
	CHECK(path_rename("/rw/made/one", "/rw/made/two", SOON), 0);
	CHECK(path_rename("/rw/made/one", "/rw/made/two", SOON), -ENOENT);
	expect_text("/rw/made/two", "1");
	write_text("/rw/made/three", "3");
	CHECK(path_rename("/rw/made/three", "/rw/made/two", SOON), 0);
	expect_text("/rw/made/two", "3");
	CHECK(path_rename("/rw/made", "/rw/made/itself", SOON), -EINVAL);
	CHECK(path_rename("/rw/made/two", "/ro/two", SOON), -EXDEV);
	/* A slash at the end: only a directory is meant. */
	CHECK(path_unlink("/rw/made/two/", SOON), -ENOTDIR);
	CHECK(path_unlink("/rw/made/", SOON), -EISDIR);
	CHECK(path_unlink("/rw/made/absent/", SOON), -ENOENT);
	CHECK(path_rename("/rw/made/two/", "/rw/made/three", SOON), -ENOTDIR);
	CHECK(path_rename("/rw/made/two", "/rw/made/three/", SOON), -ENOTDIR);
	CHECK(path_unlink("/rw/inner_link/", SOON), -ENOTDIR);
	CHECK(path_unlink("/rw/made/two", SOON), 0);
	CHECK(path_unlink("/rw/made/two", SOON), -ENOENT);
	CHECK(path_rename("/rw/made/", "/rw/renamed/", SOON), 0);
	CHECK(path_rename("/rw/renamed", "/rw/made", SOON), 0);
	CHECK(path_rename("/rw/made", "/rw/moved", SOON), 0);
	CHECK(path_rmdir("/rw/moved", SOON), 0);
	CHECK(path_rmdir("/rw/moved", SOON), -ENOENT);
}

static void long_names(void)
{
	char path[300] = "/rw/";

	memset(path + 4, 'n', 255);
	write_text(path, "longest");
	expect_text(path, "longest");
	CHECK(path_unlink(path, SOON), 0);
	path[4 + 255] = 'n';
	CHECK(try_open(path, FS_OPEN_WRITE | FS_OPEN_CREATE), -ENAMETOOLONG);
}

/* ---- directories */

static void make_many(void)
{
	char path[64];

	CHECK(path_mkdir("/rw/many", 0755, SOON), 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "/rw/many/entry number %d", i);
		CHECK(try_open(path, FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE), 0);
	}
}

static void list_many(void)
{
	static unsigned char seen[MANY];
	struct directory *directory;
	const char *name;
	uint16_t type;
	int count = 0, result;

	CHECK(directory_open(&directory, "/rw/many", SOON), 0);
	while ((result = directory_next(directory, &name, &type, SOON)) == 1) {
		int number = strncmp(name, "entry number ", 13) == 0 ? atoi(name + 13) : -1;
		CHECK(number >= 0 && number < MANY && !seen[number], 1);
		CHECK(type, FILE_TYPE_REGULAR);
		if (number >= 0 && number < MANY)
			seen[number] = 1;
		count++;
	}
	CHECK(result, 0);
	CHECK(count, MANY);
	directory_close(directory);
}

static void remove_many(void)
{
	struct directory *directory;
	const char *name;
	char path[64];

	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "/rw/many/entry number %d", i);
		CHECK(path_unlink(path, SOON), 0);
	}
	CHECK(directory_open(&directory, "/rw/many", SOON), 0);
	CHECK(directory_next(directory, &name, NULL, SOON), 0);
	directory_close(directory);
	CHECK(path_rmdir("/rw/many", SOON), 0);
	CHECK(directory_open(&directory, "/rw/many", SOON), -ENOENT);
	CHECK(directory_open(&directory, "/rw/known", SOON), -ENOTDIR);
}

static void many_open(void)
{
	static struct file *files[HANDLES];
	char byte;

	for (int i = 0; i < HANDLES; i++)
		CHECK(open_file(&files[i], "/rw/known", FS_OPEN_READ), 0);
	for (int i = 0; i < HANDLES; i++)
		CHECK(file_pread(files[i], &byte, 1, (uint64_t)i % 5, SOON), 1);
	for (int i = 0; i < HANDLES; i++)
		file_close(files[i]);
}

/* An unlinked file lives as long as its handle. */
static void unlinked_file(void)
{
	struct file *file;
	char bytes[8];

	write_text("/rw/doomed", "still");
	CHECK(open_file(&file, "/rw/doomed", FS_OPEN_READ), 0);
	CHECK(path_unlink("/rw/doomed", SOON), 0);
	CHECK(file_pread(file, bytes, sizeof(bytes), 0, SOON), 5);
	file_close(file);
}

/* ---- what must not work */

static void read_only_mount(void)
{
	expect_text("/ro/known", "known");
	CHECK(try_open("/ro/known", FS_OPEN_WRITE), -EROFS);
	CHECK(try_open("/ro/known", FS_OPEN_READ | FS_OPEN_WRITE), -EROFS);
	CHECK(try_open("/ro/new", FS_OPEN_WRITE | FS_OPEN_CREATE), -EROFS);
	CHECK(path_mkdir("/ro/made", 0755, SOON), -EROFS);
	CHECK(path_unlink("/ro/known", SOON), -EROFS);
	CHECK(path_rmdir("/ro/dir", SOON), -EROFS);
	CHECK(path_rename("/ro/known", "/ro/other", SOON), -EROFS);
}

static void not_granted(void)
{
	struct fs_attributes attributes;
	struct directory *directory;
	char byte;

	CHECK(try_open("/none/file", FS_OPEN_READ), -EACCES);
	CHECK(path_read("/none/file", &byte, 1, &attributes, SOON), -EACCES);
	CHECK(path_stat("/rwx/file", &attributes, SOON), -EACCES);
	CHECK(path_stat("/etc/passwd", &attributes, SOON), -EACCES);
	CHECK(path_mkdir("/none/made", 0755, SOON), -EACCES);
	CHECK(path_unlink("/none/file", SOON), -EACCES);
	CHECK(directory_open(&directory, "/none", SOON), -EACCES);
}

/* The top is no mount's: it has the mounts alone, and nothing changes there. */
static void above_mounts(void)
{
	struct fs_attributes attributes;
	struct file *top, *below;
	struct fs_system system;
	char byte;

	CHECK(path_stat("/", &attributes, SOON), 0);
	CHECK(attributes.mode, 0040555);
	CHECK(file_open(&top, "/", FS_OPEN_READ | FS_OPEN_DIRECTORY, 0, SOON), 0);
	CHECK(path_stat_at(top, ".", 0, &attributes, SOON), 0);
	CHECK(path_stat_at(top, "none", 0, &attributes, SOON), -EACCES);
	CHECK(path_stat_at(top, "", 0, &attributes, SOON), -ENOENT);
	CHECK(path_stat_at(top, "ro/known", 0, &attributes, SOON), 0);
	CHECK(file_open_at(&below, top, "rw/../ro/known", FS_OPEN_READ, 0, SOON), 0);
	CHECK(file_pread(below, &byte, 1, 0, SOON), 1);
	file_close(below);
	CHECK(path_mkdir_at(top, "rw/from_top", 0755, SOON), 0);
	CHECK(path_rename_at(top, "rw/from_top", top, "rw/from_above", 0, SOON), 0);
	CHECK(path_rename_at(top, "rw/from_above", top, "from_above", 0, SOON), -EACCES);
	CHECK(path_rename_at(top, "rw/from_above", top, "ro/from_above", 0, SOON), -EXDEV);
	CHECK(path_rmdir("/rw/from_above", SOON), 0);
	CHECK(path_unlink_at(top, "none", 0, SOON), -EACCES);
	CHECK(path_unlink_at(top, "nest/..", 0, SOON), -EROFS);
	CHECK(file_pread(top, &byte, 1, 0, SOON), -EISDIR);
	file_close(top);
	CHECK(file_open(&top, "/", FS_OPEN_WRITE, 0, SOON), -EROFS);
	CHECK(path_stat_system("/", &system, SOON), 0);
	CHECK(path_mkdir("/made", 0755, SOON), -EACCES);
	CHECK(path_rmdir("/", SOON), -EROFS);
}

/* A mount in a directory of another, which the host does not have there: paths from the directory.
 */
static void mount_in_mount(void)
{
	static char far[4050];
	struct fs_attributes attributes;
	struct directory *listed;
	unsigned found = 0;
	const char *name;
	struct file *dir;
	uint16_t type;

	CHECK(file_open(&dir, "/nest/dir", FS_OPEN_READ | FS_OPEN_DIRECTORY, 0, SOON), 0);
	CHECK(path_mkdir_at(dir, "made", 0755, SOON), 0);
	CHECK(path_stat_at(dir, "inner/known", 0, &attributes, SOON), 0);
	CHECK(path_stat_at(dir, "inner/../made", 0, &attributes, SOON), 0);
	CHECK(path_stat_at(dir, "made/../inner/../made/.", 0, &attributes, SOON), 0);
	CHECK(path_mkdir_at(dir, "inner/new", 0755, SOON), -EROFS);
	for (size_t i = 0; i + 9 < sizeof(far); i += 2)
		memcpy(far + i, "./", 2);
	strcpy(far + sizeof(far) - 11, "/inner/new");
	CHECK(path_mkdir_at(dir, far, 0755, SOON), -EROFS);
	CHECK(path_stat_at(dir, "../known", 0, &attributes, SOON), -EXDEV);
	CHECK(path_stat_at(dir, "../../ro/known", 0, &attributes, SOON), -EXDEV);
	CHECK(path_stat_at(dir, "inner/../../known", 0, &attributes, SOON), -EXDEV);
	CHECK(path_stat_at(dir, "/ro/known", 0, &attributes, SOON), -EXDEV);
	CHECK(directory_open_at(&listed, dir, ".", SOON), 0);
	while (directory_next(listed, &name, &type, SOON) == 1)
		found += strcmp(name, "inner") == 0 || strcmp(name, "made") == 0;
	CHECK(found, 2);
	directory_close(listed);
	file_close(dir);
	CHECK(path_rmdir("/nest/dir/made", SOON), 0);
	CHECK(file_open(&dir, "/", FS_OPEN_READ | FS_OPEN_DIRECTORY, 0, SOON), 0);
	CHECK(path_stat_at(dir, "nest/dir/inner/known", 0, &attributes, SOON), 0);
	CHECK(path_stat_at(dir, "../ro/known", 0, &attributes, SOON), 0);
	file_close(dir);
}

static void no_way_out(void)
{
	static const char *const ways[] = {"/rw/link_out_relative", "/rw/link_out_absolute",
		"/rw/dir_out/secret", "/ro/link_out_relative", "/rw/link_proc"};
	struct fs_attributes attributes;
	struct directory *directory;
	char byte;

	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		CHECK(try_open(ways[i], FS_OPEN_READ), -EXDEV);
		CHECK(path_read(ways[i], &byte, 1, &attributes, SOON), -EXDEV);
		CHECK(path_stat(ways[i], &attributes, SOON), -EXDEV);
	}
	CHECK(try_open("/rw/dir_out/new", FS_OPEN_WRITE | FS_OPEN_CREATE), -EXDEV);
	CHECK(directory_open(&directory, "/rw/dir_out", SOON), -EXDEV);
	CHECK(path_mkdir("/rw/dir_out/made", 0755, SOON), -EXDEV);
	CHECK(path_unlink("/rw/dir_out/secret", SOON), -EXDEV);
	CHECK(path_rename("/rw/dir_out/secret", "/rw/secret", SOON), -EXDEV);
	CHECK(path_rename("/rw/known", "/rw/dir_out/known", SOON), -EXDEV);
	/* '..' is taken out of a path as it is written: it leads to what is not granted. */
	CHECK(try_open("/rw/../outside/secret", FS_OPEN_READ), -EACCES);
	CHECK(try_open("/rw/dir/../../outside/secret", FS_OPEN_READ), -EACCES);
	CHECK(try_open("/rw/dir_out/../outside/secret", FS_OPEN_READ), -ENOENT);
	expect_text("/rw/dir/../known", "known");
	expect_text("/rw/../../ro/./known", "known");
}

int main(int argc, char **argv)
{
	open_flags();
	truncate_and_append();
	wrong_handle_use();
	unsigned char *bytes = pattern();
	big_file(bytes);
	whole_file(bytes);
	free(bytes);
	stat_calls();
	change_names();
	long_names();
	make_many();
	list_many();
	remove_many();
	many_open();
	unlinked_file();
	read_only_mount();
	not_granted();
	above_mounts();
	mount_in_mount();
	no_way_out();
	exercise_calls(argc < 2 || strcmp(argv[1], "no-xattrs") != 0);
	puts(failures == 0 ? "passed" : "failed");
	return failures == 0 ? 0 : 1;
}
