#include "monitor/run.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "monitor/arena.h"
#include "monitor/bundle.h"
#include "monitor/choice.h"
#include "monitor/descriptors.h"
#include "monitor/engine.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/start_cpus.h"
#include "monitor/stats.h"

#define ARENA_LEN             (2ull << 30) /* bytes, sparse; for how many streams: DATAPIPE.md 9.3 */
#define ARENA_SLOTS           BELL_SLOTS
#define CONTROL_RING_CAPACITY 65536u /* bytes, each way */
#define BEGIN_MS              2      /* in which most guests are done starting */
#define DRAIN_MS              5000u  /* for what a guest wrote before it ended */
#define SIGNAL_STATUS         128    /* plus the signal: a shell's habit */

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};
#define STOP_SIGNALS (sizeof(stop_signals) / sizeof(stop_signals[0]))

struct run {
	const struct config *config;
	char *ret_error;
	size_t error_len;

	struct choice choice;
	char **mounts;      /* "ro:/dir", one for each of config->grants.mount */
	char **wrap;        /* config->wrap and choice.path; NULL: none */
	char *wrapped_path; /* the image for wrap, when its name alone would not do; or NULL */
	struct arena *arena;
	struct arena_ring control_ring[2];
	int doorbell_fd, interrupt_fd;

	struct event_base *base;
	struct event *on_signal[STOP_SIGNALS];
	struct event *on_end;
	int end_fd;              /* eventfd: the guest has ended */
	atomic_int guest_status; /* written before end_fd */
	int signal;              /* that stopped the run; 0: none */

	struct start_cpus start_cpus; /* of the threads that work while the guest is made */
	struct engine_config engine_config;
	struct engine *engine;
	struct loop *loop;

	long descriptors; /* that were open before all of it; negative: not known */
};

static int cannot(struct run *run, int error, const char *what, const char *remedy)
{
	if (error == EMFILE || error == ENFILE)
		remedy = "raise the limit on open files (ulimit -n)";
	return log_sentence(run->ret_error, run->error_len, error, "cannot %s: %s; %s", what,
		strerror(error), remedy);
}

/* ---- preparing: nothing of this runs yet */

static int raise_descriptor_limit(struct run *run)
{
	if (descriptors_raise_limit() >= DESCRIPTORS_MIN)
		return 0;
	return cannot(
		run, EMFILE, "start", "raise the limit on open files to 64 or more (ulimit -n)");
}

static void set_signals(void)
{
	/* What a guest can cause by writing: these become EPIPE and EFBIG. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* Who starts the monitor may ignore it; then the end of a hosted guest would get lost. */
	signal(SIGCHLD, SIG_DFL);
}

static int make_mounts(struct run *run)
{
	const struct grants *grants = &run->config->grants;

	run->mounts = calloc(grants->mount_count + 1, sizeof(*run->mounts));
	if (run->mounts == NULL)
		return cannot(run, ENOMEM, "list the mounts", "free some memory");
	for (size_t i = 0; i < grants->mount_count; i++) {
		const struct grant_mount *mount = &grants->mount[i];
		if (asprintf(&run->mounts[i], "%s:%s", mount->writable ? "rw" : "ro",
			    mount->guest_path) < 0) {
			run->mounts[i] = NULL;
			return cannot(run, ENOMEM, "list the mounts", "free some memory");
		}
	}
	return 0;
}

/* config->wrap with the image's path behind it. */
static int make_wrap(struct run *run)
{
	char *const *word = run->config->wrap;
	size_t count = 0;

	if (word == NULL)
		return 0;
	while (word[count] != NULL)
		count++;
	run->wrap = calloc(count + 2, sizeof(*run->wrap));
	if (run->wrap == NULL)
		return cannot(run, ENOMEM, "keep the command of --wrap", "free some memory");
	memcpy(run->wrap, word, count * sizeof(*word));
	/* The command would look for a name without a slash in $PATH. */
	if (strchr(run->choice.path, '/') == NULL &&
		asprintf(&run->wrapped_path, "./%s", run->choice.path) < 0)
		return cannot(run, ENOMEM, "keep the command of --wrap", "free some memory");
	run->wrap[count] = run->wrapped_path != NULL ? run->wrapped_path : run->choice.path;
	return 0;
}

static int make_memory(struct run *run)
{
	int error = arena_create(&run->arena, ARENA_LEN, ARENA_SLOTS);

	for (int side = 0; !error && side < 2; side++) {
		bool fresh;
		error = arena_take_ring(
			run->arena, CONTROL_RING_CAPACITY, &run->control_ring[side], &fresh);
	}
	if (error)
		return cannot(run, -error, "make the shared memory of the pipes",
			"raise the limit on address space (ulimit -v) or free memory");
	return 0;
}

static int make_doorbells(struct run *run)
{
	run->doorbell_fd = eventfd(0, EFD_CLOEXEC);
	run->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	run->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (run->doorbell_fd < 0 || run->interrupt_fd < 0 || run->end_fd < 0)
		return cannot(run, errno, "make the doorbells",
			"raise the limit on open files (ulimit -n)");
	return 0;
}

