/* How UDP sockets end, and guests that break rules on them: neither hurts anybody else, and no
 * descriptor stays. */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/trim.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/lib/udp_guest.h"

static uint64_t seed;
static struct udp_got got;

static void setup(void)
{
	udp_guest_start((const char *const[]){"127.0.0.1:*", NULL});
}

static int descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

/* The end of the monitor's direction, past whatever comes before it: 0, or the errno with which it
 * failed. */
static long end_of(struct guest_stream *stream)
{
	char bytes[4096];
	long len;

	while ((len = read_some(stream, bytes, sizeof(bytes))) > 0)
		;
	return len;
}

/* A socket that still does what it should. */
static void expect_served(void)
{
	struct guest_stream stream;
	struct endpoint any = loopback(0), native;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;

	native = loopback(port);
	any = udp_bound_at(&stream, &any);
	udp_put(&stream, &native, NULL, "x", 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	udp_native_send(fd, &any, "y", 1);
	udp_get_bytes(&stream, &got, "y", 1);
	close(fd);
	guest_stream_close(&stream);
}

/* ---- the end */

START_TEST(what_was_sent_before_the_end_is_sent)
{
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port), any = loopback(0);

	for (int round = 0; round < 20; round++) {
		struct guest_stream stream;
		udp_bound_at(&stream, &any);
		for (int i = 0; i < 200; i++)
			udp_put(&stream, &native, NULL, &i, sizeof(i));
		if (round % 2 == 0) {
			finish(&stream);
			expect_equal(end_of(&stream), 0);
		}
		guest_stream_close(&stream);
		for (int i = 0; i < 200; i++) {
			expect_equal(
				udp_native_receive(fd, &heard, sizeof(heard), NULL), sizeof(heard));
			expect_equal(heard, i);
		}
	}
	close(fd);
}
END_TEST

/* A port that nobody is given who asks for any: such a one would be taken by another between two
 * uses. */
static uint16_t port_of_no_range(void)
{
	uint16_t port = (uint16_t)(20000 + getpid() % 12000);
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

	do
		address.sin_port = htons(++port);
	while ((result = bind(fd, (struct sockaddr *)&address, sizeof(address))) < 0 &&
		errno == EADDRINUSE);
	expect_equal(result, 0);
	close(fd);
	return port;
}

/* Once the monitor's direction has ended the port is free. */
START_TEST(the_port_is_free_at_the_end)
{
	struct guest_stream stream;
	struct endpoint local = loopback(port_of_no_range());

	udp_bound_at(&stream, &local);
	for (int i = 0; i < 50; i++) {
		finish(&stream);
		expect_equal(end_of(&stream), 0);
		guest_stream_close(&stream);
		udp_bound_at(&stream, &local);
	}
	guest_stream_close(&stream);
}
END_TEST

START_TEST(no_descriptor_stays)
{
	struct guest_stream stream;
	struct endpoint any = loopback(0);
	int before;

	expect_served();
	udp_bound_at(&stream, &any);
	before = descriptors();
	for (int i = 0; i < 100; i++) {
		struct guest_stream other;
		uint16_t port = 0;
		int fd = udp_native(AF_INET, &port);
		struct endpoint local = udp_bound_at(&other, &any);
		udp_native_send(fd, &local, "unread", 6);
		if (i % 2 == 0)
			finish(&other);
		else
			ring_fail(&other.pipe.out, EIO);
		guest_flush(&guest, &other.pipe, other.slot);
		expect_equal(end_of(&other), 0);
		guest_stream_close(&other);
		close(fd);
	}
	expect_equal(descriptors(), before);
	guest_stream_close(&stream);
}
END_TEST

/* The guest goes, with sockets in every state. */
START_TEST(the_guest_goes)
{
	struct guest_stream waits, full = udp_stream(4096);
	struct udp_bind wanted = {.local = loopback(0)};
	struct udp_bound bound;
	static char bytes[3000];
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);

	udp_bound_at(&waits, &wanted.local);
	expect_equal(udp_open(&full, &wanted, &bound), 0);
	for (int i = 0; i < 10; i++)
		udp_native_send(fd, &bound.local, bytes, sizeof(bytes));
	usleep(20000);
	close(fd);
}
END_TEST

