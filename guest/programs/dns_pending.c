#include "guest/programs/dns_pending.h"

#include <stdlib.h>
#include <string.h>

#include "guest/programs/dns_message.h"

static struct {
	struct dns_pending *by_id[65536];
	struct dns_pending *first, *last;
	unsigned count;
} table;

static void append(struct dns_pending *pending)
{
	pending->next = NULL;
	pending->prev = table.last;
	if (table.last)
		table.last->next = pending;
	else
		table.first = pending;
	table.last = pending;
}

static void unlink_pending(struct dns_pending *pending)
{
	if (pending->prev)
		pending->prev->next = pending->next;
	else
		table.first = pending->next;
	if (pending->next)
		pending->next->prev = pending->prev;
	else
		table.last = pending->prev;
}

/* Seven of eight are free. */
static uint16_t unused_id(void)
{
	uint16_t id;

	do
		guest_random(&id, sizeof(id));
	while (table.by_id[id]);
	return id;
}

struct dns_pending *dns_pending_add(const unsigned char *query, size_t len, size_t end)
{
	struct dns_pending *pending;

	if (table.count == DNS_PENDING_MOST)
		return NULL;
	pending = malloc(sizeof(*pending) + len);
	if (!pending)
		return NULL;
	*pending = (struct dns_pending){
		.query = (unsigned char *)(pending + 1),
		.len = len,
		.end = end,
		.id = unused_id(),
		.client_id = dns_id(query),
		.begun = clock_now(),
	};
	pending->sent = pending->begun;
	memcpy(pending->query, query, len);
	dns_set_id(pending->query, pending->id);
	table.by_id[pending->id] = pending;
	table.count++;
	append(pending);
	return pending;
}

struct dns_pending *dns_pending_find(uint16_t id)
{
	return table.by_id[id];
}

void dns_pending_sent(struct dns_pending *pending)
{
	pending->sent = clock_now();
	unlink_pending(pending);
	append(pending);
}

void dns_pending_remove(struct dns_pending *pending)
{
	unlink_pending(pending);
	table.by_id[pending->id] = NULL;
	table.count--;
	free(pending);
}

struct dns_pending *dns_pending_first(void)
{
	return table.first;
}
