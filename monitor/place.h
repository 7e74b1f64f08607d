/*
 * place: two threads that work side by side while a guest is made are kept on different CPUs.
 * Linux may queue a new thread, or one that it wakes, behind the other though a CPU is idle, and
 * then they work one after the other.
 */
#ifndef FERRULE_MONITOR_PLACE_H
#define FERRULE_MONITOR_PLACE_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

struct place {
	cpu_set_t all;    /* on which the process may run */
	cpu_set_t others; /* all but the one that place_begin chose */
	bool apart;       /* there are others */
};

/* The calling thread, and those that it starts, stay on the CPU on which it is. */
void place_begin(struct place *place);
/* A thread with this attribute begins on another CPU. */
void place_elsewhere(const struct place *place, pthread_attr_t *attr);
/* The calling thread may run anywhere again: for each of them, once the guest runs. */
void place_end(const struct place *place);

/* Has the process no CPU but one? Then nobody polls. 'place' may be NULL. */
bool place_one_cpu(const struct place *place);

#endif
