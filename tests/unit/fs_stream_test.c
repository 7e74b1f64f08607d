/* Streams of protocol 0 under load, under attack and at their end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define LARGE (4u << 20)
#define TRIES 40

static struct guest_stream fs;

static void setup(void)
{
	fs_guest_setup();
	file_write(fs_guest_host_path("file"), "hello", 5);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}

/* ---- many requests */

/* One of many requests of which the outcome is known. */
static uint32_t send_some(
	struct guest_stream *stream, unsigned number, uint32_t handle, int *ret_error)
{
	struct fs_stat stat = {.path = fs_guest_bytes("file")};
	struct fs_stat missing = {.path = fs_guest_bytes("missing/file")};
	struct fs_read read = {.handle = handle, .length = 3000};
	struct fs_list list = {.handle = handle, .length = 280};
	struct fs_unlink remove = {.path = fs_guest_bytes("missing")};
	static const int errors[] = {0, ENOENT, 0, ENOTDIR, ENOENT};

	*ret_error = errors[number % 5];
	switch (number % 5) {
	case 0:
		return fs_guest_send(stream, FS_STAT, &stat);
	case 1:
		return fs_guest_send(stream, FS_STAT, &missing);
	case 2:
		return fs_guest_send(stream, FS_READ, &read);
	case 3:
		return fs_guest_send(stream, FS_LIST, &list);
	default:
		return fs_guest_send(stream, FS_UNLINK, &remove);
	}
}

/*
 * More than are taken at once, and more replies than the ring holds, all before the first is
 * read.
 */
START_TEST(each_request_is_answered_once)
{
	enum { COUNT = 300 };
	static int error[COUNT];
	static bool answered[COUNT];

	for (unsigned round = 0; round < TRIES; round++) {
		uint32_t to_guest = round % 2 == 0 ? 4096 : 65536;
		struct guest_stream stream = fs_guest_open("/rw", 65536, to_guest, NULL);
		uint32_t handle = fs_guest_handle(&stream, "file", FS_OPEN_READ);
		uint32_t base = send_some(&stream, 0, handle, &error[0]);
		for (unsigned i = 1; i < COUNT; i++)
			expect_equal(send_some(&stream, i, handle, &error[i]), base + i);
		memset(answered, 0, sizeof(answered));
		for (unsigned i = 0; i < COUNT; i++) {
			struct fs_reply reply = fs_guest_receive(&stream);
			uint32_t number = reply.frame.request_id - base;
			expect(number < COUNT && !answered[number]);
			expect_equal(reply.frame.error, error[number]);
			answered[number] = true;
		}
		guest_stream_close(&stream);
	}
}
END_TEST

/*
 * Requests without end and not a reply read: what is taken is what can be answered, and a
 * limited number beyond.
 */
