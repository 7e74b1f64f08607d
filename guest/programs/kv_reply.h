/*
 * kv_reply: answers (RESP2), written into room that the caller has, and into the
 * store's memory where that ends. Values are not copied there, but held.
 *
 * An answer is made whole or not at all: without memory it is an error.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_REPLY_H
#define FERRULE_GUEST_PROGRAMS_KV_REPLY_H

#include "guest/programs/kv_store.h"

/* Room that has to be there at least: for the longest value that is copied, or for any error. */
#define KV_REPLY_LEAST (KV_OBJECT_HALF + 64)

/* What stands behind the room. */
struct kv_piece {
	struct kv_piece *next;
	struct kv_value *value;
	uint64_t len; /* of the value's first bytes */
	bool text;    /* the value is the answer's own, and may be added to */
};

struct kv_reply {
	struct kv_store *store;
	unsigned char *room;
	size_t room_len, used; /* bytes */
	struct kv_piece *first, *last;
	size_t mark; /* where the answer begins */
	bool no_memory;
	uint64_t errors; /* that were answered, ever */
};

void kv_reply_start(struct kv_reply *reply, struct kv_store *store);
/* One answer, from begin to end; there must be KV_REPLY_LEAST bytes of room, and no pieces left of the last. */
void kv_reply_begin(struct kv_reply *reply);
void kv_reply_end(struct kv_reply *reply);
/* Lets go of the first piece, which was sent. */
void kv_reply_drop_piece(struct kv_reply *reply);

void kv_reply_status(struct kv_reply *reply, const char *status);
/* The whole text, with its code in front. Line ends in it become blanks. */
void kv_reply_error(struct kv_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kv_reply_no_memory(struct kv_reply *reply);
void kv_reply_number(struct kv_reply *reply, int64_t number);
void kv_reply_bytes(struct kv_reply *reply, const struct kv_bytes *bytes);
void kv_reply_string(struct kv_reply *reply, const char *string);
void kv_reply_null(struct kv_reply *reply);
/* So many answers follow. */
void kv_reply_array(struct kv_reply *reply, uint64_t count);

#endif
