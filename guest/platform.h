/*
 * platform: everything in which a guest on bare metal under KVM and a hosted
 * guest (a Linux process) differ. guest/kvm/ and guest/hosted/ implement it;
 * no other file of guest/ knows which of the two it runs on.
 *
 * guest/ holds the guest's side: the two platforms, the stream library with its
 * fibers (guest/stream) and programs (guest/programs). It may include pipe/,
 * control/ and protocol/, never monitor/. Each source is compiled twice: once
 * freestanding for KVM and once for Linux, where the sanitizers watch it.
 */
#ifndef FERRULE_GUEST_PLATFORM_H
#define FERRULE_GUEST_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_info;

/* Never fails, never changes: valid from before main. */
const struct boot_info *platform_boot(void);

/* The archive that the monitor gave for boot:/, read-only; NULL: none. */
const unsigned char *platform_bundle(size_t *ret_len);

/* Bytes of the arena from offset 0 up to boot_info.rings_offset: bells and pipe headers. */
unsigned char *platform_arena(void);

/* The ring of 'capacity' bytes at this arena offset, mapped twice in a row; NULL if it cannot be. */
unsigned char *platform_ring(uint64_t offset, uint64_t capacity);

/* Nanoseconds since some fixed point; never goes back. */
uint64_t platform_clock_ns(void);
/* Nanoseconds since 1970-01-01 UTC. */
int64_t platform_wall_ns(void);

#define PLATFORM_NEVER UINT64_MAX

/*
 * Sleeps until the monitor's doorbell rings or platform_clock_ns() reaches the
 * deadline. May return early. A ring since the last return is not lost: the
 * call then returns at once.
 */
void platform_wait(uint64_t deadline_ns);

/* Wakes the monitor. */
void platform_doorbell(void);

/* One turn of a polling loop. */
static inline void platform_pause(void)
{
	__builtin_ia32_pause();
}

/*
 * Fiber stacks: 'index' below platform_stack_count(). The lowest usable byte
 * and the length in ret_len; below it lies an unmapped guard. NULL: cannot be had.
 */
size_t platform_stack_count(void);
void *platform_stack(size_t index, size_t *ret_len);

/* Text to the console: fd 1 or 2, all of it, at once. For diagnostics, not for data. */
void platform_console(int fd, const char *text, size_t len);

/* Ends the guest. */
_Noreturn void platform_exit(int status);

/*
 * Called by the platform's entry on the boot stack, once everything above
 * works: starts the scheduler, runs main as the first fiber and exits with its
 * result. Defined in guest/stream/start.c.
 */
_Noreturn void guest_start(void);

#endif
