/*
 * How TCP connections end, at their worst: resets that meet blocked sends, peers that do not
 * read, closes with unread input, requests withdrawn too late, rings that break in mid-receive.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/stats.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

/* Writes until neither socket nor ring take more. */
static void write_until_stuck(struct guest_stream *stream)
{
	static const char bytes[RING];
	for (int idle = 0; idle < 30; idle++) {
		if (ring_write(&stream->pipe.out, bytes, sizeof(bytes)) != 0)
			idle = 0;
		guest_flush(&guest, &stream->pipe, stream->slot);
		usleep(2000);
	}
}

static void reset(int fd)
{
	struct linger now = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static bool peer_sees_end(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
	return poll(&poll_fd, 1, 3000) == 1;
}

static void signal_slot(struct guest_stream *stream)
{
	bell_post(arena_bell(guest.arena, PIPE_GUEST), stream->slot);
	expect_equal(eventfd_write(guest.doorbell_fd, 1), 0);
}

/* Counters are the I/O thread's and have no lock: this is a peep that TSan need not know of. */
__attribute__((no_sanitize_thread)) static uint64_t counted(const volatile uint64_t *counter)
{
	return *counter;
}

/* Looked at until it is so, or too late. */
static bool becomes(const uint64_t *counter, uint64_t value)
{
	for (int i = 0; i < 2000; i++) {
		if (counted(counter) == value)
			return true;
		usleep(1000);
	}
	return false;
}

START_TEST(guest_resets_a_peer_that_does_not_read)
{
	struct guest_stream listener, stream;
	int fd = connected_pair(&listener, &stream);
	write_until_stuck(&stream);
	ring_fail(&stream.pipe.out, ECONNRESET);
	guest_flush(&guest, &stream.pipe, stream.slot);
	expect(peer_sees_end(fd));
	close(fd);
}
END_TEST

START_TEST(reset_that_a_blocked_send_saw_is_told)
{
	struct guest_stream listener, stream;
	char byte;
	int fd = connected_pair(&listener, &stream);
	write_until_stuck(&stream);
	reset(fd);
	expect_equal(read_some(&stream, &byte, 1), -ECONNRESET);
}
END_TEST

/* A client with a small window. */
static int connected_narrowly(struct guest_stream *listener, struct guest_stream *stream)
{
	struct tcp_incoming in;
	*listener = new_stream();
	*stream = new_stream();
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(listen_on(listener))};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	post(listener, stream);
	expect_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	expect_equal(incoming(listener, &in).error, 0);
	return fd;
}

