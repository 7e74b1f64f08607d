/*
 * log: one line on stderr per event, "ferrule: level: text". A guest can cause log
 * lines, so what it can repeat goes through log_guest, which is rate limited.
 *
 * Once log_start was called a line is left to a thread of the log's own: whoever
 * reads stderr may be stuck, and that is no reason to stop serving the guest. What
 * does not fit into the queue is lost. Before log_start, and behind log_stop, a line is
 * written at once.
 */
#ifndef FERRULE_MONITOR_LOG_H
#define FERRULE_MONITOR_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

extern enum log_level log_level; /* set once, before threads start */

/* "error", "warning", "info", "debug"; false: no such level. */
bool log_level_parse(const char *name, enum log_level *ret_level);

/* From now on lines are queued, once, and written by a thread, which starts with the first of them. */
void log_start(void);
/* Writes what is queued, unless the reader is stuck, and ends the thread. May be called again. */
void log_stop(void);

/* A line that was left out or lost is counted in the next one. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, at most 10 a second. */
void log_guest(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Start-up errors: writes one sentence, "cause; remedy", to ret_error and returns -error. */
int log_sentence(char *ret_error, size_t error_len, int error, const char *format, ...)
		__attribute__((format(printf, 4, 5)));

/* Tracing: always compiled, one predicted branch when off. */
#define log_debug(...)                                     \
	do {                                               \
		if (__builtin_expect(log_level >= LOG_DEBUG, 0)) \
			log_line(LOG_DEBUG, __VA_ARGS__);  \
	} while (0)

#endif
