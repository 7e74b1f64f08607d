/*
 * kv_value: a string of any length in pieces, as kv_memory has them: it grows
 * without being moved, and is shared by those who hold it. It only ever gets
 * longer, so that who remembers its length may go on reading it.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_VALUE_H
#define FERRULE_GUEST_PROGRAMS_KV_VALUE_H

#include "guest/programs/kv_memory.h"

struct kv_node {
	struct kv_node *next;
	uint32_t len, room; /* bytes */
	unsigned char bytes[];
};

struct kv_value {
	uint64_t len; /* bytes */
	struct kv_node *first, *last;
	struct kv_value *next; /* of those that wait to be freed */
	uint32_t holders;
};

/* Bytes that somebody else holds. */
struct kv_bytes {
	const unsigned char *data; /* NULL: they are not in one piece, but in 'value' */
	size_t len;
	struct kv_value *value; /* that they are all of; NULL: they lie elsewhere */
};

/* Up to so many bytes lie in one piece when all of them were announced. */
#define KV_PIECE_MOST (KV_OBJECT_HALF - sizeof(struct kv_node))
#define KV_LARGE      64u /* pieces from which on a value is not freed at once */

/* Empty, held by the caller. NULL: no memory, as in all that follows. */
struct kv_value *kv_value_new(struct kv_memory *memory, enum kv_use use);
/* Adds all of the bytes or none; 'more' are known to follow. */
bool kv_value_append(struct kv_memory *memory, struct kv_value *value, const void *bytes, size_t len,
	uint64_t more, enum kv_use use);
bool kv_value_append_bytes(struct kv_memory *memory, struct kv_value *value, const struct kv_bytes *bytes);
struct kv_value *kv_value_hold(struct kv_value *value);
/* One holder less. Returns the value when it had no other and is too long to be freed at once: its pieces
 * are to be freed by kv_value_shorten. Otherwise NULL. */
struct kv_value *kv_value_let_go(struct kv_memory *memory, struct kv_value *value);
/* Frees at most *budget pieces of a value that nobody holds, which is counted down; the value with the last
 * one: true then. */
bool kv_value_shorten(struct kv_memory *memory, struct kv_value *value, unsigned *budget);

/* All of it. Fixed to its present length. */
struct kv_bytes kv_value_bytes(struct kv_value *value);
/* Copies all of them. */
void kv_bytes_copy(unsigned char *ret_to, const struct kv_bytes *bytes);
/* The same bytes? */
bool kv_bytes_equal(const struct kv_bytes *bytes, const void *other, size_t len);

#endif
