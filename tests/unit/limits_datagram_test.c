/* --limit where boundaries are kept: UDP sockets and packets of UNIX sockets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/lib/udp_guest.h"
#include "tests/lib/unix_guest.h"

#define RATE    (512u << 10) /* bytes in a second */
#define LEN     8192u
#define COUNT   40u /* so many of them: 0.6 s */
#define WANT_MS (COUNT * LEN * 1000u / RATE)

static char bytes[LEN];

static void setup(void)
{
	tcp_guest_prepare();
	udp_grant("127.0.0.1:*");
}

static void teardown(void)
{
	tcp_guest_teardown();
}

/* The bucket is full at the start, and what is owed at the end is not waited for. */
static void expect_paced(uint64_t start)
{
	uint64_t took = clock_ms() - start;

	ck_assert_msg(
		took >= WANT_MS / 2 && took < WANT_MS + 3000, "%llu ms", (unsigned long long)took);
}

START_TEST(datagrams_are_sent_at_the_rate)
{
	struct guest_stream stream;
	uint16_t port;
	int fd = udp_native(AF_INET, &port);
	struct endpoint to = loopback(port), from;
	udp_connected_to(&stream, &to);
	uint64_t start = clock_ms();
	for (unsigned i = 0; i < COUNT; i++)
		udp_put(&stream, NULL, NULL, bytes, sizeof(bytes));
	for (unsigned i = 0; i < COUNT; i++)
		expect_equal(udp_native_receive(fd, bytes, sizeof(bytes), &from), LEN);
	expect_paced(start);
	close(fd);
}
END_TEST

START_TEST(datagrams_are_received_at_the_rate)
{
	struct guest_stream stream;
	static struct udp_got got;
	uint16_t port;
	int fd = udp_native(AF_INET, &port);
	struct endpoint local = loopback(0);
	local = udp_bound_at(&stream, &local);
	uint64_t start = clock_ms();
	for (unsigned i = 0; i < COUNT; i++) {
		udp_native_send(fd, &local, bytes, sizeof(bytes));
		udp_get_bytes(&stream, &got, bytes, sizeof(bytes));
	}
	expect_paced(start);
	close(fd);
}
END_TEST

/* Of many datagrams that nobody reads the queue keeps what it may, and the others are counted. */
START_TEST(the_queue_is_limited)
{
	struct guest_stream stream = udp_stream(4096);
	static struct udp_got got;
	uint32_t came = 0, dropped = 0;
	uint16_t port;
	int fd = udp_native(AF_INET, &port);
	struct udp_bind wanted = {.local = loopback(0)};
	struct udp_bound bound;

	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	for (unsigned i = 0; i < 300; i++)
		udp_native_send(fd, &bound.local, bytes, 1000);
	sleep_ms(300); /* the kernel may deliver them later */
	do {
		udp_get(&stream, &got);
		came++;
		dropped += got.datagram.dropped;
		usleep(1000);
	} while (ring_peek(&stream.pipe.in).len != 0);
	ck_assert_msg(came < 40, "%u were kept", came);
	udp_native_send(fd, &bound.local, "last", 4);
	udp_get_bytes(&stream, &got, "last", 4);
	expect_equal(came + dropped + got.datagram.dropped, 300);
	close(fd);
}
END_TEST

START_TEST(packets_are_paced)
{
	char *path = scratch_path("paced");
	struct guest_stream listener, stream;
	uint32_t length;

	int fd = unix_accepted_pair(&listener, path, UNIX_SEQPACKET, &stream);
	uint64_t start = clock_ms();
	for (unsigned i = 0; i < COUNT; i++) {
		packet_put(&stream, bytes, sizeof(bytes));
		expect_equal(recv(fd, bytes, sizeof(bytes), 0), LEN);
	}
	expect_paced(start);
	start = clock_ms();
	for (unsigned i = 0; i < COUNT; i++) {
		expect_equal(send(fd, bytes, sizeof(bytes), 0), LEN);
		expect_equal(packet_get(&stream, bytes, sizeof(bytes), &length), LEN);
	}
	expect_paced(start);
	close(fd);
	free(path);
}
END_TEST

START_TEST(unix_connections_are_limited)
{
	char *path = scratch_path("limited");
	int fd = native_unix_listen(path, UNIX_STREAM, 8);

	expect_equal(unix_connect_error(path, UNIX_STREAM), 0);
	expect_equal(unix_connect_error(path, UNIX_STREAM), EAGAIN);
	sleep_ms(1100);
	expect_equal(unix_connect_error(path, UNIX_STREAM), 0);
	close(fd);
	free(path);
}
END_TEST

static void setup_rates(void)
{
	setup();
	guest.config.limits.send_rate = guest.config.limits.receive_rate = RATE;
	guest_end_start(&guest);
}

static void setup_queue(void)
{
	setup();
	guest.config.limits.datagram_queue = 8192;
	guest_end_start(&guest);
}

static void setup_unix(void)
{
	unix_guest_prepare();
	guest.config.limits.send_rate = guest.config.limits.receive_rate = RATE;
	guest.config.limits.connect_rate = 1;
	guest_end_start(&guest);
}

int main(void)
{
	Suite *suite = suite_create("limits of datagrams");
	TCase *rates = tcase_create("rates"), *queue = tcase_create("queue"),
	      *packets = tcase_create("unix");

	tcase_add_checked_fixture(rates, setup_rates, teardown);
	tcase_set_timeout(rates, 30);
	tcase_add_test(rates, datagrams_are_sent_at_the_rate);
	tcase_add_test(rates, datagrams_are_received_at_the_rate);
	suite_add_tcase(suite, rates);
	tcase_add_checked_fixture(queue, setup_queue, teardown);
	tcase_set_timeout(queue, 30);
	tcase_add_test(queue, the_queue_is_limited);
	suite_add_tcase(suite, queue);
	tcase_add_checked_fixture(packets, setup_unix, teardown);
	tcase_set_timeout(packets, 30);
	tcase_add_test(packets, packets_are_paced);
	tcase_add_test(packets, unix_connections_are_limited);
	suite_add_tcase(suite, packets);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