START_TEST(a_guest_that_reads_no_more_goes_on_sending)
{
	struct guest_stream stream;
	struct endpoint any = loopback(0), local = udp_bound_at(&stream, &any), native;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;

	native = loopback(port);
	ring_stop(&stream.pipe.in);
	guest_flush(&guest, &stream.pipe, stream.slot);
	for (int i = 0; i < 100; i++) {
		udp_native_send(fd, &local, "unheard", 7);
		udp_put(&stream, &native, NULL, &i, sizeof(i));
		udp_put(&stream, NULL, NULL, "x", 1); /* an error that nobody is told of */
		expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), sizeof(heard));
	}
	close(fd);
	guest_stream_close(&stream);
	expect_served();
}
END_TEST

/* Memory of its ring goes back to the host when it is idle, and it goes on. */
START_TEST(an_idle_ring_is_given_back)
{
	struct guest_stream stream;
	struct endpoint any = loopback(0), local = udp_bound_at(&stream, &any);
	static char bytes[60000];
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	long before = guest_arena_held(&guest);

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			udp_native_send(fd, &local, bytes, sizeof(bytes));
		usleep(50000);
		expect(guest_arena_held(&guest) >= before + 3 * (long)sizeof(bytes) - TRIM_KEPT);
		for (int i = 0; i < 3; i++)
			udp_get_bytes(&stream, &got, bytes, sizeof(bytes));
		expect(guest_arena_comes_down_to(&guest, before + TRIM_KEPT + 4096));
	}
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* Errors of many kinds, and no room for them: sending goes on, and eight kinds are kept. */
START_TEST(errors_that_find_no_room)
{
	struct guest_stream stream = udp_stream(4096);
	struct udp_bind wanted = {.local = loopback(0)};
	struct udp_bound bound;
	static char bytes[4096 - UDP_HEADER_LEN];
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port);
	uint32_t told = 0;

	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	udp_native_send(fd, &bound.local, bytes, sizeof(bytes));
	usleep(20000); /* the ring is full then */
	for (unsigned i = 0; i < 40; i++) {
		struct endpoint bad = {.family = ENDPOINT_IPV4,
			.port = (uint16_t)(100 + i % 20),
			.addr = {192, 0, 2, 1}};
		udp_put(&stream, &bad, NULL, "x", 1);
		udp_put(&stream, &native, NULL, "x", 1);
		expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	}
	udp_get_bytes(&stream, &got, bytes, sizeof(bytes));
	for (unsigned i = 0; i < 8; i++) {
		udp_get(&stream, &got);
		expect_equal(got.frame.type, UDP_SEND_ERROR);
		expect_equal(got.error.error, EACCES);
		expect_equal(got.error.remote.port, 100 + i);
		told += got.error.count;
	}
	expect_equal(told, 16);
	udp_get_nothing(&stream);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* ---- hostile guests */

static void write_raw(
	struct guest_stream *stream, uint32_t length, uint16_t type, uint32_t id, size_t len)
{
	unsigned char bytes[512] = {0};
	struct frame frame = {.length = length, .type = type, .request_id = id};

	frame_encode(&frame, bytes);
	write_all(stream, bytes, len);
}

