/*
 * service: what the small servers have in common: an address, a listener, and
 * a function that serves one connection.
 */
#ifndef FERRULE_GUEST_PROGRAMS_SERVICE_H
#define FERRULE_GUEST_PROGRAMS_SERVICE_H

#include "guest/ferrule.h"

struct service {
	const char *name;
	const char *does;    /* one sentence for --help */
	const char *address; /* where it listens unless it is told otherwise */
	void (*serve)(struct stream *stream, void *argument);
};

/* The main of "NAME [ADDR:PORT|unix:PATH]". */
int service_main(int argc, char **argv, const struct service *service);

/* Listens at ADDR:PORT or unix:PATH, where a dead server's socket is replaced, and serves for good; returns the exit status when that fails, after a message that begins
 * with the program's name. */
int service_run(const struct service *service, const char *address, void *argument);

/*
 * Ends our side and reads on for so many milliseconds, or to the end: a connection
 * that is closed while bytes of the client are unread is reset, and the client may lose the answer.
 */
void service_linger(struct stream *stream, uint64_t ms);

#endif
