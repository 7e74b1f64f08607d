/*
 * boot_page: writes struct boot_info and its strings, for both engines.
 */
#ifndef FERRULE_MONITOR_BOOT_PAGE_H
#define FERRULE_MONITOR_BOOT_PAGE_H

#include <stddef.h>

#include "control/boot.h"
#include "monitor/engine.h"

/* Bytes of the struct and the strings that this configuration makes. */
size_t boot_page_len(const struct engine_config *config);

/*
 * Writes boot_page_len(config) bytes. 'addresses' gives the fields that the
 * engine alone knows: heap, stacks, ring_window, arena, doorbell, console and
 * crash; its other fields are ignored. 0, or the errno of getrandom.
 */
int boot_page_write(
	unsigned char *page, const struct engine_config *config, const struct boot_info *addresses);

/* Fills in the clock's fields: the counter's rate, its value now, and what time it is. */
void boot_page_set_clock(unsigned char *page, uint64_t tsc_hz, uint64_t tsc_now);

#endif
