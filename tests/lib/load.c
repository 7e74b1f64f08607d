#include "tests/lib/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define PIECE    (64u << 10) /* bytes */
#define STILL_MS 10000
#define EVENTS   64

struct connection {
	int fd;
	uint64_t key;
	uint64_t sent, received; /* bytes, since the start */
	uint64_t message_end;    /* position behind the message under way */
	unsigned messages;       /* that came back */
	bool finished;           /* nothing more is sent */
	bool over;
};

struct run {
	struct echo_load *load;
	struct connection *connections;
	unsigned open;
	int epoll;
	uint64_t stop_ms;
};

static void set_interest(struct run *run, struct connection *connection, bool add)
{
	bool more = connection->sent < connection->message_end;
	struct epoll_event event = {
		.events = EPOLLIN | (more ? EPOLLOUT : 0u), .data.ptr = connection};

	if (epoll_ctl(run->epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, connection->fd, &event) < 0)
		ck_abort_msg("epoll_ctl: %s", strerror(errno));
}

static void open_connection(struct run *run, unsigned index)
{
	struct connection *connection = &run->connections[index];

	*connection = (struct connection){
		.fd = client_connect(run->load->port),
		.key = run->load->seed + index * 0x632be59bd9b4e019u,
		.message_end = run->load->message_len,
	};
	if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) < 0)
		ck_abort_msg("O_NONBLOCK: %s", strerror(errno));
	set_interest(run, connection, true);
	run->open++;
}

static void send_some(struct connection *connection)
{
	unsigned char bytes[PIECE];

	while (connection->sent < connection->message_end) {
		uint64_t left = connection->message_end - connection->sent;
		size_t len = left < PIECE ? (size_t)left : PIECE;
		pattern_fill(connection->key, connection->sent, bytes, len);
		ssize_t n = send(connection->fd, bytes, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			ck_abort_msg("send: %s", strerror(errno));
		connection->sent += (size_t)n;
	}
}

static void check(struct connection *connection, const unsigned char *bytes, size_t len)
{
	size_t right = pattern_match(connection->key, connection->received, bytes, len);

	if (right != len)
		ck_abort_msg("byte %llu of a connection is wrong",
			(unsigned long long)(connection->received + right));
	connection->received += len;
	if (connection->received > connection->sent)
		ck_abort_msg("more bytes came than were sent");
}

/* The message has come back: the next one, or the end. */
static void next_message(struct run *run, struct connection *connection)
{
	run->load->messages++;
	connection->messages++;
	bool more = run->load->duration_ms != 0 ? clock_ms() < run->stop_ms
						: connection->messages < run->load->each;
	if (more) {
		connection->message_end += run->load->message_len;
		return;
	}
	connection->finished = true;
	client_finish(connection->fd);
}

static void end_connection(struct run *run, struct connection *connection)
{
	if (!connection->finished)
		ck_abort_msg("a connection has ended after %llu bytes of %llu",
			(unsigned long long)connection->received,
			(unsigned long long)connection->message_end);
	close(connection->fd);
	connection->over = true;
	run->open--;
}

static void receive_some(struct run *run, struct connection *connection)
{
	unsigned char bytes[PIECE];

	for (;;) {
		ssize_t n = recv(connection->fd, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			ck_abort_msg("receive: %s", strerror(errno));
		if (n == 0) {
			end_connection(run, connection);
			return;
		}
		check(connection, bytes, (size_t)n);
		if (connection->received == connection->message_end)
			next_message(run, connection);
	}
}

static void serve_events(struct run *run)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(run->epoll, events, EVENTS, STILL_MS);

	if (count == 0)
		ck_abort_msg("%u connections stand still", run->open);
	for (int i = 0; i < count; i++) {
		struct connection *connection = events[i].data.ptr;
		receive_some(run, connection);
		if (connection->over)
			continue;
		send_some(connection);
		set_interest(run, connection, false);
	}
}

void echo_load_run(struct echo_load *load)
{
	struct run run = {.load = load, .epoll = epoll_create1(EPOLL_CLOEXEC)};

	run.connections = calloc(load->connections, sizeof(*run.connections));
	expect(run.epoll >= 0 && run.connections != NULL);
	for (unsigned i = 0; i < load->connections; i++)
		open_connection(&run, i);
	uint64_t start = clock_ns();
	run.stop_ms = start / 1000000u + load->duration_ms;
	load->messages = 0;
	while (run.open > 0)
		serve_events(&run);
	load->seconds = (double)(clock_ns() - start) / 1e9;
	free(run.connections);
	close(run.epoll);
}
