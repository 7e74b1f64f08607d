/*
 * reach: may the guest reach this? What is granted, and for a while what granted names led to: a guest that was
 * told an address of a name which it may connect to may connect to the address, as long as the answer lives.
 *
 * A name server may say what it likes: a name that was granted does not open this machine's own
 * addresses to the guest, nor its links, nor those by which clouds tell secrets. What /etc/hosts
 * and --add-host say is the user's own word.
 *
 * I/O thread only.
 */
#ifndef FERRULE_MONITOR_REACH_H
#define FERRULE_MONITOR_REACH_H

#include "monitor/grants.h"
#include "monitor/resolver.h"

#define REACH_LEASES       512u  /* addresses that are remembered; the one that ends first makes room */
#define REACH_LEASE_MIN_S  5u    /* however short an answer lives: it has to be used first */
#define REACH_LEASE_MAX_S  3600u
#define REACH_LEASE_HERE_S 60u   /* of what this machine says itself */

struct reach;

/* 'grants' stay until reach_destroy. 'clock_s': seconds that never go back; NULL: the kernel's. 0 or -ENOMEM. */
int reach_create(struct reach **ret_reach, const struct grants *grants, uint64_t (*clock_s)(void));
void reach_destroy(struct reach *reach);

/* An address and port, by its own grant or by that of a name that led to it. */
bool reach_may(const struct reach *reach, enum grant_use use, const struct endpoint *remote);

/*
 * Leaves of an answer the addresses that a guest may connect or send to on this port, having asked for a name of which
 * grants_name said 'name'; their number. Those that it may not have are logged and counted.
 */
unsigned reach_believe(const struct reach *reach, enum grant_use use, uint16_t port, enum grant_name name,
		struct resolver_answer *answer);

/* The same for whoever only asks (Resolve): what may be reached in some way. Nothing is logged. */
enum grant_name reach_name(const struct reach *reach, const char *host, size_t host_len);
unsigned reach_believe_some(const struct reach *reach, enum grant_name name, struct resolver_answer *answer);

/* The guest is told these addresses of the name, or connects to one: leases begin, where the name is granted. */
void reach_learn(struct reach *reach, const char *host, size_t host_len, const struct resolver_answer *answer);
/* How long a lease of these addresses lasts, in seconds. */
uint32_t reach_lifetime_s(const struct resolver_answer *answer);

#endif
