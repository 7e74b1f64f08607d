#include "guest/stream/endpoint.h"

#include <stdio.h>
#include <string.h>

#define IPV6_GROUPS 8

/* Every parser takes its part off the front of *text; false: it is not there. */

static bool take_char(const char **text, char c)
{
	if (**text != c)
		return false;
	++*text;
	return true;
}

static bool take_number(const char **text, uint32_t most, uint32_t *ret_number)
{
	const char *start = *text;
	uint64_t number = 0;

	while (**text >= '0' && **text <= '9' && *text - start < 10)
		number = number * 10 + (uint64_t)(*(*text)++ - '0');
	*ret_number = (uint32_t)number;
	return *text > start && number <= most;
}

static bool take_ipv4(const char **text, unsigned char addr[4])
{
	for (int i = 0; i < 4; i++) {
		uint32_t byte;

		if (i > 0 && !take_char(text, '.'))
			return false;
		/* "010" is octal to some readers and decimal to others. */
		if ((*text)[0] == '0' && (*text)[1] >= '0' && (*text)[1] <= '9')
			return false;
		if (!take_number(text, 255, &byte))
			return false;
		addr[i] = (unsigned char)byte;
	}
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static bool take_group(const char **text, unsigned *ret_group)
{
	const char *start = *text;

	*ret_group = 0;
	while (hex_value(**text) >= 0 && *text - start < 4)
		*ret_group = *ret_group << 4 | (unsigned)hex_value(*(*text)++);
	return *text > start && hex_value(**text) < 0;
}

/* Moves the bytes behind the gap '::' to the end of the address. */
static void open_gap(unsigned char addr[16], int gap, int len)
{
	int tail = len - gap;

	memmove(addr + 16 - tail, addr + gap, (size_t)tail);
	memset(addr + gap, 0, (size_t)(16 - tail - gap));
}

/* Groups up to ']' or '%'. */
static bool take_ipv6(const char **text, unsigned char addr[16])
{
	int len = 0, gap = -1;

	memset(addr, 0, 16);
	if ((*text)[0] == ':' && (*text)[1] == ':') {
		*text += 2;
		gap = 0;
	}
	while (**text != ']' && **text != '%') {
		const char *start = *text;
		unsigned group;

		if (len <= 12 && take_ipv4(text, addr + len)) { /* "::ffff:192.0.2.1" */
			len += 4;
			break;
		}
		*text = start;
		if (len > 14 || !take_group(text, &group))
			return false;
		addr[len++] = (unsigned char)(group >> 8);
		addr[len++] = (unsigned char)group;
		if (**text == ']' || **text == '%')
			break;
		if (!take_char(text, ':'))
			return false;
		if (gap < 0 && take_char(text, ':'))
			gap = len;
		else if (**text == ']' || **text == '%')
			return false;
	}
	if (gap < 0)
		return len == 16;
	if (len > 14)
		return false;
	open_gap(addr, gap, len);
	return true;
}

static bool take_address(const char **text, struct endpoint *endpoint)
{
	if (!take_char(text, '[')) {
		endpoint->family = ENDPOINT_IPV4;
		return take_ipv4(text, endpoint->addr);
	}
	endpoint->family = ENDPOINT_IPV6;
	if (!take_ipv6(text, endpoint->addr))
		return false;
	if (take_char(text, '%') && !take_number(text, UINT32_MAX, &endpoint->scope))
		return false;
	return take_char(text, ']');
}

/* ":port" to the end of the text. */
static bool take_port(const char **text, uint16_t *ret_port)
{
	uint32_t port;

	if (!take_char(text, ':') || !take_number(text, 65535, &port) || **text)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	struct endpoint endpoint = {0};

	if (!take_address(&text, &endpoint) || !take_port(&text, &endpoint.port))
		return -EINVAL;
	*ret_endpoint = endpoint;
	return 0;
}

static bool is_host_name(const char *name, size_t len)
{
	if (len == 0 || len > ENDPOINT_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] >= 127 || strchr(":/@[]%", name[i]))
			return false;
	}
	return true;
}

int endpoint_parse_target(
	const char *text, struct endpoint *ret_endpoint, struct wire_bytes *ret_host)
{
	const char *colon = strrchr(text, ':');
	struct endpoint endpoint = {.family = ENDPOINT_NAME};

	*ret_host = (struct wire_bytes){NULL, 0};
	if (endpoint_parse(text, ret_endpoint) == 0)
		return ret_endpoint->port ? 0 : -EINVAL;
	if (!colon || !is_host_name(text, (size_t)(colon - text)))
		return -EINVAL;
	*ret_host = (struct wire_bytes){text, (size_t)(colon - text)};
	if (!take_port(&colon, &endpoint.port) || endpoint.port == 0)
		return -EINVAL;
	*ret_endpoint = endpoint;
	return 0;
}

/* The longest run of at least two zero groups (RFC 5952 section 4.2): its start, or -1. */
static int longest_zeros(const unsigned char addr[16], int *ret_len)
{
	int best = -1, best_len = 1;

	for (int start = 0; start < IPV6_GROUPS; start++) {
		int end = start;

		while (end < IPV6_GROUPS && addr[2 * end] == 0 && addr[2 * end + 1] == 0)
			end++;
		if (end - start > best_len) {
			best = start;
			best_len = end - start;
		}
	}
	*ret_len = best_len;
	return best;
}

static void format_ipv6(const unsigned char addr[16], char *text, size_t room)
{
	int zeros_len, zeros = longest_zeros(addr, &zeros_len);
	size_t used = 0;

	for (int i = 0; i < IPV6_GROUPS; i++) {
		if (i == zeros) {
			used += (size_t)snprintf(text + used, room - used, "::");
			i += zeros_len - 1;
			continue;
		}
		used += (size_t)snprintf(text + used, room - used, "%s%x",
			i == 0 || i == zeros + zeros_len ? "" : ":",
			(unsigned)addr[2 * i] << 8 | addr[2 * i + 1]);
	}
}

char *endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_LEN])
{
	const unsigned char *a = endpoint->addr;
	char address[40], scope[16] = "";

	if (endpoint->family == ENDPOINT_IPV4) {
		snprintf(text, ENDPOINT_TEXT_LEN, "%u.%u.%u.%u:%u", a[0], a[1], a[2], a[3],
			endpoint->port);
	} else if (endpoint->family == ENDPOINT_IPV6) {
		format_ipv6(a, address, sizeof(address));
		if (endpoint->scope)
			snprintf(scope, sizeof(scope), "%%%u", endpoint->scope);
		snprintf(text, ENDPOINT_TEXT_LEN, "[%s%s]:%u", address, scope, endpoint->port);
	} else {
		snprintf(text, ENDPOINT_TEXT_LEN, "?:%u", endpoint->port);
	}
	return text;
}
