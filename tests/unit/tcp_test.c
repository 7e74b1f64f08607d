/*
 * The monitor's control pipe and its TCP protocols, driven from the guest's end
 * of the pipes: what a guest may do, must not do, and what the sockets see of it.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/log.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

START_TEST(bytes_flow_both_ways_and_half_close)
{
	struct guest_stream listener, stream;
	char buffer[64];
	int fd = connected_pair(&listener, &stream);
	expect_equal(send(fd, "hello", 5, 0), 5);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 5);
	expect(memcmp(buffer, "hello", 5) == 0);
	expect_equal(shutdown(fd, SHUT_WR), 0);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 0);
	write_all(&stream, "still here", 10);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), 10);
	finish(&stream);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), 0);
	close(fd);
	guest_stream_close(&stream);
	guest_stream_close(&listener);
}
END_TEST

START_TEST(guest_half_closes_first)
{
	struct guest_stream listener, stream;
	char buffer[64];
	int fd = connected_pair(&listener, &stream);
	write_all(&stream, "last words", 10);
	finish(&stream);
	expect_equal(recv(fd, buffer, sizeof(buffer), MSG_WAITALL), 10);
	expect_equal(send(fd, "reply", 5, 0), 5);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 5);
	close(fd);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 0);
}
END_TEST

START_TEST(close_right_after_write_loses_nothing)
{
	struct guest_stream listener, stream;
	static char sent[RING], got[RING];
	int fd = connected_pair(&listener, &stream);
	memset(sent, 'x', sizeof(sent));
	write_all(&stream, sent, sizeof(sent));
	guest_stream_close(&stream);
	expect_equal(recv(fd, got, sizeof(got), MSG_WAITALL), sizeof(got));
	expect(memcmp(sent, got, sizeof(got)) == 0);
	expect_equal(recv(fd, got, 1, 0), 0);
	close(fd);
}
END_TEST

START_TEST(reset_by_peer_comes_after_the_bytes_before_it)
{
	struct guest_stream listener, stream;
	struct linger now = {1, 0};
	char buffer[64];
	int fd = connected_pair(&listener, &stream);
	expect_equal(send(fd, "bytes", 5, 0), 5);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 5);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), -ECONNRESET);
}
END_TEST

START_TEST(reset_by_guest_is_a_reset)
{
	struct guest_stream listener, stream;
	char buffer[64];
	int fd = connected_pair(&listener, &stream);
	ring_fail(&stream.pipe.out, ECONNRESET);
	guest_flush(&guest, &stream.pipe, stream.slot);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), -1);
	expect_equal(errno, ECONNRESET);
	close(fd);
}
END_TEST

START_TEST(nothing_is_accepted_before_it_is_posted)
{
	struct guest_stream listener = new_stream(), stream = new_stream();
	struct tcp_incoming in;
	uint16_t port = listen_on(&listener);
	int fd = native_connect(port);
	usleep(50000);
	expect_equal(ring_peek(&listener.pipe.in).len, 0);
	post(&listener, &stream);
	expect_equal(incoming(&listener, &in).error, 0);
	/* A stream that is in use, and one that never was, cannot be posted. */
	post(&listener, &stream);
	expect_equal(incoming(&listener, &in).error, EBUSY);
	stream.id += 1ull << 32;
	post(&listener, &stream);
	expect_equal(incoming(&listener, &in).error, ENOENT);
	close(fd);
}
END_TEST

