/* Positions, holes and copies of open files, locks on them, and watches, from the guest's end of a
 * stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define KIB 1024u

static struct guest_stream fs;

static void setup(void)
{
	fs_guest_setup();
	file_write(fs_guest_host_path("file"), "hello", 5);
	expect_equal(mkdir(fs_guest_host_path("dir"), 0755), 0);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}

static uint32_t writer(const char *path)
{
	return fs_guest_handle(&fs, path, FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_CREATE);
}

/* ---- seek */

/* The position, or minus the errno. */
static long long seek(uint32_t handle, uint32_t whence, int64_t offset)
{
	struct fs_seek request = {.handle = handle, .whence = whence, .offset = (uint64_t)offset};
	struct fs_sought sought;
	int error = fs_guest_call(&fs, FS_SEEK, &request, &sought);

	return error ? -error : (long long)sought.offset;
}

START_TEST(seeks)
{
	uint32_t handle = writer("file");
	struct wire_bytes data;

	expect_equal(seek(handle, FS_SEEK_SET, 3), 3);
	expect_equal(fs_guest_read(&fs, handle, 10, FS_POSITION, &data), 0);
	expect(data.len == 2 && memcmp(data.data, "lo", 2) == 0);
	expect_equal(seek(handle, FS_SEEK_CURRENT, -4), 1);
	expect_equal(seek(handle, FS_SEEK_CURRENT, -2), -EINVAL);
	expect_equal(seek(handle, FS_SEEK_END, 10), 15);
	expect_equal(seek(handle, FS_SEEK_CURRENT, 0), 15);
	expect_equal(seek(handle, 5, 0), -EINVAL);
	expect_equal(seek(4711, FS_SEEK_SET, 0), -EBADF);
	expect_equal(seek(fs_guest_handle(&fs, "dir", FS_OPEN_DIRECTORY), FS_SEEK_SET, 0), -EISDIR);
}
END_TEST

/* ---- holes */

static int allocate(uint32_t handle, uint32_t flags, uint64_t offset, uint64_t length)
{
	struct fs_allocate request = {
		.handle = handle, .flags = flags, .offset = offset, .length = length};

	return fs_guest_call(&fs, FS_ALLOCATE, &request, NULL);
}

START_TEST(holes_are_found_and_made)
{
	static unsigned char bytes[32 * KIB];
	const uint32_t punch = FS_ALLOCATE_PUNCH_HOLE | FS_ALLOCATE_KEEP_SIZE;
	uint32_t handle = writer("holes");
	struct stat now;

	memset(bytes, 'b', sizeof(bytes));
	expect_equal(fs_guest_write(&fs, handle, 128 * KIB, bytes, sizeof(bytes)), 0);
	expect_equal(fs_guest_write(&fs, handle, 160 * KIB, bytes, sizeof(bytes)), 0);
	expect_equal(seek(handle, FS_SEEK_DATA, 0), 128 * KIB);
	expect_equal(seek(handle, FS_SEEK_HOLE, 128 * KIB), 192 * KIB);
	expect_equal(seek(handle, FS_SEEK_DATA, 192 * KIB), -ENXIO);
	expect_equal(allocate(handle, punch, 144 * KIB, 16 * KIB), 0);
	expect_equal(seek(handle, FS_SEEK_HOLE, 128 * KIB), 144 * KIB);
	expect_equal(seek(handle, FS_SEEK_DATA, 144 * KIB), 160 * KIB);
	expect_equal(allocate(handle, 0, 192 * KIB, 1000), 0);
	expect_equal(stat(fs_guest_host_path("holes"), &now), 0);
	expect_equal(now.st_size, 192 * KIB + 1000);
	expect_equal(allocate(handle, FS_ALLOCATE_KEEP_SIZE, 512 * KIB, 4096), 0);
	expect_equal(allocate(handle, FS_ALLOCATE_ZERO, 128 * KIB, 4096), 0);
	expect_equal(stat(fs_guest_host_path("holes"), &now), 0);
	expect_equal(now.st_size, 192 * KIB + 1000);
	struct wire_bytes data;
	expect_equal(fs_guest_read(&fs, handle, 4097, 128 * KIB, &data), 0);
	expect(((const char *)data.data)[4095] == 0 && ((const char *)data.data)[4096] == 'b');
}
END_TEST

