/*
 * io over libevent: readiness alone, for where io_uring is refused.
 *
 * Theory of operation. The starting calls only queue an operation. io_turn tries what was started,
 * asks the kernel once what has become ready, tries what waited for that, and calls done() for
 * all that has a result, as one io_uring_enter would have it.
 *
 *   socket   Tried with MSG_DONTWAIT; when the kernel has nothing, or no room, the operation waits
 *            in its descriptor's queue for that direction and is tried again when libevent says
 *            so. One that will not succeed at once (the last one got less than it asked for) is
 *            not tried but waits. That is safe because readiness is asked for by level: what is
 *            there already is told too. accept and connect know no such flag, so their sockets
 *            become O_NONBLOCK.
 *   eventfd  Waited for by edge and never read: each write to it is an edge.
 *   file     Always ready, says the kernel, and then it blocks. Tried with RWF_NOWAIT, which has
 *            what lies in the page cache; what that cannot have, sync and close go to a worker.
 *   timer    libevent's.
 *
 * A direction is registered with the kernel while something waits in it. Reading stays registered
 * longer, until readiness comes that nobody waits for: mostly the next operation is there by then,
 * and so a connection costs one epoll_ctl in its life. Errors and hang-ups count as ready both
 * ways, by libevent's hand: the operation that waits is tried and has the errno as its result.
 *
 * A descriptor that is closed leaves the kernel's set silently and libevent's not at all, so it is
 * unregistered before (io_forget).
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "monitor/io_backend.h"
#include "monitor/stats.h"
#include "monitor/worker.h"

#define EVENT_WORKERS   4u
#define EVENT_LOOKS     8u      /* calls of io_ready for each that asks the kernel */
#define EVENT_NOT_READY INT_MIN /* in the place of a result */
#define EVENT_FDS_MIN   64u

enum kind {
	/* sockets */
	KIND_RECV,
	KIND_DISCARD,
	KIND_SEND,
	KIND_ACCEPT,
	KIND_CONNECT,
	/* others */
	KIND_WAKE,
	KIND_READ,
	KIND_WRITE,
	KIND_SYNC,
	KIND_SYNC_DATA,
	KIND_TIMEOUT,
};

/* Where an operation is, for cancelling. */
enum state {
	STATE_STARTED,   /* in 'started' */
	STATE_WAITING,   /* in the queue of a direction */
	STATE_TIMING,    /* in 'timers' */
	STATE_WORKING,   /* with a worker, in no list */
	STATE_COMPLETED, /* in 'completed' */
};

enum direction { READING, WRITING };

struct direction_state {
	struct event event; /* persistent */
	struct io_link waiting;
	bool registered;
	bool try; /* the next operation may well succeed at once; of an eventfd: it was written to
		   */
};

/* A descriptor that something was started on. Kept for the next one of that number. */
struct watched {
	struct event_io *owner;
	struct direction_state direction[2];
	int fd;
	bool known;    /* the rest is about a descriptor that is open */
	bool by_edge;  /* an eventfd */
	bool nonblock; /* it has been made O_NONBLOCK */
};

struct event_io {
	struct io io; /* first */
	struct event_base *base;
	struct io_link started;
	struct io_link completed; /* done() is due */
	struct io_link timers;
	struct watched **watched; /* by descriptor; NULL: never seen */
	size_t watched_count;
	int *closing; /* sockets to be closed by the next turn */
	size_t closing_count, closing_room;
	bool asked;     /* the kernel was asked since the last turn */
	unsigned looks; /* of io_ready */

	struct worker_pool *workers;
	_Atomic(struct loop_message *) mailbox; /* from the workers, newest first */
	int mail_fd;                            /* eventfd: the mailbox is no longer empty */
	struct event on_mail;
};

/* What a worker does: an operation on a file, or a close without one. */
struct file_job {
	struct worker_job job;
	struct event_io *owner;
	struct io_op *op; /* NULL: closes */
	int fd;
	int result;
};

