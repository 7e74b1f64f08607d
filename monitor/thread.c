#include "monitor/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

static pthread_once_t all_once = PTHREAD_ONCE_INIT;
static cpu_set_t all;

struct begin {
	const char *name;
	void *(*main)(void *argument);
	void *argument;
};

static void find_all(void)
{
	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		CPU_ZERO(&all);
}

const cpu_set_t *thread_all_cpus(void)
{
	pthread_once(&all_once, find_all);
	return CPU_COUNT(&all) > 0 ? &all : NULL;
}

/* A thread that names itself does it by one system call, one that names another by way of /proc. */
static void *begin(void *argument)
{
	struct begin begin = *(struct begin *)argument;

	free(argument);
	pthread_setname_np(pthread_self(), begin.name);
	return begin.main(begin.argument);
}

static int create(pthread_t *ret_thread, struct begin *first, const cpu_set_t *cpus)
{
	sigset_t signals, before;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	if (cpus != NULL)
		pthread_attr_setaffinity_np(&attr, sizeof(*cpus), cpus);
	sigfillset(&signals);
	pthread_sigmask(SIG_SETMASK, &signals, &before);
	int result = -pthread_create(ret_thread, &attr, begin, first);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return result;
}

int thread_start(pthread_t *ret_thread, const char *name, void *(*main)(void *argument),
	void *argument, const cpu_set_t *cpus)
{
	struct begin *first = malloc(sizeof(*first));

	thread_all_cpus(); /* at the latest now */
	if (first == NULL)
		return -ENOMEM;
	*first = (struct begin){name, main, argument};
	int result = create(ret_thread, first, cpus);
	/* Another cpuset may have been given to the process, without any of these CPUs. */
	if (result == -EINVAL && cpus != NULL)
		result = create(ret_thread, first, NULL);
	if (result < 0)
		free(first);
	return result;
}
