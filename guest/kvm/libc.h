/*
 * libc: the part of the C library that a program on bare metal has. Its
 * functions are declared by the system's own <string.h>, <stdio.h> and
 * <stdlib.h>, whose macros and inline functions must not need more than this.
 */
#ifndef FERRULE_GUEST_KVM_LIBC_H
#define FERRULE_GUEST_KVM_LIBC_H

#include <stdbool.h>

/* abort was called: the crash that it ends in is no other. */
extern bool libc_aborted;

/* One line on the console, with the program's end as consequence. */
_Noreturn void libc_die(const char *what);

#endif
