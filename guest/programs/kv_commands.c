#include "guest/programs/kv_commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest/programs/kv_text.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define READ_FAST  (KV_READONLY | KV_FAST)
#define WRITE_FAST (KV_WRITE | KV_FAST)
#define GROW       (KV_WRITE | KV_DENYOOM)
#define GROW_FAST  (GROW | KV_FAST)
#define ANYTIME    (KV_LOADING | KV_FAST)

static const struct kv_command commands[] = {
	{"append", kv_append, 3, GROW_FAST, 1, 1, 1, "string", "2.0.0", "Append a value to a key"},
	{"client", kv_client, -2, 0, 0, 0, 0, "connection", "2.4.0",
		"Names and lists of connections"},
	{"command", kv_command, -1, KV_LOADING, 0, 0, 0, "server", "2.8.13",
		"What commands there are"},
	{"config", kv_config, -2, KV_ADMIN, 0, 0, 0, "server", "2.0.0", "Parameters of the server"},
	{"dbsize", kv_dbsize, 1, READ_FAST, 0, 0, 0, "server", "1.0.0", "The number of keys"},
	{"decr", kv_decr, 2, GROW_FAST, 1, 1, 1, "string", "1.0.0", "Subtract one from a number"},
	{"decrby", kv_decrby, 3, GROW_FAST, 1, 1, 1, "string", "1.0.0", "Subtract from a number"},
	{"del", kv_del, -2, KV_WRITE, 1, -1, 1, "generic", "1.0.0", "Delete keys"},
	{"echo", kv_echo, 2, ANYTIME | KV_CONNECTION, 0, 0, 0, "connection", "1.0.0",
		"The argument again"},
	{"exists", kv_exists, -2, READ_FAST, 1, -1, 1, "generic", "1.0.0",
		"How many of the keys there are"},
	{"expire", kv_expire, -3, WRITE_FAST, 1, 1, 1, "generic", "1.0.0",
		"Seconds until a key expires"},
	{"expireat", kv_expireat, -3, WRITE_FAST, 1, 1, 1, "generic", "1.2.0",
		"The second when a key expires"},
	{"flushall", kv_flush, -1, KV_WRITE, 0, 0, 0, "server", "1.0.0", "Delete all keys"},
	{"flushdb", kv_flush, -1, KV_WRITE, 0, 0, 0, "server", "1.0.0", "Delete all keys"},
	{"get", kv_get, 2, READ_FAST, 1, 1, 1, "string", "1.0.0", "The value of a key"},
	{"getdel", kv_getdel, 2, WRITE_FAST, 1, 1, 1, "string", "6.2.0",
		"The value of a key, which is deleted"},
	{"getset", kv_getset, 3, GROW_FAST, 1, 1, 1, "string", "1.0.0", "Set a key; its old value"},
	{"hello", kv_hello, -1, ANYTIME | KV_CONNECTION, 0, 0, 0, "connection", "6.0.0",
		"Agree on the protocol"},
	{"incr", kv_incr, 2, GROW_FAST, 1, 1, 1, "string", "1.0.0", "Add one to a number"},
	{"incrby", kv_incrby, 3, GROW_FAST, 1, 1, 1, "string", "1.0.0", "Add to a number"},
	{"info", kv_info, -1, KV_LOADING, 0, 0, 0, "server", "1.0.0", "Figures of the server"},
	{"keys", kv_keys, 2, KV_READONLY, 0, 0, 0, "generic", "1.0.0",
		"All keys that match a pattern"},
	{"mget", kv_mget, -2, READ_FAST, 1, -1, 1, "string", "1.0.0", "The values of keys"},
	{"mset", kv_mset, -3, GROW, 1, -1, 2, "string", "1.0.1", "Set several keys"},
	{"msetnx", kv_msetnx, -3, GROW, 1, -1, 2, "string", "1.0.1",
		"Set several keys if none is there"},
	{"persist", kv_persist, 2, WRITE_FAST, 1, 1, 1, "generic", "2.2.0",
		"A key is not to expire"},
	{"pexpire", kv_pexpire, -3, WRITE_FAST, 1, 1, 1, "generic", "2.6.0",
		"Milliseconds until a key expires"},
	{"pexpireat", kv_pexpireat, -3, WRITE_FAST, 1, 1, 1, "generic", "2.6.0",
		"The millisecond when a key expires"},
	{"ping", kv_ping, -1, KV_FAST | KV_CONNECTION, 0, 0, 0, "connection", "1.0.0",
		"Whether anybody is there"},
	{"psetex", kv_psetex, 4, GROW, 1, 1, 1, "string", "2.6.0",
		"Set a key that expires in milliseconds"},
	{"pttl", kv_pttl, 2, READ_FAST, 1, 1, 1, "generic", "2.6.0",
		"Milliseconds until a key expires"},
	{"quit", kv_quit, -1, ANYTIME | KV_CONNECTION, 0, 0, 0, "connection", "1.0.0",
		"Close the connection"},
	{"randomkey", kv_randomkey, 1, KV_READONLY, 0, 0, 0, "generic", "1.0.0", "A key by chance"},
	{"reset", kv_reset, 1, ANYTIME | KV_CONNECTION, 0, 0, 0, "connection", "6.2.0",
		"The connection as it began"},
	{"scan", kv_scan, -2, KV_READONLY, 0, 0, 0, "generic", "2.8.0",
		"Go through all keys, some at a time"},
	{"select", kv_select, 2, ANYTIME | KV_CONNECTION, 0, 0, 0, "connection", "1.0.0",
		"Choose a database"},
	{"set", kv_set, -3, GROW, 1, 1, 1, "string", "1.0.0", "Set a key"},
	{"setex", kv_setex, 4, GROW, 1, 1, 1, "string", "2.0.0",
		"Set a key that expires in seconds"},
	{"setnx", kv_setnx, 3, GROW_FAST, 1, 1, 1, "string", "1.0.0",
		"Set a key if it is not there"},
	{"strlen", kv_strlen, 2, READ_FAST, 1, 1, 1, "string", "2.2.0", "The length of a value"},
	{"ttl", kv_ttl, 2, READ_FAST, 1, 1, 1, "generic", "1.0.0", "Seconds until a key expires"},
	{"type", kv_type, 2, READ_FAST, 1, 1, 1, "generic", "1.0.0",
		"What kind of value a key has"},
	{"unlink", kv_del, -2, WRITE_FAST, 1, -1, 1, "generic", "4.0.0", "Delete keys"},
};
_Static_assert(COUNT_OF(commands) < KV_INDEX_SLOTS / 2, "the index stays half empty");

