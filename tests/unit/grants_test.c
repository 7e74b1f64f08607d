/* What the command line grants, and that nothing else is reachable. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/grants.h"
#include "monitor/log.h"
#include "monitor/stats.h"
#include "tests/lib/clock.h"
#include "tests/lib/suite.h"

static struct grants grants;
static char error_text[512];
static char directory[] = "/tmp/ferrule-grants-XXXXXX";

static void setup(void)
{
	grants = (struct grants){0};
	error_text[0] = '\0';
}

static void teardown(void)
{
	grants_free(&grants);
}

static void setup_directory(void)
{
	setup();
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown_directory(void)
{
	teardown();
	rmdir(directory);
}

#define LISTEN(value)  grants_add_listen(&grants, value, error_text, sizeof(error_text))
#define CONNECT(value) grants_add_connect(&grants, value, error_text, sizeof(error_text))
#define UDP(value)     grants_add_udp(&grants, value, error_text, sizeof(error_text))
#define PUBLISH(value) grants_add_publish(&grants, value, error_text, sizeof(error_text))
#define MOUNT(value)   grants_add_mount(&grants, value, error_text, sizeof(error_text))

/* "127.0.0.1", 80 and so on, as it comes from the guest. */
static struct endpoint endpoint(const char *address, uint16_t port)
{
	struct endpoint ret = {.port = port};

	ret.family = strchr(address, ':') != NULL ? ENDPOINT_IPV6 : ENDPOINT_IPV4;
	ck_assert_int_eq(
		inet_pton(ret.family == ENDPOINT_IPV6 ? AF_INET6 : AF_INET, address, ret.addr), 1);
	return ret;
}

static bool may(enum grant_use use, const char *address, uint16_t port)
{
	struct endpoint asked = endpoint(address, port);
	return grants_cover(&grants, use, &asked);
}

static bool may_listen(const char *address, uint16_t port)
{
	return may(GRANT_TCP_LISTEN, address, port);
}

static bool may_connect(const char *address, uint16_t port)
{
	return may(GRANT_TCP_CONNECT, address, port);
}

static enum grant_name name_of(const char *name, uint16_t port)
{
	return grants_name(&grants, GRANT_TCP_CONNECT, port, name, strlen(name));
}

static bool may_connect_name(const char *name, uint16_t port)
{
	return name_of(name, port) == GRANT_NAME_GIVEN;
}

static size_t grant_count(void)
{
	size_t count = grants.publish_count;

	for (int use = 0; use < GRANT_USE_COUNT; use++)
		count += grants.net[use].count;
	return count;
}

START_TEST(without_a_grant_nothing_is_reachable)
{
	ck_assert(!may_listen("127.0.0.1", 80));
	ck_assert(!may_listen("0.0.0.0", 0));
	ck_assert(!may_connect("127.0.0.1", 80));
	ck_assert(!may_connect("::1", 80));
	ck_assert(!may_connect_name("localhost", 80));
	ck_assert(!may_connect_name("", 0));
	ck_assert_ptr_null(grants_mount(&grants, "/", 1));
}
END_TEST

START_TEST(listen_is_one_address_and_port)
{
	ck_assert_int_eq(LISTEN("127.0.0.1:8080"), 0);
	ck_assert(may_listen("127.0.0.1", 8080));
	ck_assert(!may_listen("127.0.0.1", 8081));
	ck_assert(!may_listen("127.0.0.1", 0));
	ck_assert(!may_listen("127.0.0.2", 8080));
	ck_assert(!may_listen("0.0.0.0", 8080));
	ck_assert(!may_listen("::", 8080));
	ck_assert(!may_connect("127.0.0.1", 8080));
}
END_TEST

START_TEST(unspecified_address_covers_its_family)
{
	ck_assert_int_eq(LISTEN("0.0.0.0:80"), 0);
	ck_assert(may_listen("0.0.0.0", 80));
	ck_assert(may_listen("192.0.2.1", 80));
	ck_assert(!may_listen("::1", 80));
	ck_assert(!may_listen("192.0.2.1", 81));
	ck_assert_int_eq(LISTEN("[::]:81"), 0);
	ck_assert(may_listen("::1", 81));
	ck_assert(!may_listen("192.0.2.1", 81));
}
END_TEST

START_TEST(port_0_covers_every_port)
{
	ck_assert_int_eq(LISTEN("[::1]:0"), 0);
	ck_assert(may_listen("::1", 0));
	ck_assert(may_listen("::1", 65535));
	ck_assert(!may_listen("::2", 65535));
}
END_TEST

