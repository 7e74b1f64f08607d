/*
 * spin: how long a side polls before it sleeps; the rule of DATAPIPE.md section 8.4, for both
 * sides.
 *
 * Sleeping and being woken costs about as much as polling for the limit does, so polling that long
 * and no longer never costs more than twice what the best choice would have. Better than that is to
 * learn: a poll that was lost is not tried again before a few waits, more after each loss, were
 * so short that it would have been won.
 *
 * No clock of its own and no shared memory: the caller says how long it waited.
 */
#ifndef FERRULE_PIPE_SPIN_H
#define FERRULE_PIPE_SPIN_H

#include <stdint.h>

#define SPIN_LOSSES_MAX 10u /* after so many the price of another try rises no more */

struct spin {
	uint64_t limit_ns; /* 0: never polls */
	unsigned losses;   /* polls lost, less those won */
	unsigned credit;   /* waits since the last loss that a poll would have won */
};

static inline void spin_init(struct spin *spin, uint64_t limit_ns)
{
	*spin = (struct spin){.limit_ns = limit_ns};
}

/* Nanoseconds to poll now, before going to sleep; 0: sleep at once. */
static inline uint64_t spin_ns(const struct spin *spin)
{
	return spin->losses == 0 || spin->credit >> spin->losses != 0 ? spin->limit_ns : 0;
}

/* The poll ended with work. */
void spin_won(struct spin *spin);
/* A whole poll found nothing. */
void spin_lost(struct spin *spin);
/* Slept without a poll before it, and was awake again after this time. */
void spin_slept(struct spin *spin, uint64_t waited_ns);

#endif
