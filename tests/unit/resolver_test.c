/* Names to addresses, with name servers that answer, lie and say nothing. */
#include "monitor/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/name_server.h"
#include "tests/lib/suite.h"

#define WAIT_S 20 /* longer than any answer takes */

static const struct name_rule rules[] = {
	{"both.test", ENDPOINT_IPV4, .address = {"192.0.2.1", "192.0.2.2"}},
	{"both.test", ENDPOINT_IPV6, .address = {"2001:db8::1"}},
	{"four.test", ENDPOINT_IPV4, .address = {"192.0.2.4"}},
	{"four.test", ENDPOINT_IPV6},
	{"fails.test", .behaviour = NAME_FAILS},
	{"silent.test", .behaviour = NAME_SILENT},
	{"wrong-id.test", .behaviour = NAME_WRONG_ID, .delay_ms = 50, .address = {"192.0.2.5"}},
	{"wrong-question.test", .behaviour = NAME_WRONG_QUESTION, .delay_ms = 50,
		.address = {"192.0.2.5"}},
	{"garbage.test", .behaviour = NAME_GARBAGE, .delay_ms = 50, .address = {"192.0.2.5"}},
	{"many.test", ENDPOINT_IPV4,
		.address = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5",
			"192.0.2.6", "192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10",
			"192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15",
			"192.0.2.16", "192.0.2.17", "192.0.2.18", "192.0.2.19", "192.0.2.20"}},
	{"localhost", ENDPOINT_IPV4, .address = {"192.0.2.66"}},
	{"host.domain.test", ENDPOINT_IPV4, .address = {"192.0.2.30"}},
	{"host.domain.test", ENDPOINT_IPV6},
	{"first.other.test", ENDPOINT_IPV4, .address = {"192.0.2.31"}},
	{"first.other.test", ENDPOINT_IPV6},
	{"first.domain.test", .address = {"2001:db8::bad"}},
	{"full.test", ENDPOINT_IPV4, .address = {"192.0.2.32"}},
	{"full.test", ENDPOINT_IPV6},
	{"full.test.other.test", .address = {"2001:db8::bad"}},
	{"servfail.failing.test", .behaviour = NAME_FAILS},
	{"servfail.domain.test", ENDPOINT_IPV4, .address = {"192.0.2.34"}},
	{"servfail.domain.test", ENDPOINT_IPV6},
	{"half.test", ENDPOINT_IPV4, .address = {"192.0.2.33"}},
	{"half.test", ENDPOINT_IPV6, .behaviour = NAME_SILENT},
};

static struct name_server server;
static struct resolver_config config;
static struct resolver *resolver;
static struct endpoint server_address;
static char hosts_path[64], conf_path[64];
static sem_t came;

/* There is no I/O thread here: whoever waits runs what came. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop_message *newest;

static void post(void *target, struct loop_message *posted)
{
	(void)target;
	pthread_mutex_lock(&lock);
	posted->next = newest;
	newest = posted;
	pthread_mutex_unlock(&lock);
	sem_post(&came);
}

static void run_posted(void)
{
	pthread_mutex_lock(&lock);
	struct loop_message *taken = newest;
	newest = NULL;
	pthread_mutex_unlock(&lock);
	loop_messages_run(taken);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	expect(file != NULL);
	fputs(text, file);
	fclose(file);
}

static void setup(void)
{
	sem_init(&came, 0, 0);
	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	snprintf(hosts_path, sizeof(hosts_path), "/tmp/ferrule-hosts-%d", getpid());
	snprintf(conf_path, sizeof(conf_path), "/tmp/ferrule-conf-%d", getpid());
	write_file(hosts_path, "192.0.2.77 both.test # not what the server says\n");
	server_address = (struct endpoint){
		.family = ENDPOINT_IPV4, .port = server.port, .addr = {127, 0, 0, 1}};
	config = (struct resolver_config){.server = &server_address,
		.server_count = 1,
		.hosts_path = "/dev/null",
		.resolv_conf = conf_path};
	expect_equal(resolver_create(&resolver, &config, post, NULL), 0);
}

static void teardown(void)
{
	resolver_destroy(resolver);
	name_server_stop(&server);
	unlink(hosts_path);
	unlink(conf_path);
}

static unsigned answers;

static void answered(struct resolver_query *query, enum resolver_family family)
{
	(void)query, (void)family;
	answers++;
}

static void ask(struct resolver_query *query, const char *name)
{
	*query = (struct resolver_query){.answered = answered};
	snprintf(query->name, sizeof(query->name), "%s", name);
	resolver_ask(resolver, query);
}

/* Until no more than so many answers are outstanding. */
static void wait_until(unsigned outstanding)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	while (resolver_outstanding(resolver) > outstanding) {
		expect(sem_timedwait(&came, &until) == 0 || errno == EINTR);
		run_posted();
	}
}

