/* The guest's stream library against a monitor that follows a script, and one that breaks the rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/platform.h"
#include "guest/stream/control.h"
#include "guest/stream/stream.h"
#include "pipe/bell.h"
#include "protocol/fs.h"
#include "protocol/tcp.h"
#include "tests/lib/random.h"
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
	expect_equal(run_script((struct script){ .program = do_nothing }), 0);
}
END_TEST

static int hello_error;
static struct control_hello hello;

static bool answer_hello(struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)body;
	script_check(frame->type == CONTROL_HELLO);
	script_reply(control, frame, &control_messages[CONTROL_HELLO], &hello, 0, (uint32_t)hello_error);
	return true;
}

START_TEST(hello_is_checked)
{
	struct script script = { .program = do_nothing, .control = answer_hello };
	const struct control_hello good = { CONTROL_MAGIC, CONTROL_VERSION_MAJOR, 9, ~0ull, 1, 1, 1 };

	hello = good;
	expect_equal(run_script(script), 0); /* a later minor version and features are no hindrance */
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

static bool say_nothing(struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)control, (void)frame, (void)body;
	return true;
}

START_TEST(silent_monitor_is_given_up)
{
	expect_equal(run_script((struct script){ .program = do_nothing, .control = say_nothing }), STATUS_REFUSED);
}
END_TEST

static bool break_frame(struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	static const unsigned char short_length[FRAME_HEADER_LEN] = { 15 };

	(void)frame, (void)body;
	script_write(control, short_length, sizeof(short_length));
	return true;
}

static bool end_control(struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)frame, (void)body;
	ring_finish(&control->pipe.out);
	return true;
}

static bool answer_before_hello(struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	struct control_stream_info info = { 0 };

	(void)body;
	script_reply(control, frame, &control_messages[CONTROL_STREAM_INFO], &info, 0, 0);
	return true;
}

START_TEST(broken_control_pipe_is_a_panic)
{
	struct script script = { .program = do_nothing, .control = break_frame };

	expect_equal(run_script(script), STATUS_PANIC);
	script.control = end_control;
	expect_equal(run_script(script), STATUS_PANIC);
	script.control = answer_before_hello;
	expect_equal(run_script(script), STATUS_PANIC);
}
END_TEST

/* ---- making streams */

static struct control_stream_info impossible;

static bool describe_impossible(struct script_stream *control, const struct frame *frame, const unsigned char *body)
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
	struct script script = { .program = connect_once, .control = describe_impossible };
	const struct control_stream_info good = { 1ull << 32 | 5, 8192 + 5 * 512, 1 << 20, 2 << 20, STREAM_CAPACITY,
		STREAM_CAPACITY };
	struct control_stream_info wrong[9];

	for (int i = 0; i < 9; i++)
		wrong[i] = good;
	wrong[0].stream_id = 5;               /* generation 0 */
	wrong[1].stream_id = 1ull << 32;      /* the control pipe's slot */
	wrong[2].stream_id = 1ull << 32 | SCRIPT_STREAMS;
	wrong[3].pipe_offset += 512;
	wrong[4].to_host_offset = 4096;       /* in front of the rings */
	wrong[5].to_guest_offset += 1;
	wrong[6].to_host_offset = UINT64_MAX - 4095;
	wrong[7].to_host_capacity = 3 << 14;
	wrong[8].to_guest_capacity *= 2;      /* not what was asked for */
	for (int i = 0; i < 9; i++) {
		impossible = wrong[i];
		ck_assert_msg(script_run(&script) == STATUS_PANIC, "case %d", i);
	}
}
END_TEST

static bool refuse_streams(struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	(void)body;
	if (frame->type != CONTROL_NEW_STREAM)
		return false;
	script_reply(control, frame, &control_messages[CONTROL_STREAM_ERROR], NULL, 0, ENFILE);
	return true;
}

START_TEST(refused_stream_is_an_error)
{
	expect_equal(run_script((struct script){ .program = connect_once, .control = refuse_streams }), ENFILE);
}
END_TEST

