/* Whole files of protocol 0: sizes at every border, parts, and what comes between their frames. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define CHUNK (128u << 10) /* FS_CHUNK of the monitor; only the choice of sizes depends on it */
#define LARGE (4u << 20)

static struct guest_stream fs;

static void setup(void)
{
	fs_guest_setup();
	file_write(fs_guest_host_path("file"), "hello", 5);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
}

START_TEST(files_of_many_sizes)
{
	static const uint32_t rings[] = {4096, 65536, 1 << 20};
	static const uint32_t sizes[] = {0, 1, 3967, 3968, 3969, 4080, 4096, 32768 - 16,
		32768 - 112, 32768, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, 1 << 20};
	char name[32];

	for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		snprintf(name, sizeof(name), "size-%u", sizes[s]);
		file_write_pattern(fs_guest_host_path(name), sizes[s], sizes[s]);
		struct fs_read_file read = fs_guest_whole(name);
		for (unsigned r = 0; r < sizeof(rings) / sizeof(rings[0]); r++) {
			struct guest_stream stream =
				fs_guest_open("/ro", 4096 << r, rings[r], NULL);
			expect_equal(fs_guest_read_whole(&stream, &read, sizes[s]), sizes[s]);
			guest_stream_close(&stream);
		}
	}
}
END_TEST

START_TEST(parts_of_a_file)
{
	struct fs_read_file read = fs_guest_whole("large");
	static const struct {
		uint64_t offset, length, wanted;
	} rows[] = {
		{0, 0, 0},
		{0, 1, 1},
		{5, CHUNK, CHUNK},
		{LARGE - 3, UINT64_MAX, 3},
		{LARGE, UINT64_MAX, 0},
		{LARGE + 1, 5, 0},
		{INT64_MAX, UINT64_MAX, 0},
		{77, LARGE - 78, LARGE - 78},
		{1, LARGE, LARGE - 1},
	};

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read.offset = rows[i].offset;
		read.length = rows[i].length;
		expect_equal(fs_guest_read_whole(&fs, &read, 9), rows[i].wanted);
	}
	read.offset = UINT64_MAX;
	expect_equal(fs_guest_call(&fs, FS_READ_FILE, &read, NULL), EINVAL);
	read = fs_guest_whole("nothing");
	expect_equal(fs_guest_call(&fs, FS_READ_FILE, &read, NULL), ENOENT);
	read = fs_guest_whole(".");
	expect_equal(fs_guest_call(&fs, FS_READ_FILE, &read, NULL), EISDIR);
	read = fs_guest_whole("../file");
	expect_equal(fs_guest_call(&fs, FS_READ_FILE, &read, NULL), EXDEV);
}
END_TEST

START_TEST(a_file_that_shrinks_ends_early)
{
	struct fs_read_file read = fs_guest_whole("large");
	struct fs_guest_file file = {.key = 9};
	struct fs_reply reply;

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	fs_guest_send(&fs, FS_READ_FILE, &read);
	do {
		reply = fs_guest_receive(&fs);
		if (!file.begun)
			expect_equal(truncate(fs_guest_host_path("large"), 1 << 20), 0);
	} while (fs_guest_take_piece(&file, &reply));
	expect_equal(file.got, 1 << 20);
}
END_TEST

/* Small replies do not wait for the end of a large file, and files come one after the other. */
START_TEST(replies_are_interleaved)
{
	struct fs_read_file read = fs_guest_whole("large");
	struct fs_stat stat = {.path = fs_guest_bytes("file")};
	struct fs_guest_file file[2] = {{.key = 9}, {.key = 9}};
	unsigned now = 0, before_stat = 0, frames = 0;
	uint32_t id[2], stat_id;
	bool answered = false;

	file_write_pattern(fs_guest_host_path("large"), 9, LARGE);
	id[0] = fs_guest_send(&fs, FS_READ_FILE, &read);
	id[1] = fs_guest_send(&fs, FS_READ_FILE, &read);
	stat_id = fs_guest_send(&fs, FS_STAT, &stat);
	while (now < 2) {
		struct fs_reply reply = fs_guest_receive(&fs);
		if (reply.frame.request_id == stat_id) {
			answered = true;
			continue;
		}
		expect_equal(reply.frame.request_id, id[now]);
		if (!fs_guest_take_piece(&file[now], &reply))
			expect_equal(file[now++].got, LARGE);
		frames++;
		before_stat += !answered;
	}
	expect(answered);
	expect(before_stat < frames / 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_file");
	TCase *files = tcase_create("files");

	tcase_add_checked_fixture(files, setup, fs_guest_teardown);
	tcase_set_timeout(files, 30);
	tcase_add_test(files, files_of_many_sizes);
	tcase_add_test(files, parts_of_a_file);
	tcase_add_test(files, a_file_that_shrinks_ends_early);
	tcase_add_test(files, replies_are_interleaved);
	suite_add_tcase(suite, files);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
