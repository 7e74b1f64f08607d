/* What kv answers, word for word. The tables were written with Redis 7.0.15, and show where kv
 * differs. */
#include <stdio.h>
#include <string.h>

#include "guest/programs/kv_text.h"
#include "tests/lib/kv_talk.h"
#include "tests/lib/suite.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MB              (1u << 20)

static struct kv_server server;
static struct kv_talk talk;

static void begin(uint64_t limit)
{
	kv_talk_serve(&server, limit);
	kv_talk_start(&talk, &server, 65536);
}

static void end(void)
{
	kv_talk_end(&talk);
	kv_talk_stop(&server);
}

/* ---- conversations */

struct exchange {
	const char *line, *answer;
};

static const struct exchange strings[] = {
	{"get a", "$-1\r\n"},
	{"set a 1", "+OK\r\n"},
	{"get a", "$1\r\n1\r\n"},
	{"set a 2 nx", "$-1\r\n"},
	{"set b 2 xx", "$-1\r\n"},
	{"get b", "$-1\r\n"},
	{"set a 3 xx get", "$1\r\n1\r\n"},
	{"get a", "$1\r\n3\r\n"},
	{"set new 3 get", "$-1\r\n"},
	{"set new 4 nx get", "$1\r\n3\r\n"},
	{"get new", "$1\r\n3\r\n"},
	{"setnx c 1", ":1\r\n"},
	{"setnx c 2", ":0\r\n"},
	{"get c", "$1\r\n1\r\n"},
	{"getset c 3", "$1\r\n1\r\n"},
	{"getset d 4", "$-1\r\n"},
	{"getdel d", "$1\r\n4\r\n"},
	{"getdel d", "$-1\r\n"},
	{"mset x 1 y 2", "+OK\r\n"},
	{"mget x nosuch y", "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n"},
	{"msetnx x 9 z 9", ":0\r\n"},
	{"exists z", ":0\r\n"},
	{"msetnx z 8 w 9", ":1\r\n"},
	{"mget z w", "*2\r\n$1\r\n8\r\n$1\r\n9\r\n"},
	{"append ap Hello", ":5\r\n"},
	{"append ap \" World\"", ":11\r\n"},
	{"get ap", "$11\r\nHello World\r\n"},
	{"strlen ap", ":11\r\n"},
	{"strlen nosuch", ":0\r\n"},
	{"append e \"\"", ":0\r\n"},
	{"exists e", ":1\r\n"},
	{"get e", "$0\r\n\r\n"},
	{"del a a nosuch", ":1\r\n"},
	{"exists x x nosuch", ":2\r\n"},
	{"unlink x y", ":2\r\n"},
	{"type z", "+string\r\n"},
	{"type x", "+none\r\n"},
	{"set \"\" empty", "+OK\r\n"},
	{"get \"\"", "$5\r\nempty\r\n"},
	{"Echo hi", "$2\r\nhi\r\n"},
	{"ping", "+PONG\r\n"},
	{"PING \"two words\"", "$9\r\ntwo words\r\n"},
};

static const struct exchange counting[] = {
	{"incr n", ":1\r\n"},
	{"incrby n 41", ":42\r\n"},
	{"get n", "$2\r\n42\r\n"},
	{"decr n", ":41\r\n"},
	{"decrby n 42", ":-1\r\n"},
	{"incrby n -7", ":-8\r\n"},
	{"set n 9223372036854775807", "+OK\r\n"},
	{"incr n", "-ERR increment or decrement would overflow\r\n"},
	{"decr n", ":9223372036854775806\r\n"},
	{"set n -9223372036854775808", "+OK\r\n"},
	{"decr n", "-ERR increment or decrement would overflow\r\n"},
	{"decrby n -9223372036854775808", "-ERR decrement would overflow\r\n"},
	{"decrby n 9223372036854775808", "-ERR value is not an integer or out of range\r\n"},
	{"incrby n x", "-ERR value is not an integer or out of range\r\n"},
	{"set n abc", "+OK\r\n"},
	{"incr n", "-ERR value is not an integer or out of range\r\n"},
	{"set n 01", "+OK\r\n"},
	{"incr n", "-ERR value is not an integer or out of range\r\n"},
	{"set n \" 1\"", "+OK\r\n"},
	{"incr n", "-ERR value is not an integer or out of range\r\n"},
	{"set n -0", "+OK\r\n"},
	{"incr n", "-ERR value is not an integer or out of range\r\n"},
	{"set n \"\"", "+OK\r\n"},
	{"incr n", "-ERR value is not an integer or out of range\r\n"},
};

