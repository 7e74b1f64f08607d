#include "monitor/resolver_lookup.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define DNS_PORT 53
#define TIMEOUT_MS                                                                                 \
	5000 /* of one question to one server, doubled when all were asked: as the C library */
#define TRIES       2    /* of each server */
#define SOCKETS_MAX 8    /* of one channel */
#define NAME_ROOM   1024 /* bytes: a name and a search domain */
#define DESCRIPTORS 8    /* that are to be free before a lookup begins */

struct lookup {
	struct lookup_table *table;
	struct lookup *next;
	struct resolver_query *query; /* the I/O thread's once both answers were given */
	char name[ENDPOINT_HOST_MAX + 1];
	bool absolute; /* a dot stood behind it: no search domain is tried */
	struct event *timer;
	struct ares_options options; /* domains, ndots: of resolv.conf */
	int candidate;               /* which name is asked for now: candidate_name */
	bool failed;                 /* a server did, for one of them */
	/* Each has a channel: a socket tells only one of two questions that nobody listens there.
	 */
	struct question {
		struct lookup *lookup;
		enum resolver_family family;
		ares_channel channel;
		struct {
			int fd;
			struct event *event; /* NULL: free */
		} sockets[SOCKETS_MAX];
		bool waits; /* for its reply */
		bool given; /* its answer */
		int status; /* of its last reply, ARES_... */
	} question[RESOLVER_FAMILIES];
};

static void lookup_give(struct lookup *lookup, enum resolver_family family, int error)
{
	if (lookup->question[family].given)
		return;
	lookup->question[family].given = true;
	resolver_give(lookup->query, family, error);
}

static bool lookup_over(const struct lookup *lookup)
{
	return lookup->question[RESOLVER_IPV6].given && lookup->question[RESOLVER_IPV4].given;
}

/* ---- replies */

/* Neither a name nor an address: the next search domain may know one. */
static bool is_nothing(int status)
{
	return status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME;
}

/* More of the same would come of asking for another name. */
static bool ends_search(int status)
{
	return status == ARES_SUCCESS || status == ARES_ETIMEOUT || status == ARES_ENOMEM;
}

static int status_error(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_EBADNAME: /* a part of it has more than 63 bytes, or none */
		return EHOSTUNREACH;
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		return ECANCELED;
	case ARES_ENOMEM:
		return ENOMEM;
	default:
		return EAGAIN;
	}
}

static void note_ttl(struct resolver_answer *answer, int ttl_s)
{
	uint32_t life = ttl_s > 0 ? (uint32_t)ttl_s : 0;

	if (answer->count == 1 || life < answer->ttl_s)
		answer->ttl_s = life;
}

static int parse_ipv6(const unsigned char *bytes, int len, struct resolver_answer *answer)
{
	struct ares_addr6ttl found[RESOLVER_ADDRESSES];
	int count = RESOLVER_ADDRESSES;
	int status = ares_parse_aaaa_reply(bytes, len, NULL, found, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
		struct endpoint *to = &answer->address[answer->count++];

		*to = (struct endpoint){.family = ENDPOINT_IPV6};
		memcpy(to->addr, &found[i].ip6addr, 16);
		note_ttl(answer, found[i].ttl);
	}
	return status;
}

static int parse_ipv4(const unsigned char *bytes, int len, struct resolver_answer *answer)
{
	struct ares_addrttl found[RESOLVER_ADDRESSES];
	int count = RESOLVER_ADDRESSES;
	int status = ares_parse_a_reply(bytes, len, NULL, found, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
		struct endpoint *to = &answer->address[answer->count++];

		*to = (struct endpoint){.family = ENDPOINT_IPV4};
		memcpy(to->addr, &found[i].ipaddr, 4);
		note_ttl(answer, found[i].ttl);
	}
	return status;
}

static void lookup_ask(struct lookup *lookup);
static bool candidate_name(const struct lookup *lookup, int n, char name[NAME_ROOM]);

/* The next candidate, if there is one. */
static bool go_on(struct lookup *lookup)
{
	char name[NAME_ROOM];

	if (!candidate_name(lookup, lookup->candidate + 1, name))
		return false;
	lookup->candidate++;
	lookup_ask(lookup);
	return true;
}

/*
 * Both replies for one candidate are there, and at least one answer is still to be given. A domain
 * whose server fails ends the search no more than one that does not know the name; that it failed
 * is remembered.
 */
