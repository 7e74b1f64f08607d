/*
 * Bytes that move in both directions at once: many writes under way, what is read and written at a
 * file's position and end, whole files written, and reads that have to wait for the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define PIECE 30000u /* bytes of a frame */
#define LARGE (2u << 20)
#define COLD  (8u << 20)

static struct guest_stream fs;

static void setup(void)
{
	fs_guest_setup();
	file_write(fs_guest_host_path("file"), "hello", 5);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}

static void send_data(uint32_t flags, uint32_t id, const void *bytes, size_t len)
{
	struct fs_file_data data = {.data = {bytes, len}};

	fs_guest_send_frame(&fs, FS_WRITE_DATA, flags, id, &data);
}

static void send_padded(uint32_t flags, uint32_t id, uint32_t padding, const char *text)
{
	struct fs_file_data data = {.padding = padding, .data = fs_guest_bytes(text)};

	fs_guest_send_frame(&fs, FS_WRITE_DATA, flags, id, &data);
}

static void expect_host_pattern(const char *name, uint64_t key, uint64_t len)
{
	char *wanted = scratch_path("wanted-%d", (int)getpid());

	file_write_pattern(wanted, key, len);
	expect_same_file(fs_guest_host_path(name), wanted);
	free(wanted);
}

static void expect_host_text(const char *name, const char *text)
{
	char *wanted = scratch_path("wanted-%d", (int)getpid());

	file_write(wanted, text, strlen(text));
	expect_same_file(fs_guest_host_path(name), wanted);
	free(wanted);
}

/* What nobody answers for. Within 5 s. */
static void await_size(const char *name, off_t size)
{
	struct stat now = {0};

	for (unsigned i = 0; i < 500; i++) {
		if (stat(fs_guest_host_path(name), &now) == 0 && now.st_size >= size)
			break;
		usleep(10000);
	}
	expect_equal(now.st_size, size);
}

/* ---- writes */

/* More than the ring holds, none of them waited for; a look at another file in between. */
START_TEST(writes_are_under_way_together)
{
	static unsigned char bytes[PIECE];
	uint32_t handle = fs_guest_handle(&fs, "new", FS_OPEN_WRITE | FS_OPEN_CREATE);
	unsigned sent = 0, answered = 0, looked = 0;

	while (answered < LARGE / PIECE) {
		while (sent < LARGE / PIECE && sent - answered < 6) {
			struct fs_write write = {.handle = handle,
				.offset = (uint64_t)sent * PIECE,
				.data = {bytes, PIECE}};
			pattern_fill(5, write.offset, bytes, PIECE);
			fs_guest_send_frame(&fs, FS_WRITE, 0, 1000 + sent++, &write);
			struct fs_stat stat = {.path = fs_guest_bytes("file")};
			fs_guest_send_frame(&fs, FS_STAT, 0, 1, &stat);
		}
		struct fs_reply reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.error, 0);
		if (reply.frame.type == FS_WRITE)
			answered++;
		else
			looked++;
	}
	while (looked < sent) {
		expect_equal(fs_guest_receive(&fs).frame.type, FS_STAT);
		looked++;
	}
	expect_host_pattern("new", 5, LARGE / PIECE * PIECE);
}
END_TEST

/* Sent without waiting, they stand in the file in that order. */
START_TEST(appends_keep_their_order)
{
	uint32_t handle =
		fs_guest_handle(&fs, "log", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_APPEND);
	char wanted[64 * 8 + 1] = "", line[16];

	for (unsigned i = 0; i < 32; i++) {
		snprintf(line, sizeof(line), "line %02u\n", i);
		strcat(wanted, line);
		struct fs_write write = {.handle = handle,
			.offset = i % 2 == 0 ? 0 : FS_POSITION,
			.data = {line, strlen(line)}};
		fs_guest_send_frame(&fs, FS_WRITE, 0, i, &write);
	}
	for (unsigned i = 0; i < 32; i++) {
		struct fs_reply reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.error, 0);
		expect_equal(reply.frame.request_id, i);
	}
	expect_host_text("log", wanted);
}
END_TEST

