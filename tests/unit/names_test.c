/* --dns, --add-host and /etc/hosts. */
#include "monitor/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/suite.h"

static struct resolver_config config;
static char sentence[400];

static void setup(void)
{
	config = (struct resolver_config){.server_count = 0};
}

static void teardown(void)
{
	names_free(&config);
}

static void expect_text(const struct endpoint *endpoint, const char *expected)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(endpoint->family == ENDPOINT_IPV4 ? AF_INET : AF_INET6, endpoint->addr, text,
		sizeof(text));
	ck_assert_str_eq(text, expected);
}

START_TEST(name_servers)
{
	static const struct {
		const char *value, *address;
		unsigned port;
	} good[] = {
		{"192.0.2.53", "192.0.2.53", 0},
		{"192.0.2.53:5353", "192.0.2.53", 5353},
		{"2001:db8::53", "2001:db8::53", 0},
		{"[2001:db8::53]", "2001:db8::53", 0},
		{"[2001:db8::53]:5353", "2001:db8::53", 5353},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		expect_equal(
			names_add_server(&config, good[i].value, sentence, sizeof(sentence)), 0);
		expect_equal(config.server_count, i + 1);
		expect_text(&config.server[i], good[i].address);
		expect_equal(config.server[i].port, good[i].port);
	}
}
END_TEST

START_TEST(no_name_servers)
{
	static const char *const bad[] = {"", "dns.example", "192.0.2",
		"192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:53x",
		"[2001:db8::53", "[2001:db8::53]53", "[]", ":53", "300.0.2.53", "192.0.2.53%eth0"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_equal(
			names_add_server(&config, bad[i], sentence, sizeof(sentence)), -EINVAL);
		expect(strstr(sentence, "write for example --dns 192.0.2.53") != NULL);
		expect(strstr(sentence, bad[i]) != NULL);
	}
	expect_equal(config.server_count, 0);
}
END_TEST

START_TEST(a_server_of_one_link)
{
	expect_equal(names_add_server(&config, "fe80::1%lo", sentence, sizeof(sentence)), -EINVAL);
	expect(strstr(sentence, "of one link") != NULL);
}
END_TEST

START_TEST(added_hosts)
{
	static const struct {
		const char *value, *name, *address;
	} good[] = {
		{"db:192.0.2.7", "db", "192.0.2.7"},
		{"db.internal=192.0.2.7", "db.internal", "192.0.2.7"},
		{"six:2001:db8::7", "six", "2001:db8::7"},
		{"six:[2001:db8::7]", "six", "2001:db8::7"},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		expect_equal(names_add_host(&config, good[i].value, sentence, sizeof(sentence)), 0);
		ck_assert_str_eq(config.host[i].name, good[i].name);
		expect_text(&config.host[i].address, good[i].address);
	}
}
END_TEST

START_TEST(no_added_hosts)
{
	static const char *const bad[] = {"", "db", "db:", ":192.0.2.7", "db:other",
		"db:192.0.2.7:80", "db=", "db:host-gateway"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_equal(names_add_host(&config, bad[i], sentence, sizeof(sentence)), -EINVAL);
		expect(strstr(sentence, "write for example --add-host") != NULL);
	}
	expect_equal(config.host_count, 0);
}
END_TEST

static struct {
	struct endpoint ipv6[4], ipv4[4];
	unsigned ipv6_count, ipv4_count;
	bool known;
} found;

static void find(const char *text, const char *name)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/ferrule-names-%d", getpid());
	file = fopen(path, "we");
	fputs(text, file);
	fclose(file);
	found.known = hosts_find(NULL, 0, path, name, found.ipv6, &found.ipv6_count, found.ipv4,
			      &found.ipv4_count, 4) == 1;
	unlink(path);
}

static void expect_found(const char *text, const char *name, unsigned ipv6, unsigned ipv4)
{
	find(text, name);
	expect(found.known);
	expect_equal(found.ipv6_count, ipv6);
	expect_equal(found.ipv4_count, ipv4);
}

static void expect_unknown(const char *text, const char *name)
{
	find(text, name);
	expect(!found.known);
	expect_equal(found.ipv6_count + found.ipv4_count, 0);
}

START_TEST(the_hosts_file)
{
	static const char text[] = "# 192.0.2.1 comment\n"
				   "192.0.2.2\tone two # three\n"
				   "  192.0.2.3 one\n"
				   "2001:db8::1 ONE\n"
				   "nonsense one\n"
				   "192.0.2.4\n"
				   "fe80::1%1 scoped\n"
				   "0.0.0.0 blocked\n"
				   ":: blocked\n"
				   "192.0.2.5 last";

	expect_found(text, "One", 1, 2);
	expect_text(&found.ipv4[0], "192.0.2.2");
	expect_text(&found.ipv4[1], "192.0.2.3");
	expect_text(&found.ipv6[0], "2001:db8::1");
	expect_found(text, "two", 0, 1);
	expect_found(text, "scoped", 1, 0);
	expect_equal(found.ipv6[0].scope, 1);
	expect_found(text, "last", 0, 1);
	expect_found(text, "blocked", 0, 0);
	expect_unknown(text, "comment");
	expect_unknown(text, "three");
	expect_unknown(text, "nonsense");
	expect_unknown("", "one");
	/* No more than asked for. */
	expect_found(
		"192.0.2.1 a\n192.0.2.1 a\n192.0.2.1 a\n192.0.2.1 a\n192.0.2.1 a\n", "a", 0, 4);
	expect_found("", "localhost", 1, 1);
	expect_found("", "a.LOCALHOST", 1, 1);
	expect_unknown("", "notlocalhost");
}
END_TEST

START_TEST(a_dot_behind_an_added_name)
{
	expect_equal(
		names_add_host(&config, "db.internal.:192.0.2.7", sentence, sizeof(sentence)), 0);
	ck_assert_str_eq(config.host[0].name, "db.internal");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *tcase = tcase_create("names");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, name_servers);
	tcase_add_test(tcase, no_name_servers);
	tcase_add_test(tcase, a_server_of_one_link);
	tcase_add_test(tcase, added_hosts);
	tcase_add_test(tcase, no_added_hosts);
	tcase_add_test(tcase, the_hosts_file);
	tcase_add_test(tcase, a_dot_behind_an_added_name);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
