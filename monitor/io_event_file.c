/*
 * Files over readiness: the kernel says that they are always ready, and then blocks. What lies in
 * the page cache is had at once, with RWF_NOWAIT; the rest, and sync, is a worker's.
 */
#include "monitor/io_event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_WORKERS 16u /* as LOOP_WORKERS of loop.c: some may wait for a server for ever */

/* What a worker does. */
struct file_job {
	struct worker_job job;
	struct event_io *owner;
	struct io_op *op;
	int result;
};

/* One read or write; flags as preadv2 has them. */
static ssize_t transfer(const struct io_op *op, int flags)
{
	const struct iovec span = {op->bytes, op->len};
	off_t offset = (off_t)op->offset; /* -1: at the file position */

	if (op->kind == EVENT_READ)
		return preadv2(op->fd, &span, 1, offset, flags);
	return pwritev2(op->fd, &span, 1, offset, flags);
}

/* On a worker. */
static int work_on_file(const struct io_op *op)
{
	ssize_t result;

	if (op->kind == EVENT_SYNC)
		result = fsync(op->fd);
	else if (op->kind == EVENT_SYNC_DATA)
		result = fdatasync(op->fd);
	else if (op->kind == EVENT_ALLOCATE)
		result = fallocate(
			op->fd, (int)(uintptr_t)op->bytes, (off_t)op->offset, (off_t)op->len);
	else
		result = transfer(op, 0);
	return result < 0 ? -errno : (int)result;
}

static void job_work(struct worker_job *job)
{
	struct file_job *self = io_container(job, struct file_job, job);

	self->result = work_on_file(self->op);
}

static void job_done(struct worker_job *job)
{
	struct file_job *self = io_container(job, struct file_job, job);

	event_complete(self->owner, self->op, self->result);
	free(self);
}

/* NULL: no memory. */
static struct file_job *make_job(struct event_io *owner, struct io_op *op)
{
	struct file_job *job = malloc(sizeof(*job));

	if (job != NULL)
		*job = (struct file_job){
			.job = {.work = job_work, .done = job_done}, .owner = owner, .op = op};
	return job;
}

void event_file_begin(struct event_io *owner, struct io_op *op)
{
	bool moves = op->kind == EVENT_READ || op->kind == EVENT_WRITE;
	ssize_t result = moves ? transfer(op, RWF_NOWAIT) : -1;

	/*
	 * Some file systems know no RWF_NOWAIT, and an error in earnest the worker will meet again.
	 * Less than all ends where memory ends, or the file: only the worker can tell. But at the
	 * file's position what was read is read.
	 */
	bool moved = result > 0 && op->offset == UINT64_MAX;
	if (result >= 0 && (op->kind == EVENT_WRITE || (size_t)result == op->len || moved)) {
		event_complete(owner, op, (int)result);
		return;
	}
	struct file_job *job = make_job(owner, op);
	if (job == NULL) {
		event_complete(owner, op, -ENOMEM);
		return;
	}
	op->state = EVENT_WORKING;
	worker_submit(owner->workers, &job->job);
}

/* ---- the way back from the workers: loop.c has the same for others */

static void post(void *target, struct loop_message *message)
{
	struct event_io *owner = target;
	struct loop_message *first = atomic_load_explicit(&owner->mailbox, memory_order_relaxed);

	/*
	 * seq_cst: release, paired with the exchange in event_file_run_mail, for the message's
	 * contents; and it is stored before the look at 'asleep', paired with event_file_may_sleep.
	 */
	do
		message->next = first;
	while (!atomic_compare_exchange_weak(&owner->mailbox, &first, message));
	if (atomic_exchange(&owner->asleep, false))
		eventfd_write(owner->mail_fd, 1);
}

bool event_file_may_sleep(struct event_io *owner)
{
	atomic_store(&owner->asleep, true);
	return atomic_load(&owner->mailbox) == NULL;
}

void event_file_awake(struct event_io *owner)
{
	atomic_store_explicit(&owner->asleep, false, memory_order_relaxed);
}

bool event_file_has_mail(const struct event_io *owner)
{
	return atomic_load_explicit(&owner->mailbox, memory_order_relaxed) != NULL;
}

void event_file_run_mail(struct event_io *owner)
{
	if (!event_file_has_mail(owner))
		return;
	struct loop_message *newest =
		atomic_exchange_explicit(&owner->mailbox, NULL, memory_order_acquire);
	loop_messages_run(newest);
}

/* It only ends a sleep. By edge, and never read. */
static void on_mail(evutil_socket_t fd, short what, void *context)
{
	(void)fd, (void)what, (void)context;
}

/* ---- the beginning and the end */

int event_file_start(struct event_io *owner)
{
	owner->mail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (owner->mail_fd < 0)
		return -errno;
	event_assign(&owner->on_mail, owner->base, owner->mail_fd, EV_READ | EV_PERSIST | EV_ET,
		on_mail, owner);
	if (event_add(&owner->on_mail, NULL) < 0)
		return -ENOMEM;
	return worker_pool_create(&owner->workers, FILE_WORKERS, post, owner);
}

void event_file_stop(struct event_io *owner)
{
	if (owner->workers != NULL)
		worker_pool_destroy(owner->workers);
	if (event_initialized(&owner->on_mail))
		event_del(&owner->on_mail);
	if (owner->mail_fd >= 0)
		close(owner->mail_fd);
}
