/* What the web server and fetch make of bytes: requests, ranges, tags, dates and answers. */
#include <stdio.h>
#include <string.h>

#include "guest/programs/http_answer.h"
#include "guest/programs/http_parse.h"
#include "guest/programs/http_types.h"
#include "guest/programs/http_values.h"
#include "guest/programs/text.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct http_request request;

static long parse(const char *text)
{
	return http_parse_request(text, strlen(text), &request);
}

/* ---- requests */

START_TEST(request_is_read)
{
	static const char text[] = "GET /a%20b/c?x=1 HTTP/1.1\r\nHost: h\r\nRange:  bytes=1-2 \r\n"
				   "If-None-Match: \"t\"\r\n\r\nGET /next";

	expect_equal(parse(text), strstr(text, "GET /next") - text);
	expect_equal(request.method, HTTP_GET);
	ck_assert_str_eq(request.path, "/a b/c");
	expect_equal(request.query.len, 4);
	expect_equal(request.range.len, 9);
	expect_equal(request.if_none_match.len, 3);
	expect(request.keep_alive && !request.has_body);
}
END_TEST

/* The head is complete only when its last byte is there, and then however little came at once. */
START_TEST(request_comes_in_pieces)
{
	static const char text[] = "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";

	for (size_t len = 0; len < sizeof(text) - 1; len++)
		expect_equal(http_parse_request(text, len, &request), 0);
	expect_equal(parse(text), sizeof(text) - 1);
	expect(request.method == HTTP_HEAD && request.has_body && request.content_length == 3);
}
END_TEST

static const struct {
	const char *target, *path; /* NULL: 400 */
} request_paths[] = {
	{"/", "/"},
	{"/a/b", "/a/b"},
	{"/a/", "/a/"},
	{"//a//b//", "/a/b/"},
	{"/../../etc/passwd", "/etc/passwd"},
	{"/a/../../..", "/"},
	{"/%2e%2e/%2E%2e/etc/passwd", "/etc/passwd"},
	{"/a%2f..%2f..%2fb", "/b"},
	{"/a/.", "/a/"},
	{"/a/..", "/"},
	{"/a/./b", "/a/b"},
	{"/%C3%A4", "/\xc3\xa4"},
	{"/a%25b", "/a%b"},
	{"/a+b", "/a+b"},
	{"/?/../x", "/"},
	{"http://host/x", "/x"},
	{"HTTP://host:80", "/"},
	{"http://host?q", "/"},
	{"/%00", NULL},
	{"/a%00b", NULL},
	{"/%", NULL},
	{"/%1", NULL},
	{"/%g1", NULL},
	{"/%1g", NULL},
	{"x", NULL},
	{"*", NULL},
	{"/#x", NULL},
	{"/\x7f", NULL},
};

