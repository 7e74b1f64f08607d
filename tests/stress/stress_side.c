#include "tests/stress/stress_side.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/random.h"

#define SLEEP_LIMIT 10.0        /* seconds; who sleeps longer was not woken */
#define TOTAL_MAX   (256 << 10) /* bytes per direction and round */
#define NEVER       UINT64_MAX

/* What one direction of a pipe is going to do; both sides know it. */
struct plan {
	uint64_t key;        /* of the byte pattern */
	uint64_t total;      /* bytes that the producer has */
	int end;             /* how it ends: 1 or a negative errno */
	uint64_t stop_after; /* the consumer stops at so many bytes */
};

struct direction {
	struct plan plan;
	uint64_t done; /* bytes sent or received */
	bool runnable; /* not waiting for the bell */
	bool ended;
};

struct stress_pipe {
	struct pipe_end end;
	struct direction out, in;
	uint32_t slot;
};

struct side {
	const struct stress_config *config;
	struct stress_result *result;
	struct random random;
	struct stress_pipe pipe[RING_MEMORY_PIPES];
	struct bell_shared *to_peer, *from_peer;
	bool posted; /* since the doorbell was last thought of */
	unsigned char scratch[4096];
};

double stress_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double stress_seconds(void)
{
	const char *given = getenv("FERRULE_STRESS_SECONDS");

	return given != NULL ? atof(given) : 2;
}

static struct plan make_plan(uint64_t seed, unsigned pipe, enum pipe_side producer)
{
	struct random random = {.state = seed + 1 + 2 * pipe + producer};
	struct plan plan = {
		.key = random_next(&random),
		.total = random_len(&random, TOTAL_MAX) - 1,
		.end = random_once_in(&random, 2) ? 1 : -(int)random_len(&random, RING_ERRNO_MAX),
		.stop_after = NEVER,
	};

	if (random_once_in(&random, 5))
		plan.stop_after = random_below(&random, plan.total + 1);
	return plan;
}

static void fail(struct side *s, const char *what, const struct stress_pipe *p)
{
	if (s->result->error[0] == 0)
		snprintf(s->result->error, sizeof(s->result->error),
			"%s: pipe %td: %s; sent %" PRIu64 " of %" PRIu64 ", received %" PRIu64
			" of %" PRIu64,
			s->config->side == PIPE_GUEST ? "guest" : "host", p - s->pipe, what,
			p->out.done, p->out.plan.total, p->in.done, p->in.plan.total);
}

/* Up to half the ring: two sides that each wait for more could wait for each other. */
static uint64_t some_threshold(struct side *s)
{
	return random_len(&s->random, s->config->memory->capacity / 2);
}

static void send_some(struct side *s, struct stress_pipe *p, struct ring_span span)
{
	uint64_t len = random_len(&s->random, span.len);

	if (random_once_in(&s->random, 2)) {
		len = len > sizeof(s->scratch) ? sizeof(s->scratch) : len;
		pattern_fill(p->out.plan.key, p->out.done, s->scratch, len);
		if (ring_write(&p->end.out, s->scratch, len) != len)
			fail(s, "ring_write did not take what there was room for", p);
	} else {
		pattern_fill(p->out.plan.key, p->out.done, span.data, len);
		if (random_once_in(&s->random, 2))
			ring_commit_rewind(&p->end.out, len);
		else
			ring_commit(&p->end.out, len);
	}
	p->out.done += len;
}

static void end_out(struct stress_pipe *p)
{
	if (p->out.plan.end == 1)
		ring_finish(&p->end.out);
	else
		ring_fail(&p->end.out, -p->out.plan.end);
	p->out.ended = true;
}

