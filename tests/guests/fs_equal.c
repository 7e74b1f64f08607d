/*
 * fs_equal ROOT SEED COUNT: COUNT random calls on the files below ROOT, with a line for each: the
 * call, its result and what it gave. It is built as a guest, and as a native program over
 * tests/lib/native_files.c, which makes plain system calls of the same calls:
 * tests/stress/fs_equal.c compares what the two say.
 *
 * What differs by its nature is left out: numbers of inodes, times that nobody set, and `..`, which
 * a guest's absolute path has taken away as text.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "tests/lib/random.h"

#define FILES    8
#define FILE_MAX (1u << 20) /* bytes; offsets go a little beyond */
#define LINE_MAX 1600

static struct random dice;
static const char *root;
static struct file *files[FILES];       /* NULL: not open */
static struct file *directories[FILES]; /* the same */
static unsigned char bytes[300000], back[300000];
static char line[LINE_MAX];
static size_t line_len;

/* ---- what is told */

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line + line_len, sizeof(line) - line_len, format, args);
	va_end(args);
	if (len > 0)
		line_len += (size_t)len < sizeof(line) - line_len ? (size_t)len
								  : sizeof(line) - line_len - 1;
}

static uint64_t hash_of(const void *data, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
	return hash;
}

static void tell_hash(const void *data, size_t len)
{
	tell(" #%llx", (unsigned long long)hash_of(data, len));
}

static void tell_attributes(const struct fs_attributes *attributes)
{
	bool directory = attributes->mode >> 12 == FILE_TYPE_DIRECTORY;

	/* Only times that were set are so long ago; a directory's size is its file system's matter.
	 */
	tell(" mode=%o nlink=%u size=%llu uid=%u gid=%u", attributes->mode, attributes->nlink,
		(unsigned long long)(directory ? 0 : attributes->size), attributes->uid,
		attributes->gid);
	if (attributes->mtime_s < 1000000)
		tell(" mtime=%llu.%u", (unsigned long long)attributes->mtime_s,
			attributes->mtime_ns);
}

/* ---- what is drawn */

static unsigned draw(unsigned limit)
{
	return (unsigned)random_below(&dice, limit);
}

static const char *draw_name(void)
{
	static char longest[257];
	static const char *const names[] = {
		"a", "b", "c", "d", "e", "f", "g\xff\xfe", "with space", ".h", "..i"};
	unsigned pick = draw(64);

	if (pick < 2) {
		memset(longest, 'n', 255 + pick);
		longest[255 + pick] = 0;
		return longest;
	}
	return names[pick % (sizeof(names) / sizeof(names[0]))];
}

/* One to three names; told. */
static void draw_relative(char *path, size_t room)
{
	unsigned depth = 1 + draw(2) + (draw(4) == 0);
	size_t len = 0;

	for (unsigned i = 0; i < depth; i++)
		len += (size_t)snprintf(
			path + len, room - len, "%s%s", i > 0 ? "/" : "", draw_name());
	if (draw(24) == 0)
		snprintf(path + len, room - len, "/");
	tell(" %s", strlen(path) > 250 ? "LONG" : path);
}

struct drawn {
	char text[FS_PATH_MAX + 1];
};

static const char *draw_path(struct drawn *path)
{
	size_t len = (size_t)snprintf(path->text, sizeof(path->text), "%s/", root);

	draw_relative(path->text + len, sizeof(path->text) - len);
	return path->text;
}

static struct file **draw_file(void)
{
	unsigned slot = draw(FILES);

	tell(" file%u", slot);
	return &files[slot];
}

static struct file *draw_directory(void)
{
	unsigned slot = draw(FILES);

	tell(" dir%u", slot);
	return directories[slot];
}

static uint64_t draw_offset(void)
{
	uint64_t offset = random_len(&dice, FILE_MAX) - 1;

	if (draw(200) == 0)
		offset = (uint64_t)INT64_MAX - draw(3) + 1; /* at the end of all */
	tell(" @%llu", (unsigned long long)offset);
	return offset;
}

static size_t draw_len(void)
{
	size_t len = draw(16) == 0 ? draw(sizeof(bytes)) : random_len(&dice, 10000) - 1;

	tell(" +%zu", len);
	return len;
}