static struct event_io *owner_of(struct io *io)
{
	return io_container(io, struct event_io, io);
}

static uint64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- lists: rings with a head */

static void list_init(struct io_link *list)
{
	list->next = list->prev = list;
}

static bool list_empty(const struct io_link *list)
{
	return list->next == list;
}

static void list_push(struct io_link *list, struct io_link *link)
{
	link->next = list;
	link->prev = list->prev;
	list->prev->next = link;
	list->prev = link;
}

static void list_remove(struct io_link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
}

static struct io_op *list_first(const struct io_link *list)
{
	return io_container(list->next, struct io_op, link);
}

/* All of 'from', which is empty afterwards. */
static void list_take(struct io_link *list, struct io_link *from)
{
	list_init(list);
	if (list_empty(from))
		return;
	*list = *from;
	list->next->prev = list;
	list->prev->next = list;
	list_init(from);
}

/* ---- operations */

/* It is in no list. */
static void complete(struct event_io *owner, struct io_op *op, int result)
{
	op->state = STATE_COMPLETED;
	op->result = result;
	list_push(&owner->completed, &op->link);
}

static void start(struct event_io *owner, struct io_op *op, enum kind kind, int fd)
{
	stats.io_operations++;
	owner->io.in_flight++;
	owner->io.unsubmitted++;
	op->kind = kind;
	op->fd = fd;
	op->state = STATE_STARTED;
	list_push(&owner->started, &op->link);
}

static int result_of(ssize_t result)
{
	if (result >= 0)
		return (int)result;
	return errno == EAGAIN ? EVENT_NOT_READY : -errno;
}

/* It is called again when the socket has become writable, and then has the outcome. */
static int try_connect(const struct io_op *op)
{
	if (connect(op->fd, op->bytes, (socklen_t)op->len) == 0)
		return 0;
	return errno == EINPROGRESS || errno == EALREADY ? EVENT_NOT_READY : -errno;
}

/* The result, or EVENT_NOT_READY. */
static int try(const struct io_op *op)
{
	switch ((enum kind)op->kind) {
	case KIND_RECV:
		return result_of(recv(op->fd, op->bytes, op->len, MSG_DONTWAIT));
	case KIND_DISCARD: /* tcp(7): the bytes are not copied */
		return result_of(recv(op->fd, NULL, op->len, MSG_DONTWAIT | MSG_TRUNC));
	case KIND_SEND:
		return result_of(send(op->fd, op->bytes, op->len, MSG_DONTWAIT | MSG_NOSIGNAL));
	case KIND_ACCEPT:
		return result_of(accept4(op->fd, op->bytes, op->ret_len, SOCK_CLOEXEC));
	case KIND_CONNECT:
		return try_connect(op);
	default: /* KIND_WAKE */
		return 0;
	}
}

/* After this result, may the next operation succeed without waiting? */
static bool worth_trying(const struct io_op *op, int result)
{
	switch ((enum kind)op->kind) {
	case KIND_RECV:
	case KIND_DISCARD:
	case KIND_SEND:
		return result > 0 && (size_t)result == op->len;
	case KIND_CONNECT:
		return result == 0;
	default:
		return false;
	}
}

/* ---- readiness */

static enum direction direction_of(const struct io_op *op)
{
	return op->kind == KIND_SEND || op->kind == KIND_CONNECT ? WRITING : READING;
}

static void direction_unregister(struct direction_state *direction)
{
	if (direction->registered)
		event_del(&direction->event);
	direction->registered = false;
}

/* 0 or a negative errno. */
static int direction_register(struct direction_state *direction)
{
	if (direction->registered)
		return 0;
	errno = ENOMEM;
	if (event_add(&direction->event, NULL) < 0)
		return -errno;
	direction->registered = true;
	return 0;
}

