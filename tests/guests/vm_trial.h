/*
 * vm_trial: the guest of tests/unit/vm_test.c, linked with the platform alone
 * (no streams), and the words at the arena's start through which the two talk
 * (the bells' place, which nobody else uses there).
 */
#ifndef FERRULE_TESTS_GUESTS_VM_TRIAL_H
#define FERRULE_TESTS_GUESTS_VM_TRIAL_H

#include <stdint.h>

struct trial_words {
	_Atomic uint64_t asked;    /* written by the test, with an interrupt behind it */
	_Atomic uint64_t answered; /* written by the guest, with a doorbell behind it */
	_Atomic uint64_t ring_offset;
	_Atomic uint64_t ring_capacity;
};

#define TRIAL_DONE     UINT64_MAX /* asked: exit */
#define TRIAL_SPIN_MAX 4096       /* pauses between a look and the wait, at random */
#define TRIAL_PATTERN  0x9e3779b97f4a7c15ull

#endif
