/* The guest's UNIX sockets and packets against a monitor that follows a script. */
#include <stdlib.h>
#include <string.h>

#include "guest/stream/control.h"
#include "protocol/unix.h"
#include "tests/lib/scripted_monitor.h"
#include "tests/lib/suite.h"

static int run_script(struct script script)
{
	return script_run(&script);
}

/* ---- connections. The path says what the script's monitor does. */

static char mode[SCRIPT_STREAMS]; /* by slot, the path's first letter; 0: not opened yet */
static struct unix_connect asked; /* by the last Open */

#define PACKET_MAX 1000u /* bytes, as the script has it */

static void open_connection(
	struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	struct unix_connected connected = {.pid = 11, .uid = 22, .gid = 33};
	struct stream_open open;

	script_check(frame->type == STREAM_OPEN);
	script_check(wire_decode(&stream_open_message, &open, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	script_check(open.protocol == PROTOCOL_UNIX_CONNECT && open.version == PROTOCOL_VERSION);
	script_check(wire_decode(&unix_connect_message, &asked, open.payload.data,
			     open.payload.len) == 0);
	mode[stream->slot] = *(const char *)asked.path.data;
	connected.packet_max = asked.type == UNIX_SEQPACKET ? PACKET_MAX : 0;
	if (mode[stream->slot] == 'r')
		script_reply(stream, frame, &stream_opened_message, NULL, 0, EPROTOTYPE);
	else if (mode[stream->slot] != 's')
		script_opened(stream, frame, &unix_connected_message, &connected);
}

static void put_packet(struct script_stream *stream, const void *bytes, size_t len, uint32_t length)
{
	const struct frame frame = {0};
	struct unix_packet packet = {.length = length, .data = {bytes, len}};
	unsigned char encoded[2048];
	size_t used = wire_encode(&unix_packet_message, &frame, &packet, encoded, sizeof(encoded));

	script_check(used != 0);
	script_write(stream, encoded, used);
}

/* Packets come back as they are, and the end after the end. */
static void echo_packets(struct script_stream *stream)
{
	struct unix_packet packet;
	const unsigned char *body;
	struct frame frame;

	while (script_receive(stream, &frame, &body)) {
		script_check(frame.type == UNIX_PACKET && frame.request_id == 0);
		script_check(wire_decode(&unix_packet_message, &packet, body,
				     frame.length - FRAME_HEADER_LEN) == 0);
		script_check(packet.length == packet.data.len);
		put_packet(stream, packet.data.data, packet.data.len, packet.length);
	}
	if (ring_peek(&stream->pipe.in).end == 1)
		ring_finish(&stream->pipe.out);
}

static void serve_connection(struct script_stream *stream)
{
	const unsigned char *body;
	struct frame frame;

	if (!mode[stream->slot] && script_receive(stream, &frame, &body)) {
		open_connection(stream, &frame, body);
		switch (mode[stream->slot]) {
		case 'c': /* one that was cut off, one of a later version's frames, and a reset */
			put_packet(stream, "begins", 6, 5000);
			script_reply(stream, &(struct frame){.request_id = 9},
				&control_messages[CONTROL_CLOSE_STREAM],
				&(struct control_close_stream){1}, 0, 0);
			put_packet(stream, "", 0, 0);
			ring_fail(&stream->pipe.out, ECONNRESET);
			break;
		case 'b': /* shorter than it says it was sent */
			put_packet(stream, "more", 4, 3);
			break;
		case 'd':
			ring_stop(&stream->pipe.in);
			break;
		}
	}
	if (mode[stream->slot] == 'e')
		echo_packets(stream);
}

static int run_connections(int (*program)(void))
{
	return run_script((struct script){.program = program, .stream = serve_connection});
}

static int connecting(void)
{
	uint64_t start = clock_now();
	static char long_path[FS_PATH_MAX + 2];
	struct stream *stream;
	struct unix_peer peer;

	script_check(unix_connect("refuse", UNIX_STREAM, &stream, NULL, FOREVER) == -EPROTOTYPE);
	script_check(asked.timeout_ms == 0);
	script_check(unix_connect("silent", UNIX_STREAM, &stream, NULL, in_milliseconds(30)) ==
		     -ETIMEDOUT);
	script_check(clock_now() - start >= 30000000u);
	script_check(asked.timeout_ms >= 30 && asked.timeout_ms <= 31);
	memset(long_path, 'a', sizeof(long_path) - 1);
	script_check(unix_connect(long_path, UNIX_STREAM, &stream, NULL, FOREVER) == -ENAMETOOLONG);
	script_check(unix_connect("open", UNIX_STREAM, &stream, &peer, FOREVER) == 0);
	script_check(asked.type == UNIX_STREAM && asked.path.len == 4);
	script_check(peer.pid == 11 && peer.uid == 22 && peer.gid == 33);
	/* It has no packets. */
	script_check(packet_max(stream) == 0);
	script_check(packet_send(stream, "x", 1, FOREVER) == -EINVAL);
	script_check(packet_receive(stream, &(char){0}, 1, NULL, FOREVER) == -EINVAL);
	stream_close(stream);
	return 0;
}

START_TEST(connections_are_made)
{
	expect_equal(run_connections(connecting), 0);
}
END_TEST

static int packets(void)
{
	static char sent[PACKET_MAX + 1], got[PACKET_MAX];
	struct stream *stream;
	size_t length = 77;

	memset(sent, 's', sizeof(sent));
	script_check(unix_connect("echo", UNIX_SEQPACKET, &stream, NULL, FOREVER) == 0);
	script_check(packet_max(stream) == PACKET_MAX);
	script_check(packet_send(stream, sent, PACKET_MAX + 1, FOREVER) == -EMSGSIZE);
	script_check(packet_send(stream, sent, PACKET_MAX, FOREVER) == PACKET_MAX);
	script_check(packet_send(stream, "", 0, FOREVER) == 0);
	script_check(packet_send(stream, "third", 5, FOREVER) == 5);
	script_check(packet_receive(stream, got, sizeof(got), &length, FOREVER) == PACKET_MAX);
	script_check(length == PACKET_MAX && memcmp(got, sent, PACKET_MAX) == 0);
	script_check(packet_receive(stream, got, sizeof(got), &length, FOREVER) == 0);
	script_check(length == 0);
	/* With less room than it needs. */
	script_check(packet_receive(stream, got, 3, &length, FOREVER) == 3);
	script_check(length == 5 && memcmp(got, "thi", 3) == 0);
	script_check(packet_receive(stream, got, 3, NULL, in_milliseconds(5)) == -ETIMEDOUT);
	stream_finish(stream);
	script_check(packet_receive(stream, got, 3, NULL, FOREVER) == -ENODATA);
	stream_close(stream);
	return 0;
}

START_TEST(packets_go_there_and_back)
{
	expect_equal(run_connections(packets), 0);
}
END_TEST

static int ends(void)
{
	struct stream *stream;
	char got[16];
	size_t length;

	script_check(unix_connect("cut", UNIX_SEQPACKET, &stream, NULL, FOREVER) == 0);
	script_check(packet_receive(stream, got, sizeof(got), &length, FOREVER) == 6);
	script_check(length == 5000);
	script_check(packet_receive(stream, got, sizeof(got), &length, FOREVER) == 0);
	script_check(packet_receive(stream, got, sizeof(got), &length, FOREVER) == -ECONNRESET);
	stream_close(stream);
	script_check(unix_connect("broken", UNIX_SEQPACKET, &stream, NULL, FOREVER) == 0);
	script_check(packet_receive(stream, got, sizeof(got), &length, FOREVER) == -EPROTO);
	stream_close(stream);
	script_check(unix_connect("deaf", UNIX_SEQPACKET, &stream, NULL, FOREVER) == 0);
	script_check(packet_send(stream, "x", 1, FOREVER) == -EPIPE);
	stream_close(stream);
	return 0;
}

START_TEST(packets_end_as_they_should)
{
	expect_equal(run_connections(ends), 0);
}
END_TEST

/* A monitor that takes nothing: the room runs out, and nothing is sent by halves. */
static int full(void)
{
	static char sent[PACKET_MAX];
	struct stream *stream;
	long count = 0, result;

	script_check(unix_connect("open", UNIX_SEQPACKET, &stream, NULL, FOREVER) == 0);
	while ((result = packet_send(stream, sent, PACKET_MAX, in_milliseconds(5))) == PACKET_MAX)
		count++;
	script_check(result == -ETIMEDOUT);
	script_check((size_t)count ==
		     stream_write_capacity(stream) / (PACKET_MAX + UNIX_PACKET_HEADER_LEN));
	stream_close(stream);
	return 0;
}

START_TEST(sending_has_a_deadline)
{
	expect_equal(run_connections(full), 0);
}
END_TEST

/* ---- a listener */

static struct script_stream *listener;
static struct frame posted[64];
static uint64_t posted_id[64];
static unsigned posted_count, taken;
static struct unix_listen wanted;

static void serve_listener(struct script_stream *stream)
{
	struct stream_open open;
	struct tcp_accept accept;
	const unsigned char *body;
	struct frame frame;

	if (listener && stream != listener) {
		echo_packets(stream);
		return;
	}
	listener = stream;
	while (script_receive(stream, &frame, &body)) {
		size_t len = frame.length - FRAME_HEADER_LEN;

		if (frame.type == STREAM_OPEN) {
			script_check(wire_decode(&stream_open_message, &open, body, len) == 0);
			script_check(open.protocol == PROTOCOL_UNIX_LISTEN);
			script_check(wire_decode(&unix_listen_message, &wanted, open.payload.data,
					     open.payload.len) == 0);
			script_reply(stream, &frame, &stream_opened_message,
				&(struct stream_opened){{"", 0}}, 0, 0);
			continue;
		}
		script_check(frame.type == TCP_ACCEPT && posted_count < 64);
		script_check(wire_decode(&tcp_accept_message, &accept, body, len) == 0);
		posted[posted_count] = frame;
		posted_id[posted_count++] = accept.stream_id;
	}
}

static bool one_more_connection(void)
{
	struct unix_incoming incoming = {.uid = 1000, .gid = 100, .packet_max = PACKET_MAX};

	if (taken == posted_count)
		return false;
	incoming.pid = taken + 1;
	incoming.stream_id = posted_id[taken];
	put_packet(script_stream_by_id(incoming.stream_id), "hi", 2, 2);
	script_reply(listener, &posted[taken], &unix_incoming_message, &incoming, 0,
		taken == 3 ? ENOMEM : 0);
	taken++;
	return true;
}

static int accepting(void)
{
	struct endpoint local = {.family = ENDPOINT_IPV4};
	struct listener *listening;
	struct stream *stream;
	struct unix_peer peer;
	char bytes[8];

	script_check(unix_listen("path", UNIX_SEQPACKET, UNIX_LISTEN_REPLACE, 0660, &listening,
			     FOREVER) == 0);
	script_check(wanted.type == UNIX_SEQPACKET && wanted.mode == 0660);
	script_check(wanted.flags == UNIX_LISTEN_REPLACE && wanted.path.len == 4);
	script_check(tcp_accept(listening, &stream, &local, NULL, FOREVER) == -EINVAL);
	for (unsigned i = 1; i <= 40; i++) {
		int error = unix_accept(listening, &stream, i == 5 ? NULL : &peer, FOREVER);

		script_check(error == (i == 4 ? -ENOMEM : 0));
		if (error)
			continue;
		script_check(i == 5 || (peer.pid == i && peer.uid == 1000 && peer.gid == 100));
		script_check(packet_max(stream) == PACKET_MAX);
		script_check(packet_receive(stream, bytes, 8, NULL, FOREVER) == 2);
		script_check(memcmp(bytes, "hi", 2) == 0);
		stream_close(stream);
	}
	listener_close(listening);
	return 0;
}

START_TEST(connections_are_accepted)
{
	expect_equal(run_script((struct script){.program = accepting,
			     .stream = serve_listener,
			     .idle = one_more_connection}),
		0);
}
END_TEST

static unsigned served;

static void serve_one(struct stream *stream, const struct unix_peer *peer, void *argument)
{
	char bytes[8];

	script_check(argument == &served && peer->pid >= 1 && peer->uid == 1000);
	script_check(packet_receive(stream, bytes, 8, NULL, FOREVER) == 2);
	script_check(packet_send(stream, bytes, 2, FOREVER) == 2);
	script_check(packet_receive(stream, bytes, 8, NULL, FOREVER) == 2);
	if (++served == 20)
		guest_exit(20);
}

static int serving(void)
{
	struct listener *listening;

	script_check(unix_listen("path", UNIX_SEQPACKET, 0, 0, &listening, FOREVER) == 0);
	return -unix_serve(listening, serve_one, &served);
}

START_TEST(connections_are_served)
{
	expect_equal(
		run_script((struct script){
			.program = serving, .stream = serve_listener, .idle = one_more_connection}),
		20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_unix");
	TCase *tcase = tcase_create("guest_unix");

	tcase_add_test(tcase, connections_are_made);
	tcase_add_test(tcase, packets_go_there_and_back);
	tcase_add_test(tcase, packets_end_as_they_should);
	tcase_add_test(tcase, sending_has_a_deadline);
	tcase_add_test(tcase, connections_are_accepted);
	tcase_add_test(tcase, connections_are_served);
	tcase_set_timeout(tcase, 20);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
