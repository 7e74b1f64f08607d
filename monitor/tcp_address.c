#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "monitor/tcp.h"

int tcp_to_sockaddr(const struct tcp_endpoint *endpoint, struct sockaddr_storage *ret_address,
	socklen_t *ret_len)
{
	memset(ret_address, 0, sizeof(*ret_address));
	if (endpoint->family == TCP_IPV4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret_address;
		in->sin_family = AF_INET;
		in->sin_port = htons(endpoint->port);
		memcpy(&in->sin_addr, endpoint->addr, 4);
		*ret_len = sizeof(*in);
		return 0;
	}
	if (endpoint->family == TCP_IPV6) {
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

struct tcp_endpoint tcp_from_sockaddr(const struct sockaddr_storage *address)
{
	struct tcp_endpoint endpoint = {0};
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)address;
		endpoint.family = TCP_IPV4;
		endpoint.port = ntohs(in->sin_port);
		memcpy(endpoint.addr, &in->sin_addr, 4);
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
		endpoint.family = TCP_IPV6;
		endpoint.port = ntohs(in6->sin6_port);
		endpoint.scope = in6->sin6_scope_id;
		memcpy(endpoint.addr, &in6->sin6_addr, 16);
	}
	return endpoint;
}

struct tcp_endpoint tcp_local(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	getsockname(fd, (struct sockaddr *)&address, &len);
	return tcp_from_sockaddr(&address);
}

const char *tcp_text(const struct tcp_endpoint *endpoint, char text[TCP_TEXT_LEN])
{
	char address[INET6_ADDRSTRLEN] = "?";
	if (endpoint->family == TCP_IPV6) {
		inet_ntop(AF_INET6, endpoint->addr, address, sizeof(address));
		snprintf(text, TCP_TEXT_LEN, "[%s]:%u", address, endpoint->port);
	} else {
		if (endpoint->family == TCP_IPV4)
			inet_ntop(AF_INET, endpoint->addr, address, sizeof(address));
		snprintf(text, TCP_TEXT_LEN, "%s:%u", address, endpoint->port);
	}
	return text;
}