static void expect_read_at_position(uint32_t handle, uint32_t len, const char *text)
{
	struct wire_bytes data;

	expect_equal(fs_guest_read(&fs, handle, len, FS_POSITION, &data), 0);
	expect_equal(data.len, strlen(text));
	expect(memcmp(data.data, text, data.len) == 0);
}

START_TEST(a_position_moves)
{
	uint32_t handle = fs_guest_handle(&fs, "file", FS_OPEN_READ | FS_OPEN_WRITE);
	struct wire_bytes data;

	expect_read_at_position(handle, 2, "he");
	expect_equal(fs_guest_read(&fs, handle, 5, 0, &data), 0);
	expect_read_at_position(handle, 1, "l");
	expect_equal(fs_guest_write(&fs, handle, FS_POSITION, "LO", 2), 0);
	expect_equal(fs_guest_write(&fs, handle, FS_POSITION, "!", 1), 0);
	expect_read_at_position(handle, 5, "");
	expect_host_text("file", "helLO!");
	expect_equal(fs_guest_write(&fs, handle, 0, "", 0), 0);
}
END_TEST

/* CloseStream takes nothing back of what was sent before it. */
START_TEST(what_was_sent_before_the_end_is_written)
{
	static unsigned char bytes[PIECE];
	uint32_t handle = fs_guest_handle(&fs, "last", FS_OPEN_WRITE | FS_OPEN_CREATE);
	uint32_t log = fs_guest_handle(&fs, "log", FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_APPEND);

	for (unsigned i = 0; i < 7; i++) {
		struct fs_write write = {
			.handle = handle, .offset = (uint64_t)i * PIECE, .data = {bytes, PIECE}};
		pattern_fill(6, write.offset, bytes, PIECE);
		fs_guest_send_frame(&fs, FS_WRITE, 0, i, &write);
		write = (struct fs_write){.handle = log, .data = {"x", 1}};
		fs_guest_send_frame(&fs, FS_WRITE, 0, 100 + i, &write);
	}
	guest_stream_close(&fs);
	await_size("last", 7 * PIECE);
	await_size("log", 7);
	expect_host_pattern("last", 6, 7 * PIECE);
	expect_host_text("log", "xxxxxxx");
}
END_TEST

/* Behind writes and half a file comes what is no frame: the stream ends, and the next one works. */
START_TEST(a_guest_that_breaks_a_rule_meanwhile)
{
	static unsigned char bytes[PIECE];
	struct fs_write_file half = {
		.flags = FS_OPEN_WRITE | FS_OPEN_CREATE, .path = fs_guest_bytes("half")};

	for (unsigned round = 0; round < 20; round++) {
		uint32_t handle = fs_guest_handle(&fs, "new", FS_OPEN_WRITE | FS_OPEN_CREATE);
		fs_guest_send_frame(&fs, FS_WRITE_FILE, FRAME_MORE, 50, &half);
		for (unsigned i = 0; i < 6; i++) {
			struct fs_write write = {.handle = handle,
				.offset = i % 2 ? FS_POSITION : i,
				.data = {bytes, PIECE}};
			fs_guest_send_frame(&fs, FS_WRITE, 0, i, &write);
			send_data(FRAME_MORE, 50, bytes, 100);
		}
		guest_write(fs.guest, &fs.pipe, fs.slot, (unsigned char[16]){5}, 16);
		guest_stream_close(&fs);
		fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	}
	expect_equal(fs_guest_try_open(&fs, "file", FS_OPEN_READ), 0);
}
END_TEST

/* ---- whole files */

static void begin_file(uint32_t id, uint32_t more, const char *path, uint32_t flags)
{
	struct fs_write_file write = {.flags = flags, .mode = 0640, .path = fs_guest_bytes(path)};

	fs_guest_send_frame(&fs, FS_WRITE_FILE, more, id, &write);
}