static void conclude(struct lookup *lookup)
{
	int ipv6 = lookup->question[RESOLVER_IPV6].status;
	int ipv4 = lookup->question[RESOLVER_IPV4].status;

	if (!ends_search(ipv6) && !ends_search(ipv4)) {
		lookup->failed |= !is_nothing(ipv6) || !is_nothing(ipv4);
		if (go_on(lookup))
			return;
		if (lookup->failed)
			ipv6 = ipv4 = ARES_ESERVFAIL;
	}
	lookup_give(lookup, RESOLVER_IPV6, status_error(ipv6));
	lookup_give(lookup, RESOLVER_IPV4, status_error(ipv4));
}

static void reply_came(void *context, int status, int timeouts, unsigned char *bytes, int len)
{
	struct question *question = context;
	struct lookup *lookup = question->lookup;

	(void)timeouts;
	question->waits = false;
	if (status == ARES_EDESTRUCTION || question->given)
		return;
	struct resolver_answer *answer = &lookup->query->answer[question->family];
	answer->count = 0;
	if (status == ARES_SUCCESS)
		status = question->family == RESOLVER_IPV6 ? parse_ipv6(bytes, len, answer)
							   : parse_ipv4(bytes, len, answer);
	if (status == ARES_SUCCESS && answer->count == 0)
		status = ARES_ENODATA;
	question->status = status;
	if (status == ARES_SUCCESS)
		lookup_give(lookup, question->family, 0);
	if (!lookup->question[RESOLVER_IPV6].waits && !lookup->question[RESOLVER_IPV4].waits &&
		!lookup_over(lookup))
		conclude(lookup);
}

/* ---- which names are asked for */

static int dots(const char *name)
{
	int count = 0;

	for (; *name != '\0'; name++)
		count += *name == '.';
	return count;
}

/* The n-th of: the name as it is and in each search domain; last, when it has few dots. False: no
 * more. */
static bool candidate_name(const struct lookup *lookup, int n, char name[NAME_ROOM])
{
	int domains = lookup->absolute ? 0 : lookup->options.ndomains;
	int as_it_is = dots(lookup->name) >= lookup->options.ndots ? 0 : domains;

	if (n > domains)
		return false;
	if (n == as_it_is)
		snprintf(name, NAME_ROOM, "%s", lookup->name);
	else
		snprintf(name, NAME_ROOM, "%s.%s", lookup->name,
			lookup->options.domains[n < as_it_is ? n : n - 1]);
	return true;
}

static void lookup_ask(struct lookup *lookup)
{
	static const int types[] = {[RESOLVER_IPV6] = ns_t_aaaa, [RESOLVER_IPV4] = ns_t_a};
	char name[NAME_ROOM];

	candidate_name(lookup, lookup->candidate, name);
	/* First all of them: a reply may come from within the call. */
	for (int family = 0; family < RESOLVER_FAMILIES; family++)
		lookup->question[family].waits = true;
	for (int family = 0; family < RESOLVER_FAMILIES; family++)
		ares_query(lookup->question[family].channel, name, ns_c_in, types[family],
			reply_came, &lookup->question[family]);
}

/* ---- one lookup's channel */

static void lookup_free(struct lookup *lookup)
{
	struct lookup **link = &lookup->table->first;

	while (*link != NULL && *link != lookup)
		link = &(*link)->next;
	if (*link == lookup) {
		*link = lookup->next;
		lookup->table->count--;
	}
	for (int family = 0; family < RESOLVER_FAMILIES; family++) {
		struct question *question = &lookup->question[family];

		if (question->channel != NULL)
			ares_destroy(question->channel);
		for (int i = 0; i < SOCKETS_MAX; i++)
			if (question->sockets[i].event != NULL)
				event_free(question->sockets[i].event);
	}
	if (lookup->timer != NULL)
		event_free(lookup->timer);
	ares_destroy_options(&lookup->options);
	free(lookup);
}

/* After whatever c-ares did: waits for what comes next, or is done. */
static void lookup_settle(struct lookup *lookup)
{
	struct timeval most = {.tv_sec = TIMEOUT_MS / 1000}, next[RESOLVER_FAMILIES],
		       *soonest = &most;

	if (lookup_over(lookup)) {
		lookup_free(lookup);
		return;
	}
	for (int family = 0; family < RESOLVER_FAMILIES; family++)
		soonest = ares_timeout(lookup->question[family].channel, soonest, &next[family]);
	evtimer_add(lookup->timer, soonest);
}

