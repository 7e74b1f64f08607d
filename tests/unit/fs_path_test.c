/* Paths of a guest against a tree with everything in it that leads out of one. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "monitor/fs_path.h"
#include "tests/lib/fs_tree.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define RACE_MS 1000

START_TEST(paths_below_are_found)
{
	static const char *const file[] = {"file", "./file", "dir/../file", "dir//..//./file",
		"to-file", "to-file-around", "dir/up-inside", "to-dir/../file",
		"dir/sub/../../file"};

	for (unsigned i = 0; i < sizeof(file) / sizeof(file[0]); i++)
		expect_equal(fs_tree_read_is(fs_tree.mount, file[i], 0, "hello"), 0);
	expect_equal(fs_tree_read_is(fs_tree.mount, "to-dir/inner", 0, "inner"), 0);
	int dir = openat(fs_tree.mount, "dir", O_PATH | O_DIRECTORY);
	expect_equal(fs_tree_read_is(dir, "inner", 0, "inner"), 0);
	expect_equal(fs_tree_read_is(dir, "sub/../inner", 0, "inner"), 0);
	/* Above where it starts, if in the mount. */
	expect_equal(fs_tree_read_is(dir, "../file", 0, "hello"), -EXDEV);
	expect_equal(fs_tree_read_is(dir, "up-inside", 0, "hello"), -EXDEV);
	close(dir);
}
END_TEST

START_TEST(no_path_leads_out)
{
	static const char *const out[] = {"..", "/", "//", "/etc/passwd", "../outside/secret",
		"../mount/file", "dir/../../outside/secret", "to-secret", "to-secret-absolute",
		"to-file-absolute", "to-outside/secret", "dir/../to-outside/secret",
		"to-outside/.."};

	for (unsigned i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
		expect_equal(fs_tree_open(out[i], FS_OPEN_READ), -EXDEV);
		expect_equal(fs_tree_stat(out[i]), -EXDEV);
		expect_equal(fs_tree_open(out[i], FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_TRUNCATE),
			-EXDEV);
	}
	expect_equal(fs_tree_open("../outside/new", FS_OPEN_WRITE | FS_OPEN_CREATE), -EXDEV);
	expect_equal(fs_tree_open("to-outside/new", FS_OPEN_WRITE | FS_OPEN_CREATE), -EXDEV);
	expect_equal(
		fs_tree_open("to-outside/new", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE),
		-EXDEV);
	expect_equal(fs_path_mkdir(fs_tree.mount, "to-outside/new", 0755), -EXDEV);
	expect_equal(fs_path_mkdir(fs_tree.mount, "../outside/new", 0755), -EXDEV);
	expect_equal(fs_path_mkdir(fs_tree.mount, "/new", 0755), -EXDEV);
	expect_equal(fs_path_unlink(fs_tree.mount, "to-outside/secret", false), -EXDEV);
	expect_equal(fs_path_unlink(fs_tree.mount, "../outside/secret", false), -EXDEV);
	expect_equal(
		fs_path_rename(fs_tree.mount, "file", fs_tree.mount, "../outside/file", 0), -EXDEV);
	expect_equal(
		fs_path_rename(fs_tree.mount, "file", fs_tree.mount, "to-outside/file", 0), -EXDEV);
	expect_equal(fs_path_rename(fs_tree.mount, "to-outside/secret", fs_tree.mount, "stolen", 0),
		-EXDEV);
	expect(!fs_tree_has(fs_tree.outside, "new") && !fs_tree_has(fs_tree.outside, "file") &&
		fs_tree_has(fs_tree.outside, "secret"));
	expect_equal(fs_tree_read_is(fs_tree.outside, "secret", 0, "outside"), 0);
}
END_TEST

START_TEST(magic_links_are_not_followed)
{
	int self = open("/proc/self", O_PATH | O_DIRECTORY);
	struct fs_attributes attributes;

	expect_equal(fs_tree_read_is(self, "root/etc/passwd", 0, ""), -ELOOP);
	expect_equal(fs_tree_read_is(self, "cwd", 0, ""), -ELOOP);
	expect_equal(fs_tree_read_is(self, "exe", 0, ""), -ELOOP);
	expect_equal(fs_tree_read_is(self, "fd/0", 0, ""), -ELOOP);
	expect_equal(fs_path_stat(self, "exe", 0, &attributes), -ELOOP);
	expect_equal(fs_path_stat(self, "exe", FS_AT_NOFOLLOW, &attributes), 0);
	expect(S_ISLNK(attributes.mode));
	close(self);
}
END_TEST