static bool send_the_unknown(struct script_stream *control, const struct frame *frame, const unsigned char *body)
{
	static const struct wire_message unknown = { "Unknown", 999, 0, NULL, 0 };
	struct frame request = { .request_id = 77 };
	struct ring_span span;

	(void)body;
	if (frame->type == CONTROL_UNSUPPORTED) {
		script_check(frame->flags & FRAME_REPLY && frame->error == ENOTSUP && frame->request_id == 77);
		_Exit(55);
	}
	if (frame->type != CONTROL_NEW_STREAM)
		return false;
	script_reply(control, frame, &unknown, NULL, 0, 0); /* a reply that fits nothing is dropped */
	span = ring_reserve(&control->pipe.out);
	ring_commit(&control->pipe.out, wire_encode(&unknown, &request, NULL, span.data, span.len));
	return true;
}

START_TEST(unknown_message_is_answered)
{
	expect_equal(run_script((struct script){ .program = connect_once, .control = send_the_unknown }), 55);
}
END_TEST

/* Several fibers ask at once, for several sizes, and each gets what it asked for. */
static int asking;

static void ask_stream(void *argument)
{
	uint32_t capacity = *(uint32_t *)argument;
	struct stream *stream;

	script_check(control_new_stream(capacity, 2 * capacity, &stream, FOREVER) == 0);
	script_check(stream_write_capacity(stream) == capacity && stream_read_capacity(stream) == 2 * capacity);
	fiber_sleep(in_milliseconds(1));
	stream_close(stream);
	asking--;
}

static int ask_many(void)
{
	static uint32_t capacity[] = { 4096, 65536, 8192, 4096, 32768, 8192 };

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
	expect_equal(run_script((struct script){ .program = ask_many }), 0);
}
END_TEST

/* ---- connections. The port says what the script's monitor does. */

enum {
	PORT_REFUSE = 1,
	PORT_SILENT,
	PORT_ECHO,
	PORT_RESET,     /* sends "tail" and fails */
	PORT_LIE,       /* breaks the ring's rules */
	PORT_FLOOD,     /* sends as much as there is room for, for ever */
	PORT_DEAF,      /* reads no more */
	PORT_WRONG,     /* answers Open by something else */
	PORT_ENDED,     /* ends before Opened */
	PORT_SLOW,      /* reads a kilobyte at a time, and only when the guest sleeps */
};

static uint16_t port[SCRIPT_STREAMS]; /* by slot; 0: not opened yet */

static void open_connection(struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	static const char tail[] = "tail";
	struct tcp_connected connected = { 0 };
	struct stream_open open;
	struct tcp_connect connect;
	struct pipe_end *pipe = &stream->pipe;

	script_check(frame->type == STREAM_OPEN);
	script_check(wire_decode(&stream_open_message, &open, body, frame->length - FRAME_HEADER_LEN) == 0);
	script_check(open.protocol == PROTOCOL_TCP_CONNECT && open.version == PROTOCOL_VERSION);
	script_check(wire_decode(&tcp_connect_message, &connect, open.payload.data, open.payload.len) == 0);
	port[stream->slot] = connect.remote.port;
	switch (connect.remote.port) {
	case PORT_SILENT:
		return;
	case PORT_REFUSE:
		script_reply(stream, frame, &stream_opened_message, NULL, 0, ECONNREFUSED);
		ring_finish(&pipe->out);
		return;
	case PORT_WRONG:
		script_reply(stream, frame, &control_messages[CONTROL_CLOSE_STREAM],
			&(struct control_close_stream){ 1 }, 0, 0);
		return;
	case PORT_ENDED:
		ring_finish(&pipe->out);
		return;
	}
	script_opened(stream, frame, &tcp_connected_message, &connected);
	if (connect.remote.port == PORT_RESET) {
		script_write(stream, tail, 4);
		ring_fail(&pipe->out, ECONNRESET);
	} else if (connect.remote.port == PORT_LIE) {
		atomic_store(&pipe->out.shared->written, 1ull << 40);
		bell_post((struct bell_shared *)(void *)(platform_arena() + 4096), stream->slot);
	} else if (connect.remote.port == PORT_DEAF) {
		ring_stop(&pipe->in);
	}
}

static void echo_all(struct script_stream *stream)
{
	struct pipe_end *pipe = &stream->pipe;
	struct ring_span in = ring_peek(&pipe->in), out = ring_reserve(&pipe->out);
	size_t len = in.len < out.len ? in.len : out.len;

	if (len) {
		memcpy(out.data, in.data, len);
		ring_commit(&pipe->out, len);
		ring_consume(&pipe->in, len);
	}
	if (in.end && in.len == len)
		ring_finish(&pipe->out);
	ring_await_data(&pipe->in, in.len - len + 1 <= pipe->in.capacity ? in.len - len + 1 : 1);
	ring_await_room(&pipe->out, 1);
}

