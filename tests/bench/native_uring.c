/*
 * native_uring: the same jobs on io_uring: one thread, a single issuer with deferred task
 * work, one operation of a connection in flight, and one io_uring_enter for each batch.
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/native.h"

#define ENTRIES 1024

struct connection {
	int fd;
	bool sending;
	size_t position; /* chargen: bytes sent, modulo the cycle */
	size_t at, len;  /* echo: of the bytes under way */
	char *bytes;     /* NATIVE_PIECE of them */
};

struct server {
	struct io_uring ring;
	int listener;
	enum native_job job;
};

static struct io_uring_sqe *next_entry(struct server *server)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&server->ring);

	if (entry == NULL) {
		io_uring_submit(&server->ring);
		entry = io_uring_get_sqe(&server->ring);
	}
	if (entry == NULL)
		native_die("io_uring_get_sqe");
	return entry;
}

static void submit_accept(struct server *server)
{
	struct io_uring_sqe *entry = next_entry(server);

	io_uring_prep_multishot_accept(entry, server->listener, NULL, NULL, SOCK_CLOEXEC);
	io_uring_sqe_set_data(entry, NULL);
}

static void submit_recv(struct server *server, struct connection *connection)
{
	struct io_uring_sqe *entry = next_entry(server);

	connection->sending = false;
	io_uring_prep_recv(entry, connection->fd, connection->bytes, NATIVE_PIECE, 0);
	io_uring_sqe_set_data(entry, connection);
}

static void submit_send(
	struct server *server, struct connection *connection, const char *data, size_t len)
{
	struct io_uring_sqe *entry = next_entry(server);

	connection->sending = true;
	io_uring_prep_send(entry, connection->fd, data, len, MSG_NOSIGNAL);
	io_uring_sqe_set_data(entry, connection);
}

static void submit_lines(struct server *server, struct connection *connection)
{
	submit_send(server, connection, native_lines(connection->position), NATIVE_PIECE);
}

static void accepted(struct server *server, const struct io_uring_cqe *completion)
{
	if (!(completion->flags & IORING_CQE_F_MORE))
		submit_accept(server);
	if (completion->res < 0)
		return;
	struct connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		native_die("calloc");
	connection->fd = completion->res;
	native_prepare(connection->fd);
	if (server->job == NATIVE_CHARGEN) {
		submit_lines(server, connection);
		return;
	}
	connection->bytes = malloc(NATIVE_PIECE);
	if (connection->bytes == NULL)
		native_die("malloc");
	submit_recv(server, connection);
}

static void drop(struct connection *connection)
{
	close(connection->fd);
	free(connection->bytes);
	free(connection);
}

static void received(struct server *server, struct connection *connection, size_t len)
{
	if (server->job == NATIVE_DISCARD) {
		submit_recv(server, connection);
		return;
	}
	connection->at = 0;
	connection->len = len;
	submit_send(server, connection, connection->bytes, len);
}

static void sent(struct server *server, struct connection *connection, size_t len)
{
	if (server->job == NATIVE_CHARGEN) {
		connection->position = (connection->position + len) % native_cycle();
		submit_lines(server, connection);
		return;
	}
	connection->at += len;
	if (connection->at < connection->len)
		submit_send(server, connection, connection->bytes + connection->at,
			connection->len - connection->at);
	else
		submit_recv(server, connection);
}

static void complete(struct server *server, const struct io_uring_cqe *completion)
{
	struct connection *connection = io_uring_cqe_get_data(completion);

	if (connection == NULL)
		accepted(server, completion);
	else if (completion->res <= 0)
		drop(connection);
	else if (connection->sending)
		sent(server, connection, (size_t)completion->res);
	else
		received(server, connection, (size_t)completion->res);
}

int main(int argc, char **argv)
{
	struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER |
						      IORING_SETUP_DEFER_TASKRUN |
						      IORING_SETUP_CQSIZE,
		.cq_entries = 8 * ENTRIES};
	struct server server;
	int error;

	server.listener = native_start(argc, argv, &server.job);
	error = io_uring_queue_init_params(ENTRIES, &server.ring, &parameters);
	if (error < 0) {
		errno = -error;
		native_die("io_uring");
	}
	submit_accept(&server);
	for (;;) {
		struct io_uring_cqe *completion;
		unsigned head, count = 0;

		io_uring_submit_and_wait(&server.ring, 1);
		io_uring_for_each_cqe(&server.ring, head, completion)
		{
			complete(&server, completion);
			count++;
		}
		io_uring_cq_advance(&server.ring, count);
	}
}
