#include "monitor/rate.h"

#include <errno.h>
#include <time.h>

#define NS_PER_S     1000000000u
#define TICK_LEAST   1000000u /* ns: many wait for one timer */
#define TICK_LONGEST NS_PER_S

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int64_t burst(const struct rate *rate)
{
	return (int64_t)larger(rate->per_s / RATE_BURST, rate->least);
}

/* Nanoseconds for so many tokens. */
static uint64_t time_of(const struct rate *rate, uint64_t tokens)
{
	return (uint64_t)((unsigned __int128)tokens * NS_PER_S / rate->per_s);
}

static void fill(struct rate *rate)
{
	uint64_t now = now_ns();
	uint64_t gained =
		(uint64_t)((unsigned __int128)(now - rate->filled_ns) * rate->per_s / NS_PER_S);

	if (rate->tokens >= burst(rate) || gained >= (uint64_t)(burst(rate) - rate->tokens)) {
		rate->tokens = burst(rate);
		rate->filled_ns = now;
	} else if (gained > 0) {
		rate->tokens += (int64_t)gained;
		rate->filled_ns += time_of(rate, gained); /* what is left of a token is not lost */
	}
}

static void rate_complete(struct io_op *op, int result);

void rate_init(struct rate *rate, struct io *io, uint64_t per_s, uint64_t least)
{
	*rate = (struct rate){.per_s = per_s, .least = least, .io = io, .filled_ns = now_ns()};
	rate->tokens = per_s != 0 ? burst(rate) : 0;
	rate->timer.op.done = rate_complete;
	rate->last = &rate->first;
}

uint64_t rate_allows(struct rate *rate)
{
	if (!rate_limits(rate))
		return UINT64_MAX;
	fill(rate);
	if (rate->tokens < (int64_t)rate->least)
		return 0;
	uint64_t share = larger((uint64_t)burst(rate) / RATE_SHARES, rate->least);
	return (uint64_t)rate->tokens < share ? (uint64_t)rate->tokens : share;
}

void rate_spend(struct rate *rate, uint64_t amount)
{
	if (rate->per_s != 0)
		rate->tokens -= (int64_t)amount;
}

void rate_give_back(struct rate *rate, uint64_t amount)
{
	if (rate->per_s == 0)
		return;
	rate->tokens += (int64_t)amount;
	/* The bucket can have filled since it was spent. */
	if (rate->tokens > burst(rate))
		rate->tokens = burst(rate);
}

/* ---- waiting */

static void start_timer(struct rate *rate)
{
	int64_t least = (int64_t)rate->least;
	uint64_t missing = rate->tokens < least ? (uint64_t)(least - rate->tokens) : 0;
	uint64_t ns = time_of(rate, missing);

	if (ns < TICK_LEAST)
		ns = TICK_LEAST;
	if (ns > TICK_LONGEST)
		ns = TICK_LONGEST;
	rate->timing = true;
	io_timeout(rate->io, &rate->timer, ns);
}

void rate_wait(struct rate *rate, struct rate_waiter *waiter)
{
	if (waiter->link != NULL)
		return;
	waiter->next = NULL;
	waiter->link = rate->last;
	*rate->last = waiter;
	rate->last = &waiter->next;
	rate->waiting++;
	if (!rate->timing)
		start_timer(rate);
}

void rate_forget(struct rate *rate, struct rate_waiter *waiter)
{
	if (waiter->link == NULL)
		return;
	*waiter->link = waiter->next;
	if (waiter->next != NULL)
		waiter->next->link = waiter->link;
	else
		rate->last = waiter->link;
	waiter->link = NULL;
	rate->waiting--;
}

static void rate_complete(struct io_op *op, int result)
{
	struct rate *rate = io_container(op, struct rate, timer.op);

	rate->over = rate->over || result == -ECANCELED;
	/* Meanwhile nobody starts it. Those who wait again have to wait for the next. */
	for (unsigned left = rate->waiting;
		left > 0 && rate->first != NULL && rate_allows(rate) != 0; left--) {
		struct rate_waiter *waiter = rate->first;
		rate_forget(rate, waiter);
		waiter->go(waiter);
	}
	rate->timing = false;
	if (rate->first != NULL)
		start_timer(rate);
}
