/*
 * The I/O thread.
 *
 * A turn: mailbox, the guest's bell, io; then the guest is told, once for all that the turn did.
 * A turn that found nothing leads to a spin and then to sleep, which follows the handshake
 * of DATAPIPE.md section 8: bell_sleep announces and looks again, the guest's
 * half is bell_must_ring after its posts; the mailbox has the same pair of its own.
 *
 * With several I/O threads each would have a loop, a bell and the streams of its shard;
 * nothing here is shared between loops.
 */
#include "monitor/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "monitor/engine.h"
#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/log.h"
#include "monitor/monitor.h"
#include "monitor/placement.h"
#include "monitor/reach.h"
#include "monitor/resolver.h"
#include "monitor/start_cpus.h"
#include "monitor/stats.h"
#include "monitor/stream.h"
#include "monitor/thread.h"
#include "monitor/trim.h"
#include "monitor/worker.h"
#include "pipe/spin.h"

#define LOOP_WORKERS      16u /* most of them for calls that a file server does not answer */
#define LOOP_CANCEL_MS    2000u
#define LOOP_SPINS_A_LOOK 16u /* pauses between two looks at the clock */
#define LOOP_TURNS_UNTOLD 8u
/* Work is bytes, and for each operation these: few, or more and smaller ones would look like more
 * work. */
#define LOOP_OPERATION_BYTES 2048u

/* A guest that starts has a few questions one after the other, each of which would wake a sleeper.
 */
#define LOOP_START_POLL_NS 2000000u

/* An eventfd that io reads for as long as the loop lives. */
struct wake_fd {
	struct io_op op;
	struct loop *loop;
	uint64_t *counter; /* of stats, counted up for each wake; or NULL */
	int fd;
	uint64_t value;
	bool reading;
};

/* loop_stop goes through these in turn. */
enum stop_phase { LOOP_SERVING, LOOP_DRAINING, LOOP_CANCELLING, LOOP_STOPPED };

struct loop {
	struct loop_config config;
	struct io *io;
	struct stream_table *streams;
	struct worker_pool *workers;
	struct reach *reach;
	struct limits limits;
	struct resolver *resolver;
	const struct engine_ops *engine_ops;
	struct engine *engine;
	bool tell; /* posts to the guest's bell since it was last looked at for sleep */
	struct spin spin;
	uint64_t idle_ns; /* polled and slept until now */
	bool one_cpu;
	bool may_place; /* the guest runs, and there are CPUs to choose from */
	struct placement placement;
	struct placement_threads threads;
	unsigned untold_turns;   /* TOGETHER: since something was first posted */
	bool serving;            /* the guest has started; what came before teaches no spin */
	uint64_t start_poll_end; /* until then each wait is polled for */
	struct wake_fd doorbell;
	struct wake_fd mail;

	pthread_t thread;
	pthread_mutex_t lock; /* of the three below */
	pthread_cond_t started;
	bool running;
	int start_result;

	_Atomic(struct loop_message *) mailbox; /* newest first */
	atomic_bool asleep;                     /* the thread asks for a write to mail.fd */

	enum stop_phase phase;
	uint64_t phase_until_ns;
	struct trim trim;
	struct io_timer drain_timer; /* wakes the thread when the time for draining is over */
	bool quiet;                  /* stopped with nothing in flight */
	unsigned drain_ms;
	struct loop_message stop;
	struct loop_message guest_started;
	unsigned char scratch[LOOP_SCRATCH];
};

static uint64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void wake_fd_arm(struct wake_fd *wake)
{
	wake->reading = true;
	io_wake(wake->loop->io, &wake->op, wake->fd, &wake->value);
}

static void wake_fd_done(struct io_op *op, int result)
{
	struct wake_fd *wake = io_container(op, struct wake_fd, op);
	wake->reading = false;
	if (result < 0) {
		if (result != -ECANCELED)
			log_line(LOG_ERROR, "a wake-up descriptor failed: %s", strerror(-result));
		return;
	}
	if (wake->counter != NULL)
		++*wake->counter;
	wake_fd_arm(wake);
}

static void wake_fd_init(struct wake_fd *wake, struct loop *loop, int fd, uint64_t *counter)
{
	*wake = (struct wake_fd){.op = {wake_fd_done}, .loop = loop, .counter = counter, .fd = fd};
}

/* ---- mailbox */

void loop_post(struct loop *loop, struct loop_message *message)
{
	struct loop_message *first = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
	do {
		message->next = first;
		/* seq_cst, paired with the load in mailbox_sleep: the store of the message
		 * comes before the look at 'asleep'. */
	} while (!atomic_compare_exchange_weak(&loop->mailbox, &first, message));
	if (atomic_exchange(&loop->asleep, false))
		eventfd_write(loop->mail.fd, 1);
}

