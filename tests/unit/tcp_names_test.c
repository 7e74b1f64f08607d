/* Connections to names: what a name server may open, and addresses that do not answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/eyeballs.h"
#include "monitor/hosts.h"
#include "tests/lib/clock.h"
#include "tests/lib/name_server.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

#define MS 1000000u

static const struct name_rule rules[] = {
	{"good.test", ENDPOINT_IPV4, .address = {"127.0.0.1"}},
	{"good.test", ENDPOINT_IPV6},
	{"second.test", ENDPOINT_IPV4, .address = {"127.0.0.2", "127.0.0.3", "127.0.0.1"}},
	{"second.test", ENDPOINT_IPV6},
	{"both.test", ENDPOINT_IPV4, .address = {"127.0.0.1"}},
	{"both.test", ENDPOINT_IPV6, .delay_ms = 20, .address = {"::1"}},
	{"late.test", ENDPOINT_IPV4, .address = {"127.0.0.1"}},
	{"late.test", ENDPOINT_IPV6, .delay_ms = 400, .address = {"::1"}},
	{"half.test", ENDPOINT_IPV4, .address = {"127.0.0.1"}},
	{"half.test", ENDPOINT_IPV6, .behaviour = NAME_SILENT},
	{"rebinds.test", ENDPOINT_IPV4, .address = {"127.0.0.9"}},
	{"rebinds.test", ENDPOINT_IPV6, .address = {"::ffff:169.254.169.254"}},
	{"lends.test", ENDPOINT_IPV4, .address = {"192.0.2.9"}},
	{"lends.test", ENDPOINT_IPV6},
	{"silent.test", .behaviour = NAME_SILENT},
	{"mixed.test", ENDPOINT_IPV4, .address = {"127.0.0.2"}},
	{"mixed.test", ENDPOINT_IPV6, .delay_ms = 150, .address = {"fe80::1"}},
	{"mixed-late.test", ENDPOINT_IPV4, .delay_ms = 150, .address = {"127.0.0.2"}},
	{"mixed-late.test", ENDPOINT_IPV6, .address = {"fe80::1"}},
	{"fails.test", ENDPOINT_IPV4, .behaviour = NAME_FAILS},
	{"fails.test", ENDPOINT_IPV6, .delay_ms = 150},
	{"fails-late.test", ENDPOINT_IPV4, .behaviour = NAME_FAILS, .delay_ms = 150},
	{"fails-late.test", ENDPOINT_IPV6},
};

static struct name_server server;
static struct endpoint server_address;

static void grant(const char *value)
{
	char error[200];

	expect_equal(grants_add_connect(&guest.config.grants, value, error, sizeof(error)), 0);
}

static void setup(void)
{
	static const char *const granted[] = {"good.test:0", "second.test:0", "both.test:0",
		"late.test:0", "half.test:0", "rebinds.test:0", "lends.test:0", "silent.test:0",
		"nothing.test:0", "mixed.test:0", "mixed-late.test:0", "fails.test:0",
		"fails-late.test:0", "127.0.0.2:0", "127.0.0.3:0", "[::1]:0"};

	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	server_address = loopback(server.port);
	tcp_guest_prepare();
	guest.config.resolver = (struct resolver_config){
		.server = &server_address, .server_count = 1, .hosts_path = "/dev/null"};
	for (size_t i = 0; i < sizeof(granted) / sizeof(granted[0]); i++)
		grant(granted[i]);
	guest_end_start(&guest);
}

static void teardown(void)
{
	tcp_guest_teardown();
	name_server_stop(&server);
}

/* The errno (positive), or 0 and a connection. */
static int connect_name(const char *name, uint16_t port, uint32_t timeout_ms,
	struct guest_stream *ret_stream, struct tcp_connected *ret_answer)
{
	struct tcp_connect target = {.remote = {.family = ENDPOINT_NAME, .port = port},
		.timeout_ms = timeout_ms,
		.host = {name, (uint32_t)strlen(name)}};

	*ret_stream = new_stream();
	return guest_stream_open(ret_stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
		&tcp_connected_message, ret_answer);
}

