/* The guest's control pipe: hello, streams made and refused, broken rules. */
#include <stdlib.h>

#include "guest/stream/control.h"
#include "guest/stream/stream.h"
#include "tests/lib/scripted_monitor.h"
#include "tests/lib/suite.h"

#define STATUS_REFUSED 2
#define STATUS_PANIC   134

static int run_script(struct script script)
{
	return script_run(&script);
}

static int do_nothing(void)
{
	return 0;
}

/* ---- hello */

START_TEST(main_runs_and_its_status_counts)
{
	expect_equal(run_script((struct script){.program = do_nothing}), 0);
}
END_TEST

static int hello_error;
static struct control_hello hello;

static bool answer_hello(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)body;
	if (frame->type != CONTROL_HELLO)
		return false; /* the first streams are asked for right behind it */
	script_reply(
		control, frame, &control_messages[CONTROL_HELLO], &hello, 0, (uint32_t)hello_error);
	return true;
}

START_TEST(hello_is_checked)
{
	struct script script = {.program = do_nothing, .control = answer_hello};
	const struct control_hello good = {CONTROL_MAGIC, CONTROL_VERSION_MAJOR, 9, ~0ull, 1, 1, 1};

	hello = good;
	expect_equal(
		run_script(script), 0); /* a later minor version and features are no hindrance */
	hello.version_major++;
	expect_equal(run_script(script), STATUS_REFUSED);
	hello = good;
	hello.magic++;
	expect_equal(run_script(script), STATUS_PANIC);
	hello_error = EPROTONOSUPPORT;
	expect_equal(run_script(script), STATUS_REFUSED);
	hello_error = EPROTO;
	expect_equal(run_script(script), STATUS_REFUSED);
}
END_TEST

/* Before it has slept once, hence by one wake of the monitor. */
static int find_spare(void)
{
	unsigned rung = script_doorbells();
	struct stream *stream = control_spare_stream();

	script_check(rung == 1 && stream);
	stream_close(stream);
	return 0;
}

START_TEST(first_streams_come_with_the_hello)
{
	expect_equal(run_script((struct script){.program = find_spare}), 0);
}
END_TEST

static bool say_nothing(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)control, (void)frame, (void)body;
	return true;
}

START_TEST(silent_monitor_is_given_up)
{
	expect_equal(run_script((struct script){.program = do_nothing, .control = say_nothing}),
		STATUS_REFUSED);
}
END_TEST

static bool break_frame(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	static const unsigned char short_length[FRAME_HEADER_LEN] = {15};

	(void)frame, (void)body;
	script_write(control, short_length, sizeof(short_length));
	return true;
}

static bool end_control(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)frame, (void)body;
	ring_finish(&control->pipe.out);
	return true;
}

static bool answer_before_hello(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	struct control_stream_info info = {0};

	(void)body;
	script_reply(control, frame, &control_messages[CONTROL_STREAM_INFO], &info, 0, 0);
	return true;
}

START_TEST(broken_control_pipe_is_a_panic)
{
	struct script script = {.program = do_nothing, .control = break_frame};

	expect_equal(run_script(script), STATUS_PANIC);
	script.control = end_control;
	expect_equal(run_script(script), STATUS_PANIC);
	script.control = answer_before_hello;
	expect_equal(run_script(script), STATUS_PANIC);
}
END_TEST

/* ---- making streams */

static struct control_stream_info impossible;

static bool describe_impossible(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)body;
	if (frame->type != CONTROL_NEW_STREAM)
		return false;
	script_reply(control, frame, &control_messages[CONTROL_STREAM_INFO], &impossible, 0, 0);
	return true;
}

static int connect_once(void)
{
	struct stream *stream;

	return -tcp_connect("127.0.0.1:1", &stream, FOREVER);
}

START_TEST(impossible_stream_is_a_panic)
{
	struct script script = {.program = connect_once, .control = describe_impossible};
	const struct control_stream_info good = {
		1ull << 32 | 5, 8192 + 5 * 512, 1 << 20, 2 << 20, STREAM_CAPACITY, STREAM_CAPACITY};
	struct control_stream_info wrong[9];

	for (int i = 0; i < 9; i++)
		wrong[i] = good;
	wrong[0].stream_id = 5;          /* generation 0 */
	wrong[1].stream_id = 1ull << 32; /* the control pipe's slot */
	wrong[2].stream_id = 1ull << 32 | SCRIPT_STREAMS;
	wrong[3].pipe_offset += 512;
	wrong[4].to_host_offset = 4096; /* in front of the rings */
	wrong[5].to_guest_offset += 1;
	wrong[6].to_host_offset = UINT64_MAX - 4095;
	wrong[7].to_host_capacity = 3 << 14;
	wrong[8].to_guest_capacity *= 2; /* not what was asked for */
	for (int i = 0; i < 9; i++) {
		impossible = wrong[i];
		ck_assert_msg(script_run(&script) == STATUS_PANIC, "case %d", i);
	}
}
END_TEST

