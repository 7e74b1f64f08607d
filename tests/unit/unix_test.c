/*
 * The monitor's UNIX sockets of type SOCK_STREAM, driven from the guest's end of the pipes, and
 * what the sockets at the other end see of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/lib/unix_guest.h"

/* Both ends of a connection, whoever made it. */
static int pair(int accepted, struct guest_stream *stream)
{
	static struct guest_stream listener;
	char *path = scratch_path("pair%d", accepted);
	int fd = accepted ? unix_accepted_pair(&listener, path, UNIX_STREAM, stream)
			  : unix_connected_pair(stream, path, UNIX_STREAM);

	unlink(path);
	free(path);
	return fd;
}

START_TEST(bytes_flow_both_ways_and_half_close)
{
	struct guest_stream stream;
	char buffer[64];
	int fd = pair(_i, &stream);

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
}
END_TEST

START_TEST(guest_half_closes_first)
{
	struct guest_stream stream;
	char buffer[64];
	int fd = pair(_i, &stream);

	write_all(&stream, "last words", 10);
	finish(&stream);
	expect_equal(recv(fd, buffer, sizeof(buffer), MSG_WAITALL), 10);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), 0);
	expect_equal(send(fd, "reply", 5, 0), 5);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 5);
	close(fd);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 0);
}
END_TEST

/* More than the socket takes, to a peer that reads late, and has written what nobody reads. */
START_TEST(close_right_after_write_loses_nothing)
{
	struct guest_stream stream;
	static char sent[3 * RING], got[RING];
	size_t total = 0;
	ssize_t len;
	int fd = pair(_i, &stream);

	memset(sent, 'x', sizeof(sent));
	expect_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int)), 0);
	expect_equal(send(fd, sent, 100000, MSG_DONTWAIT), 100000);
	write_all(&stream, sent, sizeof(sent));
	guest_stream_close(&stream);
	while ((len = recv(fd, got, sizeof(got), 0)) > 0)
		total += (size_t)len;
	/* The peer's own bytes were dropped, and not left unread: this is no ECONNRESET. */
	expect_equal(len, 0);
	expect_equal(total, sizeof(sent));
	close(fd);
}
END_TEST

START_TEST(a_peer_that_left_bytes_unread_is_an_error_behind_its_own)
{
	struct guest_stream stream;
	char buffer[64];
	int fd = pair(_i, &stream);
	struct pollfd readable = {.fd = fd, .events = POLLIN};

	write_all(&stream, "never read", 10);
	expect_equal(poll(&readable, 1, 5000), 1);
	expect_equal(send(fd, "bytes", 5, 0), 5);
	close(fd);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 5);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), -ECONNRESET);
}
END_TEST

/* There is no reset: the end, and no more. */
START_TEST(a_failing_guest_closes)
{
	struct guest_stream stream;
	char buffer[64];
	int fd = pair(_i, &stream);

	write_all(&stream, "bytes", 5);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), 5);
	ring_fail(&stream.pipe.out, ECONNRESET);
	guest_flush(&guest, &stream.pipe, stream.slot);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), 0);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), -ECONNABORTED);
	expect_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	expect_equal(errno, EPIPE);
	close(fd);
}
END_TEST

