#include "monitor/udp_peers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "monitor/reach.h"

struct peer {
	struct endpoint remote; /* family ENDPOINT_NAME: the place is free */
	uint64_t asked_ms;
	uint64_t heard_ms;
	uint32_t used; /* the tick of its last use; after 2^32 of them the order is lost for a while
			*/
	bool heard;    /* it has sent to a socket that serves */
	bool may;      /* what reach_may said ... */
	bool asked;    /* ... if it was asked, at asked_ms */
};

struct udp_peers {
	const struct reach *reach;
	bool serves;
	uint64_t secret;
	uint32_t tick;
	unsigned sets;
	struct peer peer[]; /* [sets * UDP_PEERS_WAYS] */
};

uint64_t udp_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

struct udp_peers *udp_peers_create(struct reach *reach, bool serves)
{
	unsigned sets = serves ? UDP_PEERS_SERVER : UDP_PEERS_CLIENT;
	struct udp_peers *peers =
		calloc(1, sizeof(*peers) + sets * UDP_PEERS_WAYS * sizeof(struct peer));

	if (peers == NULL)
		return NULL;
	peers->sets = sets;
	peers->reach = reach;
	peers->serves = serves;
	/* Before the kernel has randomness, which is long before this, it is 0: worse, not wrong.
	 */
	if (getrandom(&peers->secret, sizeof(peers->secret), GRND_NONBLOCK) < 0)
		peers->secret = 0;
	return peers;
}

void udp_peers_destroy(struct udp_peers *peers)
{
	free(peers);
}

/* Mixes each word in by a multiplication whose upper half comes down again. */
static struct peer *set_of(struct udp_peers *peers, const struct endpoint *remote)
{
	uint64_t word[sizeof(*remote) / sizeof(uint64_t)];
	uint64_t hash = peers->secret;

	_Static_assert(sizeof(word) == sizeof(*remote), "all of an endpoint");
	memcpy(word, remote, sizeof(word));
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		unsigned __int128 product = (unsigned __int128)(hash ^ word[i]) *
					    (0x9e3779b97f4a7c15u ^ peers->secret << 1);
		hash = (uint64_t)product ^ (uint64_t)(product >> 64);
	}
	return &peers->peer[hash % peers->sets * UDP_PEERS_WAYS];
}

/* This peer's place; it is taken from the least recently used one if need be. */
static struct peer *find(struct udp_peers *peers, const struct endpoint *remote)
{
	struct peer *set = set_of(peers, remote), *oldest = set;

	for (unsigned i = 0; i < UDP_PEERS_WAYS; i++) {
		if (memcmp(&set[i].remote, remote, sizeof(*remote)) == 0) {
			set[i].used = ++peers->tick;
			return &set[i];
		}
		if (set[i].used < oldest->used)
			oldest = &set[i];
	}
	*oldest = (struct peer){.remote = *remote, .used = ++peers->tick};
	return oldest;
}

static bool reaches(struct udp_peers *peers, struct peer *peer, uint64_t now_ms)
{
	if (!peer->asked || now_ms - peer->asked_ms >= UDP_PEERS_FRESH_MS) {
		peer->may = reach_may(peers->reach, GRANT_UDP_SEND, &peer->remote);
		peer->asked = true;
		peer->asked_ms = now_ms;
	}
	return peer->may;
}

bool udp_peers_may_send(struct udp_peers *peers, const struct endpoint *remote, uint64_t now_ms)
{
	struct peer *peer = find(peers, remote);

	bool heard = peer->heard && now_ms - peer->heard_ms < UDP_PEERS_HEARD_MS;

	return heard || reaches(peers, peer, now_ms);
}

bool udp_peers_may_hear(struct udp_peers *peers, const struct endpoint *remote, uint64_t now_ms)
{
	struct peer *peer = find(peers, remote);

	if (!peers->serves)
		return reaches(peers, peer, now_ms);
	peer->heard = true;
	peer->heard_ms = now_ms;
	return true;
}
