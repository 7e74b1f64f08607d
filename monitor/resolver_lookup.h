/*
 * resolver_lookup: names that name servers are asked for, by c-ares and the events of the resolver's thread, whose
 * own they are. Private to resolver.c.
 */
#ifndef FERRULE_MONITOR_RESOLVER_LOOKUP_H
#define FERRULE_MONITOR_RESOLVER_LOOKUP_H

#include <stdbool.h>

#include "monitor/resolver.h"

struct event_base;
struct lookup;

/* The lookups of one thread, none of them over. */
struct lookup_table {
	struct event_base *base;
	const struct resolver_config *config;
	struct lookup *first;
	unsigned count; /* RESOLVER_MOST at most */
};

/*
 * Begins one: both answers to 'query' are given, now or later. 'absolute': no search domain is tried. 0 or a
 * positive errno: then nothing has begun.
 */
int lookup_start(struct lookup_table *table, struct resolver_query *query, const char *name, bool absolute);
/* Gives ECANCELED to those that were cancelled, or to all. */
void lookup_drop_cancelled(struct lookup_table *table, bool all);

/* resolver.c's: this answer is the I/O thread's from here on, and with the second one the query. */
void resolver_give(struct resolver_query *query, enum resolver_family family, int error);

#endif
