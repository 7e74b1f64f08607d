/* UDP sockets connected to names: which address is taken, and what a name server may open. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/name_server.h"
#include "tests/lib/suite.h"
#include "tests/lib/udp_guest.h"

#define MS 1000000u

static const struct name_rule rules[] = {
	{"four.test", ENDPOINT_IPV4, .address = {"127.0.0.1"}},
	{"four.test", ENDPOINT_IPV6},
	{"both.test", ENDPOINT_IPV4, .address = {"127.0.0.1"}},
	{"both.test", ENDPOINT_IPV6, .delay_ms = 5, .address = {"::1"}},
	{"half.test", ENDPOINT_IPV4, .address = {"127.0.0.1"}},
	{"half.test", ENDPOINT_IPV6, .behaviour = NAME_SILENT},
	{"other.test", ENDPOINT_IPV4, .behaviour = NAME_SILENT},
	{"other.test", ENDPOINT_IPV6, .address = {"::1"}},
	{"rebinds.test", ENDPOINT_IPV4, .address = {"127.0.0.9"}},
	{"rebinds.test", ENDPOINT_IPV6, .address = {"::ffff:169.254.169.254"}},
	{"lies.test", ENDPOINT_IPV4, .address = {"127.0.0.9", "169.254.169.254", "127.0.0.1"}},
	{"lies.test", ENDPOINT_IPV6},
	{"forged.test", ENDPOINT_IPV4, .behaviour = NAME_WRONG_QUESTION, .address = {"127.0.0.1"}},
	{"forged.test", ENDPOINT_IPV6},
	{"silent.test", .behaviour = NAME_SILENT},
	{"fails.test", .behaviour = NAME_FAILS},
};

static struct name_server server;
static struct endpoint server_address;
static struct udp_got got;

static void setup(void)
{
	static const char *const granted[] = {"four.test:*", "both.test:*", "half.test:*",
		"other.test:*", "rebinds.test:*", "lies.test:*", "forged.test:*", "silent.test:*",
		"fails.test:*", "nothing.test:*", "127.0.0.1:*:connect", "[::1]:*:connect"};

	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	server_address = loopback(server.port);
	tcp_guest_prepare();
	guest.config.resolver = (struct resolver_config){
		.server = &server_address, .server_count = 1, .hosts_path = "/dev/null"};
	for (size_t i = 0; i < sizeof(granted) / sizeof(granted[0]); i++)
		udp_grant(granted[i]);
	guest_end_start(&guest);
}

static void teardown(void)
{
	tcp_guest_teardown();
	name_server_stop(&server);
}

static struct udp_bind named(const char *name, uint16_t port)
{
	return (struct udp_bind){.remote = {.family = ENDPOINT_NAME, .port = port},
		.host = {name, (uint32_t)strlen(name)}};
}

static void expect_refused(const char *name, int error)
{
	struct guest_stream stream = udp_stream(UDP_RING);
	struct udp_bind wanted = named(name, 53);
	struct udp_bound bound;

	expect_equal(udp_open(&stream, &wanted, &bound), error);
	guest_stream_close(&stream);
}

/* It is this socket of the host that is spoken to. */
static void expect_connected(const char *name, int family)
{
	struct guest_stream stream = udp_stream(UDP_RING);
	struct udp_bound bound;
	uint16_t port = 0;
	int fd = udp_native(family, &port), heard;
	struct udp_bind wanted = named(name, port);
	struct endpoint native = family == AF_INET ? loopback(port) : loopback6(port);

	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	expect(same_endpoint(&bound.remote, &native));
	expect_equal(bound.local.family, native.family);
	udp_put(&stream, NULL, NULL, "ask", 3);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 3);
	udp_native_send(fd, &bound.local, "answer", 6);
	udp_get_bytes(&stream, &got, "answer", 6);
	close(fd);
	guest_stream_close(&stream);
}

