#include "monitor/log.h"

#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 1024 /* bytes of a log line, its end included; the rest is cut off */
#define GUEST_LINES  10   /* log_guest writes so many a second */

enum log_level log_level = LOG_WARNING;

static const char *const level_name[] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};
_Static_assert(sizeof(level_name) / sizeof(level_name[0]) == LOG_LEVEL_COUNT, "one name each");

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++)
		if (strcmp(name, level_name[i]) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	return false;
}

/* Guests have a say in the text of a line, but none in what the terminal does with it: nothing but ASCII passes. */
static void blank_controls(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
			*text = '?';
}

/* One write, so that lines of several threads do not mix. */
static void write_line(enum log_level level, unsigned left_out, const char *format, va_list args)
{
	char line[LINE_MAX_LEN];
	size_t room = sizeof(line) - 1; /* for the newline */
	size_t len = (size_t)snprintf(line, room, "ferrule: %s: ", level_name[level]);

	if (left_out != 0)
		len += (size_t)snprintf(line + len, room - len, "(%u lines left out) ", left_out);
	int wanted = vsnprintf(line + len, room - len, format, args);
	if (wanted < 0)
		return;
	blank_controls(line);
	len = strlen(line);
	line[len] = '\n';
	/* There is nobody to tell that stderr does not work. */
	ssize_t written = write(STDERR_FILENO, line, len + 1);
	(void)written;
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level > log_level)
		return;
	va_start(args, format);
	write_line(level, 0, format, args);
	va_end(args);
}

/* A bucket of GUEST_LINES that fills again at the start of each second. */
static struct {
	pthread_mutex_t lock;
	uint64_t second;
	unsigned used;
	unsigned left_out;
} quota = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* False: no more lines now. *ret_left_out: lines dropped since the last one that was written. */
static bool quota_take(unsigned *ret_left_out)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&quota.lock);
	if (quota.second != (uint64_t)now.tv_sec) {
		quota.second = (uint64_t)now.tv_sec;
		quota.used = 0;
	}
	bool granted = quota.used < GUEST_LINES;
	if (granted) {
		quota.used++;
		*ret_left_out = quota.left_out;
		quota.left_out = 0;
	} else {
		quota.left_out++;
	}
	pthread_mutex_unlock(&quota.lock);
	return granted;
}

void log_guest(enum log_level level, const char *format, ...)
{
	unsigned left_out;
	va_list args;

	if (level > log_level || !quota_take(&left_out))
		return;
	va_start(args, format);
	write_line(level, left_out, format, args);
	va_end(args);
}

int log_sentence(char *ret_error, size_t error_len, int error, const char *format, ...)
{
	va_list args;

	assert(error > 0);
	va_start(args, format);
	vsnprintf(ret_error, error_len, format, args);
	va_end(args);
	return -error;
}
