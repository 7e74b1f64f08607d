/* files_native: the loads of tests/guests/files_load.c by plain system calls of one thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/files_cases.h"

static char path[4096], buffer[FILES_BUFFER];
static uint64_t begun;

static void fail(const char *what)
{
	fprintf(stderr, "files_native: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void begin(void)
{
	begun = now();
}

static void end(const char *name, uint64_t units)
{
	printf("%s %llu units in %llu ns\n", name, (unsigned long long)units,
		(unsigned long long)(now() - begun));
}

static int open_big(const char *directory, int flags)
{
	snprintf(path, sizeof(path), "%s/" FILES_BIG, directory);
	int fd = open(path, flags, 0644);
	if (fd < 0)
		fail(path);
	return fd;
}

static void read_all(const char *directory, uint64_t n)
{
	int fd = open_big(directory, O_RDONLY);
	uint64_t got = 0;
	ssize_t len;

	(void)n;
	begin();
	while ((len = read(fd, buffer, sizeof(buffer))) > 0)
		got += (uint64_t)len;
	if (len < 0)
		fail(path);
	end("read", got);
}

static void write_all(const char *directory, uint64_t n, const char *name, int flags)
{
	int fd = open_big(directory, O_WRONLY | flags);
	uint64_t put = 0;

	memset(buffer, 0, sizeof(buffer));
	begin();
	while (put < n) {
		ssize_t len = write(fd, buffer, sizeof(buffer));
		if (len < 0)
			fail(path);
		put += (uint64_t)len;
	}
	end(name, put);
}

static void write_new(const char *directory, uint64_t n)
{
	write_all(directory, n, "write", O_CREAT | O_TRUNC);
}

static void rewrite(const char *directory, uint64_t n)
{
	write_all(directory, n, "rewrite", 0);
}

static void read_random(const char *directory, uint64_t n)
{
	int fd = open_big(directory, O_RDONLY);
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		fail(path);
	begin();
	for (uint64_t i = 0; i < n; i++) {
		off_t at = (off_t)files_block_at(i, (uint64_t)stat.st_size);
		if (pread(fd, buffer, FILES_BLOCK, at) != FILES_BLOCK)
			fail(path);
	}
	end("pread", n);
}

static void stat_many(const char *directory, uint64_t n)
{
	struct stat look;

	begin();
	for (uint64_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/" FILES_MANY "/" FILES_NAME, directory,
			(unsigned)i);
		if (stat(path, &look) < 0)
			fail(path);
	}
	end("stat", n);
}

static void list(const char *directory, uint64_t n)
{
	uint64_t count = 0;

	(void)n;
	snprintf(path, sizeof(path), "%s/" FILES_MANY, directory);
	DIR *many = opendir(path);
	if (many == NULL)
		fail(path);
	begin();
	for (const struct dirent *entry; (entry = readdir(many)) != NULL;)
		count += entry->d_name[0] != '.';
	end("list", count);
	closedir(many);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const char *directory, uint64_t n);
	} cases[] = {
		{"read-whole", read_all},
		{"read", read_all},
		{"write", write_new},
		{"write-whole", write_new},
		{"rewrite", rewrite},
		{"rewrite-whole", rewrite},
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
	fprintf(stderr, "usage: files_native CASE DIR N\n");
	return 2;
}
