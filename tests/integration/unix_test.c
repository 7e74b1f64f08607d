/*
 * UNIX sockets of the host: the guest program relay as a proxy between them and TCP, in front of
 * native servers; and packets.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/closers.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/load.h"
#include "tests/lib/peer.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define WAIT_MS  20000
#define LATE_LEN 300000u /* bytes that are sent behind the other side's end */

static char *with(const char *before, const char *text, const char *behind)
{
	char *all;

	if (asprintf(&all, "%s%s%s", before, text, behind) < 0)
		abort();
	return all;
}

/* From TCP to the UNIX socket; the port. */
static uint16_t relay_to(struct command *ret_monitor, const char *path)
{
	return guest_serve(ret_monitor,
		WORDS("--listen", ANY_PORT, "--unix", with("", path, ":connect")), "relay",
		WORDS(ANY_PORT, with("unix:", path, "")));
}

static void serve_at(struct command *ret_monitor, const char *const *options, const char *path,
	const char *target)
{
	guest_start(ret_monitor, options, "relay", WORDS(with("unix:", path, ""), target));
	free(command_wait_text(ret_monitor, ret_monitor->out, "listening on unix:", WAIT_MS));
}

/* From the UNIX socket to the port. */
static void relay_from(struct command *ret_monitor, const char *path, uint16_t port)
{
	char target[32];

	snprintf(target, sizeof(target), "127.0.0.1:%u", port);
	serve_at(ret_monitor, WORDS("--unix", with("", path, ":listen"), "--connect", target), path,
		target);
}

/* The file goes with the guest. */
static void stop_at(struct command *monitor, const char *path)
{
	expect_equal(access(path, F_OK), 0);
	guest_stop(monitor, 0);
	expect(access(path, F_OK) != 0);
}

START_TEST(unix_behind_tcp)
{
	struct peer server = {.serve = peer_echo};
	struct command monitor;
	char *path = scratch_path("echo.sock");
	struct echo_load load = {
		.connections = 32,
		.message_len = 64u << 10,
		.duration_ms = scale(1000, 5000),
		.seed = random_seed(),
	};

	peer_start_unix(&server, path, SOCK_STREAM);
	load.port = relay_to(&monitor, path);
	echo_load_run(&load);
	printf("%.0f MiB/s each way\n", (double)load.messages / 16 / load.seconds);
	peer_stop(&server);
	guest_stop(&monitor, load.port);
}
END_TEST

/* ---- many clients at once, each of which ends its side first */

struct echoes {
	const char *path;
	unsigned each;
};

static void send_and_read_back(void *argument, unsigned index)
{
	struct echoes *echoes = argument;

	for (unsigned i = 0; i < echoes->each; i++) {
		int fd = client_connect_unix(echoes->path, SOCK_STREAM);
		uint64_t key = index * 1000 + i,
			 len = (uint64_t)(index * 7919 + i * 104729) % 100000;
		client_send_pattern(fd, key, 0, len);
		client_finish(fd);
		client_expect_pattern(fd, key, 0, len);
		client_expect_end(fd);
		client_close(fd);
	}
}

START_TEST(tcp_behind_unix)
{
	struct peer server = {.serve = peer_echo};
	struct command monitor;
	struct echoes echoes = {scratch_path("front.sock"), scale(20, 200)};

	peer_start(&server);
	relay_from(&monitor, echoes.path, server.port);
	in_threads(16, send_and_read_back, &echoes);
	peer_stop(&server);
	stop_at(&monitor, echoes.path);
}
END_TEST

START_TEST(unix_behind_unix)
{
	struct peer server = {.serve = peer_echo};
	struct command monitor;
	char *back = scratch_path("both/back.sock");
	struct echoes echoes = {scratch_path("both/front.sock"), scale(20, 200)};
	char *directory = scratch_subdir("both");

	peer_start_unix(&server, back, SOCK_STREAM);
	serve_at(&monitor, WORDS("--unix", directory), echoes.path, with("unix:", back, ""));
	in_threads(16, send_and_read_back, &echoes);
	peer_stop(&server);
	stop_at(&monitor, echoes.path);
}
END_TEST

/* ---- ends */

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
	char bytes[5], *path = scratch_path("ends.sock");

	peer_start_unix(&server, path, SOCK_STREAM);
	uint16_t port = relay_to(&monitor, path);
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

