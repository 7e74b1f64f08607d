/*
 * The time that a message of 64 bytes takes there and back on one connection: through
 * the guest echo, and through a native echo server with epoll in this process's place.
 * Rounds of both alternate, because the machine is not the same from second to second.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"

#define MESSAGE_LEN  64 /* bytes */
#define ROUNDS_MAX   50
#define RATIO_MOST   2.5
#define MESSAGES_MAX 20000

/* ---- the native server: one process, one epoll */

static void serve_ready(int epoll, int listener, int fd)
{
	char bytes[65536];

	if (fd == listener) {
		struct epoll_event event = {.events = EPOLLIN};
		event.data.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
		return;
	}
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
	if (n <= 0 || send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
		close(fd);
}

static _Noreturn void serve_natively(int listener)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;)
		if (epoll_wait(epoll, &event, 1, -1) == 1)
			serve_ready(epoll, listener, event.data.fd);
}

/* Its port; the process is killed with the test's group. */
static uint16_t start_native(pid_t *ret_pid)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) < 0 ||
		listen(listener, 16) < 0 ||
		getsockname(listener, (struct sockaddr *)&address, &len) < 0)
		ck_abort_msg("a native server: %s", strerror(errno));
	*ret_pid = fork();
	expect(*ret_pid >= 0);
	if (*ret_pid == 0)
		serve_natively(listener);
	close(listener);
	return ntohs(address.sin_port);
}

/* ---- measuring */

static int compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

/* The median of 'count' round trips, in nanoseconds. */
static double median_trip(int fd, unsigned count)
{
	static uint64_t trips[MESSAGES_MAX];
	char message[MESSAGE_LEN] = "x", answer[MESSAGE_LEN];

	for (unsigned i = 0; i < count; i++) {
		uint64_t start = clock_ns();
		client_send(fd, message, sizeof(message));
		client_receive(fd, answer, sizeof(answer));
		trips[i] = clock_ns() - start;
		message[0]++;
	}
	qsort(trips, count, sizeof(trips[0]), compare);
	return (double)trips[count / 2];
}

static double median_of(const double *values, unsigned count)
{
	uint64_t sorted[ROUNDS_MAX];

	for (unsigned i = 0; i < count; i++)
		sorted[i] = (uint64_t)values[i];
	qsort(sorted, count, sizeof(sorted[0]), compare);
	return (double)sorted[count / 2];
}

START_TEST(echo_latency)
{
	unsigned rounds = scale(5, 11), count = scale(2000, 5000);
	double native[ROUNDS_MAX], guest[ROUNDS_MAX];
	struct command monitor;
	pid_t server;
	int native_fd = client_connect(start_native(&server));
	uint16_t port = guest_serve(&monitor, WORDS("--listen", ANY_PORT), "echo", WORDS(ANY_PORT));
	int guest_fd = client_connect(port);

	median_trip(native_fd, 500);
	median_trip(guest_fd, 500);
	for (unsigned i = 0; i < rounds; i++) {
		native[i] = median_trip(native_fd, count);
		guest[i] = median_trip(guest_fd, count);
		printf("round %2u: native %6.1f us, guest %6.1f us\n", i + 1, native[i] / 1000,
			guest[i] / 1000);
	}
	double ratio = median_of(guest, rounds) / median_of(native, rounds);
	printf("64 B, 1 connection, p50: native %.1f us, guest %.1f us, ratio %.2f (at most "
	       "%.1f)\n",
		median_of(native, rounds) / 1000, median_of(guest, rounds) / 1000, ratio,
		RATIO_MOST);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	client_close(guest_fd);
	guest_stop(&monitor, port);
	expect(ratio <= RATIO_MOST);
}
END_TEST

static const struct integration_test tests[] = {
	{&echo_latency, 120},
};

INTEGRATION_MAIN("echo_latency", tests, NULL)