static int file_end(uint32_t id, struct fs_file_written *ret_written)
{
	struct fs_reply reply = fs_guest_receive(&fs);

	expect_equal(reply.frame.request_id, id);
	expect_equal(reply.frame.type, FS_WRITE_FILE);
	if (reply.frame.error == 0)
		expect_equal(wire_decode(&fs_replies[FS_WRITE_FILE - STREAM_FIRST], ret_written,
				     reply.body, reply.len),
			0);
	return (int)reply.frame.error;
}

static void send_pattern(uint32_t id, uint64_t key, uint64_t len)
{
	static unsigned char bytes[PIECE];

	for (uint64_t at = 0; at < len; at += PIECE) {
		size_t some = len - at < PIECE ? (size_t)(len - at) : PIECE;
		pattern_fill(key, at, bytes, some);
		send_data(FRAME_MORE, id, bytes, some);
	}
	send_data(0, id, "", 0);
}

#define NEW (FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_TRUNCATE)

START_TEST(files_are_written_whole)
{
	static const uint64_t sizes[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, LARGE};
	struct fs_file_written written;
	struct stat stat_now;
	char name[32];

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(name, sizeof(name), "size-%u", i);
		begin_file(7 + i, FRAME_MORE, name, NEW | (i % 2 ? FS_WRITE_FILE_SYNC : 0));
		send_pattern(7 + i, i, sizes[i]);
		expect_equal(file_end(7 + i, &written), 0);
		expect_equal(written.length, sizes[i]);
		expect_equal(written.attributes.size, sizes[i]);
		expect_host_pattern(name, i, sizes[i]);
		expect_equal(stat(fs_guest_host_path(name), &stat_now), 0);
		expect_equal(stat_now.st_mode & 0777, 0640);
	}
	begin_file(3, 0, "empty", NEW);
	expect_equal(file_end(3, &written), 0);
	expect_host_text("empty", "");
}
END_TEST

/* Two at once, frame by frame in turn, and requests between. */
/* Of any length; with more than there is the file is of no use. */
START_TEST(padding_is_left_out)
{
	struct fs_file_written written;

	begin_file(1, FRAME_MORE, "padded", NEW);
	send_padded(FRAME_MORE, 1, 5, "12345he");
	send_padded(FRAME_MORE, 1, 4, "1234");
	send_padded(0, 1, 0, "llo");
	expect_equal(file_end(1, &written), 0);
	expect_equal(written.length, 5);
	struct wire_bytes text;
	uint32_t handle = fs_guest_handle(&fs, "padded", FS_OPEN_READ);
	expect_equal(fs_guest_read(&fs, handle, 100, 0, &text), 0);
	expect(text.len == 5 && memcmp(text.data, "hello", 5) == 0);
	begin_file(2, FRAME_MORE, "padded", NEW);
	send_padded(FRAME_MORE, 2, 0, "x");
	send_padded(FRAME_MORE, 2, 5, "1234");
	send_padded(0, 2, 0, "y");
	expect_equal(file_end(2, &written), EPROTO);
	begin_file(3, FRAME_MORE, "padded", NEW);
	send_padded(0, 3, UINT32_MAX, "1234");
	expect_equal(file_end(3, &written), EPROTO);
	/* Not even the field. More often than there may be uploads. */
	for (uint32_t id = 4; id < 40; id++) {
		struct frame frame = {.length = FRAME_HEADER_LEN + id % 8,
			.type = FS_WRITE_DATA,
			.request_id = id};
		unsigned char bytes[FRAME_HEADER_LEN + 8] = {0};
		frame_encode(&frame, bytes);
		begin_file(id, FRAME_MORE, "padded", NEW);
		guest_write(fs.guest, &fs.pipe, fs.slot, bytes, frame.length);
		expect_equal(file_end(id, &written), EPROTO);
	}
}
END_TEST

