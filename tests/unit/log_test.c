/* The log, with a pipe as stderr: what arrives, and that nobody waits for whoever does not read. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "monitor/log.h"
#include "tests/lib/clock.h"
#include "tests/lib/suite.h"

#define THREADS   4
#define LINES     200
#define MANY      5000    /* more than any queue holds */
#define LIMIT_MS  2000    /* for what must not block */
#define TEXT_ROOM 1000000 /* bytes */

static int reader; /* the other end of stderr */
static char text[TEXT_ROOM];

static void set_blocking(int fd, bool blocking)
{
	expect_equal(fcntl(fd, F_SETFL, blocking ? 0 : O_NONBLOCK), 0);
}

static void setup(void)
{
	int ends[2];

	expect_equal(pipe(ends), 0);
	expect_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	reader = ends[0];
	set_blocking(reader, false);
}

/* Of 'filler', until nothing more goes in. */
static void fill_stderr(void)
{
	static const char filler[512] = "";

	set_blocking(STDERR_FILENO, false);
	while (write(STDERR_FILENO, filler, sizeof(filler)) > 0)
		;
	set_blocking(STDERR_FILENO, true);
}

/* What is there by now, behind what was there before. */
static void read_more(void)
{
	static char bytes[4096];
	size_t len = strlen(text);
	ssize_t n;

	while ((n = read(reader, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < n && len < TEXT_ROOM - 1; i++)
			if (bytes[i] != '\0') /* the filler */
				text[len++] = bytes[i];
	text[len] = '\0';
}

static unsigned count_text(const char *wanted)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
		count++;
	return count;
}

START_TEST(without_its_thread_a_line_is_written_at_once)
{
	log_line(LOG_WARNING, "%d", 1);
	read_more();
	ck_assert_str_eq(text, "ferrule: warning: 1\n");
	log_line(LOG_INFO, "above the level");
	log_stop();
	log_line(LOG_ERROR, "2\n\x1b\xc3");
	read_more();
	ck_assert_str_eq(text, "ferrule: warning: 1\nferrule: error: 2???\n");
}
END_TEST

static void *write_many(void *argument)
{
	for (int i = 0; i < LINES; i++)
		log_line(LOG_WARNING, "%s", (const char *)argument);
	return NULL;
}

/* By name: a sanitizer has a thread of its own. */
static int count_log_threads(void)
{
	DIR *threads = opendir("/proc/self/task");
	const struct dirent *thread;
	char path[512], name[32];
	int count = 0;

	while ((thread = readdir(threads)) != NULL) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", thread->d_name);
		FILE *file = fopen(path, "re");
		if (file == NULL)
			continue;
		count += fgets(name, sizeof(name), file) && strcmp(name, "ferrule-log\n") == 0;
		fclose(file);
	}
	closedir(threads);
	return count;
}

START_TEST(its_thread_comes_with_the_first_line)
{
	log_start();
	expect_equal(count_log_threads(), 0);
	log_line(LOG_WARNING, "first");
	while (count_text("first") == 0)
		read_more();
	expect_equal(count_log_threads(), 1);
	log_stop();
}
END_TEST

START_TEST(lines_of_many_threads_arrive_whole)
{
	pthread_t threads[THREADS];
	char names[THREADS][8];

	log_start();
	for (int i = 0; i < THREADS; i++) {
		snprintf(names[i], sizeof(names[i]), "<%d>", i);
		expect_equal(pthread_create(&threads[i], NULL, write_many, names[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_stop();
	read_more();
	expect_equal(count_text("ferrule: warning: <"), THREADS * LINES);
	expect_equal(count_text(">\n"), THREADS * LINES);
	/* The thread has ended. */
	log_line(LOG_WARNING, "behind");
	read_more();
	expect_equal(count_text("behind"), 1);
}
END_TEST

/* The sum of all "(N lines left out)". */
static unsigned count_left_out(void)
{
	unsigned sum = 0, count;

	for (const char *at = text; (at = strchr(at, '(')) != NULL; at++)
		if (sscanf(at, "(%u lines left out)", &count) == 1)
			sum += count;
	return sum;
}

START_TEST(nobody_waits_for_a_stuck_reader)
{
	fill_stderr();
	log_start();
	uint64_t start = clock_ms();
	for (int i = 0; i < MANY; i++)
		log_line(LOG_WARNING, "line");
	expect(clock_ms() - start < LIMIT_MS);

	/* The reader comes back. The next line tells what was lost, and all are accounted for; of
	 * the first that are tried some may be lost themselves, as long as the queue is full. */
	unsigned backs = 0;
	while (strstr(text, "back") == NULL) {
		read_more();
		expect(clock_ms() - start < 10 * LIMIT_MS);
		if (count_text("line\n") > 0) {
			log_line(LOG_WARNING, "back");
			backs++;
		}
		sleep_ms(1);
	}
	expect(count_left_out() > 0);
	unsigned accounted = count_text("line\n") + count_left_out();
	expect(accounted >= MANY && accounted < MANY + backs);
	log_stop();
}
END_TEST

START_TEST(stopping_does_not_wait_long)
{
	fill_stderr();
	log_start();
	log_line(LOG_WARNING, "line");
	uint64_t start = clock_ms();
	log_stop();
	log_stop();
	log_line(LOG_WARNING, "behind");
	expect(clock_ms() - start < LIMIT_MS);
}
END_TEST

/* A thread that took it would be no thread that waits for it. */
START_TEST(its_thread_takes_no_signal)
{
	sigset_t set;
	int signal;

	log_start();
	log_line(LOG_WARNING, "starts it");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	expect_equal(kill(getpid(), SIGTERM), 0);
	expect_equal(sigwait(&set, &signal), 0);
	expect_equal(signal, SIGTERM);
	log_stop();
}
END_TEST

START_TEST(guests_have_a_quota)
{
	uint64_t start = clock_ms();

	for (int i = 0; i < 100; i++)
		log_guest(LOG_WARNING, "line");
	log_line(LOG_WARNING, "after");
	read_more();
	expect(clock_ms() - start >= 1000 || count_text("line\n") <= 20);
	expect(count_text("line\n") >= 10);
	expect_equal(count_text("line\n") + count_left_out(), 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = tcase_create("log");

	tcase_set_timeout(tests, 25);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, without_its_thread_a_line_is_written_at_once);
	tcase_add_test(tests, its_thread_comes_with_the_first_line);
	tcase_add_test(tests, lines_of_many_threads_arrive_whole);
	tcase_add_test(tests, nobody_waits_for_a_stuck_reader);
	tcase_add_test(tests, stopping_does_not_wait_long);
	tcase_add_test(tests, its_thread_takes_no_signal);
	tcase_add_test(tests, guests_have_a_quota);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