static void step_out(struct side *s, struct stress_pipe *p)
{
	uint64_t left = p->out.plan.total - p->out.done;
	uint64_t need = some_threshold(s);
	struct ring_span span = ring_reserve(&p->end.out);

	need = need > left ? left : need;
	if (span.end == 0 && span.len < need) {
		ring_await_room(&p->end.out, need);
		span = ring_reserve(&p->end.out);
		if (span.end == 0 && span.len < need) {
			p->out.runnable = false;
			return;
		}
	}
	if (span.end != 0) {
		if (span.end != -RING_EPIPE || p->out.plan.stop_after == NEVER)
			fail(s, "the producer saw an end that nobody made", p);
		end_out(p);
		return;
	}
	span.len = span.len > left ? left : span.len;
	if (left > 0)
		send_some(s, p, span);
	/* Most often the end follows the last byte at once. */
	if (p->out.done == p->out.plan.total && !random_once_in(&s->random, 8))
		end_out(p);
}

static void receive_some(struct side *s, struct stress_pipe *p, struct ring_span span)
{
	const unsigned char *bytes = span.data;
	uint64_t len = random_len(&s->random, span.len);
	bool copy = random_once_in(&s->random, 2);

	if (copy) {
		len = len > sizeof(s->scratch) ? sizeof(s->scratch) : len;
		if (ring_read(&p->end.in, s->scratch, len) != len)
			fail(s, "ring_read did not give what there was", p);
		bytes = s->scratch;
	}
	if (pattern_match(p->in.plan.key, p->in.done, bytes, len) != len)
		fail(s, "a byte is wrong", p);
	if (!copy)
		ring_consume(&p->end.in, len);
	p->in.done += len;
	s->result->bytes += len;
}

static void step_in(struct side *s, struct stress_pipe *p)
{
	uint64_t need = some_threshold(s);
	struct ring_span span = ring_peek(&p->end.in);

	if (p->in.done >= p->in.plan.stop_after) {
		ring_stop(&p->end.in);
		p->in.ended = true;
		return;
	}
	if (span.end == 0 && span.len < need) {
		ring_await_data(&p->end.in, need);
		span = ring_peek(&p->end.in);
		if (span.end == 0 && span.len < need) {
			p->in.runnable = false;
			return;
		}
	}
	if (span.len > 0) {
		receive_some(s, p, span);
		return;
	}
	if (span.end != p->in.plan.end)
		fail(s, "not the end that was sent", p);
	if (p->in.done != p->in.plan.total)
		fail(s, "bytes before the end are lost", p);
	p->in.ended = true;
}

static bool may_step(const struct direction *d)
{
	return d->runnable && !d->ended;
}

static void ring_doorbell(struct side *s)
{
	if (!s->posted)
		return;
	s->posted = false;
	if (!bell_must_ring(s->to_peer))
		return;
	s->result->rings++;
	if (eventfd_write(s->config->ring_fd, 1) != 0)
		fail(s, "cannot write the eventfd", &s->pipe[0]);
}

static void maybe_stall(struct side *s)
{
	if (random_once_in(&s->random, 1024))
		usleep((useconds_t)random_below(&s->random, 200));
	else if (random_once_in(&s->random, 256))
		sched_yield();
}

/* Some steps; whatever they changed is told before the pipe waits for the bell. */
static void run_pipe(struct side *s, struct stress_pipe *p)
{
	uint64_t quota = random_len(&s->random, 32);

	for (; quota > 0 && (may_step(&p->out) || may_step(&p->in)); quota--) {
		if (may_step(&p->out))
			step_out(s, p);
		if (may_step(&p->in))
			step_in(s, p);
		maybe_stall(s);
	}
	if ((may_step(&p->out) || may_step(&p->in)) && random_once_in(&s->random, 2))
		return;
	if (pipe_wake_peer(&p->end)) {
		bell_post(s->to_peer, p->slot);
		s->posted = true;
	}
}

static struct stress_pipe *find_slot(struct side *s, uint32_t slot)
{
	for (unsigned i = 0; i < s->config->memory->pipes; i++)
		if (s->pipe[i].slot == slot)
			return &s->pipe[i];
	return NULL;
}

static void scan_bell(struct side *s)
{
	struct bell_scan scan = {0};
	uint32_t slot;

	while (bell_next(s->from_peer, &scan, &slot)) {
		struct stress_pipe *p = find_slot(s, slot);

		if (p == NULL) {
			fail(s, "the bell names a slot that was never posted", &s->pipe[0]);
			continue;
		}
		p->out.runnable = p->in.runnable = true;
	}
}

