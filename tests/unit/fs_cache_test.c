/*
 * Files that stay open between requests for them: by the cache's own calls, and as a guest's
 * requests and the descriptors of this process, which is the monitor, show them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/fs_cache.h"
#include "monitor/io.h"
#include "monitor/log.h"
#include "tests/lib/clock.h"
#include "tests/lib/fs_guest.h"
#include "tests/lib/namespace.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define NOBODY   65534
#define IDLE_MS  (2 * FS_CACHE_IDLE_MS)
#define LATE_MS  5000 /* by when a machine that is busy otherwise has come to it */
#define VERSIONS 500
#define BURST    32  /* requests that are sent together */
#define WAITING  500 /* requests: more than are taken before replies are */

/* ---- descriptors */

static bool is_closed(int fd)
{
	return fcntl(fd, F_GETFD) < 0;
}

/* How many of this process lead to a path that begins so; a deleted file's does, too. */
static unsigned descriptors(const char *path)
{
	DIR *listing = opendir("/proc/self/fd");
	struct dirent *entry;
	char target[512];
	unsigned count = 0;

	while ((entry = readdir(listing)) != NULL) {
		ssize_t len = readlinkat(dirfd(listing), entry->d_name, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = 0;
		count += strncmp(target, path, strlen(path)) == 0;
	}
	closedir(listing);
	return count;
}

/* ---- the cache itself */

static struct io *io;
static struct fs_cache *cache;

static void setup_cache(void)
{
	const char *backend = getenv("FERRULE_IO");

	log_level = LOG_ERROR;
	expect_equal(io_create(&io, backend != NULL ? IO_EVENT : IO_AUTO), 0);
	cache = fs_cache_new(io);
	expect(cache != NULL);
}

static void teardown_cache(void)
{
	fs_cache_end(cache);
	for (unsigned i = 0; i < LATE_MS && io_in_flight(io) > 0; i++)
		io_turn(io, true);
	expect_equal(io_in_flight(io), 0);
	io_destroy(io);
}

static struct fs_walked walked(uint64_t inode)
{
	return (struct fs_walked){.fd = -1,
		.mount = 1,
		.attributes = {.inode = inode, .mode = S_IFREG | 0644, .ctime_s = 1000}};
}

static int some_file(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	expect(fd >= 0);
	return fd;
}

/* Added and left. */
static int put(uint64_t inode)
{
	struct fs_walked file = walked(inode);
	int fd = some_file();
	uint32_t place = fs_cache_add(cache, &file, fd);

	expect(place != FS_CACHE_NONE);
	fs_cache_leave(cache, place);
	return fd;
}

static bool has(const struct fs_walked *file)
{
	uint32_t place = fs_cache_find(cache, file);

	if (place != FS_CACHE_NONE)
		fs_cache_leave(cache, place);
	return place != FS_CACHE_NONE;
}

static void turn_until_closed(int fd)
{
	for (unsigned i = 0; i < LATE_MS && !is_closed(fd); i++) {
		io_turn(io, false);
		sleep_ms(1);
	}
	expect(is_closed(fd));
}

START_TEST(a_file_is_found_by_what_the_walk_saw)
{
	struct fs_walked file = walked(7);
	int fd = put(7);
	uint32_t place = fs_cache_find(cache, &file);

	expect(place != FS_CACHE_NONE);
	expect_equal(fs_cache_fd(cache, place), fd);
	fs_cache_leave(cache, place);
	file.attributes.size = 5; /* and other things that open() does not ask for */
	file.attributes.mtime_s = 5;
	expect(has(&file));
	file.mount++;
	expect(!has(&file));
	file = walked(8);
	expect(!has(&file));
	file = walked(7);
	expect(has(&file));
}
END_TEST

START_TEST(a_change_of_the_inode_drops_the_file)
{
	struct fs_walked changed[5];

	for (unsigned i = 0; i < 5; i++)
		changed[i] = walked(7);
	changed[0].attributes.ctime_s++;
	changed[1].attributes.ctime_ns++;
	changed[2].attributes.mode = S_IFREG;
	changed[3].attributes.uid++;
	changed[4].attributes.gid++;
	for (unsigned i = 0; i < 5; i++) {
		struct fs_walked before = walked(7);
		int fd = put(7);
		expect(has(&before));
		expect(!has(&changed[i]));
		expect(!has(&before));
		turn_until_closed(fd);
	}
}
END_TEST

START_TEST(a_file_in_use_outlives_its_being_dropped)
{
	struct fs_walked file = walked(7);
	int fd = some_file();
	uint32_t first = fs_cache_add(cache, &file, fd), second = fs_cache_find(cache, &file);

	expect_equal(first, second);
	file.attributes.ctime_s++;
	expect(!has(&file));
	expect_equal(fs_cache_fd(cache, first), fd);
	uint32_t other = fs_cache_add(cache, &file, some_file());
	expect(other != FS_CACHE_NONE && other != first);
	fs_cache_leave(cache, first);
	sleep_ms(20);
	io_turn(io, false);
	expect(!is_closed(fd));
	fs_cache_leave(cache, second);
	turn_until_closed(fd);
	expect(has(&file));
	fs_cache_leave(cache, other);
}
END_TEST

/* So many and no more; what was used longest ago goes first, and what is in use stays. */
START_TEST(the_oldest_makes_room)
{
	int fd[FS_CACHE_FILES + 1];
	struct fs_walked first = walked(1), last = walked(FS_CACHE_FILES + 1);
	uint32_t place[FS_CACHE_FILES];

	for (unsigned i = 0; i < FS_CACHE_FILES; i++)
		fd[i] = put(i + 1);
	expect(has(&first));
	fd[FS_CACHE_FILES] = put(FS_CACHE_FILES + 1);
	turn_until_closed(fd[1]);
	expect(has(&first) && has(&last));
	for (unsigned i = 0; i < FS_CACHE_FILES; i++) {
		struct fs_walked file = walked(i == 1 ? FS_CACHE_FILES + 1 : i + 1);
		place[i] = fs_cache_find(cache, &file);
		expect(place[i] != FS_CACHE_NONE && !is_closed(fd[i == 1 ? FS_CACHE_FILES : i]));
	}
	struct fs_walked more = walked(1000);
	expect_equal(fs_cache_add(cache, &more, fd[0]), FS_CACHE_NONE);
	for (unsigned i = 0; i < FS_CACHE_FILES; i++)
		fs_cache_leave(cache, place[i]);
	put(1000);
	turn_until_closed(fd[0]);
}
END_TEST

START_TEST(scarce_descriptors_are_left_to_others)
{
	struct rlimit limit;
	struct fs_walked second = walked(2);

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 32;
	expect_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	fs_cache_end(cache);
	cache = fs_cache_new(io);
	int first = put(1);
	put(2);
	put(3);
	turn_until_closed(first);
	expect(has(&second));
}
END_TEST

START_TEST(what_is_not_kept)
{
	struct timespec now;
	struct fs_walked file = walked(7);
	int fd = some_file();

	file.attributes.size = FS_CACHE_SIZE + 1;
	expect_equal(fs_cache_add(cache, &file, fd), FS_CACHE_NONE);
	file = walked(7);
	file.attributes.mode = S_IFDIR | 0755;
	expect_equal(fs_cache_add(cache, &file, fd), FS_CACHE_NONE);
	file = walked(7);
	clock_gettime(CLOCK_REALTIME, &now);
	file.attributes.ctime_s =
		(uint64_t)now.tv_sec; /* a second of the same ctime would not show */
	file.attributes.ctime_ns = (uint32_t)now.tv_nsec;
	expect_equal(fs_cache_add(cache, &file, fd), FS_CACHE_NONE);
	file.attributes.ctime_s += 10;
	expect_equal(fs_cache_add(cache, &file, fd), FS_CACHE_NONE);
	sleep_ms(FS_CACHE_SETTLE_MS + 20);
	file.attributes.ctime_s -= 10;
	uint32_t place = fs_cache_add(cache, &file, fd);
	expect(place != FS_CACHE_NONE);
	fs_cache_leave(cache, place);
	expect(!is_closed(fd));
}
END_TEST

/* Used or in use it stays, then it goes; and with the last of them the timer. */
START_TEST(idle_files_are_closed)
{
	uint64_t begin = clock_ms();
	int idle = put(1), in_use = some_file();
	struct fs_walked file = walked(2);
	uint32_t place = fs_cache_add(cache, &file, in_use);

	expect_equal(io_in_flight(io), 1);
	while (!is_closed(idle) && clock_ms() - begin < LATE_MS)
		io_turn(io, true);
	expect(is_closed(idle) && !is_closed(in_use));
	expect(clock_ms() - begin >= FS_CACHE_IDLE_MS);
	fs_cache_leave(cache, place);
	for (begin = clock_ms(); clock_ms() - begin < FS_CACHE_IDLE_MS * 3; io_turn(io, true))
		expect(has(&file));
	while (io_in_flight(io) > 0 && clock_ms() - begin < LATE_MS)
		io_turn(io, true);
	expect_equal(io_in_flight(io), 0);
	turn_until_closed(in_use);
	put(1);
	expect_equal(io_in_flight(io), 1);
}
END_TEST

static bool recalls(struct fs_cache_asked asked)
{
	struct fs_attributes attributes;
	uint32_t place = fs_cache_recall(cache, &asked, &attributes);

	if (place == FS_CACHE_NONE)
		return false;
	fs_cache_leave(cache, place);
	expect_equal(attributes.size, 5);
	return true;
}

START_TEST(a_walk_serves_what_was_there_before_it)
{
	static char long_path[FS_CACHE_PATH + 1];
	struct fs_walked file = walked(7);
	struct fs_attributes attributes = {.size = 5};
	uint64_t seen = 3; /* positions wrap around */
	struct fs_cache_asked asked = {.directory = 9, .path = "a/b", .turn = 4, .end = seen - 10};
	uint32_t place = fs_cache_add(cache, &file, some_file());

	expect(!recalls(asked));
	fs_cache_note(cache, place, &asked, seen, &attributes);
	expect(recalls(asked));
	asked.end = seen;
	expect(recalls(asked));
	asked.end = seen + 1;
	expect(!recalls(asked));
	asked.end = seen;
	asked.turn++;
	expect(!recalls(asked));
	asked.turn--;
	asked.directory++;
	expect(!recalls(asked));
	asked.directory--;
	asked.path = "a/bc";
	expect(!recalls(asked));
	memset(long_path, 'a', FS_CACHE_PATH);
	asked.path = long_path;
	fs_cache_note(cache, place, &asked, seen, &attributes);
	expect(!recalls(asked));
	asked.path = "a/b";
	expect(recalls(asked));
	file.attributes.ctime_s++;
	expect(!has(&file));
	expect(!recalls(asked));
	fs_cache_leave(cache, place);
}
END_TEST

/* ---- as a guest sees it */

static struct guest_stream fs;

/* With this text, and old enough. */
static void write_settled(const char *name, const char *text)
{
	file_write(fs_guest_host_path(name), text, strlen(text));
	sleep_ms(FS_CACHE_SETTLE_MS + 20);
}

static void setup_guest(void)
{
	fs_guest_setup();
	write_settled("file", "hello");
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}

/* The text of one ReadFile; "" and the errno when it fails. The size that was told is the text's.
 */
static const char *receive_text(int *ret_error)
{
	static char text[4096];
	struct fs_reply reply = fs_guest_receive(&fs);
	struct fs_attributes attributes;

	text[0] = 0;
	*ret_error = (int)reply.frame.error;
	if (reply.frame.error != 0)
		return text;
	expect_equal(wire_decode(&fs_attributes_message, &attributes, reply.body, reply.len), 0);
	if ((reply.frame.flags & FRAME_MORE) != 0) {
		reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.flags & FRAME_MORE, 0);
		struct wire_bytes data = fs_guest_data(&reply);
		memcpy(text, data.data, data.len);
		text[data.len] = 0;
	}
	expect_equal(attributes.size, strlen(text));
	return text;
}

