/* Without an option that grants it nothing is reachable, and the log says which option would. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/client.h"
#include "tests/lib/integration.h"
#include "tests/lib/peer.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 20000

/* What the guest reach gets: 0 or an errno. */
static int reach(struct command *ret_monitor, const char *const *options, const char *what,
	const char *target)
{
	int result = -1;

	expect_equal(guest_run(ret_monitor, options, "reach", WORDS(what, target), WAIT_MS), 0);
	char *out = file_text(ret_monitor->out, NULL);
	char *colon = strrchr(out, ':');
	if (colon == NULL || sscanf(colon, ": %d", &result) != 1)
		ck_abort_msg("reach says '%s'", out);
	free(out);
	return result;
}

/* The log has the option to add, with its value. */
static void expect_denied_with(const char *const *options, const char *what, const char *target,
	const char *option, const char *value)
{
	struct command monitor;
	char remedy[256];
	int result = reach(&monitor, options, what, target);

	if (result != EACCES)
		ck_abort_msg("%s %s: %d", what, target, result);
	snprintf(remedy, sizeof(remedy), "; %s %s would allow it", option, value);
	command_expect_error(&monitor, remedy);
}

static void expect_denied(
	const char *const *options, const char *what, const char *target, const char *option)
{
	expect_denied_with(options, what, target, option, target);
}

static void expect_granted(const char *const *options, const char *what, const char *target)
{
	struct command monitor;
	int result = reach(&monitor, options, what, target);

	if (result != 0)
		ck_abort_msg("%s %s: %d\n%s", what, target, result, file_tail(monitor.err));
}

START_TEST(listen_grants)
{
	char port[32], other[32];
	unsigned number = free_port();

	snprintf(port, sizeof(port), "127.0.0.1:%u", number);
	snprintf(other, sizeof(other), "127.0.0.1:%u", free_port());
	expect_denied(NO_WORDS, "listen", port, "--listen");
	expect_denied(NO_WORDS, "listen", ANY_PORT, "--listen");
	expect_denied(WORDS("--listen", other), "listen", port, "--listen");
	expect_denied(WORDS("--listen", other), "listen", ANY_PORT, "--listen");
	expect_denied(WORDS("--connect", port), "listen", port, "--listen");
	expect_denied(WORDS("--listen", "127.0.0.1:0"), "listen", "0.0.0.0:0", "--listen");
	expect_granted(WORDS("--listen", port), "listen", port);
	expect_granted(WORDS("--listen", ANY_PORT), "listen", ANY_PORT);
	expect_granted(WORDS("--listen", other, "--listen", port), "listen", port);
}
END_TEST

START_TEST(connect_grants)
{
	struct peer server = {.serve = peer_echo};
	char address[32], name[32], mapped[48];

	peer_start(&server);
	snprintf(address, sizeof(address), "127.0.0.1:%u", server.port);
	snprintf(name, sizeof(name), "localhost:%u", server.port);
	snprintf(mapped, sizeof(mapped), "[::ffff:127.0.0.1]:%u", server.port);
	expect_denied(NO_WORDS, "connect", address, "--connect");
	expect_denied(NO_WORDS, "connect", name, "--connect");
	expect_denied_with(NO_WORDS, "connect", mapped, "--connect", address);
	expect_denied(WORDS("--connect", "127.0.0.1:1"), "connect", address, "--connect");
	expect_denied(WORDS("--connect", "127.0.0.2:0"), "connect", address, "--connect");
	expect_denied(WORDS("--connect", name), "connect", address, "--connect");
	expect_denied(WORDS("--connect", address), "connect", name, "--connect");
	expect_denied(WORDS("--listen", ANY_PORT), "connect", address, "--connect");
	expect_granted(WORDS("--connect", address), "connect", address);
	expect_granted(WORDS("--connect", address), "connect", mapped);
	expect_granted(WORDS("--connect", "127.0.0.1:0"), "connect", address);
	expect_granted(WORDS("--connect", name), "connect", name);
	peer_stop(&server);
}
END_TEST

START_TEST(mount_grants)
{
	char *root = scratch_subdir("granted"), *file = scratch_path("granted/file");
	char *read_only, *writable, top[256];

	file_write(file, "x", 1);
	if (asprintf(&read_only, "%s:/data", root) < 0 ||
		asprintf(&writable, "%s:/data:rw", root) < 0)
		abort();
	snprintf(top, sizeof(top), "HOSTDIR:%.*s", (int)strcspn(file + 1, "/") + 1, file);
	expect_denied_with(NO_WORDS, "read", "/data/file", "--mount", "HOSTDIR:/data");
	expect_denied_with(NO_WORDS, "read", file, "--mount", top);
	expect_denied_with(
		WORDS("--mount", read_only), "read", "/other/file", "--mount", "HOSTDIR:/other");
	expect_denied_with(WORDS("--mount", read_only), "read", file, "--mount", top);
	expect_granted(WORDS("--mount", read_only), "read", "/data/file");
	expect_granted(WORDS("--mount", writable), "write", "/data/new");

	struct command monitor;
	expect_equal(reach(&monitor, WORDS("--mount", read_only), "write", "/data/file"), EROFS);
	snprintf(top, sizeof(top), "; --mount %s would allow it", writable);
	command_expect_error(&monitor, top);
}
END_TEST

