/* Commands that work on keys, whatever their values. */
#include "guest/programs/kv_commands.h"
#include "guest/programs/kv_text.h"

#define SCAN_COUNT 10  /* keys that SCAN returns, about, unless it is told otherwise */
#define SCAN_STEPS 10u /* buckets that it looks at for each of them, at most */

/* ---- being there */

void kv_del(struct kv_call *call)
{
	int64_t count = 0;

	for (long i = 1; i < kv_argc(call); i++)
		count += kv_store_delete(call->store, kv_arg(call, i));
	kv_reply_number(call->reply, count);
}

void kv_exists(struct kv_call *call)
{
	int64_t count = 0;

	for (long i = 1; i < kv_argc(call); i++)
		count += kv_store_get(call->store, kv_arg(call, i)) != NULL;
	kv_reply_number(call->reply, count);
}

void kv_type(struct kv_call *call)
{
	kv_reply_status(
		call->reply, kv_store_find(call->store, kv_arg(call, 1)) ? "string" : "none");
}

void kv_dbsize(struct kv_call *call)
{
	kv_reply_number(call->reply, (int64_t)kv_store_count(call->store));
}

void kv_flush(struct kv_call *call)
{
	/* Both forms are answered at once, and freed piece by piece. */
	if (kv_argc(call) > 2 || (kv_argc(call) == 2 && !kv_is(kv_arg(call, 1), "async") &&
					 !kv_is(kv_arg(call, 1), "sync"))) {
		kv_syntax_error(call);
		return;
	}
	kv_store_clear(call->store);
	kv_reply_status(call->reply, "OK");
}

/* ---- expiring */

struct expire_rules {
	bool only_none, only_some, only_later, only_earlier;
};

static bool read_rules(struct kv_call *call, struct expire_rules *ret_rules)
{
	for (long i = 3; i < kv_argc(call); i++) {
		const struct kv_bytes *word = kv_arg(call, i);

		if (kv_is(word, "nx")) {
			ret_rules->only_none = true;
		} else if (kv_is(word, "xx")) {
			ret_rules->only_some = true;
		} else if (kv_is(word, "gt")) {
			ret_rules->only_later = true;
		} else if (kv_is(word, "lt")) {
			ret_rules->only_earlier = true;
		} else {
			kv_reply_error(call->reply, "ERR Unsupported option %.*s", KV_SHOWN(word));
			return false;
		}
	}
	if (ret_rules->only_none &&
		(ret_rules->only_some || ret_rules->only_later || ret_rules->only_earlier)) {
		kv_reply_error(call->reply,
			"ERR NX and XX, GT or LT options at the same time are not compatible");
		return false;
	}
	if (ret_rules->only_later && ret_rules->only_earlier) {
		kv_reply_error(
			call->reply, "ERR GT and LT options at the same time are not compatible");
		return false;
	}
	return true;
}

/* A key that does not expire does so later than any. */
static bool rules_allow(const struct expire_rules *rules, int64_t old, int64_t expires)
{
	return !(rules->only_none && old != KV_NEVER) && !(rules->only_some && old == KV_NEVER) &&
	       !(rules->only_later && expires <= old) && !(rules->only_earlier && expires >= old);
}

static void expire(struct kv_call *call, int64_t unit, bool relative)
{
	struct expire_rules rules = {0};
	struct kv_entry *entry;
	int64_t expires;

	if (!read_rules(call, &rules) || !kv_arg_expires(call, 2, unit, relative, false, &expires))
		return;
	entry = kv_store_find(call->store, kv_arg(call, 1));
	if (!entry || !rules_allow(&rules, entry->expires, expires)) {
		kv_reply_number(call->reply, 0);
		return;
	}
	if (expires <= call->store->now)
		kv_store_delete(call->store, kv_arg(call, 1));
	else
		kv_store_expire_at(call->store, entry, expires);
	kv_reply_number(call->reply, 1);
}

void kv_expire(struct kv_call *call)
{
	expire(call, 1000, true);
}

void kv_pexpire(struct kv_call *call)
{
	expire(call, 1, true);
}

void kv_expireat(struct kv_call *call)
{
	expire(call, 1000, false);
}

void kv_pexpireat(struct kv_call *call)
{
	expire(call, 1, false);
}

void kv_persist(struct kv_call *call)
{
	struct kv_entry *entry = kv_store_find(call->store, kv_arg(call, 1));
	bool expires = entry && entry->expires != KV_NEVER;

	if (expires)
		kv_store_expire_at(call->store, entry, KV_NEVER);
	kv_reply_number(call->reply, expires);
}

/* -2: no such key, -1: it does not expire */
static int64_t time_left(struct kv_call *call)
{
	const struct kv_entry *entry = kv_store_get(call->store, kv_arg(call, 1));

	if (!entry)
		return -2;
	return entry->expires == KV_NEVER ? -1 : entry->expires - call->store->now;
}

