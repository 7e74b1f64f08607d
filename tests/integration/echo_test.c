/* The guest program echo: bytes, ends and resets of TCP connections that it serves. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/load.h"
#include "tests/lib/random.h"

#define LISTEN WORDS("--listen", ANY_PORT)

static uint16_t serve_echo(struct command *ret_monitor)
{
	return guest_serve(ret_monitor, LISTEN, "echo", WORDS(ANY_PORT));
}

/* The answer to len bytes of a pattern that nobody else has. */
static void round_trip(int fd, uint64_t key, uint64_t position, uint64_t len)
{
	client_send_pattern(fd, key, position, len);
	client_expect_pattern(fd, key, position, len);
}

START_TEST(one_message)
{
	struct command monitor;
	uint16_t port = serve_echo(&monitor);
	int fd = client_connect(port);

	round_trip(fd, 1, 0, 5);
	round_trip(fd, 1, 5, 1);
	client_finish(fd);
	client_expect_end(fd);
	client_close(fd);
	guest_stop(&monitor, port);
}
END_TEST

START_TEST(every_byte)
{
	struct command monitor;
	struct echo_load load = {
		.port = serve_echo(&monitor),
		.connections = 64,
		.message_len = 64u << 10,
		.duration_ms = scale(2000, 10000),
		.seed = random_seed(),
	};

	echo_load_run(&load);
	printf("%llu messages of 64 KiB over 64 connections in %.1f s: %.0f MiB/s each way\n",
		(unsigned long long)load.messages, load.seconds,
		(double)load.messages / 16 / load.seconds);
	expect(load.messages >= load.connections);
	guest_stop(&monitor, load.port);
}
END_TEST

/* Alone, with pauses around the time after which either side goes to sleep: no wake is lost. */
static void send_lone_messages(const char *poll_us, uint64_t seed)
{
	struct random random = {seed};
	struct command monitor;
	uint16_t port = guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--poll-us", poll_us),
		"echo", WORDS(ANY_PORT));
	int fd = client_connect(port);

	for (uint64_t i = 0; i < 2000; i++) {
		round_trip(fd, 5, i * 100, 100);
		usleep((useconds_t)random_below(&random, 400));
	}
	client_close(fd);
	guest_stop(&monitor, port);
}

START_TEST(lone_messages)
{
	uint64_t seed = random_seed();

	send_lone_messages("0", seed);
	send_lone_messages("50", seed);
	send_lone_messages("200", seed);
}
END_TEST

/* Sizes around every power of two, small ones and larger than any ring. */
START_TEST(every_size)
{
	struct command monitor;
	uint16_t port = serve_echo(&monitor);
	int fd = client_connect(port);
	uint64_t position = 0;

	for (uint64_t size = 1; size <= 1u << 18; size *= 2)
		for (uint64_t len = size - 1; len <= size + 1; len++) {
			round_trip(fd, 2, position, len);
			position += len;
		}
	client_finish(fd);
	client_expect_end(fd);
	client_close(fd);
	guest_stop(&monitor, port);
}
END_TEST

/* ---- the last bytes */

struct tail_load {
	uint16_t port;
	unsigned each; /* connections of one thread */
	uint64_t seed;
};

/* The client half-closes right behind its last write and counts what comes back. */
static void finish_after_write(void *argument, unsigned index)
{
	const struct tail_load *load = argument;
	struct random random = {load->seed + index};

	for (unsigned i = 0; i < load->each; i++) {
		uint64_t key = random_next(&random), len = random_len(&random, 30000);
		int fd = client_connect(load->port);
		client_send_pattern(fd, key, 0, len);
		client_finish(fd);
		client_expect_pattern(fd, key, 0, len);
		client_expect_end(fd);
		client_close(fd);
	}
}

START_TEST(client_closes_after_write)
{
	struct command monitor;
	struct tail_load load = {.seed = random_seed()};

	load.port = serve_echo(&monitor);
	load.each = scale(500, 2500);
	in_threads(4, finish_after_write, &load);
	guest_stop(&monitor, load.port);
}
END_TEST

/* What the guest burst sends, see there. */
static void expect_burst(int fd, size_t len)
{
	unsigned char bytes[4096];

	for (size_t done = 0; done < len;) {
		size_t n = len - done < sizeof(bytes) ? len - done : sizeof(bytes);
		client_receive(fd, bytes, n);
		for (size_t i = 0; i < n; i++, done++)
			if (bytes[i] != (unsigned char)(done * 31 + done / 251))
				ck_abort_msg("byte %zu of %zu is wrong", done, len);
	}
}

static void read_bursts(void *argument, unsigned index)
{
	const struct tail_load *load = argument;
	struct random random = {load->seed + index};
	char request[16];

	for (unsigned i = 0; i < load->each; i++) {
		size_t len = random_len(&random, 200000);
		int fd = client_connect(load->port);
		client_send(fd, request, (size_t)sprintf(request, "%zu\n", len));
		expect_burst(fd, len);
		client_expect_end(fd);
		client_close(fd);
	}
}

START_TEST(guest_closes_after_write)
{
	struct command monitor;
	struct tail_load load = {.seed = random_seed()};

	load.port = guest_serve(&monitor, LISTEN, "burst", WORDS(ANY_PORT));
	load.each = scale(500, 2500);
	in_threads(4, read_bursts, &load);
	guest_stop(&monitor, load.port);
}
END_TEST

/* ---- ends */