static void signal_came(evutil_socket_t signal, short what, void *context)
{
	struct run *run = context;

	(void)what;
	run->signal = (int)signal;
	event_base_loopbreak(run->base);
}

static void end_came(evutil_socket_t fd, short what, void *context)
{
	struct run *run = context;

	(void)fd, (void)what;
	event_base_loopbreak(run->base);
}

/*
 * nohup has the last word. SIGINT is different: a shell script's background commands are started
 * with it ignored, and whoever sends it to one by its number wants an end.
 */
static bool is_nohup(int signal)
{
	struct sigaction action;

	return signal == SIGHUP && sigaction(signal, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

static int make_events(struct run *run)
{
	bool made = (run->base = event_base_new()) != NULL;

	if (made) {
		run->on_end = event_new(run->base, run->end_fd, EV_READ, end_came, run);
		made = run->on_end != NULL && event_add(run->on_end, NULL) == 0;
	}
	for (size_t i = 0; made && i < STOP_SIGNALS; i++) {
		if (is_nohup(stop_signals[i]))
			continue;
		run->on_signal[i] = evsignal_new(run->base, stop_signals[i], signal_came, run);
		made = run->on_signal[i] != NULL && event_add(run->on_signal[i], NULL) == 0;
	}
	return made ? 0
		    : cannot(run, ENOMEM, "wait for signals",
			      "raise the limit on open files (ulimit -n) or free memory");
}

static int prepare(struct run *run)
{
	int error = choice_make(run->config, &run->choice, run->ret_error, run->error_len);

	if (!error)
		error = make_mounts(run);
	if (!error)
		error = make_wrap(run);
	if (!error)
		error = make_memory(run);
	if (!error)
		error = make_doorbells(run);
	return error;
}

/* ---- running */

static int cannot_use_uring(struct run *run, int error)
{
	char remedy[200];

	snprintf(remedy, sizeof(remedy), "%s, or leave --io uring out", io_refusal_remedy(error));
	return cannot(run, error, "start the I/O thread with io_uring", remedy);
}

static int cannot_start_loop(struct run *run, int error)
{
	return cannot(run, error, "start the I/O thread",
		"raise the limit on processes (ulimit -u) or free memory");
}

static int start_loop(struct run *run)
{
	const struct loop_config config = {
		.config = run->config,
		.arena = run->arena,
		.control_ring = {run->control_ring[0], run->control_ring[1]},
		.doorbell_fd = run->doorbell_fd,
		.interrupt_fd = run->interrupt_fd,
		.start_cpus = &run->start_cpus,
	};
	int error = loop_start(&run->loop, &config);

	return error ? cannot_start_loop(run, -error) : 0;
}

static int wait_for_loop(struct run *run)
{
	int error = loop_wait_started(run->loop);

	if (!error)
		return 0;
	run->loop = NULL;
	return run->config->io == IO_URING ? cannot_use_uring(run, -error)
					   : cannot_start_loop(run, -error);
}

/* While the I/O thread makes its part and the engine the guest's. */
static int prepare_beside(void *context, char *ret_error, size_t error_len)
{
	struct run *run = context;
	int error = start_loop(run);

	assert(ret_error == run->ret_error && error_len == run->error_len);
	if (!error)
		error = grants_probe_listen(&run->config->grants, ret_error, error_len);
	log_start();
	return error ? error : wait_for_loop(run);
}

/* From whichever thread starts it. */
static void guest_starts(void *context, struct engine *engine)
{
	struct run *run = context;

	loop_guest_started(run->loop, run->choice.ops, engine);
}

/* From whichever thread saw it. */
static void guest_ended(void *context, int status)
{
	struct run *run = context;

	/* Release, paired with the acquire in stop(): the status is there when the event is. */
	atomic_store_explicit(&run->guest_status, status, memory_order_release);
	eventfd_write(run->end_fd, 1);
}

/* KVM ends some calls with EINTR when a signal comes, and a start that is stopped is no error. */
static void hold_signals(sigset_t *ret_before)
{
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < STOP_SIGNALS; i++)
		sigaddset(&held, stop_signals[i]);
	pthread_sigmask(SIG_BLOCK, &held, ret_before);
}

static int start_guest(struct run *run)
{
	const struct config *config = run->config;

	run->engine_config = (struct engine_config){
		.image_path = run->choice.path,
		.image_fd = run->choice.fd,
		.memory = config->memory,
		.argc = config->argc,
		.argv = config->argv,
		.wrap = run->wrap,
		.envc = config->envc,
		.env = config->env,
		.mountc = (int)config->grants.mount_count,
		.mounts = run->mounts,
		.bundle_fd = -1,
		.poll_ns = config->poll_ns,
		.arena = run->arena,
		.control_ring = {run->control_ring[0], run->control_ring[1]},
		.doorbell_fd = run->doorbell_fd,
		.interrupt_fd = run->interrupt_fd,
		.start_cpus = &run->start_cpus,
		.prepared = prepare_beside,
		.starts = guest_starts,
		.ended = guest_ended,
		.context = run,
	};
	if (config->bundle != NULL) {
		run->engine_config.bundle_fd = bundle_open(config->bundle,
			&run->engine_config.bundle_len, run->ret_error, run->error_len);
		if (run->engine_config.bundle_fd < 0)
			return run->engine_config.bundle_fd;
	}
	start_cpus_begin(&run->start_cpus);
	int error = run->choice.ops->start(
		&run->engine_config, &run->engine, run->ret_error, run->error_len);
	if (run->engine_config.bundle_fd >= 0)
		close(run->engine_config.bundle_fd);
	start_cpus_end(&run->start_cpus);
	if (error)
		return error;
	log_line(LOG_INFO, "running %s (engine %s)", run->choice.path, run->choice.ops->name);
	return 0;
}

/* The guest runs already, and nobody will wait for its end. */
static void end_guest(struct run *run)
{
	run->choice.ops->halt(run->engine);
	loop_stop(run->loop, 0);
	run->loop = NULL;
	run->choice.ops->destroy(run->engine);
	run->engine = NULL;
}

/*
 * Where the two CPUs are one core, what this thread does slows the guest down: nothing is done here
 * until it has begun. A wait that fails is none: the guest may need what is left to do.
 */
static void let_begin(const struct run *run)
{
	struct pollfd end = {.fd = run->end_fd, .events = POLLIN};
	bool ended = poll(&end, 1, BEGIN_MS) > 0;

	if (!ended && run->choice.ops->start_rest != NULL)
		run->choice.ops->start_rest(run->engine);
}

/* What only the wait for the end needs is made last, beside the guest. */
static int start(struct run *run)
{
	sigset_t before;
	hold_signals(&before);
	int error = start_guest(run);
	if (!error) {
		let_begin(run);
		error = make_events(run);
		if (error)
			end_guest(run);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

/* ---- taking apart */

/* From here on a signal has its default action: a second Ctrl-C does not wait for anything. */
static void free_events(struct run *run)
{
	for (size_t i = 0; i < STOP_SIGNALS; i++)
		if (run->on_signal[i] != NULL)
			event_free(run->on_signal[i]);
	if (run->on_end != NULL)
		event_free(run->on_end);
	if (run->base != NULL)
		event_base_free(run->base);
}

static void copy_engine_stats(const struct run *run)
{
	struct engine_stats engine_stats;

	run->choice.ops->stats(run->engine, &engine_stats);
	stats.console_exits = engine_stats.console_exits;
	stats.other_exits = engine_stats.other_exits;
}

/* What has been opened since the start and is open still. */
static void print_stats(const struct run *run)
{
	if (!run->config->stats)
		return;
	long now = descriptors_open();
	if (run->descriptors >= 0 && now > run->descriptors)
		stats.descriptors_left = (uint64_t)(now - run->descriptors);
	stats_print(stderr);
}

/* An operation on the host would not end and may still write to the arena: nothing is freed any
 * more. */
static _Noreturn void leave(const struct run *run, int status)
{
	print_stats(run);
	_exit(status);
}

/*
 * The loop before the engine, which it uses; and what a guest that has ended wrote still has to
 * leave. After a signal nobody waits for that, and the guest is not to see its streams go.
 */
static int stop(struct run *run)
{
	if (run->signal != 0)
		run->choice.ops->halt(run->engine);
	bool quiet = loop_stop(run->loop, run->signal != 0 ? 0 : DRAIN_MS);
	run->loop = NULL;
	copy_engine_stats(run);
	run->choice.ops->destroy(run->engine);
	run->engine = NULL;
	log_stop();
	int status = run->signal != 0
			     ? SIGNAL_STATUS + run->signal
			     : atomic_load_explicit(&run->guest_status, memory_order_acquire);
	if (!quiet)
		leave(run, status);
	return status;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void clean_up(struct run *run)
{
	assert(run->engine == NULL);
	if (run->loop != NULL)
		loop_stop(run->loop, 0);
	log_stop();
	close_fd(run->end_fd);
	close_fd(run->doorbell_fd);
	close_fd(run->interrupt_fd);
	if (run->arena != NULL)
		arena_destroy(run->arena);
	for (size_t i = 0; run->mounts != NULL && run->mounts[i] != NULL; i++)
		free(run->mounts[i]);
	free(run->mounts);
	free(run->wrap);
	free(run->wrapped_path);
	choice_free(&run->choice);
}

int run_guest(const struct config *config, int *ret_status, char *ret_error, size_t error_len)
{
	struct run run = {
		.config = config,
		.ret_error = ret_error,
		.error_len = error_len,
		.choice = {.fd = -1},
		.doorbell_fd = -1,
		.interrupt_fd = -1,
		.end_fd = -1,
		.descriptors = config->stats ? descriptors_open() : -1,
	};

	set_signals();
	int error = raise_descriptor_limit(&run);
	if (!error)
		error = prepare(&run);
	if (!error)
		error = start(&run);
	if (!error)
		event_base_dispatch(run.base);
	free_events(&run);
	if (!error)
		*ret_status = stop(&run);
	clean_up(&run);
	if (!error)
		print_stats(&run);
	return error;
}
