/*
 * worker: a few threads for system calls that can block: walking paths, listing
 * directories, and what io cannot have done by the kernel.
 */
#ifndef FERRULE_MONITOR_WORKER_H
#define FERRULE_MONITOR_WORKER_H

#include "monitor/loop.h"

struct worker_pool;

/* Takes a message to the thread that submits jobs, which is to run it. Called by the workers. */
typedef void worker_post(void *target, struct loop_message *message);

/* Part of the object that wants the work; not reused before done(). */
struct worker_job {
	void (*work)(struct worker_job *job); /* on a worker thread; touches nothing but the job's object */
	void (*done)(struct worker_job *job); /* afterwards on the I/O thread */
	struct worker_pool *pool;             /* set by worker_submit, as the two below */
	struct loop_message message;          /* the way back */
	struct worker_job *next;
};

/* Up to 'threads' threads are started as jobs come. Where not even one can be, the I/O thread does the work. */
int worker_pool_create(struct worker_pool **ret_pool, unsigned threads, worker_post *post, void *target);
/* Waits for jobs that run; their done() has to have been called (the loop counts jobs in flight). */
void worker_pool_destroy(struct worker_pool *pool);
void worker_submit(struct worker_pool *pool, struct worker_job *job);
/* Jobs submitted whose done() has not run yet. I/O thread only. */
unsigned worker_in_flight(const struct worker_pool *pool);

#endif
