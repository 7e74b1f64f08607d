/* run: assembles what a guest needs, runs it, and takes it apart again. */
#ifndef FERRULE_MONITOR_RUN_H
#define FERRULE_MONITOR_RUN_H

#include <stddef.h>

#include "monitor/monitor.h"

/*
 * Runs the guest to its end, or to SIGINT, SIGTERM or SIGHUP. 0 and the exit
 * status (128 + signal), or a negative errno with one sentence in ret_error when
 * nothing was run. Nothing is left behind in either case. Main thread, once.
 */
int run_guest(const struct config *config, int *ret_status, char *ret_error, size_t error_len);

#endif
