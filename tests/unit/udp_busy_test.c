/*
 * A host that takes datagrams unwillingly: some of a batch, none now, an error for this one or
 * that; and a guest that commits at the worst moment. Linked so that calls of sendmmsg and of
 * ring_await_data pass through here.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/lib/udp_guest.h"

#define COUNT 3000

static uint64_t seed;
static struct udp_got got;
static struct random chance; /* the I/O thread's */
static atomic_uint calls, batches;
static atomic_int error_for; /* the errno of the datagram whose number is 10 * n */
static atomic_int icmp_once; /* an errno that the next call meets, whatever it sends */

int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);

static int number_of(const struct mmsghdr *message)
{
	int number = 1;

	if (message->msg_hdr.msg_iov->iov_len >= sizeof(number))
		memcpy(&number, message->msg_hdr.msg_iov->iov_base, sizeof(number));
	return number;
}

/* As the kernel's: an error is told only when it is the first's. */
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	int error = atomic_exchange(&icmp_once, 0);
	unsigned most = 1 + (unsigned)random_below(&chance, count);

	atomic_fetch_add(&calls, 1);
	if (count > 1)
		atomic_fetch_add(&batches, 1);
	if (error == 0 && random_below(&chance, 4) == 0)
		error = EAGAIN;
	for (unsigned i = 0; error == 0 && i < most; i++) {
		int told = atomic_load(&error_for);
		if (told != 0 && number_of(&messages[i]) % 10 == 0) {
			most = i;
			if (i == 0)
				error = told;
		}
	}
	if (error != 0) {
		errno = error;
		return -1;
	}
	return __real_sendmmsg(fd, messages, most, flags);
}

static void setup(void)
{
	chance = (struct random){seed};
	udp_guest_start((const char *const[]){"127.0.0.1:*", NULL});
}

/* All that are not failed come, in their order. */
static void send_all(
	struct guest_stream *stream, const struct endpoint *remote, int fd, bool some_fail)
{
	int heard;

	for (int part = 0; part < COUNT; part += 100) {
		for (int i = part; i < part + 100; i++)
			udp_put(stream, remote, NULL, &i, sizeof(i));
		for (int i = part; i < part + 100; i++) {
			if (some_fail && i % 10 == 0)
				continue;
			expect_equal(
				udp_native_receive(fd, &heard, sizeof(heard), NULL), sizeof(heard));
			expect_equal(heard, i);
		}
	}
}

START_TEST(all_are_sent_once_and_in_order)
{
	struct guest_stream stream;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	struct endpoint native = loopback(port), any = loopback(0);

	udp_bound_at(&stream, &any);
	send_all(&stream, &native, fd, false);
	expect(atomic_load(&batches) > 0);
	expect(atomic_load(&calls) > COUNT / 32);
	udp_native_hears_nothing(fd);
	udp_get_nothing(&stream);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* Each of those that fail is told, on sockets with a peer and without; others are sent. */
static void errors_are_told(struct guest_stream *stream, const struct endpoint *remote,
	const struct endpoint *native, int fd)
{
	uint32_t told = 0;

	atomic_store(&error_for, ENOBUFS);
	send_all(stream, remote, fd, true);
	while (told < COUNT / 10) {
		udp_get(stream, &got);
		expect_equal(got.frame.type, UDP_SEND_ERROR);
		expect_equal(got.error.error, ENOBUFS);
		expect(same_endpoint(&got.error.remote, native));
		told += got.error.count;
	}
	expect_equal(told, COUNT / 10);
	udp_native_hears_nothing(fd);
	udp_get_nothing(stream);
	atomic_store(&error_for, 0);
}

START_TEST(what_fails_is_told_and_passed_over)
{
	struct guest_stream stream;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	struct endpoint native = loopback(port), any = loopback(0);

	udp_bound_at(&stream, &any);
	errors_are_told(&stream, &native, &native, fd);
	guest_stream_close(&stream);
	udp_connected_to(&stream, &native);
	errors_are_told(&stream, NULL, &native, fd);
	guest_stream_close(&stream);
	close(fd);
}
END_TEST

/* What the network says of an earlier one is no reason to lose this one. */
START_TEST(an_icmp_error_takes_no_datagram_with_it)
{
	struct guest_stream stream;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port);

	udp_connected_to(&stream, &native);
	for (int i = 0; i < 100; i++) {
		atomic_store(&icmp_once, EHOSTUNREACH);
		udp_put(&stream, NULL, NULL, &i, sizeof(i));
		expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), sizeof(heard));
		expect_equal(heard, i);
		udp_get_error(&stream, EHOSTUNREACH, 1, &native);
	}
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* The guest closes while the host takes nothing: all is sent when it does. */
START_TEST(closed_while_the_host_takes_nothing)
{
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port), any = loopback(0);

	for (int round = 0; round < 50; round++) {
		struct guest_stream stream;
		udp_bound_at(&stream, &any);
		for (int i = 0; i < 40; i++)
			udp_put(&stream, &native, NULL, &i, sizeof(i));
		guest_stream_close(&stream);
		for (int i = 0; i < 40; i++) {
			expect_equal(
				udp_native_receive(fd, &heard, sizeof(heard), NULL), sizeof(heard));
			expect_equal(heard, i);
		}
	}
	close(fd);
}
END_TEST

