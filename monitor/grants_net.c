/*
 * Grants of addresses and names, as options and a grants file have them:
 *
 *   --listen and --connect   HOST:PORTS
 *   --udp                    HOST:PORTS[:listen|:connect]
 *   --publish                [ADDR:]PORT:GUESTPORT[/udp]
 *
 *   HOST   an address, a range of them (10.0.0.0/8), a name, *.NAME for every name below, or 'any'.
 *          IPv6 in brackets
 *   PORTS  one, a range (8000-8100), or '*' (also 0) for all
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "monitor/address.h"
#include "monitor/complaint.h"
#include "monitor/grants.h"

#define VALUE_MAX (ENDPOINT_HOST_MAX + 64u) /* bytes: a host, ports, an end */
#define PORT_LAST 65535u

/* What an option grants to the hosts that its value names. */
struct uses {
	bool listen, connect;
	enum grant_use listen_use, connect_use;
};

/* ---- URLs, which people have at hand */

/* The port that a scheme stands for; 0: not one that is known. */
static unsigned scheme_port(const char *scheme, size_t len)
{
	static const struct {
		const char *name;
		unsigned port;
	} schemes[] = {{"http", 80}, {"https", 443}, {"ws", 80}, {"wss", 443}, {"ftp", 21}};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strlen(schemes[i].name) == len &&
			strncasecmp(schemes[i].name, scheme, len) == 0)
			return schemes[i].port;
	return 0;
}

/* The "host[:port]" of a URL, without user and password. */
static const char *url_authority(const char *url, size_t *ret_len)
{
	const char *start = strstr(url, "://") + 3;
	size_t len = strcspn(start, "/?#");
	const char *user_end = memrchr(start, '@', len);
	const char *host = user_end != NULL ? user_end + 1 : start;

	*ret_len = len - (size_t)(host - start);
	return host;
}

/* A URL names an endpoint too: says which. */
static int complain_url(const struct complaint *about)
{
	unsigned port =
		scheme_port(about->value, (size_t)(strstr(about->value, "://") - about->value));
	size_t len;
	const char *host = url_authority(about->value, &len);
	const char *bracket = memchr(host, ']', len);
	const char *from = bracket != NULL ? bracket : host;
	const char *colon = memchr(from, ':', len - (size_t)(from - host));
	char remedy[ENDPOINT_HOST_MAX + 64], number[16] = "";

	if (len == 0 || len > ENDPOINT_HOST_MAX || (colon == NULL && port == 0))
		return complain(about, EINVAL, "is a URL, with a scheme",
			"write host and port alone, for example 127.0.0.1:80");
	if (colon == NULL)
		snprintf(number, sizeof(number), ":%u", port);
	snprintf(remedy, sizeof(remedy), "write %s %.*s%s", about->option, (int)len, host, number);
	return complain(about, EINVAL, "is a URL, with a scheme", remedy);
}

/* ---- ports */

/* Digits alone, 1 to 65535. */
static bool parse_port(const char *text, size_t len, uint16_t *ret_port)
{
	unsigned long port = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || port > PORT_LAST)
			return false;
		port = port * 10 + (unsigned long)(text[i] - '0');
	}
	*ret_port = (uint16_t)port;
	return port != 0 && port <= PORT_LAST;
}

static bool is_every(const char *text)
{
	return strcmp(text, "*") == 0 || strcmp(text, "0") == 0 || strcasecmp(text, "any") == 0;
}

static int parse_ports(const struct complaint *about, const char *text, struct grant_net *grant)
{
	const char *dash = strchrnul(text, '-');
	uint16_t *first = &grant->port_first, *last = &grant->port_last;

	if (is_every(text)) {
		*first = 0;
		*last = PORT_LAST;
		return 0;
	}
	if (*text < '0' || *text > '9')
		return complain(about, EINVAL, "has no port number behind its last ':'",
			"write one from 1 to 65535, two with '-' between them, or * for all");
	if (!parse_port(text, (size_t)(dash - text), first) ||
		(*dash != '\0' && !parse_port(dash + 1, strlen(dash + 1), last)))
		return complain(about, ERANGE, "has a port that is none",
			"write one from 1 to 65535, two with '-' between them, or * for all");
	if (*dash == '\0')
		*last = *first;
	if (*last < *first)
		return complain(about, ERANGE, "has a range of ports whose end is before its start",
			"write the lower port first");
	return 0;
}