/* ---- finding */

static unsigned slot_of(const unsigned char *name, size_t len)
{
	uint32_t hash = 2166136261u; /* FNV-1a: everybody knows the names */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (name[i] | 0x20)) * 16777619u;
	return (hash ^ hash >> 16) % KV_INDEX_SLOTS;
}

const struct kv_command *kv_command_find(
	const struct kv_server *server, const struct kv_bytes *name)
{
	unsigned slot;

	if (!name->data || name->len > 16)
		return NULL;
	for (slot = slot_of(name->data, name->len); server->index[slot];
		slot = (slot + 1) % KV_INDEX_SLOTS)
		if (kv_is(name, commands[server->index[slot] - 1].name))
			return &commands[server->index[slot] - 1];
	return NULL;
}

void kv_server_start(struct kv_server *server)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		const char *name = commands[i].name;
		unsigned slot = slot_of((const unsigned char *)name, strlen(name));

		while (server->index[slot])
			slot = (slot + 1) % KV_INDEX_SLOTS;
		server->index[slot] = (uint8_t)(i + 1);
	}
}

/* ---- errors */

bool kv_arg_number(struct kv_call *call, long index, int64_t *ret_number)
{
	if (kv_parse_number(kv_arg(call, index), ret_number))
		return true;
	kv_not_a_number(call);
	return false;
}

bool kv_done(struct kv_call *call, int error)
{
	if (error == -ENOMEM)
		call->reply->no_memory = true;
	else if (error == -ENAMETOOLONG)
		kv_reply_error(call->reply, "ERR the key is too long: keys have at most %u bytes",
			KV_KEY_MOST);
	return error == 0;
}

