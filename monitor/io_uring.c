/*
 * io over io_uring.
 *
 * One ring, used by the I/O thread alone (SINGLE_ISSUER). Completions are delivered
 * only when that thread asks for them (DEFER_TASKRUN), so a socket that becomes ready
 * while the thread works or spins costs it no interruption; TASKRUN_FLAG makes
 * "is there something to ask for" a load. What a turn started is submitted by the one call that
 * also collects and, if need be, sleeps.
 *
 * Try first, or wait first. An operation on a socket tries at once and waits for readiness if that
 * fails. A try that is sure to fail is left out (POLL_FIRST):
 *   receive  when the last one took few bytes and left none. 3-5 % less time in the kernel for echo
 *            of 64 B over 64 connections (4 % in a loop of io_uring alone). For large pieces it would
 *            cost 2 %: there more has come by the time the next receive is submitted.
 *   accept   always, where the kernel can (6.10). The failing try makes a socket and a file and frees
 *            them again: 7.5 -> 4.4 us for each accept with 8 in flight and one to take. 5-12 % less time
 *            in the kernel for connections that are opened and closed where the thread keeps up, no
 *            difference where it does not: then the next connection is there.
 *
 * Measured and not used (Linux 6.18; CPU time of the thread, in a loop of io_uring alone over loopback
 * unless it says otherwise; two runs of the same differ by up to 1 % with 64 B, 6 % with 64 KiB and more):
 *   IORING_REGISTER_RING_FDS, SETUP_NO_SQARRAY   -0.5 to +1.3 %. SETUP_REGISTERED_FD_ONLY would
 *            save nothing more than the former does.
 *   registered files   1-2 % less for each send and receive, but 1.3 us more for each connection; the
 *            relay needs a descriptor besides (shutdown, SIOCOUTQ, SO_LINGER), and a slot that is left
 *            behind keeps the connection open.
 *   multishot accept   0.2-0.4 us less for each accept than eight single ones that wait first. It has no
 *            bound: it takes connections for which no stream was posted, until its cancellation has
 *            arrived. And it does not tell the peer's address (getpeername is in that figure).
 *   multishot receive  possible since 6.12: a ring of provided buffers for each stream whose buffers are
 *            consumed piece by piece (IOU_PBUF_RING_INC), each a span of the ring. 5 % less for 64 B than
 *            a receive that waits first, 12 % more for 64 KiB; 2.4 us and a pinned page for each
 *            stream. And bytes would come into spans that no operation owns.
 *   SEND_ZC  14-36 % more for 64 KiB and 200 KB on loopback, 80-106 % more for 200 KB over veth: both
 *            copy after all, later and with a second completion. Until that one the span is the
 *            kernel's, so the guest's ring would have its room back when the peer has acknowledged it.
 *   registered buffers   of use only to SEND_ZC and to files. Registering pins: the sparse arena became
 *            2 GiB of resident memory in 5.9 s, and is ENOMEM without root (8 MiB of RLIMIT_MEMLOCK).
 *   holding a receive back for 1-4 us, so that it goes with what comes next (in the monitor)   a third
 *            fewer calls, three become two for a message of one connection; no gain in rate, CPU time or
 *            latency, with one connection or 64.
 *            Waiting in the kernel for more completions (min_wait, 6.12) would put the same delay into
 *            each sleep. Under load the turns gather by themselves: 13-40 operations for each call.
 *   no completion for close and cancel (CQE_SKIP_SUCCESS; in the monitor)   no difference.
 */
#include "monitor/io_backend.h"

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "monitor/stats.h"
#include "monitor/thread.h"

#define IO_ENTRIES                                                                                 \
	1024u /* submission entries; completions have four times as many; more are kept by the     \
		 kernel */

/* Not in the headers of liburing 2.3. The feature came with the flag. */
#define ACCEPT_POLL_FIRST (1u << 2)
#define FEATURE_OF_6_10   (1u << 14) /* IORING_FEAT_RECVSEND_BUNDLE */

#define RECV_FEW 4096 /* bytes; after more, more is on its way */

/* What is kept in the state of an operation about its last receive. */
enum { RECV_LEFT_SOME, RECV_LEFT_NONE };

struct uring {
	struct io io; /* first */
	struct io_uring ring;
	bool accept_waits; /* the kernel can wait first */
	int workers_cpu;   /* keep_workers_near; -1: none */
};

