/* address: endpoints as the kernel's socket addresses, as text, and what sort of address one is. */
#ifndef FERRULE_MONITOR_ADDRESS_H
#define FERRULE_MONITOR_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "protocol/endpoint.h"

/* The address of an IPv4 or IPv6 endpoint. 0, or -EAFNOSUPPORT for any other family. */
int address_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_address,
		socklen_t *ret_len);
/* An address that is neither becomes family 0. */
struct endpoint address_from_sockaddr(const struct sockaddr_storage *address);
/* ::ffff:a.b.c.d as the IPv4 address that it reaches, any other as it is. What means nothing of an IPv4 address is 0. */
struct endpoint address_without_mapping(const struct endpoint *endpoint);
/* Bits of an address: 32 or 128. */
unsigned address_bits(const struct endpoint *endpoint);
/* Is it of this family, with the same first bits? */
bool address_is_within(const struct endpoint *address, const struct endpoint *first, unsigned prefix);
/* 0.0.0.0 or ::. */
bool address_is_unspecified(const struct endpoint *endpoint);
/*
 * Loopback, link-local, unspecified and multicast addresses, and those of the metadata services of clouds: what a
 * guest is not to reach unless it was meant. An IPv4 address within an IPv6 one (mapped, compatible, NAT64, 6to4) is
 * that IPv4 address here.
 */
bool address_is_special(const struct endpoint *endpoint);
/* Are all addresses of this range special ones, of one kind? */
bool address_range_is_special(const struct endpoint *first, unsigned prefix);
/* Is it one of this machine's addresses? Also when that cannot be told. Asks the kernel: a few us. */
bool address_is_own(const struct endpoint *endpoint);
/* The socket's own address. */
struct endpoint address_local(int fd);
#define ADDRESS_TEXT_LEN 80
/* "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80"; returns 'text'. */
const char *address_text(const struct endpoint *endpoint, char text[ADDRESS_TEXT_LEN]);

/*
 * Reads an address in text, "192.0.2.1", "2001:db8::1" or "fe80::1%eth0", into family, scope and addr; the rest is 0.
 * False: it is none.
 */
bool address_parse(const char *text, struct endpoint *ret_endpoint);

#endif
