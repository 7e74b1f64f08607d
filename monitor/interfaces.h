/* interfaces: this machine's network interfaces and their addresses. */
#ifndef FERRULE_MONITOR_INTERFACES_H
#define FERRULE_MONITOR_INTERFACES_H

#include <stddef.h>

#include "protocol/network.h"

/*
 * All of them, one element for each IPv4 and IPv6 address, in the kernel's order; to be freed. Asks the kernel, which
 * can take milliseconds where there are thousands. 0 or a negative errno.
 */
int interfaces_list(struct network_interface **ret_list, size_t *ret_count);

#endif
