/*
 * placement: whether the I/O thread and the thread that runs the guest share a CPU.
 *
 * APART   each runs where the kernel puts it. Both work at the same time, and both can poll: a
 *         message that comes alone is answered soonest.
 * TOGETHER  both run on one CPU, in turn. Neither is woken across CPUs, what one wrote lies in the
 *         other's cache, and the machine's other threads, a client on the same host
 *         first of all, have the other CPUs to themselves.
 *
 * Which one serves more depends on how many threads want how many CPUs, and on what a wake across
 * CPUs costs: neither can be asked for. So it is tried, as spin.h learns what a poll is worth: a
 * busy loop whose work does not grow any more is placed the other way for some windows, and what it does then
 * is compared with what it did just before. The first windows of a trial do not count. APART has to be
 * tried for long: threads spread only by and by, and TCP takes a tenth of a second to notice that it may send
 * faster. What is won by TOGETHER shows sooner, and more of it in time, as the other threads spread: a
 * little is enough. A trial that loses much ends early, and is not made again for long.
 * The more often a trial confirms what was known, the rarer it is made. A loop with time to spare is
 * placed APART soon.
 *
 * Used by the I/O thread alone. With several I/O threads and vCPUs each pair would have one.
 */
#ifndef FERRULE_MONITOR_PLACEMENT_H
#define FERRULE_MONITOR_PLACEMENT_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum placement_mode {
	PLACEMENT_APART,
	PLACEMENT_TOGETHER,
	PLACEMENT_MODE_COUNT,
};

#define PLACEMENT_WINDOW_NS   10000000u   /* what one sample lasts */
#define PLACEMENT_BLOCK       5u          /* windows of which the mean is what the settled mode does */
#define PLACEMENT_FIRST_NS    100000000u  /* from the beginning of a load to the first trial */
#define PLACEMENT_REST_NS     400000000u  /* from one trial to the next, when it has changed something */
#define PLACEMENT_REST_MAX_NS 8000000000u /* and at the most, when it has not for long */

/* The rule: arithmetic alone, no clock and no system call. */
struct placement {
	enum placement_mode mode;    /* to be in now; not the settled one: on trial */
	enum placement_mode settled; /* what the last trial found better */
	double settled_rate;         /* work per ns in the settled mode, the mean of the last block; 0: not known */
	double older_rate;           /* likewise of the block before */
	double block_sum;            /* of the block under way */
	unsigned block_windows;
	double trial_sum;            /* of the rates of the trial in windows that count */
	unsigned windows;            /* of the trial, that are over */
	unsigned losses;             /* so many of the last of them lost much */
	unsigned spare;              /* windows in a row with time to spare, TOGETHER */
	uint64_t window_start_ns;
	uint64_t work_then, idle_then_ns; /* at the start of the window */
	uint64_t next_trial_ns;
	uint64_t rest_ns;
};

void placement_init(struct placement *placement, uint64_t now_ns);
/*
 * Once a turn: the mode to be in from now on. 'work' and 'idle_ns' are sums since the start: what was
 * done, in any unit, and how long the loop polled and slept.
 */
enum placement_mode placement_look(
	struct placement *placement, uint64_t now_ns, uint64_t work, uint64_t idle_ns);

/* Where the two threads are. All zero: nowhere in particular. */
struct placement_threads {
	cpu_set_t io_allowed; /* as they were before they were put together */
	cpu_set_t guest_allowed;
	cpu_set_t shared; /* the CPU on which they were put together */
	bool together;
};

/*
 * Puts the calling thread and that of the guest, whose id is 'guest' (0: there is none), on the CPU where
 * the caller runs, or, with APART, gives both back the CPUs that they had, unless somebody else has given
 * them other ones meanwhile. False: they could not be put
 * TOGETHER, and all is as it was.
 */
bool placement_apply(struct placement_threads *threads, enum placement_mode mode, pid_t guest);

#endif
