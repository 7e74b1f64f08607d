#include "monitor/grants.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "monitor/log.h"

/* Where the sentence about a bad value goes, and which option it is about. */
struct complaint {
	const char *option; /* "--listen" */
	const char *value;
	char *ret_error;
	size_t error_len;
	bool only_addresses; /* names of hosts are no good */
};

/* 'cause' follows the quoted option and value; 'remedy' follows the semicolon. */
static int complain(const struct complaint *about, int error, const char *cause, const char *remedy)
{
	return log_sentence(about->ret_error, about->error_len, error, "%s '%s' %s; %s",
		about->option, about->value, cause, remedy);
}

static int no_memory(const struct complaint *about)
{
	return complain(about, ENOMEM, "found no memory", "free some");
}

/* ---- endpoints */

static bool is_unspecified(const struct tcp_endpoint *endpoint)
{
	static const unsigned char zero[sizeof(endpoint->addr)];
	return memcmp(endpoint->addr, zero, sizeof(zero)) == 0;
}

/* ::ffff:a.b.c.d reaches a.b.c.d: it must need the same grant. */
static struct tcp_endpoint without_mapping(struct tcp_endpoint endpoint)
{
	static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

	if (endpoint.family != TCP_IPV6 || memcmp(endpoint.addr, prefix, sizeof(prefix)) != 0)
		return endpoint;
	struct tcp_endpoint ipv4 = {.family = TCP_IPV4, .port = endpoint.port};
	memcpy(ipv4.addr, endpoint.addr + sizeof(prefix), 4);
	return ipv4;
}

/* "fe80::1%eth0": the part behind the '%' is an interface's name. */
static bool parse_ipv6(const char *text, struct tcp_endpoint *ret_endpoint)
{
	char address[INET6_ADDRSTRLEN];
	const char *percent = strchrnul(text, '%');
	size_t len = (size_t)(percent - text);
	unsigned scope = 0;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (*percent == '%') {
		scope = if_nametoindex(percent + 1);
		if (scope == 0)
			return false;
	}
	struct tcp_endpoint endpoint = {.family = TCP_IPV6, .scope = scope};
	if (inet_pton(AF_INET6, address, endpoint.addr) != 1)
		return false;
	*ret_endpoint = endpoint;
	return true;
}

/* Sets family, scope and addr; false: not an address. */
static bool parse_address(const char *text, struct tcp_endpoint *ret_endpoint)
{
	struct tcp_endpoint endpoint = {.family = TCP_IPV4};

	if (inet_pton(AF_INET, text, endpoint.addr) == 1) {
		*ret_endpoint = endpoint;
		return true;
	}
	return parse_ipv6(text, ret_endpoint);
}

/* Letters, digits, '-', '_' and dots, the last label not a number: "127.1" is no name. */
static bool is_host_name(const char *text)
{
	size_t len = strlen(text);
	const char *dot = strrchr(text, '.');
	const char *last = dot != NULL ? dot + 1 : text;

	if (len == 0 || len > TCP_HOST_MAX || (*last >= '0' && *last <= '9'))
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
	       len;
}

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
	bool address = len != 0 && strchr("[0123456789", host[0]) != NULL;
	char remedy[TCP_HOST_MAX + 64], number[16] = "";

	if (len == 0 || len > TCP_HOST_MAX || (colon == NULL && port == 0))
		return complain(about, EINVAL, "is a URL, with a scheme",
			"write host and port alone, for example 127.0.0.1:80");
	if (colon == NULL)
		snprintf(number, sizeof(number), ":%u", port);
	if (about->only_addresses && !address) /* localhost, in all likelihood */
		snprintf(remedy, sizeof(remedy), "write %s 127.0.0.1%.*s%s", about->option,
			colon != NULL ? (int)(host + len - colon) : 0, colon != NULL ? colon : "",
			number);
	else
		snprintf(remedy, sizeof(remedy), "write %s %.*s%s", about->option, (int)len, host,
			number);
	return complain(about, EINVAL, "is a URL, with a scheme", remedy);
}

static int parse_port(const struct complaint *about, const char *text, uint16_t *ret_port)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || text[digits] != '\0')
		return complain(about, EINVAL, "has no port number behind its last ':'",
			"write one from 1 to 65535, or 0 for any");
	unsigned long port = digits > 5 ? 65536 : strtoul(text, NULL, 10);
	if (port > 65535)
		return complain(about, ERANGE, "has a port out of range",
			"write one from 1 to 65535, or 0 for any");
	*ret_port = (uint16_t)port;
	return 0;
}

/*
 * "HOST:PORT" or "[IPV6]:PORT": on success *ret_host is the host, to be freed, without
 * brackets.
 */