/* A request behind those in 'bytes', of which the guest learns at once. */
static size_t put(unsigned char *bytes, size_t at, enum fs_type type, uint32_t flags, uint32_t id,
	const void *message)
{
	struct frame frame = {.flags = (uint16_t)flags, .request_id = id};
	size_t len = wire_encode(
		&fs_requests[type - STREAM_FIRST], &frame, message, bytes + at, FS_GUEST_RING - at);

	expect(len > 0);
	return at + len;
}

static size_t put_append(unsigned char *bytes, size_t at, uint32_t id)
{
	struct fs_write_file write = {
		.flags = FS_OPEN_WRITE | FS_OPEN_APPEND, .path = fs_guest_bytes("file")};

	return put(bytes, at, FS_WRITE_FILE, FRAME_MORE, id, &write);
}

static void send_together(const unsigned char *bytes, size_t len)
{
	memcpy(ring_reserve(&fs.pipe.out).data, bytes, len);
	ring_commit(&fs.pipe.out, len);
	guest_flush(&fs_guest, &fs.pipe, fs.slot);
}

/* What is appended goes one after the other: an end in the middle of that, while the file is
 * opened. */
START_TEST(an_append_that_is_malformed)
{
	static unsigned char bytes[FS_GUEST_RING];
	struct fs_file_data data = {.data = {"abcd", 4}};
	struct fs_file_written written;

	for (uint32_t id = 1; id < 100; id++) {
		size_t len = put_append(bytes, 0, id);
		data.padding = 0;
		for (uint32_t i = 0; i < id % 4; i++)
			len = put(bytes, len, FS_WRITE_DATA, FRAME_MORE, id, &data);
		data.padding = 100;
		len = put(bytes, len, FS_WRITE_DATA, FRAME_MORE, id, &data);
		data.padding = 0;
		len = put(bytes, len, FS_WRITE_DATA, 0, id, &data);
		send_together(bytes, len);
		expect_equal(file_end(id, &written), EPROTO);
	}
}
END_TEST

START_TEST(an_append_whose_guest_ends)
{
	static unsigned char bytes[FS_GUEST_RING];
	struct fs_file_data data = {.data = {"abcd", 4}};
	struct fs_file_written written;

	for (uint32_t id = 1; id < 50; id++) {
		size_t len = put_append(bytes, 0, id);
		for (uint32_t i = 0; i < id % 4; i++)
			len = put(bytes, len, FS_WRITE_DATA, FRAME_MORE, id, &data);
		send_together(bytes, len);
		ring_finish(&fs.pipe.out);
		guest_flush(&fs_guest, &fs.pipe, fs.slot);
		expect_equal(file_end(id, &written), ECANCELED);
		guest_stream_close(&fs);
		fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	}
}
END_TEST

/* The first fails, and the others are behind it in the lane. */
START_TEST(an_append_beyond_what_can_be)
{
	static unsigned char bytes[FS_GUEST_RING];
	struct fs_file_data data = {.data = {"abcd", 4}};
	struct fs_file_written written;
	off_t most = 0;

	/* The file system's longest file. */
	for (int bit = 62; bit >= 0; bit--) {
		if (truncate(fs_guest_host_path("file"), most | (off_t)1 << bit) == 0)
			most |= (off_t)1 << bit;
	}
	expect_equal(truncate(fs_guest_host_path("file"), most), 0);
	for (uint32_t id = 1; id < 50; id++) {
		size_t len = put_append(bytes, 0, id);
		for (uint32_t i = 0; i < 1 + id % 5; i++)
			len = put(bytes, len, FS_WRITE_DATA, FRAME_MORE, id, &data);
		len = put(bytes, len, FS_WRITE_DATA, 0, id, &data);
		send_together(bytes, len);
		expect_equal(file_end(id, &written), EFBIG);
	}
}
END_TEST

/* Somebody else has a file come into memory, while it is read. */
static void *read_along(void *argument)
{
	int fd = open(argument, O_RDONLY | O_CLOEXEC);
	char bytes[4096];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	close(fd);
	return NULL;
}