static void flood(struct script_stream *stream)
{
	struct ring_span out = ring_reserve(&stream->pipe.out);

	memset(out.data, 'f', out.len);
	ring_commit(&stream->pipe.out, out.len);
	ring_await_room(&stream->pipe.out, 4096);
}

static void serve_connection(struct script_stream *stream)
{
	const unsigned char *body;
	struct frame frame;

	if (!port[stream->slot] && script_receive(stream, &frame, &body))
		open_connection(stream, &frame, body);
	if (port[stream->slot] == PORT_ECHO)
		echo_all(stream);
	else if (port[stream->slot] == PORT_FLOOD)
		flood(stream);
}

static int run_connections(int (*program)(void))
{
	return run_script((struct script){ .program = program, .stream = serve_connection });
}

static int connect_to(int number, struct stream **ret_stream, deadline until)
{
	char target[32];

	snprintf(target, sizeof(target), "127.0.0.1:%d", number);
	return tcp_connect(target, ret_stream, until);
}

static int refusals(void)
{
	uint64_t start = clock_now();
	struct stream *stream;

	script_check(connect_to(PORT_REFUSE, &stream, FOREVER) == -ECONNREFUSED);
	script_check(connect_to(PORT_WRONG, &stream, FOREVER) == -EPROTO);
	script_check(connect_to(PORT_ENDED, &stream, FOREVER) == -EPIPE);
	script_check(clock_now() == start);
	script_check(connect_to(PORT_SILENT, &stream, in_milliseconds(50)) == -ETIMEDOUT);
	script_check(clock_now() == start + 50000000);
	script_check(tcp_connect("nonsense", &stream, FOREVER) == -EINVAL);
	return 0;
}

START_TEST(refused_connections_are_errors)
{
	expect_equal(run_connections(refusals), 0);
}
END_TEST

static int echo_random(void)
{
	static unsigned char sent[300000], got[300000];
	struct random random = { 5 };
	size_t written = 0, read = 0;
	struct stream *stream;

	pattern_fill(1, 0, sent, sizeof(sent));
	script_check(connect_to(PORT_ECHO, &stream, FOREVER) == 0);
	while (read < sizeof(got)) {
		size_t part = random_len(&random, STREAM_CAPACITY / 2);
		long done;

		if (part > sizeof(sent) - written)
			part = sizeof(sent) - written;
		done = stream_write(stream, sent + written, part, FOREVER);
		script_check(done == (long)part);
		written += part;
		if (written == sizeof(sent))
			stream_finish(stream);
		done = stream_read(stream, got + read, random_len(&random, STREAM_CAPACITY), FOREVER);
		script_check(done > 0);
		read += (size_t)done;
	}
	script_check(memcmp(sent, got, sizeof(sent)) == 0);
	script_check(stream_read(stream, got, 1, FOREVER) == 0);
	stream_close(stream);
	return 0;
}

START_TEST(bytes_go_there_and_back)
{
	expect_equal(run_connections(echo_random), 0);
}
END_TEST

static int ends(void)
{
	const unsigned char *data;
	unsigned char *room;
	char bytes[16];
	struct stream *stream;

	/* Every byte before the error, then the error, again and again. */
	script_check(connect_to(PORT_RESET, &stream, FOREVER) == 0);
	script_check(stream_peek(stream, &data, 16, FOREVER) == 4); /* fewer than asked for, at the end */
	script_check(stream_read(stream, bytes, 2, FOREVER) == 2);
	script_check(stream_read(stream, bytes + 2, 14, FOREVER) == 2 && memcmp(bytes, "tail", 4) == 0);
	script_check(stream_read(stream, bytes, 1, FOREVER) == -ECONNRESET);
	script_check(stream_peek(stream, &data, 1, NO_WAIT) == -ECONNRESET);
	stream_close(stream);
	/* Nobody reads. */
	script_check(connect_to(PORT_DEAF, &stream, FOREVER) == 0);
	script_check(stream_write(stream, "x", 1, FOREVER) == -EPIPE);
	script_check(stream_reserve(stream, &room, 1, NO_WAIT) == -EPIPE);
	script_check(stream_read(stream, bytes, 1, in_milliseconds(1)) == -ETIMEDOUT);
	stream_close(stream);
	/* A peer that breaks the rules. */
	script_check(connect_to(PORT_LIE, &stream, FOREVER) == -EPROTO);
	/* What is written after the end goes nowhere and harms nothing. */
	script_check(connect_to(PORT_ECHO, &stream, FOREVER) == 0);
	script_check(stream_reserve(stream, &room, 4, FOREVER) >= 4);
	stream_fail(stream, ECONNRESET);
	stream_commit(stream, 4);
	script_check(stream_write(stream, "x", 1, FOREVER) == -EPIPE);
	stream_close(stream);
	return 0;
}

