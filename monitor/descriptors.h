/* descriptors: how many open files this process may have, and has. */
#ifndef FERRULE_MONITOR_DESCRIPTORS_H
#define FERRULE_MONITOR_DESCRIPTORS_H

#include <stdint.h>

#define DESCRIPTORS_MIN 64u /* libevent without any ends the process in its own way */

/* Raises the soft limit (RLIMIT_NOFILE) to the hard one: what may be open then, UINT64_MAX without a limit. */
uint64_t descriptors_raise_limit(void);
/* How many are open now. -1: /proc does not say. */
long descriptors_open(void);

#endif
