#include "guest/programs/kv_value.h"

#include <string.h>

#define WHOLE_MOST (KV_OBJECT_MOST - sizeof(struct kv_node))
#define GROW_SHARE 4u /* what is appended to for good gets room for a quarter more */

struct kv_value *kv_value_new(struct kv_memory *memory, enum kv_use use)
{
	struct kv_value *value = kv_memory_take(memory, sizeof(*value), use);

	if (value)
		*value = (struct kv_value){.holders = 1};
	return value;
}

/* A piece for some of 'want' bytes: no more than a quarter of it stays empty. */
static struct kv_node *new_node(struct kv_memory *memory, uint64_t want, enum kv_use use)
{
	size_t room = want >= WHOLE_MOST     ? WHOLE_MOST
		      : want > KV_PIECE_MOST ? KV_PIECE_MOST
					     : (size_t)want;
	size_t size = kv_memory_room_of(sizeof(struct kv_node) + room);
	struct kv_node *node = kv_memory_take(memory, size, use);

	if (node)
		*node = (struct kv_node){.room = (uint32_t)(size - sizeof(*node))};
	return node;
}

static void free_nodes(struct kv_memory *memory, struct kv_node *node)
{
	while (node) {
		struct kv_node *next = node->next;

		kv_memory_give(memory, node);
		node = next;
	}
}

/* Pieces for 'len' bytes, with room for 'more'. NULL: no memory. */
static struct kv_node *new_nodes(struct kv_memory *memory, size_t len, uint64_t more,
	enum kv_use use, struct kv_node **ret_last)
{
	struct kv_node *first = NULL, **link = &first;

	while (len > 0) {
		struct kv_node *node = new_node(memory, len + more, use);

		if (!node) {
			free_nodes(memory, first);
			return NULL;
		}
		*link = node;
		link = &node->next;
		*ret_last = node;
		len -= len < node->room ? len : node->room;
	}
	return first;
}

static size_t fill(struct kv_node *node, const unsigned char *from, size_t len)
{
	size_t part = node->room - node->len;

	if (part > len)
		part = len;
	memcpy(node->bytes + node->len, from, part);
	node->len += (uint32_t)part;
	return part;
}

bool kv_value_append(struct kv_memory *memory, struct kv_value *value, const void *bytes,
	size_t len, uint64_t more, enum kv_use use)
{
	size_t room = value->last ? value->last->room - value->last->len : 0;
	const unsigned char *from = bytes;
	struct kv_node *first, *last, *node = value->last;

	if (len > room) {
		if (more < value->len / GROW_SHARE)
			more = value->len / GROW_SHARE < WHOLE_MOST ? value->len / GROW_SHARE
								    : WHOLE_MOST;
		first = new_nodes(memory, len - room, more, use, &last);
		if (!first)
			return false;
		if (node)
			node->next = first;
		else
			node = value->first = first;
		value->last = last;
	}
	value->len += len;
	for (; len > 0; node = node->next) {
		size_t part = fill(node, from, len);

		from += part;
		len -= part;
	}
	return true;
}

bool kv_value_append_bytes(
	struct kv_memory *memory, struct kv_value *value, const struct kv_bytes *bytes)
{
	struct kv_value tail = {0};
	const struct kv_node *from;

	if (bytes->data)
		return kv_value_append(memory, value, bytes->data, bytes->len, 0, KV_DATA);
	for (from = bytes->value->first; from; from = from->next)
		if (!kv_value_append(memory, &tail, from->bytes, from->len,
			    bytes->len - tail.len - from->len, KV_DATA)) {
			free_nodes(memory, tail.first);
			return false;
		}
	if (value->last)
		value->last->next = tail.first;
	else
		value->first = tail.first;
	value->last = tail.last;
	value->len += tail.len;
	return true;
}

struct kv_value *kv_value_hold(struct kv_value *value)
{
	value->holders++;
	return value;
}

struct kv_value *kv_value_let_go(struct kv_memory *memory, struct kv_value *value)
{
	unsigned budget = KV_LARGE;

	if (--value->holders > 0 || kv_value_shorten(memory, value, &budget))
		return NULL;
	return value;
}

bool kv_value_shorten(struct kv_memory *memory, struct kv_value *value, unsigned *budget)
{
	for (; value->first && *budget > 0; --*budget) {
		struct kv_node *node = value->first;

		value->first = node->next;
		kv_memory_give(memory, node);
	}
	if (value->first)
		return false;
	kv_memory_give(memory, value);
	return true;
}

struct kv_bytes kv_value_bytes(struct kv_value *value)
{
	struct kv_bytes bytes = {.len = value->len, .value = value};

	if (!value->first)
		bytes.data = (const unsigned char *)"";
	else if (value->first == value->last)
		bytes.data = value->first->bytes;
	return bytes;
}

void kv_bytes_copy(unsigned char *ret_to, const struct kv_bytes *bytes)
{
	size_t left = bytes->len;

	if (bytes->data) {
		memcpy(ret_to, bytes->data, left);
		return;
	}
	for (const struct kv_node *node = bytes->value->first; left > 0; node = node->next) {
		size_t part = node->len < left ? node->len : left;

		memcpy(ret_to, node->bytes, part);
		ret_to += part;
		left -= part;
	}
}

bool kv_bytes_equal(const struct kv_bytes *bytes, const void *other, size_t len)
{
	const unsigned char *at = other;

	if (bytes->len != len)
		return false;
	if (bytes->data)
		return memcmp(bytes->data, other, len) == 0;
	for (const struct kv_node *node = bytes->value->first; len > 0; node = node->next) {
		size_t part = node->len < len ? node->len : len;

		if (memcmp(node->bytes, at, part) != 0)
			return false;
		at += part;
		len -= part;
	}
	return true;
}
