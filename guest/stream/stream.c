#include "guest/stream/stream.h"

#include <stdlib.h>
#include <string.h>

#include "control/boot.h"
#include "guest/platform.h"
#include "guest/stream/fiber.h"
#include "guest/stream/scheduler.h"
#include "guest/stream/start.h"
#include "guest/stream/wait.h"
#include "pipe/bell.h"

static struct {
	struct stream **slot; /* indexed by pipe slot */
	struct stream *dirty;
	struct stream *freed; /* structs to use again */
} streams;

/* ---- making and unmaking */

static struct stream *take_struct(void)
{
	struct stream *stream = streams.freed;

	if (stream)
		streams.freed = stream->next;
	else
		stream = malloc(sizeof(*stream));
	if (!stream)
		guest_panic("no memory is left for a stream; give the guest more with --memory, or free some");
	memset(stream, 0, sizeof(*stream));
	return stream;
}

static bool ring_possible(uint64_t offset, uint64_t capacity)
{
	const struct boot_info *boot = platform_boot();

	return ring_capacity_valid(capacity) && offset % BOOT_PAGE == 0 &&
	       offset >= boot->rings_offset && offset <= boot->arena_len &&
	       capacity <= boot->arena_len - offset;
}

static bool info_possible(const struct control_stream_info *info)
{
	const struct boot_info *boot = platform_boot();
	uint32_t slot = control_stream_slot(info->stream_id);

	return slot < boot->pipe_slots && !streams.slot[slot] &&
	       info->pipe_offset ==
		       boot->pipes_offset + (uint64_t)slot * sizeof(struct pipe_shared) &&
	       ring_possible(info->to_host_offset, info->to_host_capacity) &&
	       ring_possible(info->to_guest_offset, info->to_guest_capacity);
}

static struct stream *attach(const struct control_stream_info *info)
{
	struct pipe_area area[2] = {
		[PIPE_GUEST] = {platform_ring(info->to_host_offset, info->to_host_capacity),
			info->to_host_capacity},
		[PIPE_HOST] = {platform_ring(info->to_guest_offset, info->to_guest_capacity),
			info->to_guest_capacity},
	};
	struct stream *stream;

	if (!area[PIPE_GUEST].data || !area[PIPE_HOST].data)
		return NULL;
	stream = take_struct();
	stream->id = info->stream_id;
	stream->slot = control_stream_slot(info->stream_id);
	pipe_attach(&stream->pipe, PIPE_GUEST,
		(struct pipe_shared *)(void *)(platform_arena() + info->pipe_offset), area);
	streams.slot[stream->slot] = stream;
	return stream;
}

struct stream *stream_attach(const struct control_stream_info *info)
{
	if (info->stream_id >> 32 == 0 || !info_possible(info))
		guest_panic("the monitor described an impossible stream (id %#llx, pipe at %#llx)",
			(unsigned long long)info->stream_id, (unsigned long long)info->pipe_offset);
	return attach(info);
}

struct stream *stream_attach_control(void)
{
	const struct boot_info *boot = platform_boot();
	struct control_stream_info info = {
		.pipe_offset = boot->pipes_offset,
		.to_host_offset = boot->control_ring_offset[PIPE_GUEST],
		.to_guest_offset = boot->control_ring_offset[PIPE_HOST],
		.to_host_capacity = boot->control_ring_capacity[PIPE_GUEST],
		.to_guest_capacity = boot->control_ring_capacity[PIPE_HOST],
	};
	struct stream *stream;

	if (boot->pipe_slots == 0 || boot->pipe_slots > BELL_SLOTS)
		guest_panic("the monitor named %u pipe slots", boot->pipe_slots);
	streams.slot = calloc(boot->pipe_slots, sizeof(struct stream *));
	if (!streams.slot)
		guest_panic("no memory for %u pipe slots", boot->pipe_slots);
	if (!info_possible(&info))
		guest_panic("the monitor described an impossible control pipe");
	stream = attach(&info);
	if (!stream)
		guest_panic("the control pipe cannot be mapped");
	return stream;
}

struct stream *stream_by_slot(uint32_t slot)
{
	return slot < platform_boot()->pipe_slots ? streams.slot[slot] : NULL;
}

struct stream *stream_by_context(const void *context)
{
	for (uint32_t slot = 1; slot < platform_boot()->pipe_slots; slot++) {
		if (streams.slot[slot] && streams.slot[slot]->hook_context == context)
			return streams.slot[slot];
	}
	return NULL;
}

void stream_detach(struct stream *stream)
{
	if (stream->waiters.first || stream->filling)
		guest_panic("a stream was closed while a fiber waited for it");
	stream_finish(stream);
	ring_stop(&stream->pipe.in);
	stream_flush_all(); /* so that the list of dirty streams does not name this one */
	if (pipe_wake_peer(&stream->pipe))
		scheduler_post(stream->slot);
	streams.slot[stream->slot] = NULL;
	stream->next = streams.freed;
	streams.freed = stream;
}

/* ---- waking and being woken */

static void mark_dirty(struct stream *stream)
{
	if (stream->dirty)
		return;
	stream->dirty = true;
	stream->next = streams.dirty;
	streams.dirty = stream;
}

/*
 * The peer is asked once per turn of a fiber, not once per commit: the question
 * costs a fence and a look at a line that the peer writes.
 */
