/* The guest's file calls: requests are kept by the script and answered when the guest sleeps, the
 * last one first. */
#include <string.h>

#include "protocol/fs.h"
#include "tests/lib/random.h"
#include "tests/lib/scripted_monitor.h"
#include "tests/lib/suite.h"

static int run_script(struct script script)
{
	return script_run(&script);
}

static struct frame kept[64];
static uint64_t kept_offset[64];
static unsigned kept_count, closes;
static struct script_stream *fs_stream;
static unsigned others; /* bit N: "/otherN" was asked for */

static void answer_fs_open(struct script_stream *stream, const struct frame *frame)
{
	struct fs_opened opened = {.handle = 9, .attributes = {.size = 12345, .mode = 0100644}};

	script_reply(stream, frame, &fs_replies[FS_OPEN - STREAM_FIRST], &opened, 0, 0);
}

static void open_mount(
	struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	struct fs_mounted mounted = {.max_frame = 8192, .operations = ~0ull};
	struct stream_open open;
	struct fs_mount mount;

	script_check(wire_decode(&stream_open_message, &open, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	script_check(
		wire_decode(&fs_mount_message, &mount, open.payload.data, open.payload.len) == 0);
	if (mount.path.len == 7 && memcmp(mount.path.data, "/other", 6) == 0)
		others |= 1u << (((const char *)mount.path.data)[6] - '0');
	if (mount.path.len >= 4 && memcmp(mount.path.data, "/srv", 4) == 0 && mount.path.len != 5)
		script_opened(stream, frame, &fs_mounted_message, &mounted);
	else
		script_reply(stream, frame, &stream_opened_message, NULL, 0, EACCES);
}

static void serve_files(struct script_stream *stream)
{
	const unsigned char *body;
	struct fs_read read;
	struct frame frame;

	fs_stream = stream;
	while (script_receive(stream, &frame, &body)) {
		if (frame.type == STREAM_OPEN) {
			open_mount(stream, &frame, body);
		} else if (frame.type == FS_CLOSE) {
			closes++;
			script_reply(
				stream, &frame, &fs_replies[FS_CLOSE - STREAM_FIRST], NULL, 0, 0);
		} else if (frame.type == FS_READ) {
			script_check(wire_decode(&fs_requests[FS_READ - STREAM_FIRST], &read, body,
					     frame.length - FRAME_HEADER_LEN) == 0 &&
				     read.length <= 8192 - FS_DATA_HEAD_MOST);
			kept_offset[kept_count] = read.offset;
			kept[kept_count++] = frame;
		} else if (frame.type == FS_STAT) {
			kept[kept_count++] = frame;
		} else {
			answer_fs_open(stream, &frame);
		}
	}
}

static bool answer_last(void)
{
	unsigned char bytes[4096];
	struct fs_file_data data = {.data = {bytes, sizeof(bytes)}};

	if (!kept_count)
		return false;
	kept_count--;
	pattern_fill(3, kept_offset[kept_count], bytes, sizeof(bytes));
	script_reply(
		fs_stream, &kept[kept_count], &fs_replies[FS_READ - STREAM_FIRST], &data, 0, 0);
	return true;
}

struct reader {
	struct file *file;
	uint64_t offset;
	bool done;
};

static void read_there(void *argument)
{
	struct reader *reader = argument;
	unsigned char bytes[4096];

	script_check(file_pread(reader->file, bytes, sizeof(bytes), reader->offset, FOREVER) ==
		     sizeof(bytes));
	script_check(pattern_match(3, reader->offset, bytes, sizeof(bytes)) == sizeof(bytes));
	reader->done = true;
}

static int read_pipelined(void)
{
	static struct reader reader[20];
	struct file *file;

	script_check(file_open(&file, "/srv//x/../data", FS_OPEN_READ, 0, FOREVER) == 0);
	script_check(file_attributes(file)->size == 12345);
	for (unsigned i = 0; i < 20; i++) {
		reader[i] = (struct reader){.file = file, .offset = i * 100000};
		script_check(fiber_spawn(read_there, &reader[i]) == 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		while (!reader[i].done)
			fiber_sleep(in_milliseconds(1));
	}
	file_close(file);
	fiber_sleep(in_milliseconds(1));
	script_check(closes == 1);
	return 0;
}

static struct script file_script(int (*program)(void))
{
	return (struct script){.program = program,
		.mounts = {"ro:/srv", "rw:/srv/deeper"},
		.stream = serve_files,
		.idle = answer_last};
}

START_TEST(requests_are_answered_in_any_order)
{
	expect_equal(run_script(file_script(read_pipelined)), 0);
}
END_TEST

static int give_up(void)
{
	unsigned char bytes[4096];
	struct file *file;

	script_check(file_open(&file, "/srv/data", FS_OPEN_READ, 0, FOREVER) == 0);
	/* The answer comes when nobody waits for it any more, and the buffer is not touched. */
	memset(bytes, 0x55, sizeof(bytes));
	script_check(file_pread(file, bytes, sizeof(bytes), 0, clock_now()) == -ETIMEDOUT);
	fiber_sleep(in_milliseconds(1));
	for (size_t i = 0; i < sizeof(bytes); i++)
		script_check(bytes[i] == 0x55);
	script_check(file_pread(file, bytes, sizeof(bytes), 4096, FOREVER) == sizeof(bytes));
	script_check(pattern_match(3, 4096, bytes, sizeof(bytes)) == sizeof(bytes));
	file_close(file);
	/* The answer is longer than what was asked for. */
	script_check(file_open(&file, "/srv/data", FS_OPEN_READ, 0, FOREVER) == 0);
	script_check(file_pread(file, bytes, 100, 0, FOREVER) == -EPROTO);
	file_close(file);
	return 0;
}

START_TEST(late_answers_are_discarded)
{
	expect_equal(run_script(file_script(give_up)), 0);
}
END_TEST

static int no_mounts(void)
{
	struct fs_attributes attributes;
	struct file *file;

	/* What no mount covers is refused by the monitor, which says on its console what would
	 * allow it. */
	script_check(path_stat("/", &attributes, FOREVER) == 0);
	script_check(path_stat("/srvx", &attributes, FOREVER) == -EACCES);
	script_check(path_stat("", &attributes, FOREVER) == -ENOENT);
	script_check(path_rename("/srv/a", "/srv/deeper/a", FOREVER) == -EXDEV);
	script_check(file_open(&file, "/srv/../etc/passwd", FS_OPEN_READ, 0, FOREVER) == -EACCES);
	return 0;
}

START_TEST(mounts_bound_what_there_is)
{
	expect_equal(run_script(file_script(no_mounts)), 0);
}
END_TEST

static void stat_other(void *argument)
{
	struct fs_attributes attributes;
	char path[] = "/otherN/file";

	path[6] = (char)('0' + *(int *)argument);
	script_check(path_stat(path, &attributes, FOREVER) == -EACCES);
}

static int ask_for_others(void)
{
	static int number[8];

	for (int i = 0; i < 8; i++) {
		number[i] = i;
		script_check(fiber_spawn(stat_other, &number[i]) == 0);
	}
	fiber_sleep(in_milliseconds(100));
	script_check(others == 0xff);
	return 0;
}

START_TEST(each_fiber_asks_for_what_it_named)
{
	expect_equal(run_script(file_script(ask_for_others)), 0);
}
END_TEST

static bool end_files(void)
{
	if (!kept_count)
		return false;
	ring_finish(&fs_stream->pipe.out);
	kept_count = 0;
	return true;
}

static int lose_stream(void)
{
	unsigned char bytes[16];
	struct file *file;

	script_check(file_open(&file, "/srv/data", FS_OPEN_READ, 0, FOREVER) == 0);
	script_check(file_pread(file, bytes, sizeof(bytes), 0, FOREVER) == -EIO);
	script_check(file_pread(file, bytes, sizeof(bytes), 0, FOREVER) == -EIO);
	file_close(file);
	/* A new file gets a new stream. */
	script_check(file_open(&file, "/srv/data", FS_OPEN_READ, 0, FOREVER) == 0);
	file_close(file);
	return 0;
}

START_TEST(lost_stream_is_an_error_and_then_made_anew)
{
	struct script script = file_script(lose_stream);

	script.idle = end_files;
	expect_equal(script_run(&script), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_files");
	TCase *tcase = tcase_create("guest_files");

	tcase_add_test(tcase, requests_are_answered_in_any_order);
	tcase_add_test(tcase, late_answers_are_discarded);
	tcase_add_test(tcase, mounts_bound_what_there_is);
	tcase_add_test(tcase, each_fiber_asks_for_what_it_named);
	tcase_add_test(tcase, lost_stream_is_an_error_and_then_made_anew);
	tcase_set_timeout(tcase, 20);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
