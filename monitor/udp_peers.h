/*
 * udp_peers: whom a socket that is not connected may send to, and hear. Remembers what reach_may said, which can
 * cost system calls, for about a second; and, of a socket that serves, who has sent to it, so that it can be answered.
 *
 * A bounded table: UDP_PEERS_WAYS places for each of many sets, in which the least recently used makes room. In which
 * set a peer lies depends on a secret, so that strangers cannot aim at the place of another.
 */
#ifndef FERRULE_MONITOR_UDP_PEERS_H
#define FERRULE_MONITOR_UDP_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/endpoint.h"

#define UDP_PEERS_WAYS     8u
#define UDP_PEERS_SERVER   512u  /* sets of a socket that serves: 160 KiB, and the number that PROTOCOL.md section 7.3 names */
#define UDP_PEERS_CLIENT   32u   /* of another, which remembers only what it need not ask again */
#define UDP_PEERS_HEARD_MS 180000u /* as long may a socket that serves answer */
#define UDP_PEERS_FRESH_MS 1000u /* as long is what reach_may said believed */

struct reach;
struct udp_peers;

/* serves: it hears from all. NULL: no memory. */
struct udp_peers *udp_peers_create(struct reach *reach, bool serves);
void udp_peers_destroy(struct udp_peers *peers);

/* Endpoints are plain (udp.h), 'now_ms' is of any clock that does not go back. */
bool udp_peers_may_send(struct udp_peers *peers, const struct endpoint *remote, uint64_t now_ms);
bool udp_peers_may_hear(struct udp_peers *peers, const struct endpoint *remote, uint64_t now_ms);

/* A clock for that, cheap. */
uint64_t udp_now_ms(void);

#endif
