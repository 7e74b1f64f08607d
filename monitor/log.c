#include "monitor/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "monitor/thread.h"

#define LINE_MAX_LEN 1024  /* bytes of a log line, its end included; the rest is cut off */
#define GUEST_LINES  10    /* log_guest writes so many a second */
#define QUEUE_LEN    32768 /* bytes of lines that wait while others are being written */
#define FLUSH_MS     200   /* for a reader that is slow, not for one that is stuck */

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

/* Guests have a say in the text of a line, but none in what the terminal does with it: nothing but
 * ASCII passes. */
static void blank_controls(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
			*text = '?';
}

/* ---- the queue: no thread that serves the guest waits for whoever reads stderr */

static struct {
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t work;  /* 'used' is no longer 0, or 'stopping' was set */
	pthread_cond_t ended; /* 'running' is no longer set */
	bool queueing;        /* between log_start and log_stop; else lines are written at once */
	bool running;         /* the log thread, which the first line that is queued starts */
	bool stopping;        /* it is to end once nothing waits */
	unsigned filling;     /* which half of 'bytes'; the log thread has the other to itself */
	size_t used;          /* of that half */
	char bytes[2][QUEUE_LEN];
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.ended = PTHREAD_COND_INITIALIZER,
};

static atomic_uint left_out; /* lines, since the last one that told of them */

/* One write for each, so that lines and the guest's console do not mix. */
static void write_lines(const char *lines, size_t len)
{
	for (const char *end = lines + len; lines < end;) {
		const char *newline = memchr(lines, '\n', (size_t)(end - lines));
		/* There is nobody to tell that stderr does not work. */
		(void)!write(STDERR_FILENO, lines, (size_t)(newline + 1 - lines));
		lines = newline + 1;
	}
}

static void *thread_main(void *argument)
{
	(void)argument;
	pthread_mutex_lock(&queue.lock);
	for (;;) {
		while (queue.used == 0 && !queue.stopping)
			pthread_cond_wait(&queue.work, &queue.lock);
		size_t len = queue.used;
		if (len == 0)
			break;
		const char *lines = queue.bytes[queue.filling];
		queue.filling ^= 1;
		queue.used = 0;
		pthread_mutex_unlock(&queue.lock);
		write_lines(lines, len);
		pthread_mutex_lock(&queue.lock);
	}
	queue.running = false;
	pthread_cond_signal(&queue.ended);
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

void log_start(void)
{
	pthread_mutex_lock(&queue.lock);
	assert(!queue.running);
	queue.queueing = true;
	queue.stopping = false;
	pthread_mutex_unlock(&queue.lock);
}

/* Under the lock. False: the line is to be written at once; should no thread be had, the next one
 * tries again. */
static bool is_queueing(void)
{
	pthread_t thread;

	if (!queue.queueing || queue.running)
		return queue.running;
	queue.running =
		thread_start(&thread, "ferrule-log", thread_main, NULL, thread_all_cpus()) == 0;
	if (queue.running)
		pthread_detach(thread); /* nobody could join it while it is stuck */
	return queue.running;
}

void log_stop(void)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += FLUSH_MS * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000l;
	until.tv_nsec %= 1000000000l;
	pthread_mutex_lock(&queue.lock);
	bool first = !queue.stopping;
	queue.stopping = true;
	queue.queueing = false;
	pthread_cond_signal(&queue.work);
	while (first && queue.running && !error)
		error = pthread_cond_clockwait(&queue.ended, &queue.lock, CLOCK_MONOTONIC, &until);
	pthread_mutex_unlock(&queue.lock);
}

/* A line that ends in a newline. False: the queue is full, and it is lost. */
static bool put_line(const char *line, size_t len)
{
	pthread_mutex_lock(&queue.lock);
	bool queued = is_queueing(), room = len <= QUEUE_LEN - queue.used;
	if (queued && room) {
		memcpy(queue.bytes[queue.filling] + queue.used, line, len);
		queue.used += len;
		pthread_cond_signal(&queue.work);
	}
	pthread_mutex_unlock(&queue.lock);
	if (!queued)
		write_lines(line, len);
	return !queued || room;
}

/* ---- lines */

static void write_line(enum log_level level, const char *format, va_list args)
{
	char line[LINE_MAX_LEN];
	size_t room = sizeof(line) - 1; /* for the newline */
	size_t len = (size_t)snprintf(line, room, "ferrule: %s: ", level_name[level]);
	unsigned lost = atomic_exchange_explicit(&left_out, 0, memory_order_relaxed);

	if (lost != 0)
		len += (size_t)snprintf(line + len, room - len, "(%u lines left out) ", lost);
	if (vsnprintf(line + len, room - len, format, args) < 0)
		line[len] = '\0';
	blank_controls(line);
	len = strlen(line);
	line[len] = '\n';
	if (!put_line(line, len + 1))
		atomic_fetch_add_explicit(&left_out, lost + 1, memory_order_relaxed);
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level > log_level)
		return;
	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

/* A bucket of GUEST_LINES that fills again at the start of each second. */
static struct {
	pthread_mutex_t lock;
	uint64_t second;
	unsigned used;
} quota = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* False: no more lines now. */
static bool quota_take(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&quota.lock);
	if (quota.second != (uint64_t)now.tv_sec) {
		quota.second = (uint64_t)now.tv_sec;
		quota.used = 0;
	}
	bool granted = quota.used < GUEST_LINES;
	quota.used += granted;
	pthread_mutex_unlock(&quota.lock);
	return granted;
}

void log_guest(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level > log_level)
		return;
	if (!quota_take()) {
		atomic_fetch_add_explicit(&left_out, 1, memory_order_relaxed);
		return;
	}
	va_start(args, format);
	write_line(level, format, args);
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
