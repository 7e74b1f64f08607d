/*
 * thread: how the monitor starts its threads. Each has a name (top -H, gdb) and takes no signals: they
 * are the main thread's.
 */
#ifndef FERRULE_MONITOR_THREAD_H
#define FERRULE_MONITOR_THREAD_H

#include <pthread.h>
#include <sched.h>

#define THREAD_NAME_MAX 15 /* bytes: Linux cuts nothing off, it refuses */

/*
 * The CPUs of the process, as they were when this was first called: before any thread was bound
 * (start_cpus.h, placement.h). NULL: it cannot be told.
 */
const cpu_set_t *thread_all_cpus(void);

/* A thread that may run on these CPUs; on those of the caller when 'cpus' is NULL or the process may run on none of
 * them. 0 or a negative errno, then there is none. */
int thread_start(pthread_t *ret_thread, const char *name, void *(*main)(void *argument),
	void *argument, const cpu_set_t *cpus);

#endif
