/*
 * The monitor's UDP sockets, driven from the guest's end of the pipes: what arrives, where it is
 * said to come from, and what is told of what does not. Who may send to whom is udp_grants_test's,
 * what a guest does wrong udp_end_test's.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/log.h"
#include "monitor/stats.h"
#include "tests/lib/suite.h"
#include "tests/lib/udp_guest.h"

static const char *const both[] = {"127.0.0.0/8:*", "[::1]:*", NULL};
static struct udp_got got;

static void setup(void)
{
	udp_guest_start(both);
}

static const size_t lengths[] = {0, 1, 1472, 65507};
static unsigned char bytes[100000]; /* longer than any datagram */

static void fill(unsigned char with)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(with + i * 7);
}

/* ---- bytes */

static void boundaries(int family, const struct endpoint *any)
{
	struct guest_stream stream;
	static unsigned char heard[65536];
	uint16_t port = 0;
	int fd = udp_native(family, &port);
	struct endpoint native = family == AF_INET ? loopback(port) : loopback6(port), from;
	struct endpoint local = udp_bound_at(&stream, any);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fill((unsigned char)i);
		udp_native_send(fd, &local, bytes, lengths[i]);
		udp_get_bytes(&stream, &got, bytes, lengths[i]);
		expect(same_endpoint(&got.datagram.remote, &native));
		expect(same_endpoint(&got.datagram.local, &local));
		expect_equal(got.datagram.dropped, 0);
		udp_put(&stream, &native, NULL, bytes, lengths[i]);
		expect_equal(udp_native_receive(fd, heard, sizeof(heard), &from), lengths[i]);
		expect(memcmp(heard, bytes, lengths[i]) == 0);
		expect(same_endpoint(&from, &local));
	}
	close(fd);
	guest_stream_close(&stream);
}

START_TEST(lengths_from_nothing_to_the_longest)
{
	struct endpoint ipv4 = loopback(0), ipv6 = loopback6(0);

	boundaries(AF_INET, &ipv4);
	boundaries(AF_INET6, &ipv6);
}
END_TEST

START_TEST(many_of_many_lengths_keep_their_order)
{
	struct guest_stream stream;
	static unsigned char heard[65536];
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	struct endpoint native = loopback(port), any = loopback(0);
	struct endpoint local = udp_bound_at(&stream, &any);
	size_t len = 1;

	for (int i = 0; i < 2000; i++) {
		fill((unsigned char)i);
		len = (len * 31 + 17) % (i % 50 == 0 ? 60000 : 1400);
		udp_put(&stream, &native, NULL, bytes, len);
		expect_equal(udp_native_receive(fd, heard, sizeof(heard), NULL), len);
		expect(memcmp(heard, bytes, len) == 0);
		udp_native_send(fd, &local, bytes, len);
		udp_native_send(fd, &local, &i, sizeof(i));
		udp_get_bytes(&stream, &got, bytes, len);
		udp_get_bytes(&stream, &got, &i, sizeof(i));
	}
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* Many at once, both ways: batches. */
START_TEST(bursts_arrive_whole)
{
	struct guest_stream stream;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port), any = loopback(0);
	struct endpoint local = udp_bound_at(&stream, &any);

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 150; i++)
			udp_native_send(fd, &local, &i, sizeof(i));
		for (int i = 0; i < 150; i++)
			udp_get_bytes(&stream, &got, &i, sizeof(i));
		for (int i = 0; i < 150; i++)
			udp_put(&stream, &native, NULL, &i, sizeof(i));
		for (int i = 0; i < 150; i++) {
			expect_equal(
				udp_native_receive(fd, &heard, sizeof(heard), NULL), sizeof(heard));
			expect_equal(heard, i);
		}
	}
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* ---- addresses */

START_TEST(each_datagram_has_its_addresses)
{
	struct guest_stream stream;
	struct endpoint any = {.family = ENDPOINT_IPV4}, native, from;
	uint16_t port[3] = {0, 0, 0};
	int fd[3], heard;
	struct endpoint local = udp_bound_at(&stream, &any);

	any.port = local.port;
	expect(same_endpoint(&local, &any));
	for (int i = 0; i < 3; i++) {
		struct endpoint to = {.family = ENDPOINT_IPV4,
			.port = local.port,
			.addr = {127, 0, 0, (unsigned char)(5 + i)}};
		fd[i] = udp_native(AF_INET, &port[i]);
		udp_native_send(fd[i], &to, &i, sizeof(i));
		udp_get_bytes(&stream, &got, &i, sizeof(i));
		native = loopback(port[i]);
		expect(same_endpoint(&got.datagram.remote, &native));
		expect(same_endpoint(&got.datagram.local, &to));
		/* From where it was asked. */
		udp_put(&stream, &got.datagram.remote, &got.datagram.local, &i, sizeof(i));
		expect_equal(udp_native_receive(fd[i], &heard, sizeof(heard), &from), sizeof(i));
		expect_equal(heard, i);
		expect(same_endpoint(&from, &to));
	}
	for (int i = 2; i >= 0; i--) {
		struct endpoint to = loopback(port[i]);
		udp_put(&stream, &to, NULL, &i, sizeof(i));
		udp_native_receive(fd[i], &heard, sizeof(heard), NULL);
		expect_equal(heard, i);
		close(fd[i]);
	}
	guest_stream_close(&stream);
}
END_TEST