START_TEST(unknown_messages_are_answered)
{
	static const struct wire_message unknown = {"Unknown", 999, 0, NULL, 0};
	struct guest_stream listener = new_stream(), stream = new_stream();
	struct tcp_incoming in;
	struct frame frame;
	char body[64];
	listen_on(&listener);
	/* Type 0 is an answer to nothing that was asked, and dropped. */
	static const struct wire_message stray = {"Stray", 0, 0, NULL, 0};
	guest_send(&guest, &listener.pipe, listener.slot, &stray, NULL);
	uint32_t id = guest_send(&guest, &listener.pipe, listener.slot, &unknown, NULL);
	frame = incoming(&listener, &in);
	expect_equal(frame.type, STREAM_UNSUPPORTED);
	expect_equal(frame.request_id, id);
	expect_equal(frame.error, ENOTSUP);
	id = guest_send(&guest, &guest.control, 0, &unknown, NULL);
	guest_receive(&guest, &guest.control, 0, &frame, body, sizeof(body));
	expect_equal(frame.type, CONTROL_UNSUPPORTED);
	expect_equal(frame.request_id, id);
	expect_equal(frame.error, ENOTSUP);
	/* And both go on. */
	post(&listener, &stream);
	expect_equal(guest_stream_new(&guest, &stream, RING, RING), 0);
}
END_TEST

START_TEST(grants_are_asked)
{
	struct guest_stream stream = new_stream();
	struct tcp_listen wanted = {.local = {.family = ENDPOINT_IPV4}};
	struct tcp_connect target = {
		.remote = {.family = ENDPOINT_IPV4, .port = 80, .addr = {192, 0, 2, 1}}};
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_LISTEN, &tcp_listen_message, &wanted,
			     NULL, NULL),
		EACCES);
	guest_stream_close(&stream);
	stream = new_stream();
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
			     NULL, NULL),
		EACCES);
	guest_stream_close(&stream);
	stream = new_stream();
	expect_equal(guest_stream_open(&stream, 77, NULL, NULL, NULL, NULL), EPROTONOSUPPORT);
	guest_stream_close(&stream);
	stream = new_stream();
	wanted = (struct tcp_listen){.local = loopback(0), .flags = ~0u};
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_LISTEN, &tcp_listen_message, &wanted,
			     NULL, NULL),
		EINVAL);
}
END_TEST

START_TEST(connects_by_address_and_name)
{
	uint16_t port;
	char buffer[16];
	int listener = native_listen(&port);
	for (int by_name = 0; by_name < 2; by_name++) {
		struct guest_stream stream = new_stream();
		struct tcp_connect target = {.remote = loopback(port)};
		struct tcp_connected answer;
		if (by_name) {
			target.remote.family = ENDPOINT_NAME;
			target.host = (struct wire_bytes){"localhost", 9};
		}
		expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message,
				     &target, &tcp_connected_message, &answer),
			0);
		expect_equal(answer.remote.port, port);
		int fd = accept(listener, NULL, NULL);
		expect_equal(send(fd, "hi", 2, 0), 2);
		expect_equal(read_some(&stream, buffer, sizeof(buffer)), 2);
		write_all(&stream, "ho", 2);
		expect_equal(recv(fd, buffer, sizeof(buffer), 0), 2);
		close(fd);
		guest_stream_close(&stream);
	}
	close(listener);
	struct guest_stream stream = new_stream();
	struct tcp_connect target = {.remote = loopback(port)};
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
			     NULL, NULL),
		ECONNREFUSED);
}
END_TEST

START_TEST(slots_and_rings_come_back)
{
	for (int round = 0; round < 1000; round++) {
		struct guest_stream stream = new_stream();
		guest_stream_close(&stream);
	}
	struct guest_stream stream;
	expect_equal(guest_stream_new(&guest, &stream, 5000, RING), EINVAL);
	expect_equal(guest_stream_new(&guest, &stream, RING, 1u << 30), EINVAL);
	/* Large rings for the first ones, then smaller ones, until there are no slots. */
	unsigned large = 0, small = 0;
	int error;
	while ((error = guest_stream_new(&guest, &stream, 16u << 20, 4096)) == 0) {
		large += stream.pipe.out.capacity == 16u << 20;
		small += stream.pipe.out.capacity == ARENA_MODEST_RING;
	}
	expect_equal(error, ENFILE);
	expect(large >= 1 && large < 10);
	expect(small > 200);
}
END_TEST

/* A guest that lies about its positions or sends an impossible frame loses that stream; others go
 * on. */
