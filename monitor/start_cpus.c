#include "monitor/start_cpus.h"

#include <stddef.h>

#include "monitor/thread.h"

/* Whatever fails here, the threads run all the same. */
void start_cpus_begin(struct start_cpus *start)
{
	const cpu_set_t *all = thread_all_cpus();
	int here = sched_getcpu();
	cpu_set_t one;

	*start = (struct start_cpus){.apart = false};
	if (here < 0 || all == NULL)
		return;
	start->others = *all;
	CPU_CLR(here, &start->others);
	CPU_ZERO(&one);
	CPU_SET(here, &one);
	start->apart =
		CPU_COUNT(&start->others) > 0 && sched_setaffinity(0, sizeof(one), &one) == 0;
}

const cpu_set_t *start_cpus_others(const struct start_cpus *start)
{
	return start != NULL && start->apart ? &start->others : NULL;
}

bool start_cpus_only_one(const struct start_cpus *start)
{
	cpu_set_t cpus;

	/* Between begin and end the calling thread's own CPUs say nothing. */
	if (start != NULL && start->apart)
		return false;
	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

void start_cpus_end(const struct start_cpus *start)
{
	if (start->apart)
		sched_setaffinity(0, sizeof(cpu_set_t), thread_all_cpus());
}
