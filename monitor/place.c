#include "monitor/place.h"

/* Whatever fails here, the threads run all the same. */
void place_begin(struct place *place)
{
	int here = sched_getcpu();
	cpu_set_t one;

	*place = (struct place){.apart = false};
	if (here < 0 || sched_getaffinity(0, sizeof(place->all), &place->all) < 0)
		return;
	place->others = place->all;
	CPU_CLR(here, &place->others);
	CPU_ZERO(&one);
	CPU_SET(here, &one);
	place->apart = CPU_COUNT(&place->others) > 0 && sched_setaffinity(0, sizeof(one), &one) == 0;
}

void place_elsewhere(const struct place *place, pthread_attr_t *attr)
{
	if (place->apart)
		pthread_attr_setaffinity_np(attr, sizeof(place->others), &place->others);
}

bool place_one_cpu(const struct place *place)
{
	cpu_set_t cpus;

	/* Between place_begin and place_end the calling thread's own CPUs say nothing. */
	if (place && place->apart)
		return false;
	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) == 1;
}

void place_end(const struct place *place)
{
	if (place->apart)
		sched_setaffinity(0, sizeof(place->all), &place->all);
}