void kv_ttl(struct kv_call *call)
{
	int64_t left = time_left(call);

	kv_reply_number(call->reply, left < 0 ? left : left / 1000 + (left % 1000 >= 500));
}

void kv_pttl(struct kv_call *call)
{
	kv_reply_number(call->reply, time_left(call));
}

/* ---- looking around */

/* Goes through keys twice: how many match has to be told in front of them. */
struct search {
	struct kv_call *call;
	const struct kv_bytes *pattern; /* NULL: all match */
	bool nothing;                   /* none does */
	bool telling;
	uint64_t met, matched;
};

static void visit(void *context, const struct kv_entry *entry)
{
	struct search *search = context;
	struct kv_bytes key = {.data = entry->bytes, .len = entry->key_len};

	search->met++;
	if (search->nothing ||
		(search->pattern && !kv_glob(search->pattern, key.data, key.len, false)))
		return;
	search->matched++;
	if (search->telling)
		kv_reply_bytes(search->call->reply, &key);
}

/* A pattern too long to be in one piece matches no key: those are shorter. */
static void set_pattern(struct search *search, const struct kv_bytes *pattern)
{
	search->pattern = pattern;
	search->nothing = !pattern->data;
}

void kv_keys(struct kv_call *call)
{
	struct search search = {.call = call};

	set_pattern(&search, kv_arg(call, 1));
	for (int pass = 0; pass < 2; pass++) {
		uint64_t cursor = 0;

		search.telling = pass == 1;
		if (search.telling)
			kv_reply_array(call->reply, search.matched);
		do
			cursor = kv_store_scan(call->store, cursor, visit, &search);
		while (cursor != 0);
	}
}

static bool read_cursor(struct kv_call *call, uint64_t *ret_cursor)
{
	const struct kv_bytes *text = kv_arg(call, 1);
	uint64_t cursor = 0;
	bool valid = text->data && text->len > 0;

	for (size_t i = 0; valid && i < text->len; i++) {
		unsigned digit = text->data[i] - (unsigned)'0';

		valid = digit <= 9 && !__builtin_mul_overflow(cursor, 10, &cursor) &&
			!__builtin_add_overflow(cursor, digit, &cursor);
	}
	if (!valid)
		kv_reply_error(call->reply, "ERR invalid cursor");
	*ret_cursor = cursor;
	return valid;
}

static bool read_scan_options(struct kv_call *call, struct search *search, int64_t *ret_count)
{
	for (long i = 2; i < kv_argc(call); i += 2) {
		const struct kv_bytes *word = kv_arg(call, i);

		if (i + 1 == kv_argc(call)) {
			kv_syntax_error(call);
			return false;
		}
		if (kv_is(word, "count")) {
			if (!kv_arg_number(call, i + 1, ret_count))
				return false;
			if (*ret_count >= 1)
				continue;
		} else if (kv_is(word, "match")) {
			set_pattern(search, kv_arg(call, i + 1));
			continue;
		} else if (kv_is(word, "type")) {
			search->nothing |= !kv_is(kv_arg(call, i + 1), "string");
			continue;
		}
		kv_syntax_error(call);
		return false;
	}
	return true;
}

void kv_scan(struct kv_call *call)
{
	struct search search = {.call = call};
	uint64_t start, cursor, steps, taken = 0;
	struct kv_bytes text = {0};
	char number[KV_NUMBER_LEN];
	int64_t count = SCAN_COUNT;

	if (!read_cursor(call, &start) || !read_scan_options(call, &search, &count))
		return;
	cursor = start;
	if (__builtin_mul_overflow((uint64_t)count, SCAN_STEPS, &steps))
		steps = UINT64_MAX;
	do {
		cursor = kv_store_scan(call->store, cursor, visit, &search);
		taken++;
	} while (cursor != 0 && search.met < (uint64_t)count && taken < steps);
	text.len = kv_format_number((int64_t)cursor, number);
	text.data = (const unsigned char *)number;
	kv_reply_array(call->reply, 2);
	kv_reply_bytes(call->reply, &text);
	kv_reply_array(call->reply, search.matched);
	search.telling = true;
	for (cursor = start; taken > 0; taken--)
		cursor = kv_store_scan(call->store, cursor, visit, &search);
}

void kv_randomkey(struct kv_call *call)
{
	const struct kv_entry *entry = kv_store_random(call->store);
	struct kv_bytes key = {0};

	if (!entry) {
		kv_reply_null(call->reply);
		return;
	}
	key = (struct kv_bytes){.data = entry->bytes, .len = entry->key_len};
	kv_reply_bytes(call->reply, &key);
}
