#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "monitor/address.h"
#include "monitor/udp.h"

struct endpoint udp_plain(const struct endpoint *endpoint)
{
	struct endpoint plain = address_without_mapping(endpoint);

	if (plain.family != ENDPOINT_IPV4)
		return plain;
	plain.scope = 0;
	memset(plain.addr + 4, 0, sizeof(plain.addr) - 4);
	return plain;
}

/* ::ffff:a.b.c.d for an IPv6 socket. */
static struct endpoint mapped(const struct endpoint *ipv4)
{
	struct endpoint ipv6 = {.family = ENDPOINT_IPV6, .port = ipv4->port};

	ipv6.addr[10] = ipv6.addr[11] = 0xff;
	memcpy(ipv6.addr + 12, ipv4->addr, 4);
	return ipv6;
}

static struct endpoint for_socket(bool ipv6, const struct endpoint *plain)
{
	return ipv6 && plain->family == ENDPOINT_IPV4 ? mapped(plain) : *plain;
}

int udp_peer_address(bool ipv6, const struct endpoint *peer, struct sockaddr_storage *ret_address,
	socklen_t *ret_len)
{
	struct endpoint own = for_socket(ipv6, peer);

	if (own.family != (ipv6 ? ENDPOINT_IPV6 : ENDPOINT_IPV4))
		return -EAFNOSUPPORT;
	if (own.port == 0)
		return -EINVAL;
	return address_to_sockaddr(&own, ret_address, ret_len);
}

/* ---- sending */

static void add_control(struct msghdr *header, unsigned char *control, int level, int type,
	const void *data, size_t len)
{
	struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control;

	_Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)) <=
			       UDP_CONTROL_LEN,
		"all that comes with a datagram");
	cmsg->cmsg_level = level;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	header->msg_control = control;
	header->msg_controllen = CMSG_SPACE(len);
}

static int add_source(const struct udp_socket *socket, struct msghdr *header,
	unsigned char *control, const struct endpoint *local)
{
	struct endpoint own = for_socket(socket->ipv6, local);

	if (own.family == ENDPOINT_IPV4 && !socket->ipv6) {
		struct in_pktinfo info = {0};
		memcpy(&info.ipi_spec_dst, own.addr, sizeof(info.ipi_spec_dst));
		add_control(header, control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else if (own.family == ENDPOINT_IPV6 && socket->ipv6) {
		struct in6_pktinfo info = {0};
		memcpy(&info.ipi6_addr, own.addr, sizeof(info.ipi6_addr));
		/* Only of such an address does it mean anything: which one it is. */
		if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
			info.ipi6_ifindex = own.scope;
		add_control(header, control, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	} else {
		return -EAFNOSUPPORT;
	}
	return 0;
}

int udp_message_to(const struct udp_socket *socket, struct msghdr *header,
	struct udp_message *message, const struct endpoint *remote, const struct endpoint *local,
	struct iovec span)
{
	int result = 0;

	message->span = span;
	*header = (struct msghdr){.msg_iov = &message->span, .msg_iovlen = 1};
	if (remote != NULL) {
		header->msg_name = &message->address;
		result = udp_peer_address(
			socket->ipv6, remote, &message->address, &header->msg_namelen);
	}
	if (result == 0 && local != NULL)
		result = add_source(socket, header, message->control, local);
	return result;
}

/* ---- receiving */

void udp_message_from(struct msghdr *header, struct udp_message *message, struct iovec span)
{
	message->span = span;
	*header = (struct msghdr){
		.msg_name = &message->address,
		.msg_namelen = sizeof(message->address),
		.msg_iov = &message->span,
		.msg_iovlen = 1,
		.msg_control = message->control,
		.msg_controllen = sizeof(message->control),
	};
}

static void read_control(struct cmsghdr *cmsg, struct udp_frame *frame, uint32_t *overflow)
{
	const void *data = CMSG_DATA(cmsg);

	if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo info;
		memcpy(&info, data, sizeof(info));
		frame->local.family = ENDPOINT_IPV4;
		memcpy(frame->local.addr, &info.ipi_addr, sizeof(info.ipi_addr));
	} else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo info;
		memcpy(&info, data, sizeof(info));
		frame->local.family = ENDPOINT_IPV6;
		memcpy(frame->local.addr, &info.ipi6_addr, sizeof(info.ipi6_addr));
		if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
			frame->local.scope = info.ipi6_ifindex;
	} else if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SO_RXQ_OVFL) {
		memcpy(overflow, data, sizeof(*overflow));
	}
}

void udp_message_read(struct msghdr *header, const struct udp_message *message,
	struct udp_frame *frame, uint32_t *overflow)
{
	struct endpoint remote = address_from_sockaddr(&message->address);

	frame->remote = udp_plain(&remote);
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg != NULL;
		cmsg = CMSG_NXTHDR(header, cmsg))
		read_control(cmsg, frame, overflow);
	frame->local = udp_plain(&frame->local);
}

int udp_message_ask(int fd, bool ipv6)
{
	const int on = 1;
	int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int addresses = ipv6 ? IPV6_RECVPKTINFO : IP_PKTINFO;

	if (setsockopt(fd, level, addresses, &on, sizeof(on)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}
