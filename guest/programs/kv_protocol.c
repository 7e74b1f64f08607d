#include "guest/programs/kv_protocol.h"

#include <stdio.h>
#include <string.h>

#include "guest/programs/kv_text.h"

#define COUNT_LINE_MOST 1024u /* bytes of a line with a count, whose longest has 12 */

_Static_assert(KV_ARGS_MOST <= KV_ARGS_HERE + (KV_BLOCK / sizeof(void *)) *
						      (KV_BLOCK / sizeof(struct kv_arg)),
	"one block names all blocks of arguments");

/* ---- arguments */

/* The next one; NULL: no memory, and the request is to be refused. */
static struct kv_arg *add_arg(struct kv_request *request)
{
	size_t index = (size_t)request->argc;

	if (request->no_memory)
		return NULL;
	if (index >= KV_ARGS_HERE && (index - KV_ARGS_HERE) % KV_ARGS_BLOCK == 0) {
		struct kv_memory *memory = &request->store->memory;
		struct kv_arg **slot;

		if (!request->blocks)
			request->blocks = kv_memory_take_block(memory, KV_URGENT);
		slot = request->blocks ? &request->blocks[(index - KV_ARGS_HERE) / KV_ARGS_BLOCK]
				       : NULL;
		if (slot)
			*slot = kv_memory_take_block(memory, KV_URGENT);
		if (!slot || !*slot) {
			request->no_memory = true;
			return NULL;
		}
	}
	request->argc++;
	return kv_request_arg(request, (long)index);
}

static void add_value(struct kv_request *request, struct kv_value *value)
{
	struct kv_arg *arg = add_arg(request);

	if (arg)
		*arg = (struct kv_arg){.bytes = kv_value_bytes(value)};
	else
		kv_store_let_go(request->store, value);
}

/* Short ones are had to answer at all: with all memory in use keys can still be deleted. */
static enum kv_use use_of(uint64_t len)
{
	return len <= KV_PIECE_MOST ? KV_URGENT : KV_DATA;
}

/* Appends to a value that may be NULL: there was no memory for it. Then so is what is returned. */
static struct kv_value *build(struct kv_request *request, struct kv_value *value, const void *bytes,
	size_t len, uint64_t more)
{
	struct kv_store *store = request->store;

	if (!value)
		return NULL;
	if (kv_value_append(
		    &store->memory, value, bytes, len, more, use_of(value->len + len + more)))
		return value;
	request->no_memory = true;
	kv_store_let_go(store, value);
	return NULL;
}

static struct kv_value *begin_value(struct kv_request *request)
{
	struct kv_value *value = NULL;

	if (!request->no_memory)
		value = kv_value_new(&request->store->memory, KV_URGENT);
	request->no_memory = !value;
	return value;
}

/* Moves the arguments that lie among the bytes which were parsed, so that these can be consumed. */
static void move_args(struct kv_request *request, const unsigned char *bytes)
{
	for (; request->moved < request->argc; request->moved++) {
		struct kv_arg *arg = kv_request_arg(request, request->moved);
		struct kv_value *value;

		if (arg->bytes.value)
			continue;
		value = build(request, begin_value(request), bytes + arg->at, arg->bytes.len, 0);
		arg->bytes = value ? kv_value_bytes(value) : (struct kv_bytes){0};
	}
}

/* ---- ends */

static enum kv_parsed broken(struct kv_request *request, const char *error)
{
	snprintf(request->error, sizeof(request->error), "Protocol error: %s", error);
	return KV_BROKEN;
}

static enum kv_parsed complete(struct kv_request *request, const unsigned char *bytes)
{
	for (long i = request->moved; i < request->argc; i++) {
		struct kv_arg *arg = kv_request_arg(request, i);

		if (!arg->bytes.value)
			arg->bytes.data = bytes + arg->at;
	}
	request->taken = request->at;
	request->at = 0;
	return KV_REQUEST;
}

/* ---- lines */

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What stands behind a '\' in double quotes, as one byte; goes behind it. */
static unsigned char unescape(const unsigned char **at, const unsigned char *end)
{
	static const char names[] = "nrtba", bytes[] = "\n\r\t\b\a";
	const char *name;

	if (**at == 'x' && end - *at >= 3 && hex_value((*at)[1]) >= 0 && hex_value((*at)[2]) >= 0) {
		*at += 3;
		return (unsigned char)(hex_value((*at)[-2]) << 4 | hex_value((*at)[-1]));
	}
	name = memchr(names, **at, sizeof(names) - 1);
	return name ? (unsigned char)(++*at, bytes[name - names]) : *(*at)++;
}