static struct resolver_query *lookup(const char *name)
{
	static struct resolver_query query;

	answers = 0;
	ask(&query, name);
	wait_until(0);
	expect_equal(answers, RESOLVER_FAMILIES);
	return &query;
}

/* "192.0.2.1 192.0.2.2", or an errno and NULL. */
static void expect_answer(const struct resolver_answer *answer, int error, const char *expected)
{
	char text[INET6_ADDRSTRLEN], all[600] = "";

	expect_equal(answer->error, error);
	for (unsigned i = 0; error == 0 && i < answer->count; i++) {
		inet_ntop(answer->address[i].family == ENDPOINT_IPV4 ? AF_INET : AF_INET6,
			answer->address[i].addr, text, sizeof(text));
		strcat(strcat(all, i > 0 ? " " : ""), text);
		expect_equal(answer->address[i].port, 0);
	}
	ck_assert_str_eq(all, error == 0 ? expected : "");
}

/* Either NULL: there is no such address. */
static void expect_addresses(const char *name, const char *ipv6, const char *ipv4)
{
	struct resolver_query *query = lookup(name);

	expect_answer(&query->answer[RESOLVER_IPV6], ipv6 != NULL ? 0 : EHOSTUNREACH, ipv6);
	expect_answer(&query->answer[RESOLVER_IPV4], ipv4 != NULL ? 0 : EHOSTUNREACH, ipv4);
}

static void expect_error(const char *name, int error)
{
	struct resolver_query *query = lookup(name);

	expect_answer(&query->answer[RESOLVER_IPV6], error, NULL);
	expect_answer(&query->answer[RESOLVER_IPV4], error, NULL);
}

START_TEST(answers_of_both_families)
{
	expect_addresses("both.test", "2001:db8::1", "192.0.2.1 192.0.2.2");
	expect_addresses("BOTH.Test.", "2001:db8::1", "192.0.2.1 192.0.2.2");
	expect_addresses("four.test", NULL, "192.0.2.4");
	expect(!lookup("four.test")->answer[RESOLVER_IPV4].known_here);
}
END_TEST

START_TEST(many_are_cut_off)
{
	struct resolver_query *query = lookup("many.test");

	expect_equal(query->answer[RESOLVER_IPV4].error, 0);
	expect_equal(query->answer[RESOLVER_IPV4].count, RESOLVER_ADDRESSES);
}
END_TEST

START_TEST(what_there_is_not)
{
	char long_part[100];

	expect_addresses("nothing.test", NULL, NULL);
	memset(long_part, 'a', 80);
	strcpy(long_part + 80, ".test");
	expect_addresses(long_part, NULL, NULL);
	expect_addresses("a..test", NULL, NULL);
	expect_error("fails.test", EAGAIN);
}
END_TEST

/* One with another id is overlooked; others may make the question fail. */
START_TEST(forged_answers_are_not_believed)
{
	static const char *const names[] = {"wrong-id.test", "wrong-question.test", "garbage.test"};

	for (int i = 0; i < 3; i++) {
		struct resolver_answer *ipv4 = &lookup(names[i])->answer[RESOLVER_IPV4];

		if (i == 0 || ipv4->error == 0)
			expect_answer(ipv4, 0, "192.0.2.5");
		else
			expect_equal(ipv4->error, EAGAIN);
	}
}
END_TEST

