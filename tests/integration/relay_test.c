/* The guest program relay, between native clients and native servers: two connections a stream. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/closers.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/load.h"
#include "tests/lib/peer.h"
#include "tests/lib/random.h"

static uint16_t serve_relay(struct command *ret_monitor, uint16_t target)
{
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", target);
	return guest_serve(ret_monitor, WORDS("--listen", ANY_PORT, "--connect", address), "relay",
		WORDS(ANY_PORT, address));
}

START_TEST(relay_bytes)
{
	struct peer server = {.serve = peer_echo};
	struct command monitor;
	struct echo_load load = {
		.connections = 32,
		.message_len = 64u << 10,
		.duration_ms = scale(1500, 5000),
		.seed = random_seed(),
	};

	peer_start(&server);
	load.port = serve_relay(&monitor, server.port);
	echo_load_run(&load);
	printf("%.0f MiB/s each way\n", (double)load.messages / 16 / load.seconds);
	peer_stop(&server);
	guest_stop(&monitor, load.port);
}
END_TEST

/* ---- half-closes */

#define LATE_LEN 300000u /* bytes that are sent behind the other side's end */

/* Ends first, and then still reads all. */
static void end_first(int connection, void *argument)
{
	atomic_int *complete = argument;

	client_send(connection, "hello", 5);
	client_finish(connection);
	client_expect_pattern(connection, 3, 0, LATE_LEN);
	client_expect_end(connection);
	close(connection);
	(*complete)++;
}

START_TEST(server_ends_first)
{
	atomic_int complete = 0;
	struct peer server = {.serve = end_first, .argument = &complete};
	struct command monitor;
	char bytes[5];

	peer_start(&server);
	uint16_t port = serve_relay(&monitor, server.port);
	for (int i = 0; i < 20; i++) {
		int fd = client_connect(port);
		client_receive(fd, bytes, sizeof(bytes));
		client_expect_end(fd);
		client_send_pattern(fd, 3, 0, LATE_LEN);
		client_finish(fd);
		client_close(fd);
		for (int wait = 0; complete <= i && wait < 5000; wait++)
			sleep_ms(1);
		expect_equal(complete, i + 1);
	}
	peer_stop(&server);
	guest_stop(&monitor, port);
}
END_TEST

/* Reads to the end, and only then answers. */
static void end_last(int connection, void *argument)
{
	uint64_t count = client_count_to_end(connection);

	(void)argument;
	expect_equal(count, 12345);
	client_send_pattern(connection, 4, 0, LATE_LEN);
	close(connection);
}

START_TEST(client_ends_first)
{
	struct peer server = {.serve = end_last};
	struct command monitor;

	peer_start(&server);
	uint16_t port = serve_relay(&monitor, server.port);
	for (int i = 0; i < 20; i++) {
		int fd = client_connect(port);
		client_send_pattern(fd, 9, 0, 12345);
		client_finish(fd);
		client_expect_pattern(fd, 4, 0, LATE_LEN);
		client_expect_end(fd);
		client_close(fd);
	}
	peer_stop(&server);
	guest_stop(&monitor, port);
}
END_TEST

/* ---- the last bytes: the client closes for good, and the server has to get every one */

START_TEST(close_after_write)
{
	struct closers closers = {.each = scale(250, 2500)};
	struct peer server = {.serve = closers_count, .argument = &closers};
	struct command monitor;

	peer_start(&server);
	closers.port = serve_relay(&monitor, server.port);
	closers_run(&closers);
	peer_stop(&server);
	guest_stop(&monitor, closers.port);
}
END_TEST

/* ---- resets */

static void reset_at_once(int connection, void *argument)
{
	(void)argument;
	client_receive(connection, (char[1]){0}, 1);
	client_reset(connection);
}

START_TEST(server_resets)
{
	struct peer server = {.serve = reset_at_once};
	struct command monitor;

	peer_start(&server);
	uint16_t port = serve_relay(&monitor, server.port);
	for (int i = 0; i < 50; i++) {
		int fd = client_connect(port);
		client_send(fd, "x", 1);
		client_expect_error(fd, ECONNRESET);
		client_close(fd);
	}
	peer_stop(&server);
	guest_stop(&monitor, port);
}
END_TEST

static void expect_reset(int connection, void *argument)
{
	atomic_int *resets = argument;
	char byte;

	client_receive(connection, &byte, 1);
	if (recv(connection, &byte, 1, 0) < 0 && errno == ECONNRESET)
		(*resets)++;
	close(connection);
}

START_TEST(client_resets)
{
	atomic_int resets = 0;
	struct peer server = {.serve = expect_reset, .argument = &resets};
	struct command monitor;

	peer_start(&server);
	uint16_t port = serve_relay(&monitor, server.port);
	for (int i = 0; i < 50; i++) {
		int fd = client_connect(port);
		client_send(fd, "x", 1);
		sleep_ms(20); /* a reset overtakes bytes; this one is to be the second thing */
		client_reset(fd);
		for (int wait = 0; resets <= i && wait < 5000; wait++)
			sleep_ms(1);
		expect_equal(resets, i + 1);
	}
	peer_stop(&server);
	guest_stop(&monitor, port);
}
END_TEST

START_TEST(target_refuses)
{
	struct command monitor;
	uint16_t port = serve_relay(&monitor, free_port());

	for (int i = 0; i < 20; i++) {
		int fd = client_connect(port);
		client_expect_error(fd, ECONNRESET);
		client_close(fd);
	}
	command_expect_error(&monitor, "ECONNREFUSED");
	guest_stop(&monitor, port);
}
END_TEST

static const struct integration_test tests[] = {
	{&relay_bytes, 60},
	{&server_ends_first, 60},
	{&client_ends_first, 60},
	{&close_after_write, 60},
	{&server_resets, 60},
	{&client_resets, 60},
	{&target_refuses, 30},
};

INTEGRATION_MAIN("relay", tests, NULL)