/* What has come from memory has moved the position, and is not asked for again. */
START_TEST(cold_reads_move_the_position)
{
	char *path = strdup(fs_guest_host_path("cold"));
	struct guest_stream large = fs_guest_open("/rw", 4u << 20, 4u << 20, NULL);

	file_write_pattern(path, 9, COLD);
	for (unsigned round = 0; round < 40; round++) {
		uint64_t at = 0;
		struct wire_bytes data = {NULL, 0};
		pthread_t thread;

		fs_guest_make_cold("cold");
		uint32_t handle = fs_guest_handle(&large, "cold", FS_OPEN_READ);
		expect_equal(pthread_create(&thread, NULL, read_along, path), 0);
		do {
			expect_equal(fs_guest_read(&large, handle, LARGE, FS_POSITION, &data), 0);
			expect_equal(pattern_match(9, at, data.data, data.len), data.len);
			at += data.len;
		} while (data.len > 0);
		expect_equal(at, COLD);
		pthread_join(thread, NULL);
		fs_guest_close(&large, handle);
	}
	guest_stream_close(&large);
	free(path);
}
END_TEST

START_TEST(files_are_written_side_by_side)
{
	static unsigned char bytes[2][PIECE];
	struct fs_file_written written;
	unsigned ends = 0;

	begin_file(1, FRAME_MORE, "one", NEW);
	begin_file(2, FRAME_MORE, "two", NEW);
	for (unsigned i = 0; i < 20; i++) {
		struct fs_stat look = {.path = fs_guest_bytes("file")};
		for (unsigned f = 0; f < 2; f++) {
			pattern_fill(40 + f, (uint64_t)i * PIECE, bytes[f], PIECE);
			send_data(i < 19 ? FRAME_MORE : 0, 1 + f, bytes[f], PIECE);
		}
		fs_guest_send_frame(&fs, FS_STAT, 0, 99, &look);
	}
	for (unsigned i = 0; i < 22; i++) {
		struct fs_reply reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.error, 0);
		if (reply.frame.type != FS_WRITE_FILE)
			continue;
		expect_equal(wire_decode(&fs_replies[FS_WRITE_FILE - STREAM_FIRST], &written,
				     reply.body, reply.len),
			0);
		expect_equal(written.length, 20 * PIECE);
		ends++;
	}
	expect_equal(ends, 2);
	expect_host_pattern("one", 40, 20 * PIECE);
	expect_host_pattern("two", 41, 20 * PIECE);
}
END_TEST

START_TEST(files_that_cannot_be_written)
{
	static const struct {
		const char *path;
		uint32_t flags;
		int error;
	} rows[] = {
		{"file", NEW | FS_OPEN_EXCLUSIVE, EEXIST},
		{"nothing/file", NEW, ENOENT},
		{"file/file", NEW, ENOTDIR},
		{"absent", FS_OPEN_WRITE, ENOENT},
		{"../out", NEW, EXDEV},
		{"/out", NEW, EXDEV},
		{".", FS_OPEN_WRITE, EISDIR},
		{"file", FS_OPEN_READ | FS_OPEN_WRITE, EINVAL},
		{"file", FS_OPEN_TRUNCATE, EINVAL},
		{"file", NEW | 1u << 20, EINVAL},
		{"file", FS_OPEN_WRITE | FS_OPEN_DIRECTORY, EINVAL},
	};
	struct fs_file_written written;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_file(i, FRAME_MORE, rows[i].path, rows[i].flags);
		send_data(FRAME_MORE, i, "lost", 4);
		send_data(0, i, "lost", 4);
		expect_equal(file_end(i, &written), rows[i].error);
	}
	expect_host_text("file", "hello");
	/* Bytes of nothing are nobody's; the stream goes on. */
	send_data(0, 77, "lost", 4);
	expect_equal(fs_guest_call(
			     &fs, FS_STAT, &(struct fs_stat){.path = fs_guest_bytes("file")}, NULL),
		0);
	struct guest_stream writable = fs;
	fs = fs_guest_open("/ro", FS_GUEST_RING, FS_GUEST_RING, NULL);
	begin_file(5, 0, "file", NEW);
	expect_equal(file_end(5, &written), EROFS);
	guest_stream_close(&fs);
	fs = writable;
}
END_TEST

