/* Paths and endpoints as a guest program writes them. */
#include <string.h>

#include "guest/ferrule.h"
#include "guest/stream/endpoint.h"
#include "guest/stream/path.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

/* ---- paths */

static const struct {
	const char *path, *plain;
	bool slash;
} paths[] = {
	{"/", "/", true},
	{"//", "/", true},
	{".", "/", true},
	{"..", "/", true},
	{"/..", "/", true},
	{"/../../x", "/x", false},
	{"a", "/a", false},
	{"/a/b", "/a/b", false},
	{"/a/b/", "/a/b", true},
	{"//a///b//", "/a/b", true},
	{"/a/./b/.", "/a/b", true},
	{"/a/b/..", "/a", true},
	{"/a/../b", "/b", false},
	{"/a/b/../../..", "/", true},
	{"/a/...", "/a/...", false},
	{"/.a/..b", "/.a/..b", false},
	{"a/..//../b/./c", "/b/c", false},
};

START_TEST(paths_become_plain)
{
	char plain[FS_PATH_MAX + 1];
	bool slash;

	ck_assert_int_eq(path_normalize(paths[_i].path, plain, &slash), 0);
	ck_assert_str_eq(plain, paths[_i].plain);
	ck_assert_int_eq(slash, paths[_i].slash);
}
END_TEST

