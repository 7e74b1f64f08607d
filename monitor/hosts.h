/*
 * hosts: names that this machine knows itself: those of --add-host, of /etc/hosts, and localhost.
 */
#ifndef FERRULE_MONITOR_HOSTS_H
#define FERRULE_MONITOR_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/endpoint.h"

#define HOSTS_PATH "/etc/hosts"

/* A name of --add-host; both stay as long as the monitor runs. */
struct host_entry {
	char *name;
	struct endpoint address; /* port 0 */
};

/*
 * The addresses that are known here for a name, at most 'most' of each family. The file is read each time, as
 * programs of the C library do; one that does not exist is empty. 1; 0: the name is not known here; or the
 * negative errno of reading, which says neither. A name that is known has no other addresses, and none at all if they are 0.0.0.0 or ::, as in lists of names
 * that are to be blocked.
 */
int hosts_find(const struct host_entry *entry, size_t entry_count, const char *path, const char *name,
		struct endpoint *ret_ipv6, unsigned *ret_ipv6_count, struct endpoint *ret_ipv4,
		unsigned *ret_ipv4_count, unsigned most);

#endif
