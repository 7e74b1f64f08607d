/*
 * What a guest is told is what a plain socket is told: PROTOCOL.md section 6.11, row by row, in a
 * network of the test's own, in which nobody else is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/address.h"
#include "tests/lib/namespace.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

#define NO_SUCH_HOST 203, 0, 113 /* a network that no machine is in (RFC 5737) */

/* ---- the network */

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ck_abort_msg("%s: %s", path, strerror(errno));
	close(fd);
}

/* 203.0.113.0/24 is unreachable by a route that says so. */
static void reject_route(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET}, mask = {.sin_family = AF_INET};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_REJECT};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(0xcb007100);
	mask.sin_addr.s_addr = htonl(0xffffff00);
	memcpy(&route.rt_dst, &to, sizeof(to));
	memcpy(&route.rt_genmask, &mask, sizeof(mask));
	expect_equal(ioctl(fd, SIOCADDRT, &route), 0);
	close(fd);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	expect_equal(syscall(SYS_capset, &header, none), 0);
}

static void setup(void)
{
	char error[200];

	expect(namespace_enter(CLONE_NEWNET));
	namespace_loopback(true);
	put("/proc/sys/net/ipv4/tcp_syn_retries", "1");
	tcp_guest_prepare();
	expect_equal(grants_add_listen(&guest.config.grants, "any", error, sizeof(error)), 0);
	expect_equal(
		grants_add_connect(&guest.config.grants, "127.0.0.0/8:*", error, sizeof(error)), 0);
	expect_equal(
		grants_add_connect(&guest.config.grants, "203.0.113.0/24:*", error, sizeof(error)),
		0);
	expect_equal(grants_add_connect(&guest.config.grants, "[::1]:*", error, sizeof(error)), 0);
}

static void teardown(void)
{
	tcp_guest_teardown();
}

/* ---- connecting and listening, plainly and as a guest */

struct wish {
	bool listens;
	struct endpoint local, remote; /* family 0: any */
};

static int plain(const struct wish *wish)
{
	const struct endpoint *of = wish->listens ? &wish->local : &wish->remote;
	struct sockaddr_storage address;
	socklen_t len;
	int error = 0, on = 1;

	expect_equal(address_to_sockaddr(of, &address, &len), 0);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (wish->local.family != 0) {
		struct sockaddr_storage own;
		socklen_t own_len;

		expect_equal(address_to_sockaddr(&wish->local, &own, &own_len), 0);
		error = bind(fd, (struct sockaddr *)&own, own_len) < 0 ? errno : 0;
	}
	if (error == 0 && wish->listens)
		error = listen(fd, 1) < 0 ? errno : 0;
	else if (error == 0)
		error = connect(fd, (struct sockaddr *)&address, len) < 0 ? errno : 0;
	close(fd);
	return error;
}

static int as_guest(const struct wish *wish)
{
	struct guest_stream stream = new_stream();
	struct tcp_listen listen = {.local = wish->local};
	struct tcp_connect connect = {.remote = wish->remote, .local = wish->local};
	int error = wish->listens ? guest_stream_open(&stream, PROTOCOL_TCP_LISTEN,
					    &tcp_listen_message, &listen, NULL, NULL)
				  : guest_stream_open(&stream, PROTOCOL_TCP_CONNECT,
					    &tcp_connect_message, &connect, NULL, NULL);

	guest_stream_close(&stream);
	return error;
}

static void expect_both(const struct wish *wish, int error)
{
	expect_equal(plain(wish), error);
	expect_equal(as_guest(wish), error);
}

static struct endpoint nobody(uint16_t port)
{
	return (struct endpoint){.family = ENDPOINT_IPV4, .port = port, .addr = {NO_SUCH_HOST, 1}};
}

START_TEST(nobody_listens)
{
	uint16_t port;

	guest_end_start(&guest);
	close(native_listen(&port));
	expect_both(&(struct wish){.remote = loopback(port)}, ECONNREFUSED);
	expect_both(
		&(struct wish){
			.remote = {.family = ENDPOINT_IPV6, .port = port, .addr = {[15] = 1}}},
		ECONNREFUSED);
}
END_TEST

START_TEST(no_route)
{
	guest_end_start(&guest);
	expect_both(&(struct wish){.remote = nobody(80)}, ENETUNREACH);
}
END_TEST

START_TEST(host_unreachable)
{
	reject_route();
	guest_end_start(&guest);
	expect_both(&(struct wish){.remote = nobody(80)}, EHOSTUNREACH);
}
END_TEST

/* A listener whose backlog is full answers no more. */
START_TEST(no_answer)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint16_t port;

	guest_end_start(&guest);
	int fd = native_listen(&port);
	expect_equal(listen(fd, 0), 0);
	in.sin_port = htons(port);
	for (int i = 0; i < 4; i++) {
		int filler = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(filler, (struct sockaddr *)&in, sizeof(in));
	}
	expect_both(&(struct wish){.remote = loopback(port)}, ETIMEDOUT);
}
END_TEST

START_TEST(address_in_use)
{
	uint16_t port, other;

	guest_end_start(&guest);
	int taken = native_listen(&port), server = native_listen(&other);
	expect_both(&(struct wish){.listens = true, .local = loopback(port)}, EADDRINUSE);
	expect_both(&(struct wish){.remote = loopback(other), .local = loopback(port)}, EADDRINUSE);
	close(taken);
	close(server);
}
END_TEST

