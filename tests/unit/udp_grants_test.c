/* Whom a guest's UDP sockets may send to, and hear: what is granted, what is published, and who has
 * asked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/reach.h"
#include "monitor/stats.h"
#include "monitor/udp_peers.h"
#include "tests/lib/suite.h"
#include "tests/lib/udp_guest.h"

static struct udp_got got;
static const struct endpoint wild = {.family = ENDPOINT_IPV4};
static const struct endpoint wild6 = {.family = ENDPOINT_IPV6};

/* A socket of the guest, or why there is none. */
static int try_bind(const struct endpoint *local, uint32_t flags, struct guest_stream *ret_stream,
	struct endpoint *ret_local)
{
	struct udp_bind wanted = {.local = *local, .flags = flags};
	struct udp_bound bound;
	int error;

	*ret_stream = udp_stream(UDP_RING);
	error = udp_open(ret_stream, &wanted, &bound);
	if (error == 0)
		*ret_local = bound.local;
	return error;
}

static int try_connect(const struct endpoint *local, const struct endpoint *remote)
{
	struct udp_bind wanted = {.local = *local, .remote = *remote};
	struct guest_stream stream = udp_stream(UDP_RING);
	struct udp_bound bound;
	int error = udp_open(&stream, &wanted, &bound);

	guest_stream_close(&stream);
	return error;
}

static struct endpoint with_port(struct endpoint endpoint, uint16_t port)
{
	endpoint.port = port;
	return endpoint;
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
	uint16_t port = 0;

	close(udp_native(AF_INET, &port));
	return port;
}

START_TEST(nothing_is_granted)
{
	struct guest_stream stream;
	struct endpoint local, native;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	uint64_t refused, to_host;

	udp_guest_start((const char *const[]){NULL});
	native = loopback(port);
	expect_equal(try_bind(&native, 0, &stream, &local), EACCES);
	native = with_port(wild, port);
	expect_equal(try_bind(&native, 0, &stream, &local), EACCES);
	native = loopback(0);
	expect_equal(try_bind(&native, 0, &stream, &local), EACCES);
	native = loopback(port);
	expect_equal(try_connect(&wild, &native), EACCES);
	expect_equal(try_connect(&(struct endpoint){0}, &native), EACCES);
	/* A client socket is of no use, but to be told so. */
	expect_equal(try_bind(&wild, 0, &stream, &local), 0);
	for (int i = 0; i < 3; i++)
		udp_put(&stream, &native, NULL, "x", 1);
	udp_get(&stream, &got);
	for (uint32_t count = got.error.count; count < 3; count += got.error.count)
		udp_get(&stream, &got);
	expect_equal(got.error.error, EACCES);
	expect(same_endpoint(&got.error.remote, &native));
	udp_native_hears_nothing(fd);
	native = with_port(loopback(0), local.port);
	udp_native_send(fd, &native, "y", 1);
	udp_get_nothing(&stream);
	close(fd);
	guest_stream_close(&stream);
	tcp_guest_teardown();
	refused = stats.datagrams_refused;
	to_host = stats.datagrams_to_host;
	expect_equal(refused, 4);
	expect_equal(to_host, 0);
	expect_equal(stats.grants_refused, 8);
}
END_TEST

/* ::ffff:a.b.c.d needs the grant of a.b.c.d, and is that. */
START_TEST(mapped_addresses_are_ipv4)
{
	struct guest_stream stream;
	struct endpoint local,
		mapped = {.family = ENDPOINT_IPV6, .addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port), heard;

	udp_guest_start((const char *const[]){"127.0.0.1:*", NULL});
	expect_equal(try_bind(&mapped, 0, &stream, &local), 0);
	expect_equal(local.family, ENDPOINT_IPV4);
	mapped.port = port;
	udp_put(&stream, &mapped, NULL, &port, sizeof(port));
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), sizeof(port));
	mapped.addr[15] = 2;
	udp_put(&stream, &mapped, NULL, "x", 1);
	local = loopback(port);
	local.addr[3] = 2;
	udp_get_error(&stream, EACCES, 1, &local);
	expect_equal(try_connect(&wild6, &mapped), EACCES);
	close(fd);
	guest_stream_close(&stream);
	tcp_guest_teardown();
}
END_TEST

