/*
 * TCP from both sides for tests of the monitor: the guest's calls on the bridge of guest_end.h,
 * and the native sockets at its other end. Uses Check.
 */
#ifndef FERRULE_TESTS_LIB_TCP_GUEST_H
#define FERRULE_TESTS_LIB_TCP_GUEST_H

#include "protocol/tcp.h"
#include "tests/lib/guest_end.h"

#define RING 65536u /* bytes of each ring of new_stream */

/* The one guest of a test. setup grants listening and connecting on 127.0.0.1 and to localhost. */
extern struct guest_end guest;
void tcp_guest_setup(void);
/* The same, and guest_end_start(&guest) is left to the caller. */
void tcp_guest_prepare(void);
void tcp_guest_teardown(void);

struct endpoint loopback(uint16_t port);
struct guest_stream new_stream(void);

/* Native sockets; receives time out after 5 s. */
int native_connect(uint16_t port);
int native_listen(uint16_t *ret_port);

/* A listener on a port of the system's choice; the port. */
uint16_t listen_on(struct guest_stream *listener);
void post(struct guest_stream *listener, const struct guest_stream *stream);
/* The next answer on a listener; ret_incoming is set when it is a connection. */
struct frame incoming(struct guest_stream *listener, struct tcp_incoming *ret_incoming);
long read_some(struct guest_stream *stream, void *ret_bytes, size_t len);
void write_all(struct guest_stream *stream, const void *bytes, size_t len);
void finish(struct guest_stream *stream);
/* An accepted connection: the native end is returned. */
int connected_pair(struct guest_stream *listener, struct guest_stream *stream);
/* The same by a listener that there is, on this port. */
int another_pair(struct guest_stream *listener, uint16_t port, struct guest_stream *stream);

#endif