START_TEST(this_machine_knows_better)
{
	static char added[] = "added.test";
	struct host_entry host[] = {
		{added, {.family = ENDPOINT_IPV4, .addr = {192, 0, 2, 40}}},
		{added, {.family = ENDPOINT_IPV4, .addr = {192, 0, 2, 41}}},
	};

	config.hosts_path = hosts_path;
	config.host = host;
	config.host_count = 2;
	/* Known by one address: what a name server says of the same name would be another's. */
	expect_addresses("both.test", NULL, "192.0.2.77");
	expect_addresses("Both.TEST.", NULL, "192.0.2.77");
	expect_addresses("added.test", NULL, "192.0.2.40 192.0.2.41");
	expect(lookup("added.test")->answer[RESOLVER_IPV4].known_here);
	expect_addresses("localhost", "::1", "127.0.0.1");
	expect_addresses("any.localhost", "::1", "127.0.0.1");
	expect_equal(atomic_load(&server.questions), 0);
	write_file(hosts_path, "192.0.2.78 both.test\n");
	expect_addresses("both.test", NULL, "192.0.2.78");
}
END_TEST

START_TEST(addresses_are_names_of_themselves)
{
	expect_addresses("192.0.2.9", NULL, "192.0.2.9");
	expect_addresses("2001:db8::9", "2001:db8::9", NULL);
	expect_equal(atomic_load(&server.questions), 0);
}
END_TEST

/* Both families of one name, or the next name: never IPv6 of one host and IPv4 of another. */
START_TEST(search_domains)
{
	char text[200];

	snprintf(text, sizeof(text), "nameserver 127.0.0.1\nsearch other.test domain.test\n");
	write_file(conf_path, text);
	expect_addresses("host", NULL, "192.0.2.30");
	expect_addresses("first", NULL, "192.0.2.31");
	expect_addresses("host.", NULL, NULL);
	expect_addresses("four.test", NULL, "192.0.2.4");
	expect_addresses("full.test", NULL, "192.0.2.32");
}
END_TEST

/* A domain whose server fails is passed over, and remembered when nobody knows the name. */
START_TEST(a_search_domain_that_fails)
{
	char long_name[260];

	write_file(conf_path,
		"nameserver 127.0.0.1\nsearch failing.test domain.test\noptions ndots:5\n");
	expect_addresses("servfail", NULL, "192.0.2.34");
	expect_addresses("four.test", NULL, "192.0.2.4");
	/* As long as can be, and too long with a domain. */
	memset(long_name, 'a', sizeof(long_name));
	for (int i = 60; i < 240; i += 60)
		long_name[i] = '.';
	strcpy(long_name + 243, ".test");
	expect_addresses(long_name, NULL, NULL);
	write_file(conf_path, "nameserver 127.0.0.1\nsearch failing.test\n");
	expect_error("servfail", EAGAIN);
}
END_TEST

/* The file says that a name is blocked: what cannot be read is not taken to say nothing. */
START_TEST(a_hosts_file_that_cannot_be_read)
{
	struct rlimit limit, few;

	write_file(hosts_path, "0.0.0.0 four.test\n");
	config.hosts_path = hosts_path;
	expect_addresses("four.test", NULL, NULL);
	getrlimit(RLIMIT_NOFILE, &limit);
	few = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	expect_error("four.test", EAGAIN);
	setrlimit(RLIMIT_NOFILE, &limit);
	expect_equal(atomic_load(&server.questions), 0);
	config.hosts_path = "/nowhere/hosts";
	expect_addresses("four.test", NULL, "192.0.2.4");
}
END_TEST

START_TEST(resolv_conf_is_followed)
{
	config.server_count = 0;
	/* Nobody listens there. */
	write_file(conf_path, "nameserver 127.0.0.77\n");
	expect_error("both.test", EAGAIN);
	config.server_count = 1;
	expect_addresses("four.test", NULL, "192.0.2.4");
}
END_TEST