START_TEST(streams_end_as_they_should)
{
	expect_equal(run_connections(ends), 0);
}
END_TEST

static int timeouts(void)
{
	static char bytes[STREAM_CAPACITY + 1000];
	uint64_t start = clock_now();
	unsigned char *room;
	const unsigned char *data;
	struct stream *stream;

	script_check(connect_to(PORT_SLOW, &stream, FOREVER) == 0);
	script_check(stream_peek(stream, &data, 1, NO_WAIT) == -ETIMEDOUT);
	script_check(stream_peek(stream, &data, 1, start + 1000) == -ETIMEDOUT);
	script_check(stream_peek(stream, &data, STREAM_CAPACITY + 1, FOREVER) == -EINVAL);
	/* As much as went in before the deadline, and then nothing. */
	script_check(stream_write(stream, bytes, sizeof(bytes), start + 2000) == STREAM_CAPACITY);
	script_check(clock_now() == start + 2000);
	script_check(stream_write(stream, bytes, 1, NO_WAIT) == -ETIMEDOUT);
	script_check(stream_reserve(stream, &room, 1, start) == -ETIMEDOUT);
	script_check(stream_writable_len(stream) == 0 && stream_readable_len(stream) == 0);
	stream_close(stream);
	return 0;
}

START_TEST(every_wait_has_a_deadline)
{
	expect_equal(run_connections(timeouts), 0);
}
END_TEST

static int wait_many(void)
{
	struct wait_item items[3] = { 0 };
	struct stream *quiet, *echo;
	static char bytes[STREAM_CAPACITY];

	script_check(connect_to(PORT_SLOW, &quiet, FOREVER) == 0 && connect_to(PORT_ECHO, &echo, FOREVER) == 0);
	items[0] = (struct wait_item){ .stream = quiet, .events = WAIT_READABLE };
	items[1] = (struct wait_item){ .stream = echo, .events = WAIT_READABLE };
	script_check(wait_any(items, 2, NO_WAIT) == -ETIMEDOUT);
	script_check(wait_any(items, 2, in_milliseconds(3)) == -ETIMEDOUT);
	script_check(stream_write(echo, "x", 1, FOREVER) == 1);
	script_check(wait_any(items, 2, FOREVER) == 1 && items[0].ready == 0 && items[1].ready == WAIT_READABLE);
	items[2] = (struct wait_item){ .stream = quiet, .events = WAIT_WRITABLE };
	script_check(wait_any(items, 3, FOREVER) == 2 && items[2].ready == WAIT_WRITABLE);
	script_check(stream_write(quiet, bytes, sizeof(bytes), NO_WAIT) == STREAM_CAPACITY);
	script_check(wait_any(items + 2, 1, in_milliseconds(3)) == -ETIMEDOUT);
	stream_finish(quiet);
	script_check(wait_any(items + 2, 1, FOREVER) == 1); /* no use in writing */
	stream_close(quiet);
	stream_close(echo);
	return 0;
}

START_TEST(many_are_waited_for)
{
	expect_equal(run_connections(wait_many), 0);
}
END_TEST

/* A stream that always has something to read does not keep the other fibers from running. */
static bool flooded;

static void end_flood(void *argument)
{
	(void)argument;
	flooded = true;
}

static int drink(void)
{
	struct stream *stream;
	const unsigned char *data;

	script_check(connect_to(PORT_FLOOD, &stream, FOREVER) == 0);
	script_check(fiber_spawn(end_flood, NULL) == 0);
	for (int i = 0; !flooded; i++) {
		script_check(i < 1000);
		script_check(stream_peek(stream, &data, 1, FOREVER) > 0);
		stream_consume(stream, 1);
	}
	stream_close(stream);
	return 0;
}

START_TEST(busy_fiber_lets_others_run)
{
	expect_equal(run_connections(drink), 0);
}
END_TEST

static int write_and_exit(void)
{
	struct stream *stream;

	script_check(connect_to(PORT_SLOW, &stream, FOREVER) == 0);
	script_check(stream_write(stream, "last words", 10, FOREVER) == 10);
	return 3;
}

