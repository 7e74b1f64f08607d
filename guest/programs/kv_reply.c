#include "guest/programs/kv_reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "guest/programs/kv_text.h"

#define ERROR_MOST 512

void kv_reply_start(struct kv_reply *reply, struct kv_store *store)
{
	*reply = (struct kv_reply){.store = store};
}

/* ---- pieces */

void kv_reply_drop_piece(struct kv_reply *reply)
{
	struct kv_piece *piece = reply->first;

	reply->first = piece->next;
	if (!reply->first)
		reply->last = NULL;
	kv_store_let_go(reply->store, piece->value);
	kv_memory_give(&reply->store->memory, piece);
}

/* Takes over the caller's hold of the value; NULL: no memory. */
static struct kv_piece *add_piece(struct kv_reply *reply, struct kv_value *value, bool text)
{
	struct kv_piece *piece = kv_memory_take(&reply->store->memory, sizeof(*piece), KV_URGENT);

	if (!piece) {
		kv_store_let_go(reply->store, value);
		return NULL;
	}
	*piece = (struct kv_piece){.value = value, .len = value->len, .text = text};
	if (reply->last)
		reply->last->next = piece;
	else
		reply->first = piece;
	reply->last = piece;
	return piece;
}

static bool add_text(struct kv_reply *reply, const void *bytes, size_t len)
{
	struct kv_memory *memory = &reply->store->memory;
	struct kv_piece *piece = reply->last;

	if (!piece || !piece->text) {
		struct kv_value *value = kv_value_new(memory, KV_URGENT);

		piece = value ? add_piece(reply, value, true) : NULL;
	}
	if (!piece || !kv_value_append(memory, piece->value, bytes, len, 0, KV_URGENT))
		return false;
	piece->len += len;
	return true;
}

static void put(struct kv_reply *reply, const void *bytes, size_t len)
{
	if (!reply->first && len <= reply->room_len - reply->used) {
		memcpy(reply->room + reply->used, bytes, len);
		reply->used += len;
	} else if (!reply->no_memory && !add_text(reply, bytes, len)) {
		reply->no_memory = true;
	}
}

static void put_value(struct kv_reply *reply, const struct kv_bytes *bytes)
{
	if (!reply->first && bytes->len <= reply->room_len - reply->used) {
		kv_bytes_copy(reply->room + reply->used, bytes);
		reply->used += bytes->len;
	} else if (!reply->no_memory && !add_piece(reply, kv_value_hold(bytes->value), false)) {
		reply->no_memory = true;
	}
}

/* ---- answers */

void kv_reply_begin(struct kv_reply *reply)
{
	reply->mark = reply->used;
	reply->no_memory = false;
}

void kv_reply_end(struct kv_reply *reply)
{
	if (!reply->no_memory)
		return;
	reply->used = reply->mark;
	while (reply->first)
		kv_reply_drop_piece(reply);
	reply->no_memory = false;
	kv_reply_no_memory(reply);
}

/* A type and a number, as most lines are. */
static void put_line(struct kv_reply *reply, char type, int64_t number)
{
	char line[KV_NUMBER_LEN + 3] = {type};
	size_t len = 1 + kv_format_number(number, line + 1);

	line[len++] = '\r';
	line[len++] = '\n';
	put(reply, line, len);
}

void kv_reply_status(struct kv_reply *reply, const char *status)
{
	put(reply, "+", 1);
	put(reply, status, strlen(status));
	put(reply, "\r\n", 2);
}

void kv_reply_error(struct kv_reply *reply, const char *format, ...)
{
	char text[ERROR_MOST] = "-";
	va_list list;
	size_t len;

	va_start(list, format);
	vsnprintf(text + 1, sizeof(text) - 3, format, list);
	va_end(list);
	for (len = 0; text[len]; len++)
		if (text[len] == '\r' || text[len] == '\n')
			text[len] = ' ';
	memcpy(text + len, "\r\n", 2);
	put(reply, text, len + 2);
	reply->errors++;
}

void kv_reply_no_memory(struct kv_reply *reply)
{
	kv_reply_error(reply, "OOM command not allowed when used memory > 'maxmemory'.");
}

void kv_reply_number(struct kv_reply *reply, int64_t number)
{
	put_line(reply, ':', number);
}

void kv_reply_bytes(struct kv_reply *reply, const struct kv_bytes *bytes)
{
	put_line(reply, '$', (int64_t)bytes->len);
	if (bytes->value && (!bytes->data || bytes->len > KV_PIECE_MOST))
		put_value(reply, bytes);
	else
		put(reply, bytes->data, bytes->len);
	put(reply, "\r\n", 2);
}

void kv_reply_string(struct kv_reply *reply, const char *string)
{
	struct kv_bytes bytes = {.data = (const unsigned char *)string, .len = strlen(string)};

	kv_reply_bytes(reply, &bytes);
}

void kv_reply_null(struct kv_reply *reply)
{
	put(reply, "$-1\r\n", 5);
}

void kv_reply_array(struct kv_reply *reply, uint64_t count)
{
	put_line(reply, '*', (int64_t)count);
}
