#include "monitor/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

struct begin {
	const char *name;
	void *(*main)(void *argument);
	void *argument;
};

static pthread_once_t allowed_once = PTHREAD_ONCE_INIT;
static cpu_set_t allowed; /* to the process, before any of its threads was placed */

static void allowed_find(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		CPU_ZERO(&allowed);
}

/* A new thread has the CPUs of the one that started it. */
static void free_from_placement(pthread_t thread)
{
	cpu_set_t own;

	if (CPU_COUNT(&allowed) > 0 && sched_getaffinity(0, sizeof(own), &own) == 0 &&
		!CPU_EQUAL(&own, &allowed))
		pthread_setaffinity_np(thread, sizeof(allowed), &allowed);
}

/* A thread that names itself does it by one system call, one that names another by way of /proc. */
static void *begin(void *argument)
{
	struct begin begin = *(struct begin *)argument;

	free(argument);
	pthread_setname_np(pthread_self(), begin.name);
	return begin.main(begin.argument);
}

int thread_start(
	pthread_t *ret_thread, const char *name, void *(*main)(void *argument), void *argument)
{
	struct begin *first = malloc(sizeof(*first));
	sigset_t all, before;

	if (first == NULL)
		return -ENOMEM;
	*first = (struct begin){name, main, argument};
	pthread_once(&allowed_once, allowed_find);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int result = -pthread_create(ret_thread, NULL, begin, first);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result < 0)
		free(first);
	else
		free_from_placement(*ret_thread);
	return result;
}
