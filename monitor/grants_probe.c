#include "monitor/grants.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "monitor/log.h"

#define PATIENCE_TRIES 15
#define PATIENCE_NS    20000000 /* between two tries */

static socklen_t to_sockaddr(
	const struct tcp_endpoint *endpoint, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6,
		.sin6_port = htons(endpoint->port),
		.sin6_scope_id = endpoint->scope};

	if (endpoint->family == TCP_IPV4) {
		memcpy(&ipv4.sin_addr, endpoint->addr, sizeof(ipv4.sin_addr));
		memcpy(ret_address, &ipv4, sizeof(ipv4));
		return sizeof(ipv4);
	}
	memcpy(&ipv6.sin6_addr, endpoint->addr, sizeof(ipv6.sin6_addr));
	memcpy(ret_address, &ipv6, sizeof(ipv6));
	return sizeof(ipv6);
}

/*
 * With SO_REUSEADDR bind fails for a port that is listened on and passes for one in which only old
 * connections linger, which is what a listener will find. IPv6 alone: whether the guest
 * will want both families is not known yet. 0 or a negative errno.
 */
static int try_bind(const struct tcp_endpoint *endpoint)
{
	struct sockaddr_storage address;
	socklen_t len = to_sockaddr(endpoint, &address);
	const int on = 1;

	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	int error = bind(fd, (struct sockaddr *)&address, len) < 0 ? -errno : 0;
	close(fd);
	return error;
}

/*
 * A monitor that ended just now may hold its port for a moment longer: the kernel lets go of an
 * io_uring's accept after the process is gone.
 */
static int bind_patiently(const struct tcp_endpoint *endpoint)
{
	int error = try_bind(endpoint);

	for (int tries = 0; error == -EADDRINUSE && tries < PATIENCE_TRIES; tries++) {
		nanosleep(&(struct timespec){.tv_nsec = PATIENCE_NS}, NULL);
		error = try_bind(endpoint);
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

int grants_probe_listen(const struct grants *grants, char *ret_error, size_t error_len)
{
	for (size_t i = 0; i < grants->listen_count; i++) {
		const struct grant_endpoint *grant = &grants->listen[i];
		int error = bind_patiently(&grant->endpoint);
		if (error == 0)
			continue;
		const struct bind_failure *row = find_bind_failure(-error);
		return log_sentence(ret_error, error_len, -error, "port %u of %s %s; %s",
			grant->endpoint.port, grant->host, row->cause, row->remedy);
	}
	return 0;
}
