/*
 * target: what a guest wants to reach, as Connect and Bind have it: an endpoint, or a name with the
 * endpoint's port. I/O thread only.
 */
#ifndef FERRULE_MONITOR_TARGET_H
#define FERRULE_MONITOR_TARGET_H

#include "monitor/reach.h"
#include "protocol/open.h"

struct target {
	struct endpoint remote; /* ENDPOINT_NAME: 'host' and this port */
	struct wire_bytes host; /* empty unless ENDPOINT_NAME */
};

/* A host of allowed length, and beside ENDPOINT_NAME alone? */
bool target_is_valid(const struct target *target);
/* A name that is an address in text becomes that address. */
void target_read_address(struct target *target);
/* How the name is granted for this use, or, of an address, whether it is. */
enum grant_name target_granted(const struct reach *reach, const struct grants *grants, enum grant_use use,
		const struct target *target);
/* Logs and counts (grants_refused): the option, and what follows the target in the value that would allow it. */
void target_refused(const struct target *target, const char *option, const char *behind);

#endif