/* The second server is asked at once when nobody listens at the first. */
START_TEST(servers_in_their_order)
{
	struct endpoint two[] = {server_address, server_address};
	uint64_t start = clock_ns();

	two[0].addr[3] = 88;
	config.server = two;
	config.server_count = 2;
	for (int i = 0; i < 5; i++)
		expect_addresses("four.test", NULL, "192.0.2.4");
	expect(clock_ns() - start < 2000000000u);
}
END_TEST

/* A silent server holds nobody up but who asked it, and cancelling ends that. */
START_TEST(silence)
{
	static struct resolver_query silent[200];
	uint64_t start = clock_ns();

	for (int i = 0; i < 200; i++)
		ask(&silent[i], "silent.test");
	struct resolver_query other;
	ask(&other, "four.test");
	wait_until(2 * 200);
	expect_answer(&other.answer[RESOLVER_IPV4], 0, "192.0.2.4");
	for (int i = 0; i < 100; i++)
		resolver_cancel(resolver, &silent[i]);
	wait_until(2 * 100);
	for (int i = 0; i < 200; i++)
		expect_equal(silent[i].answer[RESOLVER_IPV6].error, i < 100 ? ECANCELED : 0);
	resolver_cancel_all(resolver);
	wait_until(0);
	expect(clock_ns() - start < 3000000000u);
	for (int i = 0; i < 200; i++)
		expect_equal(silent[i].answer[RESOLVER_IPV4].error, ECANCELED);
	expect_error("four.test", ECANCELED);
}
END_TEST

/* One family is answered while the other's question is still open. */
START_TEST(half_an_answer)
{
	struct resolver_query query;

	ask(&query, "half.test");
	wait_until(1);
	expect_answer(&query.answer[RESOLVER_IPV4], 0, "192.0.2.33");
	resolver_cancel(resolver, &query);
	wait_until(0);
	expect_equal(query.answer[RESOLVER_IPV6].error, ECANCELED);
}
END_TEST

START_TEST(more_than_there_may_be)
{
	static struct resolver_query query[RESOLVER_MOST + 10];

	for (unsigned i = 0; i < RESOLVER_MOST + 10; i++)
		ask(&query[i], "silent.test");
	wait_until(2 * RESOLVER_MOST);
	for (unsigned i = RESOLVER_MOST; i < RESOLVER_MOST + 10; i++)
		expect_equal(query[i].answer[RESOLVER_IPV6].error, EAGAIN);
	resolver_cancel_all(resolver);
	wait_until(0);
}
END_TEST

/* Without descriptors nothing can be asked, and it is asked again when there are some. */
START_TEST(without_descriptors)
{
	struct rlimit limit, few;

	expect_addresses("four.test", NULL, "192.0.2.4");
	getrlimit(RLIMIT_NOFILE, &limit);
	few = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	expect_error("four.test", EAGAIN);
	setrlimit(RLIMIT_NOFILE, &limit);
	expect_addresses("four.test", NULL, "192.0.2.4");
}
END_TEST

START_TEST(two_hundred_at_once)
{
	static struct resolver_query query[200];

	for (int i = 0; i < 200; i++)
		ask(&query[i], i % 2 ? "four.test" : "localhost");
	wait_until(0);
	for (int i = 0; i < 200; i++)
		expect_equal(query[i].answer[RESOLVER_IPV4].error, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resolver");
	TCase *tcase = tcase_create("resolver");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, answers_of_both_families);
	tcase_add_test(tcase, many_are_cut_off);
	tcase_add_test(tcase, what_there_is_not);
	tcase_add_test(tcase, forged_answers_are_not_believed);
	tcase_add_test(tcase, this_machine_knows_better);
	tcase_add_test(tcase, addresses_are_names_of_themselves);
	tcase_add_test(tcase, search_domains);
	tcase_add_test(tcase, a_search_domain_that_fails);
	tcase_add_test(tcase, a_hosts_file_that_cannot_be_read);
	tcase_add_test(tcase, resolv_conf_is_followed);
	tcase_add_test(tcase, servers_in_their_order);
	tcase_add_test(tcase, silence);
	tcase_add_test(tcase, half_an_answer);
	tcase_add_test(tcase, more_than_there_may_be);
	tcase_add_test(tcase, without_descriptors);
	tcase_add_test(tcase, two_hundred_at_once);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