/* A client still uploads when its answer is written and the stream closed. */
START_TEST(unread_input_does_not_cut_the_answer)
{
	static char bytes[RING];
	struct guest_stream listener, stream;
	int fd = connected_narrowly(&listener, &stream);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int idle = 0; idle < 30; idle++) {
		if (send(fd, bytes, sizeof(bytes), 0) > 0)
			idle = 0;
		usleep(1000);
	}
	write_all(&stream, bytes, sizeof(bytes));
	guest_stream_close(&stream);
	fcntl(fd, F_SETFL, 0);
	usleep(20000);
	size_t got = 0;
	long len;
	while ((len = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		got += (size_t)len;
	expect_equal(len, 0);
	expect_equal(got, RING);
	close(fd);
}
END_TEST

/* It takes nothing for longer than the monitor waits for what it may still send, and goes on then.
 */
START_TEST(a_client_that_pauses_has_all_of_the_answer)
{
	static char bytes[RING];
	struct guest_stream listener, stream;
	int fd = connected_narrowly(&listener, &stream);
	write_all(&stream, bytes, sizeof(bytes));
	guest_stream_close(&stream);
	for (int i = 0; i < 50; i++) {
		expect_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
		usleep(100000);
	}
	size_t got = 0;
	long len;
	while ((len = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		got += (size_t)len;
	expect_equal(len, 0);
	expect_equal(got, RING);
	close(fd);
}
END_TEST

/* The slots of withdrawn Accepts come back, and a connection waits for the next Accept. */
START_TEST(accepts_can_be_withdrawn)
{
	struct guest_stream listener = new_stream(), stream;
	struct tcp_incoming in;
	char byte = 'x';
	uint16_t port = listen_on(&listener);
	uint64_t closed = counted(&stats.streams_closed);
	for (int i = 0; i < 400; i++) {
		stream = new_stream();
		post(&listener, &stream);
		guest_stream_close(&stream);
	}
	expect(becomes(&stats.streams_closed, closed + 400));
	int fd = native_connect(port);
	usleep(50000);
	stream = new_stream();
	post(&listener, &stream);
	struct frame frame;
	do
		frame = incoming(&listener, &in);
	while (frame.error ==
		ENOENT); /* withdrawn before it was seen: the two pipes are not in order */
	expect_equal(frame.error, 0);
	expect_equal(in.stream_id, stream.id);
	write_all(&stream, &byte, 1);
	expect_equal(recv(fd, &byte, 1, 0), 1);
	close(fd);
}
END_TEST

/* Open, bytes, end and CloseStream in one go: the bytes arrive, by name as well. */
START_TEST(bytes_before_an_early_close_arrive)
{
	uint16_t port;
	int listener = native_listen(&port);
	for (int i = 0; i < 20; i++) {
		struct guest_stream stream = new_stream();
		struct tcp_connect target = {.remote = loopback(port)};
		unsigned char payload[400];
		struct stream_open open = {PROTOCOL_TCP_CONNECT, PROTOCOL_VERSION, {payload, 0}};
		char bytes[16];
		if (i % 2 == 1) {
			target.remote.family = ENDPOINT_NAME;
			target.host = (struct wire_bytes){"localhost", 9};
		}
		open.payload.len =
			wire_encode_body(&tcp_connect_message, &target, payload, sizeof(payload));
		guest_send(&guest, &stream.pipe, stream.slot, &stream_open_message, &open);
		write_all(&stream, "last words", 10);
		guest_stream_close(&stream);
		struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
		expect_equal(poll(&poll_fd, 1, 3000), 1);
		int fd = accept(listener, NULL, NULL);
		expect_equal(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), 10);
		close(fd);
	}
	close(listener);
}
END_TEST

START_TEST(ipv6_wildcard_needs_the_ipv4_grant_for_ipv4)
{
	struct guest_stream listener = new_stream();
	struct tcp_listen wanted = {.local = {.family = ENDPOINT_IPV6}};
	struct tcp_listening answer;
	struct sockaddr_in address = {.sin_family = AF_INET};
	char error[200];
	grants_free(&guest.config.grants);
	memset(&guest.config.grants, 0, sizeof(guest.config.grants));
	expect_equal(grants_add_listen(&guest.config.grants, "[::]:0", error, sizeof(error)), 0);
	expect_equal(guest_stream_open(&listener, PROTOCOL_TCP_LISTEN, &tcp_listen_message, &wanted,
			     &tcp_listening_message, &answer),
		0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_port = htons(answer.local.port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
	expect_equal(errno, ECONNREFUSED);
	close(fd);
}
END_TEST

/* Wherever the guest means to listen, and with no other grant. */
START_TEST(published_port_is_listened_on_where_it_is_published)
{
	struct guest_stream listener = new_stream(), stream = new_stream();
	struct tcp_listen wanted = {.local = {.family = ENDPOINT_IPV6, .port = 80}};
	struct tcp_listening answer;
	char error[200];
	grants_free(&guest.config.grants);
	expect_equal(
		grants_add_publish(&guest.config.grants, "127.0.0.2:0:80", error, sizeof(error)),
		0);
	expect_equal(guest_stream_open(&listener, PROTOCOL_TCP_LISTEN, &tcp_listen_message, &wanted,
			     &tcp_listening_message, &answer),
		0);
	expect_equal(answer.local.family, ENDPOINT_IPV4);
	expect_equal(answer.local.addr[3], 2);
	expect(answer.local.port != 80 && answer.local.port != 0);
	wanted.local.port = 81;
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_LISTEN, &tcp_listen_message, &wanted,
			     NULL, NULL),
		EACCES);
}
END_TEST

/* EPROTO as the guest's own errno is an end like any other, behind the frames before it. */
START_TEST(eproto_of_the_guest_breaks_no_rule)
{
	struct guest_stream listener, stream, next = new_stream();
	struct tcp_accept accept = {next.id};
	struct frame frame = {.request_id = 7};
	unsigned char bytes[64];
	char byte;
	int fd = connected_pair(&listener, &stream);
	uint64_t broken = counted(&stats.broken_pipes_by_guest);
	ring_fail(&stream.pipe.out, EPROTO);
	guest_flush(&guest, &stream.pipe, stream.slot);
	expect_equal(read_some(&stream, &byte, 1), -ECONNABORTED);
	size_t len = wire_encode(&tcp_accept_message, &frame, &accept, bytes, sizeof(bytes));
	expect_equal(ring_write(&listener.pipe.out, bytes, len), len);
	ring_fail(&listener.pipe.out, EPROTO);
	guest_flush(&guest, &listener.pipe, listener.slot);
	/* It was posted, and let go when its listener ended. */
	expect_equal(read_some(&next, &byte, 1), -ECONNABORTED);
	expect_equal(counted(&stats.broken_pipes_by_guest), broken);
	close(fd);
}
END_TEST

START_TEST(a_ring_that_breaks_while_a_receive_waits)
{
	struct guest_stream listener, stream;
	int fd = connected_pair(&listener, &stream);
	uint64_t broken = counted(&stats.broken_pipes_by_guest);
	char byte;
	usleep(20000);
	store_relaxed(&stream.pipe.in.shared->read, 1ull << 40);
	signal_slot(&stream);
	expect_equal(recv(fd, &byte, 1, 0), -1);
	expect_equal(errno, ECONNRESET);
	expect_equal(load_relaxed(&stream.pipe.in.shared->end), RING_FAILED | EPROTO << 16);
	expect_equal(load_relaxed(&stream.pipe.out.shared->gone), 1);
	expect(becomes(&stats.broken_pipes_by_guest, broken + 1));
	close(fd);
}
END_TEST

/* What the peer says after the guest stopped reading is taken and dropped, so that it can go on. */
START_TEST(a_guest_that_stopped_reading_holds_no_peer_up)
{
	static char bytes[RING];
	struct guest_stream listener, stream;
	int fd = connected_pair(&listener, &stream);
	ring_stop(&stream.pipe.in);
	guest_flush(&guest, &stream.pipe, stream.slot);
	for (int i = 0; i < 200; i++)
		expect_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	expect_equal(shutdown(fd, SHUT_WR), 0);
	write_all(&stream, "done", 4);
	finish(&stream);
	expect_equal(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), 4);
	close(fd);
}
END_TEST

/* The guest ends with a listener, a posted stream and a connection that still has bytes to send. */
START_TEST(at_the_end_nothing_is_left)
{
	struct guest_stream listener, stream, next = new_stream();
	int fd = connected_pair(&listener, &stream);
	post(&listener, &next);
	write_until_stuck(&stream);
	guest_end_stop(&guest);
	expect_equal(stats.streams_at_end, 3);
	expect_equal(stats.streams_left, 0);
	expect_equal(stats.ring_bytes_left, 0);
	close(fd);
	guest_end_start(&guest);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tcp_end");
	TCase *ends = tcase_create("ends");
	tcase_add_checked_fixture(ends, tcp_guest_setup, tcp_guest_teardown);
	tcase_set_timeout(ends, 30);
	tcase_add_test(ends, guest_resets_a_peer_that_does_not_read);
	tcase_add_test(ends, reset_that_a_blocked_send_saw_is_told);
	tcase_add_test(ends, unread_input_does_not_cut_the_answer);
	tcase_add_test(ends, a_client_that_pauses_has_all_of_the_answer);
	tcase_add_test(ends, accepts_can_be_withdrawn);
	tcase_add_test(ends, bytes_before_an_early_close_arrive);
	tcase_add_test(ends, ipv6_wildcard_needs_the_ipv4_grant_for_ipv4);
	tcase_add_test(ends, published_port_is_listened_on_where_it_is_published);
	tcase_add_test(ends, eproto_of_the_guest_breaks_no_rule);
	tcase_add_test(ends, a_ring_that_breaks_while_a_receive_waits);
	tcase_add_test(ends, a_guest_that_stopped_reading_holds_no_peer_up);
	tcase_add_test(ends, at_the_end_nothing_is_left);
	suite_add_tcase(suite, ends);
	return suite_run(suite);
}
