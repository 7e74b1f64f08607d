/*
 * The monitor's UNIX sockets of type SOCK_SEQPACKET: packets stay what they are, whatever their
 * length, and the ends come behind them.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/trim.h"
#include "tests/lib/clock.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/lib/unix_guest.h"

#define RING_PACKET (RING - UNIX_PACKET_HEADER_LEN) /* bytes of a packet that fills a ring */

static unsigned char sent[200000], got[200000];

static int pair(int accepted, struct guest_stream *stream)
{
	static struct guest_stream listener;
	char *path = scratch_path("packets%d", accepted);
	int fd = accepted ? unix_accepted_pair(&listener, path, UNIX_SEQPACKET, stream)
			  : unix_connected_pair(stream, path, UNIX_SEQPACKET);
	struct timeval limit = {.tv_sec = 5};

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (unsigned char)(i * 7 + i / 251);
	unlink(path);
	free(path);
	return fd;
}

static const size_t lengths[] = {0, 1, 7, 8, 100, 4096, 40000, RING_PACKET - 1, RING_PACKET};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

START_TEST(boundaries_are_kept)
{
	struct guest_stream stream;
	uint32_t length;
	int fd = pair(_i, &stream);

	for (size_t i = 0; i < LENGTHS; i++) {
		expect_equal(send(fd, sent + i, lengths[i], 0), (ssize_t)lengths[i]);
		expect_equal(packet_get(&stream, got, sizeof(got), &length), lengths[i]);
		expect_equal(length, lengths[i]);
		expect(memcmp(got, sent + i, lengths[i]) == 0);
	}
	for (size_t i = 0; i < LENGTHS; i++) {
		packet_put(&stream, sent + i, lengths[i]);
		expect_equal(recv(fd, got, sizeof(got), 0), (ssize_t)lengths[i]);
		expect(memcmp(got, sent + i, lengths[i]) == 0);
	}
	close(fd);
}
END_TEST

/* Many at once, of all lengths: the ring is full in between, and the socket too. */
START_TEST(many_stay_in_order)
{
	struct guest_stream stream;
	uint32_t length;
	int fd = pair(_i, &stream);
	unsigned put = 0, taken = 0;
	const unsigned count = 3000;

	while (taken < count) {
		while (put < count &&
			send(fd, sent + put % 100, put * 37 % 5000, MSG_DONTWAIT) >= 0)
			put++;
		for (int i = 0; i < 100 && taken < put; i++, taken++) {
			expect_equal(
				packet_get(&stream, got, sizeof(got), &length), taken * 37 % 5000);
			expect(memcmp(got, sent + taken % 100, length) == 0);
		}
	}
	for (put = taken = 0; taken < count;) {
		for (int i = 0; i < 10 && put < count; i++, put++)
			packet_put(&stream, sent + put % 100, put * 37 % 5000);
		for (int i = 0; i < 10 && taken < put; i++, taken++) {
			expect_equal(recv(fd, got, sizeof(got), 0), taken * 37 % 5000);
			expect(memcmp(got, sent + taken % 100, taken * 37 % 5000) == 0);
		}
	}
	close(fd);
}
END_TEST

static void *send_many(void *argument)
{
	int fd = *(int *)argument;

	for (int i = 0; i < 20000; i++)
		expect_equal(send(fd, sent + i % 100, 8000, 0), 8000);
	return NULL;
}

/* While the ring is nearly full packets come at any moment, and none is cut off for it. */
START_TEST(none_is_cut_off_for_want_of_room)
{
	struct guest_stream stream;
	uint32_t length;
	pthread_t thread;
	int fd = pair(_i, &stream);

	expect_equal(pthread_create(&thread, NULL, send_many, &fd), 0);
	for (int i = 0; i < 20000; i++) {
		expect_equal(packet_get(&stream, got, sizeof(got), &length), 8000);
		expect_equal(length, 8000);
		expect(memcmp(got, sent + i % 100, 8000) == 0);
	}
	pthread_join(thread, NULL);
	close(fd);
}
END_TEST

/* The peer does not read: the guest's packets wait in the ring, and leave when it does. */
START_TEST(a_full_socket_is_waited_for)
{
	struct guest_stream stream;
	int fd = pair(_i, &stream), count = 0;

	for (int idle = 0; idle < 100; idle++) {
		for (; ring_writable_len(&stream.pipe.out) >= 9000; count++, idle = 0)
			packet_put(&stream, sent + count, 8000);
		sleep_ms(1);
	}
	expect(count > 8 && count < 100);
	for (int i = 0; i < count; i++) {
		expect_equal(recv(fd, got, sizeof(got), 0), 8000);
		expect(memcmp(got, sent + i, 8000) == 0);
	}
	close(fd);
}
END_TEST