static bool mailbox_run(struct loop *loop)
{
	if (atomic_load_explicit(&loop->mailbox, memory_order_relaxed) == NULL)
		return false;
	/* acquire, paired with the exchange in loop_post: the messages' contents. */
	struct loop_message *newest =
		atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire);
	loop_messages_run(newest);
	return true;
}

/* Announces and looks again, as bell_sleep does; loop_post is the other half. */
static bool mailbox_sleep(struct loop *loop)
{
	atomic_store(&loop->asleep, true);
	return atomic_load(&loop->mailbox) == NULL;
}

static void post_to_loop(void *loop, struct loop_message *message)
{
	loop_post(loop, message);
}

/* ---- turns */

static bool bell_run(struct loop *loop)
{
	struct bell_shared *bell = arena_bell(loop->config.arena, PIPE_GUEST);
	if (!bell_pending(bell))
		return false;
	stats.bell_scans++;
	struct bell_scan scan = {0};
	uint32_t slot;
	while (bell_next(bell, &scan, &slot))
		stream_table_signal(loop->streams, slot);
	return true;
}

/* Once a turn, for everything that was posted in it. */
static void tell_guest(struct loop *loop)
{
	if (!loop->tell)
		return;
	loop->tell = false;
	if (bell_must_ring(arena_bell(loop->config.arena, PIPE_HOST))) {
		stats.interrupts++;
		eventfd_write(loop->config.interrupt_fd, 1);
	}
}

/*
 * On one CPU with this thread the guest works only when this thread does not: it is told once there
 * is nothing else to do here, for as much as there is then; and now and then when there always is.
 */
static void tell_guest_in_turn(struct loop *loop, bool found)
{
	if (!loop->tell || (found && ++loop->untold_turns < LOOP_TURNS_UNTOLD))
		return;
	loop->untold_turns = 0;
	tell_guest(loop);
	if (found)
		sched_yield();
}

static bool loop_turn(struct loop *loop)
{
	bool found = mailbox_run(loop);
	found |= bell_run(loop);
	/* Before the system call: the guest works while this thread is in the kernel. */
	if (!loop->threads.together)
		tell_guest(loop);
	if (io_unsubmitted(loop->io) || io_ready(loop->io))
		found |= io_turn(loop->io, false) != 0;
	if (loop->threads.together)
		tell_guest_in_turn(loop, found);
	else
		tell_guest(loop);
	return found;
}

static bool something_came(struct loop *loop)
{
	return bell_pending(arena_bell(loop->config.arena, PIPE_GUEST)) || io_ready(loop->io) ||
	       atomic_load_explicit(&loop->mailbox, memory_order_relaxed) != NULL;
}

/* True when work came before then. Whoever else wants this CPU has it meanwhile: in a busy machine
 * that is as a rule the client whose next request is waited for, or the guest when it is on this
 * CPU. */
static bool poll_until(struct loop *loop, uint64_t end)
{
	if (loop->threads.together)
		sched_yield();
	do {
		for (unsigned i = 0; i < LOOP_SPINS_A_LOOK; i++) {
			if (something_came(loop))
				return true;
			__builtin_ia32_pause();
		}
		sched_yield();
	} while (now_ns() < end);
	return false;
}

static bool spin(struct loop *loop)
{
	uint64_t limit = loop->serving ? spin_ns(&loop->spin) : 0;
	if (limit == 0)
		return false;
	uint64_t start = now_ns();
	/* What is lost at the start says nothing of what follows. */
	bool starting = start < loop->start_poll_end;
	bool won = poll_until(loop, starting ? loop->start_poll_end : start + limit);
	loop->idle_ns += now_ns() - start;
	if (starting)
		return won;
	if (won) {
		stats.polls_won++;
		spin_won(&loop->spin);
	} else {
		stats.polls_lost++;
		spin_lost(&loop->spin);
	}
	return won;
}

static void sleep_until_work(struct loop *loop)
{
	struct bell_shared *bell = arena_bell(loop->config.arena, PIPE_GUEST);
	if (bell_sleep(bell) && mailbox_sleep(loop)) {
		bool learns = spin_ns(&loop->spin) == 0 && loop->spin.limit_ns != 0;
		uint64_t before = now_ns();
		stats.sleeps++;
		io_turn(loop->io, true);
		uint64_t slept = now_ns() - before;
		loop->idle_ns += slept;
		if (learns)
			spin_slept(&loop->spin, slept);
	}
	atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
	bell_awake(bell);
}