START_TEST(the_source_is_the_sockets)
{
	struct guest_stream stream;
	struct endpoint any = loopback(0), other = loopback(0), ipv6 = loopback6(0), foreign;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	struct endpoint native = loopback(port), wild = {.family = ENDPOINT_IPV4};

	udp_bound_at(&stream, &any);
	other.addr[3] = 2;
	udp_put(&stream, &native, &other, "x", 1);
	udp_get_error(&stream, EADDRNOTAVAIL, 1, &native);
	guest_stream_close(&stream);
	udp_bound_at(&stream, &wild);
	udp_put(&stream, &native, &ipv6, "x", 1);
	udp_get_error(&stream, EAFNOSUPPORT, 1, &native);
	foreign = (struct endpoint){.family = ENDPOINT_IPV4, .addr = {192, 0, 2, 1}};
	udp_put(&stream, &native, &foreign, "x", 1);
	udp_get(&stream, &got);
	expect_equal(got.error.error, EADDRNOTAVAIL);
	udp_native_hears_nothing(fd);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(connected_sockets_have_one_peer)
{
	struct guest_stream stream;
	uint16_t port = 0, other_port = 0;
	int fd = udp_native(AF_INET, &port), other = udp_native(AF_INET, &other_port), heard;
	struct endpoint native = loopback(port), stranger = loopback(other_port), from;
	struct endpoint local = udp_connected_to(&stream, &native);

	udp_put(&stream, NULL, NULL, "ping", 4);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), &from), 4);
	expect(same_endpoint(&from, &local));
	udp_native_send(other, &local, "stranger", 8);
	udp_native_send(fd, &local, "pong", 4);
	udp_get_bytes(&stream, &got, "pong", 4);
	expect(same_endpoint(&got.datagram.remote, &native));
	udp_put(&stream, &stranger, NULL, "x", 1);
	udp_get_error(&stream, EISCONN, 1, &stranger);
	udp_native_hears_nothing(other);
	close(fd);
	close(other);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(ipv6_connected)
{
	struct guest_stream stream;
	uint16_t port = 0;
	int fd = udp_native(AF_INET6, &port), heard;
	struct endpoint native = loopback6(port), from;
	struct endpoint local = udp_connected_to(&stream, &native);

	udp_put(&stream, NULL, NULL, "ping", 4);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), &from), 4);
	expect(same_endpoint(&from, &local));
	udp_native_send(fd, &local, "pong", 4);
	udp_get_bytes(&stream, &got, "pong", 4);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* ---- what is lost, and told */

START_TEST(what_a_ring_cannot_hold_is_cut_off)
{
	struct guest_stream stream = udp_stream(4096);
	struct udp_bind wanted = {.local = loopback(0)};
	struct udp_bound bound;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);

	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	expect_equal(bound.max_datagram, 4096 - UDP_HEADER_LEN);
	fill(1);
	for (int i = -1; i <= 1; i++) {
		size_t len = bound.max_datagram + (size_t)i;
		udp_native_send(fd, &bound.local, bytes, len);
		udp_get(&stream, &got);
		expect_equal(got.datagram.length, len);
		expect_equal(
			got.datagram.data.len, len < bound.max_datagram ? len : bound.max_datagram);
		expect(memcmp(got.datagram.data.data, bytes, got.datagram.data.len) == 0);
	}
	udp_native_send(fd, &bound.local, bytes, 65507);
	udp_get(&stream, &got);
	expect_equal(got.datagram.length, 65507);
	expect_equal(got.datagram.data.len, bound.max_datagram);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

/* A small ring has room for several small ones, and for one after the other of those that fill it.
 */