START_TEST(names_with_addresses)
{
	expect_connected("four.test", AF_INET);
	expect_connected("FOUR.test", AF_INET);
	expect_connected("both.test", AF_INET6);
	expect_connected("other.test", AF_INET6);
	/* A name that is an address. */
	expect_connected("127.0.0.1", AF_INET);
	expect_connected("::1", AF_INET6);
}
END_TEST

/* A family of which nothing is heard is not waited for. */
START_TEST(half_an_answer_is_enough)
{
	uint64_t start = clock_ns();

	expect_connected("half.test", AF_INET);
	expect(clock_ns() - start < 1000 * MS);
}
END_TEST

START_TEST(names_without)
{
	expect_refused("nothing.test", EHOSTUNREACH);
	expect_refused("fails.test", EAGAIN);
	expect_refused("another.test", EACCES);
	expect_refused("192.0.2.1", EACCES);
}
END_TEST

/* A name server cannot lead to this machine, nor to where clouds keep secrets. */
START_TEST(a_lying_name_server)
{
	expect_refused("rebinds.test", EACCES);
	/* Of several the one that was granted by itself. */
	expect_connected("lies.test", AF_INET);
	expect_connected("forged.test", AF_INET);
}
END_TEST

/* A local address of the other family than the name has: the families do not meet. */
START_TEST(the_local_address_decides_the_family)
{
	struct guest_stream stream = udp_stream(UDP_RING);
	uint16_t port = 0;
	int fd = udp_native(AF_INET, &port);
	struct udp_bind wanted = named("both.test", port);
	struct udp_bound bound;

	wanted.local.family = ENDPOINT_IPV4;
	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	expect_equal(bound.remote.family, ENDPOINT_IPV4);
	guest_stream_close(&stream);
	/* An IPv6 socket reaches IPv4, and says so. */
	stream = udp_stream(UDP_RING);
	wanted = named("four.test", port);
	wanted.local.family = ENDPOINT_IPV6;
	expect_equal(udp_open(&stream, &wanted, &bound), 0);
	expect_equal(bound.remote.family, ENDPOINT_IPV4);
	expect_equal(bound.local.family, ENDPOINT_IPV4);
	guest_stream_close(&stream);
	close(fd);
}
END_TEST

/* Sent behind Open, and the guest is gone before there is an address. */
START_TEST(closed_while_the_name_is_looked_up)
{
	unsigned char payload[512];
	uint16_t port = 0;
	int fd = udp_native(AF_INET6, &port), heard;
	struct udp_bind wanted = named("other.test", port);
	struct stream_open open = {
		.protocol = PROTOCOL_UDP, .version = PROTOCOL_VERSION, .payload = {payload, 0}};
	struct guest_stream stream = udp_stream(UDP_RING);

	open.payload.len = wire_encode_body(&udp_bind_message, &wanted, payload, sizeof(payload));
	guest_send(&guest, &stream.pipe, stream.slot, &stream_open_message, &open);
	udp_put(&stream, NULL, NULL, "late", 4);
	guest_stream_close(&stream);
	expect_equal(udp_native_receive(fd, &heard, sizeof(heard), NULL), 4);
	/* With nothing to be sent it is given up, and so it is when the guest goes. */
	for (int i = 0; i < 2; i++) {
		wanted = named("silent.test", port);
		stream = udp_stream(UDP_RING);
		open.payload.len =
			wire_encode_body(&udp_bind_message, &wanted, payload, sizeof(payload));
		guest_send(&guest, &stream.pipe, stream.slot, &stream_open_message, &open);
		if (i == 0)
			guest_stream_close(&stream);
	}
	usleep(20000);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("udp_names");
	TCase *tcase = tcase_create("udp_names");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, names_with_addresses);
	tcase_add_test(tcase, half_an_answer_is_enough);
	tcase_add_test(tcase, names_without);
	tcase_add_test(tcase, a_lying_name_server);
	tcase_add_test(tcase, the_local_address_decides_the_family);
	tcase_add_test(tcase, closed_while_the_name_is_looked_up);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
