/* The guest's connections and listeners against a monitor that follows a script. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/platform.h"
#include "guest/stream/control.h"
#include "guest/stream/stream.h"
#include "pipe/bell.h"
#include "protocol/tcp.h"
#include "tests/lib/random.h"
#include "tests/lib/scripted_monitor.h"
#include "tests/lib/suite.h"

static int run_script(struct script script)
{
	return script_run(&script);
}

/* ---- connections. The port says what the script's monitor does. */

enum {
	PORT_REFUSE = 1,
	PORT_SILENT,
	PORT_ECHO,
	PORT_RESET, /* sends "tail" and fails */
	PORT_LIE,   /* breaks the ring's rules */
	PORT_FLOOD, /* sends as much as there is room for, for ever */
	PORT_DEAF,  /* reads no more */
	PORT_WRONG, /* answers Open by something else */
	PORT_ENDED, /* ends before Opened */
	PORT_SLOW,  /* reads a kilobyte at a time, and only when the guest sleeps */
};

static uint16_t port[SCRIPT_STREAMS]; /* by slot; 0: not opened yet */

static void open_connection(
	struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	static const char tail[] = "tail";
	struct tcp_connected connected = {0};
	struct stream_open open;
	struct tcp_connect connect;
	struct pipe_end *pipe = &stream->pipe;

	script_check(frame->type == STREAM_OPEN);
	script_check(wire_decode(&stream_open_message, &open, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	script_check(open.protocol == PROTOCOL_TCP_CONNECT && open.version == PROTOCOL_VERSION);
	script_check(wire_decode(&tcp_connect_message, &connect, open.payload.data,
			     open.payload.len) == 0);
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
			&(struct control_close_stream){1}, 0, 0);
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
	return run_script((struct script){.program = program, .stream = serve_connection});
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
	struct random random = {5};
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
		done = stream_read(
			stream, got + read, random_len(&random, STREAM_CAPACITY), FOREVER);
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
	script_check(stream_peek(stream, &data, 16, FOREVER) ==
		     4); /* fewer than asked for, at the end */
	script_check(stream_read(stream, bytes, 2, FOREVER) == 2);
	script_check(
		stream_read(stream, bytes + 2, 14, FOREVER) == 2 && memcmp(bytes, "tail", 4) == 0);
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
	struct wait_item items[3] = {0};
	struct stream *quiet, *echo;
	static char bytes[STREAM_CAPACITY];

	script_check(connect_to(PORT_SLOW, &quiet, FOREVER) == 0 &&
		     connect_to(PORT_ECHO, &echo, FOREVER) == 0);
	items[0] = (struct wait_item){.stream = quiet, .events = WAIT_READABLE};
	items[1] = (struct wait_item){.stream = echo, .events = WAIT_READABLE};
	script_check(wait_any(items, 2, NO_WAIT) == -ETIMEDOUT);
	script_check(wait_any(items, 2, in_milliseconds(3)) == -ETIMEDOUT);
	items[2] = (struct wait_item){.stream = echo}; /* waits for nothing, whatever comes */
	script_check(stream_write(echo, "x", 1, FOREVER) == 1);
	script_check(wait_any(items, 2, FOREVER) == 1 && items[0].ready == 0 &&
		     items[1].ready == WAIT_READABLE);
	script_check(wait_any(items + 2, 1, in_milliseconds(3)) == -ETIMEDOUT);
	items[2] = (struct wait_item){.stream = quiet, .events = WAIT_WRITABLE};
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
	if (port[stream->slot] == PORT_SLOW && span.len == 10 &&
		memcmp(span.data, "last words", 10) == 0)
		_exit(33);
}

START_TEST(what_was_written_before_exit_is_posted)
{
	expect_equal(
		run_script((struct script){.program = write_and_exit, .stream = expect_last_words}),
		33);
}
END_TEST

/* ---- a listener */

static struct script_stream *listener;
static uint64_t posted[64];
static uint32_t posted_request[64];
static unsigned posted_count, taken, most_posted;

static void serve_listener(struct script_stream *stream)
{
	struct tcp_listening listening = {{.family = ENDPOINT_IPV4, .port = 4321}};
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

/* An accept that the monitor does not keep: nobody hears of it. */
#define ONE_TOO_MANY 20u

static bool one_more_connection(void)
{
	struct tcp_incoming incoming = {0};
	struct frame request = {0};
	struct script_stream *stream;

	if (taken == posted_count)
		return false;
	request.request_id = posted_request[taken];
	incoming.stream_id = posted[taken++];
	incoming.remote = (struct endpoint){.family = ENDPOINT_IPV4, .port = (uint16_t)taken};
	if (taken == ONE_TOO_MANY) {
		script_reply(listener, &request, &tcp_incoming_message, &incoming, 0, ENOBUFS);
		return true;
	}
	stream = script_stream_by_id(incoming.stream_id);
	script_write(stream, "hi", 2); /* may be there before the guest knows of the connection */
	script_reply(
		listener, &request, &tcp_incoming_message, &incoming, 0, taken == 3 ? ENOMEM : 0);
	return true;
}

static int accept_some(void)
{
	struct endpoint local = {.family = ENDPOINT_IPV4}, peer;
	struct listener *listening;
	struct stream *stream;
	char bytes[8];

	script_check(tcp_listen(&local, &listening, FOREVER) == 0);
	script_check(listener_local(listening)->port == 4321);
	for (unsigned i = 1; i <= 40; i++) {
		int error = tcp_accept(listening, &stream, &peer, NULL, FOREVER);

		script_check(error == (i == 3 ? -ENOMEM : 0));
		if (error)
			continue;
		script_check(peer.port == (i < ONE_TOO_MANY ? i : i + 1));
		script_check(
			stream_read(stream, bytes, 8, FOREVER) == 2 && memcmp(bytes, "hi", 2) == 0);
		stream_close(stream);
	}
	listener_close(listening);
	script_check(most_posted <= 16); /* the window was never used up */
	return 0;
}

START_TEST(connections_are_accepted)
{
	expect_equal(run_script((struct script){.program = accept_some,
			     .stream = serve_listener,
			     .idle = one_more_connection}),
		0);
}
END_TEST

/* The same by waiting, beside a timer that never ends first. */
static int wait_for_connections(void)
{
	struct endpoint local = {.family = ENDPOINT_IPV4};
	struct wait_item items[2] = {0};
	struct stream *stream;
	unsigned came = 0;

	script_check(tcp_listen(&local, &items[0].listener, FOREVER) == 0);
	items[1].at = in_milliseconds(60000);
	while (came < 40) {
		script_check(wait_any(items, 2, FOREVER) == 1);
		script_check(items[0].ready == WAIT_READABLE && items[1].ready == 0);
		if (tcp_accept(items[0].listener, &stream, NULL, NULL, NO_WAIT) == 0) {
			came++;
			stream_close(stream);
		}
	}
	listener_close(items[0].listener);
	return 0;
}

START_TEST(connections_are_waited_for)
{
	expect_equal(run_script((struct script){.program = wait_for_connections,
			     .stream = serve_listener,
			     .idle = one_more_connection}),
		0);
}
END_TEST

static int wait_for_timers(void)
{
	struct wait_item items[2] = {{.at = in_milliseconds(20)}, {.at = in_milliseconds(5)}};
	deadline start = clock_now();

	script_check(wait_any(items, 2, in_milliseconds(1)) == -ETIMEDOUT);
	script_check(wait_any(items, 2, FOREVER) == 1 && items[1].ready && !items[0].ready);
	script_check(clock_now() - start >= 5000000);
	script_check(wait_any(items, 2, FOREVER) == 1); /* it stays so */
	items[1].at = FOREVER;
	script_check(wait_any(items, 2, FOREVER) == 1 && items[0].ready);
	script_check(clock_now() - start >= 20000000);
	script_check(wait_any(items, 2, NO_WAIT) == 1);
	script_check(wait_any(NULL, 0, in_milliseconds(2)) == -ETIMEDOUT);
	return 0;
}

START_TEST(timers_are_waited_for)
{
	expect_equal(run_connections(wait_for_timers), 0);
}
END_TEST

/* Listening takes one round trip; the rest of the window is posted without an accept being called.
 */
static int fill_window(void)
{
	struct endpoint local = {.family = ENDPOINT_IPV4};
	struct listener *listening;
	unsigned rung = script_doorbells();

	script_check(tcp_listen(&local, &listening, FOREVER) == 0);
	script_check(script_doorbells() == rung + 1 && posted_count == 1);
	fiber_sleep(in_milliseconds(1));
	fiber_sleep(in_milliseconds(1));
	script_check(posted_count == 4);
	listener_close(listening);
	return 0;
}

START_TEST(window_fills_by_itself)
{
	expect_equal(
		run_script((struct script){.program = fill_window, .stream = serve_listener}), 0);
}
END_TEST

static int serve_until_end(void)
{
	struct endpoint local = {.family = ENDPOINT_IPV4};
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
	expect_equal(run_script((struct script){.program = serve_until_end,
			     .stream = serve_listener,
			     .idle = end_listener}),
		ECONNABORTED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_stream");
	TCase *tcase = tcase_create("guest_stream");

	tcase_add_test(tcase, refused_connections_are_errors);
	tcase_add_test(tcase, bytes_go_there_and_back);
	tcase_add_test(tcase, streams_end_as_they_should);
	tcase_add_test(tcase, every_wait_has_a_deadline);
	tcase_add_test(tcase, many_are_waited_for);
	tcase_add_test(tcase, timers_are_waited_for);
	tcase_add_test(tcase, busy_fiber_lets_others_run);
	tcase_add_test(tcase, what_was_written_before_exit_is_posted);
	tcase_add_test(tcase, connections_are_accepted);
	tcase_add_test(tcase, connections_are_waited_for);
	tcase_add_test(tcase, window_fills_by_itself);
	tcase_add_test(tcase, ended_listener_ends_serving);
	tcase_set_timeout(tcase, 20);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
