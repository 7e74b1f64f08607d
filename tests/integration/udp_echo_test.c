/* UDP through a guest: udp_echo, with socat and with native sockets of the test at its other end.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"

#define WAIT_MS 20000

static int native(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval limit = {.tv_sec = 5};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	expect_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

static uint16_t serve_echo(struct command *ret_monitor)
{
	return guest_serve(ret_monitor, WORDS("--udp", "127.0.0.1:*:listen"), "udp_echo",
		WORDS("127.0.0.1:0"));
}

START_TEST(every_length_comes_back)
{
	static const size_t lengths[] = {0, 1, 2, 511, 512, 1472, 1473, 9000, 65506, 65507};
	static unsigned char sent[65536], got[65536];
	struct command monitor;
	uint16_t port = serve_echo(&monitor);
	int fd = native(port);

	for (int round = 0; round < 20; round++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			pattern_fill((uint64_t)round, i, sent, lengths[i]);
			expect_equal(send(fd, sent, lengths[i], 0), lengths[i]);
			expect_equal(recv(fd, got, sizeof(got), 0), lengths[i]);
			expect(memcmp(sent, got, lengths[i]) == 0);
		}
	close(fd);
	guest_stop(&monitor, 0);
}
END_TEST

/* So many under way that batches form, and so few that no queue overflows. */
START_TEST(many_at_once_come_back)
{
	struct command monitor;
	uint16_t port = serve_echo(&monitor);
	unsigned count = scale(30000, 300000), sent = 0, got = 0, number;
	uint64_t start = clock_ns();
	int fd = native(port);

	while (got < count) {
		for (; sent < count && sent - got < 100; sent++)
			expect_equal(send(fd, &sent, sizeof(sent), 0), sizeof(sent));
		expect_equal(recv(fd, &number, sizeof(number), 0), sizeof(number));
		expect_equal(number, got);
		got++;
	}
	printf("%.0f datagrams/s each way\n", count / ((double)(clock_ns() - start) / 1e9));
	close(fd);
	guest_stop(&monitor, 0);
}
END_TEST

START_TEST(socat_hears_its_echo)
{
	struct command monitor, client;
	char script[256];
	uint16_t port = serve_echo(&monitor);

	/* It has no end of input while it waits for the answer. */
	snprintf(script, sizeof(script),
		"(echo hello, guest; sleep 0.3) | socat -t 2 - UDP4:127.0.0.1:%u", port);
	expect_equal(command_run(&client, WORDS("sh", "-c", script), WAIT_MS), 0);
	char *heard = file_text(client.out, NULL);
	expect(strcmp(heard, "hello, guest\n") == 0);
	free(heard);
	guest_stop(&monitor, 0);
}
END_TEST

START_TEST(without_a_grant)
{
	struct command monitor;

	expect_equal(guest_run(&monitor, NO_WORDS, "udp_echo", WORDS("127.0.0.1:7"), WAIT_MS), 13);
	command_expect_error(&monitor,
		"refused to the guest: 127.0.0.1:7; --udp 127.0.0.1:7:listen would allow it");
	expect_nothing_left();
}
END_TEST

START_TEST(a_published_port)
{
	struct command monitor;
	uint16_t port;
	char byte;

	/* The guest asks for port 7 of all addresses. */
	port = guest_serve(
		&monitor, WORDS("-p", "127.0.0.1:0:7/udp"), "udp_echo", WORDS("0.0.0.0:7"));
	int fd = native(port);
	expect_equal(send(fd, "x", 1, 0), 1);
	expect_equal(recv(fd, &byte, 1, 0), 1);
	close(fd);
	guest_stop(&monitor, 0);
}
END_TEST

static const struct integration_test tests[] = {
	{&every_length_comes_back, 60},
	{&many_at_once_come_back, 120},
	{&socat_hears_its_echo, 30},
	{&without_a_grant, 30},
	{&a_published_port, 30},
};

INTEGRATION_MAIN("udp_echo", tests, "socat")
