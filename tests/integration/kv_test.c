/* The guest program kv under redis-cli and redis-benchmark, and under clients that mean no good. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define LISTEN  WORDS("--listen", ANY_PORT)
#define WAIT_MS 20000
#define MB      (1u << 20)

static uint16_t serve_kv(struct command *ret_monitor)
{
	return guest_serve(ret_monitor, LISTEN, "kv", WORDS("--listen", ANY_PORT));
}

static uint16_t serve_kv_with(struct command *ret_monitor, const char *max_memory)
{
	return guest_serve(
		ret_monitor, LISTEN, "kv", WORDS("--listen", ANY_PORT, "--max-memory", max_memory));
}

/* ---- redis-cli */

/* A line of shell with $cli in it; what it wrote, to be freed. */
static char *cli(uint16_t port, const char *line)
{
	struct command shell;
	char *script;

	if (asprintf(&script, "cli='redis-cli -p %u'; %s", port, line) < 0)
		abort();
	expect_equal(command_run(&shell, WORDS("sh", "-c", script), WAIT_MS), 0);
	free(script);
	return file_text(shell.out, NULL);
}

static void expect_cli(uint16_t port, const char *line, const char *expected)
{
	char *out = cli(port, line);

	if (strcmp(out, expected) != 0)
		ck_abort_msg("%s: expected %s, got %s", line, expected, out);
	free(out);
}

static const char *const exchanges[][2] = {
	{"$cli ping", "PONG\n"},
	{"$cli ping hello", "hello\n"},
	{"$cli echo 'a b'", "a b\n"},
	{"$cli set a 1; $cli get a; $cli get nosuch", "OK\n1\n\n"},
	{"$cli set a 2 nx; $cli set a 2 xx get; $cli set a 3 ex 100; $cli ttl a; $cli set a 4 "
	 "keepttl; $cli ttl a",
		"\n1\nOK\n100\nOK\n100\n"},
	{"$cli setnx a 1; $cli setnx b 1; $cli setex c 50 v; $cli ttl c; $cli psetex c 50000 v",
		"0\n1\nOK\n50\nOK\n"},
	{"$cli getset b 2; $cli getdel b; $cli exists a b c; $cli del a b; $cli unlink c",
		"1\n2\n2\n1\n1\n"},
	{"$cli incr n; $cli incrby n 9; $cli decr n; $cli decrby n 4; $cli append n 0; $cli strlen "
	 "n",
		"1\n10\n9\n5\n2\n2\n"},
	{"$cli mset x 1 y 2; $cli mget x nosuch y; $cli msetnx x 9 z 9; $cli msetnx z 3 w 4",
		"OK\n1\n\n2\n0\n1\n"},
	{"$cli expire x 100; $cli expire x 50 gt; $cli pexpire x 9000 lt; $cli ttl x; $cli persist "
	 "x; $cli pttl x",
		"1\n0\n1\n9\n1\n-1\n"},
	{"$cli expireat y 1; $cli exists y; $cli type x; $cli type y", "1\n0\nstring\nnone\n"},
	{"$cli keys '[wx]' | sort; $cli --scan | sort; $cli dbsize", "w\nx\nn\nw\nx\nz\n4\n"},
	{"$cli select 0; $cli hello 2 | head -n 2; $cli client setname me; $cli client getname; "
	 "$cli reset",
		"OK\nserver\nredis\nOK\n\nRESET\n"},
	{"$cli config get save; $cli config set maxmemory 50mb; $cli config get maxmemory",
		"save\n\nOK\nmaxmemory\n52428800\n"},
	{"$cli command count; $cli command docs get | head -n 3; $cli command info get | head -n 2",
		"43\nget\nsummary\nThe value of a key\nget\n2\n"},
	{"$cli -3 ping", "PONG\n"}, /* is told -NOPROTO, and goes on with what it has */
	{"$cli flushall; $cli dbsize; $cli randomkey; $cli quit", "OK\n0\n\nOK\n"},
	{"$cli nosuch a", "ERR unknown command 'nosuch', with args beginning with: 'a' \n\n"},
	{"$cli get; $cli set a b c; $cli set a x; $cli incr a",
		"ERR wrong number of arguments for 'get' command\n\nERR syntax error\n\nOK\n"
		"ERR value is not an integer or out of range\n\n"},
	{"printf 'set k 1\\nincr k\\nget k\\n' | $cli", "OK\n2\n2\n"},
	{"$cli set 'a\\0b' \"$(printf '\\001\\377')\"; $cli --no-raw get 'a\\0b'",
		"OK\n\"\\x01\\xff\"\n"},
};

