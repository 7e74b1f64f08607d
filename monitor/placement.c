#include "monitor/placement.h"

/* Of a window: below the first the loop has time to spare, from the second on a trial is worth it.
 */
#define BUSY_LITTLE 0.25
#define BUSY_ENOUGH 0.5

#define SPARE_WINDOWS 3 /* in a row, before the threads leave each other */

/* Windows of a trial: the first ones do not count, in the others it has to do more by one part in
 * 'gain'. */
static const struct trial {
	unsigned skipped, counted;
	double gain;
} trials[PLACEMENT_MODE_COUNT] = {
	/* TCP needs so long to find out that it may send faster, and threads to spread. */
	[PLACEMENT_APART] = {15, 5, 16},
	[PLACEMENT_TOGETHER] = {2, 6, 32},
};
/* A trial that does less than this part of what the settled way does, twice in a row, ends early.
 */
#define LOSS_ENDS    0.75
#define LOSS_RESTS   4    /* times as long as before until the next trial, after such a loss */
#define LITTLE_RESTS 2    /* and after one that has won too little */
#define GROWTH       1.02 /* from one block of windows to the next: the load still grows */

/* What came before is not to be compared with what comes. */
static void begin_block(struct placement *placement, double settled_rate)
{
	placement->settled_rate = settled_rate;
	placement->older_rate = placement->block_sum = 0;
	placement->block_windows = 0;
}

void placement_init(struct placement *placement, uint64_t now_ns)
{
	*placement = (struct placement){
		.window_start_ns = now_ns,
		.next_trial_ns = now_ns + PLACEMENT_FIRST_NS,
		.rest_ns = PLACEMENT_REST_NS,
	};
}

static enum placement_mode other(enum placement_mode mode)
{
	return mode == PLACEMENT_APART ? PLACEMENT_TOGETHER : PLACEMENT_APART;
}

static bool on_trial(const struct placement *placement)
{
	return placement->mode != placement->settled;
}

/*
 * There is time to spare. The load that comes next may be another one: it is tried soon. A pause in
 * a load that goes on is no reason to move.
 */
static void stand_apart(struct placement *placement, uint64_t now_ns)
{
	bool moves = placement->mode != PLACEMENT_APART || placement->settled != PLACEMENT_APART;

	if (placement->mode == PLACEMENT_TOGETHER && ++placement->spare < SPARE_WINDOWS)
		return;
	placement->mode = placement->settled = PLACEMENT_APART;
	placement->rest_ns = PLACEMENT_REST_NS;
	if (moves || placement->next_trial_ns > now_ns + PLACEMENT_FIRST_NS)
		placement->next_trial_ns = now_ns + PLACEMENT_FIRST_NS;
	if (moves)
		begin_block(placement, 0);
}

static void begin_trial(struct placement *placement)
{
	placement->mode = other(placement->settled);
	placement->windows = placement->losses = 0;
	placement->trial_sum = 0;
}

/* The trial has won, by this rate. */
static void change(struct placement *placement, uint64_t now_ns, double rate)
{
	placement->settled = placement->mode;
	placement->rest_ns = PLACEMENT_REST_NS;
	placement->next_trial_ns = now_ns + placement->rest_ns;
	begin_block(placement, rate);
}

/* It has not: the longer the answer has been the same, the longer it is believed. */
static void stay(struct placement *placement, uint64_t now_ns, unsigned longer)
{
	placement->mode = placement->settled;
	placement->rest_ns *= longer;
	if (placement->rest_ns > PLACEMENT_REST_MAX_NS)
		placement->rest_ns = PLACEMENT_REST_MAX_NS;
	placement->next_trial_ns = now_ns + placement->rest_ns;
	begin_block(placement, placement->settled_rate);
}

/* A window of the trial has ended. */
static void try_on(struct placement *placement, uint64_t now_ns, double rate)
{
	const struct trial *trial = &trials[placement->mode];

	if (++placement->windows <= trial->skipped)
		return;
	placement->trial_sum += rate;
	placement->losses = rate < placement->settled_rate * LOSS_ENDS ? placement->losses + 1 : 0;
	if (placement->losses == 2) {
		stay(placement, now_ns, LOSS_RESTS);
		return;
	}
	if (placement->windows < trial->skipped + trial->counted)
		return;
	double mean = placement->trial_sum / trial->counted;
	if (mean * trial->gain > placement->settled_rate * (trial->gain + 1))
		change(placement, now_ns, mean);
	else
		stay(placement, now_ns, LITTLE_RESTS);
}