START_TEST(ipv4_within_ipv6_is_ipv4)
{
	ck_assert_int_eq(CONNECT("[::]:80"), 0);
	ck_assert(may_connect("2001:db8::1", 80));
	ck_assert(!may_connect("::ffff:127.0.0.1", 80));
	ck_assert_int_eq(CONNECT("192.0.2.1:80"), 0);
	ck_assert(may_connect("::ffff:192.0.2.1", 80));
	ck_assert_int_eq(CONNECT("[::ffff:192.0.2.2]:80"), 0);
	ck_assert(may_connect("192.0.2.2", 80));
}
END_TEST

START_TEST(names_are_granted_as_names)
{
	ck_assert_int_eq(CONNECT("Example.org:443"), 0);
	ck_assert(may_connect_name("example.ORG", 443));
	ck_assert(!may_connect_name("example.org", 80));
	ck_assert(!may_connect_name("www.example.org", 443));
	ck_assert(!may_connect_name("example.org.evil", 443));
	ck_assert(!may_connect_name("example.or", 443));
	ck_assert(!may_connect("192.0.2.1", 443));
	/* A 0 byte must not hide the rest of a name. */
	ck_assert_int_eq(grants_name(&grants, GRANT_TCP_CONNECT, 443, "example.org\0x", 13),
		GRANT_NAME_REFUSED);
}
END_TEST

START_TEST(overlong_names_are_refused)
{
	char name[ENDPOINT_HOST_MAX + 2];

	memset(name, 'a', sizeof(name));
	ck_assert_int_eq(CONNECT("any"), 0);
	ck_assert_int_eq(
		grants_name(&grants, GRANT_TCP_CONNECT, 1, name, sizeof(name)), GRANT_NAME_REFUSED);
	ck_assert_int_eq(grants_name(&grants, GRANT_TCP_CONNECT, 1, name, ENDPOINT_HOST_MAX),
		GRANT_NAME_FREE);
	ck_assert_int_eq(grants_name(&grants, GRANT_TCP_CONNECT, 1, name, 0), GRANT_NAME_REFUSED);
}
END_TEST

START_TEST(unknown_family_is_refused)
{
	struct endpoint odd = {.family = 7, .port = 80};

	ck_assert_int_eq(CONNECT("0.0.0.0:0"), 0);
	ck_assert_int_eq(LISTEN("0.0.0.0:0"), 0);
	ck_assert(!grants_cover(&grants, GRANT_TCP_CONNECT, &odd));
	ck_assert(!grants_cover(&grants, GRANT_TCP_LISTEN, &odd));
}
END_TEST

static const char *const bad_endpoints[] = {"", ":", "80", ":80", "127.0.0.1",
	"127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:65536",
	"127.0.0.1:99999999999", "127.0.0.1:http", "127.0.0.1:80x", "::1:80", "[::1]", "[::1]80",
	"[]:80", "[::g]:80", "127.1:80", "256.0.0.1:80", "1.2.3.4.5:80", "0x7f000001:80", "**:80",
	"*x.test:80", "*.:80", "10.0.0.0/8", "10.0.0.0/33:80", "10.0.0.0/:80", "10.0.0.0/x:80",
	"10.0.0.1/8:80", "10.0.0.0/-1:80", "[2001:db8::/129]:80", "[2001:db8::1/64]:80",
	"[::ffff:0:0/96]:80", "example.org/8:80", "127.0.0.1:80-", "127.0.0.1:-80",
	"127.0.0.1:90-80", "127.0.0.1:1-65536", "127.0.0.1:0-80", "127.0.0.1:80-90-95", "a b:80",
	"[::1]:80:90", "http://example.org:80", "fe80::1%lo:80", "[fe80::1%no-such-interface]:80"};

START_TEST(bad_endpoints_earn_a_sentence)
{
	const char *value = bad_endpoints[_i];

	ck_assert_msg(LISTEN(value) < 0, "--listen %s was taken", value);
	ck_assert_msg(strstr(error_text, "--listen '") == error_text, "'%s'", error_text);
	ck_assert_msg(strstr(error_text, "; ") != NULL, "'%s'", error_text);
	ck_assert_msg(CONNECT(value) < 0, "--connect %s was taken", value);
	ck_assert_msg(strstr(error_text, "--connect '") == error_text, "'%s'", error_text);
	ck_assert_msg(strstr(error_text, "; ") != NULL, "'%s'", error_text);
	ck_assert_msg(UDP(value) < 0, "--udp %s was taken", value);
	ck_assert_msg(strstr(error_text, "--udp '") == error_text, "'%s'", error_text);
	ck_assert_uint_eq(grant_count(), 0);
}
END_TEST