static uint32_t draw_open_flags(void)
{
	static const uint32_t likely[] = {FS_OPEN_READ, FS_OPEN_READ | FS_OPEN_WRITE,
		FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_CREATE,
		FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_APPEND,
		FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE,
		FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE,
		FS_OPEN_READ | FS_OPEN_NOFOLLOW};
	uint32_t flags = likely[draw(sizeof(likely) / sizeof(likely[0]))];

	tell(" %x", flags);
	return flags;
}

/* ---- the calls; each tells its arguments and returns its result */

static int64_t do_open(void)
{
	struct drawn path;
	struct file **file = draw_file();
	uint32_t flags = draw_open_flags();
	struct file *fresh;
	int error = file_open(&fresh, draw_path(&path), flags, 0666, FOREVER);

	if (error)
		return error;
	if (*file)
		file_close(*file);
	*file = fresh;
	/* What an opening that made or cut it says is as of then. */
	tell_attributes(file_attributes(fresh));
	return 0;
}

static int64_t do_open_at(void)
{
	struct file **file = draw_file(), *directory = draw_directory(), *fresh;
	uint32_t flags = draw_open_flags();
	char path[600];
	int error;

	draw_relative(path, sizeof(path));
	if (!directory)
		return 1;
	error = file_open_at(&fresh, directory, path, flags, 0666, FOREVER);
	if (error)
		return error;
	if (*file)
		file_close(*file);
	*file = fresh;
	return 0;
}

static int64_t do_open_directory(void)
{
	unsigned slot = draw(FILES);
	struct drawn path;
	struct file *fresh;
	int error;

	tell(" dir%u", slot);
	error = file_open(&fresh, draw_path(&path), FS_OPEN_DIRECTORY, 0, FOREVER);
	if (error)
		return error;
	if (directories[slot])
		file_close(directories[slot]);
	directories[slot] = fresh;
	return 0;
}

static int64_t do_close(void)
{
	struct file **file = draw_file();

	if (*file)
		file_close(*file);
	*file = NULL;
	return 0;
}

static int64_t do_pread(void)
{
	struct file **file = draw_file();
	uint64_t offset = draw_offset();
	size_t len = draw_len();
	long got = *file ? file_pread(*file, back, len, offset, FOREVER) : 0;

	if (got > 0)
		tell_hash(back, (size_t)got);
	return got;
}

static void draw_bytes(size_t len)
{
	pattern_fill(random_next(&dice), 0, bytes, len);
}

static int64_t do_pwrite(void)
{
	struct file **file = draw_file();
	uint64_t offset = draw_offset();
	size_t len = draw_len();

	draw_bytes(len);
	return *file ? file_pwrite(*file, bytes, len, offset, FOREVER) : 0;
}

static int64_t do_read(void)
{
	struct file **file = draw_file();
	size_t len = draw_len();
	long got = *file ? file_read(*file, back, len, FOREVER) : 0;

	if (got > 0)
		tell_hash(back, (size_t)got);
	return got;
}

static int64_t do_write(void)
{
	struct file **file = draw_file();
	size_t len = draw_len();

	draw_bytes(len);
	return *file ? file_write(*file, bytes, len, FOREVER) : 0;
}

static int64_t do_seek(void)
{
	struct file **file = draw_file();
	unsigned whence = draw(5);
	int64_t offset = (int64_t)random_len(&dice, FILE_MAX) - (draw(3) == 0 ? 1000 : 1);

	tell(" %u %lld", whence, (long long)offset);
	if (!*file || whence < FS_SEEK_DATA)
		return *file ? file_seek(*file, offset, whence, FOREVER) : 0;
	/* Where data is depends on what the host has in memory, too, of what was allocated and not
	 * written. */
	int64_t at = file_seek(*file, offset, whence, FOREVER);
	if (at >= 0 || at == -ENXIO)
		at = file_seek(*file, offset > 0 ? offset : 0, FS_SEEK_SET, FOREVER);
	return at;
}

static int64_t do_truncate(void)
{
	struct file **file = draw_file();
	uint64_t size = random_len(&dice, FILE_MAX) - 1;

	tell(" %llu", (unsigned long long)size);
	return *file ? file_truncate(*file, size, FOREVER) : 0;
}

