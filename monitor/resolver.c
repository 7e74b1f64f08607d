#include "monitor/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/stats.h"
#include "monitor/thread.h"

#define DNS_PORT 53
#define TIMEOUT_MS                                                                                 \
	5000 /* of one question to one server, doubled when all were asked: as the C library */
#define TRIES       2    /* of each server */
#define SOCKETS_MAX 8    /* of one channel */
#define NAME_ROOM   1024 /* bytes: a name and a search domain */
#define DESCRIPTORS 8    /* that are to be free before a lookup begins */
#define BATCH       16   /* questions begun before events are looked at again */

struct resolver {
	const struct resolver_config *config;
	resolver_post *post;
	void *target;
	unsigned outstanding; /* I/O thread only, as 'started' */
	bool started;
	pthread_t thread;

	pthread_mutex_t lock; /* of these */
	struct resolver_query *first;
	struct resolver_query **last;
	bool cancelling, ending;

	/* the thread's own */
	int wake_fd; /* eventfd: there is something to look at */
	struct event_base *base;
	struct event *wake;
	struct lookup *lookups;
	unsigned lookup_count;
};

/* A name that name servers are asked for. The thread's own. */
struct lookup {
	struct resolver *resolver;
	struct lookup *next;
	struct resolver_query *query; /* the I/O thread's once both answers were given */
	char name[TCP_HOST_MAX + 1];
	bool absolute; /* a dot stood behind it: no search domain is tried */
	struct event *timer;
	char **domains; /* of resolv.conf, of options */
	int domain_count, ndots;
	struct ares_options options;
	int candidate; /* which name is asked for now: candidate_name */
	bool failed;   /* a server did, for one of them */
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

/* ---- answers */

static void answer_returned(struct resolver_query *query, enum resolver_family family)
{
	query->resolver->outstanding--;
	query->answered(query, family);
}

static void ipv6_returned(struct loop_message *message)
{
	answer_returned(io_container(message, struct resolver_query, answer[RESOLVER_IPV6].message),
		RESOLVER_IPV6);
}

static void ipv4_returned(struct loop_message *message)
{
	answer_returned(io_container(message, struct resolver_query, answer[RESOLVER_IPV4].message),
		RESOLVER_IPV4);
}

/* This answer is the I/O thread's from here on, and with the second one the query. */
static void give(struct resolver *resolver, struct resolver_query *query,
	enum resolver_family family, int error)
{
	struct resolver_answer *answer = &query->answer[family];

