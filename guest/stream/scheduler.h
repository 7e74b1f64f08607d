/*
 * scheduler: what runs between fibers. It runs those that can run, hears the
 * monitor's bell and wakes who waits for it, lets deadlines pass, rings the
 * monitor, and puts the guest to sleep when there is nothing to do.
 */
#ifndef FERRULE_GUEST_STREAM_SCHEDULER_H
#define FERRULE_GUEST_STREAM_SCHEDULER_H

#include <stdint.h>

/* On the boot stack, for the life of the guest. */
_Noreturn void scheduler_run(void);

/* Marks a pipe slot for the monitor; the doorbell follows before the guest sleeps. */
void scheduler_post(uint32_t slot);

/* Ends the guest with this status from the boot stack: the calling fiber never continues. */
_Noreturn void scheduler_exit(int status);

#endif
