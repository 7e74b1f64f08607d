#define FUSE_USE_VERSION 31
#include "tests/lib/fault_fs.h"

#include <errno.h>
#include <fuse3/fuse.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fault_fs *fault_fs;
static pid_t server;
static char mounted[512];

static bool is_faulty(const char *path)
{
	return strcmp(path, "/file") == 0;
}

static int fs_getattr(const char *path, struct stat *stat, struct fuse_file_info *info)
{
	(void)info;
	memset(stat, 0, sizeof(*stat));
	if (strcmp(path, "/") == 0) {
		stat->st_mode = S_IFDIR | 0755;
		stat->st_nlink = 2;
		return 0;
	}
	if (!is_faulty(path) && strcmp(path, "/sound") != 0)
		return -ENOENT;
	if (is_faulty(path) && fault_fs->getattr != 0)
		return -fault_fs->getattr;
	stat->st_mode = S_IFREG | 0644;
	stat->st_nlink = 1;
	stat->st_size = FAULT_LEN;
	return 0;
}

static int fs_open(const char *path, struct fuse_file_info *info)
{
	info->direct_io = 1; /* each read is asked for */
	return is_faulty(path) ? -fault_fs->open : 0;
}

static int fs_read(
	const char *path, char *bytes, size_t len, off_t offset, struct fuse_file_info *info)
{
	(void)info;
	while (is_faulty(path) && fault_fs->hang)
		usleep(10000);
	if (is_faulty(path) && fault_fs->read != 0)
		return -fault_fs->read;
	if (offset >= FAULT_LEN)
		return 0;
	if (len > FAULT_LEN - (size_t)offset)
		len = FAULT_LEN - (size_t)offset;
	memset(bytes, 's', len);
	return (int)len;
}

static int fs_write(
	const char *path, const char *bytes, size_t len, off_t offset, struct fuse_file_info *info)
{
	(void)bytes, (void)offset, (void)info;
	return is_faulty(path) && fault_fs->write != 0 ? -fault_fs->write : (int)len;
}

static int fs_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
	(void)data_only, (void)info;
	return is_faulty(path) ? -fault_fs->fsync : 0;
}

static int fs_readdir(const char *path, void *list, fuse_fill_dir_t fill, off_t offset,
	struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
	(void)path, (void)offset, (void)info, (void)flags;
	if (fault_fs->readdir != 0)
		return -fault_fs->readdir;
	fill(list, "file", NULL, 0, 0);
	fill(list, "sound", NULL, 0, 0);
	return 0;
}

static const struct fuse_operations operations = {
	.getattr = fs_getattr,
	.open = fs_open,
	.read = fs_read,
	.write = fs_write,
	.fsync = fs_fsync,
	.readdir = fs_readdir,
};

static void *fs_no_cache(struct fuse_conn_info *connection, struct fuse_config *config)
{
	(void)connection;
	config->attr_timeout = 0;
	config->entry_timeout = 0;
	config->negative_timeout = 0;
	return NULL;
}

static _Noreturn void serve(const char *directory)
{
	char name[] = "fault_fs", foreground[] = "-f";
	char *words[] = {name, foreground, mounted, NULL};
	struct fuse_operations all = operations;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)directory;
	all.init = fs_no_cache;
	_exit(fuse_main(3, words, &all, NULL));
}

static bool is_mounted(const char *directory)
{
	struct stat here, above;
	char parent[600];

	strcpy(parent, directory);
	strcat(parent, "/..");
	return stat(directory, &here) == 0 && stat(parent, &above) == 0 &&
	       here.st_dev != above.st_dev;
}

bool fault_fs_start(const char *directory, const char **ret_reason)
{
	*ret_reason = "/dev/fuse cannot be used here";
	if (access("/dev/fuse", R_OK | W_OK) != 0)
		return false;
	fault_fs = mmap(
		NULL, sizeof(*fault_fs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fault_fs == MAP_FAILED)
		return false;
	strcpy(mounted, directory);
	server = fork();
	if (server == 0)
		serve(directory);
	for (unsigned i = 0; i < 300; i++) {
		if (is_mounted(directory))
			return true;
		if (waitpid(server, NULL, WNOHANG) == server)
			break;
		usleep(10000);
	}
	*ret_reason = "a FUSE file system cannot be mounted here";
	return false;
}

void fault_fs_stop(void)
{
	fault_fs->hang = false;
	umount2(mounted, MNT_DETACH);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
}
