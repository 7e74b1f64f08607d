/*
 * Protocol 6: what the host knows of the network. Requests are answered as their answers come; for
 * each that was taken there is room for its reply. Names are looked up by the resolver, interfaces
 * are listed by a worker.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/address.h"
#include "monitor/interfaces.h"
#include "monitor/io.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/reach.h"
#include "monitor/resolver.h"
#include "monitor/stream.h"
#include "monitor/worker.h"
#include "protocol/network.h"

#define NETWORK_REPLY_ROOM                                                                         \
	(FRAME_HEADER_LEN + 8u + NETWORK_INTERFACES_AT_ONCE * sizeof(struct network_interface))
#define NETWORK_PENDING                                                                            \
	64u /* requests of one stream at a time, if its ring has room for so many replies */

_Static_assert(NETWORK_REPLY_ROOM <= 4096, "a reply fits into the smallest ring");
_Static_assert(NETWORK_ADDRESSES * sizeof(struct endpoint) <=
		       NETWORK_INTERFACES_AT_ONCE * sizeof(struct network_interface),
	"no reply is longer than NETWORK_REPLY_ROOM");
_Static_assert(NETWORK_ADDRESSES == RESOLVER_FAMILIES * RESOLVER_ADDRESSES,
	"all that a name has are told");

struct network {
	struct stream *stream;
	unsigned pending;
	struct query *query; /* those under way */
	bool ending;         /* the guest asks no more */
	bool closed;         /* and hears no more */
};

/* A Resolve. */
struct query {
	struct network *network;
	struct query *next;
	uint32_t request_id;
	uint16_t family;
	enum grant_name name;
	struct resolver_query lookup;
	struct io_timer limit;
	bool looking_up[RESOLVER_FAMILIES], limited; /* in flight */
	bool over; /* answered: what is in flight only has to come back */
};

/* An Interfaces. */
struct listing {
	struct network *network;
	struct worker_job job;
	const struct grants *grants;
	uint32_t request_id, first;
	struct network_interface *interface;
	size_t count;
	int error;
};

static void network_settle(struct network *network)
{
	struct stream *stream = network->stream;

	if (!network->ending || network->pending != 0)
		return;
	ring_finish(&stream->pipe.out);
	stream_flush(stream);
	stream->relay = NULL;
	free(network);
	stream_release(stream);
}

static void network_signal(struct stream *stream);

/* A request is over, and its memory is free. */
static void network_done(struct network *network)
{
	network->pending--;
	if (!network->ending)
		network_signal(network->stream);
	else
		network_settle(network);
}

static void reply(struct network *network, const struct wire_message *message, uint32_t request_id,
	const void *body)
{
	struct frame frame = {.flags = FRAME_REPLY, .request_id = request_id};

	if (!network->closed)
		stream_send(network->stream, message, &frame, body);
}

static void reply_error(struct network *network, uint16_t type, uint32_t request_id, int error)
{
	if (!network->closed)
		stream_send_error(network->stream, type, request_id, error);
}

/* ---- Resolve */

static bool in_flight(const struct query *query)
{
	return query->looking_up[RESOLVER_IPV6] || query->looking_up[RESOLVER_IPV4] ||
	       query->limited;
}

static void query_settle(struct query *query)
{
	struct network *network = query->network;
	struct query **link = &network->query;

	if (!query->over || in_flight(query))
		return;
	while (*link != query)
		link = &(*link)->next;
	*link = query->next;
	free(query);
	network_done(network);
}

/* Answered, or in vain: what is in flight has to come back. */
static void query_end(struct query *query)
{
	query->over = true;
	if (query->limited)
		io_cancel(loop_io(query->network->stream->loop), &query->limit.op);
	if (query->looking_up[RESOLVER_IPV6] || query->looking_up[RESOLVER_IPV4])
		resolver_cancel(query->lookup.resolver, &query->lookup);
	query_settle(query);
}

static void query_fail(struct query *query, int error)
{
	reply_error(query->network, NETWORK_RESOLVE, query->request_id, error);
	query_end(query);
}

/* IPv6 and IPv4 in turn, as they are to be tried. */
static unsigned merge(const struct query *query, struct endpoint address[NETWORK_ADDRESSES])
{
	unsigned count = 0;

	for (unsigned i = 0; i < RESOLVER_ADDRESSES; i++)
		for (int family = 0; family < RESOLVER_FAMILIES; family++)
			if (i < query->lookup.answer[family].count)
				address[count++] = query->lookup.answer[family].address[i];
	return count;
}

static uint32_t lifetime(const struct query *query)
{
	uint32_t shortest = REACH_LEASE_MAX_S;

	for (int family = 0; family < RESOLVER_FAMILIES; family++) {
		const struct resolver_answer *answer = &query->lookup.answer[family];
		uint32_t life = reach_lifetime_s(answer);

		if (answer->count != 0 && life < shortest)
			shortest = life;
	}
	return shortest;
}

