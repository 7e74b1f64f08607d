/*
 * files_load: loads on files that tests/bench/files measures: CASE DIR [N]. Prints what it moved
 * and how long that took, begun when the mount is open: "CASE N units in S ns".
 * tests/bench/files_native.c is its twin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "tests/bench/files_cases.h"

static char path[FS_PATH_MAX];
static uint64_t begun;

static void fail(const char *what, long error)
{
	fprintf(stderr, "files_load: %s: error %ld\n", what, -error);
	guest_exit(1);
}

static void begin(void)
{
	begun = clock_now();
}

static void end(const char *name, uint64_t units)
{
	printf("%s %llu units in %llu ns\n", name, (unsigned long long)units,
		(unsigned long long)(clock_now() - begun));
}

static struct file *open_big(const char *directory, uint32_t flags)
{
	struct file *file;
	int error;

	snprintf(path, sizeof(path), "%s/" FILES_BIG, directory);
	error = file_open(&file, path, flags, 0644, FOREVER);
	if (error)
		fail(path, error);
	return file;
}

/* ---- bytes in order */

static int count_bytes(
	void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len)
{
	uint64_t *sum = argument;

	(void)attributes, (void)bytes;
	*sum += len;
	return 0;
}

/* The pieces are looked at where they lie. */
static void read_whole(const char *directory, uint64_t n)
{
	uint64_t got = 0;
	int error;

	(void)n;
	file_close(open_big(directory, FS_OPEN_READ));
	begin();
	error = file_read_whole(path, 0, UINT64_MAX, count_bytes, &got, FOREVER);
	if (error)
		fail(path, error);
	end("read-whole", got);
}

static void read_copied(const char *directory, uint64_t n)
{
	struct file *file = open_big(directory, FS_OPEN_READ);
	char *bytes = malloc(FILES_BUFFER);
	uint64_t at = 0;
	long len;

	(void)n;
	begin();
	while ((len = file_pread(file, bytes, FILES_BUFFER, at, FOREVER)) > 0)
		at += (uint64_t)len;
	if (len < 0)
		fail(path, len);
	end("read", at);
}

static void write_copied(const char *directory, uint64_t n, const char *name, uint32_t flags)
{
	struct file *file = open_big(directory, FS_OPEN_WRITE | flags);
	char *bytes = calloc(1, FILES_BUFFER);
	uint64_t at = 0;
	long len = 0;

	begin();
	while (at < n && (len = file_pwrite(file, bytes, FILES_BUFFER, at, FOREVER)) > 0)
		at += (uint64_t)len;
	if (len < 0)
		fail(path, len);
	end(name, at);
}

static void write_new(const char *directory, uint64_t n)
{
	write_copied(directory, n, "write", FS_OPEN_CREATE | FS_OPEN_TRUNCATE);
}

/* Over the bytes that it has. */
static void rewrite(const char *directory, uint64_t n)
{
	write_copied(directory, n, "rewrite", 0);
}

/* The bytes are sent as they lie in the ring, as those that were read are only counted. */
static long give(void *argument, void *ret_bytes, size_t room)
{
	uint64_t *left = argument;
	size_t len = room < *left ? room : (size_t)*left;

	(void)ret_bytes;
	*left -= len;
	return (long)len;
}

static void send_whole(const char *directory, uint64_t n, const char *name, uint32_t flags)
{
	uint64_t left = n;
	int error;

	file_close(open_big(directory, FS_OPEN_WRITE | flags));
	begin();
	error = file_write_whole(path, 0, 0, give, &left, NULL, FOREVER);
	if (error)
		fail(path, error);
	end(name, n - left);
}

static void write_whole(const char *directory, uint64_t n)
{
	send_whole(directory, n, "write-whole", FS_OPEN_CREATE | FS_OPEN_TRUNCATE);
}

static void rewrite_whole(const char *directory, uint64_t n)
{
	send_whole(directory, n, "rewrite-whole", 0);
}

/* ---- many at once */

static struct {
	struct file *file;
	const char *directory;
	uint64_t next, n, size;
	unsigned running;
	struct wait_list done;
	void (*one)(uint64_t index, char *bytes);
} crowd;

static void member(void *argument)
{
	char *bytes = malloc(FILES_BLOCK);

	(void)argument;
	while (crowd.next < crowd.n)
		crowd.one(crowd.next++, bytes);
	free(bytes);
	crowd.running--;
	wait_list_wake(&crowd.done);
}

static void run_crowd(void (*one)(uint64_t index, char *bytes), uint64_t n)
{
	crowd.one = one;
	crowd.n = n;
	while (crowd.running < FILES_AT_ONCE && fiber_spawn(member, NULL) == 0)
		crowd.running++;
	while (crowd.running > 0)
		wait_list_wait(&crowd.done, FOREVER);
}

static void read_block(uint64_t index, char *bytes)
{
	uint64_t at = files_block_at(index, crowd.size);
	long len = file_pread(crowd.file, bytes, FILES_BLOCK, at, FOREVER);

	if (len != FILES_BLOCK)
		fail(path, len);
}

static void read_random(const char *directory, uint64_t n)
{
	crowd.file = open_big(directory, FS_OPEN_READ);
	crowd.size = file_attributes(crowd.file)->size;
	begin();
	run_crowd(read_block, n);
	end("pread", n);
}

static void stat_one(uint64_t index, char *bytes)
{
	struct fs_attributes attributes;
	int error;

	snprintf(bytes, FILES_BLOCK, "%s/" FILES_MANY "/" FILES_NAME, crowd.directory,
		(unsigned)index);
	error = path_stat(bytes, &attributes, FOREVER);
	if (error)
		fail(bytes, error);
}

static void stat_many(const char *directory, uint64_t n)
{
	struct fs_attributes attributes;

	crowd.directory = directory;
	path_stat(directory, &attributes, FOREVER);
	begin();
	run_crowd(stat_one, n);
	end("stat", n);
}

/* ---- a directory */

static void list(const char *directory, uint64_t n)
{
	struct directory *many;
	const char *name;
	uint16_t type;
	uint64_t count = 0;
	int more;

	(void)n;
	snprintf(path, sizeof(path), "%s/" FILES_MANY, directory);
	more = directory_open(&many, path, FOREVER);
	if (more)
		fail(path, more);
	begin();
	while ((more = directory_next(many, &name, &type, FOREVER)) > 0)
		count++;
	if (more)
		fail(path, more);
	end("list", count);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *directory, uint64_t n);
	} cases[] = {
		{"read-whole", read_whole},
		{"read", read_copied},
		{"write", write_new},
		{"write-whole", write_whole},
		{"rewrite", rewrite},
		{"rewrite-whole", rewrite_whole},
		{"pread", read_random},
		{"stat", stat_many},
		{"list", list},
	};

	for (size_t i = 0; argc == 4 && i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(argv[1], cases[i].name) != 0)
			continue;
		cases[i].run(argv[2], strtoull(argv[3], NULL, 0));
		return 0;
	}
	fprintf(stderr, "usage: files_load CASE DIR N\n");
	return 2;
}
