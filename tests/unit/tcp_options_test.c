/* Options of connections and listeners, and this end's address. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/tcp_options.h"
#include "tests/lib/clock.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

static int connect_with(struct tcp_connect *target, struct guest_stream *ret_stream,
	struct tcp_connected *ret_answer)
{
	*ret_stream = new_stream();
	return guest_stream_open(ret_stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, target,
		&tcp_connected_message, ret_answer);
}

static int listen_with(
	const struct tcp_listen *wanted, struct guest_stream *ret_listener, uint16_t *ret_port)
{
	struct tcp_listening answer = {0};

	*ret_listener = new_stream();
	int error = guest_stream_open(ret_listener, PROTOCOL_TCP_LISTEN, &tcp_listen_message,
		wanted, &tcp_listening_message, &answer);
	*ret_port = answer.local.port;
	return error;
}

/* ---- what becomes of the options on a socket */

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	expect_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

START_TEST(options_are_set)
{
	static const struct tcp_options all = {.flags = TCP_OPTION_KEEPALIVE,
		.keepalive_s = 33,
		.keepalive_interval_s = 7,
		.keepalive_count = 5,
		.receive_buffer = 30000,
		.send_buffer = 40000,
		.unacknowledged_ms = 1234};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	expect_equal(tcp_options_set(fd, &all), 0);
	expect(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
	expect(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
	expect_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 33);
	expect_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
	expect_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 5);
	expect_equal(option(fd, SOL_SOCKET, SO_RCVBUF), 60000); /* the kernel doubles them */
	expect_equal(option(fd, SOL_SOCKET, SO_SNDBUF), 80000);
	expect_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1234);
	close(fd);
}
END_TEST

START_TEST(zeros_change_nothing_but_the_delay)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), plain = socket(AF_INET, SOCK_STREAM, 0);

	expect_equal(tcp_options_set(fd, &(struct tcp_options){.flags = TCP_OPTION_DELAY}), 0);
	expect_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	expect_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	expect_equal(option(fd, SOL_SOCKET, SO_RCVBUF), option(plain, SOL_SOCKET, SO_RCVBUF));
	expect_equal(option(fd, SOL_SOCKET, SO_SNDBUF), option(plain, SOL_SOCKET, SO_SNDBUF));
	expect_equal(tcp_options_set(fd, &(struct tcp_options){0}), 0);
	expect(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
	close(fd);
	close(plain);
}
END_TEST

/* The connections of a listener have its options: the kernel's word, which listener and relay rely
 * on. */
START_TEST(connections_inherit)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	static const struct tcp_options some = {.flags = TCP_OPTION_KEEPALIVE,
		.keepalive_s = 44,
		.receive_buffer = 30000,
		.unacknowledged_ms = 99};
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	expect_equal(tcp_options_set(listener, &some), 0);
	expect_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	expect_equal(listen(listener, 1), 0);
	expect_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	expect_equal(connect(client, (struct sockaddr *)&address, len), 0);
	int fd = accept(listener, NULL, NULL);
	expect(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
	expect_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 44);
	expect_equal(option(fd, SOL_SOCKET, SO_RCVBUF), 60000);
	expect_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 99);
	close(fd);
	close(client);
	close(listener);
}
END_TEST

static const struct {
	struct tcp_options options;
	int error;
} refused[] = {
	{{.flags = 4}, EINVAL},
	{{.flags = UINT32_MAX}, EINVAL},
	{{.flags = TCP_OPTION_KEEPALIVE, .keepalive_s = 32768}, EINVAL},
	{{.flags = TCP_OPTION_KEEPALIVE, .keepalive_s = UINT32_MAX}, EINVAL},
	{{.flags = TCP_OPTION_KEEPALIVE, .keepalive_count = 1000}, EINVAL},
	{{.keepalive_s = UINT32_MAX,
		 .receive_buffer = UINT32_MAX,
		 .send_buffer = UINT32_MAX,
		 .unacknowledged_ms = INT32_MAX},
		0},
};