/* A server hears everybody, and may answer; nobody else. */
START_TEST(a_server_answers_who_asked)
{
	struct guest_stream stream;
	char grant[64];
	uint16_t port[2] = {0, 0}, server_port = free_port();
	int fd[2] = {udp_native(AF_INET, &port[0]), udp_native(AF_INET, &port[1])}, heard;
	struct endpoint native[2] = {loopback(port[0]), loopback(port[1])}, server, local;

	snprintf(grant, sizeof(grant), "127.0.0.1:%u:listen", server_port);
	udp_guest_start((const char *const[]){grant, NULL});
	server = loopback(server_port);
	expect_equal(try_bind(&server, 0, &stream, &local), 0);
	udp_put(&stream, &native[0], NULL, "unasked", 7);
	udp_get_error(&stream, EACCES, 1, &native[0]);
	udp_native_send(fd[0], &server, "ask", 3);
	udp_get_bytes(&stream, &got, "ask", 3);
	udp_put(&stream, &native[1], NULL, "unasked", 7);
	udp_put(&stream, &native[0], NULL, "yes", 3);
	expect_equal(udp_native_receive(fd[0], &heard, sizeof(heard), NULL), 3);
	udp_get_error(&stream, EACCES, 1, &native[1]);
	udp_native_hears_nothing(fd[1]);
	/* Written as IPv6, and with bytes that mean nothing, it is the same peer. */
	struct endpoint mapped = {.family = ENDPOINT_IPV6,
		.port = port[0],
		.addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
	udp_put(&stream, &mapped, NULL, "yes", 3);
	expect_equal(udp_native_receive(fd[0], &heard, sizeof(heard), NULL), 3);
	native[0].addr[11] = 7;
	udp_put(&stream, &native[0], NULL, "yes", 3);
	expect_equal(udp_native_receive(fd[0], &heard, sizeof(heard), NULL), 3);
	native[0].addr[11] = 0;
	/* The right to answer is that socket's. */
	guest_stream_close(&stream);
	expect_equal(try_connect(&wild, &native[0]), EACCES);
	close(fd[0]);
	close(fd[1]);
	tcp_guest_teardown();
}
END_TEST

/* A client hears whom it may send to, and no stranger: neither before it has sent nor after. */
/* A server may trust an address: a guest has none that it may not listen on. */
START_TEST(a_client_chooses_no_source_without_a_grant)
{
	struct guest_stream stream;
	struct endpoint source = loopback(0), any = {.family = ENDPOINT_IPV4}, local, from;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	struct endpoint native = loopback(port);
	char byte;

	udp_guest_start((const char *const[]){"127.0.0.1:*:connect", "127.0.0.3:53:listen", NULL});
	expect_equal(try_bind(&any, 0, &stream, &local), 0);
	source.addr[3] = 2;
	udp_put(&stream, &native, &source, "x", 1);
	udp_get_error(&stream, EADDRNOTAVAIL, 1, &native);
	udp_native_hears_nothing(fd);
	source.addr[3] = 3;
	for (int i = 0; i < 3; i++) {
		udp_put(&stream, &native, &source, "x", 1);
		expect_equal(udp_native_receive(fd, &byte, 1, &from), 1);
		expect_equal(from.addr[3], 3);
	}
	guest_stream_close(&stream);
	close(fd);
	tcp_guest_teardown();
}
END_TEST

START_TEST(a_client_hears_no_stranger)
{
	struct guest_stream stream;
	char grant[64];
	uint16_t port[2] = {0, 0};
	int fd[2] = {udp_native(AF_INET, &port[0]), udp_native(AF_INET, &port[1])}, heard;
	struct endpoint native = loopback(port[0]), local, to;

	snprintf(grant, sizeof(grant), "127.0.0.1:%u:connect", port[0]);
	udp_guest_start((const char *const[]){grant, NULL});
	expect_equal(try_bind(&native, 0, &stream, &local), EACCES);
	expect_equal(try_bind(&wild, 0, &stream, &local), 0);
	to = with_port(native, local.port);
	udp_native_send(fd[1], &to, "stranger", 8);
	udp_native_send(fd[0], &to, "friend", 6);
	udp_get_bytes(&stream, &got, "friend", 6);
	udp_put(&stream, &native, NULL, "x", 1);
	expect_equal(udp_native_receive(fd[0], &heard, sizeof(heard), NULL), 1);
	for (int i = 0; i < 3; i++)
		udp_native_send(fd[1], &to, "stranger", 8);
	udp_native_send(fd[0], &to, "friend", 6);
	udp_get_bytes(&stream, &got, "friend", 6);
	udp_get_nothing(&stream);
	close(fd[0]);
	close(fd[1]);
	guest_stream_close(&stream);
	tcp_guest_teardown();
	expect_equal(stats.datagrams_refused, 4);
}
END_TEST

START_TEST(a_published_port_is_elsewhere)
{
	struct guest_stream stream;
	char publish[64];
	uint16_t port = 0, host_port = free_port();
	int fd = udp_native(AF_INET, &port), heard;
	struct endpoint native = loopback(port), host, from, local,
			guest_port = with_port(wild, 53);

	tcp_guest_prepare();
	snprintf(publish, sizeof(publish), "127.0.0.1:%u:53/udp", host_port);
	udp_publish(publish);
	guest_end_start(&guest);
	host = loopback(host_port);
	/* Of UDP alone. */
	expect_equal(try_bind(&guest_port, 0, &stream, &local), 0);
	expect(same_endpoint(&local, &host));
	udp_native_send(fd, &host, "ask", 3);
	udp_get_bytes(&stream, &got, "ask", 3);
	udp_put(&stream, &native, &got.datagram.local, "yes", 3);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), &from), 3);
	expect(same_endpoint(&from, &host));
	close(fd);
	guest_stream_close(&stream);
	tcp_guest_teardown();
}
END_TEST

