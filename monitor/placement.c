#include "monitor/placement.h"

/* Of a window: below the first the loop has time to spare, from the second on a trial is worth it.
 */
#define BUSY_LITTLE 0.25
#define BUSY_ENOUGH 0.5

/* Windows of a trial: the first ones do not count, in the others it has to do more by one part in 'gain'. */
static const struct trial {
	unsigned skipped, counted;
	double gain;
} trials[PLACEMENT_MODE_COUNT] = {
	/* TCP needs so long to find out that it may send faster, and threads to spread. */
	[PLACEMENT_APART] = {15, 5, 16},
	[PLACEMENT_TOGETHER] = {2, 4, 8},
};
#define LOSS_ENDS 0.75 /* of what the settled way does, twice in a row: enough is known */

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

/* There is time to spare. The load that comes next may be another one: it is tried soon. */
static void stand_apart(struct placement *placement, uint64_t now_ns)
{
	placement->mode = placement->settled = PLACEMENT_APART;
	placement->settled_rate = 0;
	placement->rest_ns = PLACEMENT_REST_NS;
	placement->next_trial_ns = now_ns + PLACEMENT_FIRST_NS;
}

static void begin_trial(struct placement *placement)
{
	placement->mode = other(placement->settled);
	placement->windows = placement->losses = 0;
	placement->trial_sum = 0;
}

static void conclude(struct placement *placement, uint64_t now_ns, bool wins)
{
	if (wins) {
		placement->settled = placement->mode;
		placement->settled_rate = 0;
		placement->rest_ns = PLACEMENT_REST_NS;
	} else if (placement->rest_ns < PLACEMENT_REST_MAX_NS) {
		placement->rest_ns *= 2;
	}
	placement->mode = placement->settled;
	placement->next_trial_ns = now_ns + placement->rest_ns;
}

/* A window of the trial has ended. */
static void try_on(struct placement *placement, uint64_t now_ns, double rate)
{
	const struct trial *trial = &trials[placement->mode];

	placement->losses = rate < placement->settled_rate * LOSS_ENDS ? placement->losses + 1 : 0;
	if (placement->losses == 2 && placement->mode == PLACEMENT_TOGETHER) {
		/* So much is not for noise to make up, and TCP needs long to win it back. */
		placement->rest_ns = PLACEMENT_REST_MAX_NS;
		conclude(placement, now_ns, false);
		return;
	}
	if (++placement->windows <= trial->skipped)
		return;
	placement->trial_sum += rate;
	if (placement->windows == trial->skipped + trial->counted)
		conclude(placement, now_ns,
			placement->trial_sum / trial->counted * trial->gain >
				placement->settled_rate * (trial->gain + 1));
}

/* A window of the way that is settled; what it does at the moment is the mean of the last few. */
static void go_on(struct placement *placement, uint64_t now_ns, double rate, bool enough)
{
	double *settled_rate = &placement->settled_rate;

	*settled_rate = *settled_rate == 0 ? rate : (*settled_rate * 3 + rate) / 4;
	if (enough && now_ns >= placement->next_trial_ns)
		begin_trial(placement);
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
