#include "monitor/io_close.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "monitor/thread.h"

/* ---- the thread */

/* What was handed over, waiting for some; its number, 0: the end. */
static size_t take(struct io_closer *closer, int **ret_files)
{
	pthread_mutex_lock(&closer->lock);
	while (closer->handed_count == 0 && !closer->stopping)
		pthread_cond_wait(&closer->work, &closer->lock);
	size_t count = closer->handed_count;
	*ret_files = closer->handed;
	closer->handed = NULL;
	closer->handed_count = 0;
	closer->handed_room = 0;
	pthread_mutex_unlock(&closer->lock);
	return count;
}

static void *thread_main(void *argument)
{
	int *files;
	size_t count;

	do {
		count = take(argument, &files);
		for (size_t i = 0; i < count; i++)
			close(files[i]);
		free(files);
	} while (count > 0);
	return NULL;
}

static bool start(struct io_closer *closer)
{
	if (!closer->started)
		closer->started = thread_start(&closer->thread, "ferrule-close", thread_main,
					  closer, thread_all_cpus()) == 0;
	return closer->started;
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

static bool hand_over(struct io_closer *closer)
{
	if (!start(closer))
		return false;
	pthread_mutex_lock(&closer->lock);
	bool room = make_room(closer);
	if (room) {
		memcpy(closer->handed + closer->handed_count, closer->gathered,
			closer->count * sizeof(closer->gathered[0]));
		closer->handed_count += closer->count;
		pthread_cond_signal(&closer->work);
	}
	pthread_mutex_unlock(&closer->lock);
	return room;
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
	if (closer->count > 0 && (sleeps || ++closer->turns >= IO_CLOSE_TURNS))
		close_gathered(closer);
}

/* False: it has not ended in time, and is left to the end of the process. */
static bool join(struct io_closer *closer)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += IO_CLOSE_END_S;
	if (pthread_timedjoin_np(closer->thread, NULL, &until) == 0)
		return true;
	pthread_detach(closer->thread);
	return false;
}

bool io_closer_end(struct io_closer *closer)
{
	close_gathered(closer);
	pthread_mutex_lock(&closer->lock);
	closer->stopping = true;
	pthread_cond_signal(&closer->work);
	pthread_mutex_unlock(&closer->lock);
	if (closer->started && !join(closer))
		return false;
	pthread_cond_destroy(&closer->work);
	pthread_mutex_destroy(&closer->lock);
	return true;
}