START_TEST(what_is_cut_off_is_told)
{
	struct guest_stream stream;
	uint32_t length;
	int fd = pair(_i, &stream);

	expect_equal(send(fd, sent, RING_PACKET + 1, 0), RING_PACKET + 1);
	expect_equal(send(fd, sent, sizeof(sent), 0), (ssize_t)sizeof(sent));
	expect_equal(packet_get(&stream, got, sizeof(got), &length), RING_PACKET);
	expect_equal(length, RING_PACKET + 1);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), RING_PACKET);
	expect_equal(length, sizeof(sent));
	expect(memcmp(got, sent, RING_PACKET) == 0);
	expect_equal(send(fd, sent + 5, 10, 0), 10);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 10);
	expect(memcmp(got, sent + 5, 10) == 0);
	close(fd);
}
END_TEST

/* An empty packet is not the end, and the end is no packet. */
START_TEST(the_end_is_behind_the_last_packet)
{
	struct guest_stream stream;
	uint32_t length = 1;
	int fd = pair(_i, &stream);

	expect_equal(send(fd, sent, 3, 0), 3);
	expect_equal(send(fd, sent, 0, 0), 0);
	expect_equal(shutdown(fd, SHUT_WR), 0);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 3);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 0);
	expect_equal(length, 0);
	expect_equal(read_some(&stream, got, 1), 0);
	packet_put(&stream, "still here", 10);
	expect_equal(recv(fd, got, sizeof(got), 0), 10);
	packet_put(&stream, "and gone", 8);
	guest_stream_close(&stream);
	expect_equal(recv(fd, got, sizeof(got), 0), 8);
	expect_equal(recv(fd, got, sizeof(got), 0), 0);
	close(fd);
}
END_TEST

/* What was there before anybody had accepted. */
START_TEST(packets_that_came_early)
{
	struct guest_stream listener = new_stream(), stream = new_stream();
	struct unix_incoming in;
	uint32_t length;
	char *path = scratch_path("early");

	expect_equal(unix_listen_at(&listener, path, UNIX_SEQPACKET, 0, 0), 0);
	int fd = native_unix_connect(path, UNIX_SEQPACKET);
	expect_equal(send(fd, "", 0, 0), 0);
	expect_equal(send(fd, "x", 1, 0), 1);
	expect_equal(send(fd, "", 0, 0), 0);
	close(fd);
	post(&listener, &stream);
	expect_equal(unix_incoming_at(&listener, &in).error, 0);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 0);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 1);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 0);
	expect_equal(read_some(&stream, got, 1), 0);
	free(path);
}
END_TEST

START_TEST(guest_half_closes_first)
{
	struct guest_stream stream;
	uint32_t length;
	int fd = pair(_i, &stream);

	packet_put(&stream, "last", 4);
	finish(&stream);
	expect_equal(recv(fd, got, sizeof(got), 0), 4);
	expect_equal(recv(fd, got, sizeof(got), 0), 0);
	expect_equal(send(fd, "answer", 6, 0), 6);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 6);
	close(fd);
	expect_equal(read_some(&stream, got, 1), 0);
}
END_TEST

/* Linux tells its error first; the guest has the packets first. */
START_TEST(an_error_comes_behind_the_packets_before_it)
{
	struct guest_stream stream;
	uint32_t length;
	int fd = pair(_i, &stream);

	/* More than the ring takes, so that some are in the socket when the error comes. */
	for (int i = 0; i < 4; i++)
		expect_equal(send(fd, sent + i, 40000, 0), 40000);
	packet_put(&stream, "never read", 10);
	sleep_ms(50);
	close(fd);
	for (int i = 0; i < 4; i++) {
		expect_equal(packet_get(&stream, got, sizeof(got), &length), 40000);
		expect(memcmp(got, sent + i, 40000) == 0);
	}
	expect_equal(read_some(&stream, got, 1), -ECONNRESET);
}
END_TEST

START_TEST(a_failing_guest_closes)
{
	struct guest_stream stream;
	int fd = pair(_i, &stream);

	packet_put(&stream, "bytes", 5);
	expect_equal(recv(fd, got, sizeof(got), 0), 5);
	ring_fail(&stream.pipe.out, EIO);
	guest_flush(&guest, &stream.pipe, stream.slot);
	expect_equal(recv(fd, got, sizeof(got), 0), 0);
	expect_equal(read_some(&stream, got, 1), -ECONNABORTED);
	close(fd);
}
END_TEST

