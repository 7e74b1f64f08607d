/* Commands that concern the server: INFO and CONFIG. */
#include <stdio.h>
#include <string.h>

#include "guest/programs/kv_commands.h"
#include "guest/programs/kv_text.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SECTION_MOST    1024u /* bytes of a section of INFO */

typedef unsigned long long ull; /* as printf has it */

/* ---- INFO */

static int server_section(const struct kv_call *call, char *ret_text)
{
	const struct kv_server *server = call->server;
	int64_t up = (call->store->now - server->started) / 1000;

	return snprintf(ret_text, SECTION_MOST,
		"# Server\r\nredis_version:" KV_REDIS_VERSION
		"\r\nredis_mode:standalone\r\nserver_name:ferrule-kv\r\n"
		"os:Ferrule guest "
		"x86_64\r\narch_bits:64\r\nrun_id:%016llx%016llx00000000\r\ntcp_port:%u\r\n"
		"server_time_usec:%lld\r\nuptime_in_seconds:%lld\r\nuptime_in_days:%lld\r\n",
		(ull)server->run_id[0], (ull)server->run_id[1], server->port,
		(long long)call->store->now * 1000, (long long)up, (long long)up / 86400);
}

static int clients_section(const struct kv_call *call, char *ret_text)
{
	return snprintf(ret_text, SECTION_MOST,
		"# Clients\r\nconnected_clients:%llu\r\nblocked_clients:0\r\n",
		(ull)call->server->client_count);
}

/* used_memory is blocks that are in use, and used_memory_dataset what of them is objects; rss is
 * what malloc gave for them, which stays. */
static int memory_section(const struct kv_call *call, char *ret_text)
{
	const struct kv_memory *memory = &call->store->memory;
	uint64_t used = kv_memory_used(memory), rss = memory->extents * KV_EXTENT;
	char used_text[KV_NUMBER_LEN], peak_text[KV_NUMBER_LEN], rss_text[KV_NUMBER_LEN],
		limit_text[KV_NUMBER_LEN];

	return snprintf(ret_text, SECTION_MOST,
		"# Memory\r\nused_memory:%llu\r\nused_memory_human:%s\r\nused_memory_rss:%llu\r\n"
		"used_memory_rss_human:%s\r\nused_memory_peak:%llu\r\nused_memory_peak_human:%s\r\n"
		"used_memory_overhead:%llu\r\nused_memory_dataset:%llu\r\nallocator_objects:%"
		"llu\r\n"
		"maxmemory:%llu\r\nmaxmemory_human:%s\r\nmaxmemory_policy:noeviction\r\n"
		"mem_fragmentation_ratio:%llu.%02llu\r\nmem_allocator:ferrule-kv\r\n",
		(ull)used, kv_format_memory(used, used_text), (ull)rss,
		kv_format_memory(rss, rss_text), (ull)kv_memory_peak(memory),
		kv_format_memory(kv_memory_peak(memory), peak_text),
		(ull)(used - memory->object_len), (ull)memory->object_len, (ull)memory->objects,
		(ull)memory->limit, kv_format_memory(memory->limit, limit_text), (ull)(rss / used),
		(ull)(rss * 100 / used % 100));
}

static int stats_section(const struct kv_call *call, char *ret_text)
{
	const struct kv_server *server = call->server;
	uint64_t errors = server->errors_ever;

	for (const struct kv_client *client = server->clients; client; client = client->next)
		errors += client->reply.errors;
	return snprintf(ret_text, SECTION_MOST,
		"# Stats\r\ntotal_connections_received:%llu\r\ntotal_commands_processed:%llu\r\n"
		"expired_keys:%llu\r\nevicted_keys:0\r\nkeyspace_hits:%llu\r\nkeyspace_misses:%"
		"llu\r\n"
		"total_error_replies:%llu\r\n",
		(ull)server->clients_ever, (ull)server->commands_ever, (ull)call->store->expired,
		(ull)call->store->hits, (ull)call->store->misses, (ull)errors);
}

static int keyspace_section(const struct kv_call *call, char *ret_text)
{
	ull keys = kv_store_count(call->store), expires = kv_store_expires(call->store);

	if (keys == 0)
		return snprintf(ret_text, SECTION_MOST, "# Keyspace\r\n");
	return snprintf(ret_text, SECTION_MOST,
		"# Keyspace\r\ndb0:keys=%llu,expires=%llu,avg_ttl=0\r\n", keys, expires);
}

static const struct {
	const char *name;
	int (*write)(const struct kv_call *call, char *ret_text);
} sections[] = {
	{"server", server_section},
	{"clients", clients_section},
	{"memory", memory_section},
	{"stats", stats_section},
	{"keyspace", keyspace_section},
};