static bool refuse_streams(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)body;
	if (frame->type != CONTROL_NEW_STREAM)
		return false;
	script_reply(control, frame, &control_messages[CONTROL_STREAM_ERROR], NULL, 0, ENFILE);
	return true;
}

START_TEST(refused_stream_is_an_error)
{
	expect_equal(
		run_script((struct script){.program = connect_once, .control = refuse_streams}),
		ENFILE);
}
END_TEST

static bool send_the_unknown(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	static const struct wire_message unknown = {"Unknown", 999, 0, NULL, 0};
	struct frame request = {.request_id = 77};
	struct ring_span span;

	(void)body;
	if (frame->type == CONTROL_UNSUPPORTED) {
		script_check(frame->flags & FRAME_REPLY && frame->error == ENOTSUP &&
			     frame->request_id == 77);
		_Exit(55);
	}
	if (frame->type != CONTROL_NEW_STREAM)
		return false;
	script_reply(
		control, frame, &unknown, NULL, 0, 0); /* a reply that fits nothing is dropped */
	span = ring_reserve(&control->pipe.out);
	ring_commit(&control->pipe.out, wire_encode(&unknown, &request, NULL, span.data, span.len));
	return true;
}

START_TEST(unknown_message_is_answered)
{
	expect_equal(
		run_script((struct script){.program = connect_once, .control = send_the_unknown}),
		55);
}
END_TEST

/* Several fibers ask at once, for several sizes, and each gets what it asked for. */
static int asking;

static void ask_stream(void *argument)
{
	uint32_t capacity = *(uint32_t *)argument;
	struct stream *stream;

	script_check(control_new_stream(capacity, 2 * capacity, &stream, FOREVER) == 0);
	script_check(stream_write_capacity(stream) == capacity &&
		     stream_read_capacity(stream) == 2 * capacity);
	fiber_sleep(in_milliseconds(1));
	stream_close(stream);
	asking--;
}

static int ask_many(void)
{
	static uint32_t capacity[] = {4096, 65536, 8192, 4096, 32768, 8192};

	for (int i = 0; i < 30; i++) {
		asking++;
		script_check(fiber_spawn(ask_stream, &capacity[i % 6]) == 0);
	}
	while (asking)
		fiber_sleep(in_milliseconds(1));
	/* All of that came and went by a few doorbells: those who asked together rang once. */
	script_check(script_doorbells() < 12);
	return 0;
}

START_TEST(streams_are_asked_for_at_once)
{
	expect_equal(run_script((struct script){.program = ask_many}), 0);
}
END_TEST

static unsigned streams_closed;

static bool count_closed(
	struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)control, (void)body;
	streams_closed += frame->type == CONTROL_CLOSE_STREAM;
	return false; /* and checked there that the stream exists */
}

static int fail_to_map(void)
{
	struct stream *stream;

	script_refuse_rings(2);
	script_check(control_new_stream(4096, 4096, &stream, FOREVER) == -ENOMEM);
	fiber_sleep(in_milliseconds(1));
	script_check(streams_closed == 1);
	script_check(control_new_stream(4096, 4096, &stream, FOREVER) == 0);
	stream_close(stream);
	fiber_sleep(in_milliseconds(1));
	script_check(streams_closed == 2);
	return 0;
}

START_TEST(stream_that_cannot_be_mapped_is_given_back)
{
	expect_equal(
		run_script((struct script){.program = fail_to_map, .control = count_closed}), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_control");
	TCase *tcase = tcase_create("guest_control");

	tcase_add_test(tcase, main_runs_and_its_status_counts);
	tcase_add_test(tcase, hello_is_checked);
	tcase_add_test(tcase, first_streams_come_with_the_hello);
	tcase_add_test(tcase, silent_monitor_is_given_up);
	tcase_add_test(tcase, broken_control_pipe_is_a_panic);
	tcase_add_test(tcase, impossible_stream_is_a_panic);
	tcase_add_test(tcase, refused_stream_is_an_error);
	tcase_add_test(tcase, unknown_message_is_answered);
	tcase_add_test(tcase, streams_are_asked_for_at_once);
	tcase_add_test(tcase, stream_that_cannot_be_mapped_is_given_back);
	tcase_set_timeout(tcase, 20);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
