/*
 * Which UNIX sockets a guest may have, and that nothing leads beside them: --unix, the paths that
 * a guest asks for, and the errors of plain sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/path.h"
#include "monitor/stats.h"
#include "tests/lib/clock.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"
#include "tests/lib/unix_guest.h"

/* A path in the scratch directory, good until 16 more were asked for. */
static const char *at(const char *name)
{
	static char paths[16][200];
	static unsigned next;
	char *path = paths[next++ % 16];

	snprintf(path, sizeof(paths[0]), "%s/%s", scratch_dir(), name);
	return path;
}

static const char *subdir(const char *name)
{
	free(scratch_subdir(name));
	return at(name);
}

/* ---- options */

START_TEST(paths_have_one_form)
{
	static const char *const rows[][2] = {
		{"/run/app.sock", "/run/app.sock"},
		{"//run///./app.sock/", "/run/app.sock"},
		{"run/./app.sock", "run/app.sock"},
		{"./app.sock", "app.sock"},
		{"/", "/"},
		{"/.", "/"},
		{".", "."},
		{"./", "."},
		{"...", "..."},
		{"/a/..b/c..", "/a/..b/c.."},
	};
	char normal[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		expect(path_normal(rows[i][0], strlen(rows[i][0]), normal));
		ck_assert_str_eq(normal, rows[i][1]);
	}
	expect(!path_normal("..", 2, normal));
	expect(!path_normal("/a/../b", 7, normal));
	expect(!path_normal("/a/..", 5, normal));
}
END_TEST

START_TEST(bad_options_earn_a_sentence)
{
	const char *link = at("link"), *in_file = at("text/app.sock"), *text = at("text");
	static char long_name[5000], name[128];
	const struct {
		const char *value;
		int error;
		const char *words;
	} rows[] = {
		{"", -EINVAL, "names no socket; write a path, for example /run/app/app.sock"},
		{":listen", 0, NULL}, /* a socket of that name */
		{"/run/../etc", -EINVAL, "has '..' in it; write the path without it"},
		{"@", -EINVAL, "names no abstract socket"},
		{name, -ENAMETOOLONG, "at most 107 bytes"},
		{"/no/such/directory/app.sock", -ENOENT, "create the directory"},
		{in_file, -ENOTDIR, "create the directory or correct the path"},
		{link, -ELOOP, "write the path of what it leads to"},
		{long_name, -ENAMETOOLONG, "write a shorter one"},
	};
	char error[6000];

	file_write(text, "text", 4);
	expect_equal(symlink("text", link), 0);
	memset(name, 'a', sizeof(name));
	name[0] = '@';
	name[109] = '\0';
	memset(long_name, 'a', 4999);
	long_name[4999] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grants grants = {0};
		error[0] = '\0';
		expect_equal(grants_add_unix(&grants, rows[i].value, error, sizeof(error)),
			rows[i].error);
		if (rows[i].words != NULL && strstr(error, rows[i].words) == NULL)
			ck_abort_msg("%s", error);
		grants_free(&grants);
	}
}
END_TEST