START_TEST(a_hostile_stream_hurts_no_other)
{
	struct guest_stream bad = new_stream(), listener, stream;
	char buffer[64] = {4};
	store_relaxed(&bad.pipe.out.shared->written, 1ull << 40);
	bell_post(arena_bell(guest.arena, PIPE_GUEST), bad.slot);
	eventfd_t one = 1;
	expect_equal(write(guest.doorbell_fd, &one, 8), 8);
	expect_equal(read_some(&bad, buffer, 1), -EPROTO);
	bad = new_stream();
	write_all(&bad, (unsigned char[16]){3}, 16);
	expect_equal(read_some(&bad, buffer, 1), -EPROTO);
	bad = new_stream();
	write_all(&bad, (unsigned char[16]){0xff, 0xff, 0xff, 0xff}, 16);
	expect_equal(read_some(&bad, buffer, 1), -EPROTO);
	int fd = connected_pair(&listener, &stream);
	expect_equal(send(fd, "fine", 4, 0), 4);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 4);
	close(fd);
}
END_TEST

/* A connection whose ring lies while a receive is in flight is reset, not trusted. */
START_TEST(a_hostile_relay_is_reset)
{
	struct guest_stream listener, stream;
	char buffer[64];
	int fd = connected_pair(&listener, &stream);
	store_relaxed(&stream.pipe.out.shared->written, UINT64_MAX - 5);
	bell_post(arena_bell(guest.arena, PIPE_GUEST), stream.slot);
	eventfd_t one = 1;
	expect_equal(write(guest.doorbell_fd, &one, 8), 8);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), -1);
	expect_equal(errno, ECONNRESET);
	close(fd);
}
END_TEST

START_TEST(a_strange_hello_is_refused)
{
	struct guest_end other = {.config = {.poll_ns = 0}};
	struct control_hello hello = {.magic = CONTROL_MAGIC, .version_major = 99};
	struct control_new_stream wanted = {RING, RING};
	struct frame frame;
	char body[64];
	log_level = LOG_ERROR;
	guest_end_start_silent(&other);
	guest_send(&other, &other.control, 0, &control_messages[CONTROL_NEW_STREAM], &wanted);
	guest_receive(&other, &other.control, 0, &frame, body, sizeof(body));
	expect_equal(frame.type, CONTROL_STREAM_ERROR);
	expect_equal(frame.error, EPROTO);
	guest_send(&other, &other.control, 0, &control_messages[CONTROL_HELLO], &hello);
	guest_receive(&other, &other.control, 0, &frame, body, sizeof(body));
	expect_equal(frame.type, CONTROL_HELLO);
	expect_equal(frame.error, EPROTONOSUPPORT);
	guest_end_stop(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tcp");
	TCase *served = tcase_create("served");
	TCase *refused = tcase_create("refused");
	tcase_add_checked_fixture(served, tcp_guest_setup, tcp_guest_teardown);
	tcase_set_timeout(served, 20);
	tcase_add_test(served, bytes_flow_both_ways_and_half_close);
	tcase_add_test(served, guest_half_closes_first);
	tcase_add_test(served, close_right_after_write_loses_nothing);
	tcase_add_test(served, reset_by_peer_comes_after_the_bytes_before_it);
	tcase_add_test(served, reset_by_guest_is_a_reset);
	tcase_add_test(served, nothing_is_accepted_before_it_is_posted);
	tcase_add_test(served, unknown_messages_are_answered);
	tcase_add_test(served, grants_are_asked);
	tcase_add_test(served, connects_by_address_and_name);
	tcase_add_test(served, slots_and_rings_come_back);
	tcase_add_test(served, a_hostile_stream_hurts_no_other);
	tcase_add_test(served, a_hostile_relay_is_reset);
	tcase_add_test(refused, a_strange_hello_is_refused);
	suite_add_tcase(suite, served);
	suite_add_tcase(suite, refused);
	return suite_run(suite);
}