START_TEST(what_cannot_be_allocated)
{
	uint32_t handle = writer("file");
	uint32_t reader = fs_guest_handle(&fs, "file", FS_OPEN_READ);

	expect_equal(allocate(handle, 0, 0, 0), EINVAL);
	expect_equal(allocate(handle, FS_ALLOCATE_KNOWN + 1, 0, 1), EINVAL);
	expect_equal(allocate(handle, 0, UINT64_MAX, 1), EINVAL);
	expect_equal(allocate(handle, 0, 0, UINT64_MAX), EINVAL);
	expect_equal(allocate(handle, 0, INT64_MAX, 1), EFBIG);
	expect_equal(allocate(handle, FS_ALLOCATE_PUNCH_HOLE, 0, 1), ENOTSUP);
	expect_equal(allocate(reader, 0, 0, 1), EBADF);
	struct guest_stream only = fs_guest_open("/ro", 4096, 4096, NULL);
	struct fs_allocate request = {.length = 1};
	expect_equal(fs_guest_call(&only, FS_ALLOCATE, &request, NULL), EROFS);
	guest_stream_close(&only);
}
END_TEST

/* ---- copies */

/* The length, or minus the errno. */
static long long copy(uint32_t from, uint64_t from_at, uint32_t to, uint64_t to_at, uint64_t len)
{
	struct fs_copy_range request = {.from_handle = from,
		.to_handle = to,
		.from_offset = from_at,
		.to_offset = to_at,
		.length = len};
	struct fs_copied copied;
	int error = fs_guest_call(&fs, FS_COPY_RANGE, &request, &copied);

	return error ? -error : (long long)copied.length;
}

START_TEST(copies)
{
	uint32_t from = writer("from"), to = writer("to");
	uint32_t append =
		fs_guest_handle(&fs, "log", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_APPEND);
	uint32_t reader = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	uint64_t at = 0;

	file_write_pattern(fs_guest_host_path("from"), 8, (20u << 20) + 5);
	for (long long some; (some = copy(from, at, to, at, UINT64_MAX)) != 0; at += (uint64_t)some)
		expect(some > 0 && some <= FS_COPY_MAX);
	expect_equal(at, (20u << 20) + 5);
	char *wanted = scratch_path("wanted-%d", (int)getpid());
	file_write_pattern(wanted, 8, (20u << 20) + 5);
	expect_same_file(fs_guest_host_path("to"), wanted);
	free(wanted);
	expect_equal(copy(from, 1 << 30, to, 0, 10), 0);
	expect_equal(copy(to, 0, to, 50, 100), -EINVAL);
	expect_equal(copy(to, 0, from, 0, 0), 0);
	expect_equal(copy(reader, 1, append, 0, 10), -EBADF);
	expect_equal(copy(from, 0, reader, 0, 10), -EBADF);
	expect_equal(copy(append, 0, to, 0, 10), -EBADF);
	expect_equal(copy(from, UINT64_MAX, to, 0, 10), -EINVAL);
	expect_equal(copy(from, 0, fs_guest_handle(&fs, "dir", FS_OPEN_DIRECTORY), 0, 10), -EISDIR);
}
END_TEST

/* ---- locks */

static struct fs_lock lock_of(uint32_t handle, uint32_t flags)
{
	return (struct fs_lock){.handle = handle, .flags = flags};
}

static int lock(struct guest_stream *stream, uint32_t handle, uint32_t flags)
{
	struct fs_lock request = lock_of(handle, flags);

	return fs_guest_call(stream, FS_LOCK, &request, NULL);
}

static void expect_reply(struct guest_stream *stream, uint32_t id, int error)
{
	struct fs_reply reply = fs_guest_receive(stream);

	expect_equal(reply.frame.request_id, id);
	expect_equal(reply.frame.error, error);
}

/* A look at something else, which is answered while locks wait. */
static void expect_served(void)
{
	struct fs_stat look = {.path = fs_guest_bytes("file")};

	expect_equal(fs_guest_call(&fs, FS_STAT, &look, NULL), 0);
}

