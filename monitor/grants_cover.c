/*
 * What the guest asks for, held against what is granted.
 *
 * To connect and to send, a range covers special addresses (address_is_special) only if it has no
 * others, nor such of two kinds: 127.0.0.0/8 does, 0.0.0.0/0 does not. 'any', and a range of a
 * whole family, cover this machine's own addresses no more than special ones: who means them names
 * them.
 */
#include <string.h>
#include <strings.h>

#include "monitor/address.h"
#include "monitor/grants.h"

static bool listens(enum grant_use use)
{
	return use == GRANT_TCP_LISTEN || use == GRANT_UDP_LISTEN;
}

static bool within(const struct grant_net *range, const struct endpoint *asked)
{
	return address_is_within(asked, &range->first, range->prefix) &&
	       (range->first.scope == 0 || range->first.scope == asked->scope);
}

static bool range_covers(
	const struct grant_net *range, enum grant_use use, const struct endpoint *asked)
{
	if (!within(range, asked))
		return false;
	if (listens(use))
		return range->prefix == 0 || !address_is_unspecified(asked);
	if (range->prefix == 0)
		return !address_is_special(asked) && !address_is_own(asked);
	return !address_is_special(asked) || address_range_is_special(&range->first, range->prefix);
}

#define SOME_PORT (-1) /* whichever the grant has */

static bool has_port(const struct grant_net *grant, int port)
{
	return port == SOME_PORT || (port >= grant->port_first && port <= grant->port_last);
}

static bool covers(const struct grant_net *grant, enum grant_use use, const struct endpoint *asked)
{
	switch (grant->kind) {
	case GRANT_RANGE:
		return range_covers(grant, use, asked);
	case GRANT_ANY:
		return listens(use) || (!address_is_special(asked) && !address_is_own(asked));
	case GRANT_NAME:
		break;
	}
	return false;
}

static bool any_covers(
	const struct grants *grants, enum grant_use use, const struct endpoint *asked, int port)
{
	const struct grant_list *list = &grants->net[use];
	struct endpoint plain = address_without_mapping(asked);

	if (plain.family != ENDPOINT_IPV4 && plain.family != ENDPOINT_IPV6)
		return false;
	for (size_t i = 0; i < list->count; i++)
		if (has_port(&list->grant[i], port) && covers(&list->grant[i], use, &plain))
			return true;
	return false;
}

bool grants_cover(const struct grants *grants, enum grant_use use, const struct endpoint *asked)
{
	return any_covers(grants, use, asked, asked->port);
}

bool grants_cover_both(
	const struct grants *grants, enum grant_use use, const struct endpoint *asked)
{
	const struct endpoint ipv4 = {.family = ENDPOINT_IPV4, .port = asked->port};

	return asked->family != ENDPOINT_IPV6 || !address_is_unspecified(asked) ||
	       grants_cover(grants, use, &ipv4);
}

bool grants_cover_some_port(
	const struct grants *grants, enum grant_use use, const struct endpoint *asked)
{
	return any_covers(grants, use, asked, SOME_PORT);
}

/* ---- names */

bool grant_matches(const struct grant_net *grant, const char *host, size_t host_len)
{
	const char *name = grant->host;
	size_t name_len = strlen(name);

	if (grant->kind != GRANT_NAME)
		return false;
	if (*name != '*')
		return host_len == name_len && strncasecmp(name, host, host_len) == 0;
	/* "*.example.org": some label in front of ".example.org". */
	name++;
	name_len--;
	return host_len > name_len && host[0] != '.' &&
	       strncasecmp(name, host + host_len - name_len, name_len) == 0;
}

/* A whole family, or two: then names may be looked up to find addresses of it. */
static bool is_free(const struct grant_net *grant)
{
	return grant->kind == GRANT_ANY || (grant->kind == GRANT_RANGE && grant->prefix == 0);
}

static enum grant_name name_of(
	const struct grant_list *list, int port, const char *host, size_t host_len)
{
	enum grant_name best = GRANT_NAME_REFUSED;

	if (host_len == 0 || host_len > ENDPOINT_HOST_MAX || memchr(host, '\0', host_len) != NULL)
		return GRANT_NAME_REFUSED;
	for (size_t i = 0; i < list->count; i++) {
		const struct grant_net *grant = &list->grant[i];

		if (!has_port(grant, port))
			continue;
		if (grant_matches(grant, host, host_len))
			return GRANT_NAME_GIVEN;
		if (is_free(grant))
			best = GRANT_NAME_FREE;
	}
	return best;
}

enum grant_name grants_name(const struct grants *grants, enum grant_use use, uint16_t port,
	const char *host, size_t host_len)
{
	return name_of(&grants->net[use], port, host, host_len);
}

enum grant_name grants_name_some_port(
	const struct grants *grants, enum grant_use use, const char *host, size_t host_len)
{
	return name_of(&grants->net[use], SOME_PORT, host, host_len);
}

const struct endpoint *grants_published(const struct grants *grants, bool udp, uint16_t guest_port)
{
	for (size_t i = 0; i < grants->publish_count; i++)
		if (grants->publish[i].udp == udp && grants->publish[i].guest_port == guest_port)
			return &grants->publish[i].host;
	return NULL;
}
