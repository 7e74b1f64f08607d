/*
 * loop: the I/O thread. Each turn takes what the guest's bell says, what the
 * kernel completed and what the mailbox holds, then spins for an adaptive while, and sleeps.
 */
#ifndef FERRULE_MONITOR_LOOP_H
#define FERRULE_MONITOR_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/arena.h"

struct config;
struct engine;
struct engine_ops;
struct io;
struct limits;
struct loop;
struct reach;
struct resolver;
struct start_cpus;
struct stream_table;
struct worker_pool;

/* Work for the I/O thread, posted by another. It belongs to the mailbox until run() is called. */
struct loop_message {
	void (*run)(struct loop_message *message);
	struct loop_message *next;
};

/* Runs the messages of a mailbox, in which the newest lies first, in the order in which they came. */
static inline void loop_messages_run(struct loop_message *newest)
{
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

struct loop_config {
	const struct config *config;
	struct arena *arena;
	struct arena_ring control_ring[2]; /* of slot 0, indexed by enum pipe_side */
	int doorbell_fd;
	int interrupt_fd;
	const struct start_cpus *start_cpus; /* of the thread that calls loop_start, until the guest runs; NULL: anywhere */
};

/* Starts the thread; it serves nothing until loop_guest_started. 0 or a negative errno. */
int loop_start(struct loop **ret_loop, const struct loop_config *config);
/*
 * Waits until the thread has made what it needs: 0, or a negative errno, that of io_create as a rule; the
 * loop is then no more. Main thread, once, before loop_guest_started.
 */
int loop_wait_started(struct loop *loop);
/* The guest is about to run under this engine: control pipe and streams come alive. Any thread, once. */
void loop_guest_started(struct loop *loop, const struct engine_ops *ops, struct engine *engine);
/*
 * Ends the thread: the guest is gone, what it wrote is still sent for at most
 * `drain_ms`, then everything is closed. Returns when the thread has ended. Main thread. False: an
 * operation that the kernel would not end still owns memory, of the arena and of the grants; nothing
 * of these may be freed, and all that is left to do is to exit.
 */
bool loop_stop(struct loop *loop, unsigned drain_ms);

/* From any thread. Wakes the I/O thread if it sleeps. */
void loop_post(struct loop *loop, struct loop_message *message);

/* For those who run on the I/O thread. */
struct io *loop_io(struct loop *loop);
const struct loop_config *loop_config(const struct loop *loop);
struct worker_pool *loop_workers(struct loop *loop);
struct resolver *loop_resolver(struct loop *loop);
struct reach *loop_reach(struct loop *loop);
struct limits *loop_limits(struct loop *loop);
struct stream_table *loop_streams(struct loop *loop);
struct arena *loop_arena(struct loop *loop);
#define LOOP_SCRATCH (256u << 10)
/* LOOP_SCRATCH bytes for whoever runs, until it returns: they stay in the cache. */
unsigned char *loop_scratch(struct loop *loop);
/* The guest has something new in this pipe slot: wakes it at the end of the turn. */
void loop_tell_guest(struct loop *loop, uint32_t slot);
/* The slot is looked at again in the next turn, as if the guest had signalled it. */
void loop_again(struct loop *loop, uint32_t slot);
/* Makes a freshly cut ring visible to the guest. 0 or a negative errno. */
int loop_map_ring(struct loop *loop, uint64_t offset, uint64_t capacity);

#endif
