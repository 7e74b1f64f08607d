/*
 * start: the beginning and the end of a guest.
 */
#ifndef FERRULE_GUEST_STREAM_START_H
#define FERRULE_GUEST_STREAM_START_H

/* Prints one line and ends the guest with BOOT_STATUS_PANIC: the monitor, or this library, broke a
 * rule. */
_Noreturn void guest_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As guest_panic for what is no defect: one sentence on stderr, exit status 2. */
_Noreturn void guest_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