/* What of what is granted: 'l' to listen, 'c' to connect, by path. */
START_TEST(grants_cover_what_they_say)
{
	const char *made = subdir("cover");
	char *value, *path, error[300];
	static const struct {
		const char *grant, *asked, *uses;
	} rows[] = {
		{"%s", "%s/a", "lc"},
		{"%s", "%s/deep/er", "lc"},
		{"%s", "%s", "lc"},
		{"%s", "%sx", ""},
		{"%s/", "%s/a", "lc"},
		{"%s:listen", "%s/a", "l"},
		{"%s:connect", "%s/a", "c"},
		{"%s/a", "%s/a", "lc"},
		{"%s/a", "%s/b", ""},
		{"%s/a", "%s/a/b", ""},
		{"%s/a:listen", "%s/a", "l"},
		{"%s/a:connect", "%s/a", "c"},
		{"%s/a:connect:listen", "%s/a:connect", "l"},
		{"@%s", "@%s", "lc"},
		{"@%s", "%s", ""},
		{"%s", "@%s", ""},
		{"@%s:connect", "@%s", "c"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grants grants = {0};
		struct unix_place place;
		expect(asprintf(&value, rows[i].grant, made) > 0);
		expect(asprintf(&path, rows[i].asked, made) > 0);
		expect_equal(grants_add_unix(&grants, value, error, sizeof(error)), 0);
		expect_equal(grants_unix(&grants, true, path, &place),
			strchr(rows[i].uses, 'l') != NULL);
		expect_equal(grants_unix(&grants, false, path, &place),
			strchr(rows[i].uses, 'c') != NULL);
		grants_free(&grants);
		free(value);
		free(path);
	}
}
END_TEST

START_TEST(a_grants_file_has_them)
{
	const char *file = at("grants");
	char *text, error[300];
	struct grants grants = {0};
	struct unix_place place;

	expect(asprintf(&text, "# sockets\nunix %s/db.sock:connect\n--unix @name # all\n",
		       scratch_dir()) > 0);
	file_write(file, text, strlen(text));
	free(text);
	if (grants_add_file(&grants, file, error, sizeof(error)) != 0)
		ck_abort_msg("%s", error);
	expect(grants_unix(&grants, false, at("db.sock"), &place));
	ck_assert_str_eq(place.path, "db.sock");
	expect(!grants_unix(&grants, true, at("db.sock"), &place));
	expect(grants_unix(&grants, true, "@name", &place));
	ck_assert_str_eq(place.path, "name");
	expect_equal(place.directory, -1);
	grants_free(&grants);
}
END_TEST

START_TEST(relative_paths_are_as_the_option_has_them)
{
	struct grants grants = {0};
	struct unix_place place;
	char error[300];

	expect_equal(chdir(scratch_dir()), 0);
	expect_equal(grants_add_unix(&grants, "./app.sock", error, sizeof(error)), 0);
	expect(grants_unix(&grants, true, "app.sock", &place));
	ck_assert_str_eq(place.path, "app.sock");
	expect(!grants_unix(&grants, true, "other.sock", &place));
	expect_equal(grants_add_unix(&grants, ".", error, sizeof(error)), 0);
	expect(grants_unix(&grants, true, "other.sock", &place));
	expect(!grants_unix(&grants, true, "/other.sock", &place));
	expect(!grants_unix(&grants, true, "@other.sock", &place));
	grants_free(&grants);
	expect_equal(grants_add_unix(&grants, "/", error, sizeof(error)), 0);
	expect(grants_unix(&grants, true, "/run/x", &place));
	ck_assert_str_eq(place.path, "run/x");
	expect(!grants_unix(&grants, true, "run/x", &place));
	grants_free(&grants);
}
END_TEST

/* ---- what a guest asks for */

START_TEST(what_is_not_granted_is_refused)
{
	const char *inside = subdir("granted"), *outside = subdir("beside");
	uint64_t refused;
	const char *secret = at("beside/secret"), *listens = at("granted/listen"),
		   *connects = at("granted/connect");
	char value[300];
	int native = native_unix_listen(secret, UNIX_STREAM, 5);
	int near = native_unix_listen(connects, UNIX_STREAM, 5);

	tcp_guest_prepare();
	snprintf(value, sizeof(value), "%s:listen", listens);
	unix_grant(value);
	snprintf(value, sizeof(value), "%s:connect", connects);
	unix_grant(value);
	guest_end_start(&guest);
	refused = stats.grants_refused;
	expect_equal(unix_connect_error(secret, UNIX_STREAM), EACCES);
	expect_equal(unix_listen_error(at("granted/other"), UNIX_STREAM), EACCES);
	expect_equal(unix_listen_error(connects, UNIX_STREAM), EACCES);
	expect_equal(unix_connect_error(listens, UNIX_STREAM), EACCES);
	expect_equal(unix_connect_error("@granted", UNIX_STREAM), EACCES);
	snprintf(value, sizeof(value), "%s/../beside/secret", inside);
	expect_equal(unix_connect_error(value, UNIX_STREAM), EACCES);
	snprintf(value, sizeof(value), "%s/../granted/connect", outside);
	expect_equal(unix_connect_error(value, UNIX_STREAM), EACCES);
	expect_equal(stats.grants_refused, refused + 7);
	/* Its own, also by another spelling. */
	expect_equal(unix_listen_error(listens, UNIX_STREAM), 0);
	snprintf(value, sizeof(value), "/%s/.//connect", inside);
	expect_equal(unix_connect_error(value, UNIX_STREAM), 0);
	guest_end_stop(&guest);
	close(native);
	close(near);
}
END_TEST

START_TEST(no_link_is_followed)
{
	const char *inside = subdir("links"), *outside = subdir("elsewhere");
	const char *secret = at("elsewhere/secret"), *own = at("links/own");
	int native = native_unix_listen(secret, UNIX_STREAM, 5);
	int near = native_unix_listen(own, UNIX_STREAM, 5);

	expect_equal(symlink("../elsewhere", at("links/up")), 0);
	expect_equal(symlink(outside, at("links/absolute")), 0);
	expect_equal(symlink(secret, at("links/file")), 0);
	expect_equal(symlink("own", at("links/harmless")), 0);
	expect_equal(symlink("/proc/self/root", at("links/magic")), 0);
	tcp_guest_prepare();
	unix_grant(inside);
	guest_end_start(&guest);
	expect_equal(unix_connect_error(at("links/up/secret"), UNIX_STREAM), ELOOP);
	expect_equal(unix_connect_error(at("links/absolute/secret"), UNIX_STREAM), ELOOP);
	expect_equal(unix_connect_error(at("links/file"), UNIX_STREAM), ELOOP);
	expect_equal(unix_connect_error(at("links/harmless"), UNIX_STREAM), ELOOP);
	expect_equal(unix_connect_error(at("links/magic/tmp"), UNIX_STREAM), ELOOP);
	expect_equal(unix_listen_error(at("links/up/new"), UNIX_STREAM), ELOOP);
	expect_equal(unix_listen_error(at("links/absolute/new"), UNIX_STREAM), ELOOP);
	expect_equal(unix_listen_error(at("links/file"), UNIX_STREAM), EADDRINUSE);
	expect(access(at("elsewhere/new"), F_OK) != 0);
	expect_equal(unix_connect_error(own, UNIX_STREAM), 0);
	guest_end_stop(&guest);
	close(native);
	close(near);
}
END_TEST

/* ---- someone swaps a directory for a link that leads out, while the guest asks */

static atomic_bool racing;

struct swapped {
	const char *real, *link;
};

static void *swap(void *argument)
{
	const struct swapped *swapped = argument;

	while (atomic_load(&racing))
		syscall(SYS_renameat2, AT_FDCWD, swapped->real, AT_FDCWD, swapped->link,
			RENAME_EXCHANGE);
	return NULL;
}

START_TEST(nothing_leads_out_while_links_are_swapped)
{
	const char *inside = subdir("swap"), *path = at("swap/door/sock"),
		   *made = at("swap/door/new");
	struct swapped swapped = {at("swap/door"), at("swap/trap")};
	unsigned in = 0, refused = 0;
	pthread_t thread;

	subdir("swap/door");
	subdir("trapped");
	expect_equal(symlink("../trapped", at("swap/trap")), 0);
	int good = native_unix_listen(path, UNIX_STREAM, 1000);
	int bad = native_unix_listen(at("trapped/sock"), UNIX_STREAM, 1000);
	tcp_guest_prepare();
	unix_grant(inside);
	guest_end_start(&guest);
	atomic_store(&racing, true);
	expect_equal(pthread_create(&thread, NULL, swap, &swapped), 0);
	for (int i = 0; i < 1000; i++) {
		int error = unix_connect_error(path, UNIX_STREAM);
		expect(error == 0 || error == ELOOP);
		in += error == 0;
		refused += error != 0;
		error = unix_listen_error(made, UNIX_STREAM);
		expect(error == 0 || error == ELOOP);
	}
	atomic_store(&racing, false);
	pthread_join(thread, NULL);
	guest_end_stop(&guest);
	printf("swapped: in %u, refused %u\n", in, refused);
	expect(in > 0);
	fcntl(bad, F_SETFL, O_NONBLOCK);
	expect_equal(accept(bad, NULL, NULL), -1);
	expect_equal(errno, EAGAIN);
	expect(access(at("trapped/new"), F_OK) != 0);
	close(good);
	close(bad);
}
END_TEST

/* The directory that was granted stays it, whatever its name means by now. */
START_TEST(a_grant_stays_where_it_was)
{
	const char *inside = subdir("first"), *path = at("first/sock");
	int native = native_unix_listen(path, UNIX_STREAM, 5);

	tcp_guest_prepare();
	unix_grant(inside);
	guest_end_start(&guest);
	expect_equal(rename(inside, at("moved")), 0);
	subdir("first");
	int other = native_unix_listen(path, UNIX_SEQPACKET, 5);
	expect_equal(unix_connect_error(path, UNIX_STREAM), 0);
	guest_end_stop(&guest);
	close(native);
	close(other);
}
END_TEST

/* ---- errors: those of plain sockets, at the same paths */

static void lay_out(void)
{
	umask(0);
	subdir("errors");
	subdir("errors/dir");
	subdir("errors/closed");
	file_write(at("errors/text"), "text", 4);
	native_unix_leave_dead(at("errors/dead"));
	native_unix_listen(at("errors/stream"), UNIX_STREAM, 100);
	native_unix_listen(at("errors/packet"), UNIX_SEQPACKET, 100);
	native_unix_listen(at("errors/locked"), UNIX_STREAM, 100);
	native_unix_listen(at("errors/closed/sock"), UNIX_STREAM, 100);
	expect_equal(native_unix_bind_to(socket(AF_UNIX, SOCK_DGRAM, 0), at("errors/datagram")), 0);
	chmod(at("errors/locked"), 0);
	chmod(at("errors/closed"), 0);
}

static const char *const places[] = {"errors/none", "errors/none/sock", "errors/text",
	"errors/text/sock", "errors/dir", "errors/dead", "errors/stream", "errors/stream/sock",
	"errors/packet", "errors/locked", "errors/closed/sock", "errors/closed/new",
	"errors/datagram"};

/* As nobody in particular, since root is refused little. */
static void drop_rights(void)
{
	if (geteuid() != 0)
		return;
	chmod(scratch_dir(), 0777);
	chmod(at("errors"), 0777);
	expect_equal(setgid(65534), 0);
	expect_equal(setuid(65534), 0);
}

START_TEST(errors_are_those_of_plain_sockets)
{
	unsigned different = 0, seen[200] = {0};

	lay_out();
	drop_rights();
	unix_guest_setup();
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *path = at(places[i]);
		for (uint32_t type = UNIX_STREAM; type <= UNIX_SEQPACKET; type += 4) {
			int fd = native_unix_socket(type);
			int plain = native_unix_connect_to(fd, path);
			close(fd);
			expect_equal(unix_connect_error(path, type), plain);
			different += seen[plain]++ == 0;
			fd = native_unix_socket(type);
			plain = native_unix_bind_to(fd, path);
			close(fd);
			if (plain == 0)
				unlink(path);
			expect_equal(unix_listen_error(path, type), plain);
			if (plain == 0)
				expect_removed(path);
			different += seen[plain]++ == 0;
		}
	}
	/* 0, ENOENT, EACCES, ENOTDIR, EPROTOTYPE, EADDRINUSE and ECONNREFUSED were among them. */
	expect_equal(different, 7);
	expect(seen[EPROTOTYPE] != 0 && seen[EADDRINUSE] != 0 && seen[EACCES] != 0);
	expect(seen[ENOTDIR] != 0 && seen[ENOENT] != 0 && seen[ECONNREFUSED] != 0);
	tcp_guest_teardown();
}
END_TEST