/* What is told when there is no address: one that may not be told says more than a server that
 * failed, and that more than a name that is none. */
static int failure(const struct query *query, bool refused)
{
	int error = EHOSTUNREACH;

	for (int family = 0; family < RESOLVER_FAMILIES; family++) {
		int of = query->lookup.answer[family].error;

		if (of != 0 && of != EHOSTUNREACH)
			error = of;
	}
	return refused ? EACCES : error;
}

static void query_answer(struct query *query)
{
	struct reach *reach = loop_reach(query->network->stream->loop);
	struct endpoint address[NETWORK_ADDRESSES];
	bool refused = false;

	for (int family = 0; family < RESOLVER_FAMILIES; family++) {
		struct resolver_answer *answer = &query->lookup.answer[family];
		uint16_t number = family == RESOLVER_IPV6 ? ENDPOINT_IPV6 : ENDPOINT_IPV4;

		if (answer->error != 0 || (query->family != 0 && query->family != number))
			answer->count = 0;
		if (answer->count != 0 && reach_believe_some(reach, query->name, answer) == 0)
			refused = true;
		reach_learn(reach, query->lookup.name, strlen(query->lookup.name), answer);
	}
	unsigned count = merge(query, address);
	if (count == 0) {
		query_fail(query, failure(query, refused));
		return;
	}
	struct network_resolved resolved = {
		.ttl_s = lifetime(query), .addresses = {address, count * sizeof(address[0])}};
	reply(query->network, &network_resolved_message, query->request_id, &resolved);
	query_end(query);
}

static void lookup_answered(struct resolver_query *lookup, enum resolver_family family)
{
	struct query *query = io_container(lookup, struct query, lookup);

	query->looking_up[family] = false;
	if (query->over)
		query_settle(query);
	else if (!query->looking_up[RESOLVER_IPV6] && !query->looking_up[RESOLVER_IPV4])
		query_answer(query);
}

static void limit_complete(struct io_op *op, int result)
{
	struct query *query = io_container(op, struct query, limit.op);

	query->limited = false;
	if (query->over || result != -ETIME)
		query_settle(query);
	else
		query_fail(query, ETIMEDOUT);
}

static void resolve_refused(const struct network_resolve *wanted)
{
	char text[ENDPOINT_HOST_MAX + 4];
	bool could = grants_could_name(wanted->host.data, wanted->host.len);

	snprintf(text, sizeof(text), "%.*s:*", (int)wanted->host.len,
		(const char *)wanted->host.data);
	grants_refused(text, "--connect", could ? text : NULL);
}

/* 0, or the errno (positive) to answer with. */
static int resolve(
	struct network *network, uint32_t request_id, const struct network_resolve *wanted)
{
	struct loop *loop = network->stream->loop;
	enum grant_name name = reach_name(loop_reach(loop), wanted->host.data, wanted->host.len);

	if (wanted->host.len == 0)
		return EPROTO;
	if (wanted->family != 0 && wanted->family != ENDPOINT_IPV4 &&
		wanted->family != ENDPOINT_IPV6)
		return EAFNOSUPPORT;
	if (name == GRANT_NAME_REFUSED) {
		resolve_refused(wanted);
		return EACCES;
	}
	struct query *query = calloc(1, sizeof(*query));
	if (query == NULL)
		return ENOMEM;
	*query = (struct query){.network = network,
		.next = network->query,
		.request_id = request_id,
		.family = wanted->family,
		.name = name,
		.lookup.answered = lookup_answered,
		.limit.op.done = limit_complete,
		.looking_up = {true, true},
		.limited = wanted->timeout_ms != 0};
	memcpy(query->lookup.name, wanted->host.data, wanted->host.len);
	network->query = query;
	network->pending++;
	if (query->limited)
		io_timeout(loop_io(loop), &query->limit, (uint64_t)wanted->timeout_ms * 1000000u);
	resolver_ask(loop_resolver(loop), &query->lookup);
	return 0;
}

/* ---- Interfaces */

static bool is_published(const struct grants *grants, const struct endpoint *address)
{
	for (size_t i = 0; i < grants->publish_count; i++) {
		const struct endpoint *host = &grants->publish[i].host;

		if (host->family == address->family &&
			(address_is_unspecified(host) ||
				memcmp(host->addr, address->addr, sizeof(host->addr)) == 0))
			return true;
	}
	return false;
}

/* An address that the guest may listen on, or reach, is no secret to it. */
static bool may_see(const struct grants *grants, const struct endpoint *address)
{
	for (int use = 0; use < GRANT_USE_COUNT; use++)
		if (grants_cover_some_port(grants, (enum grant_use)use, address))
			return true;
	return is_published(grants, address);
}

/* Of all interfaces. Asks the kernel for each, so it is a worker's, too; the grants never change.
 */
static void leave_out(struct listing *listing)
{
	struct network_interface *list = listing->interface;
	size_t seen = 0;

	for (size_t i = 0; i < listing->count; i++)
		if (may_see(listing->grants, &list[i].address))
			list[seen++] = list[i];
	listing->count = seen;
}

