#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/address.h"

int address_to_sockaddr(
	const struct endpoint *endpoint, struct sockaddr_storage *ret_address, socklen_t *ret_len)
{
	memset(ret_address, 0, sizeof(*ret_address));
	if (endpoint->family == ENDPOINT_IPV4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret_address;
		in->sin_family = AF_INET;
		in->sin_port = htons(endpoint->port);
		memcpy(&in->sin_addr, endpoint->addr, 4);
		*ret_len = sizeof(*in);
		return 0;
	}
	if (endpoint->family == ENDPOINT_IPV6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(endpoint->port);
		in6->sin6_scope_id = endpoint->scope;
		memcpy(&in6->sin6_addr, endpoint->addr, 16);
		*ret_len = sizeof(*in6);
		return 0;
	}
	return -EAFNOSUPPORT;
}

struct endpoint address_from_sockaddr(const struct sockaddr_storage *address)
{
	struct endpoint endpoint = {0};
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)address;
		endpoint.family = ENDPOINT_IPV4;
		endpoint.port = ntohs(in->sin_port);
		memcpy(endpoint.addr, &in->sin_addr, 4);
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
		endpoint.family = ENDPOINT_IPV6;
		endpoint.port = ntohs(in6->sin6_port);
		endpoint.scope = in6->sin6_scope_id;
		memcpy(endpoint.addr, &in6->sin6_addr, 16);
	}
	return endpoint;
}

