/*
 * service: what the small servers have in common: an address, a listener, and
 * a function that serves one connection.
 */
#ifndef FERRULE_GUEST_PROGRAMS_SERVICE_H
#define FERRULE_GUEST_PROGRAMS_SERVICE_H

#include "guest/ferrule.h"

/* Listens and serves for good; returns the exit status when that fails, after a message that begins
 * with the program's name. */
int service_run(const char *name, const char *address,
	void (*serve)(struct stream *stream, const struct tcp_endpoint *peer, void *argument),
	void *argument);

#endif