static void locks_of_kind(uint32_t kind)
{
	uint32_t one = writer("file"), two = writer("file");
	struct guest_stream other = fs_guest_open("/rw", 65536, 65536, NULL);
	uint32_t far = fs_guest_handle(&other, "file", FS_OPEN_READ | FS_OPEN_WRITE);

	expect_equal(lock(&fs, one, kind | FS_LOCK_SHARED), 0);
	expect_equal(lock(&fs, two, kind | FS_LOCK_SHARED), 0);
	expect_equal(lock(&other, far, kind | FS_LOCK_EXCLUSIVE), EAGAIN);
	struct fs_lock wait = lock_of(far, kind | FS_LOCK_EXCLUSIVE | FS_LOCK_WAIT);
	fs_guest_send_frame(&other, FS_LOCK, 0, 50, &wait);
	expect_equal(lock(&fs, one, kind | FS_LOCK_UNLOCK), 0);
	expect_equal(fs_guest_close(&fs, two), 0);
	expect_reply(&other, 50, 0);
	/* One of the host's programs. */
	int fd = open(fs_guest_host_path("file"), O_RDWR);
	struct flock all = {.l_type = F_WRLCK};
	expect((kind != 0 ? flock(fd, LOCK_EX | LOCK_NB) : fcntl(fd, F_OFD_SETLK, &all)) < 0);
	guest_stream_close(&other);
	wait = lock_of(one, kind | FS_LOCK_EXCLUSIVE | FS_LOCK_WAIT);
	fs_guest_send_frame(&fs, FS_LOCK, 0, 51, &wait);
	expect_reply(&fs, 51, 0);
	close(fd);
}

START_TEST(locks_of_ranges)
{
	locks_of_kind(0);
}
END_TEST

START_TEST(locks_of_whole_files)
{
	locks_of_kind(FS_LOCK_WHOLE);
}
END_TEST

START_TEST(ranges_do_not_meet)
{
	uint32_t one = writer("file"), two = writer("file");
	struct fs_lock part = lock_of(one, FS_LOCK_EXCLUSIVE);

	part.length = 10;
	expect_equal(fs_guest_call(&fs, FS_LOCK, &part, NULL), 0);
	part.handle = two;
	expect_equal(fs_guest_call(&fs, FS_LOCK, &part, NULL), EAGAIN);
	part.offset = 10;
	part.length = 0;
	expect_equal(fs_guest_call(&fs, FS_LOCK, &part, NULL), 0);
	part.flags = FS_LOCK_WHOLE | FS_LOCK_EXCLUSIVE;
	expect_equal(fs_guest_call(&fs, FS_LOCK, &part, NULL), 0);
}
END_TEST

/* A handle has so many ranges and no more; how often it locks is its own affair. */
START_TEST(ranges_are_bounded)
{
	uint32_t handle = fs_guest_handle(&fs, "file", FS_OPEN_READ | FS_OPEN_WRITE);
	struct fs_lock one = lock_of(handle, FS_LOCK_EXCLUSIVE),
		       all = lock_of(handle, FS_LOCK_UNLOCK);

	all.offset = all.length = 0;
	one.length = 1;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 256; i++) {
			one.offset = 2 * i;
			expect_equal(fs_guest_call(&fs, FS_LOCK, &one, NULL), 0);
		}
		one.offset = 600;
		expect_equal(fs_guest_call(&fs, FS_LOCK, &one, NULL), ENOLCK);
		expect_equal(fs_guest_call(&fs, FS_LOCK, &all, NULL), 0);
	}
	for (unsigned i = 0; i < 2000; i++) {
		one.flags = i % 2 == 0 ? FS_LOCK_EXCLUSIVE : FS_LOCK_UNLOCK;
		expect_equal(fs_guest_call(&fs, FS_LOCK, &one, NULL), 0);
	}
	/* Cut into pieces. */
	one.offset = 0;
	one.length = 10000;
	one.flags = FS_LOCK_EXCLUSIVE;
	expect_equal(fs_guest_call(&fs, FS_LOCK, &one, NULL), 0);
	one.length = 1;
	one.flags = FS_LOCK_UNLOCK;
	int error = 0;
	for (unsigned i = 1; i < 600 && error == 0; i++) {
		one.offset = 2 * i;
		error = fs_guest_call(&fs, FS_LOCK, &one, NULL);
	}
	expect_equal(error, ENOLCK);
	expect_equal(fs_guest_close(&fs, handle), 0);
}
END_TEST