static void ask(const char *path)
{
	struct fs_read_file read = fs_guest_whole(path);

	fs_guest_send(&fs, FS_READ_FILE, &read);
}

static void expect_text(const char *path, const char *wanted)
{
	int error;

	ask(path);
	ck_assert_str_eq(receive_text(&error), wanted);
	expect_equal(error, 0);
}

static void expect_error(const char *path, int wanted)
{
	int error;

	ask(path);
	receive_text(&error);
	expect_equal(error, wanted);
}

static unsigned opened(int notify)
{
	char events[4096];
	ssize_t len = read(notify, events, sizeof(events));

	return len < 0 ? 0 : (unsigned)len / sizeof(struct inotify_event);
}

static void expect_descriptors(const char *name, unsigned wanted)
{
	for (unsigned i = 0; i < LATE_MS && descriptors(fs_guest_host_path(name)) != wanted; i++)
		sleep_ms(1);
	expect_equal(descriptors(fs_guest_host_path(name)), wanted);
}

START_TEST(many_reads_are_one_opening)
{
	int notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	expect(inotify_add_watch(notify, fs_guest_host_path("file"), IN_OPEN) >= 0);
	for (unsigned i = 0; i < 20; i++)
		expect_text(i % 2 ? "file" : "./file", "hello");
	/* The first may have been a worker's: the walk was not in memory. */
	expect(opened(notify) <= 2);
	expect_descriptors("file", 1);
	uint64_t begin = clock_ms();
	expect_descriptors("file", 0);
	expect(clock_ms() - begin < IDLE_MS + 1000);
	expect_text("file", "hello");
	expect_equal(opened(notify), 1);
	close(notify);
}
END_TEST