/* Their bytes are taken, however little the ring and however long the paths. */
START_TEST(long_paths_on_a_small_ring)
{
	struct guest_stream small = fs_guest_open("/rw", 4096, 4096, NULL);
	struct fs_file_data data = {.data = {"text", 4}};
	struct guest_stream large = fs;
	struct fs_file_written written;
	char path[3001];

	fs = small;
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : '.';
	memcpy(path + sizeof(path) - 3, "/n", 3);
	for (uint32_t id = 1; id <= 4; id++)
		begin_file(id, FRAME_MORE, path, NEW);
	for (uint32_t id = 1; id <= 4; id++) {
		fs_guest_send_frame(&fs, FS_WRITE_DATA, 0, id, &data);
		expect_equal(file_end(id, &written), 0);
		expect_equal(written.length, 4);
	}
	guest_stream_close(&fs);
	fs = large;
}
END_TEST

START_TEST(so_many_files_at_once)
{
	struct fs_file_written written;
	char name[32];

	for (unsigned i = 0; i < 17; i++) {
		snprintf(name, sizeof(name), "many-%u", i);
		begin_file(i, FRAME_MORE, name, NEW);
	}
	expect_equal(file_end(16, &written), EMFILE);
	for (unsigned i = 0; i < 16; i++) {
		send_data(0, i, "text", 4);
		expect_equal(file_end(i, &written), 0);
		expect_equal(written.length, 4);
	}
}
END_TEST

START_TEST(a_file_is_written_behind_its_end)
{
	struct fs_file_written written;

	begin_file(1, FRAME_MORE, "file", FS_OPEN_WRITE | FS_OPEN_APPEND);
	send_data(FRAME_MORE, 1, ", ", 2);
	send_data(FRAME_MORE, 1, "wor", 3);
	send_data(0, 1, "ld", 2);
	expect_equal(file_end(1, &written), 0);
	expect_equal(written.length, 7);
	expect_host_text("file", "hello, world");
	begin_file(2, FRAME_MORE, "file", FS_OPEN_WRITE);
	send_data(0, 2, "HE", 2);
	expect_equal(file_end(2, &written), 0);
	expect_host_text("file", "HEllo, world");
}
END_TEST

/* The guest finishes its direction in the middle: what came is there, and that is told. */
START_TEST(a_file_that_breaks_off)
{
	struct fs_file_written written;

	begin_file(1, FRAME_MORE, "half", NEW);
	send_data(FRAME_MORE, 1, "half", 4);
	ring_finish(&fs.pipe.out);
	guest_flush(fs.guest, &fs.pipe, fs.slot);
	expect_equal(file_end(1, &written), ECANCELED);
	expect_host_text("half", "half");
	guest_stream_close(&fs);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	begin_file(1, FRAME_MORE, "closed", NEW);
	send_data(FRAME_MORE, 1, "half", 4);
	guest_stream_close(&fs);
	await_size("closed", 4);
	expect_host_text("closed", "half");
}
END_TEST

/* ---- reads that wait */