static void listing_work(struct worker_job *job)
{
	struct listing *listing = io_container(job, struct listing, job);

	listing->error = interfaces_list(&listing->interface, &listing->count);
	if (listing->error == 0)
		leave_out(listing);
}

static void listing_reply(struct listing *listing)
{
	size_t first = listing->first < listing->count ? listing->first : listing->count;
	size_t left = listing->count - first;
	size_t count = left < NETWORK_INTERFACES_AT_ONCE ? left : NETWORK_INTERFACES_AT_ONCE;
	struct network_interfaces_reply answer = {.total = (uint32_t)listing->count,
		.interfaces = {listing->interface + first, count * sizeof(listing->interface[0])}};

	reply(listing->network, &network_interfaces_reply_message, listing->request_id, &answer);
}

static void listing_done(struct worker_job *job)
{
	struct listing *listing = io_container(job, struct listing, job);
	struct network *network = listing->network;

	if (listing->error < 0)
		reply_error(network, NETWORK_INTERFACES, listing->request_id, -listing->error);
	else
		listing_reply(listing);
	free(listing->interface);
	free(listing);
	network_done(network);
}

/* 0, or the errno (positive) to answer with. */
static int list(
	struct network *network, uint32_t request_id, const struct network_interfaces *wanted)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (listing == NULL)
		return ENOMEM;
	*listing = (struct listing){.network = network,
		.job = {.work = listing_work, .done = listing_done},
		.grants = &loop_config(network->stream->loop)->config->grants,
		.request_id = request_id,
		.first = wanted->first};
	network->pending++;
	worker_submit(loop_workers(network->stream->loop), &listing->job);
	return 0;
}

/* ---- the stream */

static int take_resolve(
	struct network *network, const struct frame *frame, const unsigned char *body)
{
	struct network_resolve wanted;
	char host[ENDPOINT_HOST_MAX + 1];

	if (wire_decode(&network_resolve_message, &wanted, body, frame->length - FRAME_HEADER_LEN) <
		0)
		return EPROTO;
	/* The name still lies where the guest can change it. */
	memcpy(host, wanted.host.data, wanted.host.len);
	wanted.host.data = host;
	return resolve(network, frame->request_id, &wanted);
}

static int take_interfaces(
	struct network *network, const struct frame *frame, const unsigned char *body)
{
	struct network_interfaces wanted;

	if (wire_decode(&network_interfaces_message, &wanted, body,
		    frame->length - FRAME_HEADER_LEN) < 0)
		return EPROTO;
	return list(network, frame->request_id, &wanted);
}

static void network_request(
	struct network *network, const struct frame *frame, const unsigned char *body)
{
	int error;

	if (frame->type == NETWORK_RESOLVE) {
		error = take_resolve(network, frame, body);
	} else if (frame->type == NETWORK_INTERFACES) {
		error = take_interfaces(network, frame, body);
	} else {
		reply_error(network, STREAM_UNSUPPORTED, frame->request_id, ENOTSUP);
		return;
	}
	if (error != 0)
		reply_error(network, frame->type, frame->request_id, error);
}

/* How many replies the ring holds is how many requests are taken at a time. */
static bool takes_more(const struct network *network)
{
	size_t most = network->stream->ring[PIPE_HOST].capacity / NETWORK_REPLY_ROOM;

	return !network->ending &&
	       network->pending < (most < NETWORK_PENDING ? most : NETWORK_PENDING);
}

static void network_signal(struct stream *stream)
{
	struct network *network = stream->relay;
	struct frame frame;
	const unsigned char *body;

	while (takes_more(network) &&
		stream_room(stream, (network->pending + 1) * NETWORK_REPLY_ROOM)) {
		int result = stream_frame(stream, &frame, &body);
		if (result == 0)
			break;
		if (result < 0) {
			network->ending = true;
			break;
		}
		network_request(network, &frame, body);
		stream_frame_done(stream, &frame);
	}
	network_settle(network);
}

static void network_closed(struct stream *stream)
{
	struct network *network = stream->relay;

	network->ending = network->closed = true;
	network->pending++; /* ends of queries do not end this meanwhile */
	for (struct query *query = network->query, *next; query != NULL; query = next) {
		next = query->next;
		if (!query->over)
			query_end(query);
	}
	network_done(network);
}

static void network_open(struct stream *stream, struct wire_bytes payload)
{
	struct network *network = calloc(1, sizeof(*network));

	(void)payload;
	if (network == NULL) {
		stream_refuse(stream, ENOMEM);
		return;
	}
	network->stream = stream;
	stream->relay = network;
	stream_opened(stream, NULL, NULL);
}

const struct protocol_ops network_protocol = {
	.name = "network",
	.number = PROTOCOL_NETWORK,
	.version = PROTOCOL_VERSION,
	.open = network_open,
	.signal = network_signal,
	.closed = network_closed,
};
