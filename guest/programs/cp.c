/*
 * cp: copies files and, with -r, directories. Within a mount the bytes stay on the host; what is a
 * hole stays one. With -p modes and times are kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "guest/programs/remedy.h"

#define DEPTH_MOST 200u /* directories in each other: each takes some of the stack */

static struct {
	bool recursive, preserve;
	int status;
} options;

static void copy(const char *from, const char *to);

static void complain(const char *deed, const char *path, int64_t error)
{
	options.status = cannot_file("cp", deed, path, (int)error);
}

/* PATH/NAME; to be freed. */
static char *join(const char *path, const char *name)
{
	size_t len = strlen(path) + strlen(name) + 2;
	char *joined = malloc(len);

	if (!joined) {
		fprintf(stderr, "cp: no memory; raise ferrule's --memory\n");
		guest_exit(1);
	}
	snprintf(joined, len, "%s/%s", path, name);
	return joined;
}

static void keep_attributes(const char *to, const struct fs_attributes *of)
{
	const struct file_change change = {.set = FS_SET_MODE | FS_SET_ATIME | FS_SET_MTIME,
		.mode = of->mode & FS_SET_MODE_BITS,
		.atime_s = (int64_t)of->atime_s,
		.atime_ns = of->atime_ns,
		.mtime_s = (int64_t)of->mtime_s,
		.mtime_ns = of->mtime_ns};
	int error = options.preserve ? path_set(to, &change, FOREVER) : 0;

	if (error)
		complain("set the attributes of", to, error);
}

/* Data by data; holes are what is left out. 0 or an errno, and of which of the two files. */
static int64_t copy_data(struct file *from, struct file *to)
{
	int64_t at = 0, end, copied;

	while ((at = file_seek(from, at, FS_SEEK_DATA, FOREVER)) >= 0) {
		end = file_seek(from, at, FS_SEEK_HOLE, FOREVER);
		if (end < 0)
			return end;
		copied = file_copy(
			from, (uint64_t)at, to, (uint64_t)at, (uint64_t)(end - at), FOREVER);
		if (copied < end - at)
			return copied < 0 ? copied : -EIO;
		at = end;
	}
	return at == -ENXIO ? file_truncate(to, file_attributes(from)->size, FOREVER) : at;
}

/*
 * By all that is told of both: a guest does not know on which file system a mount is, and two that
 * have changed in the same nanosecond under one number are one.
 */
static bool are_same(const struct file *a, const struct file *b)
{
	const struct fs_attributes *x = file_attributes(a), *y = file_attributes(b);

	return x->inode == y->inode && x->ctime_s == y->ctime_s && x->ctime_ns == y->ctime_ns &&
	       x->mtime_s == y->mtime_s && x->mtime_ns == y->mtime_ns && x->size == y->size &&
	       x->mode == y->mode;
}

static void refuse(const char *from, const char *to, const char *why)
{
	fprintf(stderr, "cp: %s to %s: %s; name another target\n", from, to, why);
	options.status = 1;
}

static void copy_file(const char *from, const char *to)
{
	struct file *source, *target;
	int64_t error = file_open(&source, from, FS_OPEN_READ, 0, FOREVER);

	if (error) {
		complain("read", from, error);
		return;
	}
	error = file_open(&target, to, FS_OPEN_WRITE | FS_OPEN_CREATE,
		file_attributes(source)->mode & 0777, FOREVER);
	if (!error && are_same(source, target)) {
		refuse(from, to, "they are the same file");
		file_close(target);
		file_close(source);
		return;
	}
	if (!error) {
		error = file_truncate(target, 0, FOREVER);
		if (!error)
			error = copy_data(source, target);
		file_close(target);
	}
	if (error)
		complain("write", to, error);
	else
		keep_attributes(to, file_attributes(source));
	file_close(source);
}

static void copy_link(const char *from, const char *to)
{
	char text[FS_PATH_MAX + 1];
	long len = path_readlink(from, text, sizeof(text), FOREVER);
	int error;

	if (len < 0) {
		complain("read", from, len);
		return;
	}
	error = path_symlink(text, to, FOREVER);
	if (error)
		complain("make", to, error);
}