/* The world is not this machine. */
START_TEST(any_is_not_here)
{
	struct peer server = {.serve = peer_echo};
	char address[32], range[32];

	peer_start(&server);
	snprintf(address, sizeof(address), "127.0.0.1:%u", server.port);
	snprintf(range, sizeof(range), "127.0.0.0/8:%u-65535", server.port);
	expect_denied(WORDS("--connect", "any"), "connect", address, "--connect");
	expect_denied(WORDS("--connect", "0.0.0.0/0:*"), "connect", address, "--connect");
	expect_granted(WORDS("--connect", range), "connect", address);
	peer_stop(&server);
}
END_TEST

START_TEST(grants_from_a_file)
{
	char *file = scratch_path("grants"), port[32], line[64];
	unsigned number = free_port();

	snprintf(port, sizeof(port), "127.0.0.1:%u", number);
	snprintf(line, sizeof(line), "# one port\nlisten %s # this one\n", port);
	file_write(file, line, strlen(line));
	expect_granted(WORDS("--grants", file), "listen", port);
	expect_denied(WORDS("--grants", file), "listen", ANY_PORT, "--listen");
}
END_TEST

/* The guest means its own port, and gets the host's. */
START_TEST(published_ports)
{
	char value[48], meant[48];
	unsigned port = free_port();

	snprintf(value, sizeof(value), "127.0.0.1:%u:80", port);
	snprintf(meant, sizeof(meant), "127.0.0.1:%u:81", port);
	expect_granted(WORDS("--publish", value), "listen", "0.0.0.0:80");
	expect_granted(WORDS("-p", value), "listen", "[::]:80");
	expect_denied_with(WORDS("--publish", value), "listen", "0.0.0.0:81", "--publish", meant);
	expect_granted(WORDS("--publish", meant), "listen", "0.0.0.0:81");
	snprintf(value, sizeof(value), "127.0.0.1:%u:81/udp", port);
	expect_denied_with(WORDS("--publish", value), "listen", "0.0.0.0:81", "--publish", meant);
}
END_TEST

START_TEST(names_and_interfaces)
{
	struct command monitor;

	expect_denied_with(NO_WORDS, "resolve", "localhost", "--connect", "'localhost:*'");
	expect_denied_with(WORDS("--connect", "127.0.0.1:80"), "resolve", "localhost", "--connect",
		"'localhost:*'");
	expect_equal(
		reach(&monitor, WORDS("--connect", "localhost:80"), "resolve", "localhost"), 0);
	char *out = file_text(monitor.out, NULL);
	expect(strstr(out, "127.0.0.1:0 for 60 s\n") != NULL);
	free(out);
	expect_equal(
		reach(&monitor,
			WORDS("--add-host", "ours.test:198.51.100.7", "--connect", "*.test:80"),
			"resolve", "ours.test"),
		0);
	out = file_text(monitor.out, NULL);
	expect(strstr(out, "198.51.100.7:0 for ") != NULL);
	free(out);
	expect_equal(reach(&monitor, NO_WORDS, "see", "127.0.0.1:0"), ENOENT);
	expect_equal(reach(&monitor, WORDS("--listen", "127.0.0.1:80"), "see", "127.0.0.1:0"), 0);
	out = file_text(monitor.out, NULL);
	expect(strstr(out, "127.0.0.1:0 is lo/8\n") != NULL);
	free(out);
	expect_equal(reach(&monitor, WORDS("--publish", "0.0.0.0:0:80"), "see", "127.0.0.1:0"), 0);
	expect_equal(reach(&monitor, WORDS("--connect", "any"), "see", "127.0.0.1:0"), ENOENT);
}
END_TEST

/* A guest that has no grant leaves no trace on the network either. */
START_TEST(nothing_listens)
{
	struct command monitor;
	uint16_t port = free_port();
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	guest_run(&monitor, NO_WORDS, "echo", WORDS(address), WAIT_MS);
	expect(monitor.status != 0);
	expect_no_listener(port);
	command_expect_error(&monitor, "--listen");
}
END_TEST

static const struct integration_test tests[] = {
	{&listen_grants, 60},
	{&connect_grants, 60},
	{&mount_grants, 60},
	{&any_is_not_here, 60},
	{&grants_from_a_file, 60},
	{&published_ports, 60},
	{&names_and_interfaces, 60},
	{&nothing_listens, 30},
};

INTEGRATION_MAIN("grant", tests, NULL)