START_TEST(path_lengths)
{
	static char path[3 * FS_PATH_MAX];
	char plain[FS_PATH_MAX + 1];
	bool slash;

	expect_equal(path_normalize("", plain, &slash), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[FS_PATH_MAX] = 0;
	expect_equal(path_normalize(path, plain, &slash), 0);
	expect_equal(strlen(plain), FS_PATH_MAX);
	path[FS_PATH_MAX] = 'x';
	expect_equal(path_normalize(path, plain, &slash), -ENAMETOOLONG);
	/* Only the plain form has to fit. */
	memset(path, '/', sizeof(path) - 2);
	expect_equal(path_normalize(path, plain, &slash), 0);
	ck_assert_str_eq(plain, "/x");
}
END_TEST

/* Whatever comes in, what comes out is plain, and making it plain again changes nothing. */
START_TEST(plain_paths_stay_so)
{
	static const char letters[] = "//..ab";
	struct random random = {random_seed()};
	char path[64], plain[FS_PATH_MAX + 1], again[FS_PATH_MAX + 1];
	bool slash;

	for (int round = 0; round < 100000; round++) {
		size_t len = 1 + random_below(&random, sizeof(path) - 1);

		for (size_t i = 0; i < len; i++)
			path[i] = letters[random_below(&random, sizeof(letters) - 1)];
		path[len - 1] = 0;
		if (!*path)
			continue;
		expect(path_normalize(path, plain, &slash) == 0);
		expect(plain[0] == '/' && !strstr(plain, "//") && !strstr(plain, "/./"));
		expect(!strstr(plain, "/../"));
		expect(strcmp(plain + strlen(plain) - 1, "/") != 0 || strcmp(plain, "/") == 0);
		expect(path_normalize(plain, again, &slash) == 0);
		expect(strcmp(plain, again) == 0);
	}
}
END_TEST

/* ---- endpoints */

static const struct {
	const char *text, *formatted; /* NULL: it is refused */
} endpoints[] = {
	{"127.0.0.1:8080", "127.0.0.1:8080"},
	{"0.0.0.0:0", "0.0.0.0:0"},
	{"255.255.255.255:65535", "255.255.255.255:65535"},
	{"[::]:80", "[::]:80"},
	{"[::1]:80", "[::1]:80"},
	{"[1::]:80", "[1::]:80"},
	{"[fe80::1%3]:80", "[fe80::1%3]:80"},
	{"[2001:DB8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1"},
	{"[1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:7:8]:1"},
	{"[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1"},
	{"[1:0:3:4:5:6:7:8]:1", "[1:0:3:4:5:6:7:8]:1"},
	{"[::ffff:192.0.2.1]:1", "[::ffff:c000:201]:1"},
	{"[0:0:0:0:0:0:0:0]:1", "[::]:1"},
	{"", NULL},
	{"127.0.0.1", NULL},
	{"127.0.0.1:", NULL},
	{"127.0.0.1:65536", NULL},
	{"127.0.0.1:80x", NULL},
	{"127.0.0.1:-1", NULL},
	{"127.0.0.1:99999999999", NULL},
	{"127.0.0:80", NULL},
	{"127.0.0.256:80", NULL},
	{"127.0.0.01:80", NULL},
	{"127.0.0.1.1:80", NULL},
	{" 127.0.0.1:80", NULL},
	{"localhost:80", NULL},
	{"::1:80", NULL},
	{"[::1]", NULL},
	{"[::1:80", NULL},
	{"[]:80", NULL},
	{"[:]:80", NULL},
	{"[:::]:80", NULL},
	{"[1::2::3]:80", NULL},
	{"[1:2:3:4:5:6:7]:80", NULL},
	{"[1:2:3:4:5:6:7:8:9]:80", NULL},
	{"[1:2:3:4::5:6:7:8]:80", NULL},
	{"[12345::]:80", NULL},
	{"[1:]:80", NULL},
	{"[g::]:80", NULL},
	{"[::1%]:80", NULL},
	{"[::1%eth0]:80", NULL},
	{"[::1.2.3]:80", NULL},
	{"[1:2:3:4:5:6:7:1.2.3.4]:80", NULL},
};

START_TEST(endpoints_are_read_and_written)
{
	struct endpoint endpoint, again;
	char text[ENDPOINT_TEXT_LEN];
	int result = endpoint_parse(endpoints[_i].text, &endpoint);

	ck_assert_msg(result == (endpoints[_i].formatted ? 0 : -EINVAL), "%s: %d",
		endpoints[_i].text, result);
	if (result)
		return;
	ck_assert_str_eq(endpoint_format(&endpoint, text), endpoints[_i].formatted);
	expect_equal(endpoint_parse(text, &again), 0);
	ck_assert_mem_eq(&endpoint, &again, sizeof(endpoint));
}
END_TEST

START_TEST(longest_endpoint_fits)
{
	struct endpoint endpoint = {.family = ENDPOINT_IPV6, .port = 65535, .scope = UINT32_MAX};
	char text[ENDPOINT_TEXT_LEN];

	memset(endpoint.addr, 0xff, sizeof(endpoint.addr));
	ck_assert_str_eq(endpoint_format(&endpoint, text),
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}
END_TEST

static const struct {
	const char *text, *host; /* host: "" for an address, NULL: refused */
} targets[] = {
	{"127.0.0.1:80", ""},
	{"[::1]:80", ""},
	{"localhost:80", "localhost"},
	{"a.example:443", "a.example"},
	{"127.0.0.1:0", NULL},
	{"localhost:0", NULL},
	{"localhost", NULL},
	{":80", NULL},
	{"a b:80", NULL},
	{"a/b:80", NULL},
	{"::1:80", NULL},
	{"[::1:80", NULL},
};

START_TEST(targets_are_addresses_or_names)
{
	struct endpoint endpoint;
	struct wire_bytes host;
	int result = endpoint_parse_target(targets[_i].text, &endpoint, &host);

	ck_assert_msg(
		result == (targets[_i].host ? 0 : -EINVAL), "%s: %d", targets[_i].text, result);
	if (result)
		return;
	expect_equal(host.len, strlen(targets[_i].host));
	expect_equal(endpoint.family == ENDPOINT_NAME, host.len > 0);
	if (host.len)
		ck_assert_mem_eq(host.data, targets[_i].host, host.len);
}
END_TEST

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
	Suite *suite = suite_create("guest_path");
	TCase *tcase = tcase_create("guest_path");

	tcase_add_loop_test(tcase, paths_become_plain, 0, COUNT_OF(paths));
	tcase_add_test(tcase, path_lengths);
	tcase_add_test(tcase, plain_paths_stay_so);
	tcase_add_loop_test(tcase, endpoints_are_read_and_written, 0, COUNT_OF(endpoints));
	tcase_add_test(tcase, longest_endpoint_fits);
	tcase_add_loop_test(tcase, targets_are_addresses_or_names, 0, COUNT_OF(targets));
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