static bool section_asked(const struct kv_call *call, const char *name)
{
	for (long i = 1; i < kv_argc(call); i++) {
		const struct kv_bytes *word = kv_arg(call, i);

		if (kv_is(word, name) || kv_is(word, "all") || kv_is(word, "default") ||
			kv_is(word, "everything"))
			return true;
	}
	return kv_argc(call) == 1;
}

void kv_info(struct kv_call *call)
{
	char text[COUNT_OF(sections) * (SECTION_MOST + 2)];
	size_t len = 0;
	struct kv_bytes bytes;

	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (!section_asked(call, sections[i].name))
			continue;
		if (len > 0) {
			memcpy(text + len, "\r\n", 2);
			len += 2;
		}
		len += (size_t)sections[i].write(call, text + len);
	}
	bytes = (struct kv_bytes){.data = (const unsigned char *)text, .len = len};
	kv_reply_bytes(call->reply, &bytes);
}

/* ---- CONFIG */

static const struct parameter {
	const char *name, *value; /* NULL: the limit of memory */
} parameters[] = {
	{"appendonly", "no"},
	{"databases", "1"},
	{"maxmemory", NULL},
	{"maxmemory-policy", "noeviction"},
	{"proto-max-bulk-len", "536870912"},
	{"save", ""},
	{"timeout", "0"},
};

static bool parameter_asked(const struct kv_call *call, const struct parameter *parameter)
{
	for (long i = 2; i < kv_argc(call); i++) {
		const struct kv_bytes *pattern = kv_arg(call, i);

		if (pattern->data && kv_glob(pattern, (const unsigned char *)parameter->name,
					     strlen(parameter->name), true))
			return true;
	}
	return false;
}

static void config_get(struct kv_call *call)
{
	char limit[KV_NUMBER_LEN];
	uint64_t count = 0;

	kv_format_number((int64_t)call->store->memory.limit, limit);
	for (size_t i = 0; i < COUNT_OF(parameters); i++)
		count += parameter_asked(call, &parameters[i]);
	kv_reply_array(call->reply, 2 * count);
	for (size_t i = 0; i < COUNT_OF(parameters); i++) {
		if (!parameter_asked(call, &parameters[i]))
			continue;
		kv_reply_string(call->reply, parameters[i].name);
		kv_reply_string(call->reply, parameters[i].value ? parameters[i].value : limit);
	}
}

/* 0 is, as in Redis, no limit but that of the machine. */
static void set_limit(struct kv_call *call, const struct kv_bytes *value)
{
	static const char failed[] =
		"ERR CONFIG SET failed (possibly related to argument 'maxmemory') - ";
	uint64_t limit;

	if (!kv_parse_memory(value, &limit)) {
		kv_reply_error(call->reply, "%sargument must be a memory value", failed);
		return;
	}
	if (limit == 0)
		limit = call->server->most;
	if (limit < KV_LIMIT_LEAST || limit > call->server->most) {
		kv_reply_error(call->reply, "%sargument must be between %u and %llu inclusive",
			failed, KV_LIMIT_LEAST, (ull)call->server->most);
		return;
	}
	call->store->memory.limit = limit;
	kv_reply_status(call->reply, "OK");
}

static void config_set(struct kv_call *call)
{
	const struct kv_bytes *name = kv_arg(call, 2);

	if (kv_is(name, "maxmemory") && kv_argc(call) == 4)
		set_limit(call, kv_arg(call, 3));
	else
		kv_reply_error(call->reply,
			"ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
			KV_SHOWN(name));
}

static void config_resetstat(struct kv_call *call)
{
	struct kv_server *server = call->server;

	server->clients_ever = server->commands_ever = server->errors_ever = 0;
	for (struct kv_client *client = server->clients; client; client = client->next)
		client->reply.errors = 0;
	call->store->expired = call->store->hits = call->store->misses = 0;
	kv_reply_status(call->reply, "OK");
}

void kv_config(struct kv_call *call)
{
	static const struct kv_command subcommands[] = {
		{"config|get", config_get, -3, KV_ADMIN, 0, 0, 0, "server", "2.0.0",
			"Values of parameters"},
		{"config|resetstat", config_resetstat, 2, KV_ADMIN, 0, 0, 0, "server", "2.0.0",
			"Counters to 0"},
		{"config|set", config_set, -4, KV_ADMIN, 0, 0, 0, "server", "2.0.0",
			"Set a parameter"},
	};

	kv_run_subcommand(call, subcommands, COUNT_OF(subcommands));
}
