/* stream_send_file against a monitor that follows a script: the answers, and what goes wrong. */
#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/stream.h"
#include "protocol/fs.h"
#include "tests/lib/random.h"
#include "tests/lib/scripted_monitor.h"
#include "tests/lib/suite.h"

#define KEY       3
#define FILE_LEN  20000u
#define PIECE     7000u /* bytes that the script's monitor reads at most */
#define COPY_ONLY (~(1ull << (FS_READ_INTO - STREAM_FIRST)))

/* What the script does, and what it saw. */
static struct {
	uint64_t operations;
	unsigned fail_at; /* the request, counted from 1, that is answered with EIO */
	bool silent;      /* none is answered */
	bool lies;        /* more bytes are told of than were asked for */
	unsigned requests;
	struct script_stream *files;
	unsigned char got[2 * FILE_LEN]; /* what was committed to the target */
	size_t len;
	int end; /* of the target */
} monitor;

static struct wire_bytes file_bytes(uint64_t offset, uint32_t most)
{
	static unsigned char bytes[FILE_LEN];
	uint64_t left = offset < FILE_LEN ? FILE_LEN - offset : 0;

	if (left < most)
		most = (uint32_t)left;
	if (most > PIECE)
		most = PIECE;
	pattern_fill(KEY, offset, bytes, most);
	return (struct wire_bytes){bytes, most};
}

