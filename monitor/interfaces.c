#include "monitor/interfaces.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "monitor/address.h"

static uint32_t flags_of(unsigned flags)
{
	static const struct {
		unsigned kernel, ours;
	} rows[] = {{IFF_UP, NETWORK_UP}, {IFF_LOOPBACK, NETWORK_LOOPBACK},
		{IFF_BROADCAST, NETWORK_BROADCAST}, {IFF_POINTOPOINT, NETWORK_POINT_TO_POINT},
		{IFF_MULTICAST, NETWORK_MULTICAST}};
	uint32_t ours = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (flags & rows[i].kernel)
			ours |= rows[i].ours;
	return ours;
}

static uint16_t bits_of(const struct sockaddr *mask, uint16_t family)
{
	struct sockaddr_storage storage = {0};
	unsigned bits = 0;

	if (mask == NULL)
		return family == ENDPOINT_IPV4 ? 32 : 128;
	memcpy(&storage, mask,
		family == ENDPOINT_IPV4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	struct endpoint of = address_from_sockaddr(&storage);
	for (size_t i = 0; i < sizeof(of.addr); i++)
		bits += (unsigned)__builtin_popcount(of.addr[i]);
	return (uint16_t)bits;
}

/* 0 where the kernel does not say, as for an interface that has gone. */
static uint32_t mtu_of(int fd, const char *name)
{
	struct ifreq request = {0};

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	return ioctl(fd, SIOCGIFMTU, &request) == 0 ? (uint32_t)request.ifr_mtu : 0;
}

static bool has_address(const struct ifaddrs *at)
{
	return at->ifa_addr != NULL &&
	       (at->ifa_addr->sa_family == AF_INET || at->ifa_addr->sa_family == AF_INET6);
}

static void take(struct network_interface *to, const struct ifaddrs *at, int fd)
{
	struct sockaddr_storage storage = {0};
	bool ipv4 = at->ifa_addr->sa_family == AF_INET;

	memcpy(&storage, at->ifa_addr,
		ipv4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	to->address = address_from_sockaddr(&storage);
	to->address.port = 0;
	to->prefix = bits_of(at->ifa_netmask, to->address.family);
	to->index = if_nametoindex(at->ifa_name);
	to->flags = flags_of(at->ifa_flags);
	to->mtu = mtu_of(fd, at->ifa_name);
	strncpy(to->name, at->ifa_name, sizeof(to->name) - 1);
}

int interfaces_list(struct network_interface **ret_list, size_t *ret_count)
{
	struct ifaddrs *all;
	size_t count = 0, filled = 0;

	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || getifaddrs(&all) < 0) {
		int error = -errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	for (struct ifaddrs *at = all; at != NULL; at = at->ifa_next)
		count += has_address(at);
	struct network_interface *list = calloc(count + 1, sizeof(*list));
	for (struct ifaddrs *at = all; list != NULL && at != NULL; at = at->ifa_next)
		if (has_address(at))
			take(&list[filled++], at, fd);
	freeifaddrs(all);
	close(fd);
	if (list == NULL)
		return -ENOMEM;
	*ret_list = list;
	*ret_count = filled;
	return 0;
}
