/*
 * kv_commands: what kv can do: a table of commands, and the state that they work on. Pure: a
 * request and a place for its answer come in, no stream and no clock.
 *
 * Each file kv_commands_*.c has the functions of the rows that kv_commands.c
 * names. Answers and errors are those of Redis 7.0, word for word.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_COMMANDS_H
#define FERRULE_GUEST_PROGRAMS_KV_COMMANDS_H

#include "guest/programs/kv_protocol.h"
#include "guest/programs/kv_reply.h"

#define KV_REDIS_VERSION "7.0.15" /* whose commands and answers these are */
#define KV_NAME_MOST     127u     /* bytes of a client's name */
#define KV_INDEX_SLOTS   256u

struct kv_server {
	struct kv_store store;
	struct kv_client *clients;
	uint64_t client_count, clients_ever, commands_ever, errors_ever;
	int64_t started;  /* milliseconds since 1970-01-01 UTC */
	uint64_t most;    /* the largest limit that may be set, bytes */
	unsigned port;    /* that it listens on */
	uint64_t run_id[2];
	uint8_t index[KV_INDEX_SLOTS]; /* rows of the table of commands, counted from 1, by hash */
};

/* One connection. */
struct kv_client {
	struct kv_client *next, **link;
	uint64_t id;
	char name[KV_NAME_MOST + 1];
	const char *peer, *local; /* ADDR:PORT */
	int64_t since, active;    /* milliseconds since 1970-01-01 UTC */
	const struct kv_command *last; /* NULL: none yet */
	bool quit;                /* to be closed behind the answer */
	struct kv_request request;
	struct kv_reply reply;
};

/* A command at work. */
struct kv_call {
	struct kv_server *server;
	struct kv_store *store;
	struct kv_client *client;
	struct kv_request *request;
	struct kv_reply *reply;
	const struct kv_command *command;
};

enum kv_command_flag {
	KV_WRITE = 1,
	KV_READONLY = 2,
	KV_DENYOOM = 4, /* refused when more than the limit is in use */
	KV_FAST = 8,
	KV_ADMIN = 16,
	KV_CONNECTION = 32,
	KV_LOADING = 64,
};

struct kv_command {
	const char *name; /* lower case; a subcommand's is CONTAINER|NAME */
	void (*run)(struct kv_call *call);
	int arity; /* arguments, the name included; -N: N or more */
	unsigned flags;
	int first, last, step; /* which arguments are keys, counted from 0; 0: none */
	const char *group, *since, *summary;
};

void kv_server_start(struct kv_server *server);
/* Runs the client's request, which is complete, and writes its answer. */
void kv_execute(struct kv_server *server, struct kv_client *client);

/* NULL: there is none of this name. */
const struct kv_command *kv_command_find(const struct kv_server *server, const struct kv_bytes *name);
/* Runs the subcommand that the second argument names. */
void kv_run_subcommand(struct kv_call *call, const struct kv_command *commands, size_t count);

/* ---- for the commands */

static inline const struct kv_bytes *kv_arg(const struct kv_call *call, long index)
{
	return kv_argument(call->request, index);
}
static inline long kv_argc(const struct kv_call *call)
{
	return call->request->argc;
}
/* An argument as a number; false, and the error is answered: it is none. */
bool kv_arg_number(struct kv_call *call, long index, int64_t *ret_number);
/* For %.*s: as much of an argument as an error tells back, or as there is room for. */
#define KV_SHOWN(bytes) kv_shown_len(bytes, KV_SHOWN_MOST), kv_shown_text(bytes)
#define KV_SHOWN_MOST   128 /* bytes */
int kv_shown_len(const struct kv_bytes *bytes, int room);
const char *kv_shown_text(const struct kv_bytes *bytes);
/* False, and the error is answered: what kv_store_set or kv_store_append returned is one. */
bool kv_done(struct kv_call *call, int error);
void kv_wrong_arity(struct kv_call *call);
void kv_syntax_error(struct kv_call *call);
void kv_not_a_number(struct kv_call *call);
/*
 * When something expires: an argument in units of 'unit' milliseconds, from now on if 'relative'.
 * False, and the error is answered: it is no number, too far away, or 'positive' is asked for and it is not.
 */
bool kv_arg_expires(struct kv_call *call, long index, int64_t unit, bool relative, bool positive,
	int64_t *ret_expires);

/* kv_commands_strings.c */
void kv_append(struct kv_call *call);
void kv_decr(struct kv_call *call);
void kv_decrby(struct kv_call *call);
void kv_get(struct kv_call *call);
void kv_getdel(struct kv_call *call);
void kv_getset(struct kv_call *call);
void kv_incr(struct kv_call *call);
void kv_incrby(struct kv_call *call);
void kv_mget(struct kv_call *call);
void kv_mset(struct kv_call *call);
void kv_msetnx(struct kv_call *call);
void kv_psetex(struct kv_call *call);
void kv_set(struct kv_call *call);
void kv_setex(struct kv_call *call);
void kv_setnx(struct kv_call *call);
void kv_strlen(struct kv_call *call);

/* kv_commands_keys.c */
void kv_dbsize(struct kv_call *call);
void kv_del(struct kv_call *call);
void kv_exists(struct kv_call *call);
void kv_expire(struct kv_call *call);
void kv_expireat(struct kv_call *call);
void kv_flush(struct kv_call *call);
void kv_keys(struct kv_call *call);
void kv_persist(struct kv_call *call);
void kv_pexpire(struct kv_call *call);
void kv_pexpireat(struct kv_call *call);
void kv_pttl(struct kv_call *call);
void kv_randomkey(struct kv_call *call);
void kv_scan(struct kv_call *call);
void kv_ttl(struct kv_call *call);
void kv_type(struct kv_call *call);

/* kv_commands_client.c */
void kv_client(struct kv_call *call);
void kv_echo(struct kv_call *call);
void kv_hello(struct kv_call *call);
void kv_ping(struct kv_call *call);
void kv_quit(struct kv_call *call);
void kv_reset(struct kv_call *call);
void kv_select(struct kv_call *call);

/* kv_commands_server.c */
void kv_config(struct kv_call *call);
void kv_info(struct kv_call *call);

/* kv_commands.c */
void kv_command(struct kv_call *call);

#endif