static int64_t do_allocate(void)
{
	struct file **file = draw_file();
	uint32_t flags = draw(8);
	uint64_t offset = random_len(&dice, FILE_MAX) - 1, len = random_len(&dice, 100000) - 1;

	tell(" %x @%llu +%llu", flags, (unsigned long long)offset, (unsigned long long)len);
	return *file ? file_allocate(*file, flags, offset, len, FOREVER) : 0;
}

static int64_t do_copy(void)
{
	struct file **from = draw_file(), **to = draw_file();
	uint64_t from_at = draw_offset() % FILE_MAX, to_at = draw_offset() % FILE_MAX;
	size_t len = draw_len();

	return *from && *to ? file_copy(*from, from_at, *to, to_at, len, FOREVER) : 0;
}

static int64_t do_fstat(void)
{
	struct file **file = draw_file();
	struct fs_attributes attributes;
	int error = *file ? file_stat(*file, &attributes, FOREVER) : 1;

	if (!error)
		tell_attributes(&attributes);
	return error;
}

static int64_t do_sync(void)
{
	struct file **file = draw_file();
	bool data = draw(2) == 0;

	/* Some: a disk is slow. */
	if (!*file || draw(20) != 0)
		return 0;
	return data ? file_sync_data(*file, FOREVER) : file_sync(*file, FOREVER);
}

static int64_t do_lock(void)
{
	static const uint32_t kinds[] = {FS_LOCK_SHARED, FS_LOCK_EXCLUSIVE, FS_LOCK_UNLOCK};
	struct file **file = draw_file();
	uint32_t flags = kinds[draw(3)] | (draw(3) == 0 ? FS_LOCK_WHOLE : 0);
	uint64_t offset = draw(100), len = draw(100);

	tell(" %x %u %u", flags, (unsigned)offset, (unsigned)len);
	return *file ? file_lock(*file, flags, offset, len, FOREVER) : 0;
}

static int64_t do_stat(void)
{
	struct fs_attributes attributes;
	struct drawn path;
	int error = path_stat(draw_path(&path), &attributes, FOREVER);

	if (!error)
		tell_attributes(&attributes);
	return error;
}

static int64_t do_lstat(void)
{
	struct fs_attributes attributes;
	struct drawn path;
	int error = path_lstat(draw_path(&path), &attributes, FOREVER);

	if (!error)
		tell_attributes(&attributes);
	return error;
}

static int64_t do_stat_at(void)
{
	struct file *directory = draw_directory();
	uint32_t flags = draw(2) ? FS_AT_NOFOLLOW : 0;
	struct fs_attributes attributes;
	char path[600];
	int error;

	draw_relative(path, sizeof(path));
	if (!directory)
		return 1;
	error = path_stat_at(directory, path, flags, &attributes, FOREVER);
	if (!error)
		tell_attributes(&attributes);
	return error;
}

static struct file_change draw_change(void)
{
	static const uint32_t sets[] = {FS_SET_MODE, FS_SET_MTIME, FS_SET_SIZE,
		FS_SET_UID | FS_SET_GID, FS_SET_MODE | FS_SET_ATIME | FS_SET_MTIME};
	struct file_change change = {.set = sets[draw(5)],
		.mode = draw(01000) | 0600,
		.uid = draw(3),
		.gid = draw(3),
		.size = draw(5000),
		.mtime_s = draw(100000),
		.mtime_ns = draw(1000)};

	tell(" set=%x mode=%o owner=%u:%u size=%u mtime=%u", change.set, change.mode, change.uid,
		change.gid, (unsigned)change.size, (unsigned)change.mtime_s);
	return change;
}

static int64_t do_set(void)
{
	struct file_change change = draw_change();
	struct drawn path;

	return path_set(draw_path(&path), &change, FOREVER);
}

static int64_t do_set_link(void)
{
	struct file_change change = draw_change();
	struct drawn path;

	change.set &= ~(uint32_t)FS_SET_SIZE; /* no system call cuts without following */
	return path_set_link(draw_path(&path), &change, FOREVER);
}

