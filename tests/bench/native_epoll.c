/*
 * native_epoll: echo, discard and chargen as one would write them for Linux: one thread,
 * one level-triggered epoll, one recv and one send for each message.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/native.h"

#define EVENTS 256

struct connection {
	int fd;
	size_t position; /* chargen: bytes sent, modulo the cycle */
	char *held;      /* echo: what the socket did not take */
	size_t held_at, held_len;
};

struct server {
	int epoll, listener;
	enum native_job job;
};

static char bytes[NATIVE_PIECE];

static void watch(const struct server *server, struct connection *connection, int operation)
{
	bool sends = server->job == NATIVE_CHARGEN || connection->held != NULL;
	struct epoll_event event = {.events = sends ? EPOLLOUT : EPOLLIN, .data.ptr = connection};

	if (epoll_ctl(server->epoll, operation, connection->fd, &event) < 0)
		native_die("epoll_ctl");
}

static void accept_all(const struct server *server)
{
	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		struct connection *connection = calloc(1, sizeof(*connection));
		if (connection == NULL)
			native_die("calloc");
		connection->fd = fd;
		native_prepare(fd);
		watch(server, connection, EPOLL_CTL_ADD);
	}
}

static void drop(struct connection *connection)
{
	close(connection->fd);
	free(connection->held);
	free(connection);
}

/* Keeps what was not sent; from now on it is room that is waited for. */
static void hold(
	const struct server *server, struct connection *connection, size_t sent, size_t len)
{
	connection->held = malloc(len - sent);
	if (connection->held == NULL)
		native_die("malloc");
	memcpy(connection->held, bytes + sent, len - sent);
	connection->held_at = 0;
	connection->held_len = len - sent;
	watch(server, connection, EPOLL_CTL_MOD);
}

/* The functions below: false: the connection is over. */

static bool send_held(const struct server *server, struct connection *connection)
{
	ssize_t n = send(connection->fd, connection->held + connection->held_at,
		connection->held_len - connection->held_at, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN;
	connection->held_at += (size_t)n;
	if (connection->held_at == connection->held_len) {
		free(connection->held);
		connection->held = NULL;
		watch(server, connection, EPOLL_CTL_MOD);
	}
	return true;
}

static bool echo(const struct server *server, struct connection *connection)
{
	if (connection->held != NULL)
		return send_held(server, connection);
	ssize_t n = recv(connection->fd, bytes, sizeof(bytes), 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	ssize_t sent = send(connection->fd, bytes, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent < n)
		hold(server, connection, sent > 0 ? (size_t)sent : 0, (size_t)n);
	return true;
}

static bool discard(struct connection *connection)
{
	ssize_t n = recv(connection->fd, bytes, sizeof(bytes), 0);

	return n > 0 || (n < 0 && errno == EAGAIN);
}

static bool chargen(struct connection *connection)
{
	ssize_t n = send(
		connection->fd, native_lines(connection->position), NATIVE_PIECE, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN;
	connection->position = (connection->position + (size_t)n) % native_cycle();
	return true;
}

static bool serve(const struct server *server, struct connection *connection)
{
	switch (server->job) {
	case NATIVE_ECHO:
		return echo(server, connection);
	case NATIVE_DISCARD:
		return discard(connection);
	case NATIVE_CHARGEN:
		return chargen(connection);
	}
	return false;
}

int main(int argc, char **argv)
{
	struct server server;
	struct epoll_event events[EVENTS] = {{.events = EPOLLIN}};

	server.listener = native_start(argc, argv, &server.job);
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server.epoll < 0 ||
		epoll_ctl(server.epoll, EPOLL_CTL_ADD, server.listener, &events[0]) < 0)
		native_die("epoll");
	for (;;) {
		int count = epoll_wait(server.epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (connection == NULL)
				accept_all(&server);
			else if (!serve(&server, connection))
				drop(connection);
		}
	}
}