/* Longer than a plain socket's address can be; and what no file system takes. */
START_TEST(long_paths)
{
	char name[301], path[4200];
	int used = snprintf(path, sizeof(path), "%s", scratch_dir());
	struct guest_stream listener = new_stream(), stream = new_stream();
	struct unix_connected peer;

	memset(name, 'n', sizeof(name));
	for (int i = 0; i < 10; i++) {
		used += snprintf(path + used, sizeof(path) - (size_t)used, "/%.200s", name);
		expect_equal(mkdir(path, 0700), 0);
	}
	snprintf(
		path + used, sizeof(path) - (size_t)used, "/%.*s", (int)UNIX_LISTEN_NAME_MAX, name);
	struct unix_listen wanted = {.type = UNIX_STREAM, .path = {path, strlen(path)}};
	unsigned char bytes[4200];
	struct stream_open open = {PROTOCOL_UNIX_LISTEN, PROTOCOL_VERSION, {bytes, 0}};
	struct frame frame;
	open.payload.len = wire_encode_body(&unix_listen_message, &wanted, bytes, sizeof(bytes));
	guest_send(&guest, &listener.pipe, listener.slot, &stream_open_message, &open);
	guest_receive(&guest, &listener.pipe, listener.slot, &frame, bytes, sizeof(bytes));
	expect_equal(frame.error, 0);
	struct unix_connect target = {.type = UNIX_STREAM, .path = wanted.path};
	open = (struct stream_open){PROTOCOL_UNIX_CONNECT, PROTOCOL_VERSION, {bytes, 0}};
	open.payload.len = wire_encode_body(&unix_connect_message, &target, bytes, sizeof(bytes));
	guest_send(&guest, &stream.pipe, stream.slot, &stream_open_message, &open);
	guest_receive(&guest, &stream.pipe, stream.slot, &frame, bytes, sizeof(bytes));
	expect_equal(frame.error, 0);
	expect_equal(
		wire_decode(&unix_connected_message, &peer, bytes, frame.length - FRAME_HEADER_LEN),
		0);
	expect_equal(peer.pid, getpid());
	guest_stream_close(&listener);
	expect_removed(path);

	snprintf(path, sizeof(path), "%s/%.*s", scratch_dir(), (int)UNIX_LISTEN_NAME_MAX + 1, name);
	expect_equal(unix_listen_error(path, UNIX_STREAM), ENAMETOOLONG);
	expect_equal(unix_connect_error(path, UNIX_STREAM), ENOENT);
	snprintf(path, sizeof(path), "%s/%.300s", scratch_dir(), name);
	expect_equal(unix_connect_error(path, UNIX_STREAM), ENAMETOOLONG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unix_path");
	TCase *options = tcase_create("options"), *asked = tcase_create("asked"),
	      *served = tcase_create("served");

	tcase_add_test(options, paths_have_one_form);
	tcase_add_test(options, bad_options_earn_a_sentence);
	tcase_add_test(options, grants_cover_what_they_say);
	tcase_add_test(options, a_grants_file_has_them);
	tcase_add_test(options, relative_paths_are_as_the_option_has_them);
	tcase_set_timeout(asked, 60);
	tcase_add_test(asked, what_is_not_granted_is_refused);
	tcase_add_test(asked, no_link_is_followed);
	tcase_add_test(asked, nothing_leads_out_while_links_are_swapped);
	tcase_add_test(asked, a_grant_stays_where_it_was);
	tcase_add_test(asked, errors_are_those_of_plain_sockets);
	tcase_add_checked_fixture(served, unix_guest_setup, tcp_guest_teardown);
	tcase_add_test(served, long_paths);
	suite_add_tcase(suite, options);
	suite_add_tcase(suite, asked);
	suite_add_tcase(suite, served);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