static const struct {
	const char *value, *remedy; /* NULL: as for any bad value */
} urls[] = {
	{"http://192.0.2.1", "192.0.2.1:80"},
	{"http://192.0.2.1/", "192.0.2.1:80"},
	{"HTTPS://192.0.2.1/a:b?c:d", "192.0.2.1:443"},
	{"http://192.0.2.1:8080/", "192.0.2.1:8080"},
	{"http://name:password@192.0.2.1?x", "192.0.2.1:80"},
	{"http://[2001:db8::1]/", "[2001:db8::1]:80"},
	{"http://[2001:db8::1]:8080/", "[2001:db8::1]:8080"},
	{"tcp://192.0.2.1:5", "192.0.2.1:5"},
	{"unknown://192.0.2.1", NULL},
	{"http://", NULL},
	{"http:///path", NULL},
	{"://:", NULL},
};

/* What is said to write is taken. */
START_TEST(urls_are_told_from_endpoints)
{
	const char *value = urls[_i].value, *wanted = urls[_i].remedy;

	ck_assert_int_lt(CONNECT(value), 0);
	ck_assert_msg(
		strstr(error_text, "is a URL, with a scheme; write ") != NULL, "%s", error_text);
	if (wanted == NULL)
		return;
	const char *written = strstr(error_text, "write --connect ");
	ck_assert_msg(written != NULL, "%s", error_text);
	ck_assert_str_eq(written + strlen("write --connect "), wanted);
	ck_assert_int_eq(CONNECT(wanted), 0);
	ck_assert_int_lt(LISTEN(value), 0);
	ck_assert_msg(strstr(error_text, "is a URL, with a scheme; write --listen ") != NULL, "%s",
		error_text);
	ck_assert_int_eq(LISTEN(wanted), 0);
}
END_TEST

START_TEST(url_names_a_host)
{
	ck_assert_int_lt(CONNECT("http://example.org/"), 0);
	ck_assert_str_eq(error_text,
		"--connect 'http://example.org/' is a URL, with a scheme; write --connect "
		"example.org:80");
	ck_assert_int_lt(LISTEN("http://localhost:8080"), 0);
	ck_assert_str_eq(error_text,
		"--listen 'http://localhost:8080' is a URL, with a scheme; write --listen "
		"localhost:8080");
}
END_TEST

/* A name is listened on by its addresses. */
START_TEST(listen_on_a_name)
{
	ck_assert_int_eq(LISTEN("localhost:80"), 0);
	ck_assert(may_listen("127.0.0.1", 80));
	ck_assert(!may_listen("0.0.0.0", 80));
	ck_assert(!may_listen("127.0.0.1", 81));
	ck_assert_int_lt(LISTEN("no_such_name:80"), 0);
	ck_assert_ptr_nonnull(strstr(error_text, "is not known here; "));
	ck_assert_int_lt(LISTEN("*.localhost:80"), 0);
}
END_TEST

START_TEST(ranges_of_addresses)
{
	ck_assert_int_eq(CONNECT("10.0.0.0/8:443"), 0);
	ck_assert_int_eq(CONNECT("192.0.2.128/25:443"), 0);
	ck_assert_int_eq(CONNECT("[2001:db8:80::/41]:443"), 0);
	ck_assert_int_eq(CONNECT("198.51.100.7/32:443"), 0);
	ck_assert(may_connect("10.0.0.0", 443));
	ck_assert(may_connect("10.255.255.255", 443));
	ck_assert(!may_connect("11.0.0.0", 443));
	ck_assert(!may_connect("9.255.255.255", 443));
	ck_assert(!may_connect("10.0.0.1", 80));
	ck_assert(may_connect("192.0.2.128", 443));
	ck_assert(!may_connect("192.0.2.127", 443));
	ck_assert(may_connect("2001:db8:80::1", 443));
	ck_assert(may_connect("2001:db8:ff:ffff::", 443));
	ck_assert(!may_connect("2001:db8:7f::1", 443));
	ck_assert(!may_connect("2001:db8:100::", 443));
	ck_assert(may_connect("198.51.100.7", 443));
	ck_assert(!may_connect("198.51.100.6", 443));
	ck_assert(may_connect("::ffff:10.1.2.3", 443));
	/* A range is no leave to ask for names. */
	ck_assert_int_eq(name_of("example.org", 443), GRANT_NAME_REFUSED);
}
END_TEST

START_TEST(ranges_of_ports)
{
	ck_assert_int_eq(CONNECT("192.0.2.1:8000-8100"), 0);
	ck_assert_int_eq(CONNECT("192.0.2.2:*"), 0);
	ck_assert_int_eq(CONNECT("192.0.2.3:1-65535"), 0);
	ck_assert_int_eq(CONNECT("*.example.org:80-443"), 0);
	ck_assert(!may_connect("192.0.2.1", 7999));
	ck_assert(may_connect("192.0.2.1", 8000));
	ck_assert(may_connect("192.0.2.1", 8100));
	ck_assert(!may_connect("192.0.2.1", 8101));
	ck_assert(may_connect("192.0.2.2", 1));
	ck_assert(may_connect("192.0.2.3", 65535));
	ck_assert(!may_connect("192.0.2.3", 0));
	ck_assert(may_connect_name("a.example.org", 443));
	ck_assert(!may_connect_name("a.example.org", 444));
}
END_TEST