START_TEST(bodies_that_are_too_short)
{
	struct guest_stream stream;
	struct endpoint any = loopback(0), nobody = {0}, native;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;

	native = loopback(port);
	udp_bound_at(&stream, &any);
	for (uint32_t len = FRAME_HEADER_LEN; len < UDP_HEADER_LEN; len += 5) {
		write_raw(&stream, len, UDP_DATAGRAM, 7, len);
		udp_get_error(&stream, EPROTO, 1, &nobody);
	}
	/* In the midst of good ones. */
	udp_put(&stream, &native, NULL, "a", 1);
	write_raw(&stream, UDP_HEADER_LEN - 1, UDP_DATAGRAM, 0, UDP_HEADER_LEN - 1);
	udp_put(&stream, &native, NULL, "b", 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	udp_get_error(&stream, EPROTO, 1, &nobody);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(types_that_nobody_knows)
{
	struct guest_stream stream;
	struct endpoint any = loopback(0), native;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;

	native = loopback(port);
	udp_bound_at(&stream, &any);
	udp_put(&stream, &native, NULL, "a", 1);
	write_raw(&stream, 100, 99, 1234, 100);
	write_raw(&stream, 100, 0, 1, 100);               /* an answer to nothing */
	write_raw(&stream, 100, UDP_SEND_ERROR, 77, 100); /* the monitor's to send */
	udp_put(&stream, &native, NULL, "b", 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	for (uint32_t id = 1234; id != 0; id = id == 1234 ? 77 : 0) {
		udp_get(&stream, &got);
		expect_equal(got.frame.type, STREAM_UNSUPPORTED);
		expect_equal(got.frame.error, ENOTSUP);
		expect_equal(got.frame.request_id, id);
	}
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* Told of nothing while there is no room to answer, and then of all. */
START_TEST(unknown_types_wait_for_room)
{
	struct guest_stream stream = udp_stream(4096);
	struct udp_bind wanted = {.local = loopback(0)};
	struct udp_bound bound;
	static char bytes[4096 - UDP_HEADER_LEN];
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port);

	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	udp_native_send(fd, &bound.local, bytes, sizeof(bytes));
	usleep(20000);
	write_raw(&stream, FRAME_HEADER_LEN, 99, 5, FRAME_HEADER_LEN);
	udp_put(&stream, &native, NULL, "b", 1);
	udp_native_hears_nothing(fd);
	udp_get_bytes(&stream, &got, bytes, sizeof(bytes));
	udp_get(&stream, &got);
	expect_equal(got.frame.request_id, 5);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(lengths_that_cannot_be)
{
	static const uint32_t lengths[] = {
		0, 1, FRAME_HEADER_LEN - 1, UDP_RING + 1, FRAME_LEN_MAX, UINT32_MAX};
	struct endpoint any = loopback(0);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct guest_stream stream;
		udp_bound_at(&stream, &any);
		write_raw(&stream, lengths[i], UDP_DATAGRAM, 0, 100);
		expect_equal(end_of(&stream), -EPROTO);
		guest_stream_close(&stream);
	}
	expect_served();
}
END_TEST

/* Whole frames of nothing but chance: families, addresses, lengths, types. */
START_TEST(frames_of_chance)
{
	struct random random = {seed};
	struct guest_stream stream;
	struct endpoint any = loopback(0);
	static unsigned char body[400];

	udp_bound_at(&stream, &any);
	for (int i = 0; i < 5000; i++) {
		static const uint16_t types[] = {UDP_DATAGRAM, UDP_SEND_ERROR, STREAM_OPEN, 0, 99};
		struct frame frame = {.type = types[random_len(&random, 4)],
			.flags = (uint16_t)random_below(&random, 4),
			.request_id = (uint32_t)random_next(&random)};
		for (size_t at = 0; at < sizeof(body); at++)
			body[at] = (unsigned char)random_next(&random);
		body[0] =
			(unsigned char)random_below(&random, 8); /* a family more often than not */
		body[1] = 0;
		frame.length = FRAME_HEADER_LEN + (uint32_t)random_len(&random, sizeof(body));
		unsigned char header[FRAME_HEADER_LEN];
		frame_encode(&frame, header);
		write_all(&stream, header, sizeof(header));
		write_all(&stream, body, frame.length - FRAME_HEADER_LEN);
		while (ring_peek(&stream.pipe.in).len != 0)
			udp_get(&stream, &got);
	}
	expect_equal(ring_reserve(&stream.pipe.out).end, 0);
	guest_stream_close(&stream);
	expect_served();
}
END_TEST

/* Positions that cannot be, of either ring, while the socket waits. */
START_TEST(rings_that_lie)
{
	struct endpoint any = loopback(0);

	for (int i = 0; i < 2; i++) {
		struct guest_stream stream;
		eventfd_t one = 1;
		udp_bound_at(&stream, &any);
		if (i == 0)
			store_relaxed(&stream.pipe.out.shared->written, 1ull << 40);
		else
			store_relaxed(&stream.pipe.in.shared->read, 1ull << 40);
		bell_post(arena_bell(guest.arena, PIPE_GUEST), stream.slot);
		expect_equal(write(guest.doorbell_fd, &one, 8), 8);
		expect_equal(end_of(&stream), -EPROTO);
		guest_stream_close(&stream);
	}
	expect_served();
}
END_TEST

/* ---- a frame that changes while it is looked at */

struct changer {
	unsigned char *bytes; /* of the guest's ring: frames one behind the other */
	size_t frame_len;
	atomic_bool ending;
};

/* Header and body of frames that may be under way: lengths, types, families, addresses. */
static void *change(void *argument)
{
	struct changer *changer = argument;
	uint32_t state = 1;

	while (!atomic_load(&changer->ending)) {
		state = state * 1664525 + 1013904223;
		size_t frame = (state >> 8) % 64 * changer->frame_len;
		_Atomic unsigned char *at = (_Atomic unsigned char *)changer->bytes + frame +
					    (state >> 24) % UDP_HEADER_LEN;
		unsigned char before = atomic_load_explicit(at, memory_order_relaxed);
		atomic_store_explicit(at, (unsigned char)state, memory_order_relaxed);
		atomic_store_explicit(at, before, memory_order_relaxed);
	}
	return NULL;
}

/* A native socket on a port that differs from this one in its low byte, which is one that changes.
 */
static int neighbour_of(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (unsigned i = 1; i < 256; i++) {
		in.sin_port = htons((uint16_t)(port ^ i));
		if (bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0)
			return fd;
	}
	ck_abort_msg("no port beside %u is free", port);
}

static void fill_ring(struct guest_stream *stream, const struct endpoint *native)
{
	static const char bytes[100];
	unsigned char encoded[UDP_HEADER_LEN + sizeof(bytes)];
	const struct udp_frame datagram = {.remote = *native, .data = {bytes, sizeof(bytes)}};
	const struct frame frame = {.request_id = 0};

	wire_encode(&udp_datagram_message, &frame, &datagram, encoded, sizeof(encoded));
	for (int i = 0; i < 500 && ring_writable_len(&stream->pipe.out) >= sizeof(encoded); i++) {
		ring_write(&stream->pipe.out, encoded, sizeof(encoded));
		guest_flush(&guest, &stream->pipe, stream->slot);
	}
}

/* What was checked is what is used: nothing goes to where nothing is granted. */
START_TEST(frames_that_change_after_the_commit)
{
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), neighbour = neighbour_of(port);
	struct endpoint native = loopback(port), any = loopback(0);
	static char bytes[65536];
	char grant[64];
	unsigned came = 0;

	snprintf(grant, sizeof(grant), "127.0.0.1:%u:connect", port);
	udp_guest_start((const char *const[]){grant, "127.0.0.1:*:listen", NULL});
	for (int round = 0; round < 30; round++) {
		struct guest_stream stream;
		struct changer changer = {.frame_len = UDP_HEADER_LEN + 100};
		pthread_t thread;
		udp_bound_at(&stream, &any);
		/* By the second copy of the ring. */
		changer.bytes = ring_reserve(&stream.pipe.out).data + UDP_RING;
		pthread_create(&thread, NULL, change, &changer);
		fill_ring(&stream, &native);
		atomic_store(&changer.ending, true);
		pthread_join(thread, NULL);
		guest_stream_close(&stream);
		while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			came++;
	}
	udp_native_hears_nothing(neighbour);
	expect(came > 0);
	close(fd);
	close(neighbour);
	tcp_guest_teardown();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("udp_end");
	TCase *tcase = tcase_create("udp_end"), *changing = tcase_create("changing");

	seed = random_seed();
	tcase_add_checked_fixture(tcase, setup, tcp_guest_teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, what_was_sent_before_the_end_is_sent);
	tcase_add_test(tcase, the_port_is_free_at_the_end);
	tcase_add_test(tcase, no_descriptor_stays);
	tcase_add_test(tcase, the_guest_goes);
	tcase_add_test(tcase, a_guest_that_reads_no_more_goes_on_sending);
	tcase_add_test(tcase, an_idle_ring_is_given_back);
	tcase_add_test(tcase, errors_that_find_no_room);
	tcase_add_test(tcase, bodies_that_are_too_short);
	tcase_add_test(tcase, types_that_nobody_knows);
	tcase_add_test(tcase, unknown_types_wait_for_room);
	tcase_add_test(tcase, lengths_that_cannot_be);
	tcase_add_test(tcase, frames_of_chance);
	tcase_add_test(tcase, rings_that_lie);
	tcase_set_timeout(changing, 30);
	tcase_add_test(changing, frames_that_change_after_the_commit);
	suite_add_tcase(suite, tcase);
	suite_add_tcase(suite, changing);
	return suite_run(suite);
}