void stream_flush_all(void)
{
	while (streams.dirty) {
		struct stream *stream = streams.dirty;

		streams.dirty = stream->next;
		stream->dirty = false;
		if (pipe_wake_peer(&stream->pipe))
			scheduler_post(stream->slot);
	}
}

void stream_slot_pending(uint32_t slot)
{
	struct stream *stream = stream_by_slot(slot);

	/* A mark for a stream that was closed meanwhile; or for its successor, which looks and
	 * waits on. */
	if (!stream)
		return;
	if (stream->hook)
		stream->hook(stream, stream->hook_context);
	wait_list_wake(&stream->waiters);
}

/* ---- bytes. The pattern of every wait: look, announce at the ring, look again, suspend, look. */

long stream_peek(
	struct stream *stream, const unsigned char **ret_data, size_t least, deadline until)
{
	struct ring_consumer *in = &stream->pipe.in;
	bool timed_out = until == NO_WAIT;
	struct ring_span span;

	if (least > in->capacity)
		return -EINVAL;
	fiber_take_turn(until);
	for (;;) {
		span = ring_peek(in);
		if (span.len >= least || span.end)
			break;
		if (timed_out)
			return -ETIMEDOUT;
		/* Partner: the monitor's ring_wake_consumer after its commits. */
		ring_await_data(in, least);
		span = ring_peek(in);
		if (span.len >= least || span.end)
			break;
		timed_out = wait_list_wait(&stream->waiters, until) != 0;
	}
	*ret_data = span.data;
	if (span.len > 0)
		return (long)span.len;
	return span.end < 0 ? span.end : 0;
}

void stream_consume(struct stream *stream, size_t len)
{
	if (len == 0)
		return;
	ring_consume(&stream->pipe.in, len);
	mark_dirty(stream);
}

long stream_reserve(struct stream *stream, unsigned char **ret_room, size_t least, deadline until)
{
	struct ring_producer *out = &stream->pipe.out;
	bool timed_out = until == NO_WAIT;
	struct ring_span span;

	if (least > out->capacity)
		return -EINVAL;
	fiber_take_turn(until);
	for (;;) {
		while (stream->filling && !timed_out)
			timed_out = wait_list_wait(&stream->waiters, until) != 0;
		if (stream->filling)
			return -ETIMEDOUT;
		span = ring_reserve(out);
		if (span.len >= least || span.end)
			break;
		if (timed_out)
			return -ETIMEDOUT;
		/* Partner: the monitor's ring_wake_producer after it consumed. */
		ring_await_room(out, least);
		span = ring_reserve(out);
		if (span.len >= least || span.end)
			break;
		timed_out = wait_list_wait(&stream->waiters, until) != 0;
	}
	*ret_room = span.data;
	return span.end < 0 ? span.end : (long)span.len;
}

void stream_commit(struct stream *stream, size_t len)
{
	if (len == 0 || stream->ended)
		return;
	ring_commit_rewind(&stream->pipe.out, len);
	mark_dirty(stream);
}

long stream_read(struct stream *stream, void *ret_bytes, size_t len, deadline until)
{
	const unsigned char *data;
	long got = stream_peek(stream, &data, len ? 1 : 0, until);

	if (got <= 0)
		return got;
	if ((size_t)got < len)
		len = (size_t)got;
	memcpy(ret_bytes, data, len);
	stream_consume(stream, len);
	return (long)len;
}

/* Room worth waking up for, with 'left' bytes still to write. */
static size_t worthwhile_room(const struct stream *stream, size_t left)
{
	size_t quarter = stream->pipe.out.capacity / 4;

	return left < quarter ? left : quarter;
}

long stream_write(struct stream *stream, const void *bytes, size_t len, deadline until)
{
	const unsigned char *from = bytes;
	size_t done = 0;

	while (done < len) {
		unsigned char *room;
		size_t part = len - done;
		long got = stream_reserve(stream, &room, worthwhile_room(stream, part), until);

		if (got < 0)
			return got == -ETIMEDOUT && done ? (long)done : got;
		if ((size_t)got < part)
			part = (size_t)got;
		memcpy(room, from + done, part);
		stream_commit(stream, part);
		done += part;
	}
	return (long)done;
}

size_t stream_readable_len(struct stream *stream)
{
	return ring_readable_len(&stream->pipe.in);
}

size_t stream_writable_len(struct stream *stream)
{
	return stream->filling ? 0 : ring_writable_len(&stream->pipe.out);
}

size_t stream_read_capacity(const struct stream *stream)
{
	return stream->pipe.in.capacity;
}

size_t stream_write_capacity(const struct stream *stream)
{
	return stream->pipe.out.capacity;
}

void stream_finish(struct stream *stream)
{
	if (stream->ended)
		return;
	stream->ended = true;
	ring_finish(&stream->pipe.out);
	mark_dirty(stream);
}

void stream_fail(struct stream *stream, int error)
{
	if (stream->ended)
		return;
	if (error < 0)
		error = -error; /* as the calls of this library return it */
	stream->ended = true;
	ring_fail(&stream->pipe.out, error > 0 && error <= RING_ERRNO_MAX ? error : EIO);
	mark_dirty(stream);
}

void stream_stop(struct stream *stream)
{
	ring_stop(&stream->pipe.in);
	mark_dirty(stream);
}