void kv_wrong_arity(struct kv_call *call)
{
	kv_reply_error(
		call->reply, "ERR wrong number of arguments for '%s' command", call->command->name);
}

void kv_syntax_error(struct kv_call *call)
{
	kv_reply_error(call->reply, "ERR syntax error");
}

void kv_not_a_number(struct kv_call *call)
{
	kv_reply_error(call->reply, "ERR value is not an integer or out of range");
}

bool kv_arg_expires(struct kv_call *call, long index, int64_t unit, bool relative, bool positive,
	int64_t *ret_expires)
{
	int64_t time;

	if (!kv_arg_number(call, index, &time))
		return false;
	if ((time > 0 || !positive) && !__builtin_mul_overflow(time, unit, &time) &&
		(!relative || !__builtin_add_overflow(time, call->store->now, &time))) {
		*ret_expires = time < KV_NEVER ? time : KV_NEVER - 1;
		return true;
	}
	kv_reply_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
	return false;
}

int kv_shown_len(const struct kv_bytes *bytes, int room)
{
	return bytes->data && bytes->len < (size_t)room ? (int)bytes->len : room;
}

const char *kv_shown_text(const struct kv_bytes *bytes)
{
	return bytes->data ? (const char *)bytes->data : (const char *)bytes->value->first->bytes;
}

static void unknown_command(struct kv_call *call)
{
	const struct kv_bytes *name = kv_arg(call, 0);
	char text[2 * KV_SHOWN_MOST + 8] = "";
	int len = 0;

	for (long i = 1; i < kv_argc(call) && len < KV_SHOWN_MOST; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "'%.*s' ",
			kv_shown_len(kv_arg(call, i), KV_SHOWN_MOST - len),
			kv_shown_text(kv_arg(call, i)));
	kv_reply_error(call->reply, "ERR unknown command '%.*s', with args beginning with: %s",
		KV_SHOWN(name), text);
}

/* ---- running */

static bool arity_fits(const struct kv_command *command, long argc)
{
	return command->arity > 0 ? argc == command->arity : argc >= -command->arity;
}

static bool within_limit(struct kv_store *store)
{
	struct kv_memory *memory = &store->memory;

	while (kv_memory_used(memory) > memory->limit)
		if (!memory->reclaim(memory->reclaim_context))
			return false;
	return true;
}

static void run(struct kv_call *call)
{
	if (!arity_fits(call->command, kv_argc(call)))
		kv_wrong_arity(call);
	else if (call->command->flags & KV_DENYOOM && !within_limit(call->store))
		kv_reply_no_memory(call->reply);
	else
		call->command->run(call);
}

void kv_execute(struct kv_server *server, struct kv_client *client)
{
	struct kv_call call = {
		server, &server->store, client, &client->request, &client->reply, NULL};

	if (client->request.argc == 0 && !client->request.no_memory)
		return;
	kv_reply_begin(&client->reply);
	server->commands_ever++;
	client->active = server->store.now;
	if (client->request.no_memory) {
		kv_reply_no_memory(&client->reply);
	} else {
		call.command = kv_command_find(server, kv_arg(&call, 0));
		if (call.command) {
			client->last = call.command;
			run(&call);
		} else {
			unknown_command(&call);
		}
	}
	kv_reply_end(&client->reply);
}

void kv_run_subcommand(struct kv_call *call, const struct kv_command *subcommands, size_t count)
{
	const struct kv_bytes *name = kv_arg(call, 1);
	char container[16];
	size_t len = strlen(call->command->name);

	for (size_t i = 0; i < count; i++) {
		if (!kv_is(name, strchr(subcommands[i].name, '|') + 1))
			continue;
		call->command = call->client->last = &subcommands[i];
		run(call);
		return;
	}
	for (size_t i = 0; i <= len; i++)
		container[i] = (char)(call->command->name[i] & ~0x20);
	kv_reply_error(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", KV_SHOWN(name),
		container);
}

/* ---- COMMAND */

static const struct {
	unsigned flag;
	const char *name, *category;
} flag_names[] = {
	{KV_WRITE, "write", "@write"},
	{KV_READONLY, "readonly", "@read"},
	{KV_DENYOOM, "denyoom", NULL},
	{KV_ADMIN, "admin", "@admin"},
	{KV_LOADING, "loading", NULL},
	{KV_FAST, "fast", "@fast"},
	{KV_CONNECTION, NULL, "@connection"},
};

