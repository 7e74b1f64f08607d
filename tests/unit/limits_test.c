/* What --limit allows a guest, and what happens beyond it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/limits.h"
#include "tests/lib/clock.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

#define KIB 1024u

/* ---- the option */

static struct limits_config config;
static char error_text[300];

static int add(const char *value)
{
	return limits_add(&config, value, error_text, sizeof(error_text));
}

START_TEST(limits_are_read)
{
	expect_equal(add("streams=100"), 0);
	expect_equal(add("in-flight=16M"), 0);
	expect_equal(add("send-rate=10k"), 0);
	expect_equal(add("receive-rate=1G"), 0);
	expect_equal(add("accepts=1"), 0);
	expect_equal(add("connect-rate=5"), 0);
	expect_equal(add("connect-rate=6"), 0);
	expect_equal(add("datagram-queue=5"), 0);
	expect_equal(config.streams, 100);
	expect_equal(config.in_flight, 16 << 20);
	expect_equal(config.send_rate, 10 << 10);
	expect_equal(config.receive_rate, 1 << 30);
	expect_equal(config.accepts, 1);
	expect_equal(config.connect_rate, 6);
	expect_equal(config.accept_rate, 0);
	expect_equal(config.datagram_queue, 5);
}
END_TEST

static const char *const bad_values[] = {"", "=", "streams", "streams=", "streams=0", "streams=-1",
	"streams=1k", "streams=x", "streams= 1", "stream=1", "send-rate=1T", "send-rate=1Mb",
	"send-rate=99999999999999999999", "in-flight=2097152G"};

START_TEST(bad_limits_earn_a_sentence)
{
	config = (struct limits_config){0};
	ck_assert_msg(add(bad_values[_i]) < 0, "--limit %s was taken", bad_values[_i]);
	ck_assert_msg(strstr(error_text, "--limit ") == error_text, "%s", error_text);
	ck_assert_msg(strstr(error_text, "; write ") != NULL, "%s", error_text);
	ck_assert_mem_eq(&config, &(struct limits_config){0}, sizeof(config));
}
END_TEST

/* ---- a guest under limits */

static void begin(void)
{
	guest_end_start(&guest);
}

static int new_of(uint32_t capacity, struct guest_stream *ret_stream)
{
	return guest_stream_new(&guest, ret_stream, capacity, capacity);
}

START_TEST(streams_are_limited)
{
	struct guest_stream stream[4];

	guest.config.limits.streams = 3;
	begin();
	for (int i = 0; i < 3; i++)
		expect_equal(new_of(RING, &stream[i]), 0);
	expect_equal(new_of(RING, &stream[3]), EMFILE);
	guest_stream_close(&stream[1]);
	/* The monitor has what was closed when it reads what was sent behind it. */
	expect_equal(new_of(RING, &stream[3]), 0);
	expect_equal(new_of(RING, &stream[1]), EMFILE);
}
END_TEST

START_TEST(rings_are_limited)
{
	struct guest_stream stream[40];
	uint64_t bytes = 0;
	int made = 0, error;

	guest.config.limits.in_flight = 288 * KIB;
	begin();
	while ((error = new_of(RING, &stream[made])) == 0) {
		bytes += stream[made].ring[0].capacity + stream[made].ring[1].capacity;
		expect(bytes <= 288 * KIB);
		made++;
		expect(made < 40);
	}
	expect_equal(error, ENOBUFS);
	expect(made > 2); /* the last ones are smaller */
	expect(bytes > 288 * KIB - 8 * KIB);
	guest_stream_close(&stream[0]);
	expect_equal(new_of(4 * KIB, &stream[0]), 0);
}
END_TEST

START_TEST(accepts_are_limited)
{
	struct guest_stream listener, stream[4];
	struct tcp_incoming in;

	guest.config.limits.accepts = 2;
	begin();
	listener = new_stream();
	uint16_t port = listen_on(&listener);
	for (int i = 0; i < 3; i++) {
		stream[i] = new_stream();
		post(&listener, &stream[i]);
	}
	expect_equal(incoming(&listener, &in).error, ENOBUFS);
	/* One that is taken, and one that is withdrawn, make room. */
	int fd = native_connect(port);
	expect_equal(incoming(&listener, &in).error, 0);
	post(&listener, &stream[2]);
	guest_stream_close(&stream[1]);
	stream[3] = new_stream();
	post(&listener, &stream[3]);
	int other = native_connect(port);
	expect_equal(incoming(&listener, &in).error, 0);
	expect_equal(in.stream_id, stream[2].id);
	close(fd);
	close(other);
}
END_TEST

static int connect_to(uint16_t port)
{
	struct guest_stream stream = new_stream();
	struct tcp_connect target = {.remote = loopback(port)};
	int error = guest_stream_open(
		&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target, NULL, NULL);

	guest_stream_close(&stream);
	return error;
}

