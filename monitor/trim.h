/*
 * trim: gives memory of rings that are not in use back to the host.
 *
 * What it takes back, once nothing has happened to it for TRIM_REST_NS: all of a ring that no stream has,
 * and what lies behind the first TRIM_KEPT bytes of a ring that the monitor produces into, when it
 * is empty and no operation owns a part of it: of connections, whose receive is taken back for it. Not of one that the guest produces into: the guest may be writing behind the last commit at this
 * moment. That one comes back with its stream.
 *
 * It looks while there is something to give back, a little at a time, and then sets no timer: an idle guest
 * wakes nobody. Used by the I/O thread alone.
 */
#ifndef FERRULE_MONITOR_TRIM_H
#define FERRULE_MONITOR_TRIM_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/io.h"

#define TRIM_REST_NS 1000000000u /* between two sweeps: what was not touched in between is given back */
#define TRIM_STEP_NS 10000000u   /* between two parts of one */
#define TRIM_PART    16u         /* rings at a time, so that the loop does not stop for it */
#define TRIM_KEPT    16384u      /* bytes; RING_REWIND_FROM and a message */

struct loop;

struct trim {
	struct loop *loop;
	struct io_timer timer;
	bool timing;
	uint64_t moved; /* bytes and streams when it last had nothing to do */
};

void trim_init(struct trim *trim, struct loop *loop);
/* Once a turn: sets the timer when something has moved since there was nothing to do. */
void trim_look(struct trim *trim);

#endif