static void expect_connected(const char *name, uint16_t port, uint16_t family, int listener)
{
	struct guest_stream stream;
	struct tcp_connected answer;
	char buffer[4];

	expect_equal(connect_name(name, port, 0, &stream, &answer), 0);
	expect_equal(answer.remote.family, family);
	expect_equal(answer.remote.port, port);
	int fd = accept(listener, NULL, NULL);
	expect_equal(send(fd, "hi", 2, 0), 2);
	expect_equal(read_some(&stream, buffer, sizeof(buffer)), 2);
	close(fd);
	guest_stream_close(&stream);
}

static void expect_refused(const char *name, uint16_t port, uint32_t timeout_ms, int error)
{
	struct guest_stream stream;

	expect_equal(connect_name(name, port, timeout_ms, &stream, NULL), error);
	guest_stream_close(&stream);
}

static int listen_on_ipv6(uint16_t port)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0 && listen(fd, 16) == 0)
		return fd;
	close(fd);
	return -1;
}

START_TEST(a_name_and_no_name)
{
	uint16_t port;
	int listener = native_listen(&port);

	expect_connected("good.test", port, ENDPOINT_IPV4, listener);
	expect_refused("nothing.test", port, 0, EHOSTUNREACH);
	close(listener);
	expect_refused("good.test", port, 0, ECONNREFUSED);
}
END_TEST

/* Two that refuse stand before it. */
START_TEST(the_next_at_once_when_one_refuses)
{
	uint16_t port;
	int listener = native_listen(&port);
	uint64_t start = clock_ns();

	expect_connected("second.test", port, ENDPOINT_IPV4, listener);
	expect(clock_ns() - start < EYEBALLS_ATTEMPT_NS);
	close(listener);
}
END_TEST

/* A listener whose backlog is full does not answer: the next is tried beside it. */
START_TEST(the_next_beside_one_that_is_silent)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), filler[8];
	uint16_t port;
	int listener = native_listen(&port);

	in.sin_port = htons(port);
	in.sin_addr.s_addr = htonl(0x7f000002);
	expect_equal(bind(full, (struct sockaddr *)&in, sizeof(in)), 0);
	expect_equal(listen(full, 0), 0);
	for (int i = 0; i < 8; i++) {
		filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(filler[i], (struct sockaddr *)&in, sizeof(in));
	}
	uint64_t start = clock_ns();
	expect_connected("second.test", port, ENDPOINT_IPV4, listener);
	uint64_t took = clock_ns() - start;
	expect(took >= EYEBALLS_ATTEMPT_NS);
	expect(took < EYEBALLS_ATTEMPT_NS + 2000 * (uint64_t)MS);
	for (int i = 0; i < 8; i++)
		close(filler[i]);
	close(full);
	close(listener);
}
END_TEST

START_TEST(ipv6_first_if_it_comes_soon)
{
	uint16_t port;
	int listener = native_listen(&port), six = listen_on_ipv6(port);

	if (six < 0) {
		printf("tcp_names_test: skipped ipv6_first_if_it_comes_soon: there is no IPv6\n");
		return;
	}
	expect_connected("both.test", port, ENDPOINT_IPV6, six);
	close(six);
	/* And where it is refused, IPv4. */
	expect_connected("both.test", port, ENDPOINT_IPV4, listener);
	close(listener);
}
END_TEST

START_TEST(ipv4_does_not_wait_for_long)
{
	uint16_t port;
	int listener = native_listen(&port);

	for (int silent = 0; silent < 2; silent++) {
		uint64_t start = clock_ns();

		expect_connected(silent ? "half.test" : "late.test", port, ENDPOINT_IPV4, listener);
		expect(clock_ns() - start < 350 * (uint64_t)MS);
	}
	close(listener);
}
END_TEST

/* A name is granted, and what it resolves to is this machine, or worse. */
START_TEST(a_name_opens_no_special_address)
{
	uint16_t port;
	int listener = native_listen(&port);

	expect_refused("rebinds.test", port, 0, EACCES);
	close(listener);
}
END_TEST

/* The error that says most, in whichever order they come. */
START_TEST(which_error_is_told)
{
	static const char *const names[] = {
		"mixed.test", "mixed-late.test", "fails.test", "fails-late.test"};

	for (int i = 0; i < 4; i++)
		expect_refused(names[i], 1, 0, i < 2 ? ECONNREFUSED : EAGAIN);
}
END_TEST

static struct endpoint endpoint(const char *text)
{
	struct endpoint of;

	expect(address_parse(text, &of));
	return of;
}