/* A word with quotes in it, from *at on, into a value (NULL: no memory). False: they are not
 * balanced. */
static bool read_quoted(struct kv_request *request, const unsigned char **at,
	const unsigned char *end, struct kv_value **value)
{
	unsigned char quote = 0;

	while (*at < end && (quote || !is_space(**at))) {
		unsigned char c = *(*at)++;

		if (!quote && (c == '"' || c == '\'')) {
			quote = c;
			continue;
		}
		if (quote && c == quote) {
			if (*at < end && !is_space(**at))
				return false;
			quote = 0;
			continue;
		}
		if (quote == '"' && c == '\\' && *at < end)
			c = unescape(at, end);
		else if (quote == '\'' && c == '\\' && *at < end && **at == '\'')
			c = *(*at)++;
		*value = build(request, *value, &c, 1, (uint64_t)(end - *at));
	}
	return quote == 0;
}

/* The next word of the line. False: the quotes are not balanced. */
static bool read_word(struct kv_request *request, const unsigned char *bytes,
	const unsigned char **at, const unsigned char *end)
{
	const unsigned char *start = *at;
	struct kv_value *value;
	struct kv_arg *arg;

	while (*at < end && !is_space(**at) && **at != '"' && **at != '\'')
		++*at;
	if (*at == end || is_space(**at)) {
		arg = add_arg(request);
		if (arg)
			*arg = (struct kv_arg){
				.bytes.len = (size_t)(*at - start), .at = (size_t)(start - bytes)};
		return true;
	}
	*at = start;
	value = begin_value(request);
	if (!read_quoted(request, at, end, &value)) {
		if (value)
			kv_store_let_go(request->store, value);
		return false;
	}
	if (value)
		add_value(request, value);
	return true;
}

static enum kv_parsed parse_line(struct kv_request *request, const unsigned char *bytes, size_t len)
{
	size_t most = request->hold * 2 < KV_INLINE_MOST ? request->hold * 2 - 1 : KV_INLINE_MOST;
	const unsigned char *newline = memchr(bytes + request->at, '\n', len - request->at),
			    *at = bytes, *end;

	if (!newline) {
		request->at = len; /* not to be looked at again */
		request->want = len + 1;
		return len > most - 1 ? broken(request, "too big inline request") : KV_MORE;
	}
	request->at = (size_t)(newline - bytes) + 1;
	end = newline > bytes && newline[-1] == '\r' ? newline - 1 : newline;
	for (;;) {
		while (at < end && is_space(*at))
			at++;
		if (at == end)
			return complete(request, bytes);
		if (!read_word(request, bytes, &at, end))
			return broken(request, "unbalanced quotes in request");
	}
}

/* ---- arrays of bulk strings */

/*
 * A line of one letter and a number, its number and request->at behind it: KV_REQUEST. A number
 * that is none, or one that is not in its plain form, is INT64_MIN.
 */
static enum kv_parsed parse_count(struct kv_request *request, const unsigned char *bytes,
	size_t len, const char *too_long, int64_t *ret_number)
{
	const unsigned char *start = bytes + request->at + 1;
	size_t left = len - request->at - 1;
	struct kv_bytes digits = {.data = start};
	int64_t number = 0;

	/* Nearly all of them have one to three digits. */
	while (digits.len < left && digits.len < 9 && start[digits.len] >= '0' &&
		start[digits.len] <= '9')
		number = number * 10 + (start[digits.len++] - '0');
	if (digits.len == left || start[digits.len] != '\r' || digits.len == 0 ||
		(digits.len > 1 && *start == '0')) {
		const unsigned char *end = left ? memchr(start, '\r', left) : NULL;

		if (!end)
			return left > COUNT_LINE_MOST ? broken(request, too_long) : KV_MORE;
		digits.len = (size_t)(end - start);
		number = INT64_MIN;
	}
	if (digits.len + 2 > left)
		return KV_MORE;
	*ret_number = number;
	if (number == INT64_MIN && !kv_parse_number(&digits, ret_number))
		*ret_number = INT64_MIN;
	request->at += digits.len + 3;
	return KV_REQUEST;
}

static enum kv_parsed parse_bulk_head(
	struct kv_request *request, const unsigned char *bytes, size_t len)
{
	enum kv_parsed parsed;
	char error[32];

	if (request->at == len)
		return KV_MORE;
	if (bytes[request->at] != '$') {
		snprintf(error, sizeof(error), "expected '$', got '%c'", bytes[request->at]);
		return broken(request, error);
	}
	parsed = parse_count(request, bytes, len, "too big bulk count string", &request->bulk);
	if (parsed == KV_REQUEST && (request->bulk < 0 || request->bulk > KV_VALUE_MOST))
		return broken(request, "invalid bulk length");
	return parsed;
}

