#include "monitor/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "monitor/io.h"
#include "monitor/stats.h"
#include "monitor/thread.h"

struct worker_pool {
	pthread_mutex_t lock; /* of the three below */
	pthread_cond_t work;  /* 'first' is no longer NULL, or 'stopping' was set */
	struct worker_job *first;
	struct worker_job **last; /* where the next job is linked */
	bool stopping;

	worker_post *post;
	void *target;
	unsigned in_flight; /* I/O thread only, as the rest */
	unsigned threads;   /* that were started */
	unsigned threads_most;
	pthread_t thread[];
};

/* The oldest job, waiting for one; NULL: the pool ends. */
static struct worker_job *take_job(struct worker_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	while (pool->first == NULL && !pool->stopping)
		pthread_cond_wait(&pool->work, &pool->lock);
	struct worker_job *job = pool->first;
	if (job != NULL) {
		pool->first = job->next;
		if (pool->first == NULL)
			pool->last = &pool->first;
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static void *thread_main(void *argument)
{
	struct worker_pool *pool = argument;
	struct worker_job *job;

	while ((job = take_job(pool)) != NULL) {
		job->work(job);
		/* The job is the I/O thread's from here on. */
		pool->post(pool->target, &job->message);
	}
	return NULL;
}

/* The I/O thread gets a job back. */
static void job_returned(struct loop_message *message)
{
	struct worker_job *job = io_container(message, struct worker_job, message);
	job->pool->in_flight--;
	job->done(job);
}

static void start_thread(struct worker_pool *pool)
{
	int result = thread_start(&pool->thread[pool->threads], "ferrule-worker", thread_main, pool,
		thread_all_cpus());

	if (result == 0)
		pool->threads++;
}

/* Not even one could be started: that the I/O thread stands still meanwhile is better than no
 * answer. */
static void work_here(struct worker_pool *pool, struct worker_job *job)
{
	job->work(job);
	pool->post(pool->target, &job->message);
}

int worker_pool_create(
	struct worker_pool **ret_pool, unsigned threads, worker_post *post, void *target)
{
	assert(threads > 0);
	struct worker_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->thread[0]));
	if (pool == NULL)
		return -ENOMEM;
	pool->threads_most = threads;
	pool->post = post;
	pool->target = target;
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	*ret_pool = pool;
	return 0;
}

void worker_pool_destroy(struct worker_pool *pool)
{
	assert(pool->in_flight == 0);
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->threads; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void worker_submit(struct worker_pool *pool, struct worker_job *job)
{
	stats.worker_jobs++;
	pool->in_flight++;
	job->pool = pool;
	job->message.run = job_returned;
	job->next = NULL;
	/* The threads come with the need. Where no other can be started the first does all the
	 * work. */
	if (pool->in_flight > pool->threads && pool->threads < pool->threads_most)
		start_thread(pool);
	if (pool->threads == 0) {
		work_here(pool, job);
		return;
	}
	pthread_mutex_lock(&pool->lock);
	*pool->last = job;
	pool->last = &job->next;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

unsigned worker_in_flight(const struct worker_pool *pool)
{
	return pool->in_flight;
}
