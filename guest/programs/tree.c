/*
 * tree: a directory and all below it, with the sizes of files and what symbolic links lead to. It
 * goes down by the open directories, not by paths, so that nobody who renames one on the way leads
 * it astray.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "guest/programs/remedy.h"

#define DEPTH_MOST 64 /* directories open at once; handles of a mount are bounded, too */

static struct {
	unsigned directories, files;
	uint64_t bytes;
	int status;
} total;

/* Names of one directory; sorted, since a file system has them in any order. */
struct names {
	char **name;
	size_t count, room;
};

static bool add_name(struct names *names, const char *name)
{
	size_t len = strlen(name) + 1;
	char *copy = malloc(len);

	if (copy && names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 32;
		char **more = realloc(names->name, room * sizeof(*more));

		if (!more) {
			free(copy);
			return false;
		}
		names->name = more;
		names->room = room;
	}
	if (!copy)
		return false;
	memcpy(copy, name, len);
	names->name[names->count++] = copy;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct file *directory, struct names *names)
{
	struct directory *listed;
	const char *name;
	uint16_t type;
	int more = directory_open_at(&listed, directory, ".", FOREVER);

	if (more)
		return more;
	while ((more = directory_next(listed, &name, &type, FOREVER)) == 1) {
		if (!add_name(names, name)) {
			more = -ENOMEM;
			break;
		}
	}
	directory_close(listed);
	if (names->count > 1)
		qsort(names->name, names->count, sizeof(names->name[0]), by_name);
	return more;
}

static void show(struct file *directory, const char *path, unsigned depth);

static void show_link(struct file *directory, const char *name)
{
	char text[FS_PATH_MAX + 1];
	long len = path_readlink_at(directory, name, text, sizeof(text), FOREVER);

	printf("%s -> %s\n", name, len < 0 ? "?" : text);
	total.files++;
}

static void show_directory(struct file *parent, const char *name, unsigned depth)
{
	struct file *directory;
	int error = depth < DEPTH_MOST ? file_open_at(&directory, parent, name,
						 FS_OPEN_DIRECTORY | FS_OPEN_NOFOLLOW, 0, FOREVER)
				       : -EMFILE;

	printf("%s/\n", name);
	total.directories++;
	if (error) {
		total.status = cannot_file("tree", "list", name, error);
		return;
	}
	show(directory, name, depth + 1);
	file_close(directory);
}

static void show_entry(struct file *directory, const char *name, unsigned depth)
{
	struct fs_attributes attributes;
	int error = path_stat_at(directory, name, FS_AT_NOFOLLOW, &attributes, FOREVER);
	unsigned type = error ? 0 : attributes.mode >> 12;

	if (error == -ENOENT) /* removed meanwhile */
		return;
	printf("%*s", (int)depth * 2, "");
	if (type == FILE_TYPE_DIRECTORY) {
		show_directory(directory, name, depth);
	} else if (type == FILE_TYPE_LINK) {
		show_link(directory, name);
	} else {
		printf("%s %llu\n", name, error ? 0 : (unsigned long long)attributes.size);
		total.files++;
		total.bytes += error ? 0 : attributes.size;
	}
}

static void show(struct file *directory, const char *path, unsigned depth)
{
	struct names names = {0};
	int error = read_names(directory, &names);

	if (error)
		total.status = cannot_file("tree", "list", path, error);
	for (size_t i = 0; i < names.count; i++) {
		show_entry(directory, names.name[i], depth);
		free(names.name[i]);
	}
	free(names.name);
}

static const char usage[] = "usage: tree PATH...\n"
			    "Shows directories and all below them. Grants: --mount "
			    "HOSTDIR:GUESTDIR, with each PATH below a GUESTDIR.\n"
			    "  ferrule run --mount .:/here tree.elf /here\n";

int main(int argc, char **argv)
{
	if (help_asked(argc, argv, usage))
		return 0;
	if (argc < 2) {
		fputs(usage, stderr);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		struct file *directory;
		int error = file_open(&directory, argv[i], FS_OPEN_DIRECTORY, 0, FOREVER);

		if (error) {
			total.status = cannot_file("tree", "list", argv[i], error);
			continue;
		}
		printf("%s\n", argv[i]);
		show(directory, argv[i], 1);
		file_close(directory);
	}
	printf("%u directories, %u files, %llu bytes\n", total.directories, total.files,
		(unsigned long long)total.bytes);
	return total.status;
}
