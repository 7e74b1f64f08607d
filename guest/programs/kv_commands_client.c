/* Commands that concern the connection. */
#include <stdio.h>
#include <string.h>

#include "guest/programs/kv_commands.h"
#include "guest/programs/kv_text.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define LINE_MOST       512u /* bytes that tell of a client */

void kv_ping(struct kv_call *call)
{
	if (kv_argc(call) > 2)
		kv_wrong_arity(call);
	else if (kv_argc(call) == 2)
		kv_reply_bytes(call->reply, kv_arg(call, 1));
	else
		kv_reply_status(call->reply, "PONG");
}

void kv_echo(struct kv_call *call)
{
	kv_reply_bytes(call->reply, kv_arg(call, 1));
}

void kv_quit(struct kv_call *call)
{
	kv_reply_status(call->reply, "OK");
	call->client->quit = true;
}

void kv_reset(struct kv_call *call)
{
	call->client->name[0] = 0;
	kv_reply_status(call->reply, "RESET");
}

void kv_select(struct kv_call *call)
{
	int64_t index;

	if (!kv_arg_number(call, 1, &index))
		return;
	if (index != 0)
		kv_reply_error(call->reply, "ERR DB index is out of range");
	else
		kv_reply_status(call->reply, "OK");
}

/* ---- names */

/* False, and the error is answered: it cannot be a client's name. */
static bool set_name(struct kv_call *call, const struct kv_bytes *name)
{
	struct kv_client *client = call->client;

	if (!name->data || name->len > KV_NAME_MOST) {
		kv_reply_error(call->reply, "ERR the name is too long: names have at most %u bytes",
			KV_NAME_MOST);
		return false;
	}
	for (size_t i = 0; i < name->len; i++)
		if (name->data[i] < '!' || name->data[i] > '~') {
			kv_reply_error(call->reply, "ERR Client names cannot contain spaces, "
						    "newlines or special characters.");
			return false;
		}
	memcpy(client->name, name->data, name->len);
	client->name[name->len] = 0;
	return true;
}

static void client_setname(struct kv_call *call)
{
	if (set_name(call, kv_arg(call, 2)))
		kv_reply_status(call->reply, "OK");
}

static void client_getname(struct kv_call *call)
{
	if (call->client->name[0])
		kv_reply_string(call->reply, call->client->name);
	else
		kv_reply_null(call->reply);
}

/* What a client library says of itself is taken and not kept. */
static void client_setinfo(struct kv_call *call)
{
	const struct kv_bytes *what = kv_arg(call, 2);

	if (kv_is(what, "lib-name") || kv_is(what, "lib-ver"))
		kv_reply_status(call->reply, "OK");
	else
		kv_reply_error(call->reply, "ERR Unrecognized option '%.*s'", KV_SHOWN(what));
}

static void client_id(struct kv_call *call)
{
	kv_reply_number(call->reply, (int64_t)call->client->id);
}

/* ---- lists */

static size_t describe(
	const struct kv_call *call, const struct kv_client *client, char ret_line[LINE_MOST])
{
	int64_t now = call->store->now;

	return (size_t)snprintf(ret_line, LINE_MOST,
		"id=%llu addr=%s laddr=%s name=%s age=%lld idle=%lld flags=N db=0 cmd=%s "
		"user=default resp=2\n",
		(unsigned long long)client->id, client->peer, client->local, client->name,
		(long long)(now - client->since) / 1000, (long long)(now - client->active) / 1000,
		client->last ? client->last->name : "NULL");
}

static void client_info(struct kv_call *call)
{
	char line[LINE_MOST];

	describe(call, call->client, line);
	kv_reply_string(call->reply, line);
}

static void client_list(struct kv_call *call)
{
	struct kv_value *list = kv_value_new(&call->store->memory, KV_URGENT);
	struct kv_bytes bytes;
	char line[LINE_MOST];

	call->reply->no_memory = !list;
	for (const struct kv_client *client = call->server->clients; client && list;
		client = client->next) {
		if (kv_value_append(&call->store->memory, list, line, describe(call, client, line),
			    0, KV_URGENT))
			continue;
		call->reply->no_memory = true;
		break;
	}
	if (!list)
		return;
	bytes = kv_value_bytes(list);
	kv_reply_bytes(call->reply, &bytes);
	kv_store_let_go(call->store, list);
}

void kv_client(struct kv_call *call)
{
	static const struct kv_command subcommands[] = {
		{"client|getname", client_getname, 2, 0, 0, 0, 0, "connection", "2.6.9",
			"The name"},
		{"client|id", client_id, 2, 0, 0, 0, 0, "connection", "5.0.0", "The number"},
		{"client|info", client_info, 2, 0, 0, 0, 0, "connection", "6.2.0",
			"This connection"},
		{"client|list", client_list, 2, 0, 0, 0, 0, "connection", "2.4.0",
			"All connections"},
		{"client|setinfo", client_setinfo, 4, 0, 0, 0, 0, "connection", "7.2.0",
			"The client's library"},
		{"client|setname", client_setname, 3, 0, 0, 0, 0, "connection", "2.6.9",
			"Give it a name"},
	};

	kv_run_subcommand(call, subcommands, COUNT_OF(subcommands));
}

/* ---- HELLO */

static void reply_hello(struct kv_call *call)
{
	struct kv_reply *reply = call->reply;

	kv_reply_array(reply, 14);
	kv_reply_string(reply, "server");
	kv_reply_string(reply, "redis");
	kv_reply_string(reply, "version");
	kv_reply_string(reply, KV_REDIS_VERSION);
	kv_reply_string(reply, "proto");
	kv_reply_number(reply, 2);
	kv_reply_string(reply, "id");
	kv_reply_number(reply, (int64_t)call->client->id);
	kv_reply_string(reply, "mode");
	kv_reply_string(reply, "standalone");
	kv_reply_string(reply, "role");
	kv_reply_string(reply, "master");
	kv_reply_string(reply, "modules");
	kv_reply_array(reply, 0);
}

void kv_hello(struct kv_call *call)
{
	int64_t version = 2;

	if (kv_argc(call) > 1 && !kv_parse_number(kv_arg(call, 1), &version)) {
		kv_reply_error(
			call->reply, "ERR Protocol version is not an integer or out of range");
		return;
	}
	if (version != 2) {
		kv_reply_error(call->reply, "NOPROTO unsupported protocol version");
		return;
	}
	for (long i = 2; i < kv_argc(call); i += 2) {
		const struct kv_bytes *word = kv_arg(call, i);

		if (!kv_is(word, "setname") || i + 1 == kv_argc(call)) {
			kv_reply_error(call->reply, "ERR Syntax error in HELLO option '%.*s'",
				KV_SHOWN(word));
			return;
		}
		if (!set_name(call, kv_arg(call, i + 1)))
			return;
	}
	reply_hello(call);
}