START_TEST(names_below_a_name)
{
	ck_assert_int_eq(CONNECT("*.example.org:443"), 0);
	ck_assert(may_connect_name("a.example.org", 443));
	ck_assert(may_connect_name("a.b.EXAMPLE.org", 443));
	ck_assert(!may_connect_name("example.org", 443));
	ck_assert(!may_connect_name(".example.org", 443));
	ck_assert(!may_connect_name("badexample.org", 443));
	ck_assert(!may_connect_name("a.example.org.evil", 443));
}
END_TEST

static const char *const nowhere[] = {"127.0.0.1", "127.8.9.1", "::1", "169.254.169.254", "fe80::1",
	"0.0.0.0", "::", "100.100.100.200", "fd00:ec2::254", "::ffff:127.0.0.1",
	"64:ff9b::a9fe:a9fe", "224.0.0.1", "255.255.255.255", "ff02::1"};

/* 'any' is the world without this machine, its links and the secrets of clouds. */
START_TEST(any_is_not_everything)
{
	static const char *const values[] = {"any:443", "any", "*:443", "0.0.0.0:443",
		"0.0.0.0/0:443", "[::/0]:443", "[::]:443", "128.0.0.0/1:443", "ANY:*"};

	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		grants_free(&grants);
		ck_assert_msg(CONNECT(values[v]) == 0, "%s", error_text);
		for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
			ck_assert_msg(!may_connect(nowhere[i], 443), "%s covers %s", values[v],
				nowhere[i]);
	}
	grants_free(&grants);
	ck_assert_int_eq(CONNECT("any:443"), 0);
	ck_assert(may_connect("192.0.2.1", 443));
	ck_assert(may_connect("2001:db8::1", 443));
	ck_assert(!may_connect("192.0.2.1", 80));
	ck_assert_int_eq(name_of("example.org", 443), GRANT_NAME_FREE);
	ck_assert_int_eq(name_of("example.org", 80), GRANT_NAME_REFUSED);
	ck_assert(!may_listen("192.0.2.1", 443));
}
END_TEST

/* What any leaves out is granted by its name. */
START_TEST(special_addresses_have_to_be_named)
{
	static const char *const values[] = {"127.0.0.0/8:1", "[::1]:1", "169.254.0.0/16:1",
		"[fe80::/10]:1", "0.0.0.0/8:1", "100.100.100.200:1", "[fd00:ec2::254]:1",
		"224.0.0.0/3:1", "[ff00::/8]:1"};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		ck_assert_msg(CONNECT(values[i]) == 0, "%s", error_text);
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		ck_assert_msg(may_connect(nowhere[i], 1) || strcmp(nowhere[i], "::") == 0 ||
				      strcmp(nowhere[i], "64:ff9b::a9fe:a9fe") == 0,
			"%s", nowhere[i]);
}
END_TEST

/* This machine's own address is no part of the world either. */
START_TEST(own_addresses_have_to_be_named)
{
	struct sockaddr_in of = {.sin_family = AF_INET, .sin_port = htons(53)}, own;
	socklen_t len = sizeof(own);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char text[INET_ADDRSTRLEN], value[64];

	inet_pton(AF_INET, "192.0.2.1", &of.sin_addr);
	ck_assert_int_eq(CONNECT("any:443"), 0);
	if (connect(fd, (struct sockaddr *)&of, sizeof(of)) == 0) {
		getsockname(fd, (struct sockaddr *)&own, &len);
		inet_ntop(AF_INET, &own.sin_addr, text, sizeof(text));
		ck_assert(!may_connect(text, 443));
		snprintf(value, sizeof(value), "%s:443", text);
		ck_assert_int_eq(CONNECT(value), 0);
		ck_assert(may_connect(text, 443));
	}
	close(fd);
}
END_TEST

START_TEST(listen_anywhere)
{
	ck_assert_int_eq(LISTEN("any:80"), 0);
	ck_assert(may_listen("0.0.0.0", 80));
	ck_assert(may_listen("::", 80));
	ck_assert(may_listen("127.0.0.1", 80));
	ck_assert(!may_listen("127.0.0.1", 81));
	grants_free(&grants);
	ck_assert_int_eq(LISTEN("10.0.0.0/8:80"), 0);
	ck_assert_int_eq(LISTEN("0.0.0.0/1:80"), 0);
	ck_assert(may_listen("10.1.2.3", 80));
	ck_assert_msg(!may_listen("0.0.0.0", 80), "that would be every address");
}
END_TEST