/*
 * A window of the way that is settled. What it does is known by blocks of windows; a load that
 * still grows would make any trial look good.
 */
static void go_on(struct placement *placement, uint64_t now_ns, double rate, bool enough)
{
	placement->block_sum += rate;
	if (++placement->block_windows < PLACEMENT_BLOCK)
		return;
	placement->older_rate = placement->settled_rate;
	placement->settled_rate = placement->block_sum / PLACEMENT_BLOCK;
	placement->block_sum = 0;
	placement->block_windows = 0;
	if (enough && now_ns >= placement->next_trial_ns && placement->older_rate > 0 &&
		placement->settled_rate < placement->older_rate * GROWTH)
		begin_trial(placement);
}

/*
 * TOGETHER the loop is idle while the guest works, too: that alone says nothing of time to spare,
 * but that less is done does.
 */
static bool has_time(const struct placement *placement, double busy, double rate)
{
	if (busy >= BUSY_LITTLE)
		return false;
	if (placement->mode == PLACEMENT_APART)
		return true;
	return !on_trial(placement) && rate * 2 < placement->settled_rate;
}

enum placement_mode placement_look(
	struct placement *placement, uint64_t now_ns, uint64_t work, uint64_t idle_ns)
{
	uint64_t length = now_ns - placement->window_start_ns;

	if (length < PLACEMENT_WINDOW_NS)
		return placement->mode;
	double busy = 1 - (double)(idle_ns - placement->idle_then_ns) / (double)length;
	double rate = (double)(work - placement->work_then) / (double)length;
	bool enough = busy >= BUSY_ENOUGH || placement->settled == PLACEMENT_TOGETHER;
	bool spare = has_time(placement, busy, rate);

	if (!spare)
		placement->spare = 0;
	if (spare)
		stand_apart(placement, now_ns);
	else if (on_trial(placement))
		try_on(placement, now_ns, rate);
	else
		go_on(placement, now_ns, rate, enough);
	placement->window_start_ns = now_ns;
	placement->work_then = work;
	placement->idle_then_ns = idle_ns;
	return placement->mode;
}

/* ---- the threads */

static bool put_together(struct placement_threads *threads, pid_t guest)
{
	int cpu = sched_getcpu();
	cpu_set_t *one = &threads->shared;

	if (guest == 0 || cpu < 0 || cpu >= CPU_SETSIZE ||
		sched_getaffinity(0, sizeof(cpu_set_t), &threads->io_allowed) < 0 ||
		sched_getaffinity(guest, sizeof(cpu_set_t), &threads->guest_allowed) < 0)
		return false;
	CPU_ZERO(one);
	CPU_SET(cpu, one);
	if (sched_setaffinity(0, sizeof(*one), one) < 0)
		return false;
	threads->together = sched_setaffinity(guest, sizeof(*one), one) == 0;
	if (!threads->together)
		sched_setaffinity(0, sizeof(cpu_set_t), &threads->io_allowed);
	return threads->together;
}

/* Both would stay on this CPU until the kernel finds time to look, which can be long: off it goes.
 */
static void push_off(const struct placement_threads *threads, pid_t guest)
{
	cpu_set_t others = threads->guest_allowed;
	int cpu = sched_getcpu();

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_CLR(cpu, &others);
	if (CPU_COUNT(&others) > 0)
		sched_setaffinity(guest, sizeof(others), &others);
}

/* Or has somebody (taskset) given the thread other CPUs meanwhile? Then these are what it has. */
static bool is_where_it_was_put(const struct placement_threads *threads, pid_t thread)
{
	cpu_set_t now;

	return sched_getaffinity(thread, sizeof(now), &now) == 0 && CPU_EQUAL(&now, &threads->shared);
}

/* The guest's thread may have ended: to the kernel 0 would be the caller. */
static void put_apart(struct placement_threads *threads, pid_t guest)
{
	threads->together = false;
	if (guest != 0 && is_where_it_was_put(threads, guest)) {
		push_off(threads, guest);
		sched_setaffinity(guest, sizeof(cpu_set_t), &threads->guest_allowed);
	}
	if (is_where_it_was_put(threads, 0))
		sched_setaffinity(0, sizeof(cpu_set_t), &threads->io_allowed);
}

bool placement_apply(struct placement_threads *threads, enum placement_mode mode, pid_t guest)
{
	if (threads->together == (mode == PLACEMENT_TOGETHER))
		return true;
	if (!threads->together)
		return put_together(threads, guest);
	put_apart(threads, guest);
	return true;
}