START_TEST(requests_are_not_hoarded)
{
	struct guest_stream stream = fs_guest_open("/rw", 16384, 4096, NULL);
	struct fs_stat stat = {.path = fs_guest_bytes("file")};
	unsigned char bytes[64];
	size_t len = wire_encode(&fs_requests[FS_STAT - STREAM_FIRST],
		&(struct frame){.request_id = 1}, &stat, bytes, sizeof(bytes));
	size_t sent = 0;

	for (unsigned idle = 0; idle < 100;) {
		if (ring_reserve(&stream.pipe.out).len < len) {
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
			idle++;
			continue;
		}
		expect_equal(ring_write(&stream.pipe.out, bytes, len), len);
		guest_flush(&fs_guest, &stream.pipe, stream.slot);
		sent += len;
		idle = 0;
	}
	expect(sent <= 16384 + (64 + 4096 / 96) * len);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(one_that_does_not_read_stops_no_other)
{
	struct guest_stream stuck = fs_guest_open("/ro", FS_GUEST_RING, 4096, NULL);
	struct fs_read_file read = fs_guest_whole("large");

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	for (unsigned i = 0; i < 500; i++)
		fs_guest_send(&stuck, FS_READ_FILE, &read);
	for (unsigned i = 0; i < 3; i++)
		expect_equal(fs_guest_read_whole(&fs, &read, 9), LARGE);
	guest_stream_close(&stuck);
	expect_equal(fs_guest_read_whole(&fs, &read, 9), LARGE);
}
END_TEST

/* ---- what is not to be understood */

static void send_raw(struct guest_stream *stream, const struct frame *frame, const void *body)
{
	unsigned char bytes[4096];

	frame_encode(frame, bytes);
	memcpy(bytes + FRAME_HEADER_LEN, body, frame->length - FRAME_HEADER_LEN);
	guest_write(stream->guest, &stream->pipe, stream->slot, bytes, frame->length);
}

START_TEST(what_is_not_understood_is_answered)
{
	static const unsigned char zeros[64];
	static const uint16_t unknown[] = {
		STREAM_OPEN, STREAM_OPENED, 15, FS_TYPE_END, 9999, UINT16_MAX};
	struct fs_reply reply;

	for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		send_raw(&fs,
			&(struct frame){.length = 20, .type = unknown[i], .request_id = 1000 + i},
			zeros);
		reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.type, STREAM_UNSUPPORTED);
		expect_equal(reply.frame.error, ENOTSUP);
		expect_equal(reply.frame.request_id, 1000 + i);
	}
	for (uint16_t type = STREAM_FIRST; type < FS_TYPE_END; type++) {
		/* Of any length, and never answered. */
		if (type == FS_WRITE_DATA)
			continue;
		send_raw(&fs, &(struct frame){.length = 18, .type = type, .request_id = type},
			zeros);
		reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.type, type);
		expect_equal(reply.frame.error, EPROTO);
		expect_equal(reply.frame.request_id, type);
	}
	/* A path with a 0 byte, and one that is longer than its frame. */
	send_raw(&fs, &(struct frame){.length = 30, .type = FS_STAT},
		(unsigned char[14]){[8] = 4, [10] = 'a'});
	expect_equal(fs_guest_receive(&fs).frame.error, EPROTO);
	send_raw(&fs, &(struct frame){.length = 30, .type = FS_STAT},
		(unsigned char[14]){[8] = 5, [10] = 'a'});
	expect_equal(fs_guest_receive(&fs).frame.error, EPROTO);
	/* These are dropped: only the last is answered. */
	send_raw(&fs,
		&(struct frame){
			.length = 16, .type = FS_CLOSE, .flags = FRAME_REPLY, .request_id = 1},
		zeros);
	send_raw(&fs, &(struct frame){.length = 16, .type = 0, .request_id = 2}, zeros);
	expect_equal(fs_guest_close(&fs, 77), EBADF);
}
END_TEST

static void expect_failed(struct guest_stream *stream)
{
	char byte;

	expect_equal(guest_read(stream->guest, &stream->pipe, stream->slot, &byte, 1), -EPROTO);
}

static void ring_anyway(struct guest_stream *stream)
{
	bell_post(arena_bell(fs_guest.arena, PIPE_GUEST), stream->slot);
	eventfd_write(fs_guest.doorbell_fd, 1);
}

START_TEST(what_breaks_a_stream_breaks_one)
{
	static const uint32_t lengths[] = {0, 15, 4097, FRAME_LEN_MAX + 1, UINT32_MAX};
	unsigned char header[FRAME_HEADER_LEN];

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct guest_stream stream = fs_guest_open("/rw", 4096, 4096, NULL);
		frame_encode(&(struct frame){.length = lengths[i], .type = FS_STAT}, header);
		guest_write(&fs_guest, &stream.pipe, stream.slot, header, sizeof(header));
		expect_failed(&stream);
	}
	struct guest_stream stream = fs_guest_open("/rw", 8192, 4096, NULL); /* max_frame is 4096 */
	send_raw(&stream, &(struct frame){.length = 4096, .type = 9999}, (unsigned char[4096]){0});
	expect_equal(fs_guest_receive(&stream).frame.error, ENOTSUP);
	frame_encode(&(struct frame){.length = 4100, .type = FS_STAT}, header);
	guest_write(&fs_guest, &stream.pipe, stream.slot, header, sizeof(header));
	guest_write(&fs_guest, &stream.pipe, stream.slot, (unsigned char[4084]){0}, 4084);
	expect_failed(&stream);
	stream = fs_guest_open("/rw", 4096, 4096, NULL);
	store_relaxed(&stream.pipe.out.shared->written, (uint64_t)1 << 40);
	ring_anyway(&stream);
	expect_failed(&stream);
	/* A reader that claims to have read what was never written. */
	stream = fs_guest_open("/rw", 4096, 4096, NULL);
	store_relaxed(&stream.pipe.in.shared->read, (uint64_t)1 << 40);
	fs_guest_send(&stream, FS_CLOSE, &(struct fs_close){.handle = 5});
	expect_failed(&stream);
	expect_equal(fs_guest_try_open(&fs, "file", FS_OPEN_READ), 0);
}
END_TEST