/* ---- both families */

START_TEST(a_dual_stack_socket_shows_ipv4_as_such)
{
	struct guest_stream stream;
	uint16_t port[2] = {0, 0};
	int fd[2] = {udp_native(AF_INET, &port[0]), udp_native(AF_INET6, &port[1])}, heard;
	struct endpoint native[2] = {loopback(port[0]), loopback6(port[1])}, local, from;

	udp_guest_start((const char *const[]){"any:*:listen", NULL});
	local = with_port(wild6, free_port());
	expect_equal(try_bind(&local, 0, &stream, &local), 0);
	for (int i = 0; i < 2; i++) {
		struct endpoint to = i == 0 ? loopback(local.port) : loopback6(local.port);
		udp_native_send(fd[i], &to, &i, sizeof(i));
		udp_get_bytes(&stream, &got, &i, sizeof(i));
		expect(same_endpoint(&got.datagram.remote, &native[i]));
		expect(same_endpoint(&got.datagram.local, &to));
		udp_put(&stream, &got.datagram.remote, &got.datagram.local, &i, sizeof(i));
		expect_equal(udp_native_receive(fd[i], &heard, sizeof(heard), &from), sizeof(i));
		expect(same_endpoint(&from, &to));
		close(fd[i]);
	}
	guest_stream_close(&stream);
	tcp_guest_teardown();
}
END_TEST

/* IPv4 is not heard: nobody is there, says ICMP. */
static void expect_v6only(const struct endpoint *asked, uint32_t flags)
{
	struct guest_stream stream;
	struct endpoint local, to;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);

	expect_equal(try_bind(asked, flags, &stream, &local), 0);
	to = loopback(local.port);
	udp_native_send(fd, &to, "x", 1);
	udp_get_nothing(&stream);
	close(fd);
	fd = udp_native(AF_INET, &local.port); /* the port is free there */
	close(fd);
	port = 0;
	fd = udp_native(AF_INET6, &port);
	to = loopback6(local.port);
	udp_native_send(fd, &to, "y", 1);
	udp_get_bytes(&stream, &got, "y", 1);
	close(fd);
	guest_stream_close(&stream);
}

START_TEST(v6only_as_asked)
{
	struct endpoint asked = with_port(wild6, free_port());

	udp_guest_start((const char *const[]){"any:*:listen", NULL});
	expect_v6only(&asked, UDP_V6ONLY);
	tcp_guest_teardown();
}
END_TEST

START_TEST(v6only_where_ipv4_is_not_granted)
{
	struct endpoint asked = with_port(wild6, free_port());

	udp_guest_start((const char *const[]){"[::]:*:listen", NULL});
	expect_v6only(&asked, 0);
	tcp_guest_teardown();
}
END_TEST

START_TEST(bad_binds_are_told)
{
	struct endpoint none = {0}, strange = {.family = 9, .port = 1}, taken, foreign, local;
	struct guest_stream stream;
	struct udp_bind wanted = {.local = wild, .host = {"example.org", 11}};
	struct udp_bound bound;
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);

	udp_guest_start((const char *const[]){"any:*", "127.0.0.1:*", "192.0.2.1:*", NULL});
	expect_equal(try_bind(&none, 0, &stream, &local), EINVAL);
	expect_equal(try_bind(&wild, 4, &stream, &local), EINVAL);
	expect_equal(try_bind(&strange, 0, &stream, &local), EACCES);
	taken = loopback(port);
	expect_equal(try_bind(&taken, 0, &stream, &local), EADDRINUSE);
	foreign = (struct endpoint){.family = ENDPOINT_IPV4, .port = 9, .addr = {192, 0, 2, 1}};
	expect_equal(try_bind(&foreign, 0, &stream, &local), EADDRNOTAVAIL);
	/* A name beside an address. */
	wanted.remote = taken;
	stream = udp_stream(UDP_RING);
	expect_equal(udp_open(&stream, &wanted, &bound), EPROTO);
	/* Families that differ. */
	expect_equal(
		try_connect(&(struct endpoint){.family = ENDPOINT_IPV4, .addr = {127, 0, 0, 1}},
			&(struct endpoint){
				.family = ENDPOINT_IPV6, .port = 9, .addr = {0x20, 1, 0x0d, 0xb8}}),
		EAFNOSUPPORT);
	close(fd);
	tcp_guest_teardown();
}
END_TEST