/* The client's direction is over long before the guest's is: the guest still sends. */
START_TEST(half_close)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor, LISTEN, "burst", WORDS(ANY_PORT));
	int fd = client_connect(port);

	client_send(fd, "5000000\n", 8);
	client_finish(fd);
	sleep_ms(300);
	expect_burst(fd, 5000000);
	client_expect_end(fd);
	client_close(fd);
	guest_stop(&monitor, port);
}
END_TEST

/* The guest ends with RST: the client gets it, and nobody else. */
START_TEST(guest_resets)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor, LISTEN, "burst", WORDS(ANY_PORT));
	int other = client_connect(port);

	for (int i = 0; i < 20; i++) {
		int fd = client_connect(port);
		client_send(fd, "!100\n", 5);
		client_expect_error(fd, ECONNRESET);
		client_close(fd);
	}
	client_send(other, "1000\n", 5);
	expect_burst(other, 1000);
	client_expect_end(other);
	client_close(other);
	guest_stop(&monitor, port);
}
END_TEST

/* Clients that reset, in every state of their connection, are nothing to the others. */
START_TEST(client_resets)
{
	struct command monitor;
	uint16_t port = serve_echo(&monitor);
	int others[4];

	for (unsigned i = 0; i < 4; i++)
		others[i] = client_connect(port);
	for (unsigned i = 0; i < 100; i++) {
		int fd = client_connect(port);
		if (i % 4 > 0)
			client_send_pattern(fd, i, 0, i % 4 == 1 ? 10 : 50000);
		if (i % 4 == 3)
			client_expect_pattern(fd, i, 0, 1000);
		client_reset(fd);
		round_trip(others[i % 4], i % 4, (uint64_t)i / 4 * 3000, 3000);
	}
	for (unsigned i = 0; i < 4; i++) {
		client_finish(others[i]);
		client_expect_end(others[i]);
		client_close(others[i]);
	}
	guest_stop(&monitor, port);
}
END_TEST

/* ---- many, and slow ones */

#define AT_ONCE 200

START_TEST(two_hundred_at_once)
{
	struct command monitor;
	uint16_t port = serve_echo(&monitor);
	int fds[AT_ONCE];

	for (unsigned i = 0; i < AT_ONCE; i++) {
		fds[i] = client_connect(port);
		client_send_pattern(fds[i], i, 0, 100);
	}
	for (unsigned i = AT_ONCE; i-- > 0;)
		client_expect_pattern(fds[i], i, 0, 100);
	for (unsigned i = 0; i < AT_ONCE; i++)
		round_trip(fds[i], i, 100, 40000);
	for (unsigned i = 0; i < AT_ONCE; i++)
		client_close(fds[i]);
	guest_stop(&monitor, port);
}
END_TEST

struct slow {
	int fd, other;
	uint64_t len; /* bytes through fd */
	atomic_bool read_on;
};

static void slow_connection(void *argument, unsigned index)
{
	struct slow *slow = argument;

	if (index == 0) {
		client_send_pattern(slow->fd, 1, 0, slow->len);
		client_finish(slow->fd);
	} else if (index == 1) {
		while (!slow->read_on)
			sleep_ms(1);
		client_expect_pattern(slow->fd, 1, 0, slow->len);
		client_expect_end(slow->fd);
	} else {
		for (uint64_t i = 0; i < 100; i++) {
			round_trip(slow->other, 2, i * 5000, 5000);
			sleep_ms(5);
		}
		slow->read_on = true;
	}
}

/* One client sends and does not read until everything is full. Others do not wait for it. */
START_TEST(slow_reader)
{
	struct command monitor;
	uint16_t port = serve_echo(&monitor);
	struct slow slow = {.len = 32u << 20};

	slow.fd = client_connect(port);
	slow.other = client_connect(port);
	in_threads(3, slow_connection, &slow);
	client_close(slow.fd);
	client_close(slow.other);
	guest_stop(&monitor, port);
}
END_TEST

/* A guest whose clients have stopped reading can be stopped all the same. */
START_TEST(stop_while_stuck)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor, LISTEN, "burst", WORDS(ANY_PORT));
	int fds[8];

	for (unsigned i = 0; i < 8; i++) {
		fds[i] = client_connect(port);
		client_send(fds[i], "900000000\n", 10);
	}
	sleep_ms(300);
	guest_stop(&monitor, port);
	for (unsigned i = 0; i < 8; i++)
		client_close(fds[i]);
}
END_TEST

static void connect_often(void *argument, unsigned index)
{
	const struct tail_load *load = argument;

	for (unsigned i = 0; i < load->each; i++) {
		int fd = client_connect(load->port);
		round_trip(fd, index, 0, 64);
		client_close(fd);
	}
}

/* Slots and descriptors come back. */
START_TEST(many_short_connections)
{
	struct command monitor;
	struct tail_load load = {.port = serve_echo(&monitor), .each = scale(750, 5000)};
	uint64_t start = clock_ns();

	in_threads(4, connect_often, &load);
	printf("%.0f connections/s\n", 4.0 * load.each / ((double)(clock_ns() - start) / 1e9));
	guest_stop(&monitor, load.port);
}
END_TEST

static const struct integration_test tests[] = {
	{&one_message, 30},
	{&every_byte, 60},
	{&lone_messages, 60},
	{&every_size, 30},
	{&client_closes_after_write, 60},
	{&guest_closes_after_write, 60},
	{&half_close, 30},
	{&guest_resets, 30},
	{&client_resets, 30},
	{&two_hundred_at_once, 30},
	{&slow_reader, 60},
	{&stop_while_stuck, 30},
	{&many_short_connections, 60},
};

INTEGRATION_MAIN("echo", tests, NULL)
