/* The guest program web, request by request: names, statuses, ranges, and no way out of the mount. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/web_site.h"
#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/http.h"
#include "tests/lib/integration.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* The whole answer to a GET, as far as it has to be known beforehand; NULL: any body. */
static void expect_get(const struct web *web, const char *target, int status, const char *body)
{
	struct http_reply reply;

	http_get(web->port, target, "", &reply);
	if (reply.status != status)
		ck_abort_msg("GET %s: %d instead of %d", target, reply.status, status);
	if (body != NULL && strcmp(reply.body, body) != 0)
		ck_abort_msg("GET %s: '%s' instead of '%s'", target, reply.body, body);
	http_reply_free(&reply);
}

static void expect_field(const struct http_reply *reply, const char *name, const char *wanted)
{
	char value[256] = "(none)";

	http_field(reply, name, value, sizeof(value));
	if (strcmp(value, wanted) != 0)
		ck_abort_msg("%s: %s instead of %s, in\n%s", name, value, wanted, reply->head);
}

/* ---- names */

START_TEST(every_name)
{
	struct web web;
	char *target, *text;

	web_start(&web);
	for (size_t i = 0; i < hard_name_count; i++) {
		char *name = percent_encode(hard_names[i]);
		if (asprintf(&target, "/%s", name) < 0 ||
			asprintf(&text, WEB_MESSAGE "%s", hard_names[i]) < 0)
			abort();
		expect_get(&web, target, 200, text);
		free(name);
		free(target);
		free(text);
	}
	expect_get(&web, "/letters.txt", 200, LETTERS);
	expect_get(&web, "/letters.txt?query=1", 200, LETTERS);
	expect_get(&web, "/empty", 200, "");
	expect_get(&web, "/sub/deep/file.txt", 200, DEEP_TEXT);
	expect_get(&web, "/sub//deep/./file.txt", 200, DEEP_TEXT);
	expect_get(&web, "/inner", 200, LETTERS);
	expect_get(&web, "http://localhost/letters.txt", 200, LETTERS);
	web_stop(&web);
}
END_TEST

/* Follows each link of a directory page but those that lead up; how many there are. */
static size_t follow_links(const struct web *web, const char *page)
{
	size_t count = 0;

	for (const char *at = page; (at = strstr(at, "href=\"")) != NULL;) {
		struct http_reply reply;
		char *target;
		at += 6;
		int len = (int)strcspn(at, "\"");
		if (len >= 2 && strncmp(at, "..", 2) == 0)
			continue;
		if (asprintf(&target, "%s%.*s", at[0] == '/' ? "" : "/", len, at) < 0)
			abort();
		http_get(web->port, target, "", &reply);
		if (reply.status == 200 && strncmp(reply.body, WEB_MESSAGE, 12) == 0)
			count++;
		http_reply_free(&reply);
		free(target);
	}
	return count;
}

START_TEST(directory_page)
{
	struct http_reply reply;
	struct web web;
	char type[64];

	web_start(&web);
	http_get(web.port, "/", "", &reply);
	expect_equal(reply.status, 200);
	expect(http_field(&reply, "Content-Type", type, sizeof(type)));
	expect(strncmp(type, "text/html", 9) == 0);
	/* A name that reached the page as it stands would be markup. */
	expect(strstr(reply.body, "<b>") == NULL);
	expect_equal(follow_links(&web, reply.body), hard_name_count);
	expect(strstr(reply.body, "letters.txt") != NULL);
	expect(strstr(reply.body, "sub/") != NULL);
	http_reply_free(&reply);

	http_get(web.port, "/sub/", "", &reply);
	expect_equal(reply.status, 200);
	expect(strstr(reply.body, "deep/") != NULL);
	http_reply_free(&reply);
	web_stop(&web);
}
END_TEST

START_TEST(directory_redirect)
{
	struct http_reply reply;
	struct web web;
	char where[256];

	web_start(&web);
	http_get(web.port, "/sub/deep", "", &reply);
	expect(reply.status == 301 || reply.status == 302 || reply.status == 308);
	expect(http_field(&reply, "Location", where, sizeof(where)));
	expect(strcmp(where + strlen(where) - 10, "/sub/deep/") == 0);
	http_reply_free(&reply);

	char target[2048] = "/sub/deep?", whole[2048] = "/sub/deep/?";
	memset(target + 10, 'q', 1500); /* a query of any length goes with it */
	memset(whole + 11, 'q', 1500);
	http_get(web.port, target, "", &reply);
	expect_equal(reply.status, 301);
	char seen[2048] = "";
	expect(http_field(&reply, "Location", seen, sizeof(seen)));
	ck_assert_str_eq(seen, whole);
	http_reply_free(&reply);
	web_stop(&web);
}
END_TEST