START_TEST(waits_are_ended)
{
	uint32_t one = writer("file"), two = writer("file");
	struct fs_lock wait = lock_of(two, FS_LOCK_EXCLUSIVE | FS_LOCK_WAIT);

	expect_equal(lock(&fs, one, FS_LOCK_EXCLUSIVE), 0);
	fs_guest_send_frame(&fs, FS_LOCK, 0, 60, &wait);
	expect_served();
	fs_guest_send_frame(&fs, FS_CANCEL, 0, 61, &(struct fs_cancel){60});
	expect_reply(&fs, 60, ECANCELED);
	expect_reply(&fs, 61, 0);
	expect_equal(fs_guest_call(&fs, FS_CANCEL, &(struct fs_cancel){60}, NULL), ENOENT);
	fs_guest_send_frame(&fs, FS_LOCK, 0, 62, &wait);
	fs_guest_send_frame(&fs, FS_CLOSE, 0, 63, &(struct fs_close){.handle = two});
	expect_reply(&fs, 62, ECANCELED);
	expect_reply(&fs, 63, 0);
	/* The stream's end ends the rest, of which there may be so many. */
	for (unsigned i = 0; i < 33; i++) {
		wait.handle = writer("file");
		fs_guest_send_frame(&fs, FS_LOCK, 0, 100 + i, &wait);
	}
	expect_reply(&fs, 132, ENOLCK);
	expect_served();
	guest_stream_close(&fs);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	expect_equal(lock(&fs, writer("file"), FS_LOCK_EXCLUSIVE | FS_LOCK_WAIT), 0);
}
END_TEST

START_TEST(locks_that_make_no_sense)
{
	static const uint32_t flags[] = {0, FS_LOCK_WAIT, FS_LOCK_SHARED | FS_LOCK_EXCLUSIVE,
		FS_LOCK_SHARED | FS_LOCK_UNLOCK, FS_LOCK_SHARED | (FS_LOCK_KNOWN + 1)};
	uint32_t handle = writer("file");

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		expect_equal(lock(&fs, handle, flags[i]), EINVAL);
	struct fs_lock far = lock_of(handle, FS_LOCK_SHARED);
	far.offset = UINT64_MAX;
	expect_equal(fs_guest_call(&fs, FS_LOCK, &far, NULL), EINVAL);
	expect_equal(lock(&fs, 4711, FS_LOCK_SHARED), EBADF);
	expect_equal(
		lock(&fs, fs_guest_handle(&fs, "file", FS_OPEN_READ), FS_LOCK_EXCLUSIVE), EBADF);
}
END_TEST

/* ---- watches */

static void watch(uint32_t id, const char *path, uint32_t events)
{
	struct fs_watch request = {.events = events, .path = fs_guest_bytes(path)};

	fs_guest_send_frame(&fs, FS_WATCH, 0, id, &request);
}

static struct fs_watched expect_event(uint32_t id, uint32_t events, const char *name)
{
	struct fs_reply reply = fs_guest_receive(&fs);
	struct fs_watched watched = {0};

	expect_equal(reply.frame.error, 0);
	expect_equal(reply.frame.request_id, id);
	expect_equal(reply.frame.type, FS_WATCH);
	expect_equal((reply.frame.flags & FRAME_MORE) != 0, events != FS_WATCH_ENDED);
	expect_equal(
		wire_decode(&fs_replies[FS_WATCH - STREAM_FIRST], &watched, reply.body, reply.len),
		0);
	expect_equal(watched.events, events);
	expect_equal(watched.name.len, strlen(name));
	expect(memcmp(watched.name.data, name, strlen(name)) == 0);
	return watched;
}

START_TEST(a_directory_is_watched)
{
	char from[600], to[600];

	watch(70, "dir", FS_WATCH_KNOWN & ~(uint32_t)FS_WATCH_OPENED);
	expect_event(70, 0, "");
	snprintf(from, sizeof(from), "%s", fs_guest_host_path("dir/one"));
	snprintf(to, sizeof(to), "%s", fs_guest_host_path("dir/two"));
	file_write(from, "text", 4);
	expect_event(70, FS_WATCH_CREATED, "one");
	expect_event(70, FS_WATCH_MODIFIED, "one");
	expect_event(70, FS_WATCH_WRITTEN, "one");
	expect_equal(rename(from, to), 0);
	uint32_t cookie = expect_event(70, FS_WATCH_MOVED_FROM, "one").cookie;
	expect(cookie != 0 && expect_event(70, FS_WATCH_MOVED_TO, "two").cookie == cookie);
	expect_equal(chmod(to, 0600), 0);
	expect_event(70, FS_WATCH_ATTRIBUTES, "two");
	expect_equal(unlink(to), 0);
	expect_event(70, FS_WATCH_REMOVED, "two");
	expect_equal(mkdir(from, 0755), 0);
	expect_event(70, FS_WATCH_CREATED | FS_WATCH_DIRECTORY, "one");
	/* What the guest does itself. */
	struct fs_unlink remove = {.flags = FS_UNLINK_DIRECTORY, .path = fs_guest_bytes("dir/one")};
	fs_guest_send_frame(&fs, FS_UNLINK, 0, 71, &remove);
	struct fs_reply reply = fs_guest_receive(&fs);
	if (reply.frame.type == FS_UNLINK) {
		expect_event(70, FS_WATCH_REMOVED | FS_WATCH_DIRECTORY, "one");
	} else {
		expect_reply(&fs, 71, 0);
	}
	expect_equal(rename(fs_guest_host_path("dir"), to), -1);
	fs_guest_send_frame(&fs, FS_CANCEL, 0, 72, &(struct fs_cancel){70});
	expect_reply(&fs, 72, 0);
	expect_reply(&fs, 70, ECANCELED);
}
END_TEST

