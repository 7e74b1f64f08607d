/* What names that were granted open to the guest, and for how long. */
#include <string.h>

#include "monitor/address.h"
#include "monitor/reach.h"
#include "monitor/stats.h"
#include "tests/lib/suite.h"

static struct grants grants;
static struct reach *reach;
static char error_text[512];
static uint64_t now_s;

static uint64_t test_clock(void)
{
	return now_s;
}

static void setup(void)
{
	grants = (struct grants){0};
	now_s = 1000;
	expect_equal(
		grants_add_connect(&grants, "example.org:443", error_text, sizeof(error_text)), 0);
	expect_equal(
		grants_add_connect(&grants, "*.example.net:80-90", error_text, sizeof(error_text)),
		0);
	expect_equal(grants_add_udp(&grants, "example.org:53", error_text, sizeof(error_text)), 0);
	expect_equal(grants_add_connect(&grants, "any:8000", error_text, sizeof(error_text)), 0);
	expect_equal(reach_create(&reach, &grants, test_clock), 0);
}

static void teardown(void)
{
	reach_destroy(reach);
	grants_free(&grants);
}

static struct endpoint endpoint(const char *text, uint16_t port)
{
	struct endpoint of;

	expect(address_parse(text, &of));
	of.port = port;
	return of;
}

static bool may(enum grant_use use, const char *text, uint16_t port)
{
	struct endpoint of = endpoint(text, port);

	return reach_may(reach, use, &of);
}

static struct resolver_answer answer(const char *first, const char *second, uint32_t ttl_s)
{
	struct resolver_answer of = {.count = second != NULL ? 2 : 1, .ttl_s = ttl_s};

	of.address[0] = endpoint(first, 0);
	if (second != NULL)
		of.address[1] = endpoint(second, 0);
	return of;
}

static void learn(const char *host, const struct resolver_answer *of)
{
	reach_learn(reach, host, strlen(host), of);
}

START_TEST(an_address_is_lent_by_its_name)
{
	struct resolver_answer of = answer("198.51.100.1", "2001:db8::1", 300);

	expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
	learn("Example.ORG", &of);
	expect(may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
	expect(may(GRANT_TCP_CONNECT, "::ffff:198.51.100.1", 443));
	expect(may(GRANT_TCP_CONNECT, "2001:db8::1", 443));
	expect(may(GRANT_UDP_SEND, "198.51.100.1", 53));
	expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 80));
	expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 53));
	expect(!may(GRANT_UDP_SEND, "198.51.100.1", 443));
	expect(!may(GRANT_TCP_CONNECT, "198.51.100.2", 443));
	expect(!may(GRANT_TCP_LISTEN, "198.51.100.1", 443));
}
END_TEST

