/* The guest program fetch: a guest as a client of a native HTTP server. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/integration.h"
#include "tests/lib/namespace.h"
#include "tests/lib/peer.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 40000
#define BIG_LEN (20u << 20) /* bytes */
#define BIG_KEY 77

/* ---- the native server: what is asked for says how it answers */

static void send_text(int connection, const char *text)
{
	client_send(connection, text, strlen(text));
}

static void send_big(int connection)
{
	char head[128];

	client_send(connection, head,
		(size_t)snprintf(head, sizeof(head),
			"HTTP/1.1 200 OK\r\nContent-Length: %u\r\nConnection: close\r\n\r\n",
			BIG_LEN));
	client_send_pattern(connection, BIG_KEY, 0, BIG_LEN);
}

static void send_chunked(int connection)
{
	send_text(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 100; i++)
		send_text(connection, "5;x=y\r\nabcde\r\n1\r\n-\r\n");
	send_text(connection, "0\r\nTrailer: x\r\n\r\n");
}

/* More was promised than comes. */
static void send_short(int connection)
{
	send_text(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
}

/* The end of the connection is the end of the body. */
static void send_to_end(int connection)
{
	send_text(connection, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
}

static void send_missing(int connection)
{
	send_text(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
}

static void send_nonsense(int connection)
{
	send_text(connection, "SSH-2.0-OpenSSH\r\n\r\n");
}

static void send_nothing(int connection)
{
	(void)connection;
}

static void send_slowly(int connection)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nslowly";

	for (size_t i = 0; i < strlen(answer); i++) {
		client_send(connection, answer + i, 1);
		usleep(2000);
	}
}

static const struct answer {
	const char *path;
	void (*send)(int connection);
	int status;        /* of the guest */
	const char *body;  /* that it prints; NULL: the big one */
	const char *error; /* on stderr; NULL: nothing */
} answers[] = {
	{"/big", send_big, 0, NULL, NULL},
	{"/chunked", send_chunked, 0, "", NULL},
	{"/to-end", send_to_end, 0, "until the end", NULL},
	{"/slowly", send_slowly, 0, "slowly", NULL},
	{"/missing", send_missing, 1, "none", "404"},
	{"/short", send_short, 1, "only this", "broke off"},
	{"/nonsense", send_nonsense, 1, "", "not HTTP"},
	{"/nothing", send_nothing, 1, "", "without an answer"},
};

/* One request, as far as its first line; then the answer that it asks for. */
static void serve(int connection, void *argument)
{
	char request[4096] = "", path[64] = "";
	size_t len = 0;

	(void)argument;
	while (strstr(request, "\r\n\r\n") == NULL && len < sizeof(request) - 1) {
		client_receive(connection, request + len, 1);
		request[++len] = '\0';
	}
	expect_equal(sscanf(request, "GET %63s HTTP/1.1", path), 1);
	expect(strstr(request, "Host: 127.0.0.1:") != NULL);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (strcmp(path, answers[i].path) == 0)
			answers[i].send(connection);
	close(connection);
}

/* ---- the guest */

static void fetch(struct command *ret_monitor, uint16_t granted, uint16_t port, const char *path)
{
	char url[128], grant[64];

	snprintf(grant, sizeof(grant), "127.0.0.1:%u", granted);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
	guest_run(ret_monitor, WORDS("--connect", grant), "fetch", WORDS(url), WAIT_MS);
	expect_nothing_left();
}

static void expect_body(const struct command *monitor, const struct answer *answer)
{
	size_t len;
	char *body = file_text(monitor->out, &len);

	if (answer->send == send_big) {
		expect_equal(len, BIG_LEN);
		expect_equal(pattern_match(BIG_KEY, 0, (unsigned char *)body, len), len);
	} else if (answer->send == send_chunked) {
		expect_equal(len, 600);
		for (size_t i = 0; i < len; i++)
			expect(body[i] == "abcde-"[i % 6]);
	} else {
		ck_assert_str_eq(body, answer->body);
	}
	free(body);
}

START_TEST(fetch_answers)
{
	struct peer server = {.serve = serve};
	struct command monitor;

	peer_start(&server);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		fetch(&monitor, server.port, server.port, answers[i].path);
		if (monitor.status != answers[i].status)
			ck_abort_msg("%s: status %d\n%s", answers[i].path, monitor.status,
				file_tail(monitor.err));
		expect_body(&monitor, &answers[i]);
		if (answers[i].error != NULL)
			command_expect_error(&monitor, answers[i].error);
	}
	peer_stop(&server);
}
END_TEST

START_TEST(fetch_refused)
{
	struct command monitor;
	uint16_t port = free_port();

	fetch(&monitor, port, port, "/");
	expect_equal(monitor.status, 1);
	command_expect_error(&monitor, "(ECONNREFUSED): nobody listens there; start the server");
}
END_TEST

/* A network without one interface that is up. */
START_TEST(fetch_unreachable)
{
	struct command monitor;

	if (!namespace_enter(CLONE_NEWNET))
		return;
	fetch(&monitor, 80, 80, "/");
	expect_equal(monitor.status, 1);
	command_expect_error(&monitor, "ENETUNREACH");
}
END_TEST

/* Another port was granted, and nothing is sent to this one. */
START_TEST(fetch_denied)
{
	struct peer server = {.serve = serve};
	struct command monitor;

	peer_start(&server);
	fetch(&monitor, server.port == 1 ? 2 : server.port - 1, server.port, "/to-end");
	expect_equal(monitor.status, 1);
	command_expect_error(&monitor, "(EACCES): ferrule's own warning says what would allow it");
	peer_stop(&server);
}
END_TEST

/* By name: the name is granted, and no address is. */
START_TEST(fetch_by_name)
{
	struct peer server = {.serve = peer_echo};
	struct command monitor;
	char grant[64], url[64];

	peer_start(&server);
	snprintf(grant, sizeof(grant), "localhost:%u", server.port);
	snprintf(url, sizeof(url), "localhost:%u/", server.port);
	guest_run(&monitor, WORDS("--connect", grant), "fetch", WORDS(url), WAIT_MS);
	expect_equal(monitor.status, 1);
	command_expect_error(&monitor, "not HTTP"); /* an echo server answered: it was reached */
	fetch(&monitor, 1, server.port, "/");
	command_expect_error(&monitor, "EACCES");
	peer_stop(&server);
}
END_TEST

static const struct {
	const char *url, *says;
} bad_urls[] = {
	{"https://127.0.0.1/", "needs TLS, which fetch does not have; write http://"},
	{"HTTPS://127.0.0.1/", "needs TLS"},
	{"ftp://127.0.0.1/", "has a scheme that fetch does not know; write http://"},
	{"http://", "names no host; write http://HOST"},
	{"/path", "names no host"},
	{"http://127.0.0.1?x", "more than a host and a port"},
	{"http://name@127.0.0.1/", "more than a host and a port"},
};

START_TEST(fetch_bad_url)
{
	struct command monitor;

	for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
		guest_run(&monitor, WORDS("--connect", "0.0.0.0:0"), "fetch",
			WORDS(bad_urls[i].url), WAIT_MS);
		expect_equal(monitor.status, 2);
		command_expect_error(&monitor, bad_urls[i].says);
	}
	/* .invalid is of no name server's (RFC 2606); without one that answers the cause is
	 * another. */
	guest_run(&monitor, WORDS("--connect", "absent.invalid:80"), "fetch",
		WORDS("http://absent.invalid/"), WAIT_MS);
	expect_equal(monitor.status, 1);
	command_expect_error(&monitor, "cannot connect to absent.invalid:80 (E");
	guest_run(&monitor, NO_WORDS, "fetch", WORDS("http://127.0.0.1:http/"), WAIT_MS);
	command_expect_error(&monitor, "(EINVAL): write HOST:PORT");
}
END_TEST

static const struct integration_test tests[] = {
	{&fetch_bad_url, 120},
	{&fetch_answers, 120},
	{&fetch_refused, 30},
	{&fetch_unreachable, 30},
	{&fetch_denied, 30},
	{&fetch_by_name, 60},
};

INTEGRATION_MAIN("fetch", tests, NULL)