START_TEST(a_ring_that_is_full_waits_for_the_guest)
{
	struct guest_stream stream = udp_stream(4096);
	struct udp_bind wanted = {.local = loopback(0)};
	struct udp_bound bound;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);

	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	for (int i = 0; i < 60; i++) {
		fill((unsigned char)i);
		udp_native_send(fd, &bound.local, bytes, (size_t)(i % 3) * 1500);
	}
	for (int i = 0; i < 60; i++) {
		if (i % 10 == 0)
			usleep(2000);
		fill((unsigned char)i);
		udp_get_bytes(&stream, &got, bytes, (size_t)(i % 3) * 1500);
		expect_equal(got.datagram.dropped, 0);
	}
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(overflow_is_counted_and_told)
{
	struct guest_stream stream = udp_stream(4096);
	struct udp_bind wanted = {.local = loopback(0), .receive_buffer = 4096};
	struct udp_bound bound;
	uint64_t before = stats.datagrams_dropped;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	uint32_t came = 0, dropped = 0;

	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	for (int i = 0; i < 500; i++)
		udp_native_send(fd, &bound.local, bytes, 500);
	do {
		udp_get(&stream, &got);
		expect_equal(got.datagram.length, 500);
		came++;
		dropped += got.datagram.dropped;
		usleep(1000);
	} while (ring_peek(&stream.pipe.in).len != 0);
	expect(came < 500);
	/* What was lost at the end is told by the next. */
	udp_native_send(fd, &bound.local, "last", 4);
	udp_get_bytes(&stream, &got, "last", 4);
	dropped += got.datagram.dropped;
	expect_equal(came + dropped, 500);
	udp_native_send(fd, &bound.local, "another", 7);
	udp_get_bytes(&stream, &got, "another", 7);
	expect_equal(got.datagram.dropped, 0);
	close(fd);
	guest_stream_close(&stream);
	tcp_guest_teardown();
	expect_equal(stats.datagrams_dropped - before, dropped);
	setup();
}
END_TEST

START_TEST(refused_by_the_peer)
{
	struct guest_stream stream;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port);

	close(fd);
	udp_connected_to(&stream, &native);
	for (int i = 0; i < 2; i++) {
		udp_put(&stream, NULL, NULL, "x", 1);
		udp_get_error(&stream, ECONNREFUSED, 1, &native);
	}
	/* What comes behind the error is sent all the same. */
	fd = udp_native(AF_INET, &port);
	udp_put(&stream, NULL, NULL, "y", 1);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 1);
	close(fd);
	/* Of a socket without a peer nobody hears it. */
	guest_stream_close(&stream);
	udp_bound_at(&stream, &(struct endpoint){.family = ENDPOINT_IPV4});
	udp_put(&stream, &native, NULL, "x", 1);
	udp_get_nothing(&stream);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(too_long_is_told_and_others_are_sent)
{
	struct guest_stream stream;
	static unsigned char heard[65536];
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	struct endpoint native = loopback(port), any = loopback(0), nobody = {0};

	udp_bound_at(&stream, &any);
	udp_put(&stream, &native, NULL, bytes, 65507);
	udp_put(&stream, &native, NULL, bytes, 65508);
	udp_put(&stream, &native, NULL, bytes, 100000);
	udp_put(&stream, &native, NULL, bytes, 2);
	expect_equal(udp_native_receive(fd, heard, sizeof(heard), NULL), 65507);
	expect_equal(udp_native_receive(fd, heard, sizeof(heard), NULL), 2);
	udp_get(&stream, &got);
	expect_equal(got.error.error, EMSGSIZE);
	if (got.error.count == 1)
		udp_get_error(&stream, EMSGSIZE, 1, &native);
	else
		expect_equal(got.error.count, 2);
	/* Nor can these be. */
	udp_put(&stream, NULL, NULL, "x", 1);
	udp_get_error(&stream, EINVAL, 1, &nobody);
	udp_put(&stream, &any, NULL, "x", 1);
	udp_get_error(&stream, EINVAL, 1, &any);
	any = loopback6(port);
	udp_put(&stream, &any, NULL, "x", 1);
	udp_get_error(&stream, EAFNOSUPPORT, 1, &any);
	any.family = 7;
	udp_put(&stream, &any, NULL, "x", 1);
	udp_get_error(&stream, EAFNOSUPPORT, 1, &any);
	close(fd);
	guest_stream_close(&stream);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("udp");
	TCase *tcase = tcase_create("udp");

	tcase_add_checked_fixture(tcase, setup, tcp_guest_teardown);
	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, lengths_from_nothing_to_the_longest);
	tcase_add_test(tcase, many_of_many_lengths_keep_their_order);
	tcase_add_test(tcase, bursts_arrive_whole);
	tcase_add_test(tcase, each_datagram_has_its_addresses);
	tcase_add_test(tcase, the_source_is_the_sockets);
	tcase_add_test(tcase, connected_sockets_have_one_peer);
	tcase_add_test(tcase, ipv6_connected);
	tcase_add_test(tcase, what_a_ring_cannot_hold_is_cut_off);
	tcase_add_test(tcase, a_ring_that_is_full_waits_for_the_guest);
	tcase_add_test(tcase, overflow_is_counted_and_told);
	tcase_add_test(tcase, refused_by_the_peer);
	tcase_add_test(tcase, too_long_is_told_and_others_are_sent);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