/* Tries what waits, in its order, until the kernel has no more. */
static void direction_run(struct event_io *owner, struct direction_state *direction)
{
	while (!list_empty(&direction->waiting)) {
		struct io_op *op = list_first(&direction->waiting);
		int result = try(op);
		if (result == EVENT_NOT_READY)
			return;
		direction->try = worth_trying(op, result);
		list_remove(&op->link);
		complete(owner, op, result);
	}
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
	struct watched *watched = context;
	enum direction which = (what & EV_READ) != 0 ? READING : WRITING;
	struct direction_state *direction = &watched->direction[which];
	bool nobody = list_empty(&direction->waiting);

	(void)fd;
	if (nobody)
		direction->try = true;
	direction_run(watched->owner, direction);
	/* By level it would be told again in every turn. */
	if (!watched->by_edge && (nobody || (which == WRITING && list_empty(&direction->waiting))))
		direction_unregister(direction);
}

static void watched_begin(struct event_io *owner, struct watched *watched, const struct io_op *op)
{
	short how = EV_PERSIST;

	watched->known = true;
	watched->by_edge = op->kind == KIND_WAKE;
	watched->nonblock = false;
	if (watched->by_edge)
		how |= EV_ET;
	for (int i = 0; i < 2; i++) {
		struct direction_state *direction = &watched->direction[i];
		event_assign(&direction->event, owner->base, watched->fd,
			(i == READING ? EV_READ : EV_WRITE) | how, on_ready, watched);
		list_init(&direction->waiting);
		direction->try = !watched->by_edge;
	}
}

static bool watched_grow(struct event_io *owner, size_t fd)
{
	size_t count = owner->watched_count;

	while (count <= fd)
		count = count == 0 ? EVENT_FDS_MIN : count * 2;
	struct watched **more = reallocarray(owner->watched, count, sizeof(struct watched *));
	if (more == NULL)
		return false;
	memset(more + owner->watched_count, 0,
		(count - owner->watched_count) * sizeof(struct watched *));
	owner->watched = more;
	owner->watched_count = count;
	return true;
}

/* What the operation's descriptor is known as; NULL: no memory. */
static struct watched *watch(struct event_io *owner, const struct io_op *op)
{
	size_t fd = (size_t)op->fd;

	if (fd >= owner->watched_count && !watched_grow(owner, fd))
		return NULL;
	struct watched *watched = owner->watched[fd];
	if (watched == NULL) {
		watched = calloc(1, sizeof(*watched));
		if (watched == NULL)
			return NULL;
		watched->owner = owner;
		watched->fd = op->fd;
		owner->watched[fd] = watched;
	}
	if (!watched->known)
		watched_begin(owner, watched, op);
	return watched;
}

static void make_nonblock(struct watched *watched)
{
	if (!watched->nonblock)
		fcntl(watched->fd, F_SETFL, fcntl(watched->fd, F_GETFL) | O_NONBLOCK);
	watched->nonblock = true;
}

static void forget(struct event_io *owner, int fd)
{
	struct watched *watched = (size_t)fd < owner->watched_count ? owner->watched[fd] : NULL;

	if (watched == NULL || !watched->known)
		return;
	for (int i = 0; i < 2; i++)
		direction_unregister(&watched->direction[i]);
	watched->known = false;
}

/* An operation that waits for readiness, or has it: it is in no list. */
static void begin_ready(struct event_io *owner, struct io_op *op)
{
	struct watched *watched = watch(owner, op);

	if (watched == NULL) {
		complete(owner, op, -ENOMEM);
		return;
	}
	if (op->kind == KIND_ACCEPT || op->kind == KIND_CONNECT)
		make_nonblock(watched);
	struct direction_state *direction = &watched->direction[direction_of(op)];
	bool alone = list_empty(&direction->waiting);
	op->state = STATE_WAITING;
	list_push(&direction->waiting, &op->link);
	if (alone && direction->try)
		direction_run(owner, direction);
	if (op->state != STATE_WAITING)
		return;
	int result = direction_register(direction);
	if (result < 0) {
		list_remove(&op->link);
		complete(owner, op, result);
	}
}