START_TEST(what_nobody_reads_is_dropped)
{
	struct guest_stream stream;
	int fd = pair(_i, &stream);

	ring_stop(&stream.pipe.in);
	guest_flush(&guest, &stream.pipe, stream.slot);
	for (int i = 0; i < 200; i++)
		expect_equal(send(fd, sent, 50000, 0), 50000);
	packet_put(&stream, "I still talk", 12);
	expect_equal(recv(fd, got, sizeof(got), 0), 12);
	close(fd);
}
END_TEST

/* The longest packet is told, and is what the socket takes. */
START_TEST(the_longest_packet_is_told)
{
	struct guest_stream listener = new_stream(), small = new_stream(), large;
	struct unix_incoming in;
	uint32_t length;
	char *path = scratch_path("longest");

	expect_equal(guest_stream_new(&guest, &large, 1u << 20, RING), 0);
	expect_equal(unix_listen_at(&listener, path, UNIX_SEQPACKET, 0, 0), 0);
	post(&listener, &small);
	post(&listener, &large);
	int fd = native_unix_connect(path, UNIX_SEQPACKET);
	expect_equal(unix_incoming_at(&listener, &in).error, 0);
	expect_equal(in.packet_max, RING_PACKET);
	int second = native_unix_connect(path, UNIX_SEQPACKET), buffer;
	socklen_t len = sizeof(buffer);
	expect_equal(unix_incoming_at(&listener, &in).error, 0);
	expect_equal(getsockopt(second, SOL_SOCKET, SO_SNDBUF, &buffer, &len), 0);
	expect_equal(in.packet_max, buffer - 32);
	/* As the kernel has it. */
	unsigned char *bytes = calloc(1, (size_t)buffer);
	expect_equal(send(second, bytes, in.packet_max, 0), in.packet_max);
	expect_equal(send(second, bytes, in.packet_max + 1, 0), -1);
	expect_equal(errno, EMSGSIZE);
	free(bytes);
	expect_equal(packet_get(&large, got, sizeof(got), &length), RING_PACKET);
	expect_equal(length, in.packet_max);
	/* One that is longer is answered so, and ends the connection. */
	struct unix_packet packet = {.length = in.packet_max + 1};
	unsigned char head[UNIX_PACKET_HEADER_LEN];
	struct frame frame = {.type = UNIX_PACKET};
	expect_equal(wire_encode(&unix_packet_message, &frame, &packet, head, sizeof(head)),
		sizeof(head));
	frame.length = UNIX_PACKET_HEADER_LEN + packet.length;
	frame_encode(&frame, head);
	write_all(&large, head, sizeof(head));
	for (uint32_t left = packet.length; left != 0;) {
		uint32_t part = left < sizeof(sent) ? left : (uint32_t)sizeof(sent);
		write_all(&large, sent, part);
		left -= part;
	}
	expect_equal(read_some(&large, got, 1), -EMSGSIZE);
	close(fd);
	close(second);
	free(path);
}
END_TEST