/* The guest lies about its positions, at random moments of a file's way to it. */
START_TEST(lies_in_mid_file)
{
	struct fs_read_file read = fs_guest_whole("large");
	struct random random = {random_seed()};

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	for (unsigned i = 0; i < TRIES * 3; i++) {
		struct guest_stream stream = fs_guest_open("/rw", 65536, 65536, NULL);
		fs_guest_make_cold("large");
		fs_guest_send(&stream, FS_READ_FILE, &read);
		for (unsigned frames = 0; frames < i % 3; frames++)
			fs_guest_receive(&stream);
		if (random_once_in(&random, 2)) /* a sleep is never short; else at once */
			nanosleep(
				&(struct timespec){.tv_nsec = (long)random_below(&random, 200000)},
				NULL);
		if (i % 2 == 0)
			store_relaxed(&stream.pipe.in.shared->read, UINT64_MAX / 2);
		else
			store_relaxed(&stream.pipe.out.shared->written, UINT64_MAX / 2);
		ring_anyway(&stream);
		guest_stream_close(&stream);
	}
	expect_equal(fs_guest_read_whole(&fs, &read, 9), LARGE);
}
END_TEST

/* ---- the end */

static unsigned open_files(void)
{
	DIR *listing = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(listing) != NULL)
		count++;
	closedir(listing);
	return count;
}

/* When nothing changes any more: files are closed behind the monitor's back. */
static unsigned settled_open_files(void)
{
	unsigned count = open_files();

	for (unsigned still = 0; still < 200; still++) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		unsigned now = open_files();
		if (now != count)
			still = 0;
		count = now;
	}
	return count;
}

/* No more than before. Fewer: on a busy machine a file that was to be closed had not been then. */
static void expect_open_files(unsigned before)
{
	for (unsigned i = 0; i < 2000 && open_files() > before; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	expect(open_files() <= before);
}

/* Closes with everything under way that can be, and leaves nothing behind. */
START_TEST(closed_in_the_middle)
{
	struct fs_read_file read = fs_guest_whole("large");
	struct fs_list list = {.length = 4096};
	int error;
	unsigned before;

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	expect_equal(fs_guest_read_whole(&fs, &read, 9), LARGE);
	before = settled_open_files();
	for (unsigned i = 0; i < TRIES * 5; i++) {
		struct guest_stream stream = fs_guest_open("/rw", 65536, 65536, NULL);
		uint32_t handle = fs_guest_handle(&stream, "file", FS_OPEN_READ | FS_OPEN_WRITE);
		list.handle = fs_guest_handle(&stream, ".", FS_OPEN_READ);
		for (unsigned k = 0; k < i % 100; k++)
			send_some(&stream, k, handle, &error);
		fs_guest_send(&stream, FS_READ_FILE, &read);
		fs_guest_send(&stream, FS_LIST, &list);
		fs_guest_send(&stream, FS_READ_FILE, &read);
		fs_guest_send(&stream, FS_SYNC, &(struct fs_sync){handle, 0});
		guest_stream_close(&stream);
	}
	expect_open_files(before);
}
END_TEST

/* All that was written before CloseStream arrives, though nobody waits for the replies. */
START_TEST(writes_before_the_close_are_done)
{
	static unsigned char bytes[1000], all[60 * sizeof(bytes)];

	for (unsigned i = 0; i < TRIES; i++) {
		struct guest_stream stream = fs_guest_open("/rw", 65536, 4096, NULL);
		uint32_t handle = fs_guest_handle(
			&stream, "written", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE);
		for (uint64_t at = 0; at < 60; at++) {
			struct fs_write write = {
				handle, at * sizeof(bytes), {bytes, sizeof(bytes)}};
			pattern_fill(i, write.offset, bytes, sizeof(bytes));
			fs_guest_send(&stream, FS_WRITE, &write);
		}
		guest_stream_close(&stream);
		/* In any order: the last byte may be there before others. */
		size_t right = 0;
		for (unsigned tries = 0; tries < 2000 && right != sizeof(all); tries++) {
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
			int fd = open(fs_guest_host_path("written"), O_RDONLY | O_CLOEXEC);
			if (read(fd, all, sizeof(all)) == (ssize_t)sizeof(all))
				right = pattern_match(i, 0, all, sizeof(all));
			close(fd);
		}
		expect_equal(right, sizeof(all));
	}
}
END_TEST

START_TEST(a_guest_that_finishes_gets_its_replies_and_the_end)
{
	struct fs_read_file read = fs_guest_whole("large");
	struct fs_guest_file file = {.key = 9};
	struct fs_reply reply;
	char byte;

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	fs_guest_send(&fs, FS_READ_FILE, &read);
	ring_finish(&fs.pipe.out);
	guest_flush(&fs_guest, &fs.pipe, fs.slot);
	do
		reply = fs_guest_receive(&fs);
	while (fs_guest_take_piece(&file, &reply));
	expect_equal(file.got, LARGE);
	expect_equal(guest_read(&fs_guest, &fs.pipe, fs.slot, &byte, 1), 0);
	guest_stream_close(&fs);
}
END_TEST

START_TEST(a_guest_that_reads_no_more_may_still_write)
{
	uint32_t handle = fs_guest_handle(&fs, "written", FS_OPEN_WRITE | FS_OPEN_CREATE);
	struct fs_read_file read = fs_guest_whole("file");
	struct fs_write write = {.handle = handle, .data = fs_guest_bytes("done")};
	struct stat stat = {0};

	ring_stop(&fs.pipe.in);
	for (unsigned i = 0; i < 200; i++)
		fs_guest_send(&fs, FS_READ_FILE, &read);
	fs_guest_send(&fs, FS_WRITE, &write);
	for (unsigned tries = 0; tries < 2000 && stat.st_size == 0; tries++) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		lstat(fs_guest_host_path("written"), &stat);
	}
	expect_equal(stat.st_size, 4);
	guest_stream_close(&fs);
}
END_TEST