/* Text that is an address is one, and needs its grant. */
START_TEST(addresses_as_names_are_addresses)
{
	uint16_t port;
	int listener = native_listen(&port);

	expect_connected("127.0.0.1", port, ENDPOINT_IPV4, listener);
	expect_refused("127.0.0.9", port, 0, EACCES);
	expect_refused("::ffff:127.0.0.9", port, 0, EACCES);
	close(listener);
}
END_TEST

/* An address needs no grant of its own once its name has led to it. */
START_TEST(a_name_lends_its_addresses)
{
	struct tcp_connect target = {.remote = {.family = ENDPOINT_IPV4, .addr = {192, 0, 2, 9}}};
	struct guest_stream stream;

	target.remote.port = 9;
	target.timeout_ms = 100;
	stream = new_stream();
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
			     NULL, NULL),
		EACCES);
	guest_stream_close(&stream);
	struct guest_stream by_name;
	int error = connect_name("lends.test", 9, 100, &by_name, NULL);
	expect(error != EACCES);
	guest_stream_close(&by_name);
	stream = new_stream();
	expect_equal(guest_stream_open(&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target,
			     NULL, NULL),
		error);
	guest_stream_close(&stream);
}
END_TEST

START_TEST(special_addresses)
{
	static const char *const special[] = {"127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3",
		"169.254.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
		"::1", "::", "fe80::1", "febf::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
		"::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::7f00:1",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "fd00:ec2::254", "fd00:ec2::23",
		"fd20:ce::254"};
	static const char *const others[] = {"192.0.2.1", "10.0.0.1", "192.168.1.1", "172.16.0.1",
		"128.0.0.1", "126.255.255.255", "169.253.255.255", "169.255.0.1", "2001:db8::1",
		"fd12::1", "fec0::1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "2002:c000:201::1",
		"fd00:ec3::254", "::2:1.2.3.4"};

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		struct endpoint of = endpoint(special[i]);
		ck_assert_msg(address_is_special(&of), "%s", special[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct endpoint of = endpoint(others[i]);
		ck_assert_msg(!address_is_special(&of), "%s", others[i]);
		ck_assert_msg(!address_is_own(&of) || strncmp(others[i], "10.", 3) == 0 ||
				      strncmp(others[i], "192.168.", 8) == 0 ||
				      strncmp(others[i], "172.", 4) == 0,
			"%s", others[i]);
	}
	struct endpoint own = endpoint("127.0.0.1"), mapped = endpoint("::ffff:127.0.0.1");
	expect(address_is_own(&own));
	expect(address_is_own(&mapped));
}
END_TEST

START_TEST(time_is_over_while_nobody_answers)
{
	uint64_t start = clock_ns();

	expect_refused("silent.test", 1, 300, ETIMEDOUT);
	expect(clock_ns() - start < 2000 * (uint64_t)MS);
}
END_TEST

/* Neither a guest that has gone nor a monitor that stops waits for a name server. */
START_TEST(nobody_waits_at_the_end)
{
	uint64_t start = clock_ns();

	for (int i = 0; i < 8; i++) {
		struct guest_stream stream;

		expect_equal(connect_name("silent.test", 1, 50, &stream, NULL), ETIMEDOUT);
		guest_stream_close(&stream);
	}
	/* What is open now holds nothing up: stopping would wait for 2 s otherwise. */
	tcp_guest_teardown();
	expect(clock_ns() - start < 1500 * (uint64_t)MS);
	tcp_guest_setup();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tcp_names");
	TCase *tcase = tcase_create("tcp_names");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_name_and_no_name);
	tcase_add_test(tcase, the_next_at_once_when_one_refuses);
	tcase_add_test(tcase, the_next_beside_one_that_is_silent);
	tcase_add_test(tcase, ipv6_first_if_it_comes_soon);
	tcase_add_test(tcase, ipv4_does_not_wait_for_long);
	tcase_add_test(tcase, a_name_opens_no_special_address);
	tcase_add_test(tcase, which_error_is_told);
	tcase_add_test(tcase, addresses_as_names_are_addresses);
	tcase_add_test(tcase, a_name_lends_its_addresses);
	tcase_add_test(tcase, special_addresses);
	tcase_add_test(tcase, time_is_over_while_nobody_answers);
	tcase_add_test(tcase, nobody_waits_at_the_end);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