START_TEST(every_command)
{
	struct command monitor;
	uint16_t port = serve_kv(&monitor);

	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++)
		expect_cli(port, exchanges[i][0], exchanges[i][1]);
	guest_stop(&monitor, port);
}
END_TEST

/* Any bytes, of a length that no ring holds, from a file and back into one. */
START_TEST(binary_value)
{
	char *path = scratch_path("value"), *line;
	struct command monitor;
	uint16_t port = serve_kv(&monitor);

	file_write_pattern(path, 5, 3 * MB + 1);
	if (asprintf(&line,
		    "$cli -x set bin < %s; $cli strlen bin; $cli get bin > %s.back; head -c "
		    "3145729 %s.back | cmp - %s",
		    path, path, path, path) < 0)
		abort();
	expect_cli(port, line, "OK\n3145729\n");
	free(line);
	guest_stop(&monitor, port);
}
END_TEST

#define MASS 50000

START_TEST(mass_insertion)
{
	char *path = scratch_path("mass"), *line, *out;
	struct command monitor;
	uint16_t port = serve_kv(&monitor);
	FILE *file = fopen(path, "w");

	expect(file != NULL);
	for (int i = 0; i < MASS; i++) {
		char key[16], value[16];
		int key_len = sprintf(key, "key%d", i),
		    value_len = sprintf(value, "value%d", i * 7);
		fprintf(file, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", key_len, key,
			value_len, value);
	}
	expect_equal(fclose(file), 0);
	if (asprintf(&line, "$cli --pipe < %s", path) < 0)
		abort();
	out = cli(port, line);
	if (!strstr(out, "errors: 0, replies: 50000"))
		ck_abort_msg("redis-cli --pipe: %s", out);
	free(line);
	free(out);
	expect_cli(port, "$cli dbsize; $cli get key49999; $cli --scan | sort -u | wc -l",
		"50000\nvalue349993\n50000\n");
	guest_stop(&monitor, port);
}
END_TEST

START_TEST(benchmark)
{
	struct command monitor, run;
	char port_text[8], requests[16], *out;
	uint16_t port = serve_kv(&monitor);

	snprintf(port_text, sizeof(port_text), "%u", port);
	snprintf(requests, sizeof(requests), "%u", scale(30000, 100000));
	expect_equal(command_run(&run,
			     WORDS("redis-benchmark", "-p", port_text, "-t", "set,get,incr,mset",
				     "-P", "16", "-c", "50", "-r", "10000", "-d", "100", "-n",
				     requests, "--csv"),
			     60000),
		0);
	out = file_text(run.out, NULL);
	printf("%s", out);
	expect(strstr(out, "\"SET\"") && strstr(out, "\"GET\"") && strstr(out, "\"INCR\"") &&
		strstr(out, "\"MSET"));
	free(out);
	guest_stop(&monitor, port);
}
END_TEST

/* ---- by hand */

static void send_text(int fd, const char *text)
{
	client_send(fd, text, strlen(text));
}

static void expect_text(int fd, const char *text)
{
	char answer[512];

	expect(strlen(text) < sizeof(answer));
	client_receive(fd, answer, strlen(text));
	answer[strlen(text)] = 0;
	ck_assert_str_eq(answer, text);
}

static void ask(int fd, const char *request, const char *answer)
{
	send_text(fd, request);
	expect_text(fd, answer);
}

/* Nobody asks for the keys: they are gone all the same, and counted. */
START_TEST(expiry)
{
	struct command monitor;
	uint16_t port = serve_kv(&monitor);
	int fd = client_connect(port);
	uint64_t start;

	for (int i = 0; i < 1000; i++) {
		char line[64];

		snprintf(line, sizeof(line), "set key%d v px %d\r\n", i, 200 + i / 2);
		ask(fd, line, "+OK\r\n");
	}
	ask(fd, "set stays v ex 1000\r\n", "+OK\r\n");
	start = clock_ns();
	for (;;) {
		char answer[16] = "";
		size_t len = 0;

		send_text(fd, "dbsize\r\n");
		do
			client_receive(fd, answer + len, 1);
		while (answer[len++] != '\n');
		if (strcmp(answer, ":1\r\n") == 0)
			break;
		expect(clock_ns() - start < 15000000000ull);
		sleep_ms(50);
	}
	ask(fd, "get stays\r\n", "$1\r\nv\r\n");
	expect_cli(
		port, "$cli info stats | tr -d '\\r' | grep expired_keys", "expired_keys:1000\n");
	client_close(fd);
	guest_stop(&monitor, port);
}
END_TEST

