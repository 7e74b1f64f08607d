/* Memory of closed and of idle streams goes back to the host, and what is needed of it does not. */
#include "monitor/trim.h"

#include <dirent.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void receive_all(struct guest_stream *stream, unsigned char first, size_t len)
{
	static unsigned char bytes[RING];

	while (len > 0) {
		long got = read_some(stream, bytes, len < sizeof(bytes) ? len : sizeof(bytes));
		expect(got > 0);
		for (long i = 0; i < got; i++)
			expect_equal(bytes[i], first);
		len -= (size_t)got;
	}
}

static void send_all(int fd, unsigned char byte, size_t len)
{
	static unsigned char bytes[RING];

	memset(bytes, byte, sizeof(bytes));
	while (len > 0) {
		ssize_t sent = send(fd, bytes, len < sizeof(bytes) ? len : sizeof(bytes), 0);
		expect(sent > 0);
		len -= (size_t)sent;
	}
}

/* Fills the ring to the guest once, so that all of it exists. */
static void touch_ring(int fd, struct guest_stream *stream)
{
	long before = guest_arena_held(&guest);

	send_all(fd, 'x', RING);
	while (guest_arena_held(&guest) < before + RING - TRIM_KEPT)
		nap();
	receive_all(stream, 'x', RING);
}

START_TEST(closed_streams)
{
	long before = guest_arena_held(&guest);
	struct guest_stream listener, stream;
	int fd = connected_pair(&listener, &stream);
	static char bytes[RING];

	touch_ring(fd, &stream);
	write_all(&stream, bytes, sizeof(bytes));
	expect_equal(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	expect(guest_arena_held(&guest) >= before + RING);
	guest_stream_close(&stream);
	close(fd);
	expect(guest_arena_comes_down_to(&guest, before + RING));
}
END_TEST

START_TEST(idle_streams_keep_their_first_bytes_and_go_on)
{
	struct guest_stream listener, stream;
	int fd = connected_pair(&listener, &stream);
	long before = guest_arena_held(&guest);

	touch_ring(fd, &stream);
	expect(guest_arena_comes_down_to(&guest, before + TRIM_KEPT + 4096));
	for (unsigned char i = 1; i < 5; i++) {
		send_all(fd, i, RING + 100);
		receive_all(&stream, i, RING + 100);
	}
	close(fd);
}
END_TEST

START_TEST(unread_bytes_stay)
{
	struct guest_stream listener, stream;
	int fd = connected_pair(&listener, &stream);

	touch_ring(fd, &stream);
	send_all(fd, 'u', RING / 2);
	for (unsigned waited = 0; waited < 3 * TRIM_REST_NS / 1000000; waited += 20)
		nap();
	receive_all(&stream, 'u', RING / 2);
	close(fd);
}
END_TEST

#define CROWD 10

/* Holds the I/O thread up. */
static struct {
	struct loop_message message;
	sem_t begun, over;
} pause_of_loop;

static void pause_run(struct loop_message *message)
{
	(void)message;
	sem_post(&pause_of_loop.begun);
	sem_wait(&pause_of_loop.over);
}

static void pause_loop(void)
{
	sem_init(&pause_of_loop.begun, 0, 0);
	sem_init(&pause_of_loop.over, 0, 0);
	pause_of_loop.message.run = pause_run;
	loop_post(guest.loop, &pause_of_loop.message);
	sem_wait(&pause_of_loop.begun);
}

static void nap_until(uint64_t start_ms, uint64_t ms)
{
	while (clock_ms() < start_ms + ms)
		nap();
}

/*
 * The second sweep finds the streams idle, and in the same turn of the loop bytes have come that
 * the kernel has put into their rings and that are not committed yet: they are not to be lost.
 */
START_TEST(bytes_that_come_meanwhile_stay)
{
	static struct guest_stream stream[CROWD];
	struct guest_stream listener = new_stream();
	uint16_t port = listen_on(&listener);
	uint64_t rest_ms = TRIM_REST_NS / 1000000, start = clock_ms();
	int fd[CROWD];

	for (int i = 0; i < CROWD; i++) {
		fd[i] = another_pair(&listener, port, &stream[i]);
		touch_ring(fd[i], &stream[i]);
	}
	expect(clock_ms() - start < rest_ms / 2); /* or the sweeps come at other times */
	nap_until(start, rest_ms * 17 / 10);
	pause_loop();
	nap_until(start, rest_ms * 26 / 10);
	for (int i = 0; i < CROWD; i++)
		send_all(fd[i], (unsigned char)('a' + i), RING / 2);
	sem_post(&pause_of_loop.over);
	for (int i = 0; i < CROWD; i++) {
		receive_all(&stream[i], (unsigned char)('a' + i), RING / 2);
		close(fd[i]);
	}
}
END_TEST

/* What a line of this file, which begins with the word, has behind it; -1: there is none. */
static long number_in(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char line[256];
	long number = -1;

	if (file == NULL)
		return -1;
	while (number < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, word, strlen(word)) == 0)
			number = strtol(line + strlen(word), NULL, 10);
	fclose(file);
	return number;
}

/* How often the I/O thread went to sleep, as the kernel counts it. */
static long times_slept(void)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *thread;
	char path[512];
	long times = -1;

	expect(threads != NULL);
	while (times < 0 && (thread = readdir(threads)) != NULL) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", thread->d_name);
		FILE *file = fopen(path, "re");
		char name[64] = "";
		if (file == NULL)
			continue;
		if (fgets(name, sizeof(name), file) && strcmp(name, "Name:\tferrule-io\n") == 0)
			times = number_in(path, "voluntary_ctxt_switches:");
		fclose(file);
	}
	closedir(threads);
	expect(times >= 0);
	return times;
}

/* Once all is given back nobody is woken for it. */
START_TEST(then_it_is_quiet)
{
	struct guest_stream listener, stream;
	int fd = connected_pair(&listener, &stream);
	long before = guest_arena_held(&guest);

	touch_ring(fd, &stream);
	expect(guest_arena_comes_down_to(&guest, before + TRIM_KEPT + 4096));
	for (unsigned waited = 0; waited < 3 * TRIM_REST_NS / 1000000; waited += 20)
		nap();
	long sleeps = times_slept();
	for (unsigned waited = 0; waited < 2 * TRIM_REST_NS / 1000000; waited += 20)
		nap();
	expect_equal(times_slept(), sleeps);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trim");
	TCase *tcase = tcase_create("trim");

	tcase_add_checked_fixture(tcase, tcp_guest_setup, tcp_guest_teardown);
	tcase_set_timeout(tcase, 40);
	tcase_add_test(tcase, closed_streams);
	tcase_add_test(tcase, idle_streams_keep_their_first_bytes_and_go_on);
	tcase_add_test(tcase, unread_bytes_stay);
	tcase_add_test(tcase, bytes_that_come_meanwhile_stay);
	tcase_add_test(tcase, then_it_is_quiet);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