/* Two of one file, each told what it asked for; the end of the file ends both. */
START_TEST(a_file_is_watched_twice)
{
	char path[600];

	snprintf(path, sizeof(path), "%s", fs_guest_host_path("file"));
	watch(80, "file", FS_WATCH_MODIFIED);
	expect_event(80, 0, "");
	watch(81, "file", FS_WATCH_ATTRIBUTES);
	expect_event(81, 0, "");
	expect_equal(truncate(path, 1), 0);
	expect_event(80, FS_WATCH_MODIFIED, "");
	expect_equal(chmod(path, 0600), 0);
	expect_event(81, FS_WATCH_ATTRIBUTES, "");
	fs_guest_send_frame(&fs, FS_CANCEL, 0, 82, &(struct fs_cancel){80});
	expect_reply(&fs, 82, 0);
	expect_reply(&fs, 80, ECANCELED);
	expect_equal(truncate(path, 0), 0);
	expect_equal(unlink(path), 0);
	expect_event(81, FS_WATCH_ATTRIBUTES, "");
	expect_event(81, FS_WATCH_ENDED, "");
	expect_equal(fs_guest_call(&fs, FS_CANCEL, &(struct fs_cancel){81}, NULL), ENOENT);
}
END_TEST

/* More than the kernel keeps, while nobody reads; then it goes on. */
START_TEST(lost_events_are_told)
{
	struct guest_stream small = fs_guest_open("/rw", 4096, 4096, NULL);
	struct fs_watch request = {.events = FS_WATCH_ATTRIBUTES, .path = fs_guest_bytes("dir")};
	char paths[2][600];
	bool lost = false;

	for (unsigned i = 0; i < 2; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s-%u", fs_guest_host_path("dir/file"), i);
		file_write(paths[i], "", 0);
	}
	fs_guest_send_frame(&small, FS_WATCH, 0, 90, &request);
	expect_equal(fs_guest_receive(&small).frame.request_id, 90);
	for (unsigned i = 0; i < 20000; i++)
		expect_equal(chmod(paths[i % 2], i % 4 < 2 ? 0600 : 0644), 0);
	for (unsigned i = 0; i < 30000 && !lost; i++) {
		struct fs_reply reply = fs_guest_receive(&small);
		struct fs_watched watched = {0};
		expect_equal(wire_decode(&fs_replies[FS_WATCH - STREAM_FIRST], &watched, reply.body,
				     reply.len),
			0);
		lost = watched.events == FS_WATCH_OVERFLOW;
	}
	expect(lost);
	guest_stream_close(&small);
}
END_TEST