START_TEST(content_types)
{
	static const struct {
		const char *target, *type;
	} cases[] = {
		{"/plain.txt", "text/plain"},
		{"/gr%C3%BC%C3%9Fe%20%E2%82%AC.html", "text/html"},
		{"/empty", "application/octet-stream"},
	};
	struct http_reply reply;
	struct web web;
	char type[64] = "";

	web_start(&web);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		http_get(web.port, cases[i].target, "", &reply);
		http_field(&reply, "Content-Type", type, sizeof(type));
		if (strncmp(type, cases[i].type, strlen(cases[i].type)) != 0)
			ck_abort_msg("%s is '%s'", cases[i].target, type);
		http_reply_free(&reply);
	}
	web_stop(&web);
}
END_TEST

/* ---- statuses */

START_TEST(refusals)
{
	static const struct {
		int status;
		const char *request;
	} cases[] = {
		{404, GET("/absent")},
		{404, GET("/absent/")},
		{404, GET("/sub/absent/file")},
		{404, GET("/letters.txt/below")},
		{403, GET("/fifo")},
		{405, "POST /letters.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"},
		{405, "DELETE /letters.txt HTTP/1.1\r\nHost: x\r\n\r\n"},
		{405, "PUT /new HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"},
		{400, "nonsense\r\n\r\n"},
		{400, "GET\r\n\r\n"},
		{400, "GET /letters.txt\r\n\r\n"},
		{400, "GET letters.txt HTTP/1.1\r\nHost: x\r\n\r\n"},
		{400, "GET /letters.txt HTTP/1.1\r\n\r\n"}, /* RFC 9112 3.2: no Host */
		{400, "GET /letters.txt HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n"},
		{400, "GET /letters.txt HTTP/1.1\r\nHost : x\r\n\r\n"},
		{400, GET("/%zz")},
		{400, GET("/%4")},
		{400, GET("/a%00b")},
		{400, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"},
		{505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"},
	};
	struct http_reply reply;
	struct web web;
	char allow[64];

	web_start(&web);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		http_exchange(web.port, cases[i].request, &reply);
		if (reply.status != cases[i].status)
			ck_abort_msg("%d instead of %d for\n%s", reply.status, cases[i].status,
				cases[i].request);
		expect(reply.status != 405 || http_field(&reply, "Allow", allow, sizeof(allow)));
		http_reply_free(&reply);
	}
	web_stop(&web);
}
END_TEST

/* A target or a head that is too long is refused, not cut off. */
START_TEST(too_long)
{
	struct http_reply reply;
	struct web web;
	char *request;

	web_start(&web);
	if (asprintf(&request, "GET /%070000d HTTP/1.1\r\nHost: x\r\n\r\n", 0) < 0)
		abort();
	int fd = client_connect(web.port);
	/* The answer may come, and the connection end, before all is sent. */
	(void)!write(fd, request, strlen(request));
	http_receive(fd, false, &reply);
	expect(reply.status == 414 || reply.status == 431 || reply.status == 400);
	expect(reply.closes);
	client_close(fd);
	http_reply_free(&reply);
	free(request);
	expect_get(&web, "/letters.txt", 200, LETTERS);
	web_stop(&web);
}
END_TEST

START_TEST(no_way_out)
{
	static const char *const requests[] = {
		GET("/../secret"),
		GET("/..%2fsecret"),
		GET("/%2e%2e/secret"),
		GET("/%2E%2E%2Fsecret"),
		GET("/%252e%252e%252fsecret"),
		GET("/sub/../../secret"),
		GET("/sub/%2e%2e/%2e%2e/secret"),
		GET("/....//secret"),
		GET("/..;/secret"),
		GET("/..\\secret"),
		GET("/..%5csecret"),
		GET("/out_relative"),
		GET("/out_absolute"),
		GET("/out_directory/secret"),
		GET("/out_directory/"),
		GET("//etc/passwd"),
		GET("/%2fetc/passwd"),
		GET("/..%00/secret"),
		GET("/%c0%ae%c0%ae/secret"),
		"GET ../secret HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://localhost/../secret HTTP/1.1\r\nHost: x\r\n\r\n",
	};
	struct http_reply reply;
	struct web web;

	web_start(&web);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		http_exchange(web.port, requests[i], &reply);
		if (reply.status < 400 || reply.status > 499 || strstr(reply.body, SECRET) != NULL ||
			strstr(reply.body, "root:") != NULL)
			ck_abort_msg("%d '%s' for\n%s", reply.status, reply.body, requests[i]);
		http_reply_free(&reply);
	}
	web_stop(&web);
}
END_TEST

