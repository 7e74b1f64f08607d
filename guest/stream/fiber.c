#include "guest/stream/fiber.h"

#include "guest/platform.h"
#include "guest/stream/sanitizer.h"
#include "guest/stream/start.h"

/* Stream calls that one fiber may make without waiting before the others get a turn. */
#define CALLS_PER_TURN 64u

void fiber_switch(void **ret_sp, void *sp); /* switch.S */

static struct {
	struct fiber *running;
	struct fiber *first, *last; /* the run queue */
	struct fiber *free;         /* last in, first out: the warmest stack is on top */
	struct fiber *ended;        /* its stack is free as soon as the scheduler runs */
	size_t stacks_made;
	struct wait_list stack_waiters;
	void *scheduler_sp;
	void *scheduler_fiber; /* for the sanitizers, as the next three */
	void *scheduler_fake_stack;
	const void *scheduler_stack;
	size_t scheduler_stack_len;
} fibers;

struct fiber *fiber_current(void)
{
	return fibers.running;
}

static void queue_push(struct fiber *fiber)
{
	fiber->next = NULL;
	if (fibers.first)
		fibers.last->next = fiber;
	else
		fibers.first = fiber;
	fibers.last = fiber;
}

static struct fiber *queue_pop(void)
{
	struct fiber *fiber = fibers.first;

	if (fiber)
		fibers.first = fiber->next;
	return fiber;
}

bool fiber_any_runnable(void)
{
	return fibers.first;
}

static void switch_to_scheduler(struct fiber *self, bool ending)
{
	fibers.running = NULL;
	sanitizer_leave(ending ? NULL : &self->sanitizer_stack, fibers.scheduler_stack,
		fibers.scheduler_stack_len, fibers.scheduler_fiber);
	fiber_switch(&self->sp, fibers.scheduler_sp);
	sanitizer_arrive(
		self->sanitizer_stack, &fibers.scheduler_stack, &fibers.scheduler_stack_len);
}

static void reclaim(struct fiber *fiber)
{
	timer_forget(fiber);
	sanitizer_free_fiber(fiber->sanitizer_fiber);
	sanitizer_clean_stack(fiber->stack, fiber->stack_len - sizeof(*fiber));
	fiber->state = FIBER_FREE;
	fiber->next = fibers.free;
	fibers.free = fiber;
	wait_list_wake(&fibers.stack_waiters);
}

bool fiber_run_next(void)
{
	struct fiber *fiber = queue_pop();

	if (!fiber)
		return false;
	fibers.running = fiber;
	fiber->calls = 0;
	fibers.scheduler_fiber = sanitizer_this_fiber();
	sanitizer_leave(&fibers.scheduler_fake_stack, fiber->stack, fiber->stack_len,
		fiber->sanitizer_fiber);
	fiber_switch(&fibers.scheduler_sp, fiber->sp);
	sanitizer_arrive(fibers.scheduler_fake_stack, NULL, NULL);
	if (fibers.ended) {
		reclaim(fibers.ended);
		fibers.ended = NULL;
	}
	return true;
}

/* Where a new fiber begins, by the return of fiber_switch. */
static _Noreturn void fiber_begin(void)
{
	struct fiber *self = fibers.running;

	sanitizer_arrive(NULL, &fibers.scheduler_stack, &fibers.scheduler_stack_len);
	self->fn(self->argument);
	fibers.ended = self;
	switch_to_scheduler(self, true);
	__builtin_unreachable();
}

static struct fiber *make_fiber(void)
{
	struct fiber *fiber;
	unsigned char *stack;
	size_t len;

	if (fibers.stacks_made >= platform_stack_count())
		return NULL;
	stack = platform_stack(fibers.stacks_made, &len);
	if (!stack)
		return NULL;
	fibers.stacks_made++;
	fiber = (struct fiber *)(void *)(stack + len - ((sizeof(*fiber) + 63) & ~(size_t)63));
	*fiber = (struct fiber){.stack = stack, .stack_len = len, .timer_index = TIMER_NONE};
	return fiber;
}

/*
 * The frame that fiber_switch pops: six registers and a return address. A 0
 * above it and in rbp ends backtraces, and leaves rsp at fiber_begin as the ABI
 * has it at a function's first instruction, 8 below a multiple of 16.
 */
static void prepare_stack(struct fiber *fiber)
{
	void **top = (void **)(void *)fiber;

	*--top = NULL;
	*--top = (void *)(uintptr_t)fiber_begin;
	for (int i = 0; i < 6; i++)
		*--top = NULL;
	fiber->sp = top;
}

int fiber_spawn(void (*fn)(void *argument), void *argument)
{
	struct fiber *fiber = fibers.free;

	if (fiber)
		fibers.free = fiber->next;
	else
		fiber = make_fiber();
	if (!fiber)
		return -EAGAIN;
	fiber->fn = fn;
	fiber->argument = argument;
	fiber->state = FIBER_RUNNABLE;
	fiber->sanitizer_fiber = sanitizer_new_fiber();
	fiber->sanitizer_stack = NULL;
	prepare_stack(fiber);
	queue_push(fiber);
	return 0;
}

static struct fiber *running_fiber(void)
{
	if (!fibers.running)
		guest_panic("a hook of the scheduler called something that waits");
	return fibers.running;
}

void fiber_yield(void)
{
	struct fiber *self = running_fiber();

	queue_push(self);
	switch_to_scheduler(self, false);
}

void fiber_take_turn(deadline until)
{
	struct fiber *self = running_fiber();

	if (until != NO_WAIT && ++self->calls > CALLS_PER_TURN)
		fiber_yield();
}

int fiber_suspend(deadline until)
{
	struct fiber *self = running_fiber();

	if (until == NO_WAIT)
		return -ETIMEDOUT;
	self->state = FIBER_WAITING;
	self->timed_out = false;
	self->until = until;
	if (until != FOREVER)
		timer_arm(self, until);
	switch_to_scheduler(self, false);
	return self->timed_out ? -ETIMEDOUT : 0;
}

void fiber_wake(struct fiber *fiber)
{
	if (fiber->state != FIBER_WAITING)
		return;
	fiber->state = FIBER_RUNNABLE;
	queue_push(fiber);
}

void fiber_sleep(deadline until)
{
	if (until == NO_WAIT)
		fiber_yield();
	while (fiber_suspend(until) == 0)
		;
}

void fiber_await_stack(void)
{
	wait_list_wait(&fibers.stack_waiters, FOREVER);
}
