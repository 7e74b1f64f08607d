/* Guests under --limit: they go on working, and cost nothing when there is nothing to do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"

#define CONNECTIONS 12

static void echo_once(int fd, int number)
{
	char text[32], got[32];
	int len = snprintf(text, sizeof(text), "connection %d", number);

	client_send(fd, text, (size_t)len);
	client_receive(fd, got, (size_t)len);
	expect(memcmp(got, text, (size_t)len) == 0);
}

/* The value of a counter in what --stats has printed. */
static unsigned long counter(const struct command *monitor, const char *name)
{
	char line[64], *err = file_text(monitor->err, NULL);
	unsigned long value = 0;

	snprintf(line, sizeof(line), "%s ", name);
	const char *at = strstr(err, line);
	expect(at != NULL && sscanf(at + strlen(line), "%lu", &value) == 1);
	free(err);
	return value;
}

static const char *const limits[] = {"accepts=1", "accepts=2", "accepts=8", "in-flight=64k",
	"in-flight=512k", "accept-rate=200", "streams=6"};

/* One after the other, each at once; then nothing happens for a while, and that costs nothing. */
static void serve_under(const char *limit)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor,
		WORDS("--stats", "--limit", limit, "--listen", ANY_PORT), "echo", WORDS(ANY_PORT));
	uint64_t start = clock_ms();

	for (int i = 0; i < CONNECTIONS; i++) {
		int fd = client_connect(port);
		echo_once(fd, i);
		close(fd);
	}
	uint64_t took = clock_ms() - start;
	ck_assert_msg(took < CONNECTIONS * 60, "%s: %llu ms", limit, (unsigned long long)took);
	sleep_ms(800);
	guest_stop(&monitor, 0);
	unsigned long bells = counter(&monitor, "doorbells"),
		      streams = counter(&monitor, "streams_opened");
	ck_assert_msg(bells < 150, "%s: %lu doorbells", limit, bells);
	ck_assert_msg(streams < 100, "%s: %lu streams", limit, streams);
}

START_TEST(connections_are_served)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		serve_under(limits[i]);
}
END_TEST

/* As many at once as there may be; who comes then waits until there is room, and is served. */
START_TEST(who_comes_too_early_waits)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor, WORDS("--limit", "streams=5", "--listen", ANY_PORT),
		"echo", WORDS(ANY_PORT));
	int fd[CONNECTIONS];

	for (int i = 0; i < CONNECTIONS; i++)
		fd[i] = client_connect(port);
	for (int i = 0; i < CONNECTIONS; i++) {
		echo_once(fd[i], i);
		close(fd[i]);
	}
	guest_stop(&monitor, 0);
}
END_TEST

/* A guest that waits for all it has by wait_any: when streams can be had again, it accepts again.
 */
START_TEST(who_waits_for_many_accepts_again)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor,
		WORDS("--limit", "streams=4", "--listen", ANY_PORT, "--udp", "127.0.0.1:*:listen"),
		"mix", WORDS(ANY_PORT, "127.0.0.1:0"));

	for (int round = 0; round < 4; round++) {
		int fd[4];

		for (int i = 0; i < 4; i++)
			fd[i] = client_connect(port);
		for (int i = 0; i < 4; i++) {
			char bytes[6] = "";

			client_receive(fd[i], bytes, 5); /* "tick\n" */
			close(fd[i]);
		}
	}
	guest_stop(&monitor, 0);
}
END_TEST

static const struct integration_test tests[] = {
	{&connections_are_served, 120},
	{&who_comes_too_early_waits, 60},
	{&who_waits_for_many_accepts_again, 60},
};

INTEGRATION_MAIN("limit", tests, NULL)
