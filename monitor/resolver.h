/*
 * resolver: names to addresses, on a thread of its own, so that nothing waits for a name server that is
 * silent. What this machine knows itself comes first (hosts.h). Then the name servers of --dns, or of
 * /etc/resolv.conf, are asked by c-ares, in their order, for IPv6 and IPv4 addresses at the same time, with the
 * search domains of resolv.conf. Each name has its own channel: its own ports, the file as it is now, and
 * nothing to wait for that another name waits for.
 *
 * The thread is started by the first question. All calls are the I/O thread's.
 */
#ifndef FERRULE_MONITOR_RESOLVER_H
#define FERRULE_MONITOR_RESOLVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/hosts.h"
#include "monitor/loop.h"
#include "protocol/endpoint.h"

#define RESOLVER_ADDRESSES 16u  /* of one answer that are kept */
#define RESOLVER_MOST      256u /* names that are asked for at a time: each needs a few descriptors */

struct resolver;

struct resolver_config {
	struct endpoint *server; /* of --dns, port 0: 53; none: those of resolv_conf */
	size_t server_count;
	struct host_entry *host; /* of --add-host */
	size_t host_count;
	const char *hosts_path;  /* NULL: HOSTS_PATH */
	const char *resolv_conf; /* NULL: /etc/resolv.conf */
};

enum resolver_family { RESOLVER_IPV6, RESOLVER_IPV4, RESOLVER_FAMILIES };

/* The addresses of one family. */
struct resolver_answer {
	/*
	 * 0 and at least one address; or a positive errno: EHOSTUNREACH there is no such name, or it has no address of
	 * that family; EAGAIN no name server had an answer in time, there is none, or there are RESOLVER_MOST
	 * names already; ENOMEM; ECANCELED by resolver_cancel.
	 */
	int error;
	unsigned count;
	struct endpoint address[RESOLVER_ADDRESSES]; /* port 0 */
	uint32_t ttl_s;  /* how long the shortest-lived of them is good, by the name server's word */
	bool known_here; /* this machine's own word, or the name is an address: no name server was believed */
	struct loop_message message; /* resolver.c's */
};

/* One question, part of the object that asks it; not reused before both answers came. */
struct resolver_query {
	/* On the I/O thread, once for each family, in any order. */
	void (*answered)(struct resolver_query *query, enum resolver_family family);
	char name[ENDPOINT_HOST_MAX + 1];
	struct resolver_answer answer[RESOLVER_FAMILIES];

	/* resolver.c's */
	struct resolver *resolver;
	struct resolver_query *next;
	atomic_bool cancelled;
};

typedef void resolver_post(void *target, struct loop_message *message);

/* 'config' and what it points to stay until resolver_destroy. 0 or a negative errno. */
int resolver_create(struct resolver **ret_resolver, const struct resolver_config *config,
		resolver_post *post, void *target);
/* No answer may be outstanding. */
void resolver_destroy(struct resolver *resolver);
void resolver_ask(struct resolver *resolver, struct resolver_query *query);
/* What has not been answered yet is soon, with ECANCELED as a rule. */
void resolver_cancel(struct resolver *resolver, struct resolver_query *query);
/* The same for every question, and for each that is asked from now on. */
void resolver_cancel_all(struct resolver *resolver);
/* Answers that are still to come. */
unsigned resolver_outstanding(const struct resolver *resolver);

#endif