static int64_t do_mkdir(void)
{
	struct drawn path;

	return path_mkdir(draw_path(&path), 0777, FOREVER);
}

static int64_t do_mkdir_at(void)
{
	struct file *directory = draw_directory();
	char path[600];

	draw_relative(path, sizeof(path));
	return directory ? path_mkdir_at(directory, path, 0777, FOREVER) : 1;
}

static int64_t do_rmdir(void)
{
	struct drawn path;

	return path_rmdir(draw_path(&path), FOREVER);
}

static int64_t do_unlink(void)
{
	struct drawn path;

	return path_unlink(draw_path(&path), FOREVER);
}

static int64_t do_unlink_at(void)
{
	struct file *directory = draw_directory();
	uint32_t flags = draw(3) == 0 ? FS_UNLINK_DIRECTORY : 0;
	char path[600];

	draw_relative(path, sizeof(path));
	return directory ? path_unlink_at(directory, path, flags, FOREVER) : 1;
}

static int64_t do_rename(void)
{
	uint32_t flags = draw(2) ? 0 : draw(3);
	struct drawn from, to;

	tell(" %x", flags);
	draw_path(&from);
	return path_rename_with(from.text, draw_path(&to), flags, FOREVER);
}

static int64_t do_rename_at(void)
{
	struct file *one = draw_directory(), *other = draw_directory();
	char from[600], to[600];

	draw_relative(from, sizeof(from));
	draw_relative(to, sizeof(to));
	return one && other ? path_rename_at(one, from, other, to, 0, FOREVER) : 1;
}

static int64_t do_link(void)
{
	struct drawn from, to;

	draw_path(&from);
	return path_link(from.text, draw_path(&to), FOREVER);
}

/* Links to what is there or not, to themselves, and in rings. */
static int64_t do_symlink(void)
{
	struct drawn path;
	char target[600];

	draw_relative(target, sizeof(target));
	return path_symlink(target, draw_path(&path), FOREVER);
}