static int split_endpoint(const struct complaint *about, char **ret_host, uint16_t *ret_port)
{
	const char *colon = strrchr(about->value, ':');

	if (strstr(about->value, "://") != NULL)
		return complain_url(about);
	if (colon == NULL)
		return complain(about, EINVAL, "is not a host and a port",
			"write both, for example 127.0.0.1:8080");
	size_t len = (size_t)(colon - about->value);
	const char *host = about->value;
	bool brackets = len >= 2 && host[0] == '[' && host[len - 1] == ']';
	if (!brackets && memchr(host, ':', len) != NULL)
		return complain(about, EINVAL, "has an IPv6 address without brackets or port",
			"write [ADDR]:PORT, for example [::1]:8080");
	int error = parse_port(about, colon + 1, ret_port);
	if (error)
		return error;
	*ret_host = brackets ? strndup(host + 1, len - 2) : strndup(host, len);
	return *ret_host != NULL ? 0 : no_memory(about);
}

static int add_endpoint(const struct complaint *about, struct grant_endpoint **grants,
	size_t *count, const struct grant_endpoint *grant)
{
	struct grant_endpoint *more = reallocarray(*grants, *count + 1, sizeof(**grants));

	if (more == NULL)
		return no_memory(about);
	more[(*count)++] = *grant;
	*grants = more;
	return 0;
}

int grants_add_listen(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--listen", value, ret_error, error_len, true};
	struct grant_endpoint grant = {0};
	uint16_t port;

	int error = split_endpoint(&about, &grant.host, &port);
	if (error)
		return error;
	if (parse_address(grant.host, &grant.endpoint)) {
		grant.endpoint.port = port;
		grant.endpoint = without_mapping(grant.endpoint);
		error = add_endpoint(&about, &grants->listen, &grants->listen_count, &grant);
	} else {
		error = complain(&about, EINVAL, "does not begin with an IP address",
			"write one of this machine, for example 127.0.0.1:8080 or [::]:8080");
	}
	if (error)
		free(grant.host);
	return error;
}

int grants_add_connect(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--connect", value, ret_error, error_len, false};
	struct grant_endpoint grant = {0};
	uint16_t port;

	int error = split_endpoint(&about, &grant.host, &port);
	if (error)
		return error;
	if (parse_address(grant.host, &grant.endpoint) || is_host_name(grant.host)) {
		grant.endpoint.port = port;
		grant.endpoint = without_mapping(grant.endpoint);
		error = add_endpoint(&about, &grants->connect, &grants->connect_count, &grant);
	} else {
		error = complain(&about, EINVAL, "has neither an IP address nor a host name",
			"write for example 192.0.2.1:80, [2001:db8::1]:80 or example.org:80");
	}
	if (error)
		free(grant.host);
	return error;
}

/* ---- mounts */

/* The directory without '.', '//' and a '/' at the end, to be freed. */
static int normal_path(const struct complaint *about, const char *path, size_t len, char **ret_path)
{
	char *normal = calloc(1, len + 2);
	size_t used = 0;

	if (normal == NULL)
		return no_memory(about);
	for (size_t at = 0, end; at < len; at = end + 1) {
		end = at;
		while (end < len && path[end] != '/')
			end++;
		size_t part = end - at;
		if (part == 0 || (part == 1 && path[at] == '.'))
			continue;
		if (part == 2 && path[at] == '.' && path[at + 1] == '.') {
			free(normal);
			return complain(about, EINVAL, "has '..' in the guest's directory",
				"write the path without it");
		}
		normal[used++] = '/';
		memcpy(normal + used, path + at, part);
		used += part;
	}
	if (used == 0)
		normal[0] = '/';
	*ret_path = normal;
	return 0;
}

/*
 * "HOSTDIR:GUESTDIR[:rw|:ro]". Read from the end, so that HOSTDIR may have colons in it.
 */
static int split_mount(const struct complaint *about, struct grant_mount *mount)
{
	const char *value = about->value;
	size_t len = strlen(value);

	if (len > 3 && strcmp(value + len - 3, ":rw") == 0)
		mount->writable = true;
	if (mount->writable || (len > 3 && strcmp(value + len - 3, ":ro") == 0))
		len -= 3;
	const char *colon = memrchr(value, ':', len);
	if (colon == NULL || colon == value)
		return complain(about, EINVAL, "does not name two directories",
			"write HOSTDIR:GUESTDIR, for example /srv/www:/www");
	const char *guest = colon + 1;
	if (*guest != '/')
		return complain(about, EINVAL,
			"ends neither in a directory of the guest nor in ':rw' or ':ro'",
			"write HOSTDIR:/GUESTDIR[:rw]");
	int error = normal_path(about, guest, len - (size_t)(guest - value), &mount->guest_path);
	if (error)
		return error;
	mount->host_path = strndup(value, (size_t)(colon - value));
	return mount->host_path != NULL ? 0 : no_memory(about);
}