/* The client closes for good, and the server has to get every byte. */
START_TEST(close_after_write)
{
	struct closers closers = {
		.path = scratch_path("close/front.sock"), .each = scale(250, 2500)};
	struct peer server = {.serve = closers_count, .argument = &closers};
	struct command monitor;
	char *back = scratch_path("close/back.sock"), *directory = scratch_subdir("close");

	peer_start_unix(&server, back, SOCK_STREAM);
	serve_at(&monitor, WORDS("--unix", directory), closers.path, with("unix:", back, ""));
	closers_run(&closers);
	peer_stop(&server);
	stop_at(&monitor, closers.path);
}
END_TEST

/* Closes with a byte unread, which is how a UNIX socket resets. */
static void leave_unread(int connection, void *argument)
{
	(void)argument;
	expect(client_readable(connection, WAIT_MS));
	close(connection);
}

START_TEST(a_reset_passes_from_unix_to_tcp)
{
	struct peer server = {.serve = leave_unread};
	struct command monitor;
	char *path = scratch_path("resets.sock");

	peer_start_unix(&server, path, SOCK_STREAM);
	uint16_t port = relay_to(&monitor, path);
	for (int i = 0; i < 20; i++) {
		int fd = client_connect(port);
		client_send(fd, "x", 1);
		client_expect_error(fd, ECONNRESET);
		client_close(fd);
	}
	peer_stop(&server);
	guest_stop(&monitor, port);
}
END_TEST

static void reset_at_once(int connection, void *argument)
{
	(void)argument;
	client_receive(connection, (char[1]){0}, 1);
	client_reset(connection);
}

/* There is none on that side: the connection ends, both ways. */
START_TEST(a_reset_from_tcp_closes_unix)
{
	struct peer server = {.serve = reset_at_once};
	struct command monitor;
	char *path = scratch_path("closes.sock");

	peer_start(&server);
	relay_from(&monitor, path, server.port);
	for (int i = 0; i < 20; i++) {
		int fd = client_connect_unix(path, SOCK_STREAM);
		client_send(fd, "x", 1);
		expect_equal(recv(fd, (char[1]){0}, 1, 0), 0);
		expect_equal(send(fd, "y", 1, MSG_NOSIGNAL), -1);
		expect_equal(errno, EPIPE);
		client_close(fd);
	}
	peer_stop(&server);
	stop_at(&monitor, path);
}
END_TEST

/* ---- what cannot be had */

START_TEST(nobody_there)
{
	struct command monitor;
	char *path = scratch_path("nobody.sock");
	uint16_t port = relay_to(&monitor, path);
	int fd = client_connect(port);

	client_expect_error(fd, ECONNRESET);
	client_close(fd);
	command_expect_error(&monitor, "(ENOENT): there is no such socket; start the server");
	guest_stop(&monitor, port);
}
END_TEST

START_TEST(nothing_granted)
{
	struct command monitor;
	char *path = scratch_path("denied.sock"), *address = with("unix:", path, "");
	char *words = with("--unix ", path, ":listen would allow it");

	expect_equal(guest_run(&monitor, NO_WORDS, "echo", WORDS(address), WAIT_MS), 1);
	command_expect_error(&monitor, words);
	command_expect_error(&monitor, "ferrule's own warning says what would allow it");
	expect(access(path, F_OK) != 0);
	/* The other half of a grant. */
	expect_equal(guest_run(&monitor, WORDS("--unix", with("", path, ":connect")), "echo",
			     WORDS(address), WAIT_MS),
		1);
	command_expect_error(&monitor, words);
	expect_nothing_left();
}
END_TEST

/* A monitor that was killed leaves its file; the next one replaces it, unless it is alive. */
START_TEST(a_dead_socket_is_replaced)
{
	struct command first, second;
	char *path = scratch_path("stale.sock"), *address = with("unix:", path, "");
	const char *const *options = WORDS("--unix", path);

	guest_start(&first, options, "echo", WORDS(address));
	free(command_wait_text(&first, first.out, "listening on unix:", WAIT_MS));
	expect_equal(guest_run(&second, options, "echo", WORDS(address), WAIT_MS), 1);
	command_expect_error(&second, "(EADDRINUSE): stop what listens there");
	expect_equal(command_stop(&first, SIGKILL), 128 + SIGKILL);
	expect_equal(access(path, F_OK), 0);
	guest_start(&second, options, "echo", WORDS(address));
	free(command_wait_text(&second, second.out, "listening on unix:", WAIT_MS));
	int fd = client_connect_unix(path, SOCK_STREAM);
	char bytes[4];
	client_send(fd, "ping", 4);
	client_receive(fd, bytes, 4);
	client_close(fd);
	stop_at(&second, path);
}
END_TEST

