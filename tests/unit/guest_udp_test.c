/* The guest's UDP sockets against a monitor that follows a script. */
#include <stdlib.h>
#include <string.h>

#include "guest/platform.h"
#include "guest/stream/control.h"
#include "guest/stream/stream.h"
#include "protocol/udp.h"
#include "tests/lib/random.h"
#include "tests/lib/scripted_monitor.h"
#include "tests/lib/suite.h"

/* The port that is bound, or connected to, says what the script's monitor does. */
enum {
	PORT_REFUSE = 1,
	PORT_SILENT,
	PORT_ECHO,
	PORT_ERROR, /* answers each datagram by two errors, and then sends it back */
	PORT_CUT,   /* sends back the first half of each */
	PORT_SLOW,  /* takes one when the guest sleeps */
	PORT_ENDED, /* ends after Opened */
	PORT_LATER, /* sends a message of a later version, and then what came */
	PORT_OPTIONS,
};

static uint16_t port[SCRIPT_STREAMS]; /* by slot; 0: not opened yet */
static struct script_stream *slow;
static unsigned taken,
	refused; /* datagrams of PORT_SLOW; answers of the guest to PORT_LATER's message */
static size_t taken_len;

static const struct endpoint asked_at = {
	.family = ENDPOINT_IPV4, .port = 77, .addr = {10, 0, 0, 1}};

static struct endpoint address(uint16_t number)
{
	return (struct endpoint){.family = ENDPOINT_IPV4, .port = number, .addr = {127, 0, 0, 1}};
}

/* ---- the monitor */

static void say(struct script_stream *stream, const struct wire_message *message, const void *body)
{
	static unsigned char bytes[FRAME_LEN_MAX];
	struct frame frame = {.request_id = 0};
	size_t len = wire_encode(message, &frame, body, bytes, sizeof(bytes));

	script_check(len != 0);
	script_write(stream, bytes, len);
}