static bool wait_doorbell(struct side *s)
{
	struct pollfd wait = {.fd = s->config->wait_fd, .events = POLLIN};
	double limit = stress_now() + SLEEP_LIMIT;
	eventfd_t count;

	while (eventfd_read(s->config->wait_fd, &count) != 0) {
		if (stress_now() > limit)
			return false;
		if (!s->config->polled)
			poll(&wait, 1, (int)(SLEEP_LIMIT * 1000));
	}
	return true;
}

static void sleep_until_rung(struct side *s)
{
	for (uint64_t spin = random_len(&s->random, 1024); spin > 1; spin--)
		if (bell_pending(s->from_peer))
			return;
	if (!bell_sleep(s->from_peer))
		return;
	s->result->sleeps++;
	if (!wait_doorbell(s))
		fail(s, "nobody ended the sleep", &s->pipe[0]);
	bell_awake(s->from_peer);
}

/* Runs every pipe that can; returns whether any is left that has not ended. */
static bool run_pipes(struct side *s, bool *ret_idle)
{
	bool left = false;

	*ret_idle = true;
	for (unsigned i = 0; i < s->config->memory->pipes; i++) {
		struct stress_pipe *p = &s->pipe[i];

		if (may_step(&p->out) || may_step(&p->in))
			run_pipe(s, p);
		if (may_step(&p->out) || may_step(&p->in))
			*ret_idle = false;
		if (!p->out.ended || !p->in.ended)
			left = true;
		if (random_once_in(&s->random, 4))
			ring_doorbell(s);
	}
	ring_doorbell(s);
	return left;
}

static void attach(struct side *s)
{
	const struct stress_config *config = s->config;
	enum pipe_side peer = !config->side;

	s->to_peer = config->memory->bell[config->side];
	s->from_peer = config->memory->bell[peer];
	for (unsigned i = 0; i < config->memory->pipes; i++) {
		struct stress_pipe *p = &s->pipe[i];

		pipe_attach(
			&p->end, config->side, &config->memory->pipe[i], config->memory->area[i]);
		p->slot = i * (BELL_SLOTS - 1) / (RING_MEMORY_PIPES - 1);
		p->out = (struct direction){
			.plan = make_plan(config->seed, i, config->side), .runnable = true};
		p->in = (struct direction){
			.plan = make_plan(config->seed, i, peer), .runnable = true};
	}
}

void stress_side_run(const struct stress_config *config, struct stress_result *ret_result)
{
	struct side s = {.config = config, .result = ret_result};
	bool idle;

	memset(ret_result, 0, sizeof(*ret_result));
	s.random.state = ~config->seed + config->side;
	attach(&s);
	while (run_pipes(&s, &idle) && ret_result->error[0] == 0) {
		if (idle)
			sleep_until_rung(&s);
		scan_bell(&s);
	}
}

int stress_round_begin(struct stress_round *ret_round, uint64_t seed)
{
	struct random random = {.state = seed};
	struct stress_round round = {.seed = seed, .polled = !random_once_in(&random, 4)};
	unsigned pipes = 1 + (unsigned)random_below(&random, RING_MEMORY_PIPES);
	uint64_t capacity = (uint64_t)RING_CAPACITY_MIN << random_below(&random, 4);
	int error = ring_memory_create(&round.memory, pipes, capacity);

	if (error != 0)
		return error;
	for (enum pipe_side side = PIPE_GUEST; side <= PIPE_HOST; side++) {
		round.doorbell[side] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (round.doorbell[side] < 0)
			return -errno; /* the test is about to fail, and its process to end */
	}
	*ret_round = round;
	return 0;
}

void stress_round_end(struct stress_round *round)
{
	close(round->doorbell[PIPE_GUEST]);
	close(round->doorbell[PIPE_HOST]);
	ring_memory_destroy(&round->memory);
}

struct stress_config stress_round_config(struct stress_round *round, enum pipe_side side)
{
	return (struct stress_config){
		.memory = &round->memory,
		.side = side,
		.ring_fd = round->doorbell[!side],
		.wait_fd = round->doorbell[side],
		.polled = round->polled,
		.seed = round->seed,
	};
}
