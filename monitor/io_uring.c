/*
 * io over io_uring.
 *
 * One ring, used by the I/O thread alone (SINGLE_ISSUER). Completions are delivered
 * only when that thread asks for them (DEFER_TASKRUN), so a socket that becomes ready
 * while the thread works or spins costs it no interruption; TASKRUN_FLAG makes
 * "is there something to ask for" a load. Socket operations try first and wait for
 * readiness only if that fails.
 */
#include "monitor/io.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#include "monitor/stats.h"

#define IO_ENTRIES                                                                                 \
	1024u /* submission entries; completions have four times as many; more are kept by the     \
		 kernel */

struct io {
	struct io_uring ring;
	unsigned in_flight; /* operations with a done() to come */
	unsigned unsubmitted;
};

int io_create(struct io **ret_io)
{
	struct io *io = calloc(1, sizeof(*io));
	if (io == NULL)
		return -ENOMEM;
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
		.cq_entries = IO_ENTRIES * 4,
	};
	int result = io_uring_queue_init_params(IO_ENTRIES, &io->ring, &params);
	if (result < 0) {
		free(io);
		return result;
	}
	*ret_io = io;
	return 0;
}

void io_destroy(struct io *io)
{
	assert(io->in_flight == 0);
	io_uring_queue_exit(&io->ring);
	free(io);
}

/* A free submission entry: submits what is queued when there is none. */
static struct io_uring_sqe *entry(struct io *io, struct io_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
	while (sqe == NULL) {
		io_uring_submit(&io->ring);
		stats.io_enters++;
		io->unsubmitted = 0;
		sqe = io_uring_get_sqe(&io->ring);
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

void io_recv(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_recv(sqe, fd, ret_bytes, len, 0);
	own(sqe, op);
}

void io_discard(struct io *io, struct io_op *op, int fd, size_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_recv(sqe, fd, NULL, len, MSG_TRUNC); /* tcp(7): the bytes are not copied */
	own(sqe, op);
}

void io_send(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_send(sqe, fd, bytes, len, MSG_NOSIGNAL);
	own(sqe, op);
}

void io_accept(
	struct io *io, struct io_op *op, int fd, struct sockaddr *ret_peer, socklen_t *ret_len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_accept(sqe, fd, ret_peer, ret_len, SOCK_CLOEXEC);
	own(sqe, op);
}

void io_connect(
	struct io *io, struct io_op *op, int fd, const struct sockaddr *address, socklen_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_connect(sqe, fd, address, len);
	own(sqe, op);
}

void io_read(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len, uint64_t offset)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_read(sqe, fd, ret_bytes, (unsigned)len, offset);
	own(sqe, op);
}

void io_write(
	struct io *io, struct io_op *op, int fd, const void *bytes, size_t len, uint64_t offset)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_write(sqe, fd, bytes, (unsigned)len, offset);
	own(sqe, op);
}

void io_sync(struct io *io, struct io_op *op, int fd, bool data_only)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_fsync(sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
	own(sqe, op);
}

static struct io_uring_sqe *prepare_close(struct io *io, int fd)
{
	struct io_uring_sqe *sqe = entry(io, NULL);
	io_uring_prep_close(sqe, fd);
	own(sqe, NULL);
	return sqe;
}

void io_close_socket(struct io *io, int fd)
{
	prepare_close(io, fd);
}

void io_close_file(struct io *io, int fd)
{
	prepare_close(io, fd)->flags |= IOSQE_ASYNC;
}

void io_timeout(struct io *io, struct io_timer *timer, uint64_t ns)
{
	struct io_uring_sqe *sqe = entry(io, &timer->op);
	/* The kernel copies the time at submission, which may be a while after this call. */
	timer->seconds = (long long)(ns / 1000000000u);
	timer->nanoseconds = (long long)(ns % 1000000000u);
	_Static_assert(sizeof(struct __kernel_timespec) == 16, "struct io_timer holds one");
	io_uring_prep_timeout(sqe, (struct __kernel_timespec *)(void *)&timer->seconds, 0, 0);
	own(sqe, &timer->op);
}

void io_cancel(struct io *io, struct io_op *op)
{
	struct io_uring_sqe *sqe = entry(io, NULL);
	io_uring_prep_cancel(sqe, op, 0);
	own(sqe, NULL);
}

void io_cancel_all(struct io *io)
{
	struct io_uring_sqe *sqe = entry(io, NULL);
	io_uring_prep_cancel(sqe, NULL, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	own(sqe, NULL);
}

bool io_ready(const struct io *io)
{
	return io_uring_cq_ready(&io->ring) != 0 ||
	       (IO_URING_READ_ONCE(*io->ring.sq.kflags) &
		       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

bool io_unsubmitted(const struct io *io)
{
	return io->unsubmitted != 0;
}

unsigned io_in_flight(const struct io *io)
{
	return io->in_flight;
}

/* Calls done() for what has completed until now; what that starts is submitted by the next turn. */
static unsigned complete(struct io *io)
{
	unsigned ready = io_uring_cq_ready(&io->ring);
	unsigned count = 0;
	struct io_uring_cqe *cqe;
	while (count < ready && io_uring_peek_cqe(&io->ring, &cqe) == 0) {
		struct io_op *op = io_uring_cqe_get_data(cqe);
		int result = cqe->res;
		io_uring_cqe_seen(&io->ring, cqe);
		count++;
		if (op == NULL)
			continue;
		io->in_flight--;
		op->done(op, result);
	}
	return count;
}

unsigned io_turn(struct io *io, bool wait)
{
	if (wait || io->unsubmitted != 0) {
		stats.io_enters++;
		io->unsubmitted = 0;
		/* GETEVENTS also runs the deferred task work: one call submits, collects and
		 * sleeps. */
		if (wait)
			io_uring_submit_and_wait(&io->ring, 1);
		else
			io_uring_submit_and_get_events(&io->ring);
	} else if ((IO_URING_READ_ONCE(*io->ring.sq.kflags) &
			   (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
		stats.io_enters++;
		io_uring_get_events(&io->ring);
	}
	return complete(io);
}