static void reply_flags(struct kv_call *call, const struct kv_command *command, bool categories)
{
	uint64_t count = 0;

	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1)
			kv_reply_array(call->reply, count);
		for (size_t i = 0; i < COUNT_OF(flag_names); i++) {
			const char *name = categories ? flag_names[i].category : flag_names[i].name;

			if (!name || !(command->flags & flag_names[i].flag))
				continue;
			count++;
			if (pass == 1)
				kv_reply_status(call->reply, name);
		}
	}
}

static void reply_command(struct kv_call *call, const struct kv_command *command)
{
	kv_reply_array(call->reply, 10);
	kv_reply_string(call->reply, command->name);
	kv_reply_number(call->reply, command->arity);
	reply_flags(call, command, false);
	kv_reply_number(call->reply, command->first);
	kv_reply_number(call->reply, command->last);
	kv_reply_number(call->reply, command->step);
	reply_flags(call, command, true);
	for (int i = 0; i < 3; i++) /* tips, key specifications, subcommands */
		kv_reply_array(call->reply, 0);
}

static void reply_docs(struct kv_call *call, const struct kv_command *command)
{
	kv_reply_string(call->reply, command->name);
	kv_reply_array(call->reply, 6);
	kv_reply_string(call->reply, "summary");
	kv_reply_string(call->reply, command->summary);
	kv_reply_string(call->reply, "since");
	kv_reply_string(call->reply, command->since);
	kv_reply_string(call->reply, "group");
	kv_reply_string(call->reply, command->group);
}

static void all_commands(struct kv_call *call)
{
	kv_reply_array(call->reply, COUNT_OF(commands));
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		reply_command(call, &commands[i]);
}

static void command_count(struct kv_call *call)
{
	kv_reply_number(call->reply, COUNT_OF(commands));
}

static void command_list(struct kv_call *call)
{
	if (kv_argc(call) > 2) {
		kv_syntax_error(call);
		return;
	}
	kv_reply_array(call->reply, COUNT_OF(commands));
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		kv_reply_string(call->reply, commands[i].name);
}

static void command_info(struct kv_call *call)
{
	if (kv_argc(call) == 2) {
		all_commands(call);
		return;
	}
	kv_reply_array(call->reply, (uint64_t)kv_argc(call) - 2);
	for (long i = 2; i < kv_argc(call); i++) {
		const struct kv_command *command = kv_command_find(call->server, kv_arg(call, i));

		if (command)
			reply_command(call, command);
		else
			kv_reply_null(call->reply);
	}
}

/* Those that are asked for and there are; without a name all. */
static void command_docs(struct kv_call *call)
{
	uint64_t count = 0;

	if (kv_argc(call) == 2) {
		kv_reply_array(call->reply, 2 * COUNT_OF(commands));
		for (size_t i = 0; i < COUNT_OF(commands); i++)
			reply_docs(call, &commands[i]);
		return;
	}
	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1)
			kv_reply_array(call->reply, 2 * count);
		for (long i = 2; i < kv_argc(call); i++) {
			const struct kv_command *command =
				kv_command_find(call->server, kv_arg(call, i));

			count += command != NULL;
			if (command && pass == 1)
				reply_docs(call, command);
		}
	}
}

void kv_command(struct kv_call *call)
{
	static const struct kv_command subcommands[] = {
		{"command|count", command_count, 2, KV_LOADING, 0, 0, 0, "server", "2.8.13",
			"How many there are"},
		{"command|docs", command_docs, -2, KV_LOADING, 0, 0, 0, "server", "7.0.0",
			"What they are for"},
		{"command|info", command_info, -2, KV_LOADING, 0, 0, 0, "server", "2.8.13",
			"What they take"},
		{"command|list", command_list, -2, KV_LOADING, 0, 0, 0, "server", "7.0.0",
			"Their names"},
	};

	if (kv_argc(call) == 1)
		all_commands(call);
	else
		kv_run_subcommand(call, subcommands, COUNT_OF(subcommands));
}
