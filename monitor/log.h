/*
 * log: one line on stderr per event, "ferrule: level: text". A guest can cause log
 * lines, so what it can repeat goes through log_guest, which is rate limited.
 */
#ifndef FERRULE_MONITOR_LOG_H
#define FERRULE_MONITOR_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

extern enum log_level log_level; /* set once, before threads start */

/* "error", "warning", "info", "debug"; false: no such level. */
bool log_level_parse(const char *name, enum log_level *ret_level);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, at most 10 a second; what was left out is counted in the next line. */
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
