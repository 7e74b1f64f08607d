/* What the monitor tells of names and interfaces, and what it does not. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/hosts.h"
#include "protocol/network.h"
#include "tests/lib/clock.h"
#include "tests/lib/name_server.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

static const struct name_rule rules[] = {
	{"good.test", ENDPOINT_IPV4, .address = {"198.51.100.1", "198.51.100.2", "198.51.100.3"}},
	{"good.test", ENDPOINT_IPV6, .address = {"2001:db8::1"}},
	{"a.below.test", ENDPOINT_IPV4, .address = {"198.51.100.7"}},
	{"a.below.test", ENDPOINT_IPV6},
	{"rebinds.test", ENDPOINT_IPV4, .address = {"127.0.0.9", "198.51.100.8"}},
	{"rebinds.test", ENDPOINT_IPV6, .address = {"::1"}},
	{"evil.test", ENDPOINT_IPV4, .address = {"169.254.169.254"}},
	{"evil.test", ENDPOINT_IPV6},
	{"fails.test", ENDPOINT_IPV4, .behaviour = NAME_FAILS},
	{"fails.test", ENDPOINT_IPV6},
	{"silent.test", .behaviour = NAME_SILENT},
};

/* As --add-host has it. */
static struct host_entry here = {(char[]){"here.test"}, {.family = ENDPOINT_IPV4, .addr = {127, 0, 0, 5}}};
static struct name_server server;
static struct endpoint server_address;
static struct guest_stream network;

static void grant(const char *value)
{
	char error[200];

	expect_equal(grants_add_connect(&guest.config.grants, value, error, sizeof(error)), 0);
}

static void setup(void)
{
	static const char *const granted[] = {"good.test:443", "*.below.test:443",
		"rebinds.test:443", "evil.test:443", "fails.test:443", "silent.test:443",
		"nothing.test:443", "here.test:*"};

	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	server_address = loopback(server.port);
	tcp_guest_prepare();
	guest.config.resolver = (struct resolver_config){.server = &server_address,
		.server_count = 1,
		.host = &here,
		.host_count = 1,
		.hosts_path = "/dev/null"};
	for (size_t i = 0; i < sizeof(granted) / sizeof(granted[0]); i++)
		grant(granted[i]);
	guest_end_start(&guest);
	network = new_stream();
	expect_equal(guest_stream_open(&network, PROTOCOL_NETWORK, &network_open_message, NULL,
			     &network_open_message, NULL),
		0);
}

static void teardown(void)
{
	tcp_guest_teardown();
	name_server_stop(&server);
}

static uint32_t ask(const char *name, uint16_t family, uint32_t timeout_ms)
{
	struct network_resolve wanted = {
		.family = family, .timeout_ms = timeout_ms, .host = {name, strlen(name)}};

	return guest_send(&guest, &network.pipe, network.slot, &network_resolve_message, &wanted);
}

struct answer {
	struct frame frame;
	unsigned char body[4096];
	struct network_resolved resolved;
	struct endpoint address[NETWORK_ADDRESSES];
	unsigned count;
};

static void receive(struct answer *ret_answer)
{
	guest_receive(&guest, &network.pipe, network.slot, &ret_answer->frame, ret_answer->body,
		sizeof(ret_answer->body));
	expect(ret_answer->frame.flags & FRAME_REPLY);
	ret_answer->count = 0;
	if (ret_answer->frame.type != NETWORK_RESOLVE || ret_answer->frame.error != 0)
		return;
	expect_equal(wire_decode(&network_resolved_message, &ret_answer->resolved, ret_answer->body,
			     ret_answer->frame.length - FRAME_HEADER_LEN),
		0);
	expect(ret_answer->resolved.addresses.len <= sizeof(ret_answer->address));
	expect_equal(ret_answer->resolved.addresses.len % sizeof(struct endpoint), 0);
	memcpy(ret_answer->address, ret_answer->resolved.addresses.data,
		ret_answer->resolved.addresses.len);
	ret_answer->count =
		(unsigned)(ret_answer->resolved.addresses.len / sizeof(struct endpoint));
}

static int resolve(
	const char *name, uint16_t family, uint32_t timeout_ms, struct answer *ret_answer)
{
	uint32_t id = ask(name, family, timeout_ms);

	receive(ret_answer);
	expect_equal(ret_answer->frame.request_id, id);
	expect_equal(ret_answer->frame.type, NETWORK_RESOLVE);
	return (int)ret_answer->frame.error;
}

static void expect_address(const struct endpoint *address, const char *text)
{
	struct endpoint wanted;

	expect(address_parse(text, &wanted));
	ck_assert_mem_eq(address, &wanted, sizeof(wanted));
}