START_TEST(the_path_decides)
{
	char other[512];

	expect_text("file", "hello");
	write_settled("other", "another");
	snprintf(other, sizeof(other), "%s", fs_guest_host_path("other"));
	expect_text("file", "hello");
	expect_equal(rename(other, fs_guest_host_path("file")), 0);
	expect_text("file", "another");
	expect_error("other", ENOENT);
	expect_equal(unlink(fs_guest_host_path("file")), 0);
	expect_error("file", ENOENT);
	write_settled("file", "new");
	expect_text("file", "new");
	expect_equal(unlink(fs_guest_host_path("file")), 0);
	expect_equal(symlink("/etc/passwd", fs_guest_host_path("file")), 0);
	expect_error("file", EXDEV);
	expect_descriptors("file", 0);
}
END_TEST

START_TEST(size_and_bytes_are_those_of_now)
{
	expect_text("file", "hello");
	expect_text("file", "hello");
	expect_equal(truncate(fs_guest_host_path("file"), 2), 0);
	expect_text("file", "he");
	file_write(fs_guest_host_path("file"), "", 0);
	expect_text("file", "");
	write_settled("file", "much more than there was");
	expect_text("file", "much more than there was");
	expect_text("file", "much more than there was");
}
END_TEST

/* Root reads anything, so the monitor is not root meanwhile. */
static void become(uid_t user)
{
	if (getuid() == 0)
		expect_equal(seteuid(user), 0);
}

