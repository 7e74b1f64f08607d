/*
 * dns-forward LISTEN UPSTREAM...: passes DNS queries over UDP on to upstream servers, and their
 * answers back.
 *
 * Each query goes on under an id of its own, and an answer has to have that id, come from a server
 * that was asked (its socket is connected to it) and repeat the question. A server that has not
 * answered for RETRY_MS is passed over for the next one; after GIVE_UP_MS the client is told
 * SERVFAIL. What an answer says is passed on as it is, also that it was cut off (TC).
 *
 * One fiber takes queries, one for each server takes answers, and one looks for those that wait too
 * long. Only sending to clients can wait, and a query is out of the table before that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/programs/dns_message.h"
#include "guest/programs/dns_pending.h"
#include "guest/programs/remedy.h"
#include "protocol/error.h"

#define UPSTREAMS_MAX 16
#define QUERY_MAX     4096u /* bytes */
#define ANSWER_MAX    65535u
#define RETRY_MS      1000u
#define GIVE_UP_MS    5000u
#define DOWN_MS       2000u /* that a server is left out when the network says it is not there */

struct upstream {
	const char *target; /* as it was written */
	struct udp *udp;
	uint64_t down_until; /* clock_now() */
	unsigned char answer[ANSWER_MAX];
};

static struct upstream *upstreams;
static unsigned upstream_count;
static struct udp *clients;
static struct wait_list pending_came; /* here waits who looks for the slow, while there are none */

/* ---- what was passed over */

enum dropped { DROPPED_QUERIES, DROPPED_ANSWERS, DROPPED_KINDS };

/* Said at the first, and then each time that there are twice as many. */
static void drop(enum dropped kind)
{
	static const char *const names[DROPPED_KINDS] = {"malformed queries",
		"answers that are malformed, late or to no question that was asked"};
	static unsigned long count[DROPPED_KINDS];

	count[kind]++;
	if ((count[kind] & (count[kind] - 1)) == 0)
		fprintf(stderr, "dns-forward: dropped %s, %lu until now\n", names[kind],
			count[kind]);
}

/* ---- to the clients */

/* Without its place in the table 'pending' is not looked at any more: sending can wait. */
static void answer_client(struct dns_pending *pending, unsigned char *answer, size_t len)
{
	struct endpoint client = pending->client, local = pending->local;

	dns_set_id(answer, pending->client_id);
	dns_pending_remove(pending);
	udp_send_from(clients, &local, &client, answer, len, FOREVER);
}

static void fail_client(struct dns_pending *pending)
{
	unsigned char answer[DNS_FAILURE_MAX];
	size_t end = pending->end;

	dns_make_failure(pending->query, end, DNS_SERVER_FAILURE, answer);
	answer_client(pending, answer, end);
}

/* ---- to the servers */

/* Those that are there before those that are not. */
static unsigned pick_upstream(unsigned from)
{
	uint64_t now = clock_now();

	for (unsigned i = 0; i < upstream_count; i++) {
		unsigned index = (from + i) % upstream_count;

		if (upstreams[index].down_until <= now)
			return index;
	}
	return from % upstream_count;
}

/* Sends it to a server: the first that is there, from this one on. Does not wait: without room it
 * is as if it were lost. */
static void pass_on(struct dns_pending *pending, unsigned from)
{
	pending->upstream = pick_upstream(from);
	dns_pending_sent(pending);
	udp_send(upstreams[pending->upstream].udp, NULL, pending->query, pending->len, NO_WAIT);
}

/* The same, or SERVFAIL when that was done for long enough. */
static void try_again(struct dns_pending *pending)
{
	if (clock_now() - pending->begun >= (uint64_t)GIVE_UP_MS * 1000000)
		fail_client(pending);
	else
		pass_on(pending, pending->upstream + 1);
}

static void take_query(const unsigned char *query, const struct udp_datagram *datagram)
{
	size_t end = datagram->full_len == datagram->len ? dns_query_end(query, datagram->len) : 0;
	struct dns_pending *pending;

	if (end == 0) {
		drop(DROPPED_QUERIES);
		return;
	}
	pending = dns_pending_add(query, datagram->len, end);
	if (!pending) {
		unsigned char answer[DNS_FAILURE_MAX];

		dns_make_failure(query, end, DNS_SERVER_FAILURE, answer);
		udp_send_from(clients, &datagram->local, &datagram->peer, answer, end, FOREVER);
		return;
	}
	pending->client = datagram->peer;
	pending->local = datagram->local;
	wait_list_wake(&pending_came);
	pass_on(pending, 0);
}

/* Returns with an errno of the socket. */
static int take_queries(void)
{
	static unsigned char query[QUERY_MAX];
	struct udp_datagram datagram;
	long len;

	while ((len = udp_receive(clients, query, sizeof(query), &datagram, FOREVER)) >= 0)
		take_query(query, &datagram);
	return (int)len;
}

