/*
 * crash: what a guest prints about its own fault, in the same form on both
 * platforms: registers, and a backtrace with the command that names it.
 */
#ifndef FERRULE_GUEST_CRASH_H
#define FERRULE_GUEST_CRASH_H

#include <stdbool.h>
#include <stdint.h>

#include "control/boot.h"

/* cause NULL: the exception in 'crash'; else what ended the program instead of one. */
void crash_report(const struct boot_crash *crash, const char *cause);
#define CRASH_ABORT "abort() was called"

/* ---- what the platform has to know for it */

/* The stack that an address lies in or whose guard it lies in. */
struct crash_stack {
	uint64_t guard, low, high; /* guard page(s) [guard, low), stack [low, high) */
	int64_t index;             /* of the fiber stack; -1 the boot stack */
};
bool crash_find_stack(uint64_t address, struct crash_stack *ret_stack);

/* Is it in the program's code? */
bool crash_is_text(uint64_t address);

/* What to take off an address to find it in the image. */
uint64_t crash_load_base(void);

#endif
