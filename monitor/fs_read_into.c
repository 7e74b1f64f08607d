/*
 * FS_READ_INTO: bytes of a file, straight into the ring that the guest writes of one of its
 * streams. From there the relay of that stream sends them, so they never pass through the guest's
 * CPU.
 *
 * To the monitor the span is memory that the guest may write at any time anyway: what it means,
 * whether it was reserved and what else is written there is the guest's own business. Two things
 * are the monitor's. The span has to lie in the ring: a position is masked, and the length is
 * bounded by the capacity. And the ring has to stay that stream's while an operation reads into it,
 * or the bytes would end up in a successor's: the stream is pinned.
 */
#include "monitor/fs_stream.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

#include "monitor/stats.h"

#define AHEAD_MOST (LOOP_SCRATCH + 65536u) /* bytes of a piece and of what leads it, in one call   \
					    */

static size_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? (size_t)a : (size_t)b;
}

/* Any state of it will do: the rings are the guest's from DataStreamInfo to CloseStream. */
static struct stream *find_target(const struct fs_request *request)
{
	struct stream_table *streams = loop_streams(request->fs->stream->loop);
	struct stream *target = stream_find(streams, request->body.read_into.stream_id);

	return target != NULL && !target->guest_closed ? target : NULL;
}

/* From there to the end of a ring's capacity and beyond, whatever the position is. */
static unsigned char *ring_at(const struct stream *target, uint64_t position)
{
	const struct arena_ring *ring = &target->ring[PIPE_GUEST];

	return ring->data + (position & (ring->capacity - 1));
}

static int answer(struct fs_request *request, int result)
{
	if (result < 0)
		return result;
	request->reply.was_read.length = (uint32_t)result;
	stats.bytes_to_guest += (unsigned)result;
	return FS_ANSWER;
}

static void read_done(struct io_op *op, int result)
{
	struct fs_request *request = io_container(op, struct fs_request, op);
	struct fs_stream *fs = request->fs;

	stream_unpin(request->target);
	fs_request_go_on(request, answer(request, result));
	fs_pump(fs);
}

/* ---- at once, what lies in memory */

/*
 * A piece may go beyond what is left of a turn's bytes: then it is the last one of that turn, and
 * the requests behind it are taken in the next.
 */
static bool read_now(struct fs_request *request, unsigned char *to, size_t len)
{
	struct fs_stream *fs = request->fs;
	long got = io_read_now(request->directory[0], to, len, request->body.read_into.offset);

	/* What was read in vain took its time too. */
	if (got > 0)
		fs->into_left -= smaller((uint64_t)got, fs->into_left);
	return got == (long)len;
}

/* No more than a relay sends at a time: others are to have their turn. */
static bool may_send_ahead(const struct fs_request *request, struct stream *target, size_t len)
{
	const struct fs_read_into *read = &request->body.read_into;

	return (read->flags & FS_INTO_AHEAD) != 0 && read->lead + len <= AHEAD_MOST &&
	       target->state == STREAM_ESTABLISHED && target->protocol->may_send_ahead != NULL &&
	       target->protocol->may_send_ahead(target);
}

/*
 * By way of memory that stays in the cache: the rings of many connections do not fit there, and
 * what is sent whole need never be in its ring. sendfile(2), which copies nothing, was 3-11 % faster for
 * files of 100 KiB (2 CPUs, Linux 6.18), and would wait for a page that is just being read, and all
 * streams with it.
 */
static bool send_now(struct fs_request *request, struct stream *target, size_t len)
{
	const struct fs_read_into *read = &request->body.read_into;
	unsigned char *scratch = loop_scratch(target->loop);
	struct iovec spans[] = {
		{ring_at(target, read->position - read->lead), read->lead},
		{scratch, len},
	};

	if (!read_now(request, scratch, len))
		return false;
	unsigned char *to = ring_at(target, read->position);
	size_t sent = len == 0 ? 0 : target->protocol->send_ahead(target, spans, 2);
	size_t of_file = sent < read->lead ? 0 : sent - read->lead;
	memcpy(to + of_file, scratch + of_file, len - of_file);
	return true;
}

/* ---- the request */

static int read_into(struct fs_request *request, struct stream *target)
{
	const struct fs_read_into *read = &request->body.read_into;
	size_t len = smaller(read->length, target->ring[PIPE_GUEST].capacity);
	unsigned char *to = ring_at(target, read->position);

	/* What is beyond the last offset of all is, as for FS_READ, beyond the end. */
	len = smaller(smaller(len, LOOP_SCRATCH), LLONG_MAX - read->offset);
	if (may_send_ahead(request, target, len) ? send_now(request, target, len)
						 : read_now(request, to, len))
		return answer(request, (int)len);
	stream_pin(target);
	request->target = target;
	request->op.done = read_done;
	io_read(fs_io(request->fs), &request->op, request->directory[0], to, len, read->offset);
	return FS_LATER;
}

int fs_read_into_start(struct fs_request *request)
{
	const struct fs_read_into *read = &request->body.read_into;

	if (read->offset > LLONG_MAX || (read->flags & ~(uint32_t)FS_INTO_KNOWN) != 0)
		return -EINVAL;
	int result = fs_request_use_as(request, read->handle, false);
	if (result < 0)
		return result;
	struct stream *target = find_target(request);
	if (target == NULL)
		return -ENOENT;
	if (read->lead > target->ring[PIPE_GUEST].capacity)
		return -EINVAL;
	return read_into(request, target);
}