/* Sockets and eventfds. Needs no turn when it only has to wait. */
static void start_ready(struct event_io *owner, struct io_op *op, enum kind kind, int fd)
{
	struct watched *watched = (size_t)fd < owner->watched_count ? owner->watched[fd] : NULL;

	start(owner, op, kind, fd);
	if (watched == NULL || !watched->known)
		return;
	struct direction_state *direction = &watched->direction[direction_of(op)];
	if (!direction->registered || direction->try)
		return;
	owner->io.unsubmitted--;
	op->state = STATE_WAITING;
	list_remove(&op->link);
	list_push(&direction->waiting, &op->link);
}

/* ---- files */

/* One read or write; flags as preadv2 has them. */
static ssize_t transfer(const struct io_op *op, int flags)
{
	const struct iovec span = {op->bytes, op->len};
	off_t offset = (off_t)op->offset; /* -1: at the file position */

	if (op->kind == KIND_READ)
		return preadv2(op->fd, &span, 1, offset, flags);
	return pwritev2(op->fd, &span, 1, offset, flags);
}

/* On a worker. */
static int work_on_file(const struct io_op *op)
{
	ssize_t result;

	if (op->kind == KIND_SYNC)
		result = fsync(op->fd);
	else if (op->kind == KIND_SYNC_DATA)
		result = fdatasync(op->fd);
	else
		result = transfer(op, 0);
	return result < 0 ? -errno : (int)result;
}

static void job_work(struct worker_job *job)
{
	struct file_job *self = io_container(job, struct file_job, job);

	if (self->op != NULL)
		self->result = work_on_file(self->op);
	else
		close(self->fd);
}

static void job_done(struct worker_job *job)
{
	struct file_job *self = io_container(job, struct file_job, job);

	if (self->op != NULL)
		complete(self->owner, self->op, self->result);
	free(self);
}

/* False: no memory. */
static bool submit_job(struct event_io *owner, struct io_op *op, int fd)
{
	struct file_job *job = malloc(sizeof(*job));

	if (job == NULL)
		return false;
	*job = (struct file_job){
		.job = {.work = job_work, .done = job_done}, .owner = owner, .op = op, .fd = fd};
	worker_submit(owner->workers, &job->job);
	return true;
}

static void begin_file(struct event_io *owner, struct io_op *op)
{
	bool moves = op->kind == KIND_READ || op->kind == KIND_WRITE;
	ssize_t result = moves ? transfer(op, RWF_NOWAIT) : -1;

	/*
	 * Some file systems know no RWF_NOWAIT, and an error in earnest the worker will meet again.
	 * Nor is 0 the end of the file for sure: Linux 5.9 and 5.10 (readv(2), bugs).
	 */
	if (result > 0 || (result == 0 && (op->len == 0 || op->kind == KIND_WRITE))) {
		complete(owner, op, (int)result);
		return;
	}
	op->state = STATE_WORKING;
	if (!submit_job(owner, op, op->fd))
		complete(owner, op, -ENOMEM);
}

/* ---- the way back from the workers */

static void post(void *target, struct loop_message *message)
{
	struct event_io *owner = target;
	struct loop_message *first = atomic_load_explicit(&owner->mailbox, memory_order_relaxed);

	/* release, paired with the exchange in run_mail: the message's contents, the job's. */
	do
		message->next = first;
	while (!atomic_compare_exchange_weak_explicit(
		&owner->mailbox, &first, message, memory_order_release, memory_order_relaxed));
	if (first == NULL)
		eventfd_write(owner->mail_fd, 1);
}

static bool has_mail(const struct event_io *owner)
{
	return atomic_load_explicit(&owner->mailbox, memory_order_relaxed) != NULL;
}

