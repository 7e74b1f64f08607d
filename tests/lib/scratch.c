#include "tests/lib/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define PIECE    (256u << 10) /* bytes */
#define TAIL_LEN 3000         /* bytes of a file that are shown */

static char directory[96];

int scratch_create(void)
{
	const char *parent = getenv("TMPDIR");

	if (parent == NULL || strlen(parent) > 60)
		parent = "/tmp";
	snprintf(directory, sizeof(directory), "%s/ferrule-test-XXXXXX", parent);
	return mkdtemp(directory) != NULL ? 0 : -errno;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status, (void)type, (void)where;
	remove(path);
	return 0;
}

void scratch_remove(void)
{
	nftw(directory, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
}

static void show_tail(const char *path, const char *name)
{
	char tail[TAIL_LEN + 1];
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return;
	if (fseek(file, -TAIL_LEN, SEEK_END) < 0)
		rewind(file);
	size_t len = fread(tail, 1, TAIL_LEN, file);
	tail[len] = '\0';
	if (len != 0)
		fprintf(stderr, "---- %s\n%s\n", name, tail);
	fclose(file);
}

void scratch_show_errors(void)
{
	DIR *listing = opendir(directory);
	struct dirent *entry;

	while (listing != NULL && (entry = readdir(listing)) != NULL) {
		size_t len = strlen(entry->d_name);
		if (len < 4 || strcmp(entry->d_name + len - 4, ".err") != 0)
			continue;
		char *path = scratch_path("%s", entry->d_name);
		show_tail(path, entry->d_name);
		free(path);
	}
	if (listing != NULL)
		closedir(listing);
}

const char *scratch_dir(void)
{
	return directory;
}

char *scratch_path(const char *format, ...)
{
	char *name, *path;
	va_list args;

	va_start(args, format);
	if (vasprintf(&name, format, args) < 0)
		abort();
	va_end(args);
	if (asprintf(&path, "%s/%s", directory, name) < 0)
		abort();
	free(name);
	return path;
}

char *scratch_subdir(const char *name)
{
	char *path = scratch_path("%s", name);

	if (mkdir(path, 0755) < 0)
		ck_abort_msg("%s: %s", path, strerror(errno));
	return path;
}

static FILE *open_file(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);

	if (file == NULL)
		ck_abort_msg("%s: %s", path, strerror(errno));
	return file;
}

void file_write(const char *path, const void *bytes, size_t len)
{
	FILE *file = open_file(path, "we");

	expect_equal(fwrite(bytes, 1, len, file), len);
	expect_equal(fclose(file), 0);
}

void file_write_pattern(const char *path, uint64_t key, uint64_t len)
{
	static unsigned char piece[PIECE];
	FILE *file = open_file(path, "we");

	for (uint64_t done = 0; done < len;) {
		size_t n = len - done < PIECE ? (size_t)(len - done) : PIECE;
		pattern_fill(key, done, piece, n);
		expect_equal(fwrite(piece, 1, n, file), n);
		done += n;
	}
	expect_equal(fclose(file), 0);
}

void expect_same_file(const char *path, const char *wanted)
{
	static unsigned char a[PIECE], b[PIECE];
	FILE *file_a = open_file(path, "re"), *file_b = open_file(wanted, "re");
	uint64_t done = 0;
	size_t len;

	do {
		len = fread(a, 1, PIECE, file_a);
		if (fread(b, 1, PIECE, file_b) != len || memcmp(a, b, len) != 0)
			ck_abort_msg("%s differs from %s in the %u KiB from byte %llu on", path,
				wanted, PIECE >> 10, (unsigned long long)done);
		done += len;
	} while (len != 0);
	fclose(file_a);
	fclose(file_b);
}
