/*
 * fsx: a file exerciser. Random reads, writes, cuts, holes, copies and openings of one file, each
 * of which is done to a model in memory as well; what is read has to be what the model has. Needs a
 * writable mount.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "guest/programs/remedy.h"

#define LOG_LEN 24 /* operations that are told when something is wrong */

static struct {
	const char *path;
	struct file *file;
	unsigned char *model, *bytes;
	uint64_t size, most; /* bytes of the file, and that it may have */
	uint64_t state;      /* of the dice */
	unsigned done;
	char log[LOG_LEN][96];
} fsx;

static uint64_t draw(uint64_t limit)
{
	uint64_t x = fsx.state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return limit ? (x ^ x >> 31) % limit : 0;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fsx.log[fsx.done % LOG_LEN], sizeof(fsx.log[0]), format, args);
	va_end(args);
}

_Noreturn static void fail(const char *what, long long got, long long wanted)
{
	fprintf(stderr, "fsx: operation %u: %s: %lld instead of %lld; the last operations were\n",
		fsx.done, what, got, wanted);
	for (unsigned i = fsx.done < LOG_LEN ? 0 : fsx.done - LOG_LEN + 1; i <= fsx.done; i++)
		fprintf(stderr, "%8u %s\n", i, fsx.log[i % LOG_LEN]);
	guest_exit(1);
}

static void expect(const char *what, long long got, long long wanted)
{
	if (got != wanted)
		fail(what, got, wanted);
}

/* ---- the operations */

struct range {
	uint64_t offset, len;
};

static struct range draw_range(uint64_t end)
{
	struct range range = {.offset = draw(end + 1)};
	uint64_t most = end - range.offset;

	range.len = draw((draw(4) ? most / 8 : most) + 1);
	return range;
}

static void compare(const char *what, struct range range, long got)
{
	uint64_t there = range.offset < fsx.size ? fsx.size - range.offset : 0;

	expect(what, got, (long long)(range.len < there ? range.len : there));
	for (long i = 0; i < got; i++) {
		if (fsx.bytes[i] != fsx.model[range.offset + (uint64_t)i]) {
			fprintf(stderr, "fsx: the byte at %llu is wrong\n",
				(unsigned long long)range.offset + (unsigned long long)i);
			fail(what, fsx.bytes[i], fsx.model[range.offset + (uint64_t)i]);
		}
	}
}

static void do_read(void)
{
	struct range range = draw_range(fsx.most);

	note("read %llu +%llu", (unsigned long long)range.offset, (unsigned long long)range.len);
	compare("read", range,
		file_pread(fsx.file, fsx.bytes, (size_t)range.len, range.offset, FOREVER));
}

static void do_write(void)
{
	struct range range = draw_range(fsx.most);

	note("write %llu +%llu", (unsigned long long)range.offset, (unsigned long long)range.len);
	for (uint64_t i = 0; i < range.len; i++)
		fsx.bytes[i] = (unsigned char)(fsx.done + (unsigned)i * 7);
	expect("write", file_pwrite(fsx.file, fsx.bytes, (size_t)range.len, range.offset, FOREVER),
		(long long)range.len);
	memcpy(fsx.model + range.offset, fsx.bytes, (size_t)range.len);
	if (range.len && range.offset + range.len > fsx.size)
		fsx.size = range.offset + range.len;
}

static void do_truncate(void)
{
	uint64_t size = draw(fsx.most + 1);

	note("truncate %llu", (unsigned long long)size);
	expect("truncate", file_truncate(fsx.file, size, FOREVER), 0);
	if (size < fsx.size)
		memset(fsx.model + size, 0, (size_t)(fsx.size - size));
	fsx.size = size;
}

static void clear(struct range range)
{
	memset(fsx.model + range.offset, 0, (size_t)range.len);
}

static void do_punch(void)
{
	struct range range = draw_range(fsx.size);

	if (!range.len)
		return;
	note("punch %llu +%llu", (unsigned long long)range.offset, (unsigned long long)range.len);
	expect("punch",
		file_allocate(fsx.file, FS_ALLOCATE_PUNCH_HOLE | FS_ALLOCATE_KEEP_SIZE,
			range.offset, range.len, FOREVER),
		0);
	clear(range);
}

static void do_zero(void)
{
	struct range range = draw_range(fsx.most);
	int error;

	if (!range.len)
		return;
	note("zero %llu +%llu", (unsigned long long)range.offset, (unsigned long long)range.len);
	error = file_allocate(fsx.file, FS_ALLOCATE_ZERO, range.offset, range.len, FOREVER);
	if (error == -ENOTSUP) /* tmpfs for instance */
		return;
	expect("zero", error, 0);
	clear(range);
	if (range.offset + range.len > fsx.size)
		fsx.size = range.offset + range.len;
}

static void do_allocate(void)
{
	struct range range = draw_range(fsx.most);

	if (!range.len)
		return;
	note("allocate %llu +%llu", (unsigned long long)range.offset,
		(unsigned long long)range.len);
	expect("allocate", file_allocate(fsx.file, 0, range.offset, range.len, FOREVER), 0);
	if (range.offset + range.len > fsx.size)
		fsx.size = range.offset + range.len;
}