START_TEST(udp_is_both_ends_or_one)
{
	ck_assert_int_eq(UDP("127.0.0.1:53"), 0);
	ck_assert_int_eq(UDP("127.0.0.2:53:listen"), 0);
	ck_assert_int_eq(UDP("127.0.0.3:53:connect"), 0);
	ck_assert_int_eq(UDP("example.org:53"), 0);
	ck_assert_int_eq(UDP("any:123:connect"), 0);
	ck_assert(may(GRANT_UDP_LISTEN, "127.0.0.1", 53) && may(GRANT_UDP_SEND, "127.0.0.1", 53));
	ck_assert(may(GRANT_UDP_LISTEN, "127.0.0.2", 53) && !may(GRANT_UDP_SEND, "127.0.0.2", 53));
	ck_assert(!may(GRANT_UDP_LISTEN, "127.0.0.3", 53) && may(GRANT_UDP_SEND, "127.0.0.3", 53));
	ck_assert(!may(GRANT_UDP_LISTEN, "0.0.0.0", 123) && may(GRANT_UDP_SEND, "192.0.2.1", 123));
	ck_assert_int_eq(
		grants_name(&grants, GRANT_UDP_SEND, 53, "example.org", 11), GRANT_NAME_GIVEN);
	ck_assert(!may_listen("127.0.0.1", 53) && !may_connect("127.0.0.1", 53));
	ck_assert_int_lt(UDP("127.0.0.1:53:both"), 0);
	ck_assert_int_lt(UDP("127.0.0.1:listen"), 0);
	ck_assert_int_lt(UDP(":listen"), 0);
	grants_free(&grants);
	ck_assert_int_eq(UDP("localhost:53"), 0);
	ck_assert(may(GRANT_UDP_LISTEN, "127.0.0.1", 53));
	ck_assert_int_eq(
		grants_name(&grants, GRANT_UDP_SEND, 53, "localhost", 9), GRANT_NAME_GIVEN);
}
END_TEST

static const struct {
	const char *value, *address; /* NULL: refused */
	uint16_t port, guest_port;
	bool udp;
} publishes[] = {
	{"8080:80", "0.0.0.0", 8080, 80, false},
	{"0:80", "0.0.0.0", 0, 80, false},
	{"127.0.0.1:8080:80", "127.0.0.1", 8080, 80, false},
	{"127.0.0.1:0:80", "127.0.0.1", 0, 80, false},
	{"[::1]:8080:80/tcp", "::1", 8080, 80, false},
	{"[::]:8080:80", "::", 8080, 80, false},
	{"53:5353/udp", "0.0.0.0", 53, 5353, true},
	{"", NULL, 0, 0, false},
	{"80", NULL, 0, 0, false},
	{":80", NULL, 0, 0, false},
	{"80:", NULL, 0, 0, false},
	{"80:0", NULL, 0, 0, false},
	{"80:80:80", NULL, 0, 0, false},
	{"localhost:80:80", NULL, 0, 0, false},
	{"::1:80:80", NULL, 0, 0, false},
	{"80:80/sctp", NULL, 0, 0, false},
	{"65536:80", NULL, 0, 0, false},
	{"80:65536", NULL, 0, 0, false},
	{"1-2:1-2", NULL, 0, 0, false},
};

START_TEST(ports_are_published)
{
	int result = PUBLISH(publishes[_i].value);

	if (publishes[_i].address == NULL) {
		ck_assert_msg(result < 0, "--publish %s was taken", publishes[_i].value);
		ck_assert_msg(strstr(error_text, "; write [ADDR:]PORT:GUESTPORT, ") != NULL, "%s",
			error_text);
		return;
	}
	ck_assert_msg(result == 0, "%s", error_text);
	const struct endpoint *host =
		grants_published(&grants, publishes[_i].udp, publishes[_i].guest_port);
	ck_assert_ptr_nonnull(host);
	struct endpoint wanted = endpoint(publishes[_i].address, publishes[_i].port);
	ck_assert_mem_eq(host, &wanted, sizeof(wanted));
	ck_assert_ptr_null(grants_published(&grants, !publishes[_i].udp, publishes[_i].guest_port));
	ck_assert_ptr_null(grants_published(&grants, publishes[_i].udp, 1));
	ck_assert_int_lt(PUBLISH(publishes[_i].value), 0);
	ck_assert_ptr_nonnull(strstr(error_text, "a second time; "));
}
END_TEST

static int read_grants(const char *text)
{
	char path[] = "/tmp/ferrule-grants-file-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	int result = grants_add_file(&grants, path, error_text, sizeof(error_text));
	unlink(path);
	return result;
}

