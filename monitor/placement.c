#include "monitor/placement.h"

#include <string.h>

/* Of a window: below the first the loop has time to spare, from the second on a trial is worth it.
 */
#define BUSY_LITTLE 0.25
#define BUSY_ENOUGH 0.5

void placement_init(struct placement *placement, uint64_t now_ns)
{
	*placement = (struct placement){
		.window_start_ns = now_ns,
		.next_trial_ns = now_ns,
		.rest_ns = PLACEMENT_REST_NS,
	};
}

static enum placement_mode other(enum placement_mode mode)
{
	return mode == PLACEMENT_APART ? PLACEMENT_TOGETHER : PLACEMENT_APART;
}

static void rest(struct placement *placement, uint64_t now_ns)
{
	placement->sample = 0;
	placement->mode = placement->settled;
	placement->next_trial_ns = now_ns + placement->rest_ns;
}

/* There is time to spare. The load that comes next may be another one: it is tried soon. */
static void stand_apart(struct placement *placement, uint64_t now_ns)
{
	bool moves = placement->settled != PLACEMENT_APART || placement->sample != 0;

	placement->settled = PLACEMENT_APART;
	placement->rest_ns = PLACEMENT_REST_NS;
	if (moves || placement->next_trial_ns > now_ns + PLACEMENT_REST_NS)
		rest(placement, now_ns);
}

static void conclude(struct placement *placement, uint64_t now_ns)
{
	bool together = placement->settled == PLACEMENT_TOGETHER;
	double apart_most = placement->rate[PLACEMENT_APART].most;
	double together_least = placement->rate[PLACEMENT_TOGETHER].least;
	bool behind =
		placement->rate[PLACEMENT_TOGETHER].sum < placement->rate[PLACEMENT_APART].sum;
	bool wins = together_least * PLACEMENT_GAIN > apart_most * (PLACEMENT_GAIN + 1);

	if (together ? behind : wins) {
		placement->settled = other(placement->settled);
		placement->rest_ns = PLACEMENT_REST_NS;
	} else if (placement->rest_ns < PLACEMENT_REST_MAX_NS) {
		placement->rest_ns *= 2;
	}
	rest(placement, now_ns);
}

static void add_sample(struct placement *placement, double rate)
{
	double *least = &placement->rate[placement->mode].least;
	double *most = &placement->rate[placement->mode].most;

	placement->rate[placement->mode].sum += rate;
	if (*least == 0 || rate < *least)
		*least = rate;
	if (rate > *most)
		*most = rate;
}

/* A window has ended; 'rate' is what was done in it, per ns. */
static void take_sample(struct placement *placement, uint64_t now_ns, double rate)
{
	if (placement->sample == 0 && now_ns < placement->next_trial_ns)
		return;
	if (placement->sample == 0)
		memset(placement->rate, 0, sizeof(placement->rate));
	add_sample(placement, rate);
	placement->mode = other(placement->mode);
	if (++placement->sample == PLACEMENT_SAMPLES)
		conclude(placement, now_ns);
}

enum placement_mode placement_look(
	struct placement *placement, uint64_t now_ns, uint64_t work, uint64_t idle_ns)
{
	uint64_t length = now_ns - placement->window_start_ns;

	if (length < PLACEMENT_WINDOW_NS)
		return placement->mode;
	double busy = 1 - (double)(idle_ns - placement->idle_then_ns) / (double)length;
	double rate = (double)(work - placement->work_then) / (double)length;

	/* TOGETHER the loop is idle while the guest works, too: that says nothing of time to spare.
	 */
	bool enough = busy >= BUSY_ENOUGH || placement->settled == PLACEMENT_TOGETHER;

	if (busy < BUSY_LITTLE)
		stand_apart(placement, now_ns);
	else if (enough || placement->sample != 0)
		take_sample(placement, now_ns, rate);
	placement->window_start_ns = now_ns;
	placement->work_then = work;
	placement->idle_then_ns = idle_ns;
	return placement->mode;
}

/* ---- the threads */

static bool put_together(struct placement_threads *threads, pid_t guest)
{
	int cpu = sched_getcpu();
	cpu_set_t one;

	if (guest == 0 || cpu < 0 || cpu >= CPU_SETSIZE ||
		sched_getaffinity(0, sizeof(cpu_set_t), &threads->io_allowed) < 0 ||
		sched_getaffinity(guest, sizeof(cpu_set_t), &threads->guest_allowed) < 0)
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return false;
	threads->together = sched_setaffinity(guest, sizeof(one), &one) == 0;
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

/* The guest's thread may have ended: to the kernel 0 would be the caller. */
static void put_apart(struct placement_threads *threads, pid_t guest)
{
	threads->together = false;
	if (guest != 0) {
		push_off(threads, guest);
		sched_setaffinity(guest, sizeof(cpu_set_t), &threads->guest_allowed);
	}
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
