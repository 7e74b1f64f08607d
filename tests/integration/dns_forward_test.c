/*
 * The guest program dns-forward: dig in front of it and a name server behind, and native sockets on
 * both sides for what neither of them does.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/name_server.h"

#define WAIT_MS    20000
#define HEADER     12
#define PIPELINED  1000
#define UNANSWERED 100 /* at most: what a socket keeps */

static const struct name_rule rules[] = {
	{"four.test", 4, .address = {"192.0.2.7", "192.0.2.8"}},
	{"four.test", 6},
	{"both.test", 4, .address = {"192.0.2.9"}},
	{"both.test", 6, .address = {"2001:db8::9"}},
	{"slow.test", 4, .delay_ms = 300, .address = {"192.0.2.10"}},
	{"fails.test", .behaviour = NAME_FAILS},
	{"id.test", 4, .behaviour = NAME_WRONG_ID, .address = {"192.0.2.11"}},
	{"question.test", 4, .behaviour = NAME_WRONG_QUESTION, .address = {"192.0.2.12"}},
	{"silent.test", .behaviour = NAME_SILENT},
};

static struct name_server server;

/* ---- native ends */

/* Bound to 127.0.0.1; of receives, 5 s. */
static int native(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct timeval limit = {.tv_sec = 5};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	expect_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	expect_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

static int client_of(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	uint16_t own;
	int fd = native(&own);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

/* A query for the A records of LABEL.test; its length. */
static size_t make_query(unsigned char query[64], uint16_t id, const char *label)
{
	size_t len = strlen(label), at = HEADER;

	memcpy(query, "\0\0\1\0\0\1\0\0\0\0\0\0", HEADER);
	query[0] = (unsigned char)(id >> 8);
	query[1] = (unsigned char)id;
	query[at++] = (unsigned char)len;
	memcpy(query + at, label, len);
	at += len;
	memcpy(query + at, "\4test\0\0\1\0\1", 10);
	return at + 10;
}

static void ask(int fd, uint16_t id, const char *label)
{
	unsigned char query[64];
	size_t len = make_query(query, id, label);

	expect_equal(send(fd, query, len, 0), len);
}

/* An answer to what was asked, with the bits of 'flags' set in its header. */
static void expect_answer(int fd, uint16_t id, const char *label, unsigned flags)
{
	unsigned char query[64], answer[512];
	size_t len = make_query(query, id, label);
	ssize_t got = recv(fd, answer, sizeof(answer), 0);

	expect(got >= (ssize_t)len);
	expect(memcmp(answer, query, 2) == 0);
	expect_equal((answer[2] << 8 | answer[3]) & flags, flags);
	expect(memcmp(answer + HEADER, query + HEADER, len - HEADER) == 0);
}

static void expect_silence(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	expect_equal(poll(&poll_fd, 1, 100), 0);
}

/* ---- the guest */

static uint16_t forward_to(struct command *ret_monitor, uint16_t first, uint16_t second)
{
	char upstream[2][32], grant[2][48];
	uint16_t ports[2] = {first, second};

	for (int i = 0; i < 2; i++) {
		snprintf(upstream[i], sizeof(upstream[i]), "127.0.0.1:%u", ports[i]);
		snprintf(grant[i], sizeof(grant[i]), "127.0.0.1:%u:connect", ports[i]);
	}
	return guest_serve(ret_monitor,
		WORDS("--udp", "127.0.0.1:*:listen", "--udp", grant[0], "--udp", grant[1]),
		"dns-forward", WORDS("127.0.0.1:0", upstream[0], second != 0 ? upstream[1] : NULL));
}

static void expect_dig(uint16_t port, const char *name, const char *type, const char *said)
{
	struct command dig;
	char port_text[16];

	snprintf(port_text, sizeof(port_text), "%u", port);
	expect_equal(command_run(&dig,
			     WORDS("dig", "@127.0.0.1", "-p", port_text, "+tries=1", "+time=8",
				     "+nocookie", name, type),
			     WAIT_MS),
		0);
	char *text = file_text(dig.out, NULL);
	if (strstr(text, said) == NULL)
		ck_abort_msg("dig %s %s does not say %s:\n%s", name, type, said, text);
	free(text);
}

START_TEST(dig_is_answered)
{
	struct command monitor;

	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	uint16_t port = forward_to(&monitor, server.port, 0);
	expect_dig(port, "four.test", "A", "\t192.0.2.8");
	expect_dig(port, "four.test", "AAAA", "status: NOERROR");
	expect_dig(port, "FOUR.Test", "A", "\t192.0.2.7");
	expect_dig(port, "both.test", "AAAA", "\t2001:db8::9");
	expect_dig(port, "slow.test", "A", "\t192.0.2.10");
	expect_dig(port, "nothing.test", "A", "status: NXDOMAIN");
	expect_dig(port, "fails.test", "A", "status: SERVFAIL");
	/* Forged answers come first. */
	expect_dig(port, "id.test", "A", "\t192.0.2.11");
	expect_dig(port, "question.test", "A", "\t192.0.2.12");
	guest_stop(&monitor, 0);
	command_expect_error(&monitor, "dropped answers that are malformed");
	name_server_stop(&server);
}
END_TEST

START_TEST(a_thousand_are_pipelined)
{
	struct command monitor;
	unsigned char answer[512];
	unsigned asked = 0, answered = 0;
	static unsigned times[PIPELINED];
	uint64_t start;

	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	uint16_t port = forward_to(&monitor, server.port, 0);
	int fd = client_of(port);
	start = clock_ns();
	while (answered < PIPELINED) {
		for (; asked < PIPELINED && asked - answered < UNANSWERED; asked++)
			ask(fd, (uint16_t)(asked + 60000), "four");
		expect(recv(fd, answer, sizeof(answer), 0) > HEADER);
		expect_equal(answer[7], 2); /* addresses */
		unsigned id = (uint16_t)((answer[0] << 8 | answer[1]) - 60000);
		expect(id < PIPELINED);
		times[id]++;
		answered++;
	}
	printf("%.0f queries/s\n", PIPELINED / ((double)(clock_ns() - start) / 1e9));
	for (unsigned i = 0; i < PIPELINED; i++)
		expect_equal(times[i], 1);
	close(fd);
	guest_stop(&monitor, 0);
	name_server_stop(&server);
}
END_TEST

/* ---- what a server of its own sees, and may say */

struct seen {
	unsigned char bytes[512];
	size_t len;
	struct sockaddr_in from;
};

static void see(int fd, struct seen *ret_seen)
{
	socklen_t len = sizeof(ret_seen->from);
	ssize_t got = recvfrom(fd, ret_seen->bytes, sizeof(ret_seen->bytes), 0,
		(struct sockaddr *)&ret_seen->from, &len);

	expect(got > HEADER);
	ret_seen->len = (size_t)got;
}

static void say(int fd, const struct seen *seen, unsigned flags)
{
	unsigned char answer[512];

	memcpy(answer, seen->bytes, seen->len);
	answer[2] = (unsigned char)(0x81 | flags >> 8);
	answer[3] = (unsigned char)(0x80 | flags);
	expect_equal(sendto(fd, answer, seen->len, 0, (const struct sockaddr *)&seen->from,
			     sizeof(seen->from)),
		seen->len);
}

START_TEST(ids_are_its_own)
{
	struct command monitor;
	struct seen seen[3];
	uint16_t upstream_port;
	int upstream = native(&upstream_port);
	uint16_t port = forward_to(&monitor, upstream_port, 0);
	int fd = client_of(port), other = client_of(port);

	/* The same id thrice, of two clients. */
	ask(fd, 7, "a");
	ask(fd, 7, "b");
	ask(other, 7, "a");
	for (int i = 0; i < 3; i++)
		see(upstream, &seen[i]);
	expect(memcmp(seen[0].bytes, seen[1].bytes, 2) != 0);
	expect(memcmp(seen[0].bytes, seen[2].bytes, 2) != 0);
	expect(memcmp(seen[1].bytes, seen[2].bytes, 2) != 0);
	for (int i = 2; i >= 0; i--)
		say(upstream, &seen[i], i == 0 ? 0x200 : 0); /* the first was cut off */
	expect_answer(other, 7, "a", 0x8180);
	expect_answer(fd, 7, "b", 0x8180);
	expect_answer(fd, 7, "a", 0x8380);
	/* Answered once is answered. */
	say(upstream, &seen[0], 0);
	expect_silence(fd);
	close(fd);
	close(other);
	close(upstream);
	guest_stop(&monitor, 0);
}
END_TEST

START_TEST(forgers_are_not_believed)
{
	struct command monitor;
	struct seen seen, forged;
	uint16_t upstream_port, stranger_port;
	int upstream = native(&upstream_port), stranger = native(&stranger_port);
	uint16_t port = forward_to(&monitor, upstream_port, 0);
	int fd = client_of(port);

	ask(fd, 7, "a");
	see(upstream, &seen);
	say(stranger, &seen, 0); /* the right bytes, from elsewhere */
	forged = seen;
	forged.bytes[HEADER + 1] = 'b';
	say(upstream, &forged, 0);
	forged = seen;
	forged.bytes[0] ^= 1;
	say(upstream, &forged, 0);
	forged = seen;
	forged.len = HEADER;
	say(upstream, &forged, 0);
	expect_silence(fd);
	say(upstream, &seen, 0);
	expect_answer(fd, 7, "a", 0x8180);
	close(fd);
	close(stranger);
	close(upstream);
	guest_stop(&monitor, 0);
}
END_TEST

START_TEST(malformed_queries_are_dropped)
{
	static const unsigned char junk[300] = {1, 2, 3, 4, 5, 6};
	struct command monitor;
	struct seen seen;
	uint16_t upstream_port;
	int upstream = native(&upstream_port);
	uint16_t port = forward_to(&monitor, upstream_port, 0);
	int fd = client_of(port);

	for (size_t len = 0; len < sizeof(junk); len += 7)
		expect_equal(send(fd, junk, len, 0), len);
	ask(fd, 7, "a");
	see(upstream, &seen);
	say(upstream, &seen, 0);
	expect_answer(fd, 7, "a", 0x8180);
	expect_silence(upstream);
	close(fd);
	close(upstream);
	guest_stop(&monitor, 0);
	command_expect_error(&monitor, "dropped malformed queries, 32 until now");
}
END_TEST

/* ---- servers that do not answer */

START_TEST(the_next_server_is_asked)
{
	struct command monitor;
	uint16_t silent_port;
	int silent = native(&silent_port);
	uint64_t start;

	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	uint16_t port = forward_to(&monitor, silent_port, server.port);
	int fd = client_of(port);
	start = clock_ms();
	ask(fd, 7, "four");
	expect_answer(fd, 7, "four", 0x8180);
	expect(clock_ms() - start >= 1000 && clock_ms() - start < 3000);
	/* Of one that is not there the network tells, sooner. */
	close(silent);
	start = clock_ms();
	for (int i = 0; i < 5; i++) {
		ask(fd, 8, "four");
		expect_answer(fd, 8, "four", 0x8180);
	}
	expect(clock_ms() - start < 900);
	close(fd);
	guest_stop(&monitor, 0);
	name_server_stop(&server);
}
END_TEST

START_TEST(nobody_answers)
{
	struct command monitor;
	uint64_t start;

	name_server_start(&server, rules, sizeof(rules) / sizeof(rules[0]));
	uint16_t port = forward_to(&monitor, server.port, 0);
	start = clock_ms();
	expect_dig(port, "silent.test", "A", "status: SERVFAIL");
	expect(clock_ms() - start >= 5000 && clock_ms() - start < 7500);
	expect_equal(atomic_load(&server.questions), 5);
	guest_stop(&monitor, 0);
	name_server_stop(&server);
}
END_TEST

START_TEST(grants_are_named)
{
	struct command monitor;

	expect_equal(guest_run(&monitor, WORDS("--udp", "127.0.0.1:9:connect"), "dns-forward",
			     WORDS("127.0.0.1:53", "127.0.0.1:9"), WAIT_MS),
		1);
	command_expect_error(&monitor,
		"cannot bind 127.0.0.1:53 (EACCES): ferrule's own warning says");
	expect_equal(guest_run(&monitor, WORDS("--udp", "127.0.0.1:*:listen"), "dns-forward",
			     WORDS("127.0.0.1:0", "192.0.2.53:53"), WAIT_MS),
		1);
	command_expect_error(&monitor,
		"cannot send to 192.0.2.53:53 (EACCES): ferrule's own warning says");
	expect_equal(
		guest_run(&monitor, NO_WORDS, "dns-forward", WORDS("127.0.0.1:0"), WAIT_MS), 2);
	command_expect_error(&monitor, "usage: dns-forward");
	expect_equal(guest_run(&monitor, WORDS("--udp", "127.0.0.1:9:connect"), "dns-forward",
			     WORDS("here", "127.0.0.1:9"), WAIT_MS),
		2);
	command_expect_error(&monitor, "'here' is no address");
	expect_nothing_left();
}
END_TEST

static const struct integration_test tests[] = {
	{&dig_is_answered, 60},
	{&a_thousand_are_pipelined, 60},
	{&ids_are_its_own, 30},
	{&forgers_are_not_believed, 30},
	{&malformed_queries_are_dropped, 30},
	{&the_next_server_is_asked, 30},
	{&nobody_answers, 40},
	{&grants_are_named, 40},
};

INTEGRATION_MAIN("dns_forward", tests, "dig")
