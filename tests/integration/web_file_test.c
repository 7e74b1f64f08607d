/* The guest program web and large files: parts and wholes, in memory and not, byte for byte. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/web_site.h"
#include "tests/lib/client.h"
#include "tests/lib/http.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define KEY   5
#define LARGE (5000001u)   /* bytes */
#define PIECE (256u << 10) /* of the library; only the choice of ranges depends on it */

static char *path; /* of the large file on the host */

static void serve_large(struct web *ret_web, const char *name)
{
	char *root = scratch_subdir(name);

	path = scratch_path("%s/file", name);
	file_write_pattern(path, KEY, LARGE);
	web_serve(ret_web, root);
}

/* Throws the file out of memory, where it can be. */
static void make_cold(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	expect(fd >= 0);
	fdatasync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

static void send_get(int fd, const char *fields)
{
	char request[256];
	int len = snprintf(
		request, sizeof(request), "GET /file HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);

	client_send(fd, request, (size_t)len);
}

static void expect_part(int fd, int status, uint64_t offset, uint64_t len)
{
	struct http_reply reply;

	http_receive(fd, false, &reply);
	expect_equal(reply.status, status);
	expect_equal(reply.body_len, len);
	expect_equal(pattern_match(KEY, offset, (unsigned char *)reply.body, len), len);
	http_reply_free(&reply);
}

static void get_part(int fd, uint64_t offset, uint64_t len)
{
	char fields[100];

	snprintf(fields, sizeof(fields), "Range: bytes=%llu-%llu\r\n", (unsigned long long)offset,
		(unsigned long long)(offset + len - 1));
	send_get(fd, fields);
	expect_part(fd, 206, offset, len);
}

START_TEST(parts_at_every_border)
{
	static const uint64_t lengths[] = {
		1, 4096, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 5, LARGE};
	static const uint64_t offsets[] = {0, 1, PIECE - 1, PIECE, 4000000, LARGE - 1};
	struct web web;

	serve_large(&web, "border");
	int fd = client_connect(web.port);
	for (unsigned cold = 0; cold < 2; cold++)
		for (unsigned o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++)
			for (unsigned l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
				uint64_t rest = LARGE - offsets[o];
				if (cold != 0)
					make_cold();
				get_part(fd, offsets[o], lengths[l] < rest ? lengths[l] : rest);
			}
	client_close(fd);
	web_stop(&web);
}
END_TEST

/* All requests before the first answer is read, so that little can be sent at once. */
START_TEST(many_wholes_of_a_slow_client)
{
	struct web web;

	serve_large(&web, "client");
	int fd = client_connect(web.port);
	for (unsigned i = 0; i < 8; i++)
		send_get(fd, i % 2 == 0 ? "" : "Range: bytes=7-300006\r\n");
	usleep(200000);
	for (unsigned i = 0; i < 8; i++) {
		if (i % 3 == 1)
			make_cold();
		if (i % 2 == 0)
			expect_part(fd, 200, 0, LARGE);
		else
			expect_part(fd, 206, 7, 300000);
	}
	client_close(fd);
	web_stop(&web);
}
END_TEST

static void fetch_often(void *argument, unsigned index)
{
	const struct web *web = argument;
	int fd = client_connect(web->port);

	for (unsigned i = 0; i < 6; i++) {
		if ((index + i) % 5 == 0)
			make_cold();
		get_part(fd, 1000 * index, 102400);
		send_get(fd, "");
		expect_part(fd, 200, 0, LARGE);
	}
	client_close(fd);
}

START_TEST(many_clients_at_once)
{
	struct web web;

	serve_large(&web, "once");
	in_threads(16, fetch_often, &web);
	web_stop(&web);
}
END_TEST

/* Clients that leave in the middle are nobody else's business. */
START_TEST(clients_that_leave)
{
	struct random random = {random_seed()};
	struct web web;

	serve_large(&web, "leave");
	for (unsigned i = 0; i < 60; i++) {
		unsigned char bytes[5000];
		int fd = client_connect(web.port);
		send_get(fd, "");
		if (i % 3 == 0)
			make_cold();
		if (i % 2 == 0)
			client_receive(fd, bytes, sizeof(bytes));
		else
			usleep((unsigned)random_below(&random, 1000));
		client_reset(fd);
	}
	int fd = client_connect(web.port);
	get_part(fd, 0, LARGE);
	client_close(fd);
	web_stop(&web);
}
END_TEST

/* The length was promised: what is not there any more is never made up for. */
START_TEST(a_file_that_shrinks)
{
	static const char request[] = "GET /file HTTP/1.1\r\nHost: x\r\n\r\n";
	unsigned char bytes[4096];
	uint64_t got = 0;
	ssize_t len;
	struct web web;

	serve_large(&web, "shrinks");
	expect_equal(truncate(path, 200 << 20), 0);
	int fd = client_connect(web.port);
	client_send(fd, request, sizeof(request) - 1);
	client_receive(fd, bytes, sizeof(bytes));
	expect_equal(truncate(path, 1000), 0);
	while ((len = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		got += (uint64_t)len;
	expect(len < 0 && got < 200 << 20); /* a reset, and not an end */
	client_close(fd);
	web_stop(&web);
}
END_TEST

static const struct integration_test tests[] = {
	{&parts_at_every_border, 60},
	{&many_wholes_of_a_slow_client, 60},
	{&many_clients_at_once, 60},
	{&clients_that_leave, 60},
	{&a_file_that_shrinks, 60},
};

INTEGRATION_MAIN("web_file", tests, NULL)
