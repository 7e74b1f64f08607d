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

#include "monitor/stats.h"

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

/* As in fs_reply.c: at once what lies in memory, within the bounds of a turn. */
static bool read_now(struct fs_request *request, unsigned char *to, size_t len)
{
	struct fs_stream *fs = request->fs;

	if (len > fs->read_left || io_read_now(request->directory[0], to, len,
					   request->body.read_into.offset) != (long)len)
		return false;
	fs->read_left -= len;
	return true;
}

static int read_into(struct fs_request *request, struct stream *target)
{
	const struct fs_read_into *read = &request->body.read_into;
	const struct arena_ring *ring = &target->ring[PIPE_GUEST];
	size_t len = smaller(smaller(read->length, ring->capacity), FS_INTO_MOST);
	unsigned char *to = ring->data + (read->position & (ring->capacity - 1));

	/* As for FS_READ: the end of the file. */
	len = smaller(len, LLONG_MAX - read->offset);
	if (read_now(request, to, len))
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

	if (read->offset > LLONG_MAX)
		return -EINVAL;
	int result = fs_request_use_as(request, read->handle, false);
	if (result < 0)
		return result;
	struct stream *target = find_target(request);
	return target == NULL ? -ENOENT : read_into(request, target);
}