static void run_mail(struct event_io *owner)
{
	if (!has_mail(owner))
		return;
	struct loop_message *newest =
		atomic_exchange_explicit(&owner->mailbox, NULL, memory_order_acquire);
	struct loop_message *oldest = NULL;
	while (newest != NULL) {
		struct loop_message *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct loop_message *next = oldest->next;
		oldest->run(oldest);
		oldest = next;
	}
}

/* The eventfd is waited for by edge and never read. */
static void on_mail(evutil_socket_t fd, short what, void *context)
{
	(void)fd, (void)what;
	run_mail(context);
}

/* ---- timers */

/* libevent's clock ticks every few milliseconds and it may be early by one: 0 or -ENOMEM. */
static int timer_add(struct io_op *op)
{
	uint64_t now = now_ns();
	uint64_t us = op->offset > now ? (op->offset - now + 999) / 1000 : 0;
	struct timeval time = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

	return event_add(op->timer, &time) < 0 ? -ENOMEM : 0;
}

/* It is in no list afterwards. */
static void timer_remove(struct io_op *op)
{
	list_remove(&op->link);
	event_free(op->timer);
}

static void on_time(evutil_socket_t fd, short what, void *context)
{
	struct io_op *op = context;
	struct event_io *owner = op->bytes;

	(void)fd, (void)what;
	if (now_ns() < op->offset && timer_add(op) == 0)
		return;
	timer_remove(op);
	complete(owner, op, -ETIME);
}

static void begin_timer(struct event_io *owner, struct io_op *op)
{
	op->timer = evtimer_new(owner->base, on_time, op);
	if (op->timer == NULL) {
		complete(owner, op, -ENOMEM);
		return;
	}
	op->state = STATE_TIMING;
	list_push(&owner->timers, &op->link);
	int result = timer_add(op);
	if (result < 0) {
		timer_remove(op);
		complete(owner, op, result);
	}
}

/* ---- what io.h promises */

static void event_io_recv(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len)
{
	op->bytes = ret_bytes;
	op->len = len;
	start_ready(owner_of(io), op, KIND_RECV, fd);
}

static void event_io_discard(struct io *io, struct io_op *op, int fd, size_t len)
{
	op->len = len;
	start_ready(owner_of(io), op, KIND_DISCARD, fd);
}

/* The bytes are only read; one field serves both ways. */
static void *not_const(const void *bytes)
{
	return (void *)(uintptr_t)bytes;
}

static void event_io_send(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len)
{
	op->bytes = not_const(bytes);
	op->len = len;
	start_ready(owner_of(io), op, KIND_SEND, fd);
}

static void event_io_accept(
	struct io *io, struct io_op *op, int fd, struct sockaddr *ret_peer, socklen_t *ret_len)
{
	op->bytes = ret_peer;
	op->ret_len = ret_len;
	start_ready(owner_of(io), op, KIND_ACCEPT, fd);
}

static void event_io_connect(
	struct io *io, struct io_op *op, int fd, const struct sockaddr *address, socklen_t len)
{
	op->bytes = not_const(address);
	op->len = len;
	start_ready(owner_of(io), op, KIND_CONNECT, fd);
}

static void event_io_read(
	struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len, uint64_t offset)
{
	op->bytes = ret_bytes;
	op->len = len;
	op->offset = offset;
	start(owner_of(io), op, KIND_READ, fd);
}

static void event_io_write(
	struct io *io, struct io_op *op, int fd, const void *bytes, size_t len, uint64_t offset)
{
	op->bytes = not_const(bytes);
	op->len = len;
	op->offset = offset;
	start(owner_of(io), op, KIND_WRITE, fd);
}

static void event_io_sync(struct io *io, struct io_op *op, int fd, bool data_only)
{
	start(owner_of(io), op, data_only ? KIND_SYNC_DATA : KIND_SYNC, fd);
}