	answer->error = error;
	answer->message.run = family == RESOLVER_IPV6 ? ipv6_returned : ipv4_returned;
	resolver->post(resolver->target, &answer->message);
}

static void give_both(struct resolver *resolver, struct resolver_query *query, int error)
{
	give(resolver, query, RESOLVER_IPV6, error);
	give(resolver, query, RESOLVER_IPV4, error);
}

static void lookup_give(struct lookup *lookup, enum resolver_family family, int error)
{
	if (lookup->question[family].given)
		return;
	lookup->question[family].given = true;
	give(lookup->resolver, lookup->query, family, error);
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

static int parse_ipv6(const unsigned char *bytes, int len, struct resolver_answer *answer)
{
	struct ares_addr6ttl found[RESOLVER_ADDRESSES];
	int count = RESOLVER_ADDRESSES;
	int status = ares_parse_aaaa_reply(bytes, len, NULL, found, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
		struct tcp_endpoint *to = &answer->address[answer->count++];

		*to = (struct tcp_endpoint){.family = TCP_IPV6};
		memcpy(to->addr, &found[i].ip6addr, 16);
	}
	return status;
}

static int parse_ipv4(const unsigned char *bytes, int len, struct resolver_answer *answer)
{
	struct ares_addrttl found[RESOLVER_ADDRESSES];
	int count = RESOLVER_ADDRESSES;
	int status = ares_parse_a_reply(bytes, len, NULL, found, &count);

	for (int i = 0; status == ARES_SUCCESS && i < count; i++) {
		struct tcp_endpoint *to = &answer->address[answer->count++];

		*to = (struct tcp_endpoint){.family = TCP_IPV4};
		memcpy(to->addr, &found[i].ipaddr, 4);
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
	int domains = lookup->absolute ? 0 : lookup->domain_count;
	int as_it_is = dots(lookup->name) >= lookup->ndots ? 0 : domains;

	if (n > domains)
		return false;
	if (n == as_it_is)
		snprintf(name, NAME_ROOM, "%s", lookup->name);
	else
		snprintf(name, NAME_ROOM, "%s.%s", lookup->name,
			lookup->domains[n < as_it_is ? n : n - 1]);
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
	struct lookup **link = &lookup->resolver->lookups;

	while (*link != NULL && *link != lookup)
		link = &(*link)->next;
	if (*link == lookup) {
		*link = lookup->next;
		lookup->resolver->lookup_count--;
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
		event_new(question->lookup->resolver->base, fd, what, socket_came, question);
	if (question->sockets[place].event != NULL)
		event_add(question->sockets[place].event, NULL);
}

static int set_servers(ares_channel channel, const struct resolver_config *config)
{
	struct ares_addr_port_node *list = calloc(config->server_count, sizeof(*list));

	if (list == NULL)
		return ARES_ENOMEM;
	for (size_t i = 0; i < config->server_count; i++) {
		const struct tcp_endpoint *server = &config->server[i];
		int port = server->port != 0 ? server->port : DNS_PORT;

		list[i].next = i + 1 < config->server_count ? &list[i + 1] : NULL;
		list[i].family = server->family == TCP_IPV4 ? AF_INET : AF_INET6;
		memcpy(&list[i].addr, server->addr, server->family == TCP_IPV4 ? 4 : 16);
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
		status = make_channel(&lookup->question[family], lookup->resolver->config);
	if (status == ARES_SUCCESS)
		status = ares_save_options(
			lookup->question[RESOLVER_IPV6].channel, &lookup->options, &saved);
	lookup->domains = lookup->options.domains;
	lookup->domain_count = lookup->options.ndomains;
	lookup->ndots = lookup->options.ndots;
	return status;
}

/* ---- questions */

/* The last dot says that no search domain is to be tried. */
static bool take_last_dot(char *name)
{
	size_t len = strlen(name);

	if (len < 2 || name[len - 1] != '.')
		return false;
	name[len - 1] = '\0';
	return true;
}

static void answer_address(struct resolver_query *query, const struct tcp_endpoint *address)
{
	struct resolver_answer *of =
		&query->answer[address->family == TCP_IPV6 ? RESOLVER_IPV6 : RESOLVER_IPV4];

	of->address[0] = *address;
	of->count = 1;
}

/* What needs no name server, or must not ask one. True: answered. */
static bool answer_here(struct resolver *resolver, struct resolver_query *query, const char *name)
{
	const struct resolver_config *config = resolver->config;
	const char *path = config->hosts_path != NULL ? config->hosts_path : HOSTS_PATH;
	struct resolver_answer *ipv6 = &query->answer[RESOLVER_IPV6],
			       *ipv4 = &query->answer[RESOLVER_IPV4];
	struct tcp_endpoint address;
	int known = hosts_address(name, &address) == 0;

	if (known)
		answer_address(query, &address);
	else
		known = hosts_find(config->host, config->host_count, path, name, ipv6->address,
			&ipv6->count, ipv4->address, &ipv4->count, RESOLVER_ADDRESSES);
	if (known < 0)
		give_both(resolver, query, known == -ENOMEM ? ENOMEM : EAGAIN);
	if (known <= 0)
		return known < 0;
	ipv6->known_here = ipv4->known_here = true;
	int ipv6_error = ipv6->count > 0 ? 0 : EHOSTUNREACH,
	    ipv4_error = ipv4->count > 0 ? 0 : EHOSTUNREACH;
	give(resolver, query, RESOLVER_IPV6, ipv6_error);
	give(resolver, query, RESOLVER_IPV4, ipv4_error);
	return true;
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

/* 0 or a positive errno: then nothing has begun. */
static int lookup_start(
	struct resolver *resolver, struct resolver_query *query, const char *name, bool absolute)
{
	if (resolver->lookup_count >= RESOLVER_MOST || !has_descriptors())
		return EAGAIN;
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	if (lookup == NULL)
		return ENOMEM;
	lookup->resolver = resolver;
	lookup->query = query;
	lookup->absolute = absolute;
	strcpy(lookup->name, name);
	for (int family = 0; family < RESOLVER_FAMILIES; family++)
		lookup->question[family] = (struct question){.lookup = lookup, .family = family};
	lookup->timer = evtimer_new(resolver->base, time_came, lookup);
	int status = lookup->timer != NULL ? make_channels(lookup) : ARES_ENOMEM;
	if (status != ARES_SUCCESS) {
		lookup_free(lookup);
		return status == ARES_ENOMEM ? ENOMEM : EAGAIN;
	}
	lookup->next = resolver->lookups;
	resolver->lookups = lookup;
	resolver->lookup_count++;
	lookup_ask(lookup);
	lookup_settle(lookup);
	return 0;
}

static void begin(struct resolver *resolver, struct resolver_query *query)
{
	char name[sizeof(query->name)];

	strcpy(name, query->name);
	bool absolute = take_last_dot(name);
	if (answer_here(resolver, query, name))
		return;
	int error = lookup_start(resolver, query, name, absolute);
	if (error)
		give_both(resolver, query, error);
}

/* ---- the thread */

/* The oldest question, or NULL. */
static struct resolver_query *take_query(
	struct resolver *resolver, bool *ret_cancelling, bool *ret_ending)
{
	pthread_mutex_lock(&resolver->lock);
	struct resolver_query *query = resolver->first;
	if (query != NULL) {
		resolver->first = query->next;
		if (resolver->first == NULL)
			resolver->last = &resolver->first;
	}
	*ret_cancelling = resolver->cancelling;
	*ret_ending = resolver->ending;
	pthread_mutex_unlock(&resolver->lock);
	return query;
}

static void drop_cancelled(struct resolver *resolver, bool all)
{
	struct lookup *next;

	for (struct lookup *lookup = resolver->lookups; lookup != NULL; lookup = next) {
		next = lookup->next;
		/* It is not over, so the query is there. */
		if (!all && !atomic_load(&lookup->query->cancelled))
			continue;
		lookup_give(lookup, RESOLVER_IPV6, ECANCELED);
		lookup_give(lookup, RESOLVER_IPV4, ECANCELED);
		lookup_free(lookup);
	}
}

static void tell(struct resolver *resolver)
{
	eventfd_write(resolver->wake_fd, 1);
}

static void wake_came(evutil_socket_t fd, short what, void *context)
{
	struct resolver *resolver = context;
	struct resolver_query *query;
	bool cancelling, ending;
	unsigned begun = 0;
	eventfd_t count;

	(void)what;
	eventfd_read(fd, &count);
	while ((query = take_query(resolver, &cancelling, &ending)) != NULL) {
		if (cancelling || atomic_load(&query->cancelled))
			give_both(resolver, query, ECANCELED);
		else
			begin(resolver, query);
		if (!cancelling && ++begun == BATCH)
			break;
	}
	if (query != NULL)
		tell(resolver);
	drop_cancelled(resolver, cancelling);
	if (ending)
		event_base_loopbreak(resolver->base);
}

static void *thread_main(void *argument)
{
	struct resolver *resolver = argument;

	event_base_dispatch(resolver->base);
	return NULL;
}

static int start(struct resolver *resolver)
{
	resolver->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (resolver->wake_fd < 0)
		return -errno;
	resolver->base = event_base_new();
	if (resolver->base != NULL)
		resolver->wake = event_new(resolver->base, resolver->wake_fd, EV_READ | EV_PERSIST,
			wake_came, resolver);
	int error = resolver->wake == NULL || event_add(resolver->wake, NULL) < 0 ? -ENOMEM : 0;
	if (!error)
		error = thread_start(
			&resolver->thread, "ferrule-dns", thread_main, resolver, thread_all_cpus());
	return error;
}

static void free_events(struct resolver *resolver)
{
	if (resolver->wake != NULL)
		event_free(resolver->wake);
	if (resolver->base != NULL)
		event_base_free(resolver->base);
	if (resolver->wake_fd >= 0)
		close(resolver->wake_fd);
	resolver->wake = NULL;
	resolver->base = NULL;
	resolver->wake_fd = -1;
}

/* ---- the I/O thread's */

int resolver_create(struct resolver **ret_resolver, const struct resolver_config *config,
	resolver_post *post, void *target)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (resolver == NULL)
		return -ENOMEM;
	resolver->config = config;
	resolver->post = post;
	resolver->target = target;
	resolver->last = &resolver->first;
	resolver->wake_fd = -1;
	pthread_mutex_init(&resolver->lock, NULL);
	*ret_resolver = resolver;
	return 0;
}

void resolver_destroy(struct resolver *resolver)
{
	assert(resolver->outstanding == 0);
	if (resolver->started) {
		pthread_mutex_lock(&resolver->lock);
		resolver->ending = true;
		pthread_mutex_unlock(&resolver->lock);
		tell(resolver);
		pthread_join(resolver->thread, NULL);
	}
	free_events(resolver);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

void resolver_ask(struct resolver *resolver, struct resolver_query *query)
{
	stats.lookups++;
	resolver->outstanding += RESOLVER_FAMILIES;
	query->resolver = resolver;
	query->next = NULL;
	atomic_init(&query->cancelled, false);
	for (int family = 0; family < RESOLVER_FAMILIES; family++) {
		query->answer[family].count = 0;
		query->answer[family].known_here = false;
	}
	if (!resolver->started) {
		int error = start(resolver);

		if (error) {
			free_events(resolver);
			give_both(resolver, query, -error);
			return;
		}
		resolver->started = true;
	}
	pthread_mutex_lock(&resolver->lock);
	*resolver->last = query;
	resolver->last = &query->next;
	pthread_mutex_unlock(&resolver->lock);
	tell(resolver);
}

void resolver_cancel(struct resolver *resolver, struct resolver_query *query)
{
	atomic_store(&query->cancelled, true);
	if (resolver->started)
		tell(resolver);
}

void resolver_cancel_all(struct resolver *resolver)
{
	if (!resolver->started)
		return;
	pthread_mutex_lock(&resolver->lock);
	resolver->cancelling = true;
	pthread_mutex_unlock(&resolver->lock);
	tell(resolver);
}

unsigned resolver_outstanding(const struct resolver *resolver)
{
	return resolver->outstanding;
}
