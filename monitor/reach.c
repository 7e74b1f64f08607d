#include "monitor/reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monitor/address.h"
#include "monitor/target.h"

static const enum grant_use outgoing[] = {GRANT_TCP_CONNECT, GRANT_UDP_SEND};
#define OUTGOING (sizeof(outgoing) / sizeof(outgoing[0]))

struct lease {
	const struct grant_net *grant; /* of the name; NULL: the lease is free */
	enum grant_use use;
	struct endpoint address;
	uint64_t end_s;
};

struct reach {
	const struct grants *grants;
	uint64_t (*clock_s)(void);
	struct lease lease[REACH_LEASES];
};

static uint64_t monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

int reach_create(struct reach **ret_reach, const struct grants *grants, uint64_t (*clock_s)(void))
{
	struct reach *reach = calloc(1, sizeof(*reach));

	if (reach == NULL)
		return -ENOMEM;
	reach->grants = grants;
	reach->clock_s = clock_s != NULL ? clock_s : monotonic_s;
	*ret_reach = reach;
	return 0;
}

void reach_destroy(struct reach *reach)
{
	free(reach);
}

static bool same_address(const struct endpoint *a, const struct endpoint *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, sizeof(a->addr)) == 0 &&
	       (a->scope == 0 || a->scope == b->scope);
}

static bool lease_covers(
	const struct lease *lease, enum grant_use use, const struct endpoint *remote)
{
	return lease->grant != NULL && lease->use == use &&
	       remote->port >= lease->grant->port_first &&
	       remote->port <= lease->grant->port_last && same_address(&lease->address, remote);
}

bool reach_may(const struct reach *reach, enum grant_use use, const struct endpoint *remote)
{
	struct endpoint plain = address_without_mapping(remote);
	uint64_t now = reach->clock_s();

	if (grants_cover(reach->grants, use, &plain))
		return true;
	for (unsigned i = 0; i < REACH_LEASES; i++)
		if (lease_covers(&reach->lease[i], use, &plain) && now < reach->lease[i].end_s)
			return true;
	return false;
}

/* ---- answers */

/* Or to where only who means it is to come. */
static bool leads_here(const struct endpoint *address)
{
	return address_is_special(address) || address_is_own(address);
}

static bool believable(
	enum grant_name name, const struct resolver_answer *answer, const struct endpoint *address)
{
	return name == GRANT_NAME_GIVEN && (answer->known_here || !leads_here(address));
}

unsigned reach_believe(const struct reach *reach, enum grant_use use, uint16_t port,
	enum grant_name name, struct resolver_answer *answer)
{
	bool tcp = use == GRANT_TCP_CONNECT;
	unsigned kept = 0;

	for (unsigned i = 0; i < answer->count; i++) {
		struct endpoint remote = answer->address[i];

		remote.port = port;
		if (believable(name, answer, &remote) || reach_may(reach, use, &remote))
			answer->address[kept++] = answer->address[i];
		else
			target_refused(&(struct target){.remote = remote},
				tcp ? "--connect" : "--udp", tcp ? "" : ":connect");
	}
	answer->count = kept;
	return kept;
}

enum grant_name reach_name(const struct reach *reach, const char *host, size_t host_len)
{
	enum grant_name best = GRANT_NAME_REFUSED;

	for (size_t i = 0; i < OUTGOING; i++) {
		enum grant_name name =
			grants_name_some_port(reach->grants, outgoing[i], host, host_len);

		if (name > best)
			best = name;
	}
	return best;
}

unsigned reach_believe_some(
	const struct reach *reach, enum grant_name name, struct resolver_answer *answer)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < answer->count; i++) {
		const struct endpoint *address = &answer->address[i];
		bool keep = believable(name, answer, address);

		for (size_t use = 0; !keep && use < OUTGOING; use++)
			keep = grants_cover_some_port(reach->grants, outgoing[use], address);
		if (keep)
			answer->address[kept++] = answer->address[i];
	}
	answer->count = kept;
	return kept;
}

/* ---- leases */

/* The lease that is this one already, or is to be replaced. */
static struct lease *find_place(
	struct reach *reach, const struct grant_net *grant, const struct endpoint *address)
{
	struct lease *first = &reach->lease[0];

	for (unsigned i = 0; i < REACH_LEASES; i++) {
		struct lease *lease = &reach->lease[i];

		if (lease->grant == grant && same_address(&lease->address, address))
			return lease;
		if (lease->end_s < first->end_s)
			first = lease;
	}
	return first;
}

static void learn_address(struct reach *reach, enum grant_use use, const struct grant_net *grant,
	const struct endpoint *address, uint64_t end_s)
{
	struct lease *lease = find_place(reach, grant, address);
	bool longer = lease->grant == grant && same_address(&lease->address, address) &&
		      lease->end_s > end_s;

	*lease = (struct lease){grant, use, *address, longer ? lease->end_s : end_s};
}

uint32_t reach_lifetime_s(const struct resolver_answer *answer)
{
	if (answer->known_here)
		return REACH_LEASE_HERE_S;
	if (answer->ttl_s < REACH_LEASE_MIN_S)
		return REACH_LEASE_MIN_S;
	return answer->ttl_s < REACH_LEASE_MAX_S ? answer->ttl_s : REACH_LEASE_MAX_S;
}

void reach_learn(struct reach *reach, const char *host, size_t host_len,
	const struct resolver_answer *answer)
{
	uint64_t end_s = reach->clock_s() + 1 +
			 reach_lifetime_s(answer); /* of this second some has passed */

	for (size_t use = 0; use < OUTGOING; use++) {
		const struct grant_list *list = &reach->grants->net[outgoing[use]];

		for (size_t i = 0; i < list->count; i++) {
			if (!grant_matches(&list->grant[i], host, host_len))
				continue;
			for (unsigned a = 0; a < answer->count; a++)
				if (believable(GRANT_NAME_GIVEN, answer, &answer->address[a]))
					learn_address(reach, outgoing[use], &list->grant[i],
						&answer->address[a], end_s);
		}
	}
}
