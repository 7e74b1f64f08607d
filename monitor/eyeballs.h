/*
 * eyeballs: in which order the addresses of a name are tried (RFC 8305, happy eyeballs); when, tcp_connect.c
 * decides. IPv6 and IPv4 in turn, IPv6 first, each family in the order of its answer; what has been
 * tried already stays tried when an answer comes late. Arithmetic alone: no clock, no socket.
 */
#ifndef FERRULE_MONITOR_EYEBALLS_H
#define FERRULE_MONITOR_EYEBALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/tcp.h"

#define EYEBALLS_MOST       8u         /* addresses of one name that are tried */
#define EYEBALLS_LOOKUP_NS  50000000u  /* that an answer for IPv4 waits for the one for IPv6 (RFC 8305, 3) */
#define EYEBALLS_ATTEMPT_NS 250000000u /* that one attempt has before the next begins beside it (RFC 8305, 5) */

struct eyeballs {
	struct endpoint address[EYEBALLS_MOST]; /* those before 'next' have been tried */
	unsigned count, next;
};

/*
 * Takes in the answer for one family: 'count' addresses of it, of which as many as there is room for
 * are kept. At most half of EYEBALLS_MOST of either, unless the other has fewer.
 */
void eyeballs_add(struct eyeballs *eyeballs, const struct endpoint *address, unsigned count);
/* The next to try; NULL: none is left, or none known. */
const struct endpoint *eyeballs_take(struct eyeballs *eyeballs);

#endif