START_TEST(links_that_lead_nowhere)
{
	struct fs_attributes attributes;

	expect_equal(fs_tree_open("to-nothing", FS_OPEN_READ), -ENOENT);
	expect_equal(fs_tree_open("to-itself", FS_OPEN_READ), -ELOOP);
	expect_equal(fs_tree_open("to-file", FS_OPEN_READ | FS_OPEN_NOFOLLOW), -ELOOP);
	expect_equal(fs_tree_open("to-dir/inner", FS_OPEN_READ | FS_OPEN_NOFOLLOW), 0);
	expect_equal(fs_path_stat(fs_tree.mount, "to-nothing", FS_AT_NOFOLLOW, &attributes), 0);
	expect(S_ISLNK(attributes.mode));
	expect_equal(fs_path_stat(fs_tree.mount, "to-dir", 0, &attributes), 0);
	expect(S_ISDIR(attributes.mode));
	expect_equal(fs_tree_open("to-nothing", FS_OPEN_WRITE | FS_OPEN_CREATE), -ENOENT);
	expect_equal(fs_tree_open("to-nothing", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE),
		-EEXIST);
	expect(!fs_tree_has(fs_tree.mount, "nothing"));
}
END_TEST

static void expect_untouched(const char *name)
{
	static const uint32_t flags[] = {FS_OPEN_READ, FS_OPEN_WRITE, FS_OPEN_READ | FS_OPEN_WRITE,
		FS_OPEN_WRITE | FS_OPEN_CREATE, FS_OPEN_WRITE | FS_OPEN_TRUNCATE};
	char path[64];
	char events[256];
	int walked, fd;
	struct fs_attributes attributes;
	int notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", fs_tree.mount, name);
	expect(inotify_add_watch(notify, path, IN_OPEN | IN_CLOSE | IN_MODIFY) >= 0);
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		expect_equal(fs_tree_open(name, flags[i]), -EACCES);
	expect_equal(fs_path_quick_open(&fs_tree.root, fs_tree.mount, name, FS_OPEN_READ, &fd,
			     &attributes, &walked),
		-EACCES);
	close(walked);
	expect_equal(fs_tree_stat(name), 0);
	expect_equal(read(notify, events, sizeof(events)), -1);
	close(notify);
}

START_TEST(special_files_are_not_opened)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM, 0);

	expect_equal(mkfifoat(fs_tree.mount, "fifo", 0644), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/socket",
		fs_tree.mount);
	expect_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
	expect_untouched("fifo");
	expect_untouched("socket");
	/* As root: a twin of /dev/null. */
	if (mknodat(fs_tree.mount, "device", S_IFCHR | 0666, (1 << 8) | 3) == 0)
		expect_untouched("device");
	close(server);
}
END_TEST

/* ---- what the I/O thread may do itself */

static int quick(const struct fs_path_root *of, const char *path)
{
	struct fs_attributes attributes;
	int walked, fd = -1;
	int result = fs_path_quick_open(of, of->fd, path, FS_OPEN_READ, &fd, &attributes, &walked);

	if (walked >= 0)
		close(walked);
	if (result == 0) {
		expect_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), 0);
		close(fd);
	}
	return result;
}