START_TEST(connections_in_a_second_are_limited)
{
	uint16_t port;

	guest.config.limits.connect_rate = 4;
	begin();
	int native = native_listen(&port);
	expect_equal(connect_to(port), 0);
	expect_equal(connect_to(port), EAGAIN);
	sleep_ms(300);
	expect_equal(connect_to(port), 0);
	expect_equal(connect_to(port), EAGAIN);
	close(native);
}
END_TEST

START_TEST(accepts_in_a_second_are_limited)
{
	struct guest_stream listener, stream[6];
	struct tcp_incoming in;
	int fd[6];

	guest.config.limits.accept_rate = 10;
	begin();
	listener = new_stream();
	uint16_t port = listen_on(&listener);
	for (int i = 0; i < 6; i++) {
		stream[i] = new_stream();
		post(&listener, &stream[i]);
	}
	for (int i = 0; i < 6; i++)
		fd[i] = native_connect(port);
	uint64_t start = clock_ms();
	for (int i = 0; i < 6; i++) {
		expect_equal(incoming(&listener, &in).error, 0);
		close(fd[i]);
	}
	/* One was in flight before the first came. */
	uint64_t took = clock_ms() - start;
	ck_assert_msg(took >= 350 && took < 3000, "%llu ms", (unsigned long long)took);
}
END_TEST

/* ---- bytes in a second */

#define RATE  (1024 * KIB)
#define BYTES (640 * KIB)

/* A connection of the guest; the native end. */
static int pair(struct guest_stream *ret_stream)
{
	struct tcp_connect target = {0};
	uint16_t port;
	int native = native_listen(&port);

	target.remote = loopback(port);
	*ret_stream = new_stream();
	expect_equal(guest_stream_open(ret_stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message,
			     &target, NULL, NULL),
		0);
	int fd = accept(native, NULL, NULL);
	close(native);
	return fd;
}

/* Tokens of the bucket at the start, and what is on its way at the end, make the difference. */
static void expect_paced(uint64_t start)
{
	uint64_t took = clock_ms() - start, wanted = BYTES * 1000ull / RATE;

	ck_assert_msg(took >= wanted * 6 / 10 && took < wanted + 3000, "%llu ms",
		(unsigned long long)took);
}

static size_t drain(int fd, int wait_ms)
{
	static char buffer[65536];
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	ssize_t got = poll(&poll_fd, 1, wait_ms) == 1 ? recv(fd, buffer, sizeof(buffer), 0) : 0;

	return got > 0 ? (size_t)got : 0;
}

START_TEST(sending_is_paced)
{
	static char bytes[32 * KIB];
	struct guest_stream stream;
	size_t sent = 0, got = 0;

	guest.config.limits.send_rate = RATE;
	begin();
	int fd = pair(&stream);
	uint64_t start = clock_ms();
	while (sent < BYTES) {
		write_all(&stream, bytes, sizeof(bytes));
		sent += sizeof(bytes);
		got += drain(fd, 0);
	}
	while (got < BYTES) {
		size_t some = drain(fd, 2000);
		expect(some != 0);
		got += some;
	}
	expect_paced(start);
	close(fd);
}
END_TEST

START_TEST(receiving_is_paced)
{
	static char bytes[64 * KIB];
	struct guest_stream stream;
	size_t sent = 0, got = 0;

	guest.config.limits.receive_rate = RATE;
	begin();
	int fd = pair(&stream);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	uint64_t start = clock_ms();
	while (got < BYTES) {
		ssize_t n = sent < BYTES ? send(fd, bytes, sizeof(bytes), 0) : 0;
		sent += n > 0 ? (size_t)n : 0;
		long some = read_some(&stream, bytes, sizeof(bytes));
		expect(some > 0);
		got += (size_t)some;
	}
	expect_paced(start);
	close(fd);
}
END_TEST

/* The one that asks for more has no more. */
START_TEST(streams_share_what_there_is)
{
	static char bytes[60 * KIB];
	struct guest_stream greedy, modest;
	size_t of_greedy = 0, of_modest = 0;

	guest.config.limits.send_rate = RATE;
	begin();
	int first = pair(&greedy), second = pair(&modest);
	uint64_t end = clock_ms() + 600;
	while (clock_ms() < end) {
		if (ring_reserve(&greedy.pipe.out).len >= sizeof(bytes))
			write_all(&greedy, bytes, sizeof(bytes));
		if (ring_reserve(&modest.pipe.out).len >= sizeof(bytes))
			write_all(&modest, bytes, 8 * KIB);
		of_greedy += drain(first, 1);
		of_modest += drain(second, 1);
	}
	expect(of_greedy + of_modest > RATE / 4);
	ck_assert_msg(of_modest * 3 > of_greedy, "%zu beside %zu bytes", of_modest, of_greedy);
	close(first);
	close(second);
}
END_TEST

