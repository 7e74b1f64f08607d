/* Commands that work on values. */
#include <errno.h>
#include <string.h>

#include "guest/programs/kv_commands.h"
#include "guest/programs/kv_text.h"

/* ---- reading */

static void reply_value(struct kv_call *call, const struct kv_entry *entry)
{
	struct kv_bytes value;

	if (!entry) {
		kv_reply_null(call->reply);
		return;
	}
	value = kv_entry_value(entry);
	kv_reply_bytes(call->reply, &value);
}

void kv_get(struct kv_call *call)
{
	reply_value(call, kv_store_get(call->store, kv_arg(call, 1)));
}

void kv_getdel(struct kv_call *call)
{
	reply_value(call, kv_store_get(call->store, kv_arg(call, 1)));
	if (!call->reply->no_memory)
		kv_store_delete(call->store, kv_arg(call, 1));
}

void kv_mget(struct kv_call *call)
{
	kv_reply_array(call->reply, (uint64_t)kv_argc(call) - 1);
	for (long i = 1; i < kv_argc(call); i++)
		reply_value(call, kv_store_get(call->store, kv_arg(call, i)));
}

void kv_strlen(struct kv_call *call)
{
	const struct kv_entry *entry = kv_store_get(call->store, kv_arg(call, 1));

	kv_reply_number(call->reply, entry ? (int64_t)kv_entry_value(entry).len : 0);
}

/* ---- setting */

/* What the words behind SET key value say. */
struct set_options {
	bool only_new, only_old, get, keep;
	long expires_at; /* the argument that says when it expires; 0: none */
	int64_t unit;    /* of that, milliseconds */
	bool relative;
};

static bool read_expiry(struct kv_call *call, long *index, struct set_options *options)
{
	static const struct {
		const char *name;
		int64_t unit;
		bool relative;
	} words[] = {
		{"ex", 1000, true}, {"px", 1, true}, {"exat", 1000, false}, {"pxat", 1, false}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!kv_is(kv_arg(call, *index), words[i].name))
			continue;
		if (options->expires_at || options->keep || *index + 1 >= kv_argc(call))
			return false;
		options->expires_at = ++*index;
		options->unit = words[i].unit;
		options->relative = words[i].relative;
		return true;
	}
	return false;
}

static bool read_options(struct kv_call *call, struct set_options *ret_options)
{
	for (long i = 3; i < kv_argc(call); i++) {
		const struct kv_bytes *word = kv_arg(call, i);

		if (kv_is(word, "nx") && !ret_options->only_old)
			ret_options->only_new = true;
		else if (kv_is(word, "xx") && !ret_options->only_new)
			ret_options->only_old = true;
		else if (kv_is(word, "get"))
			ret_options->get = true;
		else if (kv_is(word, "keepttl") && !ret_options->expires_at)
			ret_options->keep = true;
		else if (!read_expiry(call, &i, ret_options))
			return false;
	}
	return true;
}

static void set_with(struct kv_call *call, const struct set_options *options)
{
	int64_t expires = KV_NEVER;
	struct kv_entry *old;
	int error;

	if (options->expires_at && !kv_arg_expires(call, options->expires_at, options->unit,
					   options->relative, true, &expires))
		return;
	old = options->get ? kv_store_get(call->store, kv_arg(call, 1))
			   : kv_store_find(call->store, kv_arg(call, 1));
	if (options->get)
		reply_value(call, old);
	if ((options->only_new && old) || (options->only_old && !old)) {
		if (!options->get)
			kv_reply_null(call->reply);
		return;
	}
	if (call->reply->no_memory)
		return;
	if (options->keep && old)
		expires = old->expires;
	error = kv_store_set(call->store, kv_arg(call, 1), kv_arg(call, 2), expires);
	if (error)
		call->reply->used = call->reply->mark;
	if (kv_done(call, error) && !options->get)
		kv_reply_status(call->reply, "OK");
}

void kv_set(struct kv_call *call)
{
	struct set_options options = {0};

	if (kv_argc(call) == 3) { /* as nearly all are */
		if (kv_done(call,
			    kv_store_set(call->store, kv_arg(call, 1), kv_arg(call, 2), KV_NEVER)))
			kv_reply_status(call->reply, "OK");
	} else if (read_options(call, &options)) {
		set_with(call, &options);
	} else {
		kv_syntax_error(call);
	}
}

void kv_setnx(struct kv_call *call)
{
	if (kv_store_find(call->store, kv_arg(call, 1)))
		kv_reply_number(call->reply, 0);
	else if (kv_done(call,
			 kv_store_set(call->store, kv_arg(call, 1), kv_arg(call, 2), KV_NEVER)))
		kv_reply_number(call->reply, 1);
}