static bool set_one(int fd, const char *name, int number)
{
	static char value[1024], line[1200];
	char answer[64] = "";
	size_t len = 0;

	memset(value, 'v', sizeof(value) - 1);
	snprintf(line, sizeof(line), "set %s%d %s\r\n", name, number, value);
	send_text(fd, line);
	do
		client_receive(fd, answer + len, 1);
	while (answer[len++] != '\n');
	if (answer[0] == '-')
		ck_assert_str_eq(
			answer, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	else
		ck_assert_str_eq(answer, "+OK\r\n");
	return answer[0] == '+';
}

START_TEST(memory_limit)
{
	struct command monitor;
	uint16_t port = serve_kv_with(&monitor, "4mb");
	int fd = client_connect(port), keys = 0, other;

	while (set_one(fd, "key", keys))
		keys++;
	expect(keys > 3000 && keys < 4096);
	other = client_connect(port); /* a full store takes connections, reads and deletes */
	ask(other, "strlen key0\r\n", ":1023\r\n");
	ask(other,
		"del key0 key1 key2 key3 key4 key5 key6 key7 key8 key9 key10 key11 key12 key13 "
		"key14 key15\r\n",
		":16\r\n");
	for (int i = 0; i < 14; i++)
		expect(set_one(fd, "new", i));
	ask(fd, "flushall\r\n", "+OK\r\n");
	for (int i = 0; i < keys; i++)
		expect(set_one(fd, "again", i));
	client_close(fd);
	client_close(other);
	guest_stop(&monitor, port);
}
END_TEST

/* All of what malloc has, then something else in its place, and streams that are made meanwhile. */
START_TEST(whole_heap)
{
	static const char head[] = "*3\r\n$3\r\nSET\r\n$4\r\nbig0\r\n$8388608\r\n";
	struct command monitor;
	uint16_t port = guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--memory", "96M"), "kv",
		WORDS("--listen", ANY_PORT, "--max-memory", "24mb"));
	int fd = client_connect(port), keys = 0, fds[100];

	while (set_one(fd, "key", keys))
		keys++;
	for (int i = 0; i < 100; i++)
		fds[i] = client_connect(port);
	for (int i = 0; i < 100; i++)
		ask(fds[i], "exists key0\r\n", ":1\r\n");
	ask(fd, "flushall\r\n", "+OK\r\n");
	for (int i = 0; i < 2; i++) {
		send_text(fd, head);
		client_send_pattern(fd, 1, 0, 8 * MB);
		ask(fd, "\r\n", "+OK\r\n");
	}
	for (int i = 0; i < 100; i++)
		client_close(fds[i]);
	client_close(fd);
	guest_stop(&monitor, port);
}
END_TEST

#define MANY 1000

START_TEST(thousand_connections)
{
	struct command monitor;
	uint16_t port = serve_kv(&monitor);
	static int fds[MANY];

	for (int i = 0; i < MANY; i++) {
		fds[i] = client_connect(port);
		send_text(fds[i], "incr n\r\n");
	}
	for (int i = 0; i < MANY; i++) {
		char byte;

		do
			client_receive(fds[i], &byte, 1);
		while (byte != '\n');
	}
	ask(fds[0], "get n\r\n", "$4\r\n1000\r\n");
	expect_cli(port,
		"$cli info clients | tr -d '\\r' | grep connected; $cli client list | wc -l",
		"connected_clients:1001\n1001\n");
	for (int i = 0; i < MANY; i++)
		client_close(fds[i]);
	guest_stop(&monitor, port);
}
END_TEST

#define LARGE 20971520u

static const char large_head[] = "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$20971520\r\n";

static void set_large(int fd)
{
	send_text(fd, large_head);
	client_send_pattern(fd, 9, 0, LARGE);
	ask(fd, "\r\n", "+OK\r\n");
}

static void get_large(int fd)
{
	ask(fd, "GET large\r\n", "$20971520\r\n");
	client_expect_pattern(fd, 9, 0, LARGE);
	expect_text(fd, "\r\n");
}

