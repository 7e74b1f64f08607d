/*
 * crash: the signals that a fault of the program becomes.
 */
#ifndef FERRULE_GUEST_HOSTED_CRASH_H
#define FERRULE_GUEST_HOSTED_CRASH_H

/* From now on a crash is reported as it is under KVM, with the same exit status. */
void crash_install(void);

#endif