static void copy_directory(const char *from, const char *to, const struct fs_attributes *of)
{
	static unsigned depth;
	struct directory *directory;
	const char *name;
	uint16_t type;

	/* A directory that is mounted twice can lie in itself. */
	if (depth == DEPTH_MOST) {
		refuse(from, to, "so deep lie no directories but those that hold themselves");
		return;
	}
	int more = path_mkdir(to, (of->mode & 0777) | 0700, FOREVER);

	if (more && more != -EEXIST) {
		complain("make", to, more);
		return;
	}
	more = directory_open(&directory, from, FOREVER);
	if (more) {
		complain("list", from, more);
		return;
	}
	while ((more = directory_next(directory, &name, &type, FOREVER)) == 1) {
		char *below = join(from, name), *target = join(to, name);

		depth++;
		copy(below, target);
		depth--;
		free(below);
		free(target);
	}
	directory_close(directory);
	if (more)
		complain("list", from, more);
	keep_attributes(to, of);
}

static void copy(const char *from, const char *to)
{
	struct fs_attributes attributes;
	int error = options.recursive ? path_lstat(from, &attributes, FOREVER)
				      : path_stat(from, &attributes, FOREVER);

	if (error)
		complain("read", from, error);
	else if (attributes.mode >> 12 == FILE_TYPE_LINK)
		copy_link(from, to);
	else if (attributes.mode >> 12 != FILE_TYPE_DIRECTORY)
		copy_file(from, to);
	else if (options.recursive)
		copy_directory(from, to, &attributes);
	else
		complain("copy without -r", from, -EISDIR);
}

/* Is it the same path, or one below? */
static bool lies_in(const char *to, const char *from)
{
	char inner[FS_PATH_MAX + 2], outer[FS_PATH_MAX + 2];
	size_t len;

	if (path_plain(to, inner) || path_plain(from, outer))
		return false;
	len = strlen(outer);
	while (len > 0 && outer[len - 1] == '/')
		len--;
	return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || !inner[len]);
}

/* Without the slashes behind it. Valid until the next call. */
static const char *last_name(const char *path)
{
	static char plain[FS_PATH_MAX + 2];
	size_t len;

	if (path_plain(path, plain))
		return path;
	len = strlen(plain);
	while (len > 0 && plain[len - 1] == '/')
		plain[--len] = 0;
	return strrchr(plain, '/') ? strrchr(plain, '/') + 1 : plain;
}

static const char usage[] =
	"usage: cp [-r] [-p] FROM... TO\n"
	"Copies files; with -r directories with all below them; with -p modes and times, too; "
	"-R is -r, -a both. "
	"Grants: --mount HOSTDIR:GUESTDIR,\n"
	"with :rw behind it for TO.\n"
	"  ferrule run --mount .:/here --mount /tmp:/tmp:rw cp.elf -r /here /tmp/copy\n";

static int parse(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		for (const char *letter = argv[i] + 1; *letter; letter++) {
			options.recursive |= strchr("rRa", *letter) != NULL;
			options.preserve |= *letter == 'p' || *letter == 'a';
			if (!strchr("rRpa", *letter))
				return argc;
		}
	}
	return i;
}

int main(int argc, char **argv)
{
	struct fs_attributes attributes;
	int first = parse(argc, argv);
	const char *to = argv[argc - 1];
	bool into;

	if (help_asked(argc, argv, usage))
		return 0;
	if (argc - first < 2) {
		fputs(usage, stderr);
		return 2;
	}
	into = path_stat(to, &attributes, FOREVER) == 0 &&
	       attributes.mode >> 12 == FILE_TYPE_DIRECTORY;
	if (!into && argc - first > 2)
		return cannot_file("cp", "copy several into", to, -ENOTDIR);
	for (int i = first; i < argc - 1; i++) {
		char *target = into ? join(to, last_name(argv[i])) : NULL;

		if (options.recursive && lies_in(target ? target : to, argv[i]))
			refuse(argv[i], target ? target : to, "it would be copied into itself");
		else
			copy(argv[i], target ? target : to);
		free(target);
	}
	return options.status;
}