static void answer_read_into(
	struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	const struct wire_message *reply = &fs_replies[FS_READ_INTO - STREAM_FIRST];
	struct fs_was_read answer;
	struct fs_read_into read;

	script_check(wire_decode(&fs_requests[FS_READ_INTO - STREAM_FIRST], &read, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	script_check(read.handle == 9 && read.flags == FS_INTO_AHEAD);
	struct ring_consumer *in = &script_stream_by_id(read.stream_id)->pipe.in;
	/* Behind all that was committed, with the lead in between. */
	script_check(read.position == load_relaxed(&in->shared->written) + read.lead);
	script_check(read.length + read.lead <= in->capacity);
	struct wire_bytes bytes = file_bytes(read.offset, read.length);
	memcpy(in->data + (read.position & (in->capacity - 1)), bytes.data, bytes.len);
	answer.length = (uint32_t)(monitor.lies ? read.length + 1 : bytes.len);
	monitor.requests++;
	if (monitor.requests == monitor.fail_at)
		script_reply(stream, frame, reply, NULL, 0, EIO);
	else if (!monitor.silent)
		script_reply(stream, frame, reply, &answer, 0, 0);
}

static void answer_read(
	struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	struct fs_read read;
	struct fs_file_data data = {.padding = 0};

	script_check(wire_decode(&fs_requests[FS_READ - STREAM_FIRST], &read, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	script_check(monitor.operations == COPY_ONLY);
	data.data = file_bytes(read.offset, read.length);
	monitor.requests++;
	script_reply(stream, frame, &fs_replies[FS_READ - STREAM_FIRST], &data, 0, 0);
}

static void serve_files(struct script_stream *stream)
{
	struct fs_opened opened = {.handle = 9, .attributes = {.size = FILE_LEN, .mode = 0100644}};
	struct fs_mounted mounted = {.max_frame = 8192, .operations = monitor.operations};
	const unsigned char *body;
	struct frame frame;

	while (script_receive(stream, &frame, &body)) {
		if (frame.type == STREAM_OPEN)
			script_opened(stream, &frame, &fs_mounted_message, &mounted);
		else if (frame.type == FS_OPEN)
			script_reply(stream, &frame, &fs_replies[0], &opened, 0, 0);
		else if (frame.type == FS_READ)
			answer_read(stream, &frame, body);
		else if (frame.type == FS_READ_INTO)
			answer_read_into(stream, &frame, body);
	}
}

static void take_target(struct script_stream *stream)
{
	struct ring_span span = ring_peek(&stream->pipe.in);

	script_check(monitor.len + span.len <= sizeof(monitor.got));
	memcpy(monitor.got + monitor.len, span.data, span.len);
	monitor.len += span.len;
	ring_consume(&stream->pipe.in, span.len);
	ring_await_data(&stream->pipe.in, 1);
	monitor.end = ring_peek(&stream->pipe.in).end;
}

/* The first stream is that of the files, the second the target. */
static void serve(struct script_stream *stream)
{
	if (!monitor.files)
		monitor.files = stream;
	if (stream == monitor.files)
		serve_files(stream);
	else
		take_target(stream);
}

static struct script script_of(int (*program)(void))
{
	return (struct script){.program = program, .mounts = {"ro:/srv"}, .stream = serve};
}

static struct file *open_file(void)
{
	struct file *file;

	if (!monitor.operations)
		monitor.operations = ~0ull;
	script_check(file_open(&file, "/srv/file", FS_OPEN_READ, 0, FOREVER) == 0);
	return file;
}

static struct stream *new_stream(size_t capacity)
{
	struct stream *stream;

	script_check(control_new_stream((uint32_t)capacity, 4096, &stream, FOREVER) == 0);
	return stream;
}

static void expect_sent(const char *head, uint64_t offset, size_t len)
{
	size_t lead = strlen(head);

	fiber_sleep(in_milliseconds(1));
	script_check(monitor.len == lead + len);
	script_check(memcmp(monitor.got, head, lead) == 0);
	script_check(pattern_match(KEY, offset, monitor.got + lead, len) == len);
}

/* With "head" in front. */
static long send_with_head(
	struct stream *stream, struct file *file, uint64_t offset, size_t len, deadline until)
{
	unsigned char *room;

	script_check(stream_reserve(stream, &room, 100, FOREVER) >= 100);
	memcpy(room, "head", 4);
	return stream_send_file(stream, 4, file, offset, len, until);
}

/* ---- what is sent */

/* The head fills all the room, or nothing follows it. */
static int send_leads_alone(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(4096);
	unsigned char *room;
	long len = stream_reserve(stream, &room, 100, FOREVER);

	script_check(len == 4096);
	memset(room, 'h', (size_t)len);
	script_check(stream_send_file(stream, (size_t)len, file, 0, 1000, FOREVER) == 1000);
	fiber_sleep(in_milliseconds(1));
	script_check(
		monitor.len == 4096 + 1000 && monitor.got[0] == 'h' && monitor.got[4095] == 'h');
	script_check(pattern_match(KEY, 0, monitor.got + 4096, 1000) == 1000);
	monitor.len = 0;
	script_check(send_with_head(stream, file, 0, 0, FOREVER) == 0);
	expect_sent("head", 0, 0);
	stream_close(stream);
	file_close(file);
	return 0;
}

START_TEST(a_lead_alone)
{
	struct script script = script_of(send_leads_alone);

	expect_equal(script_run(&script), 0);
}
END_TEST

static int send_all(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(65536);

	script_check(send_with_head(stream, file, 100, 10000, FOREVER) == 10000);
	expect_sent("head", 100, 10000);
	monitor.len = 0;
	script_check(stream_send_file(stream, 0, file, 5, FILE_LEN, FOREVER) == FILE_LEN - 5);
	expect_sent("", 5, FILE_LEN - 5);
	monitor.len = 0;
	script_check(stream_send_file(stream, 0, file, FILE_LEN, 1, FOREVER) == 0);
	script_check(stream_send_file(stream, 0, file, 0, 0, FOREVER) == 0);
	expect_sent("", 0, 0);
	stream_close(stream);
	file_close(file);
	return 0;
}

START_TEST(all_of_it_is_sent)
{
	struct script script = script_of(send_all);

	expect_equal(script_run(&script), 0);
}
END_TEST

static int copy_all(void)
{
	monitor.operations = COPY_ONLY;
	return send_all();
}

START_TEST(an_older_monitor_has_it_copied)
{
	struct script script = script_of(copy_all);

	expect_equal(script_run(&script), 0);
}
END_TEST

/* The ring is smaller than the file, and than the lead with a piece. */
static int send_through_small_ring(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(4096);

	script_check(send_with_head(stream, file, 0, FILE_LEN, FOREVER) == FILE_LEN);
	expect_sent("head", 0, FILE_LEN);
	return 0;
}

START_TEST(a_small_ring_will_do)
{
	struct script script = script_of(send_through_small_ring);

	expect_equal(script_run(&script), 0);
}
END_TEST

static struct stream *shared;
static bool sent, other_done;

static void write_behind(void *looks_first)
{
	struct wait_item item = {.stream = shared, .events = WAIT_WRITABLE};

	script_check(stream_writable_len(shared) == 0);
	if (looks_first)
		script_check(wait_any(&item, 1, FOREVER) == 1 && sent);
	script_check(stream_write(shared, "tail", 4, FOREVER) == 4);
	script_check(sent);
	other_done = true;
}

/* An answer comes when the guest sleeps, and 'sent' is set before the other fiber runs again. */
static void write_meanwhile(struct file *file, bool looks_first)
{
	shared = new_stream(65536);
	sent = other_done = false;
	monitor.len = 0;
	script_check(fiber_spawn(write_behind, looks_first ? &sent : NULL) == 0);
	script_check(stream_send_file(shared, 0, file, 0, 100, FOREVER) == 100);
	sent = true;
	while (!other_done)
		fiber_sleep(in_milliseconds(1));
	fiber_sleep(in_milliseconds(1));
	script_check(monitor.len == 104 && memcmp(monitor.got + 100, "tail", 4) == 0);
	script_check(pattern_match(KEY, 0, monitor.got, 100) == 100);
}

static int write_both_ways(void)
{
	struct file *file = open_file();

	write_meanwhile(file, true);
	write_meanwhile(file, false);
	return 0;
}

START_TEST(others_wait_for_the_room)
{
	struct script script = script_of(write_both_ways);

	expect_equal(script_run(&script), 0);
}
END_TEST

/* ---- what goes wrong */

static int refuse(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(65536);

	monitor.fail_at = 1;
	script_check(send_with_head(stream, file, 0, 10000, FOREVER) == -EIO);
	expect_sent("", 0, 0);
	script_check(stream_write(stream, "page", 4, FOREVER) == 4);
	expect_sent("page", 0, 0);
	/* On the way: what was read counts. */
	monitor.len = 0;
	monitor.fail_at = 3;
	script_check(send_with_head(stream, file, 0, FILE_LEN, FOREVER) == PIECE);
	expect_sent("head", 0, PIECE);
	script_check(monitor.end == 0);
	/* The reader is gone. */
	ring_stop(&script_stream_by_id(stream->id)->pipe.in);
	script_check(stream_send_file(stream, 0, file, 0, 10, FOREVER) == -EPIPE);
	return 0;
}

START_TEST(an_error_leaves_the_stream)
{
	struct script script = script_of(refuse);

	expect_equal(script_run(&script), 0);
}
END_TEST

static int bad_lead(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(4096);

	script_check(stream_send_file(stream, 4097, file, 0, 10, FOREVER) == -EINVAL);
	script_check(stream_send_file(stream, SIZE_MAX, file, 0, 10, FOREVER) == -EINVAL);
	script_check(monitor.requests == 0);
	return 0;
}

START_TEST(a_lead_that_was_never_reserved)
{
	struct script script = script_of(bad_lead);

	expect_equal(script_run(&script), 0);
}
END_TEST

static int time_out(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(65536);

	script_check(send_with_head(stream, file, 0, 10, NO_WAIT) == -ETIMEDOUT);
	script_check(monitor.requests == 0);
	script_check(stream_write(stream, "more", 4, FOREVER) == 4);
	expect_sent("more", 0, 0);
	script_check(monitor.end == 0);
	monitor.silent = true;
	script_check(send_with_head(stream, file, 0, 10, in_milliseconds(5)) == -ETIMEDOUT);
	script_check(monitor.requests == 1);
	/* The monitor may still write there, so nothing follows. */
	script_check(stream_write(stream, "more", 4, FOREVER) == -EPIPE);
	expect_sent("more", 0, 0);
	script_check(monitor.end == -ETIMEDOUT);
	stream_close(stream);
	file_close(file);
	return 0;
}

START_TEST(a_deadline_fails_the_stream)
{
	struct script script = script_of(time_out);

	expect_equal(script_run(&script), 0);
}
END_TEST

static bool end_files(void)
{
	if (!monitor.requests)
		return false;
	monitor.requests = 0;
	ring_finish(&monitor.files->pipe.out);
	return true;
}

static int lose_files(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(65536);

	monitor.silent = true;
	script_check(send_with_head(stream, file, 0, 10, FOREVER) == -EIO);
	fiber_sleep(in_milliseconds(1));
	script_check(monitor.len == 0 && monitor.end == -EIO);
	/* Known before, it costs the next one nothing. */
	stream_close(stream);
	stream = new_stream(65536);
	script_check(send_with_head(stream, file, 0, 10, FOREVER) == -EIO);
	script_check(stream_write(stream, "more", 4, FOREVER) == 4);
	return 0;
}

START_TEST(lost_files_fail_the_stream)
{
	struct script script = script_of(lose_files);

	script.idle = end_files;
	expect_equal(script_run(&script), 0);
}
END_TEST

static int hear_lies(void)
{
	struct file *file = open_file();
	struct stream *stream = new_stream(65536);

	monitor.lies = true;
	script_check(send_with_head(stream, file, 0, 10, FOREVER) == -EPROTO);
	fiber_sleep(in_milliseconds(1));
	script_check(monitor.len == 0 && monitor.end == -EIO);
	return 0;
}

START_TEST(more_than_was_asked_for_is_not_believed)
{
	struct script script = script_of(hear_lies);

	expect_equal(script_run(&script), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_send_file");
	TCase *tcase = tcase_create("guest_send_file");

	tcase_add_test(tcase, a_lead_alone);
	tcase_add_test(tcase, all_of_it_is_sent);
	tcase_add_test(tcase, an_older_monitor_has_it_copied);
	tcase_add_test(tcase, a_small_ring_will_do);
	tcase_add_test(tcase, others_wait_for_the_room);
	tcase_add_test(tcase, an_error_leaves_the_stream);
	tcase_add_test(tcase, a_lead_that_was_never_reserved);
	tcase_add_test(tcase, a_deadline_fails_the_stream);
	tcase_add_test(tcase, lost_files_fail_the_stream);
	tcase_add_test(tcase, more_than_was_asked_for_is_not_believed);
	tcase_set_timeout(tcase, 20);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
