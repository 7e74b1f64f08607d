/*
 * Waiting on many: streams, and what lies on one, as listeners and UDP sockets do, and timers. An
 * item that is a timer has no stream.
 */
#include "guest/stream/fiber.h"
#include "guest/stream/listener.h"
#include "guest/stream/stream.h"
#include "guest/stream/udp.h"
#include "guest/stream/wait.h"

#define STARVED_MS 100 /* between requests for streams that a listener has none of */

/* Finds out what each item waits on. The time when the first timer ends. */
static deadline prepare(struct wait_item *items, int count, deadline until)
{
	deadline first = FOREVER;

	for (int i = 0; i < count; i++) {
		struct wait_item *item = &items[i];

		item->on = item->listener ? listener_watch(item->listener, until)
			   : item->udp    ? udp_watch(item->udp)
					  : item->stream;
		if (item->listener && listener_starves(item->listener) &&
			first > in_milliseconds(STARVED_MS))
			first = in_milliseconds(STARVED_MS);
		item->wants = item->events || item->stream ? item->events : WAIT_READABLE;
		if (!item->on && item->at < first)
			first = item->at;
	}
	return first;
}

static int look(const struct wait_item *item, bool announce)
{
	int ready = 0;

	if (!item->on)
		return item->at <= clock_now() ? WAIT_READABLE : 0;
	struct pipe_end *pipe = &item->on->pipe;
	size_t quarter = pipe->out.capacity / 4;
	if (item->wants & WAIT_READABLE) {
		if (announce)
			ring_await_data(&pipe->in, 1);
		struct ring_span span = ring_peek(&pipe->in);
		if (span.len || span.end)
			ready |= WAIT_READABLE;
	}
	if (item->wants & WAIT_WRITABLE && !item->on->filling) {
		if (announce)
			ring_await_room(&pipe->out, quarter);
		struct ring_span span = ring_reserve(&pipe->out);
		if (span.len >= quarter || span.end)
			ready |= WAIT_WRITABLE;
	}
	return ready;
}

static int look_at_all(struct wait_item *items, int count, bool announce)
{
	int ready = 0;

	for (int i = 0; i < count; i++) {
		items[i].ready = look(&items[i], announce);
		ready += items[i].ready != 0;
	}
	return ready;
}

static bool suspend_on_all(struct wait_item *items, int count, deadline until)
{
	int error;

	for (int i = 0; i < count; i++)
		if (items[i].on)
			waiter_add(&items[i].on->waiters, &items[i].waiter);
	error = fiber_suspend(until);
	for (int i = 0; i < count; i++)
		if (items[i].on)
			waiter_remove(&items[i].waiter);
	return error != 0;
}

int wait_any(struct wait_item *items, int count, deadline until)
{
	bool timed_out = until == NO_WAIT;
	deadline timer;

	fiber_take_turn(until);
	for (;;) {
		timer = prepare(items, count, until);
		int ready = look_at_all(items, count, false);

		if (!ready && !timed_out)
			ready = look_at_all(items, count, true);
		if (ready)
			return ready;
		if (timed_out)
			return -ETIMEDOUT;
		if (suspend_on_all(items, count, timer < until ? timer : until))
			timed_out = clock_now() >= until;
	}
}
