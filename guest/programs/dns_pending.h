/*
 * dns_pending: queries that have been sent on and not been answered, by the id that they were given, and in the order in which
 * something is to be done about them: each was sent the same time before that.
 */
#ifndef FERRULE_GUEST_PROGRAMS_DNS_PENDING_H
#define FERRULE_GUEST_PROGRAMS_DNS_PENDING_H

#include "guest/ferrule.h"

#define DNS_PENDING_MOST 8192u

struct dns_pending {
	unsigned char *query; /* as it came, but for the id, which is ours */
	size_t len, end;      /* of it, and of its question */
	uint16_t id, client_id;
	struct endpoint client, local; /* who asked, and at which address */
	unsigned upstream;    /* that it was sent to last */
	uint64_t begun, sent; /* clock_now() */
	struct dns_pending *next, *prev; /* sent later, sent earlier */
};

/* A copy of this query under a new id, which no one can foresee; it is to be sent now. NULL: there are too many, or no memory. */
struct dns_pending *dns_pending_add(const unsigned char *query, size_t len, size_t end);
struct dns_pending *dns_pending_find(uint16_t id);
/* It was sent once more, now: it is the last. */
void dns_pending_sent(struct dns_pending *pending);
void dns_pending_remove(struct dns_pending *pending);
/* The one that was sent first; NULL: there is none. */
struct dns_pending *dns_pending_first(void);

#endif