/* ---- a client that people have */

START_TEST(curl_by_unix_socket)
{
	struct command web, relay, curl;
	char *root = scratch_subdir("site"), *file = scratch_path("site/file");
	char *path = scratch_path("web.sock"), *copy = scratch_path("file.copy");

	file_write_pattern(file, random_seed(), 3u << 20);
	uint16_t port =
		guest_serve(&web, WORDS("--listen", ANY_PORT, "--mount", with("", root, ":/srv")),
			"web", WORDS("--listen", ANY_PORT, "/srv"));
	relay_from(&relay, path, port);
	for (int i = 0; i < 3; i++) {
		if (command_run(&curl,
			    WORDS("curl", "--disable", "--silent", "--show-error", "--fail",
				    "--unix-socket", path, "--output", copy, "http://guest/file"),
			    WAIT_MS) != 0)
			ck_abort_msg("curl: %s", file_tail(curl.err));
		expect_same_file(copy, file);
	}
	expect_equal(command_stop(&relay, SIGTERM), 128 + SIGTERM);
	guest_stop(&web, port);
}
END_TEST

/* ---- packets */

START_TEST(packets_to_a_guest)
{
	struct command monitor;
	static unsigned char sent[300000], got[300000];
	char *path = scratch_path("packets.sock");
	static const size_t lengths[] = {1, 0, 5, 4096, 65536, 200000, 3};
	char words[96];

	guest_start(&monitor, WORDS("--unix", path), "packets", WORDS("listen", path));
	free(command_wait_text(&monitor, monitor.out, "listening on ", WAIT_MS));
	int fd = client_connect_unix(path, SOCK_SEQPACKET);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (unsigned char)(i * 31 + i / 256);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		expect_equal(send(fd, sent + i, lengths[i], 0), (ssize_t)lengths[i]);
		expect_equal(recv(fd, got, sizeof(got), 0), (ssize_t)lengths[i]);
		expect(memcmp(got, sent + i, lengths[i]) == 0);
	}
	client_finish(fd);
	expect_equal(recv(fd, got, 1, 0), 0);
	close(fd);
	snprintf(words, sizeof(words), "from process %d, user %u, group %u;", getpid(), getuid(),
		getgid());
	free(command_wait_text(&monitor, monitor.out, words, WAIT_MS));
	free(command_wait_text(&monitor, monitor.out, "ended with 61", WAIT_MS)); /* ENODATA */
	stop_at(&monitor, path);
}
END_TEST

static void turn_round(int connection, void *argument)
{
	char bytes[64];
	ssize_t len;

	(void)argument;
	for (int i = 0; i < 3; i++) {
		len = recv(connection, bytes, sizeof(bytes), 0);
		expect(len >= 0);
		expect_equal(send(connection, bytes, (size_t)len, 0), len);
	}
	expect_equal(recv(connection, bytes, sizeof(bytes), 0), 0);
	close(connection);
}

START_TEST(packets_from_a_guest)
{
	struct peer server = {.serve = turn_round};
	struct command monitor;
	char *path = scratch_path("from.sock"), words[64];

	peer_start_unix(&server, path, SOCK_SEQPACKET);
	expect_equal(guest_run(&monitor, WORDS("--unix", path), "packets", WORDS("connect", path),
			     WAIT_MS),
		0);
	snprintf(words, sizeof(words), "to process %d, user %u\n", getpid(), getuid());
	free(command_wait_text(&monitor, monitor.out, words, 0));
	free(command_wait_text(&monitor, monitor.out,
		"back: one (3 bytes)\nback:  (0 bytes)\nback: and  (9 bytes)\nended with 61\n", 0));
	peer_stop(&server);
	expect_nothing_left();
}
END_TEST

static const struct integration_test tests[] = {
	{&unix_behind_tcp, 60},
	{&tcp_behind_unix, 60},
	{&unix_behind_unix, 60},
	{&server_ends_first, 60},
	{&close_after_write, 60},
	{&a_reset_passes_from_unix_to_tcp, 60},
	{&a_reset_from_tcp_closes_unix, 60},
	{&nobody_there, 30},
	{&nothing_granted, 30},
	{&a_dead_socket_is_replaced, 60},
	{&curl_by_unix_socket, 60},
	{&packets_to_a_guest, 30},
	{&packets_from_a_guest, 30},
};

INTEGRATION_MAIN("unix", tests, NULL)
