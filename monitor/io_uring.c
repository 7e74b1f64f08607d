/*
 * io over io_uring.
 *
 * One ring, used by the I/O thread alone (SINGLE_ISSUER). Completions are delivered
 * only when that thread asks for them (DEFER_TASKRUN), so a socket that becomes ready
 * while the thread works or spins costs it no interruption; TASKRUN_FLAG makes
 * "is there something to ask for" a load. Socket operations try first and wait for
 * readiness only if that fails.
 */
#include "monitor/io_backend.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#include "monitor/stats.h"

#define IO_ENTRIES                                                                                 \
	1024u /* submission entries; completions have four times as many; more are kept by the     \
		 kernel */

struct uring {
	struct io io; /* first */
	struct io_uring ring;
};

static struct uring *uring_of(struct io *io)
{
	return io_container(io, struct uring, io);
}

static void uring_destroy(struct io *io)
{
	io_uring_queue_exit(&uring_of(io)->ring);
	free(uring_of(io));
}

/* A free submission entry: submits what is queued when there is none. */
static struct io_uring_sqe *entry(struct io *io, struct io_op *op)
{
	struct io_uring *ring = &uring_of(io)->ring;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	while (sqe == NULL) {
		io_uring_submit(ring);
		stats.io_enters++;
		io->unsubmitted = 0;
		sqe = io_uring_get_sqe(ring);
	}
	io->unsubmitted++;
	stats.io_operations++;
	if (op != NULL)
		io->in_flight++;
	return sqe;
}

/* To be called after io_uring_prep_*, which clears the entry. */
static void own(struct io_uring_sqe *sqe, struct io_op *op)
{
	io_uring_sqe_set_data(sqe, op);
}

static void uring_recv(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_recv(sqe, fd, ret_bytes, len, 0);
	own(sqe, op);
}

static void uring_discard(struct io *io, struct io_op *op, int fd, size_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_recv(sqe, fd, NULL, len, MSG_TRUNC); /* tcp(7): the bytes are not copied */
	own(sqe, op);
}

static void uring_send(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_send(sqe, fd, bytes, len, MSG_NOSIGNAL);
	own(sqe, op);
}

static void uring_accept(
	struct io *io, struct io_op *op, int fd, struct sockaddr *ret_peer, socklen_t *ret_len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_accept(sqe, fd, ret_peer, ret_len, SOCK_CLOEXEC);
	own(sqe, op);
}

static void uring_connect(
	struct io *io, struct io_op *op, int fd, const struct sockaddr *address, socklen_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_connect(sqe, fd, address, len);
	own(sqe, op);
}

static void uring_read(
	struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len, uint64_t offset)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_read(sqe, fd, ret_bytes, (unsigned)len, offset);
	own(sqe, op);
}

static void uring_write(
	struct io *io, struct io_op *op, int fd, const void *bytes, size_t len, uint64_t offset)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_write(sqe, fd, bytes, (unsigned)len, offset);
	own(sqe, op);
}

static void uring_sync(struct io *io, struct io_op *op, int fd, bool data_only)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_fsync(sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
	own(sqe, op);
}

static void uring_wake(struct io *io, struct io_op *op, int fd, uint64_t *ret_value)
{
	uring_read(io, op, fd, ret_value, sizeof(*ret_value), 0);
}

static void uring_close_socket(struct io *io, int fd)
{
	struct io_uring_sqe *sqe = entry(io, NULL);
	io_uring_prep_close(sqe, fd);
	own(sqe, NULL);
}

static void uring_timeout(struct io *io, struct io_timer *timer, uint64_t ns)
{
	struct io_uring_sqe *sqe = entry(io, &timer->op);
	/* The kernel copies the time at submission, which may be a while after this call. */
	timer->seconds = (long long)(ns / 1000000000u);
	timer->nanoseconds = (long long)(ns % 1000000000u);
	_Static_assert(sizeof(struct __kernel_timespec) == 16, "struct io_timer holds one");
	io_uring_prep_timeout(sqe, (struct __kernel_timespec *)(void *)&timer->seconds, 0, 0);
	own(sqe, &timer->op);
}

static void uring_cancel(struct io *io, struct io_op *op)
{
	struct io_uring_sqe *sqe = entry(io, NULL);
	io_uring_prep_cancel(sqe, op, 0);
	own(sqe, NULL);
}

static void uring_cancel_all(struct io *io)
{
	struct io_uring_sqe *sqe = entry(io, NULL);
	io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	own(sqe, NULL);
}

/* Is there something to ask the kernel for? */
static bool kernel_has_more(const struct io_uring *ring)
{
	return (IO_URING_READ_ONCE(*ring->sq.kflags) &
		       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static bool uring_ready(struct io *io)
{
	const struct io_uring *ring = &uring_of(io)->ring;
	return io_uring_cq_ready(ring) != 0 || kernel_has_more(ring);
}

/* Calls done() for what has completed until now; what that starts is submitted by the next turn. */
static unsigned complete(struct uring *uring)
{
	unsigned ready = io_uring_cq_ready(&uring->ring);
	unsigned count = 0;
	struct io_uring_cqe *cqe;
	while (count < ready && io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
		struct io_op *op = io_uring_cqe_get_data(cqe);
		int result = cqe->res;
		io_uring_cqe_seen(&uring->ring, cqe);
		count++;
		if (op == NULL)
			continue;
		uring->io.in_flight--;
		op->done(op, result);
	}
	return count;
}

static unsigned uring_turn(struct io *io, bool wait)
{
	struct uring *uring = uring_of(io);
	if (wait || io->unsubmitted != 0) {
		stats.io_enters++;
		io->unsubmitted = 0;
		/* GETEVENTS also runs the deferred task work: one call submits, collects and
		 * sleeps. */
		if (wait)
			io_uring_submit_and_wait(&uring->ring, 1);
		else
			io_uring_submit_and_get_events(&uring->ring);
	} else if (kernel_has_more(&uring->ring)) {
		stats.io_enters++;
		io_uring_get_events(&uring->ring);
	}
	return complete(uring);
}

static const struct io_backend uring_backend = {
	.destroy = uring_destroy,
	.recv = uring_recv,
	.discard = uring_discard,
	.send = uring_send,
	.accept = uring_accept,
	.connect = uring_connect,
	.read = uring_read,
	.write = uring_write,
	.sync = uring_sync,
	.wake = uring_wake,
	.close_socket = uring_close_socket,
	.timeout = uring_timeout,
	.cancel = uring_cancel,
	.cancel_all = uring_cancel_all,
	.turn = uring_turn,
	.ready = uring_ready,
};

int io_create_uring(struct io **ret_io)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	if (uring == NULL)
		return -ENOMEM;
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
		.cq_entries = IO_ENTRIES * 4,
	};
	int result = io_uring_queue_init_params(IO_ENTRIES, &uring->ring, &params);
	if (result < 0) {
		free(uring);
		return result;
	}
	uring->io.backend = &uring_backend;
	*ret_io = &uring->io;
	return 0;
}