/* Once a turn: shares a CPU with the guest while that serves more. */
static void place(struct loop *loop)
{
	uint64_t bytes = stats.bytes_to_guest + stats.bytes_to_host;
	uint64_t work = stats.io_operations + bytes / LOOP_OPERATION_BYTES;
	enum placement_mode mode = placement_look(&loop->placement, now_ns(), work, loop->idle_ns);

	if (loop->threads.together == (mode == PLACEMENT_TOGETHER))
		return;
	/* Where it cannot be done, or there is no such thread, it is not tried again. */
	loop->may_place =
		placement_apply(&loop->threads, mode, loop->engine_ops->guest_thread(loop->engine));
	stats.placements += loop->may_place;
	if (loop->may_place)
		log_line(LOG_DEBUG, "placement: I/O and guest %s",
			loop->threads.together ? "on one CPU" : "apart");
}

/* ---- stopping: first what the guest wrote leaves, then everything in flight is cancelled */

static void stop_phase_begin(struct loop *loop, enum stop_phase phase, unsigned limit_ms)
{
	loop->phase = phase;
	loop->phase_until_ns = now_ns() + (uint64_t)limit_ms * 1000000u;
}

/* Its coming is enough: each turn looks at the clock while stopping. */
static void drain_timer_done(struct io_op *op, int result)
{
	(void)op;
	(void)result;
}

static void stop_run(struct loop_message *message)
{
	struct loop *loop = io_container(message, struct loop, stop);
	stop_phase_begin(loop, LOOP_DRAINING, loop->drain_ms);
	io_timeout(loop->io, &loop->drain_timer, (uint64_t)loop->drain_ms * 1000000u);
	stream_table_close_all(loop->streams);
}

/* Moves on when a phase has reached its aim or its time is over. */
static void stop_advance(struct loop *loop)
{
	bool late = now_ns() >= loop->phase_until_ns;
	unsigned held = stream_table_held(loop->streams);
	if (loop->phase == LOOP_DRAINING && (held == 0 || late)) {
		if (held != 0 && loop->drain_ms != 0)
			log_line(LOG_WARNING,
				"%u streams still had bytes to send when the guest's time was "
				"over; they are cut off",
				held);
		stop_phase_begin(loop, LOOP_CANCELLING, LOOP_CANCEL_MS);
		io_cancel_all(loop->io);
		resolver_cancel_all(loop->resolver);
	}
	if (loop->phase == LOOP_CANCELLING) {
		/* What a cancelled operation's done() started meanwhile is cancelled too. */
		if (io_in_flight(loop->io) != 0)
			io_cancel_all(loop->io);
		bool quiet = stream_table_held(loop->streams) == 0 && io_in_flight(loop->io) == 0 &&
			     worker_in_flight(loop->workers) == 0 &&
			     resolver_outstanding(loop->resolver) == 0;
		if (quiet || now_ns() >= loop->phase_until_ns) {
			loop->phase = LOOP_STOPPED;
			loop->quiet = quiet;
		}
	}
}

/* ---- the thread */