START_TEST(grants_are_read_from_a_file)
{
	ck_assert_int_eq(read_grants("# what the guest may do\n\n"
				     "listen 127.0.0.1:8080\n"
				     "  --connect\texample.org:443   # the world\r\n"
				     "udp any:53:connect\n"
				     "publish 127.0.0.1:8081:80\n"
				     "mount /:/a#b:rw"),
		0);
	ck_assert(may_listen("127.0.0.1", 8080));
	ck_assert(may_connect_name("example.org", 443));
	ck_assert(may(GRANT_UDP_SEND, "192.0.2.1", 53));
	ck_assert_ptr_nonnull(grants_published(&grants, false, 80));
	ck_assert_ptr_nonnull(grants_mount(&grants, "/a#b", 4));
	ck_assert_int_eq(read_grants(""), 0);
}
END_TEST

static const struct {
	const char *text, *sentence;
} bad_files[] = {
	{"listen 127.0.0.1:1\nlisten 127.0.0.1",
		" line 2: --listen '127.0.0.1' is not a host and a port; write both"},
	{"\n\nlisten", " line 3: listen has no value; write"},
	{"listen # 127.0.0.1:80", " line 1: listen has no value; write"},
	{"allow any", " line 1: there is no grant 'allow'; write listen, connect, udp, publish, "
		      "mount or unix"},
	{"listen=127.0.0.1:80", " line 1: there is no grant 'listen=127.0.0.1:80'; write"},
};

START_TEST(bad_files_earn_a_sentence)
{
	ck_assert_int_lt(read_grants(bad_files[_i].text), 0);
	ck_assert_msg(strstr(error_text, bad_files[_i].sentence) != NULL, "%s", error_text);
}
END_TEST

static int bound_socket(bool listening, uint16_t *ret_port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 1), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

START_TEST(port_in_use_is_said)
{
	char value[64];
	uint16_t port;
	int fd = bound_socket(true, &port);

	snprintf(value, sizeof(value), "127.0.0.1:%u", port);
	ck_assert_int_eq(LISTEN(value), 0);
	ck_assert_int_lt(grants_probe_listen(&grants, error_text, sizeof(error_text)), 0);
	ck_assert_ptr_nonnull(strstr(error_text, "is in use; "));
	close(fd);
	ck_assert_int_eq(grants_probe_listen(&grants, error_text, sizeof(error_text)), 0);
	/* Twice: the probe itself leaves nothing behind. */
	ck_assert_int_eq(grants_probe_listen(&grants, error_text, sizeof(error_text)), 0);
}
END_TEST

/* A port that another process leaves within the monitor's patience is waited for. */
START_TEST(port_just_left_is_waited_for)
{
	char value[64];
	uint16_t port;
	int fd = bound_socket(true, &port), status;

	snprintf(value, sizeof(value), "127.0.0.1:%u", port);
	ck_assert_int_eq(LISTEN(value), 0);
	pid_t holder = fork();
	ck_assert_int_ge(holder, 0);
	if (holder == 0) {
		sleep_ms(100);
		_exit(0);
	}
	close(fd);
	uint64_t begin = clock_ms();
	ck_assert_msg(grants_probe_listen(&grants, error_text, sizeof(error_text)) == 0, "%s",
		error_text);
	ck_assert_uint_ge(clock_ms() - begin, 50); /* it was not free at once */
	ck_assert_int_eq(waitpid(holder, &status, 0), holder);
}
END_TEST

START_TEST(address_of_another_machine_is_said)
{
	ck_assert_int_eq(LISTEN("192.0.2.1:0"), 0);
	ck_assert_int_lt(grants_probe_listen(&grants, error_text, sizeof(error_text)), 0);
	ck_assert_ptr_nonnull(strstr(error_text, "no interface has that address; "));
}
END_TEST

static const struct {
	const char *behind; /* the host directory */
	const char *guest;  /* NULL: refused */
	bool writable;
} mounts[] = {
	{":/www", "/www", false},
	{":/www:ro", "/www", false},
	{":/www:rw", "/www", true},
	{":/", "/", false},
	{":/:rw", "/", true},
	{"://a//b/./c/", "/a/b/c", false},
	{":/...", "/...", false},
	{"", NULL, false},
	{":", NULL, false},
	{":rw", NULL, false},
	{":www", NULL, false},
	{":www:rw", NULL, false},
	{":/www:", NULL, false},
	{":/www:rx", NULL, false},
	{":/www:rw:ro", NULL, false},
	{":/www/..", NULL, false},
	{":/../www", NULL, false},
};

START_TEST(mounts_are_read)
{
	char value[256];

	snprintf(value, sizeof(value), "%s%s", directory, mounts[_i].behind);
	int result = MOUNT(value);
	if (mounts[_i].guest == NULL) {
		ck_assert_msg(result < 0, "--mount %s was taken", value);
		ck_assert_msg(strstr(error_text, "; ") != NULL, "'%s'", error_text);
		ck_assert_uint_eq(grants.mount_count, 0);
		return;
	}
	ck_assert_msg(result == 0, "%s", error_text);
	ck_assert_uint_eq(grants.mount_count, 1);
	ck_assert_str_eq(grants.mount[0].guest_path, mounts[_i].guest);
	ck_assert_str_eq(grants.mount[0].host_path, directory);
	ck_assert_int_eq(grants.mount[0].writable, mounts[_i].writable);
	ck_assert_int_ge(grants.mount[0].fd, 0);
}
END_TEST

