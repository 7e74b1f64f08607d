/*
 * kv_session: one connection, without its stream: requests in, answers out.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_SESSION_H
#define FERRULE_GUEST_PROGRAMS_KV_SESSION_H

#include "guest/programs/kv_commands.h"

/* The client has its 'peer' and 'local', and is zero otherwise. 'capacity' as kv_request_start has it. */
void kv_session_begin(struct kv_server *server, struct kv_client *client, size_t capacity);
/*
 * Runs the requests of 'len' bytes that are complete, as far as their answers have room, which is
 * client->reply's, all of it, and at least KV_REPLY_LEAST bytes; its pieces were sent. Returns how many
 * bytes are done with. *ret_want is how many have to be there behind those to go on. client->quit: there
 * is no more to run.
 */
size_t kv_session_run(struct kv_server *server, struct kv_client *client, const unsigned char *data, size_t len,
	size_t *ret_want);
/* Lets go of everything, answers that were not sent too. */
void kv_session_end(struct kv_server *server, struct kv_client *client);

#endif