static void do_copy(void)
{
	struct range range = draw_range(fsx.size);
	uint64_t to = draw(fsx.most - range.len + 1);

	/* What overlaps is refused. */
	if (!range.len || (to < range.offset + range.len && range.offset < to + range.len))
		return;
	note("copy %llu +%llu to %llu", (unsigned long long)range.offset,
		(unsigned long long)range.len, (unsigned long long)to);
	expect("copy", file_copy(fsx.file, range.offset, fsx.file, to, range.len, FOREVER),
		(long long)range.len);
	memmove(fsx.model + to, fsx.model + range.offset, (size_t)range.len);
	if (to + range.len > fsx.size)
		fsx.size = to + range.len;
}

/* Where there is a hole are zeros, and holes and data follow one another up to the end. */
static void do_map(void)
{
	uint64_t at = 0;

	note("map");
	while (at < fsx.size) {
		int64_t data = file_seek(fsx.file, (int64_t)at, FS_SEEK_DATA, FOREVER);
		uint64_t end = data == -ENXIO ? fsx.size : (uint64_t)data;

		if (data < 0 && data != -ENXIO)
			fail("the next data", data, 0);
		for (; at < end; at++)
			expect("a byte of a hole", fsx.model[at], 0);
		if (at == fsx.size)
			return;
		data = file_seek(fsx.file, (int64_t)at, FS_SEEK_HOLE, FOREVER);
		if (data <= (int64_t)at)
			fail("the next hole", data, (long long)at + 1);
		at = (uint64_t)data;
	}
}

static void open_again(uint32_t flags)
{
	int error =
		file_open(&fsx.file, fsx.path, FS_OPEN_READ | FS_OPEN_WRITE | flags, 0644, FOREVER);

	if (error)
		guest_exit(cannot_file("fsx", "open", fsx.path, error));
}

static void do_reopen(void)
{
	note("close, open");
	file_close(fsx.file);
	open_again(0);
	expect("size", (long long)file_attributes(fsx.file)->size, (long long)fsx.size);
}

static void do_sync(void)
{
	note("sync");
	if (draw(50) == 0)
		expect("sync", file_sync(fsx.file, FOREVER), 0);
}

static void do_stat(void)
{
	struct fs_attributes attributes;

	note("stat");
	expect("stat", file_stat(fsx.file, &attributes, FOREVER), 0);
	expect("size", (long long)attributes.size, (long long)fsx.size);
}

static int take_whole(
	void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len)
{
	uint64_t *at = argument;

	(void)attributes;
	if (len == 0) /* the attributes */
		return 0;
	if (*at + len > fsx.size || memcmp(bytes, fsx.model + *at, len) != 0)
		fail("the whole file, from", (long long)*at, (long long)fsx.size);
	*at += len;
	return 0;
}

static void do_whole(void)
{
	uint64_t at = 0;

	note("read whole");
	expect("read whole", file_read_whole(fsx.path, 0, UINT64_MAX, take_whole, &at, FOREVER), 0);
	expect("its length", (long long)at, (long long)fsx.size);
}

static void (*const operations[])(void) = {do_read, do_read, do_read, do_write, do_write, do_write,
	do_truncate, do_punch, do_zero, do_allocate, do_copy, do_map, do_reopen, do_sync, do_stat,
	do_whole};

/* ---- the program */

static const char usage[] = "usage: fsx [--seed N] [--operations N] [--length BYTES] PATH\n"
			    "Does N random operations (1000) to the file PATH, which it makes, of "
			    "at most BYTES (262144), and to a\n"
			    "model of it in memory; status 1 when they differ. Grants: --mount "
			    "HOSTDIR:GUESTDIR:rw, with PATH below GUESTDIR.\n"
			    "  ferrule run --mount .:/rw:rw fsx.elf /rw/fsx.tmp\n";

int main(int argc, char **argv)
{
	unsigned count = 1000;
	int i = 1;

	fsx.state = 1;
	fsx.most = 256u << 10;
	for (; i + 1 < argc && argv[i][0] == '-' && argv[i][1] == '-'; i += 2) {
		unsigned long long value = strtoull(argv[i + 1], NULL, 0);

		if (strcmp(argv[i], "--seed") == 0)
			fsx.state = value;
		else if (strcmp(argv[i], "--operations") == 0)
			count = (unsigned)value;
		else if (strcmp(argv[i], "--length") == 0)
			fsx.most = value;
		else
			break;
	}
	if (i + 1 != argc || argv[i][0] == '-') {
		bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;

		fputs(usage, asked ? stdout : stderr);
		return asked ? 0 : 2;
	}
	fsx.path = argv[i];
	printf("fsx: --seed %llu --operations %u --length %llu\n", (unsigned long long)fsx.state,
		count, (unsigned long long)fsx.most);
	fsx.model = calloc(1, (size_t)fsx.most + 1);
	fsx.bytes = malloc((size_t)fsx.most + 1);
	if (!fsx.model || !fsx.bytes) {
		fprintf(stderr,
			"fsx: no memory for a model of %llu bytes; a smaller --length, or more "
			"--memory\n",
			(unsigned long long)fsx.most);
		return 1;
	}
	open_again(FS_OPEN_CREATE | FS_OPEN_TRUNCATE);
	for (; fsx.done < count; fsx.done++)
		operations[draw(sizeof(operations) / sizeof(operations[0]))]();
	do_whole();
	printf("fsx: %u operations, no difference\n", count);
	return 0;
}