/* From a disk, many at a time and more than is read aside at once; each reply is its own. */
START_TEST(cold_reads_go_side_by_side)
{
	static unsigned char wanted[100000];
	unsigned got = 0;

	file_write_pattern(fs_guest_host_path("cold"), 11, 40 * sizeof(wanted));
	fs_guest_make_cold("cold");
	uint32_t handle = fs_guest_handle(&fs, "cold", FS_OPEN_READ);
	for (unsigned i = 0; i < 40; i++) {
		struct fs_read read = {.handle = handle,
			.length = sizeof(wanted),
			.offset = (uint64_t)(i * 17 % 40) * sizeof(wanted)};
		fs_guest_send_frame(&fs, FS_READ, 0, i, &read);
	}
	struct fs_stat look = {.path = fs_guest_bytes("file")};
	fs_guest_send_frame(&fs, FS_STAT, 0, 99, &look);
	for (unsigned i = 0; i < 41; i++) {
		struct fs_reply reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.error, 0);
		if (reply.frame.type == FS_STAT)
			continue;
		uint64_t at = reply.frame.request_id * 17 % 40 * sizeof(wanted);
		pattern_fill(11, at, wanted, sizeof(wanted));
		struct wire_bytes data = fs_guest_data(&reply);
		expect_equal(data.len, sizeof(wanted));
		expect(memcmp(data.data, wanted, data.len) == 0);
		got++;
	}
	expect_equal(got, 40);
}
END_TEST

/* The guest goes while they are under way, and some wait for memory. */
START_TEST(nobody_waits_for_cold_reads)
{
	file_write_pattern(fs_guest_host_path("cold"), 11, LARGE);
	for (unsigned round = 0; round < 5; round++) {
		fs_guest_make_cold("cold");
		uint32_t handle = fs_guest_handle(&fs, "cold", FS_OPEN_READ);
		for (unsigned i = 0; i < 60; i++) {
			struct fs_read read = {.handle = handle,
				.length = 100000,
				.offset = (uint64_t)(i % 20) * 100000};
			fs_guest_send_frame(&fs, FS_READ, 0, i, &read);
		}
		guest_stream_close(&fs);
		fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	}
}
END_TEST

/* Whole files from the disk with others beside them. */
START_TEST(cold_files_side_by_side)
{
	struct fs_guest_file files[4];
	unsigned ends = 0;
	char name[32];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "cold-%u", i);
		file_write_pattern(fs_guest_host_path(name), i, LARGE + i);
		fs_guest_make_cold(name);
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "cold-%u", i);
		struct fs_read_file read = fs_guest_whole(name);
		files[i] = (struct fs_guest_file){.key = i};
		fs_guest_send_frame(&fs, FS_READ_FILE, 0, i, &read);
	}
	while (ends < 4) {
		struct fs_reply reply = fs_guest_receive(&fs);
		struct fs_guest_file *file = &files[reply.frame.request_id];
		if (fs_guest_take_piece(file, &reply))
			continue;
		expect_equal(file->got, LARGE + reply.frame.request_id);
		ends++;
	}
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("writes");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, fs_guest_teardown);
	tcase_add_test(tcase, writes_are_under_way_together);
	tcase_add_test(tcase, appends_keep_their_order);
	tcase_add_test(tcase, a_position_moves);
	tcase_add_test(tcase, what_was_sent_before_the_end_is_written);
	tcase_add_test(tcase, a_guest_that_breaks_a_rule_meanwhile);
	tcase_add_test(tcase, files_are_written_whole);
	tcase_add_test(tcase, padding_is_left_out);
	tcase_add_test(tcase, an_append_that_is_malformed);
	tcase_add_test(tcase, an_append_whose_guest_ends);
	tcase_add_test(tcase, an_append_beyond_what_can_be);
	tcase_add_test(tcase, cold_reads_move_the_position);
	tcase_add_test(tcase, files_are_written_side_by_side);
	tcase_add_test(tcase, files_that_cannot_be_written);
	tcase_add_test(tcase, long_paths_on_a_small_ring);
	tcase_add_test(tcase, so_many_files_at_once);
	tcase_add_test(tcase, a_file_is_written_behind_its_end);
	tcase_add_test(tcase, a_file_that_breaks_off);
	tcase_add_test(tcase, cold_reads_go_side_by_side);
	tcase_add_test(tcase, nobody_waits_for_cold_reads);
	tcase_add_test(tcase, cold_files_side_by_side);
	Suite *suite = suite_create("fs_write");
	suite_add_tcase(suite, tcase);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