START_TEST(a_file_that_may_no_longer_be_read)
{
	become(NOBODY);
	expect_text("file", "hello");
	expect_text("file", "hello");
	become(0);
	expect_equal(chmod(fs_guest_host_path("file"), 0), 0);
	become(NOBODY);
	expect_error("file", EACCES);
	become(0);
	expect_equal(chmod(fs_guest_host_path("file"), 0644), 0);
	become(NOBODY);
	expect_text("file", "hello");
	become(0);
}
END_TEST

START_TEST(a_stream_holds_so_many_files)
{
	char name[32], text[32];

	for (unsigned i = 0; i < FS_CACHE_FILES * 2; i++) {
		snprintf(name, sizeof(name), "many-%u", i);
		file_write(fs_guest_host_path(name), name, strlen(name));
	}
	sleep_ms(FS_CACHE_SETTLE_MS + 20);
	for (unsigned i = 0; i < FS_CACHE_FILES * 4; i++) {
		snprintf(text, sizeof(text), "many-%u", i % (FS_CACHE_FILES * 2));
		expect_text(text, text);
	}
	for (unsigned i = 0; i < LATE_MS; i++) {
		if (descriptors(fs_guest_host_path("many-")) <= FS_CACHE_FILES)
			break;
		sleep_ms(1);
	}
	expect(descriptors(fs_guest_host_path("many-")) <= FS_CACHE_FILES);
	guest_stream_close(&fs);
	expect_descriptors("many-", 0);
}
END_TEST

/* A guest that takes no replies does not keep a walk alive for the rest of its requests. */
START_TEST(what_waits_is_walked_to_later)
{
	int error;

	guest_stream_close(&fs);
	fs = fs_guest_open("/rw", 65536, 4096, NULL);
	expect_text("file", "hello");
	for (unsigned i = 0; i < WAITING; i++)
		ask("file");
	sleep_ms(50);
	expect_equal(unlink(fs_guest_host_path("file")), 0);
	write_settled("file", "new");
	for (unsigned i = 0; i < WAITING; i++) {
		const char *text = receive_text(&error);
		expect_equal(error, 0);
		if (i == 0 || i == WAITING - 1)
			ck_assert_str_eq(text, i == 0 ? "hello" : "new");
	}
}
END_TEST

/* ---- someone gives a name to one file after the other, while the guest asks for it */

static atomic_uint named; /* the version that the name has for certain */
static char version_path[512], name_path[520], new_name_path[520];

/* A link's: that of the file itself would change its ctime, and keep it out of the cache. */
static void name_version(unsigned version)
{
	char target[16];

	snprintf(target, sizeof(target), "%u", version);
	expect_equal(symlink(target, new_name_path), 0);
	expect_equal(rename(new_name_path, name_path), 0);
	atomic_store(&named, version);
}