static void expect_last_words(struct script_stream *stream)
{
	struct ring_span span;

	serve_connection(stream);
	span = ring_peek(&stream->pipe.in);
	if (port[stream->slot] == PORT_SLOW && span.len == 10 && memcmp(span.data, "last words", 10) == 0)
		_exit(33);
}

START_TEST(what_was_written_before_exit_is_posted)
{
	expect_equal(run_script((struct script){ .program = write_and_exit, .stream = expect_last_words }), 33);
}
END_TEST

/* ---- a listener */

static struct script_stream *listener;
static uint64_t posted[64];
static uint32_t posted_request[64];
static unsigned posted_count, taken, most_posted;

static void serve_listener(struct script_stream *stream)
{
	struct tcp_listening listening = { { .family = TCP_IPV4, .port = 4321 } };
	struct tcp_accept accept;
	const unsigned char *body;
	struct frame frame;

	if (listener && stream != listener) {
		echo_all(stream);
		return;
	}
	listener = stream;
	while (script_receive(stream, &frame, &body)) {
		if (frame.type == STREAM_OPEN) {
			script_opened(stream, &frame, &tcp_listening_message, &listening);
			continue;
		}
		script_check(frame.type == TCP_ACCEPT && posted_count < 64);
		script_check(wire_decode(&tcp_accept_message, &accept, body,
			frame.length - FRAME_HEADER_LEN) == 0);
		posted_request[posted_count] = frame.request_id;
		posted[posted_count++] = accept.stream_id;
		if (posted_count - taken > most_posted)
			most_posted = posted_count - taken;
	}
}

static bool one_more_connection(void)
{
	struct tcp_incoming incoming = { 0 };
	struct frame request = { 0 };
	struct script_stream *stream;

	if (taken == posted_count)
		return false;
	request.request_id = posted_request[taken];
	incoming.stream_id = posted[taken++];
	incoming.remote = (struct tcp_endpoint){ .family = TCP_IPV4, .port = (uint16_t)taken };
	stream = script_stream_by_id(incoming.stream_id);
	script_write(stream, "hi", 2); /* may be there before the guest knows of the connection */
	script_reply(listener, &request, &tcp_incoming_message, &incoming, 0, taken == 3 ? ENOBUFS : 0);
	return true;
}

static int accept_some(void)
{
	struct tcp_endpoint local = { .family = TCP_IPV4 }, peer;
	struct listener *listening;
	struct stream *stream;
	char bytes[8];

	script_check(tcp_listen(&local, &listening, FOREVER) == 0);
	script_check(listener_local(listening)->port == 4321);
	for (unsigned i = 1; i <= 40; i++) {
		int error = tcp_accept(listening, &stream, &peer, NULL, FOREVER);

		script_check(error == (i == 3 ? -ENOBUFS : 0));
		if (error)
			continue;
		script_check(peer.port == i);
		script_check(stream_read(stream, bytes, 8, FOREVER) == 2 && memcmp(bytes, "hi", 2) == 0);
		stream_close(stream);
	}
	listener_close(listening);
	script_check(most_posted <= 16); /* the window was never used up */
	return 0;
}

START_TEST(connections_are_accepted)
{
	expect_equal(run_script((struct script){ .program = accept_some, .stream = serve_listener,
		.idle = one_more_connection }), 0);
}
END_TEST

static int serve_until_end(void)
{
	struct tcp_endpoint local = { .family = TCP_IPV4 };
	struct listener *listening;

	script_check(tcp_listen(&local, &listening, FOREVER) == 0);
	return -tcp_serve(listening, NULL, NULL);
}

static bool end_listener(void)
{
	ring_finish(&listener->pipe.out);
	return true;
}

START_TEST(ended_listener_ends_serving)
{
	expect_equal(run_script((struct script){ .program = serve_until_end, .stream = serve_listener,
		.idle = end_listener }), ECONNABORTED);
}
END_TEST

/* ---- files: requests are kept and answered when the guest sleeps, the last one first */

static struct frame kept[64];
static uint64_t kept_offset[64];
static unsigned kept_count, closes;
static struct script_stream *fs_stream;

static void answer_fs_open(struct script_stream *stream, const struct frame *frame)
{
	struct fs_opened opened = { .handle = 9, .attributes = { .size = 12345, .mode = 0100644 } };

	script_reply(stream, frame, &fs_replies[FS_OPEN - STREAM_FIRST], &opened, 0, 0);
}

