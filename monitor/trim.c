#include "monitor/trim.h"

#include <errno.h>

#include "monitor/loop.h"
#include "monitor/stats.h"
#include "monitor/stream.h"

static uint64_t moved(void)
{
	return stats.bytes_to_guest + stats.bytes_to_host + stats.streams_closed;
}

static void set_timer(struct trim *trim, uint64_t ns)
{
	trim->timing = true;
	io_timeout(loop_io(trim->loop), &trim->timer, ns);
}

/* A part of what is to be given back; when that is all of it, the next sweep begins. */
static void timer_done(struct io_op *op, int result)
{
	struct trim *trim = io_container(op, struct trim, timer.op);
	uint64_t now = moved();

	trim->timing = false;
	if (result != -ETIME)
		return; /* the end */
	unsigned part = arena_trim(loop_arena(trim->loop), TRIM_PART);
	part += stream_table_trim(loop_streams(trim->loop), TRIM_PART - part);
	if (part == TRIM_PART) {
		set_timer(trim, TRIM_STEP_NS);
		return;
	}
	bool left = arena_trim_next(loop_arena(trim->loop));
	left |= stream_table_trim_next(loop_streams(trim->loop));
	if (left || now != trim->moved)
		set_timer(trim, TRIM_REST_NS);
	trim->moved = now;
}

void trim_init(struct trim *trim, struct loop *loop)
{
	*trim = (struct trim){.loop = loop, .timer = {.op = {timer_done}}};
}

void trim_look(struct trim *trim)
{
	if (!trim->timing && moved() != trim->moved)
		set_timer(trim, TRIM_REST_NS);
}
