/*
 * thread: how the monitor starts its threads. Each has a name (top -H, gdb), takes no signals (they are
 * the main thread's) and may run wherever the process might when its first thread was started, wherever
 * the one who starts it runs just now (placement.h).
 */
#ifndef FERRULE_MONITOR_THREAD_H
#define FERRULE_MONITOR_THREAD_H

#include <pthread.h>

#define THREAD_NAME_MAX 15 /* bytes: Linux cuts nothing off, it refuses */

/* 0 or a negative errno; then there is no thread. */
int thread_start(
	pthread_t *ret_thread, const char *name, void *(*main)(void *argument), void *argument);

#endif