/* The peer comes to the end of what it has to say, though nobody listens. */
START_TEST(what_nobody_reads_is_dropped)
{
	struct guest_stream stream;
	static char bytes[RING], got[64];
	int fd = pair(_i, &stream);
	struct timeval limit = {.tv_sec = 5};

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	ring_stop(&stream.pipe.in);
	guest_flush(&guest, &stream.pipe, stream.slot);
	for (int i = 0; i < 100; i++)
		expect_equal(send(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	write_all(&stream, "I still talk", 12);
	expect_equal(recv(fd, got, sizeof(got), 0), 12);
	close(fd);
}
END_TEST

START_TEST(both_sides_know_who_it_is)
{
	struct guest_stream listener = new_stream(), stream = new_stream(), other = new_stream();
	struct unix_incoming in;
	struct unix_connected peer;
	char *path = scratch_path("who");

	expect_equal(unix_listen_at(&listener, path, UNIX_STREAM, 0, 0), 0);
	post(&listener, &stream);
	int fd = native_unix_connect(path, UNIX_STREAM);
	expect_equal(unix_incoming_at(&listener, &in).error, 0);
	expect_equal(in.pid, getpid());
	expect_equal(in.uid, geteuid());
	expect_equal(in.gid, getegid());
	expect_equal(in.packet_max, 0);
	close(fd);
	free(path);
	path = scratch_path("who-else");
	int native = native_unix_listen(path, UNIX_STREAM, 1);
	expect_equal(unix_connect_at(&other, path, UNIX_STREAM, 0, &peer), 0);
	expect_equal(peer.pid, getpid());
	expect_equal(peer.uid, geteuid());
	expect_equal(peer.gid, getegid());
	expect_equal(peer.packet_max, 0);
	close(native);
	free(path);
}
END_TEST

START_TEST(abstract_names)
{
	struct guest_stream stream;
	char buffer[16];
	int fd = unix_connected_pair(&stream, "@ferrule-test-connect", UNIX_STREAM);

	write_all(&stream, "hi", 2);
	expect_equal(recv(fd, buffer, sizeof(buffer), 0), 2);
	close(fd);
	guest_stream_close(&stream);
	struct guest_stream listener;
	fd = unix_accepted_pair(&listener, "@ferrule-test-listen", UNIX_STREAM, &stream);
	expect_equal(send(fd, "hi", 2, 0), 2);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 2);
	close(fd);
	expect_equal(unix_listen_error("@ferrule-test-listen", UNIX_STREAM), EADDRINUSE);
	expect_equal(unix_connect_error("@ferrule-test-listen", UNIX_SEQPACKET), ECONNREFUSED);
	expect_equal(unix_connect_error("@ferrule-test-nobody", UNIX_STREAM), EACCES);
	expect_equal(unix_connect_error("@", UNIX_STREAM), EINVAL);
}
END_TEST

static void grant_abstract(void)
{
	unix_guest_prepare();
	unix_grant("@ferrule-test-connect");
	unix_grant("@ferrule-test-listen");
	guest_end_start(&guest);
}

/* ---- the listener's file */

START_TEST(the_file_has_its_mode_and_goes_with_the_listener)
{
	struct guest_stream listener = new_stream();
	struct stat file;
	char *path = scratch_path("mode"), byte;

	umask(077);
	expect_equal(unix_listen_at(&listener, path, UNIX_STREAM, 0, 0666), 0);
	expect_equal(stat(path, &file), 0);
	expect(S_ISSOCK(file.st_mode));
	expect_equal(file.st_mode & 0777, 0666);
	finish(&listener);
	/* Told of the end, it finds no file. */
	expect_equal(read_some(&listener, &byte, 1), 0);
	expect(access(path, F_OK) != 0);
	guest_stream_close(&listener);
	listener = new_stream();
	expect_equal(unix_listen_at(&listener, path, UNIX_STREAM, 0, 0), 0);
	expect_equal(stat(path, &file), 0);
	expect_equal(file.st_mode & 0777, 0700);
	guest_stream_close(&listener);
	expect_removed(path);
	free(path);
}
END_TEST

START_TEST(another_file_of_that_name_stays)
{
	struct guest_stream listener = new_stream();
	char *path = scratch_path("taken"), byte;

	expect_equal(unix_listen_at(&listener, path, UNIX_STREAM, 0, 0), 0);
	expect_equal(unlink(path), 0);
	int native = native_unix_listen(path, UNIX_STREAM, 1);
	finish(&listener);
	expect_equal(read_some(&listener, &byte, 1), 0);
	expect_equal(access(path, F_OK), 0);
	close(native_unix_connect(path, UNIX_STREAM));
	close(native);
	free(path);
}
END_TEST

START_TEST(a_path_is_free_right_after_close)
{
	char *path = scratch_path("again");

	for (int i = 0; i < 200; i++) {
		struct guest_stream listener = new_stream();
		expect_equal(unix_listen_at(&listener, path, UNIX_STREAM, 0, 0), 0);
		guest_stream_close(&listener);
	}
	expect_removed(path);
	free(path);
}
END_TEST

/* CloseStream while the socket is being made. */
START_TEST(closed_while_opening)
{
	char *path = scratch_path("hasty");
	struct unix_listen wanted = {.type = UNIX_STREAM, .path = {path, strlen(path)}};
	unsigned char bytes[256];

	for (int i = 0; i < 100; i++) {
		struct guest_stream listener = new_stream();
		struct stream_open open = {PROTOCOL_UNIX_LISTEN, PROTOCOL_VERSION, {bytes, 0}};
		open.payload.len =
			wire_encode_body(&unix_listen_message, &wanted, bytes, sizeof(bytes));
		guest_send(&guest, &listener.pipe, listener.slot, &stream_open_message, &open);
		guest_stream_close(&listener);
	}
	struct guest_stream listener = new_stream();
	expect_equal(unix_listen_at(&listener, path, UNIX_STREAM, 0, 0), 0);
	guest_stream_close(&listener);
	expect_removed(path);
	free(path);
}
END_TEST

START_TEST(only_a_dead_socket_is_replaced)
{
	struct guest_stream listener = new_stream();
	char *path = scratch_path("stale");

	native_unix_leave_dead(path);
	expect_equal(unix_listen_error(path, UNIX_STREAM), EADDRINUSE);
	expect_equal(unix_listen_at(&listener, path, UNIX_STREAM, UNIX_LISTEN_REPLACE, 0), 0);
	close(native_unix_connect(path, UNIX_STREAM));
	/* Its own is alive, of whatever type. */
	struct guest_stream second = new_stream();
	expect_equal(
		unix_listen_at(&second, path, UNIX_SEQPACKET, UNIX_LISTEN_REPLACE, 0), EADDRINUSE);
	guest_stream_close(&second);
	guest_stream_close(&listener);
	expect_removed(path);

	/* A live one is not disturbed, not even by a connection. */
	int native = native_unix_listen(path, UNIX_STREAM, 5);
	struct pollfd readable = {.fd = native, .events = POLLIN};
	listener = new_stream();
	expect_equal(
		unix_listen_at(&listener, path, UNIX_STREAM, UNIX_LISTEN_REPLACE, 0), EADDRINUSE);
	guest_stream_close(&listener);
	expect_equal(poll(&readable, 1, 0), 0);
	close(native);
	unlink(path);

	file_write(path, "text", 4);
	listener = new_stream();
	expect_equal(
		unix_listen_at(&listener, path, UNIX_STREAM, UNIX_LISTEN_REPLACE, 0), EADDRINUSE);
	guest_stream_close(&listener);
	expect_equal(access(path, F_OK), 0);
	unlink(path);
	free(path);
}
END_TEST

/* One that waits for a socket that seems to be alive to prove dead, and is closed meanwhile. */
START_TEST(closed_while_hoping)
{
	char *path = scratch_path("alive");
	int native = native_unix_listen(path, UNIX_STREAM, 5);
	struct unix_listen wanted = {
		.type = UNIX_STREAM,
		.flags = UNIX_LISTEN_REPLACE,
		.path = {path, strlen(path)},
	};
	unsigned char bytes[256];

	for (int i = 0; i < 300; i++) { /* more than there are slots */
		struct guest_stream listener = new_stream();
		struct stream_open open = {PROTOCOL_UNIX_LISTEN, PROTOCOL_VERSION, {bytes, 0}};
		open.payload.len =
			wire_encode_body(&unix_listen_message, &wanted, bytes, sizeof(bytes));
		guest_send(&guest, &listener.pipe, listener.slot, &stream_open_message, &open);
		if (i % 50 == 0)
			sleep_ms(30);
		guest_stream_close(&listener);
		if (i % 100 == 0)
			sleep_ms(50);
	}
	close(native_unix_connect(path, UNIX_STREAM));
	close(native);
	unlink(path);
	free(path);
}
END_TEST

/* ---- a full backlog */

START_TEST(a_full_backlog_is_waited_for)
{
	struct guest_stream stream = new_stream();
	struct unix_connected peer;
	char *path = scratch_path("full");
	int native[2], listener = native_unix_listen_full(path, native);
	uint64_t start = clock_ms();

	expect_equal(unix_connect_at(&stream, path, UNIX_STREAM, 200, &peer), ETIMEDOUT);
	uint64_t waited = clock_ms() - start;
	expect(waited >= 200 && waited < 4000);
	guest_stream_close(&stream);
	close(listener);
	close(native[0]);
	close(native[1]);
	free(path);
}
END_TEST

static void *accept_late(void *argument)
{
	int listener = *(int *)argument;

	sleep_ms(100);
	close(accept(listener, NULL, NULL));
	return NULL;
}

START_TEST(room_in_the_backlog_is_found)
{
	struct guest_stream stream = new_stream();
	struct unix_connected peer;
	char *path = scratch_path("freed"), byte;
	int native[2], listener = native_unix_listen_full(path, native);
	pthread_t thread;

	expect_equal(pthread_create(&thread, NULL, accept_late, &listener), 0);
	expect_equal(unix_connect_at(&stream, path, UNIX_STREAM, 0, &peer), 0);
	pthread_join(thread, NULL);
	int fd = accept(listener, NULL, NULL);
	expect_equal(send(fd, "!", 1, 0), 1);
	expect_equal(read_some(&stream, &byte, 1), 1);
	free(path);
}
END_TEST

/* A listener that dies takes those with it who wait for it, as it does for a blocking connect. */
START_TEST(a_listener_that_ends_refuses_who_waits)
{
	struct guest_stream stream = new_stream();
	char *path = scratch_path("dies");
	int native[2], listener = native_unix_listen_full(path, native);
	struct unix_connect wanted = {.type = UNIX_STREAM, .path = {path, strlen(path)}};
	unsigned char bytes[256];
	struct stream_open open = {PROTOCOL_UNIX_CONNECT, PROTOCOL_VERSION, {bytes, 0}};
	struct frame frame;

	open.payload.len = wire_encode_body(&unix_connect_message, &wanted, bytes, sizeof(bytes));
	guest_send(&guest, &stream.pipe, stream.slot, &stream_open_message, &open);
	sleep_ms(50);
	expect_equal(ring_peek(&stream.pipe.in).len, 0);
	close(listener);
	guest_receive(&guest, &stream.pipe, stream.slot, &frame, bytes, sizeof(bytes));
	expect_equal(frame.error, ECONNREFUSED);
	free(path);
}
END_TEST

/* The guest gives up: nothing is left of it, and the end of the monitor does not wait. */
START_TEST(a_guest_that_waits_can_close)
{
	struct guest_stream stream = new_stream();
	char *path = scratch_path("given-up");
	int native[2];
	struct unix_connect wanted = {.type = UNIX_STREAM, .path = {path, strlen(path)}};
	unsigned char bytes[256];
	struct stream_open open = {PROTOCOL_UNIX_CONNECT, PROTOCOL_VERSION, {bytes, 0}};

	native_unix_listen_full(path, native);
	open.payload.len = wire_encode_body(&unix_connect_message, &wanted, bytes, sizeof(bytes));
	guest_send(&guest, &stream.pipe, stream.slot, &stream_open_message, &open);
	sleep_ms(20);
	guest_stream_close(&stream);
	/* The slot comes back. */
	for (int i = 0; i < 300; i++) {
		stream = new_stream();
		guest_stream_close(&stream);
	}
	free(path);
}
END_TEST

/* ---- what is no request */

START_TEST(hostile_requests)
{
	struct guest_stream listener = new_stream(), stream = new_stream(), bad = new_stream();
	struct unix_incoming in;
	char *path = scratch_path("hostile");
	struct unix_listen wanted = {.type = UNIX_STREAM, .path = {path, strlen(path)}};
	static const struct wire_message unknown = {"Unknown", 999, 0, NULL, 0};

	/* Payloads: too short, types and flags that do not exist, no path. */
	expect_equal(guest_stream_open(&bad, PROTOCOL_UNIX_LISTEN, NULL, NULL, NULL, NULL), EPROTO);
	guest_stream_close(&bad);
	bad = new_stream();
	expect_equal(
		guest_stream_open(&bad, PROTOCOL_UNIX_CONNECT, NULL, NULL, NULL, NULL), EPROTO);
	guest_stream_close(&bad);
	expect_equal(unix_listen_error(path, SOCK_DGRAM), ESOCKTNOSUPPORT);
	expect_equal(unix_connect_error(path, 0), ESOCKTNOSUPPORT);
	expect_equal(unix_connect_error(path, UINT32_MAX), ESOCKTNOSUPPORT);
	expect_equal(unix_connect_error("", UNIX_STREAM), EINVAL);
	bad = new_stream();
	expect_equal(unix_listen_at(&bad, path, UNIX_STREAM, ~0u, 0), EINVAL);
	guest_stream_close(&bad);
	expect(access(path, F_OK) != 0);

	/* On a listener: a stream that was used, one that never was, and what nobody knows. */
	wanted.mode = UINT32_MAX;
	expect_equal(guest_stream_open(&listener, PROTOCOL_UNIX_LISTEN, &unix_listen_message,
			     &wanted, NULL, NULL),
		0);
	post(&listener, &stream);
	post(&listener, &stream);
	expect_equal(unix_incoming_at(&listener, &in).error, EBUSY);
	stream.id += 1ull << 32;
	post(&listener, &stream);
	expect_equal(unix_incoming_at(&listener, &in).error, ENOENT);
	guest_send(&guest, &listener.pipe, listener.slot, &unknown, NULL);
	expect_equal(unix_incoming_at(&listener, &in).type, STREAM_UNSUPPORTED);
	/* An impossible frame ends it, and its file. */
	write_all(&listener, (unsigned char[16]){3}, 16);
	expect_equal(read_some(&listener, &(char){0}, 1), -EPROTO);
	expect_removed(path);
	free(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unix");
	TCase *served = tcase_create("served"), *abstract = tcase_create("abstract");

	tcase_add_checked_fixture(served, unix_guest_setup, tcp_guest_teardown);
	tcase_add_checked_fixture(abstract, grant_abstract, tcp_guest_teardown);
	tcase_set_timeout(served, 30);
	tcase_add_loop_test(served, bytes_flow_both_ways_and_half_close, 0, 2);
	tcase_add_loop_test(served, guest_half_closes_first, 0, 2);
	tcase_add_loop_test(served, close_right_after_write_loses_nothing, 0, 2);
	tcase_add_loop_test(served, a_peer_that_left_bytes_unread_is_an_error_behind_its_own, 0, 2);
	tcase_add_loop_test(served, a_failing_guest_closes, 0, 2);
	tcase_add_loop_test(served, what_nobody_reads_is_dropped, 0, 2);
	tcase_add_test(served, both_sides_know_who_it_is);
	tcase_add_test(abstract, abstract_names);
	tcase_add_test(served, the_file_has_its_mode_and_goes_with_the_listener);
	tcase_add_test(served, another_file_of_that_name_stays);
	tcase_add_test(served, a_path_is_free_right_after_close);
	tcase_add_test(served, closed_while_opening);
	tcase_add_test(served, closed_while_hoping);
	tcase_add_test(served, only_a_dead_socket_is_replaced);
	tcase_add_test(served, a_full_backlog_is_waited_for);
	tcase_add_test(served, room_in_the_backlog_is_found);
	tcase_add_test(served, a_listener_that_ends_refuses_who_waits);
	tcase_add_test(served, a_guest_that_waits_can_close);
	tcase_add_test(served, hostile_requests);
	suite_add_tcase(suite, served);
	suite_add_tcase(suite, abstract);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