START_TEST(paths_are_decoded_and_plain)
{
	char text[256];
	long result;

	snprintf(
		text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", request_paths[_i].target);
	result = parse(text);
	ck_assert_msg((result > 0) == (request_paths[_i].path != NULL), "%s: %ld", text, result);
	if (result > 0)
		ck_assert_str_eq(request.path, request_paths[_i].path);
	else
		expect_equal(result, -400);
}
END_TEST

static const struct {
	const char *text;
	int status; /* 0: accepted */
} requests[] = {
	{"GET / HTTP/1.0\r\n\r\n", 0},
	{"GET / HTTP/1.0\n\n", 0},
	{"\r\nGET / HTTP/1.0\r\n\r\n", 0},
	{"POST / HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a-b.c:80\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", 400},
	{"GET /\r\n\r\n", 400},
	{"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
	{"GET / HTTP/1.1x\r\nHost: h\r\n\r\n", 400},
	{"GET / http/1.1\r\nHost: h\r\n\r\n", 400},
	{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
	{"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
	{"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		400},
	{"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
	{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
};

START_TEST(requests_are_judged)
{
	long result = parse(requests[_i].text);

	if (requests[_i].status)
		ck_assert_msg(result == -requests[_i].status, "%s: %ld", requests[_i].text, result);
	else
		ck_assert_msg(result == (long)strlen(requests[_i].text), "%s: %ld",
			requests[_i].text, result);
}
END_TEST

static const struct {
	const char *head;
	bool keep_alive;
} connections[] = {
	{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
	{"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, CLOSE\r\n\r\n", false},
	{"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", true},
	{"GET / HTTP/1.0\r\n\r\n", false},
	{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
	{"GET / HTTP/1.0\r\nConnection: ,\r\n\r\n", false},
};

START_TEST(connections_are_kept)
{
	expect(parse(connections[_i].head) > 0);
	expect_equal(request.keep_alive, connections[_i].keep_alive);
}
END_TEST

START_TEST(too_long_is_refused)
{
	static char text[2 * HTTP_HEAD_MAX];
	size_t used;

	memset(text, 'x', sizeof(text));
	memcpy(text, "GET /", 5);
	expect_equal(http_parse_request(text, HTTP_LINE_MAX - 1, &request), 0);
	expect_equal(http_parse_request(text, HTTP_LINE_MAX, &request), -414);
	/* A path that is too long on a line that is not. */
	memcpy(text + 5 + HTTP_PATH_MAX, " HTTP/1.1\r\nHost: h\r\n\r\n", 23);
	expect_equal(parse(text), -414);
	memset(text, 'x', sizeof(text));
	memcpy(text, "GET / HTTP/1.1\r\nHost: ", 22);
	expect_equal(http_parse_request(text, HTTP_HEAD_MAX - 1, &request), 0);
	expect_equal(http_parse_request(text, HTTP_HEAD_MAX, &request), -431);
	used = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		used += (size_t)sprintf(text + used, "a: b\r\n");
	sprintf(text + used, "c: d\r\n\r\n");
	expect_equal(parse(text), -431);
}
END_TEST

/* Whatever comes in: no crash (the sanitizers watch), and what is accepted keeps its promises. */
START_TEST(any_bytes_are_survived)
{
	static const char *const piece[] = {"GET ", "HEAD ", "/", "..", "%2e", "%00", "%", "?", "#",
		" HTTP/1.1", "\r\n", "\n", "\r", "Host: h", ": ",
		"Range: bytes=", "Content-Length: ", "18446744073709551616",
		"Transfer-Encoding: chunked", "Connection: close", ",", "\t", " ", "a", "\x80",
		"http://", "\x01"};
	struct random random = {random_seed()};
	char bytes[512];

	for (int round = 0; round < 200000; round++) {
		size_t used =
			(size_t)sprintf(bytes, "%s", random_once_in(&random, 2) ? "GET /" : "");
		long result;

		for (uint64_t i = random_below(&random, 20); i > 0; i--)
			used += (size_t)sprintf(bytes + used, "%s",
				piece[random_below(&random, sizeof(piece) / sizeof(piece[0]))]);
		if (used && random_once_in(&random, 4))
			bytes[random_below(&random, used)] = (char)random_next(&random);
		if (random_once_in(&random, 2))
			used += (size_t)sprintf(bytes + used, " HTTP/1.1\r\nHost: h\r\n\r\n");
		result = http_parse_request(bytes, used, &request);
		expect(result <= (long)used);
		if (result <= 0 || request.method >= HTTP_KNOWN)
			continue;
		expect(request.path[0] == '/' && strlen(request.path) <= HTTP_PATH_MAX);
		expect(!strstr(request.path, "//") && !strstr(request.path, "/../"));
		expect(strlen(request.path) < 3 ||
			strcmp(request.path + strlen(request.path) - 3, "/..") != 0);
	}
}
END_TEST

/* ---- values */

static struct http_text text_of(const char *string)
{
	return (struct http_text){string, strlen(string)};
}

static const struct {
	const char *range;
	uint64_t size;
	int result;
	uint64_t first, len;
} ranges[] = {
	{"bytes=0-0", 10, 1, 0, 1},
	{"bytes=0-9", 10, 1, 0, 10},
	{"bytes=0-99", 10, 1, 0, 10},
	{"bytes=5-", 10, 1, 5, 5},
	{"bytes=9-", 10, 1, 9, 1},
	{"bytes=-3", 10, 1, 7, 3},
	{"bytes=-99", 10, 1, 0, 10},
	{"BYTES = 1-2", 10, 1, 1, 2},
	{"bytes=10-", 10, -416, 0, 0},
	{"bytes=-0", 10, -416, 0, 0},
	{"bytes=0-", 0, -416, 0, 0},
	{"bytes=-5", 0, -416, 0, 0},
	{"bytes=5-4", 10, 0, 0, 0},
	{"bytes=0-1,3-4", 10, 0, 0, 0},
	{"bytes=", 10, 0, 0, 0},
	{"bytes=x-y", 10, 0, 0, 0},
	{"bytes=-", 10, 0, 0, 0},
	{"bytes=1", 10, 0, 0, 0},
	{"bytes=99999999999999999999-", 10, 0, 0, 0},
	{"lines=0-1", 10, 0, 0, 0},
	{"", 10, 0, 0, 0},
};

START_TEST(ranges_are_read)
{
	uint64_t first = 0, len = 0;
	int result = http_parse_range(text_of(ranges[_i].range), ranges[_i].size, &first, &len);

	ck_assert_msg(result == ranges[_i].result, "%s: %d", ranges[_i].range, result);
	if (result == 1)
		ck_assert_msg(
			first == ranges[_i].first && len == ranges[_i].len, "%s", ranges[_i].range);
}
END_TEST

START_TEST(tags_are_found)
{
	expect(http_etag_listed(text_of("\"a\""), "\"a\""));
	expect(http_etag_listed(text_of("\"b\" , W/\"a\""), "\"a\""));
	expect(http_etag_listed(text_of("*"), "\"a\""));
	expect(!http_etag_listed(text_of("\"ab\""), "\"a\""));
	expect(!http_etag_listed(text_of("a"), "\"a\""));
	expect(!http_etag_listed(text_of(""), "\"a\""));
}
END_TEST

START_TEST(dates_go_both_ways)
{
	char text[HTTP_DATE_LEN];
	int64_t seconds;

	ck_assert_str_eq(http_date_format(784111777, text), "Sun, 06 Nov 1994 08:49:37 GMT");
	ck_assert_str_eq(http_date_format(0, text), "Thu, 01 Jan 1970 00:00:00 GMT");
	ck_assert_str_eq(http_date_format(-1, text), "Wed, 31 Dec 1969 23:59:59 GMT");
	ck_assert_str_eq(http_date_format(951782400, text), "Tue, 29 Feb 2000 00:00:00 GMT");
	ck_assert_str_eq(http_date_format(INT64_MAX, text), "Fri, 31 Dec 9999 23:59:59 GMT");
	ck_assert_str_eq(http_date_format(INT64_MIN, text), "Mon, 01 Jan 0001 00:00:00 GMT");
	for (int64_t at = -62135596800; at < 253402300799; at += 8640017) {
		expect(http_date_parse(text_of(http_date_format(at, text)), &seconds));
		expect_equal(seconds, at);
	}
	expect(!http_date_parse(text_of("Sunday, 06-Nov-94 08:49:37 GMT"), &seconds));
	expect(!http_date_parse(text_of("Sun, 06 Nov 1994 24:49:37 GMT"), &seconds));
	expect(!http_date_parse(text_of("Sun, 06 Nov 1994 08:49:37 UTC"), &seconds));
	expect(!http_date_parse(text_of(""), &seconds));
}
END_TEST

START_TEST(types_are_known)
{
	ck_assert_str_eq(http_content_type("/a/b.HTML"), "text/html; charset=utf-8");
	ck_assert_str_eq(http_content_type("/a.html/b"), "application/octet-stream");
	ck_assert_str_eq(http_content_type("/a.tar.gz"), "application/gzip");
	ck_assert_str_eq(http_content_type("/."), "application/octet-stream");
	ck_assert_str_eq(http_reason(404), "Not Found");
	ck_assert_str_eq(http_reason(999), "Error");
}
END_TEST

START_TEST(text_is_escaped)
{
	struct text text = {0};

	text_add_html(&text, "<a href=\"x\">&'</a>");
	text_add(&text, "|");
	text_add_url(&text, "/a b%<>\"'?#\xc3\xa4&;:");
	ck_assert_str_eq(text_string(&text), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;&lt;/a&gt;|"
					     "/a%20b%25%3C%3E%22%27%3F%23%C3%A4%26%3B%3A");
	text_free(&text);
}
END_TEST

/* ---- answers, for fetch */

static const struct {
	const char *answer, *body;
	bool complete;
} answers[] = {
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", true},
	{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", "abc", false},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true},
	{"HTTP/1.1 204\r\n\r\n", "", true},
	{"HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end", true},
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 1\n\nx", "x", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: "
	 "v\r\n\r\n",
		"abcde", true},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "abc", false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", NULL,
		false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", NULL, false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", NULL,
		false},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", NULL, false},
	{"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", NULL, false},
	{"HTTP/2 200\r\n\r\n", NULL, false},
	{"SSH-2.0-x\r\n", NULL, false},
};

/* Feeds the bytes in steps of this size. False: broken. */
static bool take_answer(
	const char *bytes, size_t len, size_t step, char *ret_body, bool *ret_complete)
{
	struct http_answer answer;
	size_t used = 0, at = 0;
	long head = 0;

	for (size_t seen = step; head == 0; seen += step) {
		head = http_parse_answer(bytes, seen < len ? seen : len, &answer);
		if (head < 0)
			return false;
		if (head == 0 && seen >= len)
			return false;
	}
	at = (size_t)head;
	for (size_t seen = at; at < len && !answer.body.done;) {
		struct http_piece piece;

		if (seen < len)
			seen = seen + step < len ? seen + step : len;
		piece = http_body_next(&answer.body, (const unsigned char *)bytes + at, seen - at);
		if (piece.error)
			return false;
		memcpy(ret_body + used, bytes + at + piece.skip, piece.len);
		used += piece.len;
		at += piece.skip + piece.len;
		if (piece.skip + piece.len == 0 && seen == len)
			break;
	}
	ret_body[used] = 0;
	*ret_complete = http_body_end(&answer.body);
	return true;
}

START_TEST(answers_are_read_at_every_step)
{
	const char *bytes = answers[_i].answer;
	char body[256];
	bool complete;

	for (size_t step = 1; step <= strlen(bytes); step++) {
		bool read = take_answer(bytes, strlen(bytes), step, body, &complete);

		ck_assert_msg(read == (answers[_i].body != NULL), "%s", bytes);
		if (!read)
			continue;
		ck_assert_str_eq(body, answers[_i].body);
		ck_assert_msg(complete == answers[_i].complete, "%s", bytes);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http");
	TCase *tcase = tcase_create("http");

	tcase_add_test(tcase, request_is_read);
	tcase_add_test(tcase, request_comes_in_pieces);
	tcase_add_loop_test(tcase, paths_are_decoded_and_plain, 0, COUNT_OF(request_paths));
	tcase_add_loop_test(tcase, requests_are_judged, 0, COUNT_OF(requests));
	tcase_add_loop_test(tcase, connections_are_kept, 0, COUNT_OF(connections));
	tcase_add_test(tcase, too_long_is_refused);
	tcase_add_test(tcase, any_bytes_are_survived);
	tcase_add_loop_test(tcase, ranges_are_read, 0, COUNT_OF(ranges));
	tcase_add_test(tcase, tags_are_found);
	tcase_add_test(tcase, dates_go_both_ways);
	tcase_add_test(tcase, types_are_known);
	tcase_add_test(tcase, text_is_escaped);
	tcase_add_loop_test(tcase, answers_are_read_at_every_step, 0, COUNT_OF(answers));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