static void *name_all(void *argument)
{
	(void)argument;
	for (unsigned i = 2; i <= VERSIONS; i++) {
		name_version(i);
		sched_yield();
	}
	return NULL;
}

static void make_versions(void)
{
	char text[16];

	snprintf(version_path, sizeof(version_path), "%s", fs_guest_host_path(""));
	snprintf(name_path, sizeof(name_path), "%sname", version_path);
	snprintf(new_name_path, sizeof(new_name_path), "%snew", version_path);
	for (unsigned i = 1; i <= VERSIONS; i++) {
		snprintf(text, sizeof(text), "%u", i);
		file_write(fs_guest_host_path(text), text, strlen(text));
	}
	sleep_ms(FS_CACHE_SETTLE_MS + 20);
	name_version(1);
}

/* However many requests one walk serves. */
START_TEST(no_answer_is_older_than_its_request)
{
	pthread_t thread;
	unsigned least[BURST], version = 0;
	int error;

	make_versions();
	expect_equal(pthread_create(&thread, NULL, name_all, NULL), 0);
	while (version < VERSIONS) {
		for (unsigned i = 0; i < BURST; i++) {
			least[i] = atomic_load(&named);
			ask("name");
		}
		for (unsigned i = 0; i < BURST; i++) {
			version = (unsigned)strtoul(receive_text(&error), NULL, 10);
			expect_equal(error, 0);
			expect(version >= least[i]);
		}
	}
	pthread_join(thread, NULL);
}
END_TEST

/* ---- overlayfs */

/* In a tmpfs of this process's own. */
static bool mount_overlay(const char *at)
{
	if (mount("tmpfs", at, "tmpfs", 0, NULL) < 0 || chdir(at) < 0)
		return false;
	return mkdir("lower", 0755) == 0 && mkdir("upper", 0755) == 0 && mkdir("work", 0755) == 0 &&
	       mkdir("merged", 0755) == 0 &&
	       mount("overlay", "merged", "overlay", 0,
		       "lowerdir=lower,upperdir=upper,workdir=work") == 0;
}

START_TEST(overlayfs_is_not_for_it)
{
	char *at = scratch_subdir("overlay");
	struct fs_path_root root;

	if (!namespace_enter(CLONE_NEWNS))
		return;
	if (!mount_overlay(at)) {
		printf("not tested: no overlay can be mounted: %s\n", strerror(errno));
		return;
	}
	expect_equal(fs_path_root_probe(open("merged", O_PATH | O_DIRECTORY), &root), 0);
	expect(root.local && !root.plain);
	expect_equal(fs_path_root_probe(open("lower", O_PATH | O_DIRECTORY), &root), 0);
	expect(root.local && root.plain);
	free(at);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_cache");
	TCase *itself = tcase_create("itself"), *guest = tcase_create("guest");
	TCase *overlay = tcase_create("overlay");

	tcase_add_checked_fixture(itself, setup_cache, teardown_cache);
	tcase_set_timeout(itself, 30);
	tcase_add_test(itself, a_file_is_found_by_what_the_walk_saw);
	tcase_add_test(itself, a_change_of_the_inode_drops_the_file);
	tcase_add_test(itself, a_file_in_use_outlives_its_being_dropped);
	tcase_add_test(itself, the_oldest_makes_room);
	tcase_add_test(itself, scarce_descriptors_are_left_to_others);
	tcase_add_test(itself, what_is_not_kept);
	tcase_add_test(itself, idle_files_are_closed);
	tcase_add_test(itself, a_walk_serves_what_was_there_before_it);
	suite_add_tcase(suite, itself);
	tcase_add_checked_fixture(guest, setup_guest, fs_guest_teardown);
	tcase_set_timeout(guest, 60);
	tcase_add_test(guest, many_reads_are_one_opening);
	tcase_add_test(guest, the_path_decides);
	tcase_add_test(guest, size_and_bytes_are_those_of_now);
	tcase_add_test(guest, a_file_that_may_no_longer_be_read);
	tcase_add_test(guest, a_stream_holds_so_many_files);
	tcase_add_test(guest, what_waits_is_walked_to_later);
	tcase_add_test(guest, no_answer_is_older_than_its_request);
	suite_add_tcase(suite, guest);
	tcase_add_test(overlay, overlayfs_is_not_for_it);
	suite_add_tcase(suite, overlay);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