/* ---- what the guest commits just before the monitor announces that it waits */

static struct guest_stream hasty;
static unsigned char committed[FRAME_HEADER_LEN];
static atomic_bool armed, done;

void __real_ring_await_data(struct ring_consumer *c, size_t len);
void __wrap_ring_await_data(struct ring_consumer *c, size_t len);

/* On the I/O thread; the guest's end is nobody else's at that moment. */
void __wrap_ring_await_data(struct ring_consumer *c, size_t len)
{
	/* Armed, the stream is there. */
	if (atomic_load(&armed) && c->shared == hasty.pipe.out.shared) {
		atomic_store(&armed, false);
		ring_write(&hasty.pipe.out, committed, sizeof(committed));
		expect(!ring_wake_consumer(&hasty.pipe.out));
		atomic_store(&done, true);
	}
	__real_ring_await_data(c, len);
}

/* A socket to which this header comes as the monitor begins to wait. */
static void begin_hasty(const struct frame *header, const struct endpoint *native, int fd)
{
	struct endpoint any = loopback(0);
	int heard;

	udp_bound_at(&hasty, &any);
	udp_put(&hasty, native, NULL, "x", 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	usleep(20000);
	frame_encode(header, committed);
	atomic_store(&armed, true);
	udp_put(&hasty, native, NULL, "y", 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	while (!atomic_load(&done))
		usleep(1000);
	usleep(20000);
}

/* It is dropped, and what comes behind it is announced anew. */
START_TEST(an_answer_to_nothing_costs_no_wake)
{
	const struct frame header = {.length = FRAME_HEADER_LEN, .flags = FRAME_REPLY};
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port);

	begin_hasty(&header, &native, fd);
	udp_put(&hasty, &native, NULL, "z", 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	close(fd);
	guest_stream_close(&hasty);
}
END_TEST

/* The rest of its frame is announced. */
START_TEST(a_header_alone_costs_no_wake)
{
	const struct frame header = {.length = UDP_HEADER_LEN + 2, .type = UDP_DATAGRAM};
	unsigned char rest[UDP_HEADER_LEN + 2 - FRAME_HEADER_LEN];
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port);
	const struct udp_frame datagram = {.remote = native, .data = {"zz", 2}};

	begin_hasty(&header, &native, fd);
	expect_equal(wire_encode_body(&udp_datagram_message, &datagram, rest, sizeof(rest)),
		sizeof(rest));
	write_all(&hasty, rest, sizeof(rest));
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 2);
	close(fd);
	guest_stream_close(&hasty);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("udp_busy");
	TCase *tcase = tcase_create("udp_busy");

	seed = random_seed();
	tcase_add_checked_fixture(tcase, setup, tcp_guest_teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, all_are_sent_once_and_in_order);
	tcase_add_test(tcase, what_fails_is_told_and_passed_over);
	tcase_add_test(tcase, an_icmp_error_takes_no_datagram_with_it);
	tcase_add_test(tcase, closed_while_the_host_takes_nothing);
	tcase_add_test(tcase, an_answer_to_nothing_costs_no_wake);
	tcase_add_test(tcase, a_header_alone_costs_no_wake);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