static void open_socket(
	struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	struct stream_open open;
	struct udp_bind bind;
	struct udp_bound bound;

	script_check(frame->type == STREAM_OPEN);
	script_check(wire_decode(&stream_open_message, &open, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	script_check(open.protocol == PROTOCOL_UDP && open.version == PROTOCOL_VERSION);
	script_check(
		wire_decode(&udp_bind_message, &bind, open.payload.data, open.payload.len) == 0);
	bool with_options = bind.local.port == PORT_OPTIONS;
	script_check(bind.flags == (with_options ? (uint32_t)UDP_V6ONLY : 0));
	script_check(bind.receive_buffer == (with_options ? 4096 : 0));
	port[stream->slot] = bind.local.port ? bind.local.port : bind.remote.port;
	bound = (struct udp_bound){.local = address(9), .remote = bind.remote};
	if (port[stream->slot] == PORT_SILENT)
		return;
	if (port[stream->slot] == PORT_REFUSE) {
		script_reply(stream, frame, &stream_opened_message, NULL, 0, EACCES);
		ring_finish(&stream->pipe.out);
		return;
	}
	if (bind.remote.family == ENDPOINT_NAME && bind.host.len != 0) {
		script_check(bind.host.len == 4 && memcmp(bind.host.data, "name", 4) == 0);
		bound.remote = address(bind.remote.port);
	}
	script_opened(stream, frame, &udp_bound_message, &bound);
	if (port[stream->slot] == PORT_ENDED)
		ring_finish(&stream->pipe.out);
	if (port[stream->slot] == PORT_SLOW)
		slow = stream;
}

static void answer(struct script_stream *stream, const struct udp_frame *datagram, uint16_t number)
{
	struct udp_frame back = {.remote = address(5),
		.local = asked_at,
		.length = (uint32_t)datagram->data.len,
		.dropped = 3,
		.data = datagram->data};
	struct udp_send_error error = {address(6), ECONNREFUSED, 2};

	if (datagram->remote.family != ENDPOINT_NAME)
		back.remote = datagram->remote;
	if (datagram->local.family != ENDPOINT_NAME)
		back.local = datagram->local;
	if (number == PORT_CUT)
		back.data.len /= 2;
	if (number == PORT_ERROR) {
		say(stream, &udp_send_error_message, &error);
		error = (struct udp_send_error){address(7), EACCES, 1};
		say(stream, &udp_send_error_message, &error);
	}
	if (number == PORT_LATER)
		say(stream, &(struct wire_message){"Later", 99, 0, NULL, 0}, NULL);
	say(stream, &udp_datagram_message, &back);
}

static void take(struct script_stream *stream, const struct frame *frame, const unsigned char *body)
{
	uint16_t number = port[stream->slot];
	struct udp_frame datagram;

	if (frame->type == STREAM_UNSUPPORTED && number == PORT_LATER) {
		script_check(frame->error == ENOTSUP);
		refused++;
		return;
	}
	script_check(frame->type == UDP_DATAGRAM && frame->request_id == 0);
	script_check(wire_decode(&udp_datagram_message, &datagram, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	script_check(datagram.length == 0 && datagram.dropped == 0);
	taken++;
	taken_len += datagram.data.len;
	/* Each is of one fiber alone. */
	for (size_t i = 1; i < datagram.data.len; i++)
		script_check(((const char *)datagram.data.data)[i] ==
			     ((const char *)datagram.data.data)[0]);
	if (number != PORT_SLOW)
		answer(stream, &datagram, number);
}

static void serve(struct script_stream *stream)
{
	const unsigned char *body;
	struct frame frame;

	while (port[stream->slot] != PORT_SLOW && script_receive(stream, &frame, &body)) {
		if (port[stream->slot] == 0)
			open_socket(stream, &frame, body);
		else
			take(stream, &frame, body);
	}
}

/* One more of what the slow socket sends. */
static bool take_slowly(void)
{
	const unsigned char *body;
	struct frame frame;

	if (slow == NULL || !script_receive(slow, &frame, &body))
		return false;
	take(slow, &frame, body);
	return true;
}

static int run(int (*program)(void))
{
	const struct script script = {.program = program, .stream = serve, .idle = take_slowly};

	return script_run(&script);
}

static struct udp *bound_to(uint16_t number)
{
	struct endpoint local = address(number);
	struct udp *udp;

	script_check(udp_bind(&local, &udp, FOREVER) == 0);
	return udp;
}

/* ---- the tests */

static int opens(void)
{
	struct endpoint local = address(PORT_REFUSE), expected;
	struct udp *udp;

	script_check(udp_bind(&local, &udp, FOREVER) == -EACCES);
	script_check(udp_connect("127.0.0.1:1", &udp, FOREVER) == -EACCES);
	script_check(udp_connect("nonsense", &udp, FOREVER) == -EINVAL);
	script_check(udp_connect("127.0.0.1:0", &udp, FOREVER) == -EINVAL);
	script_check(udp_connect("127.0.0.1:2", &udp, in_milliseconds(5)) == -ETIMEDOUT);
	local = address(PORT_OPTIONS);
	script_check(
		udp_bind_with(&local, &(struct udp_options){UDP_V6ONLY, 4096}, &udp, FOREVER) == 0);
	udp_close(udp);
	udp = bound_to(PORT_ECHO);
	local = address(9);
	script_check(memcmp(udp_local(udp), &local, sizeof(local)) == 0);
	script_check(udp_peer(udp)->family == ENDPOINT_NAME);
	udp_close(udp);
	expected = address(PORT_ECHO);
	script_check(udp_connect("127.0.0.1:3", &udp, FOREVER) == 0);
	script_check(memcmp(udp_peer(udp), &expected, sizeof(expected)) == 0);
	udp_close(udp);
	script_check(udp_connect("name:3", &udp, FOREVER) == 0);
	script_check(memcmp(udp_peer(udp), &expected, sizeof(expected)) == 0);
	udp_close(udp);
	return 0;
}

START_TEST(sockets_are_opened_and_refused)
{
	expect_equal(run(opens), 0);
}
END_TEST

static int datagrams(void)
{
	static unsigned char sent[65507], got[65507];
	static const size_t lengths[] = {0, 1, 1472, 65507};
	struct endpoint peer = address(4), local = address(8);
	struct udp_datagram datagram;
	struct udp *udp = bound_to(PORT_ECHO);

	local.addr[3] = 9;
	memset(sent, 's', sizeof(sent));
	for (size_t i = 0; i < 4; i++) {
		script_check(udp_send(udp, &peer, sent, lengths[i], FOREVER) == 0);
		script_check(
			udp_receive(udp, got, sizeof(got), &datagram, FOREVER) == (long)lengths[i]);
		script_check(datagram.len == lengths[i] && datagram.full_len == lengths[i]);
		script_check(datagram.dropped == 3);
		script_check(memcmp(&datagram.peer, &peer, sizeof(peer)) == 0);
		script_check(memcmp(&datagram.local, &asked_at, sizeof(asked_at)) == 0);
		script_check(memcmp(got, sent, lengths[i]) == 0);
	}
	script_check(udp_send_from(udp, &local, &peer, sent, 1, FOREVER) == 0);
	script_check(udp_receive(udp, got, sizeof(got), &datagram, FOREVER) == 1);
	script_check(memcmp(&datagram.local, &local, sizeof(local)) == 0);
	/* A caller with less room, and one who does not want to know. */
	script_check(udp_send(udp, &peer, sent, 100, FOREVER) == 0);
	script_check(udp_receive(udp, got, 60, &datagram, FOREVER) == 60);
	script_check(datagram.len == 60 && datagram.full_len == 100);
	script_check(udp_send(udp, &peer, sent, 100, FOREVER) == 0);
	script_check(udp_receive(udp, NULL, 0, NULL, FOREVER) == 0);
	udp_close(udp);
	/* Cut off on the way. */
	udp = bound_to(PORT_CUT);
	script_check(udp_send(udp, &peer, sent, 100, FOREVER) == 0);
	script_check(udp_receive(udp, got, sizeof(got), &datagram, FOREVER) == 50);
	script_check(datagram.len == 50 && datagram.full_len == 100);
	udp_close(udp);
	return 0;
}

START_TEST(datagrams_go_there_and_back)
{
	expect_equal(run(datagrams), 0);
}
END_TEST

static int lengths(void)
{
	static unsigned char bytes[65528];
	struct endpoint ipv4 = address(4), ipv6 = {.family = ENDPOINT_IPV6, .port = 4};
	struct udp *udp = bound_to(PORT_ECHO), *connected;

	memset(bytes, 'x', sizeof(bytes));
	script_check(udp_connect("127.0.0.1:3", &connected, FOREVER) == 0);
	script_check(udp_send(udp, &ipv4, bytes, 65508, FOREVER) == -EMSGSIZE);
	script_check(udp_send(udp, &ipv6, bytes, 65528, FOREVER) == -EMSGSIZE);
	script_check(udp_send(connected, NULL, bytes, 65508, FOREVER) == -EMSGSIZE);
	script_check(taken == 0);
	script_check(udp_send(udp, &ipv6, bytes, 65527, FOREVER) == 0);
	script_check(udp_receive(udp, bytes, sizeof(bytes), NULL, FOREVER) == 65527);
	udp_close(udp);
	udp_close(connected);
	return 0;
}

START_TEST(too_long_is_said_at_once)
{
	expect_equal(run(lengths), 0);
}
END_TEST

static int errors(void)
{
	struct endpoint peer = address(4), whom;
	char bytes[8];
	struct udp *udp;

	/* Once each, and the datagram behind them is not lost. */
	script_check(udp_connect("127.0.0.1:4", &udp, FOREVER) == 0);
	for (int i = 0; i < 3; i++) {
		script_check(udp_send(udp, NULL, "x", 1, FOREVER) == 0);
		script_check(udp_receive(udp, bytes, 8, NULL, FOREVER) == -ECONNREFUSED);
		script_check(udp_receive(udp, bytes, 8, NULL, FOREVER) == -EACCES);
		script_check(udp_receive(udp, bytes, 8, NULL, FOREVER) == 1);
		script_check(udp_receive(udp, bytes, 8, NULL, NO_WAIT) == -ETIMEDOUT);
	}
	script_check(udp_error(udp, &whom) == 0);
	udp_close(udp);
	/* Nobody's, on a socket without a peer: for whoever asks, the oldest. */
	udp = bound_to(PORT_ERROR);
	script_check(udp_error(udp, NULL) == 0);
	for (int i = 0; i < 3; i++) {
		script_check(udp_send(udp, &peer, "x", 1, FOREVER) == 0);
		script_check(udp_receive(udp, bytes, 8, NULL, FOREVER) == 1);
	}
	script_check(udp_error(udp, &whom) == -ECONNREFUSED && whom.port == 6);
	script_check(udp_error(udp, &whom) == 0);
	udp_close(udp);
	/* The end of the socket is told again and again. */
	udp = bound_to(PORT_ENDED);
	script_check(udp_receive(udp, bytes, 8, NULL, FOREVER) == -ECONNABORTED);
	script_check(udp_receive(udp, bytes, 8, NULL, NO_WAIT) == -ECONNABORTED);
	udp_close(udp);
	return 0;
}

START_TEST(errors_are_told_once)
{
	expect_equal(run(errors), 0);
}
END_TEST

static int deadlines(void)
{
	static char bytes[20000];
	struct endpoint peer = address(4);
	char got[8];
	uint64_t start = clock_now();
	struct udp *udp = bound_to(PORT_ECHO);
	unsigned sent = 0;

	script_check(udp_receive(udp, got, 8, NULL, NO_WAIT) == -ETIMEDOUT);
	script_check(udp_receive(udp, got, 8, NULL, start + 1000) == -ETIMEDOUT);
	script_check(clock_now() == start + 1000);
	script_check(udp_send(udp, &peer, "x", 1, FOREVER) == 0);
	script_check(udp_receive(udp, got, 8, NULL, FOREVER) == 1);
	udp_close(udp);
	/* A ring that is full: what was taken is sent, what was not is not. */
	udp = bound_to(PORT_SLOW);
	taken = 0;
	while (udp_send(udp, &peer, bytes, sizeof(bytes), NO_WAIT) == 0)
		sent++;
	script_check(sent == STREAM_CAPACITY / (sizeof(bytes) + UDP_HEADER_LEN));
	script_check(udp_send(udp, &peer, bytes, sizeof(bytes), NO_WAIT) == -ETIMEDOUT);
	/* Somebody takes one while this waits. */
	script_check(udp_send(udp, &peer, bytes, sizeof(bytes), FOREVER) == 0);
	script_check(udp_send(udp, &peer, bytes, 1, in_milliseconds(1)) == 0);
	udp_close(udp);
	fiber_sleep(in_milliseconds(1));
	while (take_slowly())
		;
	script_check(taken == sent + 2 && taken_len == (sent + 1) * sizeof(bytes) + 1 + 1);
	return 0;
}

START_TEST(nothing_is_lost_when_a_deadline_passes)
{
	expect_equal(run(deadlines), 0);
}
END_TEST

/* ---- many fibers */

#define SENDERS 20
#define EACH    40

static unsigned senders_left;

static void send_many(void *argument)
{
	static char next = 'a';
	struct endpoint peer = address(4);
	char bytes[5000];

	memset(bytes, next++, sizeof(bytes));
	for (int i = 0; i < EACH; i++)
		script_check(udp_send(argument, &peer, bytes, sizeof(bytes), FOREVER) == 0);
	senders_left--;
}

static int many_senders(void)
{
	static char bytes[5000];
	struct udp *udp = bound_to(PORT_SLOW);

	taken = 0;
	senders_left = SENDERS;
	for (int i = 0; i < SENDERS; i++)
		script_check(fiber_spawn(send_many, udp) == 0);
	script_check(
		udp_receive(udp, bytes, sizeof(bytes), NULL, in_milliseconds(50)) == -ETIMEDOUT);
	script_check(senders_left == 0);
	udp_close(udp);
	fiber_sleep(in_milliseconds(1));
	while (take_slowly())
		;
	script_check(taken == SENDERS * EACH);
	return 0;
}

START_TEST(many_fibers_send_on_one_socket)
{
	expect_equal(run(many_senders), 0);
}
END_TEST

static int later_version(void)
{
	struct endpoint peer = address(4);
	struct udp *udp = bound_to(PORT_LATER);
	char bytes[8];

	for (unsigned i = 1; i <= 3; i++) {
		script_check(udp_send(udp, &peer, "x", 1, FOREVER) == 0);
		script_check(udp_receive(udp, bytes, 8, NULL, FOREVER) == 1);
		fiber_sleep(in_milliseconds(1));
		script_check(refused == i);
	}
	udp_close(udp);
	return 0;
}

START_TEST(messages_of_a_later_version_are_refused)
{
	expect_equal(run(later_version), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_udp");
	TCase *tcase = tcase_create("guest_udp");

	tcase_add_test(tcase, sockets_are_opened_and_refused);
	tcase_add_test(tcase, datagrams_go_there_and_back);
	tcase_add_test(tcase, too_long_is_said_at_once);
	tcase_add_test(tcase, errors_are_told_once);
	tcase_add_test(tcase, nothing_is_lost_when_a_deadline_passes);
	tcase_add_test(tcase, many_fibers_send_on_one_socket);
	tcase_add_test(tcase, messages_of_a_later_version_are_refused);
	tcase_set_timeout(tcase, 20);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