START_TEST(a_name_has_addresses)
{
	struct answer answer;

	expect_equal(resolve("good.test", 0, 0, &answer), 0);
	expect_equal(answer.count, 4);
	expect_address(&answer.address[0], "2001:db8::1");
	expect_address(&answer.address[1], "198.51.100.1");
	expect_address(&answer.address[2], "198.51.100.2");
	expect_address(&answer.address[3], "198.51.100.3");
	expect(answer.resolved.ttl_s >= 5 && answer.resolved.ttl_s <= 3600);
	expect_equal(resolve("GOOD.test", ENDPOINT_IPV4, 1000, &answer), 0);
	expect_equal(answer.count, 3);
	expect_equal(resolve("good.test", ENDPOINT_IPV6, 1000, &answer), 0);
	expect_equal(answer.count, 1);
	expect_equal(resolve("a.below.test", 0, 0, &answer), 0);
	expect_address(&answer.address[0], "198.51.100.7");
	expect_equal(resolve("localhost", ENDPOINT_IPV4, 0, &answer), 0);
	expect_address(&answer.address[0], "127.0.0.1");
	expect_equal(resolve("localhost", 5, 0, &answer), EAFNOSUPPORT);
}
END_TEST

START_TEST(errors_are_told)
{
	struct answer answer;

	expect_equal(resolve("other.test", 0, 0, &answer), EACCES);
	expect_equal(resolve("below.test", 0, 0, &answer), EACCES);
	expect_equal(resolve("nothing.test", 0, 0, &answer), EHOSTUNREACH);
	expect_equal(resolve("a.below.test", ENDPOINT_IPV6, 0, &answer), EHOSTUNREACH);
	expect_equal(resolve("fails.test", 0, 0, &answer), EAGAIN);
	expect_equal(resolve("silent.test", 0, 100, &answer), ETIMEDOUT);
	expect_equal(resolve("a b", 0, 0, &answer), EACCES);
	expect_equal(resolve("", 0, 0, &answer), EPROTO);
}
END_TEST

/* No name server can have the guest believe that a name is this machine. */
START_TEST(what_leads_here_is_left_out)
{
	struct answer answer;

	expect_equal(resolve("rebinds.test", 0, 0, &answer), 0);
	expect_equal(answer.count, 1);
	expect_address(&answer.address[0], "198.51.100.8");
	expect_equal(resolve("evil.test", 0, 0, &answer), EACCES);
}
END_TEST

/* The silent one first: it holds up nobody. */
START_TEST(answers_come_in_any_order)
{
	struct answer answer;
	uint32_t silent = ask("silent.test", 0, 300), good = ask("good.test", 0, 0);

	receive(&answer);
	expect_equal(answer.frame.request_id, good);
	expect_equal(answer.frame.error, 0);
	receive(&answer);
	expect_equal(answer.frame.request_id, silent);
	expect_equal(answer.frame.error, ETIMEDOUT);
}
END_TEST

/* The errno of connecting. */
static int connect_to(const char *text, uint16_t port)
{
	struct tcp_connect target = {.timeout_ms = 1000};
	struct guest_stream stream = new_stream();

	expect(address_parse(text, &target.remote));
	target.remote.port = port;
	int error = guest_stream_open(
		&stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message, &target, NULL, NULL);
	guest_stream_close(&stream);
	return error;
}

START_TEST(who_was_told_may_connect)
{
	struct answer answer;
	uint16_t port;

	close(native_listen(&port));
	expect_equal(connect_to("127.0.0.5", port), EACCES);
	expect_equal(resolve("here.test", 0, 0, &answer), 0);
	expect_equal(connect_to("127.0.0.5", port), ECONNREFUSED);
	expect_equal(connect_to("127.0.0.6", port), EACCES);
	expect_equal(resolve("rebinds.test", 0, 0, &answer), 0);
	expect_equal(connect_to("127.0.0.9", port), EACCES);
}
END_TEST

START_TEST(unknown_and_broken_requests_are_answered)
{
	static const struct wire_message odd = WIRE_MESSAGE_EMPTY("Odd", 99),
					 empty = WIRE_MESSAGE_EMPTY("Empty", NETWORK_RESOLVE),
					 none = WIRE_MESSAGE_EMPTY("None", NETWORK_INTERFACES);
	struct answer answer;

	uint32_t id = guest_send(&guest, &network.pipe, network.slot, &odd, NULL);
	receive(&answer);
	expect_equal(answer.frame.type, STREAM_UNSUPPORTED);
	expect_equal(answer.frame.request_id, id);
	expect_equal(answer.frame.error, ENOTSUP);
	guest_send(&guest, &network.pipe, network.slot, &empty, NULL);
	receive(&answer);
	expect_equal(answer.frame.error, EPROTO);
	guest_send(&guest, &network.pipe, network.slot, &none, NULL);
	receive(&answer);
	expect_equal(answer.frame.error, EPROTO);
	expect_equal(resolve("good.test", 0, 0, &answer), 0);
}
END_TEST

/* What was asked before the end is answered, and then the monitor ends, too. */
START_TEST(the_end_comes_behind_the_answers)
{
	struct answer answer;
	char byte;

	ask("silent.test", 0, 200);
	ask("good.test", 0, 0);
	finish(&network);
	receive(&answer);
	expect_equal(answer.frame.error, 0);
	receive(&answer);
	expect_equal(answer.frame.error, ETIMEDOUT);
	expect_equal(read_some(&network, &byte, 1), 0);
	guest_stream_close(&network);
}
END_TEST