static const struct exchange expiring[] = {
	{"set k v", "+OK\r\n"},
	{"ttl k", ":-1\r\n"},
	{"pttl k", ":-1\r\n"},
	{"ttl nosuch", ":-2\r\n"},
	{"pttl nosuch", ":-2\r\n"},
	{"expire k 100", ":1\r\n"},
	{"ttl k", ":100\r\n"},
	{"expire k 200 nx", ":0\r\n"},
	{"expire k 200 xx", ":1\r\n"},
	{"ttl k", ":200\r\n"},
	{"expire k 100 gt", ":0\r\n"},
	{"expire k 300 gt", ":1\r\n"},
	{"expire k 400 lt", ":0\r\n"},
	{"expire k 50 lt", ":1\r\n"},
	{"ttl k", ":50\r\n"},
	{"set k v", "+OK\r\n"},
	{"expire k 10 gt", ":0\r\n"},
	{"ttl k", ":-1\r\n"},
	{"expire k 10 lt", ":1\r\n"},
	{"ttl k", ":10\r\n"},
	{"persist k", ":1\r\n"},
	{"persist k", ":0\r\n"},
	{"persist nosuch", ":0\r\n"},
	{"set k v ex 100", "+OK\r\n"},
	{"ttl k", ":100\r\n"},
	{"set k w keepttl", "+OK\r\n"},
	{"ttl k", ":100\r\n"},
	{"getset k x", "$1\r\nw\r\n"},
	{"ttl k", ":-1\r\n"},
	{"set k v px 99500", "+OK\r\n"},
	{"ttl k", ":100\r\n"},
	{"incr m", ":1\r\n"},
	{"expire m 60", ":1\r\n"},
	{"incr m", ":2\r\n"},
	{"ttl m", ":60\r\n"},
	{"append m 1", ":2\r\n"},
	{"ttl m", ":60\r\n"},
	{"setex s 100 v", "+OK\r\n"},
	{"ttl s", ":100\r\n"},
	{"psetex s 2000 v", "+OK\r\n"},
	{"ttl s", ":2\r\n"},
	{"expire k -1", ":1\r\n"},
	{"exists k", ":0\r\n"},
	{"expireat s 1", ":1\r\n"},
	{"get s", "$-1\r\n"},
	{"set s v exat 1", "+OK\r\n"},
	{"get s", "$-1\r\n"},
	{"set s v pxat 1", "+OK\r\n"},
	{"exists s", ":0\r\n"},
	{"pexpire m 5000", ":1\r\n"},
	{"ttl m", ":5\r\n"},
	{"pexpireat m 1", ":1\r\n"},
	{"exists m", ":0\r\n"},
	{"set k v ex 0", "-ERR invalid expire time in 'set' command\r\n"},
	{"set k v ex x", "-ERR value is not an integer or out of range\r\n"},
	{"set k v ex 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
	{"set k v px -5", "-ERR invalid expire time in 'set' command\r\n"},
	{"setex k 0 v", "-ERR invalid expire time in 'setex' command\r\n"},
	{"psetex k -1 v", "-ERR invalid expire time in 'psetex' command\r\n"},
	{"set k v ex 5 px 5", "-ERR syntax error\r\n"},
	{"set k v ex 5 keepttl", "-ERR syntax error\r\n"},
	{"set k v keepttl ex 5", "-ERR syntax error\r\n"},
	{"set k v ex", "-ERR syntax error\r\n"},
	{"set k v nx xx", "-ERR syntax error\r\n"},
	{"set k v foo", "-ERR syntax error\r\n"},
	{"expire k 1 nx xx",
		"-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
	{"expire k 1 gt lt", "-ERR GT and LT options at the same time are not compatible\r\n"},
	{"expire k 1 foo", "-ERR Unsupported option foo\r\n"},
	{"expire k x", "-ERR value is not an integer or out of range\r\n"},
	{"expire k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"},
	{"pexpire k x", "-ERR value is not an integer or out of range\r\n"},
};

static const struct exchange looking[] = {
	{"dbsize", ":0\r\n"},
	{"set one 1", "+OK\r\n"},
	{"set two 2", "+OK\r\n"},
	{"set three 3", "+OK\r\n"},
	{"dbsize", ":3\r\n"},
	{"keys one", "*1\r\n$3\r\none\r\n"},
	{"keys t[^h]*", "*1\r\n$3\r\ntwo\r\n"},
	{"keys \"tw?\"", "*1\r\n$3\r\ntwo\r\n"},
	{"keys nosuch*", "*0\r\n"},
	{"scan 0 match one count 1000", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\none\r\n"},
	{"scan 0 type list", "*2\r\n$1\r\n0\r\n*0\r\n"},
	{"scan x", "-ERR invalid cursor\r\n"},
	{"scan 0 count 0", "-ERR syntax error\r\n"},
	{"scan 0 count x", "-ERR value is not an integer or out of range\r\n"},
	{"scan 0 foo bar", "-ERR syntax error\r\n"},
	{"scan 0 match", "-ERR syntax error\r\n"},
	{"scan", "-ERR wrong number of arguments for 'scan' command\r\n"},
	{"flushdb", "+OK\r\n"},
	{"dbsize", ":0\r\n"},
	{"randomkey", "$-1\r\n"},
	{"scan 0", "*2\r\n$1\r\n0\r\n*0\r\n"},
	{"keys *", "*0\r\n"},
	{"set only v", "+OK\r\n"},
	{"randomkey", "$4\r\nonly\r\n"},
	{"flushall async", "+OK\r\n"},
	{"flushall sync", "+OK\r\n"},
	{"flushall x", "-ERR syntax error\r\n"},
	{"get only", "$-1\r\n"},
};

static const struct exchange errors[] = {
	{"foo", "-ERR unknown command 'foo', with args beginning with: \r\n"},
	{"foo a \"b c\"", "-ERR unknown command 'foo', with args beginning with: 'a' 'b c' \r\n"},
	{"\"f\\r\\no\" \"a\\nb\"",
		"-ERR unknown command 'f  o', with args beginning with: 'a b' \r\n"},
	{"get", "-ERR wrong number of arguments for 'get' command\r\n"},
	{"get a b", "-ERR wrong number of arguments for 'get' command\r\n"},
	{"set a", "-ERR wrong number of arguments for 'set' command\r\n"},
	{"mset a", "-ERR wrong number of arguments for 'mset' command\r\n"},
	{"mset a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"},
	{"msetnx a 1 b", "-ERR wrong number of arguments for 'msetnx' command\r\n"},
	{"del", "-ERR wrong number of arguments for 'del' command\r\n"},
	{"mget", "-ERR wrong number of arguments for 'mget' command\r\n"},
	{"ping a b", "-ERR wrong number of arguments for 'ping' command\r\n"},
	{"dbsize x", "-ERR wrong number of arguments for 'dbsize' command\r\n"},
	{"select 0", "+OK\r\n"},
	{"select 16", "-ERR DB index is out of range\r\n"},
	{"select x", "-ERR value is not an integer or out of range\r\n"},
	{"hello 4", "-NOPROTO unsupported protocol version\r\n"},
	{"hello x", "-ERR Protocol version is not an integer or out of range\r\n"},
	{"hello 2 foo", "-ERR Syntax error in HELLO option 'foo'\r\n"},
	{"client", "-ERR wrong number of arguments for 'client' command\r\n"},
	{"client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n"},
	{"client setname bob", "+OK\r\n"},
	{"client getname", "$3\r\nbob\r\n"},
	{"client setname \"a b\"",
		"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
	{"client getname", "$3\r\nbob\r\n"},
	{"client setname \"\"", "+OK\r\n"},
	{"client getname", "$-1\r\n"},
	{"client setname", "-ERR wrong number of arguments for 'client|setname' command\r\n"},
	{"reset", "+RESET\r\n"},
	{"client getname", "$-1\r\n"},
	{"config get save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"},
	{"config get appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"},
	{"config get nosuch", "*0\r\n"},
	{"config get", "-ERR wrong number of arguments for 'config|get' command\r\n"},
	{"config set nosuch 1",
		"-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n"},
	{"config set maxmemory abc", "-ERR CONFIG SET failed (possibly related to argument "
				     "'maxmemory') - argument must be a memory value\r\n"},
	{"config set maxmemory", "-ERR wrong number of arguments for 'config|set' command\r\n"},
	{"config foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP.\r\n"},
	{"config", "-ERR wrong number of arguments for 'config' command\r\n"},
	{"config get maxmemory-policy", "*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n"},
	{"command info nosuch", "*1\r\n$-1\r\n"},
	{"command foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP.\r\n"},
	{"command count x", "-ERR wrong number of arguments for 'command|count' command\r\n"},
	{"quit", "+OK\r\n"},
};

static const struct conversation {
	const struct exchange *exchanges;
	size_t count;
} conversations[] = {
	{strings, COUNT_OF(strings)},
	{counting, COUNT_OF(counting)},
	{expiring, COUNT_OF(expiring)},
	{looking, COUNT_OF(looking)},
	{errors, COUNT_OF(errors)},
};

START_TEST(answers_are_those_of_redis)
{
	const struct conversation *conversation = &conversations[_i];

	begin(16 * MB);
	for (size_t i = 0; i < conversation->count; i++) {
		const struct exchange *exchange = &conversation->exchanges[i];
		const char *answer = kv_talk_line(&talk, exchange->line);

		if (strcmp(answer, exchange->answer) != 0)
			ck_abort_msg("%s: expected %s, got %s", exchange->line, exchange->answer,
				answer);
	}
	end();
}
END_TEST

/* ---- requests that are none */

static const struct exchange broken[] = {
	{"PING\nPING\r\n", "+PONG\r\n+PONG\r\n"},
	{"\r\n  \r\nPING\r\n", "+PONG\r\n"},
	{"*0\r\n*-5\r\nPING\r\n", "+PONG\r\n"},
	{"echo \"a\\x41\\n\\q\\\"\"\r\n", "$5\r\naA\nq\"\r\n"},
	{"echo 'it\\'s'\r\n", "$4\r\nit's\r\n"},
	{"echo a\"b c\"\r\n", "$4\r\nab c\r\n"},
	{"echo \"x\"y\r\nPING\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
	{"echo 'x\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
	{"*x\r\nPING\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
	{"*9999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
	{"*01\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
	{"*1\r\nx\r\n", "-ERR Protocol error: expected '$', got 'x'\r\n"},
	{"*2\r\n$4\r\nECHO\r\n:5\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"},
	{"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
	{"*1\r\n$04\r\nPING\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
	{"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
	{"POST / HTTP/1.1\r\nHost: a\r\n\r\nSET a b\r\n", ""},
};

START_TEST(broken_requests_are_told)
{
	begin(16 * MB);
	kv_talk_send(&talk, broken[_i].line, strlen(broken[_i].line), NULL);
	ck_assert_str_eq((const char *)talk.answers, broken[_i].answer);
	expect_equal(talk.client.quit, broken[_i].answer[0] == '-' || !broken[_i].answer[0]);
	expect_equal(kv_store_count(&server.store), 0);
	end();
}
END_TEST

/* A line that does not end, a count that does not: said before the buffer is full. */
START_TEST(endless_lines_are_refused)
{
	static const struct exchange starts[] = {
		{"x", "-ERR Protocol error: too big inline request\r\n"},
		{"*", "-ERR Protocol error: too big mbulk count string\r\n"},
		{"*1\r\n$", "-ERR Protocol error: too big bulk count string\r\n"},
	};
	static char digits[70000];

	memset(digits, '1', sizeof(digits));
	for (size_t capacity = 4096; capacity <= 65536; capacity *= 4)
		for (size_t i = 0; i < COUNT_OF(starts); i++) {
			kv_talk_serve(&server, MB);
			kv_talk_start(&talk, &server, capacity);
			kv_talk_send(&talk, starts[i].line, strlen(starts[i].line), NULL);
			kv_talk_send(&talk, digits, sizeof(digits), NULL);
			ck_assert_str_eq((const char *)talk.answers, starts[i].answer);
			end();
		}
}
END_TEST

/* ---- what has no fixed answer */

static void expect_in(const char *answer, const char *text)
{
	if (!strstr(answer, text))
		ck_abort_msg("no %s in: %s", text, answer);
}

START_TEST(server_tells_of_itself)
{
	begin(16 * MB);
	kv_talk_line(&talk, "mset a 1 b 2");
	kv_talk_line(&talk, "expire a 100");
	const char *info = kv_talk_line(&talk, "info");
	expect_in(info, "# Server\r\nredis_version:7.0.15\r\n");
	expect_in(info, "\r\n\r\n# Clients\r\nconnected_clients:1\r\n");
	expect_in(info, "\r\nmaxmemory:16777216\r\nmaxmemory_human:16.00M\r\n");
	expect_in(info, "\r\ntotal_commands_processed:3\r\n");
	expect_in(info, "\r\ndb0:keys=2,expires=1,avg_ttl=0\r\n");
	info = kv_talk_line(&talk, "info keyspace");
	expect_in(info, "# Keyspace");
	expect(!strstr(info, "# Server"));
	ck_assert_str_eq(kv_talk_line(&talk, "client id"), ":1\r\n");
	expect_in(kv_talk_line(&talk, "client list"),
		"id=1 addr=127.0.0.1:1 laddr=127.0.0.1:6379 name= age=0");
	expect_in(kv_talk_line(&talk, "hello 2 setname me"), "*14\r\n$6\r\nserver\r\n");
	ck_assert_str_eq(kv_talk_line(&talk, "client getname"), "$2\r\nme\r\n");
	ck_assert_str_eq(
		kv_talk_line(&talk, "hello 3"), "-NOPROTO unsupported protocol version\r\n");
	expect_in(kv_talk_line(&talk, "command info get"),
		"*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n");
	expect_in(kv_talk_line(&talk, "command docs get nosuch"),
		"*2\r\n$3\r\nget\r\n*6\r\n$7\r\nsummary\r\n");
	expect_in(kv_talk_line(&talk, "command"), "$6\r\nunlink\r\n");
	end();
}
END_TEST

/* ---- memory */

/* At the limit writing is refused, reading and deleting are not, and then there is room again. */
START_TEST(limit_is_reached_and_left)
{
	static const char no_memory[] =
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n";
	char line[3000];
	int keys = 0;

	begin(64 * MB);
	ck_assert_str_eq(kv_talk_line(&talk, "config set maxmemory 2mb"), "+OK\r\n");
	expect_in(kv_talk_line(&talk, "config get maxmemory"), "$7\r\n2097152\r\n");
	expect_in(kv_talk_line(&talk, "config set maxmemory 1000"),
		"-ERR CONFIG SET failed (possibly related to "
		"argument 'maxmemory') - argument must be between ");
	ck_assert_str_eq(kv_talk_line(&talk, "set counter 1"), "+OK\r\n");
	for (;; keys++) {
		snprintf(line, sizeof(line), "set key%d %02000d", keys, keys);
		if (strcmp(kv_talk_line(&talk, line), no_memory) == 0)
			break;
		ck_assert_str_eq((const char *)talk.answers, "+OK\r\n");
	}
	expect(keys > 800);
	ck_assert_str_eq(
		kv_talk_line(&talk, "incr counter"), ":2\r\n"); /* takes no more than it had */
	snprintf(line, sizeof(line), "mset counter 7 new %02000d", 1);
	ck_assert_str_eq(kv_talk_line(&talk, line), no_memory);
	ck_assert_str_eq(
		kv_talk_line(&talk, "get counter"), "$1\r\n2\r\n"); /* all of it or nothing */
	expect_in(kv_talk_line(&talk, "mget key0 key1 key2 key3 key4 key5 key6 key7 key8 key9"),
		"*10\r\n$2000\r\n");
	expect_in(kv_talk_line(&talk, "keys *"), "$6\r\nkey100\r\n");
	for (int i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "del key%d", i);
		ck_assert_str_eq(kv_talk_line(&talk, line), ":1\r\n");
	}
	snprintf(line, sizeof(line), "mset counter 7 new %02000d", 1);
	ck_assert_str_eq(kv_talk_line(&talk, line), "+OK\r\n");
	ck_assert_str_eq(kv_talk_line(&talk, "flushall"), "+OK\r\n");
	for (int i = 0; i < keys; i++) {
		snprintf(line, sizeof(line), "set other%d %02000d", i, i);
		ck_assert_str_eq(kv_talk_line(&talk, line), "+OK\r\n");
	}
	/* With the limit below what is in use, nothing that could add to it is carried out. */
	ck_assert_str_eq(kv_talk_line(&talk, "config set maxmemory 1mb"), "+OK\r\n");
	ck_assert_str_eq(kv_talk_line(&talk, "set other1 x"), no_memory);
	ck_assert_str_eq(kv_talk_line(&talk, "exists other1"), ":1\r\n");
	end();
}
END_TEST

/* A value that there is no memory for is read to its end, refused, and what follows is understood.
 */
START_TEST(value_beyond_the_limit)
{
	static unsigned char value[3 * MB];
	static const char head[] = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3145728\r\n";

	begin(2 * MB);
	for (int i = 0; i < 3; i++) {
		kv_talk_send(&talk, head, strlen(head), NULL);
		kv_talk_send(&talk, value, sizeof(value), NULL);
		kv_talk_send(&talk, "\r\nGET k\r\n", 9, NULL);
	}
	for (int i = 0; i < 3; i++) {
		const char *answers = strstr((const char *)talk.answers, "-OOM");

		expect(answers != NULL && strstr(answers, "$-1\r\n") != NULL);
		talk.answers[answers - (const char *)talk.answers] = ' ';
	}
	end();
}
END_TEST

/* A command with a key of so many bytes; 'behind' follows it. */
static const char *with_key(const char *command, size_t len, const char *behind)
{
	static char line[20000];
	size_t at = strlen(command);

	memcpy(line, command, at);
	memset(line + at, 'k', len);
	strcpy(line + at + len, behind);
	return kv_talk_line(&talk, line);
}

/* Keys have an end, which reading them shows as none and writing as an error. */
START_TEST(long_keys)
{
	begin(2 * MB);
	ck_assert_str_eq(with_key("set ", KV_KEY_MOST, " v"), "+OK\r\n");
	expect_in(with_key("set ", KV_KEY_MOST + 1, " v"), "-ERR the key is too long");
	expect_in(with_key("append ", 15000, " v"), "-ERR the key is too long");
	expect_in(with_key("mset a 1 ", KV_KEY_MOST + 1, " v"), "-ERR the key is too long");
	ck_assert_str_eq(kv_talk_line(&talk, "get a"), "$-1\r\n");
	ck_assert_str_eq(with_key("get ", KV_KEY_MOST + 1, ""), "$-1\r\n");
	ck_assert_str_eq(with_key("exists ", KV_KEY_MOST, " nosuch"), ":1\r\n");
	ck_assert_str_eq(with_key("del ", KV_KEY_MOST + 1, ""), ":0\r\n");
	end();
}
END_TEST

/* ---- text */

static const struct {
	const char *pattern, *text;
	bool matches;
} globs[] = {
	{"h?llo", "hello", true},
	{"h?llo", "hllo", false},
	{"h*llo", "hllo", true},
	{"h*llo", "heeeello", true},
	{"h[ae]llo", "hallo", true},
	{"h[ae]llo", "hillo", false},
	{"h[^e]llo", "hello", false},
	{"h[b-a]llo", "hallo", true},
	{"h\\*llo", "h*llo", true},
	{"h\\*llo", "hello", false},
	{"", "", true},
	{"*", "", true},
	{"?", "", false},
	{"a*", "", false},
	{"[a", "a", true},
	{"\\", "\\", true},
	{"*a*b", "xaab", true},
	{"*a*b", "xaabc", false},
};

START_TEST(globs_match)
{
	struct kv_bytes pattern = {
		.data = (const unsigned char *)globs[_i].pattern, .len = strlen(globs[_i].pattern)};

	expect_equal(kv_glob(&pattern, (const unsigned char *)globs[_i].text,
			     strlen(globs[_i].text), false),
		globs[_i].matches);
}
END_TEST

/* Many stars take no longer than one: with backtracking at each this would not end. */
START_TEST(hostile_glob_ends)
{
	static unsigned char stars[4001], text[8000];
	struct kv_bytes pattern = {.data = stars, .len = sizeof(stars)};

	for (size_t i = 0; i < sizeof(stars); i++)
		stars[i] = i % 2 ? 'a' : '*';
	stars[sizeof(stars) - 1] = 'b';
	memset(text, 'a', sizeof(text));
	expect(!kv_glob(&pattern, text, sizeof(text), false));
}
END_TEST

static const struct {
	const char *text;
	bool valid;
	int64_t number;
} numbers[] = {
	{"0", true, 0},
	{"-1", true, -1},
	{"9223372036854775807", true, INT64_MAX},
	{"-9223372036854775808", true, INT64_MIN},
	{"9223372036854775808", false, 0},
	{"-9223372036854775809", false, 0},
	{"99999999999999999999", false, 0},
	{"", false, 0},
	{"-", false, 0},
	{"-0", false, 0},
	{"01", false, 0},
	{"+1", false, 0},
	{" 1", false, 0},
	{"1 ", false, 0},
	{"1x", false, 0},
};

START_TEST(numbers_are_read_and_written)
{
	struct kv_bytes bytes = {
		.data = (const unsigned char *)numbers[_i].text, .len = strlen(numbers[_i].text)};
	char text[KV_NUMBER_LEN];
	int64_t number;

	expect_equal(kv_parse_number(&bytes, &number), numbers[_i].valid);
	if (!numbers[_i].valid)
		return;
	expect_equal(number, numbers[_i].number);
	expect_equal(kv_format_number(number, text), bytes.len);
	ck_assert_str_eq(text, numbers[_i].text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kv_commands");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, answers_are_those_of_redis, 0, COUNT_OF(conversations));
	tcase_add_loop_test(all, broken_requests_are_told, 0, COUNT_OF(broken));
	tcase_add_test(all, endless_lines_are_refused);
	tcase_add_test(all, server_tells_of_itself);
	tcase_add_test(all, limit_is_reached_and_left);
	tcase_add_test(all, value_beyond_the_limit);
	tcase_add_test(all, long_keys);
	tcase_add_loop_test(all, globs_match, 0, COUNT_OF(globs));
	tcase_add_test(all, hostile_glob_ends);
	tcase_add_loop_test(all, numbers_are_read_and_written, 0, COUNT_OF(numbers));
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