static void event_io_wake(struct io *io, struct io_op *op, int fd, uint64_t *ret_value)
{
	(void)ret_value;
	start_ready(owner_of(io), op, KIND_WAKE, fd);
}

static void close_now(struct event_io *owner, int fd)
{
	forget(owner, fd);
	close(fd);
}

/* By the next turn: a FIN that goes out now would keep the guest waiting for what it is to be told.
 */
static void event_io_close_socket(struct io *io, int fd)
{
	struct event_io *owner = owner_of(io);

	if (owner->closing_count == owner->closing_room) {
		size_t room = owner->closing_room == 0 ? 16 : owner->closing_room * 2;
		int *more = reallocarray(owner->closing, room, sizeof(*more));
		if (more == NULL) {
			close_now(owner, fd);
			return;
		}
		owner->closing = more;
		owner->closing_room = room;
	}
	owner->closing[owner->closing_count++] = fd;
	io->unsubmitted++;
}

static void event_io_close_file(struct io *io, int fd)
{
	if (!submit_job(owner_of(io), NULL, fd))
		close(fd);
}

static void event_io_forget(struct io *io, int fd)
{
	forget(owner_of(io), fd);
}

static void event_io_timeout(struct io *io, struct io_timer *timer, uint64_t ns)
{
	timer->op.bytes = owner_of(io);
	timer->op.offset = now_ns() + ns;
	start(owner_of(io), &timer->op, KIND_TIMEOUT, -1);
}

static void event_io_cancel(struct io *io, struct io_op *op)
{
	switch ((enum state)op->state) {
	case STATE_STARTED:
	case STATE_WAITING:
		list_remove(&op->link);
		break;
	case STATE_TIMING:
		timer_remove(op);
		break;
	case STATE_WORKING:
	case STATE_COMPLETED:
		return; /* its result is on the way */
	}
	complete(owner_of(io), op, -ECANCELED);
}

static void cancel_list(struct io *io, struct io_link *list)
{
	while (!list_empty(list))
		event_io_cancel(io, list_first(list));
}

static void event_io_cancel_all(struct io *io)
{
	struct event_io *owner = owner_of(io);

	cancel_list(io, &owner->started);
	cancel_list(io, &owner->timers);
	for (size_t fd = 0; fd < owner->watched_count; fd++) {
		struct watched *watched = owner->watched[fd];
		if (watched == NULL || !watched->known)
			continue;
		cancel_list(io, &watched->direction[READING].waiting);
		cancel_list(io, &watched->direction[WRITING].waiting);
	}
}

/* ---- turns */

static void close_sockets(struct event_io *owner)
{
	for (size_t i = 0; i < owner->closing_count; i++)
		close_now(owner, owner->closing[i]);
	owner->closing_count = 0;
}

static void begin_started(struct event_io *owner)
{
	while (!list_empty(&owner->started)) {
		struct io_op *op = list_first(&owner->started);
		list_remove(&op->link);
		if (op->kind <= KIND_WAKE)
			begin_ready(owner, op);
		else if (op->kind == KIND_TIMEOUT)
			begin_timer(owner, op);
		else
			begin_file(owner, op);
	}
}

/* One epoll_wait, and what it says is done. */
static void ask_kernel(struct event_io *owner, bool wait)
{
	stats.io_enters++;
	event_base_loop(
		owner->base, wait ? EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY : EVLOOP_NONBLOCK);
	owner->asked = true;
}

/* Calls done() for what has completed until now; what that starts is for the next turn. */
static unsigned call_done(struct event_io *owner)
{
	struct io_link completed;
	unsigned count = 0;

	list_take(&completed, &owner->completed);
	while (!list_empty(&completed)) {
		struct io_op *op = list_first(&completed);
		list_remove(&op->link);
		owner->io.in_flight--;
		count++;
		op->done(op, op->result);
	}
	return count;
}