START_TEST(bad_options_are_refused)
{
	struct guest_stream stream, listener;
	struct tcp_connected answer;
	uint16_t port;
	int native = native_listen(&port);
	struct tcp_connect target = {.remote = loopback(port), .options = refused[_i].options};
	struct tcp_listen wanted = {.local = loopback(0), .options = refused[_i].options};

	expect_equal(connect_with(&target, &stream, &answer), refused[_i].error);
	expect_equal(listen_with(&wanted, &listener, &port), refused[_i].error);
	close(native);
}
END_TEST

/* ---- limits to silence */

static void expect_reset(int fd)
{
	char byte;
	ssize_t got;

	while ((got = recv(fd, &byte, 1, 0)) > 0)
		;
	expect_equal(got, -1);
	expect_equal(errno, ECONNRESET);
	close(fd);
}

static void expect_timed_out(struct guest_stream *stream, uint64_t begin, uint64_t idle_ms)
{
	char byte;

	expect_equal(read_some(stream, &byte, 1), -ETIMEDOUT);
	uint64_t took = clock_ms() - begin;
	ck_assert_msg(
		took >= idle_ms && took < idle_ms + 2000, "%llu ms", (unsigned long long)took);
}

START_TEST(an_idle_connection_ends)
{
	struct guest_stream stream;
	struct tcp_connected answer;
	uint16_t port;
	int native = native_listen(&port);
	struct tcp_connect target = {.remote = loopback(port), .options.idle_ms = 200};
	uint64_t begin = clock_ms();

	expect_equal(connect_with(&target, &stream, &answer), 0);
	int fd = accept(native, NULL, NULL);
	expect_timed_out(&stream, begin, 200);
	expect_reset(fd);
	guest_stream_close(&stream);
	close(native);
}
END_TEST

/* Bytes of either side keep it alive. */
START_TEST(a_connection_that_moves_goes_on)
{
	struct guest_stream listener, stream = new_stream();
	struct tcp_listen wanted = {.local = loopback(0), .options.idle_ms = 300};
	struct tcp_incoming in;
	uint16_t port;
	char byte = 'x';

	expect_equal(listen_with(&wanted, &listener, &port), 0);
	post(&listener, &stream);
	int fd = native_connect(port);
	incoming(&listener, &in);
	for (int i = 0; i < 12; i++) {
		sleep_ms(100);
		if (i < 6) {
			expect_equal(send(fd, &byte, 1, 0), 1);
			expect_equal(read_some(&stream, &byte, 1), 1);
		} else {
			write_all(&stream, &byte, 1);
			expect_equal(recv(fd, &byte, 1, 0), 1);
		}
	}
	expect_timed_out(&stream, clock_ms(), 200);
	expect_reset(fd);
	guest_stream_close(&stream);
}
END_TEST

/* A connection that is closed properly leaves no timer behind: teardown would wait for it. */
START_TEST(a_limit_ends_with_its_connection)
{
	struct guest_stream stream;
	struct tcp_connected answer;
	uint16_t port;
	int native = native_listen(&port);
	struct tcp_connect target = {.remote = loopback(port), .options.idle_ms = 60000};
	char byte;

	expect_equal(connect_with(&target, &stream, &answer), 0);
	int fd = accept(native, NULL, NULL);
	finish(&stream);
	expect_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
	expect_equal(read_some(&stream, &byte, 1), 0);
	guest_stream_close(&stream);
	close(native);
}
END_TEST

/* ---- this end */

static void grant_listen(const char *value)
{
	char error[200];

	expect_equal(grants_add_listen(&guest.config.grants, value, error, sizeof(error)), 0);
}

START_TEST(this_end_can_be_chosen)
{
	struct guest_stream stream;
	struct tcp_connected answer;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	uint16_t port;
	int native = native_listen(&port);
	struct tcp_connect target = {.remote = loopback(port), .local = loopback(0)};

	/* What a server trusts is not to be had for nothing, be it under another name. */
	target.local.addr[3] = 77;
	expect_equal(connect_with(&target, &stream, &answer), EACCES);
	target.local = (struct endpoint){
		.family = ENDPOINT_IPV6, .addr = {[10] = 0xff, 0xff, 127, 0, 0, 77}};
	expect_equal(connect_with(&target, &stream, &answer), EACCES);
	grant_listen("127.0.0.77:80");
	target.local = loopback(0);
	target.local.addr[3] = 77;
	target.local.addr[9] = 1; /* means nothing */
	expect_equal(connect_with(&target, &stream, &answer), 0);
	int fd = accept(native, (struct sockaddr *)&peer, &len);
	struct endpoint from = address_from_sockaddr(&peer);
	expect_equal(from.addr[3], 77);
	ck_assert_mem_eq(&from, &answer.local, sizeof(from));
	close(fd);
	close(native);
}
END_TEST

