/* One fiber of a guest waits for all it has: a listener, connections, a UDP socket, a timer. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/integration.h"

#define COUNT 8

static uint16_t udp_port(const struct command *monitor)
{
	unsigned port = 0;
	char *out = file_text(monitor->out, NULL);
	const char *at = strstr(out, "UDP on port ");

	expect(at != NULL && sscanf(at, "UDP on port %u", &port) == 1);
	free(out);
	return (uint16_t)port;
}

static int connected(int type, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 10};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	expect_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

/* Reads up to this text; ticks may come in front of it. */
static void expect_text(int fd, const char *text)
{
	char got[4096] = "";
	size_t len = 0;

	while (strstr(got, text) == NULL) {
		ssize_t some = recv(fd, got + len, sizeof(got) - 1 - len, 0);
		expect(some > 0);
		len += (size_t)some;
		got[len] = '\0';
	}
}

START_TEST(all_at_once)
{
	struct command monitor;
	uint16_t port =
		guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--udp", "127.0.0.1:*:listen"),
			"mix", WORDS(ANY_PORT, "127.0.0.1:0"));
	int udp = connected(SOCK_DGRAM, udp_port(&monitor)), tcp[COUNT];
	char text[32], got[32];

	for (int i = 0; i < COUNT; i++)
		tcp[i] = connected(SOCK_STREAM, port);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < COUNT; i++) {
			int len = snprintf(text, sizeof(text), "round %d of %d\n", round, i);
			expect_equal(send(tcp[i], text, (size_t)len, 0), len);
			expect_equal(send(udp, text, (size_t)len, 0), len);
			expect_text(tcp[i], text);
			expect_equal(recv(udp, got, sizeof(got), 0), len);
			expect(memcmp(got, text, (size_t)len) == 0);
		}
	}
	for (int i = 0; i < COUNT; i++) {
		expect_text(tcp[i], "tick\ntick\n");
		shutdown(tcp[i], SHUT_WR);
		while (recv(tcp[i], got, sizeof(got), 0) > 0)
			;
		close(tcp[i]);
	}
	close(udp);
	guest_stop(&monitor, 0);
}
END_TEST

static const struct integration_test tests[] = {{&all_at_once, 60}};

INTEGRATION_MAIN("wait", tests, NULL)