static int open_mount(const struct complaint *about, struct grant_mount *mount)
{
	mount->fd = open(mount->host_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount->fd < 0) {
		switch (errno) {
		case ENOENT:
			return complain(about, ENOENT, "is not there on the host",
				"create the directory or correct the path");
		case ENOTDIR:
			return complain(about, ENOTDIR, "is not a directory on the host",
				"give the directory that the file is in");
		default:
			return complain(about, errno, "cannot be opened on the host",
				"check the permissions along the path");
		}
	}
	int listing = openat(mount->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (listing < 0)
		return complain(about, errno, "cannot be read by this user",
			"give read permission or choose another directory");
	close(listing);
	return 0;
}

static void free_mount(struct grant_mount *mount)
{
	if (mount->fd >= 0)
		close(mount->fd);
	free(mount->host_path);
	free(mount->guest_path);
}

static int add_mount(
	const struct complaint *about, struct grants *grants, const struct grant_mount *mount)
{
	if (grants_mount(grants, mount->guest_path, strlen(mount->guest_path)) != NULL)
		return complain(about, EEXIST, "uses a directory of the guest a second time",
			"give each mount a directory of its own");
	struct grant_mount *more =
		reallocarray(grants->mount, grants->mount_count + 1, sizeof(*more));
	if (more == NULL)
		return no_memory(about);
	more[grants->mount_count++] = *mount;
	grants->mount = more;
	return 0;
}

int grants_add_mount(struct grants *grants, const char *value, char *ret_error, size_t error_len)
{
	const struct complaint about = {"--mount", value, ret_error, error_len, false};
	struct grant_mount mount = {.fd = -1};

	int error = split_mount(&about, &mount);
	if (!error)
		error = open_mount(&about, &mount);
	if (!error)
		error = add_mount(&about, grants, &mount);
	if (error)
		free_mount(&mount);
	return error;
}

/* ---- both */

static void free_endpoints(struct grant_endpoint *grant, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(grant[i].host);
	free(grant);
}

void grants_free(struct grants *grants)
{
	free_endpoints(grants->listen, grants->listen_count);
	free_endpoints(grants->connect, grants->connect_count);
	for (size_t i = 0; i < grants->mount_count; i++)
		free_mount(&grants->mount[i]);
	free(grants->mount);
	*grants = (struct grants){0};
}

/* ---- what the guest asks for */

static bool covers(const struct tcp_endpoint *grant, const struct tcp_endpoint *asked)
{
	if (grant->family != asked->family || (grant->port != 0 && grant->port != asked->port))
		return false;
	if (is_unspecified(grant))
		return true;
	return memcmp(grant->addr, asked->addr, sizeof(grant->addr)) == 0 &&
	       (grant->scope == 0 || grant->scope == asked->scope);
}

static bool any_covers(const struct grant_endpoint *grant, size_t count, struct tcp_endpoint asked)
{
	asked = without_mapping(asked);
	if (asked.family != TCP_IPV4 && asked.family != TCP_IPV6)
		return false;
	for (size_t i = 0; i < count; i++)
		if (covers(&grant[i].endpoint, &asked))
			return true;
	return false;
}

bool grants_may_listen(const struct grants *grants, const struct tcp_endpoint *local)
{
	return any_covers(grants->listen, grants->listen_count, *local);
}

static bool name_granted(const struct grants *grants, const char *name, uint16_t port)
{
	for (size_t i = 0; i < grants->connect_count; i++) {
		const struct grant_endpoint *grant = &grants->connect[i];
		if (grant->endpoint.family == TCP_NAME &&
			(grant->endpoint.port == 0 || grant->endpoint.port == port) &&
			strcasecmp(grant->host, name) == 0)
			return true;
	}
	return false;
}

bool grants_may_connect(const struct grants *grants, const struct tcp_endpoint *remote,
	const char *host, size_t host_len)
{
	struct tcp_endpoint address;
	char name[TCP_HOST_MAX + 1];

	if (remote->family != TCP_NAME)
		return any_covers(grants->connect, grants->connect_count, *remote);
	if (host_len > TCP_HOST_MAX || memchr(host, '\0', host_len) != NULL)
		return false;
	memcpy(name, host, host_len);
	name[host_len] = '\0';
	if (!parse_address(name, &address))
		return name_granted(grants, name, remote->port);
	address.port = remote->port;
	return any_covers(grants->connect, grants->connect_count, address);
}

const struct grant_mount *grants_mount(
	const struct grants *grants, const char *path, size_t path_len)
{
	for (size_t i = 0; i < grants->mount_count; i++) {
		const char *granted = grants->mount[i].guest_path;
		if (strlen(granted) == path_len && memcmp(granted, path, path_len) == 0)
			return &grants->mount[i];
	}
	return NULL;
}

bool grants_could_connect(const char *host, size_t host_len)
{
	struct tcp_endpoint address;
	char name[TCP_HOST_MAX + 1];

	if (host_len > TCP_HOST_MAX || memchr(host, '\0', host_len) != NULL)
		return false;
	memcpy(name, host, host_len);
	name[host_len] = '\0';
	return parse_address(name, &address) || is_host_name(name);
}
