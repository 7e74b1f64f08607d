/*
 * rate: so much in a second, and no more: a bucket of tokens that fills evenly, and a queue of those who
 * found it empty. Whoever does something asks first, and pays for it, if it can before it begins. The bucket can owe.
 *
 * What one may take at a time is a part of the bucket, so that several have a share of what a second gives.
 * I/O thread only.
 */
#ifndef FERRULE_MONITOR_RATE_H
#define FERRULE_MONITOR_RATE_H

#include "monitor/io.h"

#define RATE_BURST  8u    /* a bucket holds this part of what a second gives */
#define RATE_SHARES 8u    /* and of that one may take this part at a time */
#define RATE_BYTES  1448u /* of bytes nobody is let do less at a time: what fits a packet */

/* Part of the object that waits. */
struct rate_waiter {
	void (*go)(struct rate_waiter *waiter); /* there is something in the bucket, or was: ask again */
	struct rate_waiter *next, **link;       /* not waiting: link NULL */
};

struct rate {
	uint64_t per_s; /* 0: no limit */
	uint64_t least; /* worth doing at a time, if so much is wanted */
	int64_t tokens;
	uint64_t filled_ns; /* when 'tokens' was right */
	struct io *io;
	struct io_timer timer;
	bool timing; /* in flight, whenever somebody waits */
	bool over;   /* everything is being cancelled: no more limits */
	struct rate_waiter *first, **last;
	unsigned waiting;
};

void rate_init(struct rate *rate, struct io *io, uint64_t per_s, uint64_t least);
/* Is there a limit? */
static inline bool rate_limits(const struct rate *rate)
{
	return rate->per_s != 0 && !rate->over;
}
/* How much may be done now, at a time; UINT64_MAX: there is no limit; 0: nothing, so rate_wait. */
uint64_t rate_allows(struct rate *rate);
void rate_spend(struct rate *rate, uint64_t amount);
/* Of what was spent for more than there was to do. */
void rate_give_back(struct rate *rate, uint64_t amount);
/* Waits; once, however often it is called. go() is never called from within. */
void rate_wait(struct rate *rate, struct rate_waiter *waiter);
static inline bool rate_waits(const struct rate_waiter *waiter)
{
	return waiter->link != NULL;
}
/* Waits no more, if it did. */
void rate_forget(struct rate *rate, struct rate_waiter *waiter);

#endif
