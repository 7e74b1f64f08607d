/*
 * UNIX sockets from both sides for tests of the monitor, as tcp_guest.h has TCP. Sockets are made in the
 * scratch directory, which is granted. Uses Check.
 */
#ifndef FERRULE_TESTS_LIB_UNIX_GUEST_H
#define FERRULE_TESTS_LIB_UNIX_GUEST_H

#include <sys/types.h>

#include "protocol/unix.h"
#include "tests/lib/tcp_guest.h"

/* The guest of tcp_guest.h, with the scratch directory granted. */
void unix_guest_setup(void);
/* The same, and guest_end_start(&guest) is left to the caller. */
void unix_guest_prepare(void);
void unix_grant(const char *value);

/* Native sockets, with receives that time out after 5 s. '@' first: an abstract name. */
int native_unix_socket(uint32_t type);
/* What connect(2) and bind(2) say, 0 or an errno (positive). */
int native_unix_connect_to(int fd, const char *path);
int native_unix_bind_to(int fd, const char *path);
int native_unix_connect(const char *path, uint32_t type);
int native_unix_listen(const char *path, uint32_t type, int backlog);
/* A listener that accepts nobody and has no room left in its backlog; the connections that fill it go to ret_fds. */
int native_unix_listen_full(const char *path, int ret_fds[2]);
/* A file that a socket has left behind. */
void native_unix_leave_dead(const char *path);

/* The guest's calls: 0, or the errno (positive) with which it was refused. */
int unix_listen_at(struct guest_stream *stream, const char *path, uint32_t type, uint32_t flags, uint32_t mode);
int unix_connect_at(struct guest_stream *stream, const char *path, uint32_t type, uint32_t timeout_ms,
		struct unix_connected *ret_peer);
/* The same with a stream of their own, which is closed. */
int unix_listen_error(const char *path, uint32_t type);
int unix_connect_error(const char *path, uint32_t type);
/* The next answer on a listener; ret_incoming is set when it is a connection. */
struct frame unix_incoming_at(struct guest_stream *listener, struct unix_incoming *ret_incoming);
/* A connection of this type that a guest's listener at this path accepted: the native end. */
int unix_accepted_pair(struct guest_stream *listener, const char *path, uint32_t type, struct guest_stream *stream);
/* One that the guest made; the native end. */
int unix_connected_pair(struct guest_stream *stream, const char *path, uint32_t type);

void packet_put(struct guest_stream *stream, const void *bytes, size_t len);
/* The next packet: its bytes (at most room) in ret_bytes, how many there are, and *ret_length as it was sent. */
size_t packet_get(struct guest_stream *stream, void *ret_bytes, size_t room, uint32_t *ret_length);

/* Waits until there is no such file, 5 s at most. */
void expect_removed(const char *path);

#endif
