/*
 * fs_fault: does to files what its arguments say, one after the other, and prints what became of
 * each: "read PATH", "whole PATH", "slow PATH", "write PATH", "fill PATH", "list PATH", "stat
 * PATH", "open PATH", "late PATH" (a read that is given up after 300 ms), "records PATH" (appends
 * and syncs until it is killed), "wait" (half a second).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"

#define PIECE 65536u

static unsigned char bytes[PIECE];
static uint64_t seen;

static int count(
	void *argument, const struct fs_attributes *attributes, const void *data, size_t len)
{
	const deadline *pause = argument;

	(void)attributes, (void)data;
	seen += len;
	if (*pause)
		fiber_sleep(in_milliseconds(*pause));
	return 0;
}

static long whole(const char *path, deadline pause)
{
	int error;

	seen = 0;
	error = file_read_whole(path, 0, UINT64_MAX, count, &pause, in_milliseconds(20000));
	return error ? error : (long)seen;
}

static long read_some(const char *path, deadline until)
{
	struct file *file;
	long got = file_open(&file, path, FS_OPEN_READ, 0, until);

	if (got)
		return got;
	got = file_pread(file, bytes, PIECE, 0, until);
	file_close(file);
	return got;
}

static long write_some(const char *path)
{
	struct file *file;
	long put = file_open(&file, path, FS_OPEN_WRITE | FS_OPEN_CREATE, 0644, FOREVER);

	if (put)
		return put;
	put = file_pwrite(file, bytes, PIECE, 0, FOREVER);
	if (put == PIECE)
		put = file_sync(file, FOREVER);
	file_close(file);
	return put;
}

/* Until no more goes in: what went in, and then why. */
static long fill(const char *path)
{
	struct file *file;
	uint64_t at = 0;
	long put = file_open(&file, path, FS_OPEN_WRITE | FS_OPEN_CREATE, 0644, FOREVER);

	if (put)
		return put;
	while ((put = file_pwrite(file, bytes, PIECE, at, FOREVER)) > 0)
		at += (uint64_t)put;
	file_close(file);
	printf("filled %llu\n", (unsigned long long)at);
	return put;
}

static long list(const char *path)
{
	struct directory *directory;
	const char *name;
	uint16_t type;
	long count_of = 0;
	int more = directory_open(&directory, path, FOREVER);

	if (more)
		return more;
	while ((more = directory_next(directory, &name, &type, FOREVER)) == 1)
		count_of++;
	directory_close(directory);
	return more ? more : count_of;
}

static long stat_path(const char *path)
{
	struct fs_attributes attributes;
	int error = path_stat(path, &attributes, FOREVER);

	return error ? error : (long)attributes.size;
}

static long open_path(const char *path)
{
	struct file *file;
	int error = file_open(&file, path, FS_OPEN_READ, 0, FOREVER);

	if (!error)
		file_close(file);
	return error;
}

/* A line is printed when its record is on the disk. */
static long records(const char *path)
{
	struct file *file;
	long error = file_open(
		&file, path, FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_APPEND, 0644, FOREVER);
	char record[32];

	for (unsigned i = 0; !error; i++) {
		int len = snprintf(record, sizeof(record), "record %u\n", i);

		if (file_write(file, record, (size_t)len, FOREVER) != len)
			return -EIO;
		error = i % 2 ? file_sync(file, FOREVER) : file_sync_data(file, FOREVER);
		if (!error)
			printf("%s", record);
		fflush(stdout);
	}
	return error;
}

static long act(const char *action, const char *path)
{
	if (strcmp(action, "read") == 0)
		return read_some(path, FOREVER);
	if (strcmp(action, "late") == 0)
		return read_some(path, in_milliseconds(300));
	if (strcmp(action, "whole") == 0)
		return whole(path, 0);
	if (strcmp(action, "slow") == 0)
		return whole(path, 30);
	if (strcmp(action, "write") == 0)
		return write_some(path);
	if (strcmp(action, "fill") == 0)
		return fill(path);
	if (strcmp(action, "list") == 0)
		return list(path);
	if (strcmp(action, "stat") == 0)
		return stat_path(path);
	if (strcmp(action, "open") == 0)
		return open_path(path);
	if (strcmp(action, "records") == 0)
		return records(path);
	return -EINVAL;
}

int main(int argc, char **argv)
{
	memset(bytes, 'f', sizeof(bytes));
	for (int i = 1; i < argc; i++) {
		const char *action = argv[i];

		if (strcmp(action, "wait") == 0) {
			fiber_sleep(in_milliseconds(500));
			continue;
		}
		if (++i < argc)
			printf("%s %ld\n", action, act(action, argv[i]));
		fflush(stdout);
	}
	return 0;
}