/* Are the first bits the same? */
static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned char mask = (unsigned char)(0xff00u >> bits % 8);

	return memcmp(a, b, bits / 8) == 0 &&
	       (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

bool address_is_within(
	const struct endpoint *address, const struct endpoint *first, unsigned prefix)
{
	return address->family == first->family && same_bits(address->addr, first->addr, prefix);
}

/* ---- special ones */

struct range {
	unsigned char first[16];
	unsigned prefix; /* bits */
};

static const struct range special_ipv4[] = {
	{{0}, 8},                   /* this host */
	{{127}, 8},                 /* loopback */
	{{169, 254}, 16},           /* link-local; the metadata services of most clouds */
	{{224}, 3},                 /* multicast, and what has no use */
	{{100, 100, 100, 200}, 32}, /* metadata: Alibaba */
	{{168, 63, 129, 16}, 32},   /* Azure */
	{{192, 0, 0, 192}, 32},     /* Oracle */
};

static const struct range special_ipv6[] = {
	{{[15] = 1}, 128},                                         /* loopback */
	{{0}, 128},                                                /* unspecified */
	{{0xfe, 0x80}, 10},                                        /* link-local */
	{{0xff}, 8},                                               /* multicast */
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48},                /* NAT64 of this network's own */
	{{0xfd, 0x00, 0x0e, 0xc2}, 32},                            /* metadata: Amazon */
	{{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128}, /* Google */
};

/* Where an IPv6 address stands for an IPv4 one, which lies behind the prefix. */
static const struct range with_ipv4[] = {
	{{[10] = 0xff, [11] = 0xff}, 96}, /* mapped */
	{{0}, 96},                        /* compatible */
	{{0x00, 0x64, 0xff, 0x9b}, 96},   /* NAT64 */
	{{0x20, 0x02}, 16},               /* 6to4 */
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static bool lies_in(
	const unsigned char *first, unsigned prefix, const struct range *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (prefix >= rows[i].prefix && same_bits(first, rows[i].first, rows[i].prefix))
			return true;
	return false;
}

bool address_range_is_special(const struct endpoint *first, unsigned prefix)
{
	const unsigned char *a = first->addr;

	if (first->family == ENDPOINT_IPV4)
		return lies_in(a, prefix, special_ipv4, ROWS(special_ipv4));
	if (lies_in(a, prefix, special_ipv6, ROWS(special_ipv6)))
		return true;
	for (size_t i = 0; i < ROWS(with_ipv4); i++) {
		const struct range *row = &with_ipv4[i];

		if (prefix >= row->prefix && same_bits(a, row->first, row->prefix) &&
			lies_in(a + row->prefix / 8, prefix - row->prefix, special_ipv4,
				ROWS(special_ipv4)))
			return true;
	}
	return false;
}

bool address_is_special(const struct endpoint *endpoint)
{
	return address_range_is_special(endpoint, address_bits(endpoint));
}

/* The IPv4 address that an IPv6 address stands for; NULL: none. */
static const unsigned char *ipv4_within(const unsigned char *a)
{
	for (size_t i = 0; i < ROWS(with_ipv4); i++)
		if (same_bits(a, with_ipv4[i].first, with_ipv4[i].prefix))
			return a + with_ipv4[i].prefix / 8;
	return NULL;
}

unsigned address_bits(const struct endpoint *endpoint)
{
	return endpoint->family == ENDPOINT_IPV4 ? 32 : 128;
}

struct endpoint address_without_mapping(const struct endpoint *endpoint)
{
	const unsigned char *ipv4 = endpoint->addr;
	struct endpoint plain = {.family = ENDPOINT_IPV4, .port = endpoint->port};

	if (endpoint->family == ENDPOINT_IPV6 && same_bits(endpoint->addr, with_ipv4[0].first, 96))
		ipv4 = endpoint->addr + 12;
	else if (endpoint->family != ENDPOINT_IPV4)
		return *endpoint;
	memcpy(plain.addr, ipv4, 4);
	return plain;
}

bool address_is_unspecified(const struct endpoint *endpoint)
{
	static const unsigned char zero[sizeof(endpoint->addr)];

	return memcmp(endpoint->addr, zero, address_bits(endpoint) / 8) == 0;
}

/* 0, or the negative errno of binding to it. */
static int try_bind(const struct endpoint *endpoint)
{
	struct endpoint any_port = *endpoint;
	struct sockaddr_storage address;
	socklen_t len;

	any_port.port = 0;
	int error = address_to_sockaddr(&any_port, &address, &len);
	if (error)
		return error;
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	error = bind(fd, (struct sockaddr *)&address, len) < 0 ? -errno : 0;
	close(fd);
	return error;
}

static bool has_interface_address(const struct endpoint *endpoint)
{
	size_t len = endpoint->family == ENDPOINT_IPV4 ? 4 : 16;
	struct ifaddrs *list;
	bool own = false;

	if (getifaddrs(&list) < 0)
		return true;
	for (struct ifaddrs *at = list; !own && at != NULL; at = at->ifa_next) {
		struct endpoint of = {.family = ENDPOINT_NAME};

		if (at->ifa_addr != NULL)
			of = address_from_sockaddr(
				(const struct sockaddr_storage *)(const void *)at->ifa_addr);
		own = of.family == endpoint->family && memcmp(of.addr, endpoint->addr, len) == 0;
	}
	freeifaddrs(list);
	return own;
}

bool address_is_own(const struct endpoint *endpoint)
{
	/* Of no machine (RFC 5737, 3849): where these can be bound to, ip_nonlocal_bind lets every
	 * address be. */
	static const struct endpoint nobody_ipv4 = {.family = ENDPOINT_IPV4,
					     .addr = {192, 0, 2, 1}},
				     nobody_ipv6 = {.family = ENDPOINT_IPV6,
					     .addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
	const unsigned char *within =
		endpoint->family == ENDPOINT_IPV6 ? ipv4_within(endpoint->addr) : NULL;

	if (within != NULL) {
		struct endpoint ipv4 = {.family = ENDPOINT_IPV4};
		memcpy(ipv4.addr, within, 4);
		if (address_is_own(&ipv4))
			return true;
	}
	/* The kernel's own word, which counts addresses by route too. */
	int error = try_bind(endpoint);
	if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT)
		return false;
	if (error == 0 &&
		try_bind(endpoint->family == ENDPOINT_IPV4 ? &nobody_ipv4 : &nobody_ipv6) == 0)
		return has_interface_address(endpoint);
	return true;
}

struct endpoint address_local(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	getsockname(fd, (struct sockaddr *)&address, &len);
	return address_from_sockaddr(&address);
}

const char *address_text(const struct endpoint *endpoint, char text[ADDRESS_TEXT_LEN])
{
	char address[INET6_ADDRSTRLEN] = "?", scope[16] = "";

	if (endpoint->family == ENDPOINT_IPV6) {
		inet_ntop(AF_INET6, endpoint->addr, address, sizeof(address));
		if (endpoint->scope != 0)
			snprintf(scope, sizeof(scope), "%%%u", endpoint->scope);
		snprintf(text, ADDRESS_TEXT_LEN, "[%s%s]:%u", address, scope, endpoint->port);
	} else {
		if (endpoint->family == ENDPOINT_IPV4)
			inet_ntop(AF_INET, endpoint->addr, address, sizeof(address));
		snprintf(text, ADDRESS_TEXT_LEN, "%s:%u", address, endpoint->port);
	}
	return text;
}

/* "eth0", or the number of an interface. */
static bool parse_scope(const char *text, uint32_t *ret_scope)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text >= '0' && *text <= '9' && *end == '\0' && number <= UINT32_MAX)
		*ret_scope = (uint32_t)number;
	else
		*ret_scope = if_nametoindex(text);
	return *ret_scope != 0;
}

bool address_parse(const char *text, struct endpoint *ret_endpoint)
{
	char address[INET6_ADDRSTRLEN];
	const char *scope = strchr(text, '%');
	size_t len = scope != NULL ? (size_t)(scope - text) : strlen(text);

	*ret_endpoint = (struct endpoint){0};
	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (scope == NULL && inet_pton(AF_INET, address, ret_endpoint->addr) == 1) {
		ret_endpoint->family = ENDPOINT_IPV4;
		return true;
	}
	if (inet_pton(AF_INET6, address, ret_endpoint->addr) != 1)
		return false;
	ret_endpoint->family = ENDPOINT_IPV6;
	return scope == NULL || parse_scope(scope + 1, &ret_endpoint->scope);
}