/* ---- ranges and HEAD */

START_TEST(ranges)
{
	static const struct {
		const char *range, *body, *where;
		int status;
	} cases[] = {
		{"bytes=0-0", "a", "bytes 0-0/26", 206},
		{"bytes=3-5", "def", "bytes 3-5/26", 206},
		{"bytes=24-", "yz", "bytes 24-25/26", 206},
		{"bytes=-3", "xyz", "bytes 23-25/26", 206},
		{"bytes=-100", LETTERS, "bytes 0-25/26", 206},
		{"bytes=25-1000", "z", "bytes 25-25/26", 206},
		{"bytes=26-", NULL, "bytes */26", 416},
		{"bytes=1000-2000", NULL, "bytes */26", 416},
		{"bytes=-0", NULL, "bytes */26", 416},
		{"bytes=5-3", LETTERS, NULL, 200},
		{"bytes=x-y", LETTERS, NULL, 200},
		{"lines=1-2", LETTERS, NULL, 200},
	};
	struct http_reply reply;
	struct web web;
	char fields[64];

	web_start(&web);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(fields, sizeof(fields), "Range: %s\r\n", cases[i].range);
		http_get(web.port, "/letters.txt", fields, &reply);
		if (reply.status != cases[i].status ||
			(cases[i].body != NULL && strcmp(reply.body, cases[i].body) != 0))
			ck_abort_msg("%s: %d '%s'", cases[i].range, reply.status, reply.body);
		if (cases[i].where != NULL)
			expect_field(&reply, "Content-Range", cases[i].where);
		http_reply_free(&reply);
	}
	web_stop(&web);
}
END_TEST

START_TEST(head)
{
	static const char request[] = "HEAD /letters.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=3-5\r\n\r\n"
				      "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
				      "HEAD /absent HTTP/1.1\r\nHost: x\r\n\r\n" GET("/letters.txt");
	static const int statuses[] = {200, 200, 404, 200};
	struct http_reply reply;
	struct web web;

	web_start(&web);
	int fd = client_connect(web.port);
	client_send(fd, request, strlen(request));
	for (int i = 0; i < 4; i++) {
		http_receive(fd, i < 3, &reply);
		expect_equal(reply.status, statuses[i]);
		if (i == 0)
			expect_field(&reply, "Content-Length", "26");
		if (i == 3)
			ck_assert_str_eq(reply.body, LETTERS);
		http_reply_free(&reply);
	}
	client_close(fd);
	web_stop(&web);
}
END_TEST

/* ---- connections */

START_TEST(keep_alive)
{
	struct http_reply reply;
	struct web web;

	web_start(&web);
	int fd = client_connect(web.port);
	for (int i = 0; i < 300; i++) {
		const char *request = i % 3 == 0 ? GET("/letters.txt") :
			i % 3 == 1		 ? GET("/absent") :
						   GET("/");
		client_send(fd, request, strlen(request));
		http_receive(fd, false, &reply);
		expect_equal(reply.status, i % 3 == 1 ? 404 : 200);
		expect(!reply.closes);
		http_reply_free(&reply);
	}
	client_close(fd);
	web_stop(&web);
}
END_TEST

START_TEST(pipelined)
{
	static const char two[] = GET("/letters.txt") GET("/sub/deep/file.txt");
	struct http_reply reply;
	struct web web;

	web_start(&web);
	int fd = client_connect(web.port);
	for (int i = 0; i < 50; i++)
		client_send(fd, two, strlen(two));
	for (int i = 0; i < 100; i++) {
		http_receive(fd, false, &reply);
		ck_assert_str_eq(reply.body, i % 2 == 0 ? LETTERS : DEEP_TEXT);
		http_reply_free(&reply);
	}
	client_finish(fd);
	client_expect_end(fd);
	client_close(fd);
	web_stop(&web);
}
END_TEST

/* Sends this and expects the answer, and the end of the connection behind it. */
static void expect_closing(const struct web *web, const char *request)
{
	struct http_reply reply;
	int fd = client_connect(web->port);

	client_send(fd, request, strlen(request));
	http_receive(fd, false, &reply);
	expect_equal(reply.status, 200);
	ck_assert_str_eq(reply.body, LETTERS);
	client_expect_end(fd);
	client_close(fd);
	http_reply_free(&reply);
}