START_TEST(quick_is_for_what_is_in_memory)
{
	struct fs_path_root system;
	int system_fd = open("/", O_PATH | O_DIRECTORY);

	expect_equal(fs_tree_stat("dir/inner"), 0);
	expect_equal(quick(&fs_tree.root, "dir/inner"), 0);
	/* Linux calls these EAGAIN; with -EXDEV a worker would not be asked. */
	expect(quick(&fs_tree.root, "../outside/secret") < 0);
	expect(quick(&fs_tree.root, "to-secret") < 0);
	expect_equal(fs_path_root_probe(system_fd, &system), 0);
	/* Other file systems. That of /dev has no say in a walk: it is noticed by its number. */
	expect_equal(quick(&system, "proc/version"), -EAGAIN);
	expect_equal(quick(&system, "dev"), -EAGAIN);
	int proc = openat(system_fd, "proc", O_PATH | O_DIRECTORY);
	expect_equal(fs_path_root_probe(proc, &system), 0);
	expect(!system.local && !fs_path_may_be_quick(&system, FS_OPEN_READ));
	system = fs_tree.root;
	system.local = true;
	expect(fs_path_may_be_quick(&system, FS_OPEN_READ));
	expect(!fs_path_may_be_quick(&system, FS_OPEN_WRITE));
	close(proc);
	close(system_fd);
}
END_TEST

START_TEST(quick_does_not_wait_for_a_lease)
{
	int holder = openat(fs_tree.mount, "file", O_WRONLY);

	signal(SIGIO, SIG_IGN);
	if (fcntl(holder, F_SETLEASE, F_WRLCK) == 0) /* not every file system has them */
		expect_equal(quick(&fs_tree.root, "file"), -EAGAIN);
	close(holder);
	expect_equal(quick(&fs_tree.root, "file"), 0);
}
END_TEST

/* ---- someone on the host moves directories while the guest walks through them */

static atomic_bool racing;

static void *race(void *argument)
{
	(void)argument;
	while (atomic_load(&racing)) {
		renameat(fs_tree.mount, "dir/sub", fs_tree.outside, "sub");
		renameat(fs_tree.outside, "sub", fs_tree.mount, "dir/sub");
	}
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* What the race may make of a path: it is where it belongs, not there, or refused. Never elsewhere,
 * and Linux's EAGAIN has been tried again. */
static bool fair(int result)
{
	return result == 0 || result == -ENOENT || result == -EXDEV;
}

START_TEST(nothing_leads_out_while_directories_move)
{
	pthread_t thread;
	unsigned found = 0, missed = 0;

	fs_tree_put(fs_tree.top, "mark", "outside");
	fs_tree_put(fs_tree.outside, "mark", "outside");
	fs_tree_put(fs_tree.mount, "mark", "inside");
	fs_tree_put(fs_tree.mount, "dir/mark", "inside");
	expect_equal(mkdirat(fs_tree.mount, "dir/sub/low", 0755), 0);
	atomic_store(&racing, true);
	expect_equal(pthread_create(&thread, NULL, race, NULL), 0);
	uint64_t end = now_ms() + RACE_MS;
	while (now_ms() < end) {
		int near = fs_tree_read_is(fs_tree.mount, "dir/sub/low/../../mark", 0, "inside");
		int far = fs_tree_read_is(fs_tree.mount, "dir/sub/low/../../../mark", 0, "inside");
		expect(fair(near) && fair(far));
		expect(fair(fs_tree_open("dir/sub/../made", FS_OPEN_WRITE | FS_OPEN_CREATE)));
		expect(fair(fs_path_unlink(
			fs_tree.mount, "dir/sub/low/../../mark-that-is-not-there", false)));
		found += (near == 0) + (far == 0);
		missed += (near != 0) + (far != 0);
	}
	atomic_store(&racing, false);
	pthread_join(thread, NULL);
	printf("raced: found %u, missed %u\n", found, missed);
	expect(found > 0);
	expect(!fs_tree_has(fs_tree.outside, "made") && !fs_tree_has(fs_tree.top, "made"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_path");
	TCase *path = tcase_create("path");

	tcase_add_checked_fixture(path, fs_tree_setup, fs_tree_teardown);
	tcase_add_test(path, paths_below_are_found);
	tcase_add_test(path, no_path_leads_out);
	tcase_add_test(path, magic_links_are_not_followed);
	tcase_add_test(path, links_that_lead_nowhere);
	tcase_add_test(path, special_files_are_not_opened);
	tcase_add_test(path, quick_is_for_what_is_in_memory);
	tcase_add_test(path, quick_does_not_wait_for_a_lease);
	tcase_add_test(path, nothing_leads_out_while_directories_move);
	suite_add_tcase(suite, path);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