static unsigned event_io_turn(struct io *io, bool wait)
{
	struct event_io *owner = owner_of(io);

	close_sockets(owner);
	begin_started(owner);
	io->unsubmitted = 0;
	run_mail(owner);
	if (!owner->asked || wait)
		ask_kernel(owner, wait && list_empty(&owner->completed));
	owner->asked = false;
	return call_done(owner);
}

/*
 * Readiness lies in the kernel, so loads alone cannot tell. Every eighth call asks, for about 0.35
 * us: a spin that asked each time would see the guest's bell as rarely as that, which it
 * spins for as well.
 */
static bool event_io_ready(struct io *io)
{
	struct event_io *owner = owner_of(io);

	if (!list_empty(&owner->completed) || has_mail(owner))
		return true;
	if (++owner->looks % EVENT_LOOKS != 0)
		return false;
	ask_kernel(owner, false);
	return !list_empty(&owner->completed);
}

/* ---- the beginning and the end */

/* What files are being closed still, too. */
static void stop_workers(struct event_io *owner)
{
	if (owner->workers == NULL)
		return;
	while (worker_in_flight(owner->workers) != 0)
		ask_kernel(owner, true);
	worker_pool_destroy(owner->workers);
}

static void event_io_destroy(struct io *io)
{
	struct event_io *owner = owner_of(io);

	close_sockets(owner);
	stop_workers(owner);
	for (size_t fd = 0; fd < owner->watched_count; fd++) {
		forget(owner, (int)fd);
		free(owner->watched[fd]);
	}
	free(owner->watched);
	free(owner->closing);
	if (event_initialized(&owner->on_mail))
		event_del(&owner->on_mail);
	if (owner->mail_fd >= 0)
		close(owner->mail_fd);
	if (owner->base != NULL)
		event_base_free(owner->base);
	free(owner);
}

/* With edges, which is epoll; used by one thread, whatever the environment says. */
static struct event_base *make_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config == NULL)
		return NULL;
	if (event_config_require_features(config, EV_FEATURE_ET) == 0 &&
		event_config_set_flag(
			config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

/* 0 or a negative errno. */
static int make_mailbox(struct event_io *owner)
{
	owner->mail_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (owner->mail_fd < 0)
		return -errno;
	event_assign(&owner->on_mail, owner->base, owner->mail_fd, EV_READ | EV_PERSIST | EV_ET,
		on_mail, owner);
	return event_add(&owner->on_mail, NULL) < 0 ? -ENOMEM : 0;
}

static const struct io_backend event_backend = {
	.destroy = event_io_destroy,
	.recv = event_io_recv,
	.discard = event_io_discard,
	.send = event_io_send,
	.accept = event_io_accept,
	.connect = event_io_connect,
	.read = event_io_read,
	.write = event_io_write,
	.sync = event_io_sync,
	.wake = event_io_wake,
	.close_socket = event_io_close_socket,
	.close_file = event_io_close_file,
	.forget = event_io_forget,
	.timeout = event_io_timeout,
	.cancel = event_io_cancel,
	.cancel_all = event_io_cancel_all,
	.turn = event_io_turn,
	.ready = event_io_ready,
};

int io_create_event(struct io **ret_io)
{
	struct event_io *owner = calloc(1, sizeof(*owner));
	int result = -ENOMEM;

	if (owner == NULL)
		return -ENOMEM;
	owner->io.backend = &event_backend;
	owner->mail_fd = -1;
	list_init(&owner->started);
	list_init(&owner->completed);
	list_init(&owner->timers);
	owner->base = make_base();
	if (owner->base != NULL)
		result = make_mailbox(owner);
	if (result == 0)
		result = worker_pool_create(&owner->workers, EVENT_WORKERS, post, owner);
	if (result < 0) {
		event_io_destroy(&owner->io);
		return result;
	}
	*ret_io = &owner->io;
	return 0;
}
