/*
 * start_cpus: two threads that work side by side while a guest is made are kept on different CPUs.
 * Linux may queue a new thread, or one that it wakes, behind the other though a CPU is idle, and
 * then they work one after the other. Once the guest runs, placement.h has the say.
 */
#ifndef FERRULE_MONITOR_START_CPUS_H
#define FERRULE_MONITOR_START_CPUS_H

#include <sched.h>
#include <stdbool.h>

struct start_cpus {
	cpu_set_t others; /* all but the one that start_cpus_begin chose */
	bool apart;       /* there are others */
};

/* The calling thread, and those that it starts, stay on the CPU on which it is. */
void start_cpus_begin(struct start_cpus *start);
/* For thread_start: where a thread begins that works beside the caller; NULL: where the caller is. */
const cpu_set_t *start_cpus_others(const struct start_cpus *start);
/* The calling thread may run anywhere again: for each of them, once the guest runs. */
void start_cpus_end(const struct start_cpus *start);

/* Has the process no CPU but one? Then nobody polls. 'start' may be NULL. */
bool start_cpus_only_one(const struct start_cpus *start);

#endif