/* ---- answers */

static void take_answer(struct upstream *upstream, const struct udp_datagram *datagram)
{
	size_t end = datagram->full_len == datagram->len
			     ? dns_answer_end(upstream->answer, datagram->len)
			     : 0;
	struct dns_pending *pending = end ? dns_pending_find(dns_id(upstream->answer)) : NULL;

	if (pending && dns_same_question(pending->query, pending->end, upstream->answer, end))
		answer_client(pending, upstream->answer, datagram->len);
	else
		drop(DROPPED_ANSWERS);
}

/* The network says of a server that it is not there: those that wait for it go on to another. */
static void is_down(struct upstream *upstream)
{
	unsigned index = (unsigned)(upstream - upstreams);
	uint64_t now = clock_now();
	struct dns_pending *pending = dns_pending_first(), *next;

	if (upstream->down_until > now)
		return;
	upstream->down_until = now + (uint64_t)DOWN_MS * 1000000;
	for (; pending && pending->sent <= now; pending = next) {
		next = pending->next; /* a query that is passed on becomes the last */
		if (pending->upstream == index)
			pass_on(pending, index + 1);
	}
}

static void take_answers(void *argument)
{
	struct upstream *upstream = argument;
	struct udp_datagram datagram;
	long len;

	while ((len = udp_receive(upstream->udp, upstream->answer, ANSWER_MAX, &datagram,
			FOREVER)) != -ECONNABORTED) {
		if (len >= 0)
			take_answer(upstream, &datagram);
		else
			is_down(upstream);
	}
	fprintf(stderr, "dns-forward: the socket to %s failed\n", upstream->target);
	guest_exit(1);
}

/* ---- those that wait too long */

static void look_for_slow(void *argument)
{
	(void)argument;
	for (;;) {
		struct dns_pending *pending = dns_pending_first();
		uint64_t due;

		if (!pending) {
			wait_list_wait(&pending_came, FOREVER);
			continue;
		}
		due = pending->sent + (uint64_t)RETRY_MS * 1000000;
		if (due > clock_now())
			fiber_sleep(due);
		else
			try_again(pending);
	}
}

/* ---- the start */

static int connect_upstreams(char **targets)
{
	upstreams = calloc(upstream_count, sizeof(*upstreams));
	if (!upstreams) {
		fputs("dns-forward: no memory is left; give the guest more with --memory\n",
			stderr);
		return 1;
	}
	for (unsigned i = 0; i < upstream_count; i++) {
		int error = udp_connect(targets[i], &upstreams[i].udp, in_milliseconds(GIVE_UP_MS));

		if (error)
			return cannot_send("dns-forward", targets[i], error);
		upstreams[i].target = targets[i];
		while (fiber_spawn(take_answers, &upstreams[i]) == -EAGAIN)
			fiber_yield();
	}
	return 0;
}

static int serve(const char *address)
{
	char text[ENDPOINT_TEXT_LEN];
	struct endpoint local;
	int error;

	if (endpoint_parse(address, &local)) {
		fprintf(stderr,
			"dns-forward: '%s' is no address: write 127.0.0.1:5353 or [::1]:5353\n",
			address);
		return 2;
	}
	error = udp_bind(&local, &clients, FOREVER);
	if (error)
		return cannot_bind("dns-forward", address, error);
	while (fiber_spawn(look_for_slow, NULL) == -EAGAIN)
		fiber_yield();
	printf("dns-forward: listening on %s\n", endpoint_format(udp_local(clients), text));
	error = take_queries();
	fprintf(stderr, "dns-forward: the socket failed (%s)\n", wire_error_name(-error));
	return 1;
}

static const char help[] =
	"usage: dns-forward LISTEN-ADDR:PORT UPSTREAM-HOST:PORT...\n"
	"\n"
	"Passes DNS queries over UDP on to the first upstream server that answers, each for a\n"
	"second, and its answers back. After 5 seconds the answer is SERVFAIL.\n"
	"\n"
	"It needs the grant --udp ADDR:PORT:listen, and --udp HOST:PORT:connect of each server:\n"
	"  ferrule run --udp 127.0.0.1:5353:listen --udp 192.0.2.53:53:connect dns-forward.elf \\\n"
	"      127.0.0.1:5353 192.0.2.53:53\n";

int main(int argc, char **argv)
{
	int status;

	if (help_asked(argc, argv, help))
		return 0;
	if (argc < 3 || argc > 2 + UPSTREAMS_MAX) {
		fputs("usage: dns-forward LISTEN UPSTREAM...; --help explains\n", stderr);
		return 2;
	}
	upstream_count = (unsigned)argc - 2;
	status = connect_upstreams(argv + 2);
	return status ? status : serve(argv[1]);
}