START_TEST(broadcast_takes_a_grant_and_the_flag)
{
	struct endpoint all = {.family = ENDPOINT_IPV4, .port = 9, .addr = {255, 255, 255, 255}},
			local;
	struct guest_stream stream;

	udp_guest_start((const char *const[]){"any:*:connect", NULL});
	expect_equal(try_bind(&wild, UDP_BROADCAST, &stream, &local), 0);
	udp_put(&stream, &all, NULL, "x", 1);
	udp_get_error(&stream, EACCES, 1, &all);
	guest_stream_close(&stream);
	tcp_guest_teardown();
	udp_guest_start((const char *const[]){"255.255.255.255:*:connect", NULL});
	expect_equal(try_bind(&wild, 0, &stream, &local), 0);
	udp_put(&stream, &all, NULL, "x", 1);
	udp_get_error(&stream, EACCES, 1, &all);
	guest_stream_close(&stream);
	tcp_guest_teardown();
}
END_TEST

/* ---- the table of peers */

static struct endpoint numbered(unsigned number)
{
	struct endpoint peer = {.family = ENDPOINT_IPV4, .port = 1, .addr = {127, 0, 0, 2}};

	peer.addr[1] = (unsigned char)(number >> 16);
	peer.addr[2] = (unsigned char)(number >> 8);
	peer.addr[3] = (unsigned char)number;
	peer.port = 7;
	return peer;
}

START_TEST(peers_are_bounded_and_the_last_remain)
{
	struct grants grants = {0};
	struct reach *reach;
	unsigned last = 0, count = 100000, answered = 0;

	expect_equal(reach_create(&reach, &grants, NULL), 0);
	struct udp_peers *peers = udp_peers_create(reach, true);
	for (unsigned i = 0; i < count; i++) {
		struct endpoint peer = numbered(i);
		expect(udp_peers_may_hear(peers, &peer, 1));
		expect(udp_peers_may_send(peers, &peer, 1));
	}
	for (unsigned i = 0; i < count; i++) {
		struct endpoint peer = numbered(i);
		/* To ask is to use: ask those only that must be known, and then what is left. */
		if (i >= count - UDP_PEERS_SERVER / 4)
			last += udp_peers_may_send(peers, &peer, 1);
	}
	for (unsigned i = 0; i < count / 2; i++) {
		struct endpoint peer = numbered(i);
		answered += udp_peers_may_send(peers, &peer, 1);
	}
	/* 128 fall into 512 sets of 8: that one set has more than 8 of them is less likely than
	 * 1e-9. */
	expect_equal(last, UDP_PEERS_SERVER / 4);
	expect_equal(answered, 0);
	udp_peers_destroy(peers);
	reach_destroy(reach);
}
END_TEST

START_TEST(what_is_granted_is_asked_once_a_second)
{
	struct grants grants = {0};
	struct endpoint peer = loopback(7);
	struct reach *reach;
	char error[200];

	expect_equal(reach_create(&reach, &grants, NULL), 0);
	struct udp_peers *peers = udp_peers_create(reach, false);
	expect(!udp_peers_may_hear(peers, &peer, 5000));
	expect_equal(grants_add_udp(&grants, "127.0.0.1:7", error, sizeof(error)), 0);
	expect(!udp_peers_may_send(peers, &peer, 5000 + UDP_PEERS_FRESH_MS - 1));
	expect(udp_peers_may_send(peers, &peer, 5000 + UDP_PEERS_FRESH_MS));
	expect(udp_peers_may_hear(peers, &peer, 5000 + UDP_PEERS_FRESH_MS));
	udp_peers_destroy(peers);
	reach_destroy(reach);
	grants_free(&grants);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("udp_grants");
	TCase *tcase = tcase_create("udp_grants");

	tcase_set_timeout(tcase, 20);
	tcase_add_test(tcase, nothing_is_granted);
	tcase_add_test(tcase, mapped_addresses_are_ipv4);
	tcase_add_test(tcase, a_server_answers_who_asked);
	tcase_add_test(tcase, a_client_chooses_no_source_without_a_grant);
	tcase_add_test(tcase, a_client_hears_no_stranger);
	tcase_add_test(tcase, a_published_port_is_elsewhere);
	tcase_add_test(tcase, a_dual_stack_socket_shows_ipv4_as_such);
	tcase_add_test(tcase, v6only_as_asked);
	tcase_add_test(tcase, v6only_where_ipv4_is_not_granted);
	tcase_add_test(tcase, bad_binds_are_told);
	tcase_add_test(tcase, broadcast_takes_a_grant_and_the_flag);
	tcase_add_test(tcase, peers_are_bounded_and_the_last_remain);
	tcase_add_test(tcase, what_is_granted_is_asked_once_a_second);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
