#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "monitor/address.h"
#include "monitor/grants.h"
#include "monitor/log.h"

#define PATIENCE_TRIES 15
#define PATIENCE_NS    20000000 /* between two tries */

/*
 * With SO_REUSEADDR bind fails for a port that is listened on and passes for one in which only old
 * connections linger, which is what a listener will find. IPv6 alone: whether the guest
 * will want both families is not known yet. 0 or a negative errno.
 */
static int try_bind(const struct endpoint *endpoint, int type, bool v6only)
{
	struct sockaddr_storage address;
	socklen_t len;
	const int on = 1, only = v6only;

	int error = address_to_sockaddr(endpoint, &address, &len);
	if (error)
		return error;
	int fd = socket(address.ss_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	error = bind(fd, (struct sockaddr *)&address, len) < 0 ? -errno : 0;
	close(fd);
	return error;
}

/*
 * A monitor that ended just now may hold its port for a moment longer: the kernel lets go of an
 * io_uring's accept after the process is gone.
 */
static int bind_patiently(const struct endpoint *endpoint, int type, bool v6only)
{
	int error = try_bind(endpoint, type, v6only);

	for (int tries = 0; error == -EADDRINUSE && tries < PATIENCE_TRIES; tries++) {
		nanosleep(&(struct timespec){.tv_nsec = PATIENCE_NS}, NULL);
		error = try_bind(endpoint, type, v6only);
	}
	return error;
}

struct bind_failure {
	int error;
	const char *cause; /* follows "port N of ADDR" */
	const char *remedy;
};

static const struct bind_failure bind_failures[] = {
	{EADDRINUSE, "is in use", "stop what listens there or choose another port"},
	{EACCES, "is reserved for privileged users", "choose a port from 1024 up"},
	{EADDRNOTAVAIL, "cannot be listened on: no interface has that address",
		"choose an address of this machine, or 0.0.0.0 for all"},
	{EAFNOSUPPORT, "cannot be listened on: this machine has no such protocol",
		"choose an address of the other family"},
	{0, "cannot be listened on", "choose another address or port"},
};

static const struct bind_failure *find_bind_failure(int error)
{
	const struct bind_failure *row = bind_failures;

	while (row->error != 0 && row->error != error)
		row++;
	return row;
}

static int probe(
	const struct endpoint *endpoint, int type, bool v6only, char *ret_error, size_t error_len)
{
	int error = bind_patiently(endpoint, type, v6only);
	char text[ADDRESS_TEXT_LEN];

	if (error == 0)
		return 0;
	const struct bind_failure *row = find_bind_failure(-error);
	address_text(endpoint, text);
	*strrchr(text, ':') = '\0';
	return log_sentence(ret_error, error_len, -error, "%sport %u of %s %s; %s",
		type == SOCK_DGRAM ? "UDP " : "", endpoint->port, text, row->cause, row->remedy);
}

/* One address, or all of a family, and one port, or all: then the address is tried, with a free
 * one. */
static bool is_one(const struct grant_net *grant)
{
	bool all = grant->port_first == 0 && grant->port_last == 65535;
	unsigned bits = grant->first.family == ENDPOINT_IPV4 ? 32 : 128;

	return grant->kind == GRANT_RANGE && (grant->prefix == bits || grant->prefix == 0) &&
	       (all || grant->port_first == grant->port_last);
}

/* Has the name that this address came from another one, which can be bound? */
static bool has_another(const struct grant_list *list, const struct grant_net *grant)
{
	for (size_t i = 0; grant->named && i < list->count; i++) {
		const struct grant_net *other = &list->grant[i];

		if (other->named && strcmp(other->host, grant->host) == 0 &&
			try_bind(&other->first, SOCK_STREAM, true) == 0)
			return true;
	}
	return false;
}

static int probe_list(const struct grant_list *list, int type, char *ret_error, size_t error_len)
{
	int error = 0;

	for (size_t i = 0; !error && i < list->count; i++) {
		struct endpoint endpoint = list->grant[i].first;
		endpoint.port = list->grant[i].port_first;
		if (is_one(&list->grant[i]))
			/* Whether the guest will want both families is not known yet. */
			error = probe(&endpoint, type, true, ret_error, error_len);
		if ((error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT) &&
			has_another(list, &list->grant[i]))
			error = 0; /* as ::1 of localhost, where there is no IPv6 */
	}
	return error;
}

int grants_probe_listen(const struct grants *grants, char *ret_error, size_t error_len)
{
	int error = probe_list(&grants->net[GRANT_TCP_LISTEN], SOCK_STREAM, ret_error, error_len);

	for (size_t i = 0; !error && i < grants->publish_count; i++)
		error = probe(&grants->publish[i].host,
			grants->publish[i].udp ? SOCK_DGRAM : SOCK_STREAM, false, ret_error,
			error_len);
	return error;
}