static void set_expiring(struct kv_call *call, int64_t unit)
{
	int64_t expires;

	if (kv_arg_expires(call, 2, unit, true, true, &expires) &&
		kv_done(call, kv_store_set(call->store, kv_arg(call, 1), kv_arg(call, 3), expires)))
		kv_reply_status(call->reply, "OK");
}

void kv_setex(struct kv_call *call)
{
	set_expiring(call, 1000);
}

void kv_psetex(struct kv_call *call)
{
	set_expiring(call, 1);
}

void kv_getset(struct kv_call *call)
{
	static const struct set_options options = {.get = true};

	set_with(call, &options);
}

/* Names and values alternate. A key that cannot be, or memory that may not last, refuses all of
 * them. */
static bool set_many(struct kv_call *call)
{
	uint64_t size = 0;

	for (long i = 1; i < kv_argc(call); i += 2)
		size += kv_store_size_of(kv_arg(call, i), kv_arg(call, i + 1));
	if (!kv_store_has_room(call->store, size, (uint64_t)kv_argc(call) / 2))
		return kv_done(call, -ENOMEM);
	for (long i = 1; i < kv_argc(call); i += 2)
		if (!kv_store_key_possible(kv_arg(call, i)))
			return kv_done(call, -ENAMETOOLONG);
	for (long i = 1; i < kv_argc(call); i += 2)
		if (!kv_done(call, kv_store_set(call->store, kv_arg(call, i), kv_arg(call, i + 1),
					   KV_NEVER)))
			return false;
	return true;
}

void kv_mset(struct kv_call *call)
{
	if (kv_argc(call) % 2 == 0)
		kv_wrong_arity(call);
	else if (set_many(call))
		kv_reply_status(call->reply, "OK");
}

void kv_msetnx(struct kv_call *call)
{
	if (kv_argc(call) % 2 == 0) {
		kv_wrong_arity(call);
		return;
	}
	for (long i = 1; i < kv_argc(call); i += 2)
		if (kv_store_find(call->store, kv_arg(call, i))) {
			kv_reply_number(call->reply, 0);
			return;
		}
	if (set_many(call))
		kv_reply_number(call->reply, 1);
}

void kv_append(struct kv_call *call)
{
	const struct kv_bytes *more = kv_arg(call, 2);
	struct kv_entry *entry = kv_store_find(call->store, kv_arg(call, 1));
	uint64_t len = entry ? kv_entry_value(entry).len : 0;
	int error;

	if (len + more->len > KV_VALUE_MOST) {
		kv_reply_error(call->reply,
			"ERR string exceeds maximum allowed size (proto-max-bulk-len)");
		return;
	}
	error = entry ? kv_store_append(call->store, entry, more)
		      : kv_store_set(call->store, kv_arg(call, 1), more, KV_NEVER);
	if (kv_done(call, error))
		kv_reply_number(call->reply, (int64_t)(len + more->len));
}

/* ---- counting */

static void add(struct kv_call *call, int64_t by)
{
	struct kv_entry *entry = kv_store_find(call->store, kv_arg(call, 1));
	struct kv_bytes value = {.data = (const unsigned char *)"0", .len = 1};
	int64_t number, expires = entry ? entry->expires : KV_NEVER;
	char text[KV_NUMBER_LEN];

	if (entry)
		value = kv_entry_value(entry);
	if (!kv_parse_number(&value, &number)) {
		kv_not_a_number(call);
		return;
	}
	if (__builtin_add_overflow(number, by, &number)) {
		kv_reply_error(call->reply, "ERR increment or decrement would overflow");
		return;
	}
	value = (struct kv_bytes){
		.len = kv_format_number(number, text), .data = (unsigned char *)text};
	if (kv_done(call, kv_store_set(call->store, kv_arg(call, 1), &value, expires)))
		kv_reply_number(call->reply, number);
}

void kv_incr(struct kv_call *call)
{
	add(call, 1);
}

void kv_decr(struct kv_call *call)
{
	add(call, -1);
}

void kv_incrby(struct kv_call *call)
{
	int64_t by;

	if (kv_arg_number(call, 2, &by))
		add(call, by);
}

void kv_decrby(struct kv_call *call)
{
	int64_t by;

	if (!kv_arg_number(call, 2, &by))
		return;
	if (by == INT64_MIN)
		kv_reply_error(call->reply, "ERR decrement would overflow");
	else
		add(call, -by);
}