/* Each way, twice, and once more for who deletes it while another still reads it. */
START_TEST(large_value)
{
	struct command monitor;
	uint16_t port = serve_kv(&monitor);
	int fd = client_connect(port), other = client_connect(port);

	for (int i = 0; i < 2; i++) {
		set_large(fd);
		get_large(other);
	}
	ask(other, "get large\r\n", "$20971520\r\n");
	ask(fd, "append large xyz\r\n", ":20971523\r\n");
	ask(fd, "del large\r\n", ":1\r\n");
	ask(fd, "exists large\r\n", ":0\r\n");
	set_large(fd);
	client_expect_pattern(other, 9, 0, LARGE);
	ask(other, "\r\nPING\r\n", "\r\n+PONG\r\n");
	client_close(fd);
	client_close(other);
	guest_stop(&monitor, port);
}
END_TEST

/* Asks for gigabytes and reads nothing: it waits, with its requests, and nobody else does. */
START_TEST(client_that_never_reads)
{
	struct command monitor;
	uint16_t port = serve_kv(&monitor);
	int silent[4], fd = client_connect(port);

	set_large(fd);
	for (int i = 0; i < 4; i++) {
		silent[i] = client_connect(port);
		for (int k = 0; k < 100; k++)
			send_text(silent[i],
				i % 2 ? "get large\r\n" : "keys *\r\nget large\r\necho x\r\n");
	}
	for (int i = 0; i < 1000; i++)
		ask(fd, "strlen large\r\n", ":20971520\r\n");
	get_large(fd);
	for (int i = 0; i < 3; i++)
		client_reset(silent[i]);
	get_large(fd);
	client_close(fd);
	guest_stop(&monitor, port);
	client_close(silent[3]);
}
END_TEST

/* A broken request is answered before the connection ends, others go on. */
START_TEST(broken_request)
{
	struct command monitor;
	uint16_t port = serve_kv(&monitor);
	int other = client_connect(port);

	for (int i = 0; i < 20; i++) {
		int fd = client_connect(port);

		ask(fd, "PING\r\n*1\r\n$-5\r\nmore of it\r\n",
			"+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
		client_expect_end(fd);
		client_close(fd);
		fd = client_connect(port);
		ask(fd, "quit\r\nping\r\n", "+OK\r\n");
		client_expect_end(fd);
		client_close(fd);
		fd = client_connect(port);
		send_text(fd, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nonly so much");
		client_finish(fd);
		client_expect_end(fd);
		client_close(fd);
		ask(other, "exists k\r\n", ":0\r\n");
	}
	client_close(other);
	guest_stop(&monitor, port);
}
END_TEST

/* ---- the command line */

static void expect_refusal(
	const char *const *options, const char *const *arguments, int status, const char *text)
{
	struct command monitor;

	expect_equal(guest_run(&monitor, options, "kv", arguments, WAIT_MS), status);
	command_expect_error(&monitor, text);
}

START_TEST(command_line)
{
	struct command monitor;

	expect_equal(guest_run(&monitor, NO_WORDS, "kv", WORDS("--help"), WAIT_MS), 0);
	char *out = file_text(monitor.out, NULL);
	expect(strstr(out, "usage: kv ") != NULL &&
		strstr(out, "--listen 127.0.0.1:6379 --memory 1G kv.elf") != NULL);
	free(out);
	expect_refusal(NO_WORDS, NO_WORDS, 1, "--listen 127.0.0.1:6379 would allow it");
	expect_refusal(NO_WORDS, WORDS("--max-memory", "x"), 2, "'x' is no size");
	expect_refusal(NO_WORDS, WORDS("--max-memory", "1000"), 2, "is less than 1mb");
	expect_refusal(NO_WORDS, WORDS("--max-memory"), 2, "has no value");
	expect_refusal(NO_WORDS, WORDS("--port", "1"), 2, "'--port' is no option");
	expect_refusal(NO_WORDS, WORDS("--listen", "nowhere"), 2, "'nowhere' is no address");
	if (engine_is_kvm()) {
		expect_refusal(
			NO_WORDS, WORDS("--max-memory", "4gb"), 1, "give it more with --memory");
		expect_refusal(WORDS("--memory", "16M"), WORDS("--max-memory", "16mb"), 1,
			"give it more with --memory");
	}
}
END_TEST

static const struct integration_test tests[] = {
	{&every_command, 60},
	{&binary_value, 30},
	{&mass_insertion, 60},
	{&benchmark, 90},
	{&expiry, 60},
	{&memory_limit, 60},
	{&whole_heap, 60},
	{&thousand_connections, 60},
	{&large_value, 60},
	{&client_that_never_reads, 60},
	{&broken_request, 30},
	{&command_line, 60},
};

INTEGRATION_MAIN("kv", tests, "redis-cli")