/* Neither descriptors nor what else rides along reaches anyone. */
START_TEST(descriptors_are_not_taken)
{
	struct guest_stream stream;
	uint32_t length;
	int fd = pair(_i, &stream), ends[2];
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec span = {sent, 4};
	struct msghdr message = {.msg_iov = &span,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	expect_equal(pipe(ends), 0);
	memcpy(CMSG_DATA(&control.head), &ends[1], sizeof(int));
	expect_equal(sendmsg(fd, &message, 0), 4);
	close(ends[1]);
	expect_equal(packet_get(&stream, got, sizeof(got), &length), 4);
	/* No other writer is left. */
	expect_equal(read(ends[0], got, 1), 0);
	close(fd);
}
END_TEST

/* ---- memory */

static long held(void)
{
	struct stat stat;

	expect_equal(fstat(arena_fd(guest.arena), &stat), 0);
	return (long)stat.st_blocks * 512;
}

/* A ring that was full and has gone quiet is the host's again, but for its beginning. */
START_TEST(an_idle_ring_gives_memory_back)
{
	struct guest_stream stream;
	uint32_t length;
	int fd = pair(_i, &stream);
	long before = held(), idle = before + (long)TRIM_KEPT + 4096;

	for (int round = 0; round < 2; round++) {
		expect_equal(send(fd, sent + round, RING_PACKET, 0), RING_PACKET);
		expect_equal(packet_get(&stream, got, sizeof(got), &length), RING_PACKET);
		expect(memcmp(got, sent + round, RING_PACKET) == 0);
		expect(held() > idle);
		for (int wait = 0; held() > idle && wait < 10000; wait += 20)
			sleep_ms(20);
		expect(held() <= idle);
	}
	close(fd);
}
END_TEST

/* ---- what a guest must not do */

static void write_frame(struct guest_stream *stream, uint16_t type, const void *body, size_t len)
{
	struct frame frame = {
		.length = (uint32_t)(FRAME_HEADER_LEN + len), .type = type, .request_id = 7};
	unsigned char bytes[64];

	frame_encode(&frame, bytes);
	memcpy(bytes + FRAME_HEADER_LEN, body, len);
	write_all(stream, bytes, FRAME_HEADER_LEN + len);
}

START_TEST(a_packet_that_lies_ends_its_stream)
{
	static const struct {
		unsigned char body[16];
		size_t len;
	} lies[] = {
		{{5, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd'}, 12},
		{{3, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd'}, 12},
		{{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 'a'}, 9},
		{{1, 0, 0}, 3},
		{{0}, 0},
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct guest_stream stream;
		int fd = pair(_i, &stream);
		write_frame(&stream, UNIX_PACKET, lies[i].body, lies[i].len);
		expect_equal(read_some(&stream, got, 1), -EPROTO);
		expect_equal(recv(fd, got, sizeof(got), 0), 0);
		close(fd);
		guest_stream_close(&stream);
	}
}
END_TEST

START_TEST(unknown_frames_are_answered)
{
	struct guest_stream stream;
	unsigned char body[16];
	struct frame frame;
	int fd = pair(_i, &stream);

	write_frame(&stream, 999, "", 0);
	guest_receive(&guest, &stream.pipe, stream.slot, &frame, body, sizeof(body));
	expect_equal(frame.type, STREAM_UNSUPPORTED);
	expect_equal(frame.request_id, 7);
	expect_equal(frame.error, ENOTSUP);
	packet_put(&stream, "goes on", 7);
	expect_equal(recv(fd, got, sizeof(got), 0), 7);
	close(fd);
}
END_TEST

START_TEST(impossible_rings_end_their_stream_alone)
{
	struct guest_stream stream, other;
	eventfd_t one = 1;
	int fd = pair(0, &stream), second = pair(1, &other);

	store_relaxed(&stream.pipe.out.shared->written, UINT64_MAX - 5);
	bell_post(arena_bell(guest.arena, PIPE_GUEST), stream.slot);
	expect_equal(write(guest.doorbell_fd, &one, 8), 8);
	expect_equal(recv(fd, got, sizeof(got), 0), 0);
	packet_put(&other, "fine", 4);
	expect_equal(recv(second, got, sizeof(got), 0), 4);
	close(fd);
	close(second);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unix_packet");
	TCase *packets = tcase_create("packets");

	tcase_add_checked_fixture(packets, unix_guest_setup, tcp_guest_teardown);
	tcase_set_timeout(packets, 30);
	tcase_add_loop_test(packets, boundaries_are_kept, 0, 2);
	tcase_add_loop_test(packets, many_stay_in_order, 0, 2);
	tcase_add_loop_test(packets, none_is_cut_off_for_want_of_room, 0, 2);
	tcase_add_loop_test(packets, a_full_socket_is_waited_for, 0, 2);
	tcase_add_loop_test(packets, what_is_cut_off_is_told, 0, 2);
	tcase_add_loop_test(packets, the_end_is_behind_the_last_packet, 0, 2);
	tcase_add_test(packets, packets_that_came_early);
	tcase_add_loop_test(packets, guest_half_closes_first, 0, 2);
	tcase_add_loop_test(packets, an_error_comes_behind_the_packets_before_it, 0, 2);
	tcase_add_loop_test(packets, a_failing_guest_closes, 0, 2);
	tcase_add_loop_test(packets, what_nobody_reads_is_dropped, 0, 2);
	tcase_add_test(packets, the_longest_packet_is_told);
	tcase_add_loop_test(packets, descriptors_are_not_taken, 0, 2);
	tcase_add_loop_test(packets, an_idle_ring_gives_memory_back, 0, 2);
	tcase_add_loop_test(packets, a_packet_that_lies_ends_its_stream, 0, 2);
	tcase_add_loop_test(packets, unknown_frames_are_answered, 0, 2);
	tcase_add_test(packets, impossible_rings_end_their_stream_alone);
	suite_add_tcase(suite, packets);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