static int64_t do_readlink(void)
{
	struct drawn path;
	char text[300];
	long len = path_readlink(draw_path(&path), text, sizeof(text), FOREVER);

	if (len >= 0)
		tell(" '%s'", text);
	return len;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int64_t do_list(void)
{
	static char entries[512][400];
	struct drawn path;
	struct directory *directory;
	const char *name;
	uint16_t type;
	unsigned count = 0;
	int more = directory_open_with_attributes(&directory, draw_path(&path), FOREVER);

	if (more)
		return more;
	while ((more = directory_next(directory, &name, &type, FOREVER)) == 1 && count < 512) {
		const struct fs_attributes *of = directory_attributes(directory);

		snprintf(entries[count++], sizeof(entries[0]), "%s %u %o %u", name, type,
			of ? of->mode : 0, of ? of->nlink : 0);
	}
	directory_close(directory);
	qsort(entries, count, sizeof(entries[0]), by_name);
	for (unsigned i = 0; i < count; i++)
		tell_hash(entries[i], strlen(entries[i]));
	return more ? more : (int64_t)count;
}

static const char *draw_xattr(void)
{
	static const char *const names[] = {"user.a", "user.b", "user.other"};
	const char *name = names[draw(3)];

	tell(" %s", name);
	return name;
}

static int64_t do_set_xattr(void)
{
	const char *name = draw_xattr();
	uint32_t flags = draw(2) ? 0 : draw(2) ? FS_XATTR_CREATE : FS_XATTR_REPLACE;
	size_t len = draw(100);
	struct drawn path;

	draw_bytes(len);
	tell(" +%zu %x", len, flags);
	return path_set_xattr(draw_path(&path), name, bytes, len, flags, FOREVER);
}

static int64_t do_get_xattr(void)
{
	const char *name = draw_xattr();
	struct drawn path;
	long len = path_get_xattr(draw_path(&path), name, back, 90, FOREVER);

	if (len > 0)
		tell_hash(back, (size_t)len);
	return len;
}

static int64_t do_list_xattrs(void)
{
	struct drawn path;
	long len = path_list_xattrs(draw_path(&path), (char *)back, sizeof(back), FOREVER);

	if (len > 0)
		tell_hash(back, (size_t)len);
	return len;
}

static int64_t do_remove_xattr(void)
{
	const char *name = draw_xattr();
	struct drawn path;

	return path_remove_xattr(draw_path(&path), name, FOREVER);
}

static int count_whole(
	void *argument, const struct fs_attributes *attributes, const void *data, size_t len)
{
	uint64_t *hash = argument;

	(void)attributes;
	for (size_t i = 0; i < len; i++)
		*hash = (*hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
	return 0;
}

static int64_t do_read_whole(void)
{
	struct drawn path;
	uint64_t hash = 1;
	int error = file_read_whole(draw_path(&path), 0, UINT64_MAX, count_whole, &hash, FOREVER);

	if (!error)
		tell(" #%llx", (unsigned long long)hash);
	return error;
}

static size_t whole_left;

static long give_whole(void *argument, void *ret_bytes, size_t room)
{
	size_t some = whole_left < room ? whole_left : room;

	(void)argument;
	memcpy(ret_bytes, bytes, some);
	whole_left -= some;
	return (long)some;
}

static int64_t do_write_whole(void)
{
	struct fs_attributes attributes;
	struct drawn path;
	int error;

	/* Of one byte all over: the pieces in which it is asked for differ. */
	whole_left = draw_len();
	memset(bytes, (int)draw(256), sizeof(bytes));
	error = file_write_whole(draw_path(&path), FS_OPEN_CREATE | FS_OPEN_TRUNCATE, 0666,
		give_whole, NULL, &attributes, FOREVER);
	if (!error)
		tell_attributes(&attributes);
	return error;
}

static const struct {
	const char *name;
	int64_t (*call)(void);
	unsigned weight;
} calls[] = {
	{"open", do_open, 8},
	{"open_at", do_open_at, 3},
	{"open_directory", do_open_directory, 3},
	{"close", do_close, 2},
	{"pread", do_pread, 6},
	{"pwrite", do_pwrite, 6},
	{"read", do_read, 4},
	{"write", do_write, 4},
	{"seek", do_seek, 5},
	{"truncate", do_truncate, 2},
	{"allocate", do_allocate, 3},
	{"copy", do_copy, 3},
	{"fstat", do_fstat, 3},
	{"sync", do_sync, 1},
	{"lock", do_lock, 4},
	{"stat", do_stat, 4},
	{"lstat", do_lstat, 3},
	{"stat_at", do_stat_at, 2},
	{"set", do_set, 3},
	{"set_link", do_set_link, 1},
	{"mkdir", do_mkdir, 5},
	{"mkdir_at", do_mkdir_at, 1},
	{"rmdir", do_rmdir, 2},
	{"unlink", do_unlink, 2},
	{"unlink_at", do_unlink_at, 1},
	{"rename", do_rename, 4},
	{"rename_at", do_rename_at, 2},
	{"link", do_link, 2},
	{"symlink", do_symlink, 3},
	{"readlink", do_readlink, 2},
	{"list", do_list, 2},
	{"set_xattr", do_set_xattr, 2},
	{"get_xattr", do_get_xattr, 2},
	{"list_xattrs", do_list_xattrs, 1},
	{"remove_xattr", do_remove_xattr, 1},
	{"read_whole", do_read_whole, 2},
	{"write_whole", do_write_whole, 2},
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

static unsigned draw_call(void)
{
	unsigned total = 0, pick, i = 0;

	for (unsigned c = 0; c < CALLS; c++)
		total += calls[c].weight;
	pick = draw(total);
	while (pick >= calls[i].weight)
		pick -= calls[i++].weight;
	return i;
}

int main(int argc, char **argv)
{
	unsigned count;

	if (argc != 4) {
		fprintf(stderr, "usage: fs_equal ROOT SEED COUNT\n");
		return 2;
	}
	root = argv[1];
	dice.state = strtoull(argv[2], NULL, 0);
	count = (unsigned)strtoul(argv[3], NULL, 0);
	for (unsigned i = 0; i < count; i++) {
		unsigned c = draw_call();
		int64_t result;

		line_len = 0;
		tell("%u %s", i, calls[c].name);
		result = calls[c].call();
		tell(" -> %lld\n", (long long)result);
		fputs(line, stdout);
		fflush(stdout);
	}
	return 0;
}
