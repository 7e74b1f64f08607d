/*
 * peer: a native server inside a test, of TCP or of a UNIX socket, for guests that connect out.
 * Each connection is served on a thread of its own.
 */
#ifndef FERRULE_TESTS_LIB_PEER_H
#define FERRULE_TESTS_LIB_PEER_H

#include <pthread.h>
#include <stdint.h>

struct peer {
	uint16_t port; /* on 127.0.0.1; 0: a UNIX socket */
	int listen_fd;
	pthread_t thread;
	/* Closes the connection when it is done with it. */
	void (*serve)(int connection, void *argument);
	void *argument;
};

/* Set serve and argument before. */
void peer_start(struct peer *peer);
/* The same at a path, of SOCK_STREAM or SOCK_SEQPACKET. */
void peer_start_unix(struct peer *peer, const char *path, int type);
/* No new connections; those that are there go on. */
void peer_stop(struct peer *peer);

/* A serve function: sends back what comes, then ends and closes as the client does. */
void peer_echo(int connection, void *argument);

#endif