/* The rest of a bulk string that is moved as it comes. */
static enum kv_parsed parse_building(
	struct kv_request *request, const unsigned char *bytes, size_t len)
{
	size_t left = (size_t)request->bulk,
	       part = len - request->at < left ? len - request->at : left;

	request->building =
		build(request, request->building, bytes + request->at, part, left - part);
	request->bulk -= (int64_t)part;
	request->at += part;
	if (request->bulk > 0 || len - request->at < 2)
		return KV_MORE;
	request->at += 2;
	if (request->building)
		add_value(request, request->building);
	request->building = NULL;
	request->dropping = false;
	return KV_REQUEST;
}

/* A bulk string; KV_MORE also when it is not yet one to be moved as it comes. */
static enum kv_parsed parse_bulk(struct kv_request *request, const unsigned char *bytes, size_t len)
{
	size_t whole = (size_t)request->bulk + 2;
	struct kv_arg *arg;

	if (request->building || request->dropping)
		return parse_building(request, bytes, len);
	if (len - request->at < whole) {
		if (request->at + whole <= request->hold)
			return KV_MORE;
		request->building = begin_value(request);
		request->dropping = !request->building;
		return parse_building(request, bytes, len);
	}
	arg = add_arg(request);
	if (arg)
		*arg = (struct kv_arg){.bytes.len = (size_t)request->bulk, .at = request->at};
	request->at += whole;
	return KV_REQUEST;
}

/* What need not be kept until more comes, and how much that has to be. */
static enum kv_parsed wait_for_more(
	struct kv_request *request, const unsigned char *bytes, size_t len)
{
	bool moving = request->building || request->dropping;
	size_t there, least = 0;

	if (moving || request->at > request->hold / 2) {
		move_args(request, bytes);
		request->taken = request->at;
		request->at = 0;
	}
	there = len - request->taken;
	if (request->bulk >= 0)
		least = request->at + (size_t)request->bulk + 2;
	if (least > request->hold)
		least = request->hold;
	request->want = least > there ? least : there + 1;
	return KV_MORE;
}

static enum kv_parsed parse_array(
	struct kv_request *request, const unsigned char *bytes, size_t len)
{
	enum kv_parsed parsed;
	int64_t count;

	if (request->left < 0) {
		parsed = parse_count(request, bytes, len, "too big mbulk count string", &count);
		if (parsed == KV_MORE)
			request->want = len + 1;
		if (parsed != KV_REQUEST)
			return parsed;
		if (count > KV_ARGS_MOST || count == INT64_MIN)
			return broken(request, "invalid multibulk length");
		request->left = count > 0 ? (long)count : 0;
		request->bulk = -1;
	}
	while (request->left > 0) {
		parsed = KV_REQUEST;
		if (request->bulk < 0)
			parsed = parse_bulk_head(request, bytes, len);
		if (parsed == KV_REQUEST)
			parsed = parse_bulk(request, bytes, len);
		if (parsed == KV_MORE)
			return wait_for_more(request, bytes, len);
		if (parsed == KV_BROKEN)
			return parsed;
		request->bulk = -1;
		request->left--;
	}
	return complete(request, bytes);
}

/* ---- requests */

void kv_request_start(struct kv_request *request, struct kv_store *store, size_t capacity)
{
	*request =
		(struct kv_request){.store = store, .hold = capacity / 2, .left = -1, .bulk = -1};
}

enum kv_parsed kv_request_parse(struct kv_request *request, const unsigned char *bytes, size_t len)
{
	request->taken = 0;
	request->want = 1;
	if (len == 0)
		return KV_MORE;
	if (request->left < 0 && bytes[0] != '*')
		return parse_line(request, bytes, len);
	return parse_array(request, bytes, len);
}

void kv_request_done(struct kv_request *request)
{
	struct kv_memory *memory = &request->store->memory;

	for (long i = 0; i < request->argc; i++) {
		struct kv_arg *arg = kv_request_arg(request, i);

		if (arg->bytes.value)
			kv_store_let_go(request->store, arg->bytes.value);
	}
	if (request->building)
		kv_store_let_go(request->store, request->building);
	if (request->blocks) {
		for (size_t i = 0; i < KV_BLOCK / sizeof(void *) && request->blocks[i]; i++)
			kv_memory_give_block(memory, request->blocks[i]);
		kv_memory_give_block(memory, request->blocks);
	}
	request->argc = request->moved = 0;
	request->left = request->bulk = -1;
	request->at = 0;
	request->blocks = NULL;
	request->building = NULL;
	request->no_memory = request->dropping = false;
}