static void open_mount(struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	struct fs_mounted mounted = { .max_frame = 8192, .operations = ~0ull };
	struct stream_open open;
	struct fs_mount mount;

	script_check(wire_decode(&stream_open_message, &open, body, frame->length - FRAME_HEADER_LEN) == 0);
	script_check(wire_decode(&fs_mount_message, &mount, open.payload.data, open.payload.len) == 0);
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
			script_reply(stream, &frame, &fs_replies[FS_CLOSE - STREAM_FIRST], NULL, 0, 0);
		} else if (frame.type == FS_READ) {
			script_check(wire_decode(&fs_requests[FS_READ - STREAM_FIRST], &read, body,
				frame.length - FRAME_HEADER_LEN) == 0 && read.length <= 8192 - 16);
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
	struct fs_data data = { { bytes, sizeof(bytes) } };

	if (!kept_count)
		return false;
	kept_count--;
	pattern_fill(3, kept_offset[kept_count], bytes, sizeof(bytes));
	script_reply(fs_stream, &kept[kept_count], &fs_replies[FS_READ - STREAM_FIRST], &data, 0, 0);
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

	script_check(file_read(reader->file, bytes, sizeof(bytes), reader->offset, FOREVER) == sizeof(bytes));
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
		reader[i] = (struct reader){ .file = file, .offset = i * 100000 };
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
	return (struct script){ .program = program, .mounts = { "ro:/srv", "rw:/srv/deeper" },
		.stream = serve_files, .idle = answer_last };
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
	script_check(file_read(file, bytes, sizeof(bytes), 0, clock_now()) == -ETIMEDOUT);
	fiber_sleep(in_milliseconds(1));
	for (size_t i = 0; i < sizeof(bytes); i++)
		script_check(bytes[i] == 0x55);
	script_check(file_read(file, bytes, sizeof(bytes), 4096, FOREVER) == sizeof(bytes));
	script_check(pattern_match(3, 4096, bytes, sizeof(bytes)) == sizeof(bytes));
	file_close(file);
	/* The answer is longer than what was asked for. */
	script_check(file_open(&file, "/srv/data", FS_OPEN_READ, 0, FOREVER) == 0);
	script_check(file_read(file, bytes, 100, 0, FOREVER) == -EPROTO);
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

	/* What no mount covers is refused by the monitor, which says on its console what would allow it. */
	script_check(path_stat("/", &attributes, FOREVER) == -EACCES);
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
	script_check(file_read(file, bytes, sizeof(bytes), 0, FOREVER) == -EIO);
	script_check(file_read(file, bytes, sizeof(bytes), 0, FOREVER) == -EIO);
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
	Suite *suite = suite_create("guest_stream");
	TCase *control = tcase_create("control");
	TCase *connections = tcase_create("connections");
	TCase *files = tcase_create("files");

	tcase_add_test(control, main_runs_and_its_status_counts);
	tcase_add_test(control, hello_is_checked);
	tcase_add_test(control, silent_monitor_is_given_up);
	tcase_add_test(control, broken_control_pipe_is_a_panic);
	tcase_add_test(control, impossible_stream_is_a_panic);
	tcase_add_test(control, refused_stream_is_an_error);
	tcase_add_test(control, unknown_message_is_answered);
	tcase_add_test(control, streams_are_asked_for_at_once);
	suite_add_tcase(suite, control);

	tcase_add_test(connections, refused_connections_are_errors);
	tcase_add_test(connections, bytes_go_there_and_back);
	tcase_add_test(connections, streams_end_as_they_should);
	tcase_add_test(connections, every_wait_has_a_deadline);
	tcase_add_test(connections, many_are_waited_for);
	tcase_add_test(connections, busy_fiber_lets_others_run);
	tcase_add_test(connections, what_was_written_before_exit_is_posted);
	tcase_add_test(connections, connections_are_accepted);
	tcase_add_test(connections, ended_listener_ends_serving);
	suite_add_tcase(suite, connections);

	tcase_add_test(files, requests_are_answered_in_any_order);
	tcase_add_test(files, late_answers_are_discarded);
	tcase_add_test(files, mounts_bound_what_there_is);
	tcase_add_test(files, lost_stream_is_an_error_and_then_made_anew);
	suite_add_tcase(suite, files);
	return suite_run(suite);
}