START_TEST(mounts_are_found_by_their_path)
{
	char value[256];

	snprintf(value, sizeof(value), "%s:/a", directory);
	ck_assert_int_eq(MOUNT(value), 0);
	snprintf(value, sizeof(value), "%s:/a/b:rw", directory);
	ck_assert_int_eq(MOUNT(value), 0);
	snprintf(value, sizeof(value), "%s:/a/", directory);
	ck_assert_int_lt(MOUNT(value), 0);
	ck_assert_ptr_nonnull(strstr(error_text, "a second time; "));
	ck_assert_ptr_eq(grants_mount(&grants, "/a", 2), &grants.mount[0]);
	ck_assert_ptr_eq(grants_mount(&grants, "/a/b", 4), &grants.mount[1]);
	ck_assert_ptr_null(grants_mount(&grants, "/", 1));
	ck_assert_ptr_null(grants_mount(&grants, "/a/", 3));
	ck_assert_ptr_null(grants_mount(&grants, "/a/b/c", 6));
	ck_assert_ptr_null(grants_mount(&grants, "", 0));
}
END_TEST

START_TEST(host_directory_may_have_colons)
{
	char host[256], value[300];

	snprintf(host, sizeof(host), "%s/a:b", directory);
	ck_assert_int_eq(mkdir(host, 0700), 0);
	snprintf(value, sizeof(value), "%s:/c:rw", host);
	ck_assert_int_eq(MOUNT(value), 0);
	ck_assert_str_eq(grants.mount[0].host_path, host);
	ck_assert_str_eq(grants.mount[0].guest_path, "/c");
	rmdir(host);
}
END_TEST

START_TEST(missing_directory_and_file_are_said)
{
	ck_assert_int_lt(MOUNT("/no/such/directory:/a"), 0);
	ck_assert_ptr_nonnull(strstr(error_text, "is not there on the host; "));
	ck_assert_int_lt(MOUNT("/etc/passwd:/a"), 0);
	ck_assert_ptr_nonnull(strstr(error_text, "is not a directory on the host; "));
}
END_TEST

START_TEST(refusals_are_counted)
{
	uint64_t before = stats.grants_refused;

	log_level = LOG_ERROR;
	grants_refused("192.0.2.1:80", "--connect", "192.0.2.1:80");
	ck_assert_uint_eq(stats.grants_refused, before + 1);
}
END_TEST

/* The log's line of a refusal, without what every line begins with. */
static void refusal_line(
	const char *what, const char *option, const char *value, char *ret_line, size_t len)
{
	static const char prefix[] = "ferrule: warning: refused to the guest: ";
	FILE *file = tmpfile();
	int before = dup(STDERR_FILENO);

	log_level = LOG_WARNING;
	dup2(fileno(file), STDERR_FILENO);
	grants_refused(what, option, value);
	dup2(before, STDERR_FILENO);
	close(before);
	rewind(file);
	ck_assert_ptr_nonnull(fgets(ret_line, (int)len, file));
	ck_assert_int_eq(fgetc(file), EOF);
	fclose(file);
	ck_assert_msg(strncmp(ret_line, prefix, sizeof(prefix) - 1) == 0, "%s", ret_line);
	memmove(ret_line, ret_line + sizeof(prefix) - 1, strlen(ret_line) - sizeof(prefix) + 2);
}

static const struct {
	const char *what, *option, *value, *line;
} refusals[] = {
	{"127.0.0.1:80", "--listen", "127.0.0.1:80",
		"127.0.0.1:80; --listen 127.0.0.1:80 would allow it\n"},
	/* Brackets mean something to a shell. */
	{"[::1]:80", "--connect", "[::1]:80", "[::1]:80; --connect '[::1]:80' would allow it\n"},
	{"directory /www", "--mount", "HOSTDIR:/www",
		"directory /www; --mount HOSTDIR:/www would allow it\n"},
	{"directory /a b", "--mount", "HOSTDIR:/a b",
		"directory /a b; --mount 'HOSTDIR:/a b' would allow it\n"},
	{"directory /$(id)", "--mount", "HOSTDIR:/$(id)",
		"directory /$(id); --mount 'HOSTDIR:/$(id)' would allow it\n"},
	{"directory /';id'", "--mount", "HOSTDIR:/';id'",
		"directory /';id'; --mount 'HOSTDIR:/'\\'';id'\\''' would allow it\n"},
	{"directory /x --listen 0.0.0.0:0", "--mount", "HOSTDIR:/x --listen 0.0.0.0:0",
		"directory /x --listen 0.0.0.0:0; --mount 'HOSTDIR:/x --listen 0.0.0.0:0' would "
		"allow it\n"},
	/* What the line cannot show cannot be pasted. */
	{"directory /a\nid", "--mount", "HOSTDIR:/a\nid",
		"directory /a?id; --mount would allow it\n"},
	{"a b:80", "--connect", NULL, "a b:80; no --connect can allow it\n"},
};