START_TEST(connection_close)
{
	unsigned count = scale(300, 3000);
	struct web web;

	web_start(&web);
	expect_closing(&web, "GET /letters.txt HTTP/1.0\r\n\r\n");
	for (unsigned i = 0; i < count; i++)
		expect_closing(&web,
			"GET /letters.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	web_stop(&web);
}
END_TEST

START_TEST(byte_by_byte)
{
	static const char request[] = GET("/letters.txt");
	struct http_reply reply;
	struct web web;

	web_start(&web);
	int fd = client_connect(web.port);
	for (size_t i = 0; i < strlen(request); i++) {
		client_send(fd, request + i, 1);
		sleep_ms(1);
	}
	http_receive(fd, false, &reply);
	ck_assert_str_eq(reply.body, LETTERS);
	http_reply_free(&reply);
	client_close(fd);
	web_stop(&web);
}
END_TEST

/* ---- bodies that nobody wants */

#define BODY_LEN  (8u << 20) /* bytes, more than the web server or any buffer on the way takes */
#define LINGER_MS 2000       /* as in guest/programs/web.c */
#define SLOW_MS   20000      /* a client that sends on and on for as long finds no end */
#define REFUSED   "HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388608\r\n\r\n"

static const struct {
	const char *request;
	int status;
} unread[] = {
	{"POST /letters.txt " REFUSED, 405},
	{"PROPFIND / " REFUSED, 501},
	{"GET /letters.txt " REFUSED, 413},
};

static void receive_refusal(int fd, int status)
{
	struct http_reply reply;

	http_receive(fd, false, &reply);
	expect_equal(reply.status, status);
	expect(reply.closes);
	expect(strstr(reply.body, "</html>") != NULL);
	http_reply_free(&reply);
	client_expect_end(fd);
}

/* The answer waits for a client that sends all of its body before it reads. */
START_TEST(unread_body)
{
	struct web web;

	web_start(&web);
	for (size_t i = 0; i < sizeof(unread) / sizeof(unread[0]); i++) {
		int fd = client_connect(web.port);
		client_send(fd, unread[i].request, strlen(unread[i].request));
		client_send_pattern(fd, i, 0, BODY_LEN);
		receive_refusal(fd, unread[i].status);
		client_close(fd);
	}
	web_stop(&web);
}
END_TEST

/* One that never comes to the end of its body has the whole answer, and is left by the deadline. */
START_TEST(unread_body_without_end)
{
	struct web web;

	web_start(&web);
	for (size_t i = 0; i < sizeof(unread) / sizeof(unread[0]); i++) {
		int fd = client_connect(web.port);
		client_send(fd, unread[i].request, strlen(unread[i].request));
		uint64_t begin = clock_ms();
		receive_refusal(fd, unread[i].status);
		while (send(fd, "x", 1, MSG_NOSIGNAL) == 1 && clock_ms() - begin < SLOW_MS)
			sleep_ms(20);
		uint64_t took = clock_ms() - begin;
		if (took < LINGER_MS / 2 || took > LINGER_MS + 5000)
			ck_abort_msg("%u: ended after %llu ms", unread[i].status,
				(unsigned long long)took);
		client_close(fd);
	}
	expect_get(&web, "/letters.txt", 200, LETTERS);
	web_stop(&web);
}
END_TEST

/* Half a request and the end; half a request and nothing; a reader that goes away. */
START_TEST(rude_clients)
{
	static const char big[] = GET("/big");
	struct web web;

	web_start(&web);
	for (int i = 0; i < 50; i++) {
		int fd = client_connect(web.port);
		client_send(fd, big, (size_t)i % strlen(big));
		if (i % 2 == 0)
			client_close(fd);
		else
			client_reset(fd);
	}
	int silent = client_connect(web.port), half = client_connect(web.port);
	client_send(half, "GET /let", 8);
	expect_get(&web, "/letters.txt", 200, LETTERS);
	client_finish(half);
	client_count_to_end(half); /* 400, or nothing: either is fair */
	client_close(half);
	client_close(silent);
	web_stop(&web);
}
END_TEST

/* An empty directory is the top, which is not granted here. */
START_TEST(empty_root)
{
	struct command monitor;

	expect_equal(guest_run(&monitor, NO_WORDS, "web", WORDS(""), 20000), 1);
	command_expect_error(&monitor, "web: cannot serve / (EACCES): ferrule's own warning says what would allow it");
}
END_TEST

static const struct integration_test tests[] = {
	{&empty_root, 30},
	{&every_name, 30},
	{&directory_page, 30},
	{&directory_redirect, 30},
	{&content_types, 30},
	{&refusals, 30},
	{&too_long, 30},
	{&no_way_out, 30},
	{&ranges, 30},
	{&head, 30},
	{&keep_alive, 30},
	{&pipelined, 30},
	{&connection_close, 60},
	{&byte_by_byte, 30},
	{&unread_body, 30},
	{&unread_body_without_end, 60},
	{&rude_clients, 30},
};

INTEGRATION_MAIN("web", tests, NULL)
