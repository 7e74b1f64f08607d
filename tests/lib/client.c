#include "tests/lib/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define PIECE       (64u << 10) /* bytes */
#define THREADS_MAX 256
#define GONE_MS     5000

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* The port is left to connect(2), which may take one that is in use for another server. */
static int bind_source(int fd, unsigned source)
{
	struct sockaddr_in address = loopback(0);

	if (source == 1)
		return 0;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + source);
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) < 0)
		return -1;
	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static int try_connect(unsigned source, int receive_buffer, uint16_t port)
{
	struct timeval wait = {.tv_sec = CLIENT_WAIT_MS / 1000};
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0 ||
		(receive_buffer != 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
						sizeof(receive_buffer)) < 0) ||
		bind_source(fd, source) < 0 ||
		connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

int client_connect(uint16_t port)
{
	return client_connect_from(1, 0, port);
}

int client_connect_from(unsigned source, int receive_buffer, uint16_t port)
{
	int fd = try_connect(source, receive_buffer, port);

	if (fd < 0)
		ck_abort_msg("connect to port %u: %s", port, strerror(-fd));
	return fd;
}

int client_connect_unix(const char *path, int type)
{
	struct timeval wait = {.tv_sec = CLIENT_WAIT_MS / 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	expect(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
		connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		ck_abort_msg("connect to %s: %s", path, strerror(errno));
	return fd;
}

void client_send(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0)
			ck_abort_msg("send, %zu bytes to go: %s", len, strerror(errno));
		at += n;
		len -= (size_t)n;
	}
}

void client_receive(int fd, void *ret_bytes, size_t len)
{
	char *at = ret_bytes;

	while (len > 0) {
		ssize_t n = recv(fd, at, len, 0);
		if (n <= 0)
			ck_abort_msg("receive, %zu bytes to go: %s", len,
				n == 0 ? "the stream has ended" : strerror(errno));
		at += n;
		len -= (size_t)n;
	}
}

void client_send_pattern(int fd, uint64_t key, uint64_t position, uint64_t len)
{
	unsigned char bytes[PIECE];

	while (len > 0) {
		size_t n = len < PIECE ? (size_t)len : PIECE;
		pattern_fill(key, position, bytes, n);
		client_send(fd, bytes, n);
		position += n;
		len -= n;
	}
}

void client_expect_pattern(int fd, uint64_t key, uint64_t position, uint64_t len)
{
	unsigned char bytes[PIECE];

	while (len > 0) {
		size_t n = len < PIECE ? (size_t)len : PIECE;
		client_receive(fd, bytes, n);
		size_t right = pattern_match(key, position, bytes, n);
		if (right != n)
			ck_abort_msg("byte %llu of the stream is wrong",
				(unsigned long long)(position + right));
		position += n;
		len -= n;
	}
}

void client_finish(int fd)
{
	if (shutdown(fd, SHUT_WR) < 0)
		ck_abort_msg("shutdown: %s", strerror(errno));
}

void client_expect_end(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	if (n != 0)
		ck_abort_msg("instead of the end: %s", n > 0 ? "a byte" : strerror(errno));
}

void client_expect_error(int fd, int error)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		;
	if (n == 0 || errno != error)
		ck_abort_msg(
			"instead of %s: %s", strerror(error), n == 0 ? "the end" : strerror(errno));
}

void client_close(int fd)
{
	close(fd);
}

void client_reset(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0)
		ck_abort_msg("SO_LINGER: %s", strerror(errno));
	close(fd);
}

uint64_t client_count_to_end(int fd)
{
	char bytes[PIECE];
	uint64_t count = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		count += (uint64_t)n;
	if (n < 0)
		ck_abort_msg("after %llu bytes: %s", (unsigned long long)count, strerror(errno));
	return count;
}

bool client_readable(int fd, int timeout_ms)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};

	return poll(&one, 1, timeout_ms) > 0;
}

uint16_t free_port(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		ck_abort_msg("a free port: %s", strerror(errno));
	close(fd);
	return ntohs(address.sin_port);
}

void expect_no_listener(uint16_t port)
{
	uint64_t until = clock_ms() + GONE_MS;
	int fd;

	while ((fd = try_connect(1, 0, port)) != -ECONNREFUSED) {
		if (fd >= 0)
			close(fd);
		if (clock_ms() > until)
			ck_abort_msg("port %u is still listened on", port);
		sleep_ms(2);
	}
}

struct thread {
	pthread_t id;
	void (*work)(void *argument, unsigned index);
	void *argument;
	unsigned index;
};

static void *run_thread(void *argument)
{
	struct thread *thread = argument;

	thread->work(thread->argument, thread->index);
	return NULL;
}

void in_threads(unsigned count, void (*work)(void *argument, unsigned index), void *argument)
{
	static struct thread threads[THREADS_MAX];

	expect(count <= THREADS_MAX);
	for (unsigned i = 0; i < count; i++) {
		threads[i] = (struct thread){.work = work, .argument = argument, .index = i};
		int error = pthread_create(&threads[i].id, NULL, run_thread, &threads[i]);
		if (error != 0)
			ck_abort_msg("a thread: %s", strerror(error));
	}
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i].id, NULL);
}