START_TEST(a_lease_ends_with_the_answer)
{
	static const struct {
		uint32_t ttl_s, lasts_s;
	} lives[] = {{300, 300}, {0, REACH_LEASE_MIN_S}, {UINT32_MAX, REACH_LEASE_MAX_S}};
	struct resolver_answer of = answer("198.51.100.1", NULL, 0);

	for (unsigned i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		of.ttl_s = lives[i].ttl_s;
		learn("example.org", &of);
		now_s += lives[i].lasts_s;
		expect(may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
		now_s++;
		expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
	}
	/* Another answer of a shorter life takes nothing back. */
	of.ttl_s = 100;
	learn("example.org", &of);
	of.ttl_s = 10;
	learn("example.org", &of);
	now_s += 99;
	expect(may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
	of.ttl_s = 50;
	learn("example.org", &of);
	now_s += 50;
	expect(may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
	now_s++;
	expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
}
END_TEST

START_TEST(other_names_lend_nothing)
{
	struct resolver_answer of = answer("198.51.100.1", NULL, 300);

	learn("example.com", &of);
	learn("example.net", &of);
	expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
	expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 80));
	learn("www.example.net", &of);
	expect(may(GRANT_TCP_CONNECT, "198.51.100.1", 85));
	expect(!may(GRANT_TCP_CONNECT, "198.51.100.1", 443));
}
END_TEST

/* A name server's word opens nothing of this machine; the user's does. */
START_TEST(what_leads_here_is_not_lent)
{
	struct resolver_answer of = answer("127.0.0.1", "169.254.169.254", 300);

	learn("example.org", &of);
	expect(!may(GRANT_TCP_CONNECT, "127.0.0.1", 443));
	expect(!may(GRANT_TCP_CONNECT, "169.254.169.254", 443));
	of.known_here = true;
	learn("example.org", &of);
	expect(may(GRANT_TCP_CONNECT, "127.0.0.1", 443));
	expect(!may(GRANT_TCP_CONNECT, "127.0.0.1", 8000));
}
END_TEST

START_TEST(answers_are_sifted)
{
	struct resolver_answer of = answer("127.0.0.1", "198.51.100.1", 300);
	uint64_t before = stats.grants_refused;

	expect_equal(reach_believe(reach, GRANT_TCP_CONNECT, 443, GRANT_NAME_GIVEN, &of), 1);
	expect_equal(of.address[0].addr[0], 198);
	expect_equal(stats.grants_refused, before + 1);
	of = answer("127.0.0.1", "198.51.100.1", 300);
	of.known_here = true;
	expect_equal(reach_believe(reach, GRANT_TCP_CONNECT, 443, GRANT_NAME_GIVEN, &of), 2);
	/* A name that anyone may ask for says nothing for its addresses, whoever knows them. */
	expect_equal(reach_believe(reach, GRANT_TCP_CONNECT, 8000, GRANT_NAME_FREE, &of), 1);
	expect_equal(of.address[0].addr[0], 198);
	expect_equal(reach_believe(reach, GRANT_TCP_CONNECT, 443, GRANT_NAME_FREE, &of), 0);
}
END_TEST

START_TEST(who_only_asks_is_told_what_could_be_reached)
{
	struct resolver_answer of = answer("127.0.0.1", "198.51.100.1", 300);

	expect_equal(reach_name(reach, "example.org", 11), GRANT_NAME_GIVEN);
	expect_equal(reach_name(reach, "a.example.net", 13), GRANT_NAME_GIVEN);
	expect_equal(reach_name(reach, "other.test", 10), GRANT_NAME_FREE);
	expect_equal(reach_believe_some(reach, GRANT_NAME_FREE, &of), 1);
	expect_equal(of.address[0].addr[0], 198);
	grants_free(&grants);
	expect_equal(
		grants_add_connect(&grants, "198.51.100.0/24:80", error_text, sizeof(error_text)),
		0);
	expect_equal(reach_name(reach, "example.org", 11), GRANT_NAME_REFUSED);
	expect_equal(reach_believe_some(reach, GRANT_NAME_FREE, &of), 1);
	of = answer("203.0.113.1", NULL, 300);
	expect_equal(reach_believe_some(reach, GRANT_NAME_FREE, &of), 0);
}
END_TEST

/* The oldest make room; those that are still told of stay. */
START_TEST(leases_are_limited)
{
	struct resolver_answer kept = answer("198.51.100.1", NULL, 3000),
			       of = answer("203.0.113.1", NULL, 300);

	learn("www.example.net", &kept);
	for (unsigned i = 0; i < REACH_LEASES + 20; i++) {
		of.address[0].addr[2] = (unsigned char)(i / 250);
		of.address[0].addr[3] = (unsigned char)(i % 250);
		of.ttl_s = 300 + i;
		learn("www.example.net", &of);
	}
	expect(may(GRANT_TCP_CONNECT, "198.51.100.1", 80));
	expect(!may(GRANT_TCP_CONNECT, "203.0.0.0", 80));
	expect(may(GRANT_TCP_CONNECT, "203.0.0.249", 80));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reach");
	TCase *tests = tcase_create("reach");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, an_address_is_lent_by_its_name);
	tcase_add_test(tests, a_lease_ends_with_the_answer);
	tcase_add_test(tests, other_names_lend_nothing);
	tcase_add_test(tests, what_leads_here_is_not_lent);
	tcase_add_test(tests, answers_are_sifted);
	tcase_add_test(tests, who_only_asks_is_told_what_could_be_reached);
	tcase_add_test(tests, leases_are_limited);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
