#include "tests/lib/fs_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

struct fs_tree fs_tree;

void fs_tree_put(int directory, const char *name, const char *text)
{
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	expect(fd >= 0);
	expect_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int make_directory(int parent, const char *name)
{
	expect_equal(mkdirat(parent, name, 0755), 0);
	int fd = openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	expect(fd >= 0);
	return fd;
}

static void link_to(const char *target, const char *name)
{
	expect_equal(symlinkat(target, fs_tree.mount, name), 0);
}

void fs_tree_setup(void)
{
	char *path = scratch_path("%d", (int)getpid());
	char absolute[200];

	expect_equal(mkdir(path, 0755), 0);
	fs_tree.top = open(path, O_PATH | O_DIRECTORY);
	fs_tree.mount = make_directory(fs_tree.top, "mount");
	fs_tree.outside = make_directory(fs_tree.top, "outside");
	fs_tree_put(fs_tree.outside, "secret", "outside");
	fs_tree_put(fs_tree.mount, "file", "hello");
	int dir = make_directory(fs_tree.mount, "dir");
	fs_tree_put(dir, "inner", "inner");
	close(make_directory(dir, "sub"));
	expect_equal(symlinkat("../file", dir, "up-inside"), 0);
	link_to("file", "to-file");
	link_to("dir", "to-dir");
	link_to("dir/../file", "to-file-around");
	link_to("../outside/secret", "to-secret");
	link_to("../outside", "to-outside");
	snprintf(absolute, sizeof(absolute), "%s/outside/secret", path);
	link_to(absolute, "to-secret-absolute");
	snprintf(absolute, sizeof(absolute), "%s/mount/file", path);
	link_to(absolute, "to-file-absolute");
	link_to("nothing", "to-nothing");
	link_to("to-itself", "to-itself");
	close(dir);
	free(path);
	umask(022);
	expect_equal(fs_path_root_probe(fs_tree.mount, &fs_tree.root), 0);
}

void fs_tree_teardown(void)
{
	close(fs_tree.outside);
	close(fs_tree.mount);
	close(fs_tree.top);
}

int fs_tree_read_is(int directory, const char *path, uint32_t flags, const char *text)
{
	struct fs_attributes attributes;
	char buffer[32] = {0};
	int fd;
	int result = fs_path_open(directory, path, FS_OPEN_READ | flags, 0, &fd, &attributes);

	if (result < 0)
		return result;
	expect(read(fd, buffer, sizeof(buffer) - 1) >= 0);
	close(fd);
	expect_equal(attributes.size, strlen(text));
	return strcmp(buffer, text) == 0 ? 0 : -1000;
}

int fs_tree_open(const char *path, uint32_t flags)
{
	struct fs_attributes attributes;
	int fd;
	int result = fs_path_open(fs_tree.mount, path, flags, 0644, &fd, &attributes);

	if (result == 0)
		close(fd);
	return result;
}

int fs_tree_stat(const char *path)
{
	struct fs_attributes attributes;

	return fs_path_stat(fs_tree.mount, path, 0, &attributes);
}

bool fs_tree_has(int directory, const char *name)
{
	return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