START_TEST(refusals_can_be_pasted)
{
	char line[1100];

	refusal_line(
		refusals[_i].what, refusals[_i].option, refusals[_i].value, line, sizeof(line));
	ck_assert_str_eq(line, refusals[_i].line);
}
END_TEST

/* At any length the line is whole: no quote is left open. */
START_TEST(long_refusals_are_cut)
{
	char what[4000], value[4000], line[1100];

	for (size_t len = 100; len < sizeof(what); len += 487) {
		memset(what, 'a', len);
		memset(value, '!', len);
		what[len] = value[len] = '\0';
		refusal_line(what, "--mount", value, line, sizeof(line));
		const char *tail = strrchr(line, ';');
		ck_assert_ptr_nonnull(tail);
		ck_assert_ptr_nonnull(strstr(tail, " would allow it\n"));
		ck_assert(strchr(tail, '!') == NULL || strstr(tail, "!' would") != NULL);
	}
}
END_TEST

START_TEST(what_an_option_could_name)
{
	ck_assert(grants_could_name("example.org", 11));
	ck_assert(grants_could_name("192.0.2.1", 9));
	ck_assert(grants_could_name("::1", 3));
	ck_assert(!grants_could_name("", 0));
	ck_assert(!grants_could_name("a b", 3));
	ck_assert(!grants_could_name("a\0b", 3));
	ck_assert(!grants_could_name("127.1", 5));
}
END_TEST

static TCase *endpoint_tests(void)
{
	TCase *tests = tcase_create("endpoints");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, without_a_grant_nothing_is_reachable);
	tcase_add_test(tests, listen_is_one_address_and_port);
	tcase_add_test(tests, unspecified_address_covers_its_family);
	tcase_add_test(tests, port_0_covers_every_port);
	tcase_add_test(tests, ipv4_within_ipv6_is_ipv4);
	tcase_add_test(tests, names_are_granted_as_names);
	tcase_add_test(tests, overlong_names_are_refused);
	tcase_add_test(tests, unknown_family_is_refused);
	tcase_add_loop_test(tests, bad_endpoints_earn_a_sentence, 0,
		(int)(sizeof(bad_endpoints) / sizeof(bad_endpoints[0])));
	tcase_add_loop_test(
		tests, urls_are_told_from_endpoints, 0, (int)(sizeof(urls) / sizeof(urls[0])));
	tcase_add_test(tests, url_names_a_host);
	tcase_add_test(tests, listen_on_a_name);
	tcase_add_test(tests, ranges_of_addresses);
	tcase_add_test(tests, ranges_of_ports);
	tcase_add_test(tests, names_below_a_name);
	tcase_add_test(tests, any_is_not_everything);
	tcase_add_test(tests, special_addresses_have_to_be_named);
	tcase_add_test(tests, own_addresses_have_to_be_named);
	tcase_add_test(tests, listen_anywhere);
	tcase_add_test(tests, udp_is_both_ends_or_one);
	tcase_add_loop_test(
		tests, ports_are_published, 0, (int)(sizeof(publishes) / sizeof(publishes[0])));
	tcase_add_test(tests, grants_are_read_from_a_file);
	tcase_add_loop_test(tests, bad_files_earn_a_sentence, 0,
		(int)(sizeof(bad_files) / sizeof(bad_files[0])));
	tcase_add_test(tests, port_in_use_is_said);
	tcase_add_test(tests, port_just_left_is_waited_for);
	tcase_add_test(tests, address_of_another_machine_is_said);
	tcase_add_test(tests, refusals_are_counted);
	tcase_add_loop_test(
		tests, refusals_can_be_pasted, 0, (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_test(tests, long_refusals_are_cut);
	tcase_add_test(tests, what_an_option_could_name);
	return tests;
}

static TCase *mount_tests(void)
{
	TCase *tests = tcase_create("mounts");

	tcase_add_checked_fixture(tests, setup_directory, teardown_directory);
	tcase_add_loop_test(tests, mounts_are_read, 0, (int)(sizeof(mounts) / sizeof(mounts[0])));
	tcase_add_test(tests, mounts_are_found_by_their_path);
	tcase_add_test(tests, host_directory_may_have_colons);
	tcase_add_test(tests, missing_directory_and_file_are_said);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("grants");

	suite_add_tcase(suite, endpoint_tests());
	suite_add_tcase(suite, mount_tests());
	return suite_run(suite);
}
