/*
 * fiber: light threads that take turns on the one thread of the guest. This is
 * the library's own view; programs see fiber_spawn, fiber_yield, fiber_sleep
 * and wait lists in guest/ferrule.h.
 *
 * guest/stream/ holds what a program links: fibers and their scheduler,
 * streams, the control pipe's client, and the typed calls for files, listeners,
 * connections and UDP sockets. It may include guest/, pipe/, control/ and protocol/, and
 * the C library's strings, snprintf and malloc; it is compiled freestanding
 * for KVM and hosted for Linux.
 *
 * A switch happens only inside fiber_suspend and fiber_yield. The scheduler is
 * no fiber: it runs on the boot stack, and a hook that it calls (stream.h) must
 * not wait.
 */
#ifndef FERRULE_GUEST_STREAM_FIBER_H
#define FERRULE_GUEST_STREAM_FIBER_H

#include "guest/ferrule.h"

enum fiber_state {
	FIBER_FREE,
	FIBER_RUNNABLE, /* running, or in the run queue */
	FIBER_WAITING,
};

#define TIMER_NONE SIZE_MAX

struct fiber {
	void *sp; /* of the suspended fiber */
	void (*fn)(void *argument);
	void *argument;
	struct fiber *next; /* in the run queue or the free list */
	enum fiber_state state;
	bool timed_out;        /* how the last fiber_suspend ended */
	unsigned calls;        /* stream calls that did not wait since this fiber's turn began */
	deadline until;        /* of the wait it is in */
	uint64_t timer_at;     /* nanoseconds; its key in the timer heap, at most 'until' */
	size_t timer_index;    /* its place in the timer heap, or TIMER_NONE */
	void *stack;           /* lowest usable byte */
	size_t stack_len;      /* bytes; this struct lies at the upper end of them */
	void *sanitizer_fiber; /* TSan's name for it */
	void *sanitizer_stack; /* ASan's fake stack while it is suspended */
};

/* The fiber that runs; NULL in the scheduler. */
struct fiber *fiber_current(void);

/* Suspends the caller until fiber_wake or the deadline (NO_WAIT: not at all): 0 or -ETIMEDOUT.
 * Wakes without a cause are allowed: callers look again. */
int fiber_suspend(deadline until);

/* Makes a waiting fiber runnable, behind those that already are. Nothing happens to one that does
 * not wait. */
void fiber_wake(struct fiber *fiber);

/* To be called by calls that did not have to wait: lets the others run when this fiber went on for
 * long. */
void fiber_take_turn(deadline until);

/* Waits until a fiber has ended and its stack is free again. */
void fiber_await_stack(void);

/* For the scheduler: runs the next runnable fiber until it waits, yields or ends. False: none is
 * runnable. */
bool fiber_run_next(void);
bool fiber_any_runnable(void);

/*
 * Timers, timer.c. A fiber stays in the heap with an early key when its next
 * wait ends later: most waits end long before their deadline, and moving the
 * key for each of them would be the costly part.
 */
void timer_arm(struct fiber *fiber, deadline until);
void timer_forget(struct fiber *fiber);
/* Wakes the fibers whose deadline has passed. */
void timer_expire(uint64_t now_ns);
/* When the next one passes, or FOREVER. */
uint64_t timer_next(void);

/* Taken by one fiber at a time. Zero-initialised. */
struct fiber_mutex {
	bool taken;
	struct wait_list waiters;
};

int fiber_lock(struct fiber_mutex *mutex, deadline until); /* 0 or -ETIMEDOUT */
void fiber_unlock(struct fiber_mutex *mutex);

#endif
