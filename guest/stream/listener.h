/*
 * listener: what listeners of all protocols share: the accepts that lie with the monitor, and
 * the loop that serves connections. listener_local and listener_close are declared in
 * guest/ferrule.h.
 */
#ifndef FERRULE_GUEST_STREAM_LISTENER_H
#define FERRULE_GUEST_STREAM_LISTENER_H

#include "control/wire.h"
#include "guest/ferrule.h"

struct listener_kind {
	enum protocol_number protocol;
	const struct wire_message *listen;    /* payload of Open */
	const struct wire_message *listening; /* payload of Opened; NULL: none */
	const struct wire_message *incoming;  /* what answers an accept, of the union below */
};

union listener_incoming {
	uint64_t stream_id; /* the first field of each */
	struct tcp_incoming tcp;
	struct unix_incoming local;
};

/* 0, or an errno. */
int listener_open(const struct listener_kind *kind, const void *listen, void *ret_listening,
	struct listener **ret_listener, deadline until);
void listener_set_local(struct listener *listener, const struct endpoint *local);
/* The next connection: 0 or an errno; -EINVAL: the listener is of another kind. */
int listener_accept(struct listener *listener, const struct listener_kind *kind,
	struct stream **ret_stream, union listener_incoming *ret_incoming, deadline until);

/* For wait_any: readable when a connection has come. Sees to it that one can; that may wait for the control pipe's room. */
struct stream *listener_watch(struct listener *listener, deadline until);
/* No connection can come: the monitor gave no stream for one yet, and may have none. To be watched anew after a while. */
bool listener_starves(const struct listener *listener);

/* What a fiber does with a connection: begin(), which calls the program's function. */
struct listener_serving {
	void (*begin)(struct stream *stream, const union listener_incoming *incoming,
		const struct listener_serving *serving);
	union {
		void (*tcp)(struct stream *stream, const struct endpoint *peer, void *argument);
		void (*local)(
			struct stream *stream, const struct unix_peer *peer, void *argument);
	} serve;
	void *argument;
};

/* Accepts, and gives each connection a fiber that closes its stream at the end. Returns only with
 * an errno of the listener. */
int listener_serve(struct listener *listener, const struct listener_kind *kind,
	const struct listener_serving *serving);

#endif