START_TEST(address_of_another_machine)
{
	uint16_t port;

	guest_end_start(&guest);
	int server = native_listen(&port);
	expect_both(&(struct wish){.listens = true, .local = nobody(80)}, EADDRNOTAVAIL);
	expect_both(&(struct wish){.remote = loopback(port), .local = nobody(0)}, EADDRNOTAVAIL);
	close(server);
}
END_TEST

/* Two ports for connections, and both are taken. */
START_TEST(no_port_is_left)
{
	uint16_t port;

	int server = native_listen(&port);
	put("/proc/sys/net/ipv4/ip_local_port_range", "50000 50001");
	guest_end_start(&guest);
	int first = native_connect(port), second = native_connect(port);
	expect_both(&(struct wish){.remote = loopback(port)}, EADDRNOTAVAIL);
	close(first);
	close(second);
	close(server);
}
END_TEST

START_TEST(privileged_port)
{
	drop_capabilities();
	guest_end_start(&guest);
	expect_both(&(struct wish){.listens = true, .local = loopback(80)}, EACCES);
}
END_TEST

/* ---- in the middle of a connection */

static void reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Bytes that came before a reset are read, then ECONNRESET, and writing is EPIPE. */
START_TEST(peer_resets)
{
	uint16_t port;
	struct guest_stream stream = {0};
	struct tcp_connect target;
	char bytes[16];

	guest_end_start(&guest);
	int server = native_listen(&port), client = native_connect(port),
	    fd = accept(server, NULL, NULL);
	expect_equal(send(fd, "hello", 5, 0), 5);
	reset(fd);
	expect_equal(recv(client, bytes, 5, MSG_WAITALL), 5);
	expect_equal(recv(client, bytes, sizeof(bytes), 0), -1);
	expect_equal(errno, ECONNRESET);
	expect_equal(send(client, "x", 1, MSG_NOSIGNAL), -1);
	expect_equal(errno, EPIPE);
	close(client);

	target = (struct tcp_connect){.remote = loopback(port)};
	stream = new_stream();
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
			     NULL, NULL),
		0);
	fd = accept(server, NULL, NULL);
	expect_equal(send(fd, "hello", 5, 0), 5);
	reset(fd);
	size_t got = 0;
	while (got < 5)
		got += (size_t)read_some(&stream, bytes, 5 - got);
	expect_equal(read_some(&stream, bytes, sizeof(bytes)), -ECONNRESET);
	expect_equal(ring_reserve(&stream.pipe.out).end, -EPIPE);
	close(server);
}
END_TEST

/* The wire is cut: bytes are not acknowledged for as long as the option has it. */
START_TEST(peer_vanishes)
{
	uint16_t port;
	int limit = 300;
	char byte;
	struct guest_stream stream;
	struct tcp_connect target;

	guest_end_start(&guest);
	int server = native_listen(&port), client = native_connect(port);
	target = (struct tcp_connect){.remote = loopback(port), .options.unacknowledged_ms = 300};
	stream = new_stream();
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
			     NULL, NULL),
		0);
	setsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit));
	namespace_loopback(false);
	expect_equal(send(client, "x", 1, 0), 1);
	write_all(&stream, "x", 1);
	expect_equal(recv(client, &byte, 1, 0), -1);
	expect_equal(errno, ETIMEDOUT);
	expect_equal(read_some(&stream, &byte, 1), -ETIMEDOUT);
	close(client);
	close(server);
}
END_TEST

/* The peer is asked whether it is there, and is not. */
START_TEST(peer_does_not_answer)
{
	static const struct {
		int name, value;
	} asks[] = {{TCP_KEEPIDLE, 1}, {TCP_KEEPINTVL, 1}, {TCP_KEEPCNT, 1}};
	uint16_t port;
	int on = 1;
	char byte;

	guest_end_start(&guest);
	int server = native_listen(&port), client = native_connect(port);
	struct tcp_connect target = {.remote = loopback(port),
		.options = {.flags = TCP_OPTION_KEEPALIVE,
			.keepalive_s = 1,
			.keepalive_interval_s = 1,
			.keepalive_count = 1}};
	struct guest_stream stream = new_stream();
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
			     NULL, NULL),
		0);
	setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
		setsockopt(client, IPPROTO_TCP, asks[i].name, &asks[i].value, sizeof(int));
	namespace_loopback(false);
	expect_equal(recv(client, &byte, 1, 0), -1);
	expect_equal(errno, ETIMEDOUT);
	expect_equal(read_some(&stream, &byte, 1), -ETIMEDOUT);
	close(client);
	close(server);
}
END_TEST

/* Can a child have a namespace? */
static bool has_namespaces(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(namespace_enter(CLONE_NEWNET) ? 0 : 1);
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
	if (!has_namespaces())
		return 77; /* it was said why */
	Suite *suite = suite_create("tcp errno");
	TCase *tests = tcase_create("tcp errno");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, nobody_listens);
	tcase_add_test(tests, no_route);
	tcase_add_test(tests, host_unreachable);
	tcase_add_test(tests, no_answer);
	tcase_add_test(tests, address_in_use);
	tcase_add_test(tests, address_of_another_machine);
	tcase_add_test(tests, no_port_is_left);
	tcase_add_test(tests, privileged_port);
	tcase_add_test(tests, peer_resets);
	tcase_add_test(tests, peer_vanishes);
	tcase_add_test(tests, peer_does_not_answer);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
