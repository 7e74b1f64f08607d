/*
 * kv_talk: a connection to kv without a stream: bytes in, in any pieces, and answers out.
 */
#ifndef FERRULE_TESTS_LIB_KV_TALK_H
#define FERRULE_TESTS_LIB_KV_TALK_H

#include "guest/programs/kv_session.h"
#include "tests/lib/random.h"

#define KV_TALK_NOW 1600000000000 /* what the clock says at first, in milliseconds */

struct kv_talk {
	struct kv_server *server;
	struct kv_client client;
	size_t capacity, want;
	unsigned char *pending; /* what has come and is not done with */
	size_t pending_len;
	unsigned char *answers; /* all of them, ended by a 0 byte */
	size_t answers_len;
};

/* A server with this limit, and a connection to it with a buffer of 'capacity' bytes. */
void kv_talk_serve(struct kv_server *server, uint64_t limit);
void kv_talk_start(struct kv_talk *talk, struct kv_server *server, size_t capacity);
void kv_talk_end(struct kv_talk *talk);
/* To be called when all connections have ended: fails the test unless all memory is back but for the keys'. */
void kv_talk_stop(struct kv_server *server);

/* Sends bytes, in random pieces unless 'splits' is NULL. What comes behind a request that ends the
 * connection is dropped. Fails the test when the server wants what there is no room for. */
void kv_talk_send(struct kv_talk *talk, const void *bytes, size_t len, struct random *splits);
/* Sends a line and returns the answers to it alone. */
const char *kv_talk_line(struct kv_talk *talk, const char *line);
void kv_talk_forget_answers(struct kv_talk *talk);

#endif
