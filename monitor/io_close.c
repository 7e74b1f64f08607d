#include "monitor/io_close.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "monitor/thread.h"

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- the threads */

/* Some of what was handed over, waiting for them; their number, 0: the end. */
static size_t take(struct io_closer *closer, int ret_files[IO_CLOSE_FILES])
{
	pthread_mutex_lock(&closer->lock);
	while (closer->handed_count == 0 && !closer->stopping)
		pthread_cond_wait(&closer->work, &closer->lock);
	size_t count =
		closer->handed_count < IO_CLOSE_FILES ? closer->handed_count : IO_CLOSE_FILES;
	size_t left = closer->handed_count - count;
	if (count > 0) {
		memcpy(ret_files, closer->handed, count * sizeof(ret_files[0]));
		memmove(closer->handed, closer->handed + count, left * sizeof(closer->handed[0]));
	}
	closer->handed_count = left;
	closer->handed_ns = now_ns();
	pthread_mutex_unlock(&closer->lock);
	return count;
}

static void *thread_main(void *argument)
{
	int files[IO_CLOSE_FILES];
	size_t count;

	do {
		count = take(argument, files);
		for (size_t i = 0; i < count; i++)
			close(files[i]);
	} while (count > 0);
	return NULL;
}

static void start(struct io_closer *closer)
{
	if (thread_start(&closer->thread[closer->threads], "ferrule-close", thread_main, closer,
		    thread_all_cpus()) == 0)
		closer->threads++;
}

/* ---- the I/O thread */

/* Under the lock. False: no memory. */
static bool make_room(struct io_closer *closer)
{
	size_t need = closer->handed_count + closer->count;

	if (need <= closer->handed_room)
		return true;
	int *more = reallocarray(closer->handed, need * 2, sizeof(*more));
	if (more == NULL)
		return false;
	closer->handed = more;
	closer->handed_room = need * 2;
	return true;
}

/* Under the lock. Is it time for another thread? */
static bool look(struct io_closer *closer, uint64_t now)
{
	closer->some_wait = closer->handed_count > 0;
	closer->many_wait = closer->handed_count >= IO_CLOSE_WAIT;
	return closer->some_wait && now - closer->handed_ns > IO_CLOSE_HANGS_NS &&
	       closer->threads < IO_CLOSE_THREADS;
}

static void look_again(struct io_closer *closer)
{
	pthread_mutex_lock(&closer->lock);
	bool hangs = look(closer, now_ns());
	pthread_mutex_unlock(&closer->lock);
	if (hangs)
		start(closer);
}

static bool hand_over(struct io_closer *closer)
{
	uint64_t now = now_ns();

	if (closer->threads == 0)
		start(closer);
	if (closer->threads == 0)
		return false;
	pthread_mutex_lock(&closer->lock);
	bool room = make_room(closer);
	if (closer->handed_count == 0)
		closer->handed_ns = now;
	if (room) {
		memcpy(closer->handed + closer->handed_count, closer->gathered,
			closer->count * sizeof(closer->gathered[0]));
		closer->handed_count += closer->count;
		pthread_cond_signal(&closer->work);
	}
	bool hangs = look(closer, now);
	pthread_mutex_unlock(&closer->lock);
	if (hangs)
		start(closer);
	return room;
}

bool io_closer_full(struct io_closer *closer)
{
	if (closer->many_wait)
		look_again(closer);
	return closer->many_wait;
}

static void close_gathered(struct io_closer *closer)
{
	if (closer->count == 0)
		return;
	/* Without a thread or memory this one has to wait for them. */
	if (!hand_over(closer)) {
		for (unsigned i = 0; i < closer->count; i++)
			close(closer->gathered[i]);
	}
	closer->count = 0;
	closer->turns = 0;
}

void io_closer_init(struct io_closer *closer)
{
	pthread_mutex_init(&closer->lock, NULL);
	pthread_cond_init(&closer->work, NULL);
}

void io_closer_add(struct io_closer *closer, int fd)
{
	closer->gathered[closer->count++] = fd;
	if (closer->count == IO_CLOSE_FILES)
		close_gathered(closer);
}

void io_closer_turn(struct io_closer *closer, bool sleeps)
{
	if (closer->some_wait)
		look_again(closer);
	if (closer->count > 0 && (sleeps || ++closer->turns >= IO_CLOSE_TURNS))
		close_gathered(closer);
}

/* False: one has not ended in time, and is left to the end of the process. */
static bool join_all(struct io_closer *closer)
{
	struct timespec until;
	bool all = true;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += IO_CLOSE_END_S;
	for (unsigned i = 0; i < closer->threads; i++) {
		if (pthread_timedjoin_np(closer->thread[i], NULL, &until) == 0)
			continue;
		pthread_detach(closer->thread[i]);
		all = false;
	}
	return all;
}

bool io_closer_end(struct io_closer *closer)
{
	close_gathered(closer);
	pthread_mutex_lock(&closer->lock);
	closer->stopping = true;
	pthread_cond_broadcast(&closer->work);
	pthread_mutex_unlock(&closer->lock);
	if (!join_all(closer))
		return false;
	free(closer->handed);
	pthread_cond_destroy(&closer->work);
	pthread_mutex_destroy(&closer->lock);
	return true;
}