/* A handle that is closed while reads on it are under way stays open for them. */
START_TEST(close_does_not_overtake)
{
	uint32_t handle =
		fs_guest_handle(&fs, "large", FS_OPEN_READ | FS_OPEN_WRITE | FS_OPEN_CREATE);
	struct fs_read read = {.handle = handle, .length = 50000};

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	for (unsigned i = 0; i < 20; i++)
		fs_guest_send(&fs, FS_READ, &read);
	uint32_t close_id = fs_guest_send(&fs, FS_CLOSE, &(struct fs_close){.handle = handle});
	uint32_t late_id = fs_guest_send(&fs, FS_READ, &read);
	for (unsigned i = 0; i < 22; i++) {
		struct fs_reply reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.error, reply.frame.request_id == late_id ? EBADF : 0);
		if (reply.frame.request_id < close_id)
			expect_equal(fs_guest_data(&reply).len, read.length);
	}
}
END_TEST

/* PROTOCOL.md section 2: answers to nothing. Their bytes come back, though no request comes
 * between. */
START_TEST(dropped_frames_are_given_back)
{
	struct guest_stream small = fs_guest_open("/rw", 4096, 4096, NULL);
	struct frame frame = {
		.length = FRAME_HEADER_LEN, .type = FS_STAT, .flags = FRAME_REPLY, .request_id = 5};
	unsigned char bytes[FRAME_HEADER_LEN];
	struct fs_attributes attributes;
	char path[4000];

	frame_encode(&frame, bytes);
	for (unsigned i = 0; i < 1000; i++)
		guest_write(small.guest, &small.pipe, small.slot, bytes, sizeof(bytes));
	/* One before a request that there is room for only without it. */
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : '.';
	for (unsigned i = 0; i < 10; i++) {
		struct fs_stat look = {.path = {path, sizeof(path)}};
		guest_write(small.guest, &small.pipe, small.slot, bytes, sizeof(bytes));
		expect_equal(fs_guest_call(&small, FS_STAT, &look, &attributes), 0);
	}
	guest_stream_close(&small);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_stream");
	TCase *streams = tcase_create("streams");

	tcase_add_checked_fixture(streams, setup, fs_guest_teardown);
	tcase_set_timeout(streams, 30);
	tcase_add_test(streams, each_request_is_answered_once);
	tcase_add_test(streams, dropped_frames_are_given_back);
	tcase_add_test(streams, requests_are_not_hoarded);
	tcase_add_test(streams, one_that_does_not_read_stops_no_other);
	tcase_add_test(streams, what_is_not_understood_is_answered);
	tcase_add_test(streams, what_breaks_a_stream_breaks_one);
	tcase_add_test(streams, lies_in_mid_file);
	tcase_add_test(streams, closed_in_the_middle);
	tcase_add_test(streams, writes_before_the_close_are_done);
	tcase_add_test(streams, a_guest_that_finishes_gets_its_replies_and_the_end);
	tcase_add_test(streams, a_guest_that_reads_no_more_may_still_write);
	tcase_add_test(streams, close_does_not_overtake);
	suite_add_tcase(suite, streams);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