/* ---- hosts */

/* Letters, digits, '-', '_' and dots, the last label not a number: "127.1" is no name. */
static bool is_host_name(const char *text)
{
	size_t len = strlen(text);
	const char *dot = strrchr(text, '.');
	const char *last = dot != NULL ? dot + 1 : text;

	if (len == 0 || len > ENDPOINT_HOST_MAX || (*last >= '0' && *last <= '9'))
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
	       len;
}

static bool is_name_or_below(const char *text)
{
	return is_host_name(strncmp(text, "*.", 2) == 0 ? text + 2 : text);
}

/* Are all bits behind the prefix 0? */
static bool ends_in_zeros(const struct endpoint *first, unsigned prefix)
{
	for (unsigned bit = prefix; bit < address_bits(first); bit++)
		if (first->addr[bit / 8] & (0x80 >> bit % 8))
			return false;
	return true;
}

static int parse_range(const struct complaint *about, char *text, struct grant_net *grant)
{
	char *slash = strchr(text, '/'), *end;
	unsigned long prefix = strtoul(slash + 1, &end, 10);

	*slash = '\0';
	bool number = slash[1] >= '0' && slash[1] <= '9' && *end == '\0';
	if (!address_parse(text, &grant->first) || !number || prefix > address_bits(&grant->first))
		return complain(about, EINVAL, "is not a range of addresses",
			"write one as 10.0.0.0/8:443 or [2001:db8::/32]:443");
	if (!ends_in_zeros(&grant->first, (unsigned)prefix))
		return complain(about, EINVAL, "has bits set behind the prefix of its range",
			"write the first address of the range, or a longer prefix");
	struct endpoint plain = address_without_mapping(&grant->first);
	if (plain.family != grant->first.family)
		return complain(about, EINVAL, "is a range of IPv4 addresses written as IPv6",
			"write it as IPv4");
	grant->kind = GRANT_RANGE;
	grant->prefix = (unsigned)prefix;
	return 0;
}

/* One address; 0.0.0.0 and :: stand for all of their family. */
static void one_address(const struct endpoint *address, struct grant_net *grant)
{
	grant->kind = GRANT_RANGE;
	grant->first = address_without_mapping(address);
	grant->prefix = address_is_unspecified(address) ? 0 : address_bits(&grant->first);
}

/* 'host' is changed. */
static int parse_host(const struct complaint *about, char *host, struct grant_net *grant)
{
	struct endpoint address;

	if (strcasecmp(host, "any") == 0 || strcmp(host, "*") == 0)
		grant->kind = GRANT_ANY;
	else if (strchr(host, '/') != NULL)
		return parse_range(about, host, grant);
	else if (address_parse(host, &address))
		one_address(&address, grant);
	else if (is_name_or_below(host))
		grant->kind = GRANT_NAME;
	else
		return complain(about, EINVAL, "has neither an IP address nor a host name",
			"write for example 192.0.2.1:80, [2001:db8::1]:80, example.org:80 or "
			"any:80");
	return 0;
}

/* ---- host and ports */

/* Cuts "HOST:PORTS" and "[HOST]:PORTS" in two, in place. */
static int split(const struct complaint *about, char *text, char **ret_host, char **ret_ports)
{
	char *colon = strrchr(text, ':');
	static char every[] = "*";

	if (strcasecmp(text, "any") == 0) {
		*ret_host = text;
		*ret_ports = every;
		return 0;
	}
	if (*text == '[' && (strchr(text, ']') == NULL || strncmp(strchr(text, ']'), "]:", 2) != 0))
		return complain(about, EINVAL,
			"has brackets that are not closed in front of the port",
			"write [ADDR]:PORT or [ADDR/BITS]:PORT, for example [::1]:8080");
	if (colon == NULL)
		return complain(about, EINVAL, "is not a host and a port",
			"write both, for example 127.0.0.1:8080");
	*colon = '\0';
	*ret_host = text;
	*ret_ports = colon + 1;
	size_t len = strlen(text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		*ret_host = text + 1;
	} else if (strchr(text, ':') != NULL && strchr(text, '.') == NULL) {
		return complain(about, EINVAL, "has an IPv6 address without brackets or port",
			"write [ADDR]:PORT, for example [::1]:8080");
	} else if (strchr(text, ':') != NULL) {
		return complain(about, EINVAL, "has more than a host and its ports",
			"write HOST:PORTS, once for each; of --udp :listen or :connect may follow");
	}
	return 0;
}

