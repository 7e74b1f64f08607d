#include "guest/stream/scheduler.h"

#include "control/boot.h"
#include "guest/platform.h"
#include "guest/stream/fiber.h"
#include "guest/stream/start.h"
#include "guest/stream/stream.h"
#include "pipe/bell.h"
#include "pipe/spin.h"

/*
 * Fibers that run before the bell and the clock are looked at again, however
 * many are runnable. A look at a bell with nothing pending is one load.
 */
#define FIBERS_PER_ROUND 32u

/*
 * Fibers that may run between a post and its doorbell. Each doorbell to a
 * sleeping monitor costs a trap, so the fibers that run one after the other
 * share one; but the monitor takes many microseconds to wake, and the sooner it
 * is rung the more of them it wakes while this side still works. A monitor
 * that is awake is not rung at all.
 */
#define FIBERS_PER_DOORBELL 4u

static struct {
	struct bell_shared *to_host;
	struct bell_shared *to_guest;
	bool posted; /* something was posted since the last look at whether to ring */
	bool exiting;
	int exit_status;
	struct spin spin;
} scheduler;

void scheduler_post(uint32_t slot)
{
	bell_post(scheduler.to_host, slot);
	scheduler.posted = true;
}

/* Partner: the monitor's sleep, which announces 'asleep' and looks at the pending words again. */
static void ring_monitor(void)
{
	if (!scheduler.posted)
		return;
	scheduler.posted = false;
	if (bell_must_ring(scheduler.to_host))
		platform_doorbell();
}

static void run_fibers(void)
{
	unsigned since_ring = 0;

	for (unsigned i = 0; i < FIBERS_PER_ROUND && !scheduler.exiting && fiber_run_next(); i++) {
		stream_flush_all();
		if (scheduler.posted && ++since_ring >= FIBERS_PER_DOORBELL) {
			ring_monitor();
			since_ring = 0;
		}
	}
}

/* Before the guest waits: nothing that moved is kept from the monitor. Hooks move bytes too. */
static void settle(void)
{
	stream_flush_all();
	ring_monitor();
}

static void hear_bell(void)
{
	struct bell_scan scan = {0};
	uint32_t slot;

	while (bell_next(scheduler.to_guest, &scan, &slot))
		stream_slot_pending(slot);
}

/* True: something came. */
static bool poll_bell(uint64_t started, uint64_t length)
{
	do {
		if (bell_pending(scheduler.to_guest)) {
			spin_won(&scheduler.spin);
			return true;
		}
		platform_pause();
	} while (platform_clock_ns() - started < length);
	spin_lost(&scheduler.spin);
	return false;
}

/*
 * Every fiber waits. Each that waits for a stream has announced at its ring what
 * it waits for and has looked again, so whatever the monitor does from now on
 * it posts. The same handshake follows one level higher: bell_sleep announces
 * that this guest sleeps and looks at the pending words again; the monitor
 * posts first and looks at the announcement then (bell_must_ring). One of the
 * two sees the other, so no wake is lost. platform_wait returns at once when the
 * doorbell rang between the announcement and the sleep.
 */
static void idle(void)
{
	uint64_t until = timer_next();
	uint64_t started = platform_clock_ns();
	uint64_t length = spin_ns(&scheduler.spin);

	if (until <= started)
		return;
	/* A deadline that is nearer than the limit is waited for asleep: such a poll proves
	 * nothing. */
	bool polls = length != 0 && until - started > length;
	if (polls && poll_bell(started, length))
		return;
	if (bell_sleep(scheduler.to_guest))
		platform_wait(until);
	bell_awake(scheduler.to_guest);
	/* What the timer ended, no poll would have won. */
	if (!polls && scheduler.spin.limit_ns && bell_pending(scheduler.to_guest))
		spin_slept(&scheduler.spin, platform_clock_ns() - started);
}

static void attach_bells(void)
{
	const struct boot_info *boot = platform_boot();
	unsigned char *arena = platform_arena();

	scheduler.to_host = (struct bell_shared *)(void *)(arena + boot->bell_to_host_offset);
	scheduler.to_guest = (struct bell_shared *)(void *)(arena + boot->bell_to_guest_offset);
	spin_init(&scheduler.spin, boot->features & BOOT_FEATURE_MAY_SPIN ? boot->poll_ns : 0);
}

_Noreturn void scheduler_run(void)
{
	attach_bells();
	while (!scheduler.exiting) {
		run_fibers();
		hear_bell();
		settle();
		timer_expire(platform_clock_ns());
		if (!fiber_any_runnable() && !scheduler.exiting)
			idle();
	}
	platform_exit(scheduler.exit_status);
}

_Noreturn void scheduler_exit(int status)
{
	if (!fiber_current())
		platform_exit(status);
	scheduler.exiting = true;
	scheduler.exit_status = status;
	for (;;)
		fiber_suspend(FOREVER);
}