/* The guest leaves bytes that are not allowed yet: the monitor's end does not hang on them. */
START_TEST(the_end_waits_for_no_limit)
{
	static char bytes[60 * KIB];
	struct guest_stream stream;

	guest.config.limits.send_rate = 1;
	guest.config.limits.receive_rate = 1;
	begin();
	int fd = pair(&stream);
	expect_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	write_all(&stream, bytes, sizeof(bytes));
	sleep_ms(50);
	uint64_t start = clock_ms();
	guest_end_stop(&guest); /* 2 s for what is still to be sent, and then no more */
	expect(clock_ms() - start < 4000);
	close(fd);
}
END_TEST

/* Bytes that the limit holds back do not hold back a reset. */
START_TEST(a_reset_waits_for_no_limit)
{
	static char bytes[60 * KIB];
	struct guest_stream stream;
	char byte;

	guest.config.limits.send_rate = 4 * KIB;
	begin();
	int fd = pair(&stream);
	write_all(&stream, bytes, sizeof(bytes));
	sleep_ms(100);
	uint64_t start = clock_ms();
	ring_fail(&stream.pipe.out, EIO);
	guest_flush(&guest, &stream.pipe, stream.slot);
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		;
	expect_equal(errno, ECONNRESET);
	expect(clock_ms() - start < 1000);
	expect_equal(read_some(&stream, &byte, 1), -ECONNABORTED);
	close(fd);
}
END_TEST

/* A send that is stuck was paid for; what is given back when it ends makes the bucket no larger
 * than it is. */
START_TEST(what_is_given_back_fills_no_more_than_the_bucket)
{
	struct rate rate;
	uint64_t allowed = 0;

	guest.config.limits.send_rate = RATE;
	begin();
	rate_init(&rate, NULL, RATE, RATE_BYTES);
	rate_spend(&rate, RATE / RATE_BURST);
	sleep_ms(400);
	expect(rate_allows(&rate) > 0); /* full again */
	rate_give_back(&rate, RATE / RATE_BURST);
	sleep_ms(300);
	for (uint64_t some; (some = rate_allows(&rate)) > 0 && allowed < 10 * RATE; allowed += some)
		rate_spend(&rate, some);
	ck_assert_msg(allowed <= RATE / RATE_BURST + RATE / 20, "%llu bytes",
		(unsigned long long)allowed);
}
END_TEST

/* Connections that wait for bytes hold nothing of what is allowed. */
START_TEST(idle_connections_hold_no_share)
{
	enum { IDLE = 60 };
	struct guest_stream stream[IDLE];
	static char bytes[32 * KIB];
	int fd[IDLE];
	size_t got = 0;

	guest.config.limits.receive_rate = RATE;
	begin();
	for (int i = 0; i < IDLE; i++)
		fd[i] = pair(&stream[i]);
	sleep_ms(300);
	for (int i = 0; i < IDLE; i++)
		expect_equal(send(fd[i], bytes, sizeof(bytes), 0), sizeof(bytes));
	sleep_ms(200);
	for (int i = 0; i < IDLE; i++)
		got += ring_peek(&stream[i].pipe.in).len;
	/* A burst, and what a fifth of a second gives. */
	ck_assert_msg(got > RATE / 10 && got < RATE * 2 / 3, "%zu bytes", got);
	for (int i = 0; i < IDLE; i++)
		close(fd[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("limits");
	TCase *option = tcase_create("option"), *tests = tcase_create("guest"),
	      *end = tcase_create("end");

	tcase_add_test(option, limits_are_read);
	tcase_add_loop_test(option, bad_limits_earn_a_sentence, 0,
		(int)(sizeof(bad_values) / sizeof(bad_values[0])));
	suite_add_tcase(suite, option);
	tcase_add_checked_fixture(tests, tcp_guest_prepare, tcp_guest_teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, streams_are_limited);
	tcase_add_test(tests, rings_are_limited);
	tcase_add_test(tests, accepts_are_limited);
	tcase_add_test(tests, connections_in_a_second_are_limited);
	tcase_add_test(tests, accepts_in_a_second_are_limited);
	tcase_add_test(tests, sending_is_paced);
	tcase_add_test(tests, receiving_is_paced);
	tcase_add_test(tests, streams_share_what_there_is);
	tcase_add_test(tests, a_reset_waits_for_no_limit);
	tcase_add_test(tests, what_is_given_back_fills_no_more_than_the_bucket);
	tcase_add_test(tests, idle_connections_hold_no_share);
	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(end, tcp_guest_prepare, NULL);
	tcase_set_timeout(end, 30);
	tcase_add_test(end, the_end_waits_for_no_limit);
	suite_add_tcase(suite, end);
	return suite_run(suite);
}