static void guest_started_run(struct loop_message *message)
{
	struct loop *loop = io_container(message, struct loop, guest_started);
	loop->serving = true;
	if (loop->spin.limit_ns != 0)
		loop->start_poll_end = now_ns() + LOOP_START_POLL_NS;
	if (loop->config.start_cpus != NULL)
		start_cpus_end(loop->config.start_cpus);
	stream_table_start(loop->streams);
	placement_init(&loop->placement, now_ns());
	loop->may_place = !loop->one_cpu;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static int thread_begin(struct loop *loop)
{
	int result = io_create(&loop->io, loop->config.config->io);
	if (result < 0)
		return result;
	result = stream_table_create(&loop->streams, loop);
	if (result < 0)
		return result;
	result = worker_pool_create(&loop->workers, LOOP_WORKERS, post_to_loop, loop);
	if (result < 0)
		return result;
	limits_init(&loop->limits, loop->io, &loop->config.config->limits);
	result = reach_create(&loop->reach, &loop->config.config->grants, NULL);
	if (result < 0)
		return result;
	result = resolver_create(
		&loop->resolver, &loop->config.config->resolver, post_to_loop, loop);
	if (result < 0)
		return result;
	wake_fd_arm(&loop->doorbell);
	wake_fd_arm(&loop->mail);
	return 0;
}

static void thread_report(struct loop *loop, int result)
{
	pthread_mutex_lock(&loop->lock);
	loop->running = true;
	loop->start_result = result;
	pthread_cond_signal(&loop->started);
	pthread_mutex_unlock(&loop->lock);
}

/* When the time for cancelling is over an operation may still own memory: then nothing is freed. */
static void thread_end(struct loop *loop)
{
	if (loop->io != NULL && !loop->quiet) {
		log_line(LOG_WARNING, "an operation on a host file or socket did not end in time; "
				      "leaving it behind");
		return;
	}
	if (loop->resolver != NULL)
		resolver_destroy(loop->resolver);
	if (loop->reach != NULL)
		reach_destroy(loop->reach);
	if (loop->workers != NULL)
		worker_pool_destroy(loop->workers);
	if (loop->streams != NULL)
		stream_table_destroy(loop->streams);
	if (loop->io != NULL)
		io_destroy(loop->io);
}

static void *thread_main(void *argument)
{
	struct loop *loop = argument;
	int result = thread_begin(loop);
	thread_report(loop, result);
	if (result < 0) {
		loop->quiet = loop->io == NULL || io_in_flight(loop->io) == 0;
		thread_end(loop);
		return NULL;
	}
	stream_table_take_ahead(loop->streams);
	while (loop->phase != LOOP_STOPPED) {
		bool found = loop_turn(loop);
		if (loop->phase != LOOP_SERVING) {
			stop_advance(loop);
		} else {
			trim_look(&loop->trim);
			if (loop->may_place)
				place(loop);
		}
		if (found || loop->phase == LOOP_STOPPED)
			continue;
		if (loop->phase == LOOP_CANCELLING)
			nap(); /* no timer would survive cancelling everything */
		else if (!spin(loop))
			sleep_until_work(loop);
	}
	stream_table_count_left(loop->streams);
	thread_end(loop);
	return NULL;
}

static void loop_free(struct loop *loop)
{
	if (loop->mail.fd >= 0)
		close(loop->mail.fd);
	pthread_cond_destroy(&loop->started);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

int loop_start(struct loop **ret_loop, const struct loop_config *config)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return -ENOMEM;
	loop->config = *config;
	loop->one_cpu = start_cpus_only_one(config->start_cpus);
	spin_init(&loop->spin, loop->one_cpu ? 0 : config->config->poll_ns);
	loop->drain_timer.op.done = drain_timer_done;
	trim_init(&loop->trim, loop);
	loop->stop.run = stop_run;
	loop->guest_started.run = guest_started_run;
	wake_fd_init(&loop->doorbell, loop, config->doorbell_fd, &stats.doorbells);
	wake_fd_init(&loop->mail, loop, eventfd(0, EFD_CLOEXEC), NULL);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->started, NULL);
	int result = loop->mail.fd < 0
			     ? -errno
			     : thread_start(&loop->thread, "ferrule-io", thread_main, loop, NULL);
	if (result < 0) {
		loop_free(loop);
		return result;
	}
	*ret_loop = loop;
	return 0;
}

int loop_wait_started(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	while (!loop->running)
		pthread_cond_wait(&loop->started, &loop->lock);
	int result = loop->start_result;
	pthread_mutex_unlock(&loop->lock);
	if (result < 0) {
		pthread_join(loop->thread, NULL);
		loop_free(loop);
	}
	return result;
}

void loop_guest_started(struct loop *loop, const struct engine_ops *ops, struct engine *engine)
{
	/* Published to the I/O thread by loop_post. */
	loop->engine_ops = ops;
	loop->engine = engine;
	loop_post(loop, &loop->guest_started);
}

bool loop_stop(struct loop *loop, unsigned drain_ms)
{
	loop->drain_ms = drain_ms;
	loop_post(loop, &loop->stop);
	pthread_join(loop->thread, NULL);
	bool quiet = loop->quiet;
	if (quiet)
		loop_free(loop);
	return quiet;
}

/* ---- for those who run on the I/O thread */

struct io *loop_io(struct loop *loop)
{
	return loop->io;
}

const struct loop_config *loop_config(const struct loop *loop)
{
	return &loop->config;
}

struct worker_pool *loop_workers(struct loop *loop)
{
	return loop->workers;
}

struct resolver *loop_resolver(struct loop *loop)
{
	return loop->resolver;
}

struct reach *loop_reach(struct loop *loop)
{
	return loop->reach;
}

struct limits *loop_limits(struct loop *loop)
{
	return &loop->limits;
}

struct stream_table *loop_streams(struct loop *loop)
{
	return loop->streams;
}

unsigned char *loop_scratch(struct loop *loop)
{
	return loop->scratch;
}

struct arena *loop_arena(struct loop *loop)
{
	return loop->config.arena;
}

void loop_tell_guest(struct loop *loop, uint32_t slot)
{
	bell_post(arena_bell(loop->config.arena, PIPE_HOST), slot);
	loop->tell = true;
}

void loop_again(struct loop *loop, uint32_t slot)
{
	bell_post(arena_bell(loop->config.arena, PIPE_GUEST), slot);
}

int loop_map_ring(struct loop *loop, uint64_t offset, uint64_t capacity)
{
	return loop->engine_ops->map_ring(loop->engine, offset, capacity);
}