START_TEST(a_port_of_this_end_needs_its_grant)
{
	struct guest_stream stream;
	struct tcp_connected answer;
	uint16_t port, other;
	int native = native_listen(&port), taken = native_listen(&other);
	struct tcp_connect target = {.remote = loopback(port), .local = loopback(other)};
	char error[200], value[32];

	expect_equal(connect_with(&target, &stream, &answer), EADDRINUSE);
	close(taken);
	expect_equal(connect_with(&target, &stream, &answer), 0);
	expect_equal(answer.local.port, other);
	grants_free(&guest.config.grants);
	snprintf(value, sizeof(value), "127.0.0.1:%u", port);
	expect_equal(grants_add_connect(&guest.config.grants, value, error, sizeof(error)), 0);
	target.local.port = (uint16_t)(other ^ 1);
	expect_equal(connect_with(&target, &stream, &answer), EACCES);
	target.local.port = 0;
	expect_equal(connect_with(&target, &stream, &answer), EACCES);
	target.local = (struct endpoint){.family = ENDPOINT_IPV4};
	expect_equal(connect_with(&target, &stream, &answer), 0);
	close(native);
}
END_TEST

START_TEST(this_end_has_to_be_of_this_machine)
{
	struct guest_stream stream;
	struct tcp_connected answer;
	uint16_t port;
	int native = native_listen(&port);
	struct tcp_connect target = {.remote = loopback(port),
		.local = {.family = ENDPOINT_IPV4, .addr = {203, 0, 113, 1}}};

	grant_listen("203.0.113.1:80");
	grant_listen("[::1]:80");
	expect_equal(connect_with(&target, &stream, &answer), EADDRNOTAVAIL);
	target.local = (struct endpoint){.family = ENDPOINT_IPV6, .addr = {[15] = 1}};
	expect_equal(connect_with(&target, &stream, &answer), EADDRNOTAVAIL);
	target.local = (struct endpoint){.family = 9};
	expect_equal(connect_with(&target, &stream, &answer), EAFNOSUPPORT);
	close(native);
}
END_TEST

/* What lingers of an earlier connection keeps only an exclusive listener away. */
START_TEST(an_exclusive_listener_waits_for_the_last_connection)
{
	struct guest_stream listener, stream, again;
	struct tcp_listen wanted = {.flags = TCP_LISTEN_EXCLUSIVE};
	int fd = connected_pair(&listener, &stream);
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	uint16_t port;
	char byte;

	expect_equal(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
	wanted.local = address_from_sockaddr(&peer);
	/* The guest's end closes first: it lingers in TIME_WAIT, on the port. */
	finish(&stream);
	expect_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
	expect_equal(read_some(&stream, &byte, 1), 0);
	guest_stream_close(&stream);
	finish(&listener);
	expect_equal(read_some(&listener, &byte, 1), 0); /* its socket is closed */
	expect_equal(listen_with(&wanted, &again, &port), EADDRINUSE);
	wanted.flags = 0;
	expect_equal(listen_with(&wanted, &again, &port), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tcp options");
	TCase *tests = tcase_create("tcp options");

	tcase_add_checked_fixture(tests, tcp_guest_setup, tcp_guest_teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, options_are_set);
	tcase_add_test(tests, zeros_change_nothing_but_the_delay);
	tcase_add_test(tests, connections_inherit);
	tcase_add_loop_test(
		tests, bad_options_are_refused, 0, (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tests, an_idle_connection_ends);
	tcase_add_test(tests, a_connection_that_moves_goes_on);
	tcase_add_test(tests, a_limit_ends_with_its_connection);
	tcase_add_test(tests, this_end_can_be_chosen);
	tcase_add_test(tests, a_port_of_this_end_needs_its_grant);
	tcase_add_test(tests, this_end_has_to_be_of_this_machine);
	tcase_add_test(tests, an_exclusive_listener_waits_for_the_last_connection);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