static int add(const struct complaint *about, struct grant_list *list,
	const struct grant_net *grant, const char *host)
{
	struct grant_net *more = reallocarray(list->grant, list->count + 1, sizeof(*more));

	if (more == NULL)
		return complain_memory(about);
	list->grant = more;
	more[list->count] = *grant;
	more[list->count].host = strdup(host);
	if (more[list->count].host == NULL)
		return complain_memory(about);
	list->count++;
	return 0;
}

/* To listen on a name is to listen on its addresses, which are asked for once. */
static int add_listen_name(const struct complaint *about, struct grant_list *list,
	const struct grant_net *name, const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct grant_net grant = *name;
	int error = 0;

	if (*host == '*' || getaddrinfo(host, NULL, &hints, &found) != 0)
		return complain(about, EINVAL, "has a host name that is not known here",
			"write an address of this machine, for example 127.0.0.1:8080 or "
			"[::]:8080");
	for (struct addrinfo *at = found; !error && at != NULL; at = at->ai_next) {
		struct sockaddr_storage address = {0};

		memcpy(&address, at->ai_addr, at->ai_addrlen);
		grant.kind = GRANT_RANGE;
		grant.first = address_from_sockaddr(&address);
		grant.first.port = 0;
		grant.prefix = address_bits(&grant.first);
		grant.named = true;
		/* As lists of names that are to be blocked have it: not every address is meant. */
		if (!address_is_unspecified(&grant.first))
			error = add(about, list, &grant, host);
	}
	freeaddrinfo(found);
	return error;
}

static int add_hosts(const struct complaint *about, struct grants *grants, const struct uses *uses,
	const struct grant_net *grant, const char *host)
{
	struct grant_list *listen = &grants->net[uses->listen_use];
	bool name = grant->kind == GRANT_NAME;
	/* Where both are meant a name is what to send to, unless it is this machine's own. */
	bool listens =
		uses->listen && (!name || !uses->connect || strcasecmp(host, "localhost") == 0);
	int error = 0;

	if (uses->connect)
		error = add(about, &grants->net[uses->connect_use], grant, host);
	if (!error && listens)
		error = name ? add_listen_name(about, listen, grant, host)
			     : add(about, listen, grant, host);
	return error;
}

static int add_value(const struct complaint *about, struct grants *grants, const struct uses *uses,
	size_t value_len)
{
	struct grant_net grant = {0};
	char text[VALUE_MAX], host[VALUE_MAX], *host_part = NULL, *ports = NULL;

	if (strstr(about->value, "://") != NULL)
		return complain_url(about);
	if (value_len >= sizeof(text))
		return complain(about, ENAMETOOLONG, "is too long", "write a host and a port");
	memcpy(text, about->value, value_len);
	text[value_len] = '\0';
	int error = split(about, text, &host_part, &ports);
	if (!error)
		error = parse_ports(about, ports, &grant);
	if (error)
		return error;
	strcpy(host, host_part);
	error = parse_host(about, host_part, &grant);
	return error ? error : add_hosts(about, grants, uses, &grant, host);
}

int grants_add_listen(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--listen", value, ret_error, error_len};
	const struct uses uses = {.listen = true, .listen_use = GRANT_TCP_LISTEN};

	return add_value(&about, grants, &uses, strlen(value));
}

int grants_add_connect(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--connect", value, ret_error, error_len};
	const struct uses uses = {.connect = true, .connect_use = GRANT_TCP_CONNECT};

	return add_value(&about, grants, &uses, strlen(value));
}

/* Does the value end so? Then *len is what is before it. */
static bool take_end(const char *value, const char *end, size_t *len)
{
	size_t end_len = strlen(end);

	if (*len <= end_len || strcmp(value + *len - end_len, end) != 0)
		return false;
	*len -= end_len;
	return true;
}