static void time_came(evutil_socket_t fd, short what, void *context)
{
	struct lookup *lookup = context;

	(void)fd, (void)what;
	for (int family = 0; family < RESOLVER_FAMILIES; family++)
		ares_process_fd(lookup->question[family].channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	lookup_settle(lookup);
}

static void socket_came(evutil_socket_t fd, short what, void *context)
{
	struct question *question = context;

	ares_process_fd(question->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
		what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	lookup_settle(question->lookup);
}

/* What c-ares waits for on one of its sockets, from now on. A socket without a place is left to its
 * timeout. */
static void socket_wanted(void *context, ares_socket_t fd, int readable, int writable)
{
	struct question *question = context;
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST);
	int place = -1;

	for (int i = 0; i < SOCKETS_MAX; i++) {
		if (question->sockets[i].event == NULL) {
			place = place < 0 ? i : place;
			continue;
		}
		if (question->sockets[i].fd != fd)
			continue;
		event_free(question->sockets[i].event);
		question->sockets[i].event = NULL;
		place = i;
		break;
	}
	if (place < 0 || (!readable && !writable))
		return;
	question->sockets[place].fd = fd;
	question->sockets[place].event =
		event_new(question->lookup->table->base, fd, what, socket_came, question);
	if (question->sockets[place].event != NULL)
		event_add(question->sockets[place].event, NULL);
}

static int set_servers(ares_channel channel, const struct resolver_config *config)
{
	struct ares_addr_port_node *list = calloc(config->server_count, sizeof(*list));

	if (list == NULL)
		return ARES_ENOMEM;
	for (size_t i = 0; i < config->server_count; i++) {
		const struct endpoint *server = &config->server[i];
		int port = server->port != 0 ? server->port : DNS_PORT;

		list[i].next = i + 1 < config->server_count ? &list[i + 1] : NULL;
		list[i].family = server->family == ENDPOINT_IPV4 ? AF_INET : AF_INET6;
		memcpy(&list[i].addr, server->addr, server->family == ENDPOINT_IPV4 ? 4 : 16);
		list[i].udp_port = list[i].tcp_port = port;
	}
	int status = ares_set_servers_ports(channel, list);
	free(list);
	return status;
}

static int make_channel(struct question *question, const struct resolver_config *config)
{
	struct ares_options options = {.flags = ARES_FLAG_EDNS,
		.timeout = TIMEOUT_MS,
		.tries = TRIES,
		.sock_state_cb = socket_wanted,
		.sock_state_cb_data = question,
		.resolvconf_path = (char *)(uintptr_t)config->resolv_conf};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
		   ARES_OPT_NOROTATE | (config->resolv_conf != NULL ? ARES_OPT_RESOLVCONF : 0);
	int status = ares_init_options(&question->channel, &options, mask);

	if (status != ARES_SUCCESS)
		question->channel = NULL;
	else if (config->server_count > 0)
		status = set_servers(question->channel, config);
	return status;
}

static int make_channels(struct lookup *lookup)
{
	int status = ARES_SUCCESS, saved;

	for (int family = 0; status == ARES_SUCCESS && family < RESOLVER_FAMILIES; family++)
		status = make_channel(&lookup->question[family], lookup->table->config);
	if (status == ARES_SUCCESS)
		status = ares_save_options(
			lookup->question[RESOLVER_IPV6].channel, &lookup->options, &saved);
	return status;
}

/* Without any, c-ares would read neither resolv.conf nor random numbers, and say nothing of it. */
static bool has_descriptors(void)
{
	int fd[DESCRIPTORS];
	bool has = true;

	for (int i = 0; i < DESCRIPTORS; i++) {
		fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		has = has && fd[i] >= 0;
	}
	for (int i = 0; i < DESCRIPTORS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return has;
}

int lookup_start(
	struct lookup_table *table, struct resolver_query *query, const char *name, bool absolute)
{
	if (table->count >= RESOLVER_MOST || !has_descriptors())
		return EAGAIN;
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	if (lookup == NULL)
		return ENOMEM;
	lookup->table = table;
	lookup->query = query;
	lookup->absolute = absolute;
	strcpy(lookup->name, name);
	for (int family = 0; family < RESOLVER_FAMILIES; family++)
		lookup->question[family] = (struct question){.lookup = lookup, .family = family};
	lookup->timer = evtimer_new(table->base, time_came, lookup);
	int status = lookup->timer != NULL ? make_channels(lookup) : ARES_ENOMEM;
	if (status != ARES_SUCCESS) {
		lookup_free(lookup);
		return status == ARES_ENOMEM ? ENOMEM : EAGAIN;
	}
	lookup->next = table->first;
	table->first = lookup;
	table->count++;
	lookup_ask(lookup);
	lookup_settle(lookup);
	return 0;
}

void lookup_drop_cancelled(struct lookup_table *table, bool all)
{
	struct lookup *next;

	for (struct lookup *lookup = table->first; lookup != NULL; lookup = next) {
		next = lookup->next;
		/* It is not over, so the query is there. */
		if (!all && !atomic_load(&lookup->query->cancelled))
			continue;
		lookup_give(lookup, RESOLVER_IPV6, ECANCELED);
		lookup_give(lookup, RESOLVER_IPV4, ECANCELED);
		lookup_free(lookup);
	}
}