START_TEST(watches_that_cannot_be)
{
	struct fs_watch request = {.events = FS_WATCH_MODIFIED, .path = fs_guest_bytes("nothing")};

	expect_equal(fs_guest_call(&fs, FS_WATCH, &request, NULL), ENOENT);
	request.path = fs_guest_bytes("../file");
	expect_equal(fs_guest_call(&fs, FS_WATCH, &request, NULL), EXDEV);
	request.path = fs_guest_bytes("file");
	request.events = 0;
	expect_equal(fs_guest_call(&fs, FS_WATCH, &request, NULL), EINVAL);
	request.events = FS_WATCH_ENDED;
	expect_equal(fs_guest_call(&fs, FS_WATCH, &request, NULL), EINVAL);
	for (unsigned i = 0; i < FS_WATCHES_MAX; i++) {
		watch(1000 + i, "file", FS_WATCH_ATTRIBUTES);
		expect_event(1000 + i, 0, "");
	}
	request.events = FS_WATCH_MODIFIED;
	expect_equal(fs_guest_call(&fs, FS_WATCH, &request, NULL), ENOSPC);
	expect_equal(chmod(fs_guest_host_path("file"), 0600), 0);
	for (unsigned i = 0; i < FS_WATCHES_MAX; i++)
		expect_equal(fs_guest_receive(&fs).frame.type, FS_WATCH);
	/* All are ended with the guest's direction. */
	ring_finish(&fs.pipe.out);
	guest_flush(fs.guest, &fs.pipe, fs.slot);
	for (unsigned i = 0; i < FS_WATCHES_MAX; i++)
		expect_equal(fs_guest_receive(&fs).frame.error, ECANCELED);
	guest_stream_close(&fs);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}
END_TEST

/* Added and cancelled as fast as can be, of one file, and the stream closed under them. */
START_TEST(a_storm_of_watches)
{
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 60; i++) {
			watch(i, "file", FS_WATCH_ATTRIBUTES);
			fs_guest_send_frame(&fs, FS_CANCEL, 0, 500, &(struct fs_cancel){i / 2});
		}
		chmod(fs_guest_host_path("file"), 0600);
		guest_stream_close(&fs);
		fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	}
	watch(1, "file", FS_WATCH_ATTRIBUTES);
	expect_event(1, 0, "");
	expect_equal(chmod(fs_guest_host_path("file"), 0644), 0);
	expect_event(1, FS_WATCH_ATTRIBUTES, "");
}
END_TEST

/* The name goes while a worker begins to watch it: whoever watches hears of the end all the same.
 */
START_TEST(watches_of_what_is_just_removed)
{
	static unsigned char bytes[8192];
	unsigned begun = 0;

	for (uint32_t i = 1; i <= 600; i++) {
		struct fs_watch watch = {
			.events = FS_WATCH_SELF_MOVED, .path = fs_guest_bytes("gone")};
		struct fs_unlink unlink = {.path = fs_guest_bytes("gone")};
		struct frame frame = {.request_id = 2 * i};
		file_write(fs_guest_host_path("gone"), "x", 1);
		size_t len = wire_encode(&fs_requests[FS_WATCH - STREAM_FIRST], &frame, &watch,
			bytes, sizeof(bytes));
		frame.request_id = 2 * i + 1;
		len += wire_encode(&fs_requests[FS_UNLINK - STREAM_FIRST], &frame, &unlink,
			bytes + len, sizeof(bytes) - len);
		guest_write(fs.guest, &fs.pipe, fs.slot, bytes, len);
		bool ended = false, unlinked = false;
		while (!ended || !unlinked) {
			struct fs_reply reply = fs_guest_receive(&fs);
			unlinked |= reply.frame.request_id == 2 * i + 1;
			ended |= reply.frame.request_id == 2 * i &&
				 (reply.frame.flags & FRAME_MORE) == 0;
			begun += reply.frame.request_id == 2 * i &&
				 (reply.frame.flags & FRAME_MORE) != 0;
		}
	}
	printf("%u of 600 were watched\n", begun);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("range");
	Suite *suite = suite_create("fs_range");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, fs_guest_teardown);
	tcase_add_test(tcase, seeks);
	tcase_add_test(tcase, holes_are_found_and_made);
	tcase_add_test(tcase, what_cannot_be_allocated);
	tcase_add_test(tcase, copies);
	tcase_add_test(tcase, locks_of_ranges);
	tcase_add_test(tcase, locks_of_whole_files);
	tcase_add_test(tcase, ranges_do_not_meet);
	tcase_add_test(tcase, ranges_are_bounded);
	tcase_add_test(tcase, waits_are_ended);
	tcase_add_test(tcase, locks_that_make_no_sense);
	tcase_add_test(tcase, a_directory_is_watched);
	tcase_add_test(tcase, a_file_is_watched_twice);
	tcase_add_test(tcase, lost_events_are_told);
	tcase_add_test(tcase, watches_that_cannot_be);
	tcase_add_test(tcase, a_storm_of_watches);
	tcase_add_test(tcase, watches_of_what_is_just_removed);
	suite_add_tcase(suite, tcase);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