static struct uring *uring_of(struct io *io)
{
	return io_container(io, struct uring, io);
}

/* Closes that no turn came behind are still to be submitted. */
static void uring_destroy(struct io *io)
{
	if (io->unsubmitted != 0)
		io_uring_submit(&uring_of(io)->ring);
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
	if (op != NULL)
		op->kind = sqe->opcode;
	io_uring_sqe_set_data(sqe, op);
}

static void uring_recv(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_recv(sqe, fd, ret_bytes, len, 0);
	if (op->state == RECV_LEFT_NONE)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
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
	if (uring_of(io)->accept_waits)
		sqe->ioprio |= ACCEPT_POLL_FIRST;
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

/*
 * Most file systems take no buffered write without waiting (ext4, tmpfs), so a worker thread of the kernel
 * makes it. Of two CPUs it is to have the one of this thread, which does nothing until it hears of the
 * end but poll, and gives way. Left to itself it goes to the one that the guest has just left for a moment,
 * waiting for this very write, and keeps it: 1 GiB, written 256 KiB at a time, took 0.41-0.95 s, and 0.31-0.36 s
 * so (0.19-0.28 s by write(2)). Where there are more, Linux finds it a free one.
 *
 * A worker keeps the CPU with which it was made, until it had nothing to do for 5 s.
 */
static void keep_workers_near(struct uring *uring)
{
	const cpu_set_t *all = thread_all_cpus();
	cpu_set_t own, one;
	int cpu = sched_getcpu();

	if (cpu < 0 || !all || CPU_COUNT(all) != 2 ||
		sched_getaffinity(0, sizeof(own), &own) < 0)
		return;
	/* Bound to one of them, to that of the guest perhaps (placement.h): the worker may take the other. */
	if (CPU_COUNT(&own) == 1) {
		if (uring->workers_cpu >= 0)
			io_uring_unregister_iowq_aff(&uring->ring);
		uring->workers_cpu = -1;
		return;
	}
	if (cpu == uring->workers_cpu)
		return;
	CPU_ZERO(&one);
	if (uring->workers_cpu >= 0) {
		CPU_SET(uring->workers_cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		sched_setaffinity(0, sizeof(own), &own);
		return;
	}
	CPU_SET(cpu, &one);
	if (io_uring_register_iowq_aff(&uring->ring, sizeof(one), &one) == 0)
		uring->workers_cpu = cpu;
}

static void uring_write(
	struct io *io, struct io_op *op, int fd, const void *bytes, size_t len, uint64_t offset)
{
	struct io_uring_sqe *sqe = entry(io, op);
	keep_workers_near(uring_of(io));
	io_uring_prep_write(sqe, fd, bytes, (unsigned)len, offset);
	own(sqe, op);
}

static void uring_sync(struct io *io, struct io_op *op, int fd, bool data_only)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_fsync(sqe, fd, data_only ? IORING_FSYNC_DATASYNC : 0);
	own(sqe, op);
}

static void uring_allocate(
	struct io *io, struct io_op *op, int fd, int mode, uint64_t offset, uint64_t len)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset, (off_t)len);
	own(sqe, op);
}

static void uring_wake(struct io *io, struct io_op *op, int fd, uint64_t *ret_value)
{
	uring_read(io, op, fd, ret_value, sizeof(*ret_value), 0);
}

static void uring_poll(struct io *io, struct io_op *op, int fd, short events)
{
	struct io_uring_sqe *sqe = entry(io, op);
	io_uring_prep_poll_add(sqe, fd, (unsigned)events);
	own(sqe, op);
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

/* A hint for the next receive: were it wrong, that would be slower and nothing else. */
static void remember(struct io_op *op, int result, unsigned flags)
{
	if (op->kind == IORING_OP_RECV)
		op->state = result > 0 && result < RECV_FEW &&
					    (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0
				    ? RECV_LEFT_NONE
				    : RECV_LEFT_SOME;
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
		unsigned flags = cqe->flags;
		io_uring_cqe_seen(&uring->ring, cqe);
		count++;
		if (op == NULL)
			continue;
		uring->io.in_flight--;
		remember(op, result, flags);
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
	.allocate = uring_allocate,
	.wake = uring_wake,
	.poll = uring_poll,
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
	uring->accept_waits = (params.features & FEATURE_OF_6_10) != 0;
	uring->io.backend = &uring_backend;
	uring->workers_cpu = -1;
	*ret_io = &uring->io;
	return 0;
}