/* Teardown finds nothing that is still held. */
START_TEST(closing_waits_for_nobody)
{
	struct network_interfaces list = {0};

	for (int i = 0; i < 100; i++)
		ask("silent.test", 0, i % 2 ? 0 : 60000);
	guest_send(&guest, &network.pipe, network.slot, &network_interfaces_message, &list);
	uint64_t begin = clock_ms();
	guest_stream_close(&network);
	struct guest_stream next = new_stream();
	struct answer answer;
	network = next;
	expect_equal(guest_stream_open(&network, PROTOCOL_NETWORK, NULL, NULL, NULL, NULL), 0);
	expect_equal(resolve("good.test", 0, 0, &answer), 0);
	expect(clock_ms() - begin < 3000);
}
END_TEST

/* More than are taken at a time: each is answered all the same. */
START_TEST(many_at_once)
{
	struct answer answer;
	unsigned good = 0;

	for (int i = 0; i < 200; i++)
		ask("good.test", 0, 0);
	for (int i = 0; i < 200; i++) {
		receive(&answer);
		good += answer.frame.error == 0;
	}
	expect_equal(good, 200);
}
END_TEST

/* ---- interfaces */

static uint32_t list(uint32_t first, struct network_interface *ret_list, unsigned *ret_count)
{
	struct network_interfaces wanted = {first};
	struct network_interfaces_reply reply;
	struct answer answer;

	guest_send(&guest, &network.pipe, network.slot, &network_interfaces_message, &wanted);
	receive(&answer);
	expect_equal(answer.frame.error, 0);
	expect_equal(answer.frame.type, NETWORK_INTERFACES);
	expect_equal(wire_decode(&network_interfaces_reply_message, &reply, answer.body,
			     answer.frame.length - FRAME_HEADER_LEN),
		0);
	expect(reply.interfaces.len <= NETWORK_INTERFACES_AT_ONCE * sizeof(*ret_list));
	memcpy(ret_list, reply.interfaces.data, reply.interfaces.len);
	*ret_count = (unsigned)(reply.interfaces.len / sizeof(*ret_list));
	return reply.total;
}

/* 127.0.0.1 is granted, and nothing else of this machine. */
START_TEST(interfaces_that_are_granted_are_seen)
{
	struct network_interface found[NETWORK_INTERFACES_AT_ONCE];
	unsigned count;

	expect_equal(list(0, found, &count), 1);
	expect_equal(count, 1);
	expect_address(&found[0].address, "127.0.0.1");
	expect_equal(found[0].prefix, 8);
	ck_assert_str_eq(found[0].name, "lo");
	expect_equal(found[0].index, 1);
	expect(found[0].mtu >= 1500);
	expect((found[0].flags & (NETWORK_UP | NETWORK_LOOPBACK)) ==
		(NETWORK_UP | NETWORK_LOOPBACK));
	expect_equal(list(1, found, &count), 1);
	expect_equal(count, 0);
	expect_equal(list(UINT32_MAX, found, &count), 1);
	expect_equal(count, 0);
}
END_TEST

/* Whoever may listen everywhere sees what getifaddrs says. */
START_TEST(all_interfaces_are_seen)
{
	struct network_interface found[NETWORK_INTERFACES_AT_ONCE];
	struct ifaddrs *all;
	unsigned count, native = 0, same = 0;
	char error[200];

	expect_equal(grants_add_listen(&guest.config.grants, "any:80", error, sizeof(error)), 0);
	uint32_t total = list(0, found, &count);
	expect_equal(getifaddrs(&all), 0);
	for (struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
		if (at->ifa_addr == NULL ||
			(at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6))
			continue;
		struct sockaddr_storage storage = {0};
		memcpy(&storage, at->ifa_addr,
			at->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							   : sizeof(struct sockaddr_in6));
		struct endpoint of = address_from_sockaddr(&storage);
		native++;
		for (unsigned i = 0; i < count; i++)
			same += memcmp(&found[i].address, &of, sizeof(of)) == 0 &&
				strcmp(found[i].name, at->ifa_name) == 0;
	}
	freeifaddrs(all);
	expect_equal(total, native);
	if (native <= NETWORK_INTERFACES_AT_ONCE)
		expect_equal(same, native);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("network");
	TCase *tests = tcase_create("network");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, a_name_has_addresses);
	tcase_add_test(tests, errors_are_told);
	tcase_add_test(tests, what_leads_here_is_left_out);
	tcase_add_test(tests, answers_come_in_any_order);
	tcase_add_test(tests, who_was_told_may_connect);
	tcase_add_test(tests, unknown_and_broken_requests_are_answered);
	tcase_add_test(tests, the_end_comes_behind_the_answers);
	tcase_add_test(tests, closing_waits_for_nobody);
	tcase_add_test(tests, many_at_once);
	tcase_add_test(tests, interfaces_that_are_granted_are_seen);
	tcase_add_test(tests, all_interfaces_are_seen);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
