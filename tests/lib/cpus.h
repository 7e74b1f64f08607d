/* cpus: the two CPUs that two threads run on, one on each. */
#ifndef FERRULE_TESTS_LIB_CPUS_H
#define FERRULE_TESTS_LIB_CPUS_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

/* The first two CPUs that this process may run on; false: there is one only. */
static inline bool two_cpus(int ret_cpu[2])
{
	cpu_set_t allowed;
	int found = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return false;
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			ret_cpu[found++] = cpu;
	return found == 2;
}

static inline void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

#endif