int grants_add_udp(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--udp", value, ret_error, error_len};
	struct uses uses = {true, true, GRANT_UDP_LISTEN, GRANT_UDP_SEND};
	size_t len = strlen(value);

	if (take_end(value, ":listen", &len))
		uses.connect = false;
	else if (take_end(value, ":connect", &len))
		uses.listen = false;
	return add_value(&about, grants, &uses, len);
}

/* ---- published ports */

static int publish_form(const struct complaint *about)
{
	return complain(about, EINVAL, "is not a port of this machine and a port of the guest",
		"write [ADDR:]PORT:GUESTPORT, for example 8080:80, 127.0.0.1:8080:80 or 53:53/udp");
}

/* The address in front of "PORT:GUESTPORT"; none: every IPv4 address. */
static bool parse_publish_address(char *text, size_t len, struct endpoint *ret_host)
{
	*ret_host = (struct endpoint){.family = ENDPOINT_IPV4};
	if (len == 0)
		return true;
	text[len] = '\0';
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		return address_parse(text + 1, ret_host);
	}
	return strchr(text, ':') == NULL && address_parse(text, ret_host);
}

static int parse_publish(
	const struct complaint *about, char *text, struct grant_publish *ret_publish)
{
	size_t len = strlen(text);

	if (take_end(text, "/udp", &len))
		ret_publish->udp = true;
	else
		take_end(text, "/tcp", &len);
	const char *guest = memrchr(text, ':', len);
	if (guest == NULL ||
		!parse_port(guest + 1, (size_t)(text + len - guest) - 1, &ret_publish->guest_port))
		return publish_form(about);
	len = (size_t)(guest - text);
	const char *host = memrchr(text, ':', len);
	const char *port = host != NULL ? host + 1 : text;
	size_t port_len = (size_t)(guest - port);
	uint16_t number = 0;
	bool some = port_len == 1 && *port == '0';
	if (!some && !parse_port(port, port_len, &number))
		return publish_form(about);
	if (!parse_publish_address(
		    text, host != NULL ? (size_t)(host - text) : 0, &ret_publish->host))
		return publish_form(about);
	ret_publish->host.port = number;
	return 0;
}

int grants_add_publish(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--publish", value, ret_error, error_len};
	struct grant_publish publish = {0};
	char text[VALUE_MAX];

	if (strlen(value) >= sizeof(text))
		return publish_form(&about);
	strcpy(text, value);
	int error = parse_publish(&about, text, &publish);
	if (error)
		return error;
	if (grants_published(grants, publish.udp, publish.guest_port) != NULL)
		return complain(&about, EEXIST, "publishes a port of the guest a second time",
			"give each port of the guest one of this machine");
	struct grant_publish *more =
		reallocarray(grants->publish, grants->publish_count + 1, sizeof(*more));
	if (more == NULL)
		return complain_memory(&about);
	more[grants->publish_count++] = publish;
	grants->publish = more;
	return 0;
}

bool grants_could_name(const char *host, size_t host_len)
{
	struct endpoint address;
	char name[ENDPOINT_HOST_MAX + 1];

	if (host_len > ENDPOINT_HOST_MAX || memchr(host, '\0', host_len) != NULL)
		return false;
	memcpy(name, host, host_len);
	name[host_len] = '\0';
	if (strcasecmp(name, "any") == 0) /* means something else there */
		return false;
	return address_parse(name, &address) || is_host_name(name);
}

bool grants_publish_meant(const struct grants *grants, bool udp, uint16_t guest_port,
	char ret_value[GRANTS_PUBLISH_LEN])
{
	const struct grant_publish *meant = NULL;
	char text[ADDRESS_TEXT_LEN];

	for (size_t i = 0; i < grants->publish_count; i++) {
		const struct grant_publish *publish = &grants->publish[i];

		if (publish->udp != udp && publish->guest_port == guest_port)
			meant = publish; /* /udp is missing, or one too many */
		else if (publish->udp == udp && meant == NULL)
			meant = publish;
	}
	if (meant == NULL || guest_port == 0)
		return false;
	snprintf(ret_value, GRANTS_PUBLISH_LEN, "%s:%u%s", address_text(&meant->host, text),
		guest_port, udp ? "/udp" : "");
	return true;
}
