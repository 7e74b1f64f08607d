/*
 * The deadlines of waiting fibers: a binary heap by fiber.timer_at, one entry
 * per fiber at most.
 */
#include <stdlib.h>

#include "guest/stream/fiber.h"
#include "guest/stream/start.h"

static struct {
	struct fiber **heap;
	size_t len, room;
} timers;

static void place(struct fiber *fiber, size_t index)
{
	timers.heap[index] = fiber;
	fiber->timer_index = index;
}

static void sift_up(struct fiber *fiber, size_t index)
{
	while (index > 0) {
		struct fiber *parent = timers.heap[(index - 1) / 2];

		if (parent->timer_at <= fiber->timer_at)
			break;
		place(parent, index);
		index = (index - 1) / 2;
	}
	place(fiber, index);
}

static void sift_down(struct fiber *fiber, size_t index)
{
	for (;;) {
		size_t child = 2 * index + 1;

		if (child >= timers.len)
			break;
		if (child + 1 < timers.len &&
			timers.heap[child + 1]->timer_at < timers.heap[child]->timer_at)
			child++;
		if (fiber->timer_at <= timers.heap[child]->timer_at)
			break;
		place(timers.heap[child], index);
		index = child;
	}
	place(fiber, index);
}

static void make_room(void)
{
	size_t room = timers.room ? 2 * timers.room : 64;
	struct fiber **heap;

	if (timers.len < timers.room)
		return;
	heap = realloc(timers.heap, room * sizeof(struct fiber *));
	if (!heap)
		guest_panic("no memory for the timers of %zu fibers", room);
	timers.heap = heap;
	timers.room = room;
}

void timer_arm(struct fiber *fiber, deadline until)
{
	if (fiber->timer_index == TIMER_NONE) {
		make_room();
		fiber->timer_at = until;
		sift_up(fiber, timers.len++);
	} else if (fiber->timer_at > until) {
		fiber->timer_at = until;
		sift_up(fiber, fiber->timer_index);
	}
}

void timer_forget(struct fiber *fiber)
{
	size_t index = fiber->timer_index;
	struct fiber *last;

	if (index == TIMER_NONE)
		return;
	fiber->timer_index = TIMER_NONE;
	last = timers.heap[--timers.len];
	if (last == fiber)
		return;
	sift_up(last, index);
	sift_down(last, last->timer_index);
}

/* The earliest key that is no leftover of a wait that is over. */
static struct fiber *earliest(void)
{
	while (timers.len) {
		struct fiber *fiber = timers.heap[0];

		if (fiber->state != FIBER_WAITING || fiber->until == FOREVER) {
			timer_forget(fiber);
			continue;
		}
		if (fiber->timer_at == fiber->until)
			return fiber;
		fiber->timer_at = fiber->until;
		sift_down(fiber, 0);
	}
	return NULL;
}

uint64_t timer_next(void)
{
	struct fiber *fiber = earliest();

	return fiber ? fiber->timer_at : FOREVER;
}

void timer_expire(uint64_t now_ns)
{
	/* A look at the raw key first: it is never later than the true one. */
	while (timers.len && timers.heap[0]->timer_at <= now_ns) {
		struct fiber *fiber = earliest();

		if (!fiber || fiber->timer_at > now_ns)
			return;
		timer_forget(fiber);
		fiber->timed_out = true;
		fiber_wake(fiber);
	}
}
