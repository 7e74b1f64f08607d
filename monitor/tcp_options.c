#include "monitor/tcp_options.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define NS_PER_MS 1000000u

/* As it is where the value is 0. */
static int set(int fd, int level, int name, uint32_t value)
{
	int number = value < INT_MAX ? (int)value : INT_MAX;

	return value == 0 || setsockopt(fd, level, name, &number, sizeof(number)) == 0 ? 0 : -errno;
}

static int set_keepalive(int fd, const struct tcp_options *options)
{
	int error = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);

	if (!error)
		error = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->keepalive_s);
	if (!error)
		error = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->keepalive_interval_s);
	if (!error)
		error = set(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keepalive_count);
	return error;
}

int tcp_options_set(int fd, const struct tcp_options *options)
{
	int error = 0;

	if ((options->flags & ~TCP_OPTION_KNOWN) != 0)
		return -EINVAL;
	if ((options->flags & TCP_OPTION_DELAY) == 0)
		error = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!error && (options->flags & TCP_OPTION_KEEPALIVE) != 0)
		error = set_keepalive(fd, options);
	if (!error)
		error = set(fd, SOL_SOCKET, SO_RCVBUF, options->receive_buffer);
	if (!error)
		error = set(fd, SOL_SOCKET, SO_SNDBUF, options->send_buffer);
	if (!error)
		error = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options->unacknowledged_ms);
	return error;
}

uint64_t tcp_options_idle_ns(const struct tcp_options *options)
{
	return (uint64_t)options->idle_ms * NS_PER_MS;
}
