#include "monitor/resolver.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/io.h"
#include "monitor/resolver_lookup.h"
#include "monitor/stats.h"
#include "monitor/thread.h"

#define BATCH 16 /* questions begun before events are looked at again */

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
	struct lookup_table lookups;
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

void resolver_give(struct resolver_query *query, enum resolver_family family, int error)
{
	struct resolver *resolver = query->resolver;
	struct resolver_answer *answer = &query->answer[family];

	answer->error = error;
	answer->message.run = family == RESOLVER_IPV6 ? ipv6_returned : ipv4_returned;
	resolver->post(resolver->target, &answer->message);
}

static void give_both(struct resolver_query *query, int error)
{
	resolver_give(query, RESOLVER_IPV6, error);
	resolver_give(query, RESOLVER_IPV4, error);
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

static void answer_address(struct resolver_query *query, const struct endpoint *address)
{
	struct resolver_answer *of =
		&query->answer[address->family == ENDPOINT_IPV6 ? RESOLVER_IPV6 : RESOLVER_IPV4];

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
	struct endpoint address;
	int known = address_parse(name, &address);

	if (known)
		answer_address(query, &address);
	else
		known = hosts_find(config->host, config->host_count, path, name, ipv6->address,
			&ipv6->count, ipv4->address, &ipv4->count, RESOLVER_ADDRESSES);
	if (known < 0)
		give_both(query, known == -ENOMEM ? ENOMEM : EAGAIN);
	if (known <= 0)
		return known < 0;
	ipv6->known_here = ipv4->known_here = true;
	int ipv6_error = ipv6->count > 0 ? 0 : EHOSTUNREACH,
	    ipv4_error = ipv4->count > 0 ? 0 : EHOSTUNREACH;
	resolver_give(query, RESOLVER_IPV6, ipv6_error);
	resolver_give(query, RESOLVER_IPV4, ipv4_error);
	return true;
}

static void begin(struct resolver *resolver, struct resolver_query *query)
{
	char name[sizeof(query->name)];

	strcpy(name, query->name);
	bool absolute = take_last_dot(name);
	if (answer_here(resolver, query, name))
		return;
	int error = lookup_start(&resolver->lookups, query, name, absolute);
	if (error)
		give_both(query, error);
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
			give_both(query, ECANCELED);
		else
			begin(resolver, query);
		if (!cancelling && ++begun == BATCH)
			break;
	}
	if (query != NULL)
		tell(resolver);
	lookup_drop_cancelled(&resolver->lookups, cancelling);
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
	resolver->lookups =
		(struct lookup_table){.base = resolver->base, .config = resolver->config};
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
			give_both(query, -error);
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
