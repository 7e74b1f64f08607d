#include "tests/lib/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/suite.h"

#define EVENTS    256
#define WINDOW    4096 /* bytes */
#define STILL_MS  10000
#define REPORT_MS 10000
#define SOURCES   8u

struct connection {
	int fd;
	struct plan_request request;
	struct plan plan;
	struct random random;
	uint64_t sent, received;      /* bytes of the plan */
	uint64_t send_at, receive_at; /* ms: a pause until then */
	bool send_over, receive_over;
	bool closed; /* or reset, by this side, with its last byte */
	bool reset;  /* an operation met ECONNRESET: the kernel tells it once */
};

struct run {
	struct exchange *exchange;
	struct connection *connections;
	struct random random;
	unsigned open;
	uint64_t made;
	uint64_t stop_ms, now_ms, moved_ms;
	int epoll;
};

static _Noreturn void give_up(const struct connection *connection, const char *what, int error)
{
	const struct plan_way *way = connection->plan.way;

	ck_abort_msg("kind %u, seed 0x%" PRIx64 " (class %u): %s%s%s; sent %" PRIu64 " of %" PRIu64
		     ", received %" PRIu64 " of %" PRIu64,
		(unsigned)connection->request.kind, connection->request.seed,
		(unsigned)plan_class(&connection->plan), what, error != 0 ? ": " : "",
		error != 0 ? strerror(error) : "", connection->sent, way[PLAN_CLIENT].len,
		connection->received, way[PLAN_GUEST].len);
}

/* ---- the beginning */

static void send_request(const struct connection *connection)
{
	if (connection->request.kind != PLAN_ECHO)
		client_send(connection->fd, &connection->request, sizeof(connection->request));
}

static bool wants_another(const struct run *run)
{
	const struct exchange *exchange = run->exchange;

	return exchange->rounds != 0 ? run->made < exchange->rounds : run->now_ms < run->stop_ms;
}

/* With a small window the last bytes are still on their way when who wrote them closes. */
static int draw_receive_buffer(struct run *run)
{
	return random_once_in(&run->random, 4) ? WINDOW : 0;
}

/* The port of a connection that is over is taken for a while: there are several addresses. */
static unsigned next_source(const struct run *run)
{
	return (unsigned)(run->made % SOURCES) + 1;
}

static void begin(struct run *run, struct connection *connection)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};

	*connection = (struct connection){
		.fd = client_connect_from(
			next_source(run), draw_receive_buffer(run), run->exchange->port),
		.request = {run->exchange->kind, random_next(&run->random)},
	};
	run->made++;
	run->open++;
	plan_draw(&connection->plan, &connection->request);
	connection->random.state = connection->request.seed;
	send_request(connection);
	if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) < 0 ||
		epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
		ck_abort_msg("epoll: %s", strerror(errno));
}

/* ---- sending */

static void send_end(struct connection *connection)
{
	enum plan_end end = connection->plan.way[PLAN_CLIENT].end;

	connection->send_over = true;
	if (end == PLAN_FINISH) {
		/* ENOTCONN: reset meanwhile, as receiving will tell. */
		if (shutdown(connection->fd, SHUT_WR) < 0 && errno != ENOTCONN)
			give_up(connection, "shutdown", errno);
		return;
	}
	if (end == PLAN_RESET)
		client_reset(connection->fd);
	else
		client_close(connection->fd);
	connection->closed = true;
}

/* Is that what the guest's part of the plan leads to? */
static void send_failed(struct connection *connection, int error)
{
	enum plan_class class = plan_class(&connection->plan);

	if ((error != ECONNRESET && error != EPIPE) ||
		(class != PLAN_GUEST_RESETS && class != PLAN_GUEST_CLOSES))
		give_up(connection, "send", error);
	connection->reset |= error == ECONNRESET;
	connection->send_over = true;
}

static void send_some(struct run *run, struct connection *connection)
{
	const struct plan_way *way = &connection->plan.way[PLAN_CLIENT];
	unsigned char bytes[PLAN_PIECE_MAX];

	if (way->waits && !connection->receive_over)
		return;
	while (!connection->send_over && run->now_ms >= connection->send_at) {
		if (connection->sent == way->len) {
			send_end(connection);
			return;
		}
		uint64_t len = plan_piece(
			&connection->plan, &connection->random, way->len - connection->sent);
		pattern_fill(way->key, connection->sent, bytes, (size_t)len);
		ssize_t n = send(connection->fd, bytes, (size_t)len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			send_failed(connection, errno);
			return;
		}
		connection->sent += (uint64_t)n;
		run->moved_ms = run->now_ms;
		connection->send_at =
			run->now_ms + plan_pause(&connection->plan, &connection->random);
	}
}

/* ---- receiving */

static void receive_end(struct connection *connection, int error)
{
	bool reset = error == ECONNRESET || connection->reset;
	bool all = connection->received == connection->plan.way[PLAN_GUEST].len;

	connection->receive_over = true;
	if (plan_class(&connection->plan) == PLAN_GUEST_RESETS) {
		if (!reset)
			give_up(connection, "instead of ECONNRESET", error);
	} else if (error != 0) {
		give_up(connection, "receive", error);
	} else if (!all) {
		give_up(connection, "the end came too early", 0);
	}
}

static void receive_some(struct run *run, struct connection *connection)
{
	const struct plan_way *way = &connection->plan.way[PLAN_GUEST];
	unsigned char bytes[PLAN_PIECE_MAX];

	while (!connection->receive_over && run->now_ms >= connection->receive_at) {
		size_t most =
			(size_t)plan_piece(&connection->plan, &connection->random, sizeof(bytes));
		ssize_t n = recv(connection->fd, bytes, most, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			receive_end(connection, n < 0 ? errno : 0);
			return;
		}
		if (pattern_match(way->key, connection->received, bytes, (size_t)n) != (size_t)n)
			give_up(connection, "a byte is wrong", 0);
		connection->received += (uint64_t)n;
		if (connection->received > way->len)
			give_up(connection, "there are too many bytes", 0);
		run->moved_ms = run->now_ms;
		connection->receive_at =
			run->now_ms + plan_pause(&connection->plan, &connection->random);
	}
}

/* ---- one connection after the other */

static void account(struct exchange *exchange, const struct connection *connection)
{
	enum plan_class class = plan_class(&connection->plan);

	exchange->planned.count[class]++;
	if (class == PLAN_WHOLE)
		exchange->planned.whole_bytes += connection->plan.way[PLAN_CLIENT].len;
	exchange->bytes += connection->sent + connection->received;
}

/* False: it is over. */
static bool go_on(struct run *run, struct connection *connection)
{
	receive_some(run, connection);
	send_some(run, connection);
	return !connection->closed && (!connection->send_over || !connection->receive_over);
}

static void step(struct run *run, struct connection *connection)
{
	while (connection->fd >= 0 && !go_on(run, connection)) {
		if (!connection->closed)
			client_close(connection->fd);
		account(run->exchange, connection);
		run->moved_ms = run->now_ms;
		run->open--;
		connection->fd = -1;
		if (wants_another(run))
			begin(run, connection);
	}
}

static void serve_events(struct run *run)
{
	struct epoll_event events[EVENTS];
	bool pauses = run->exchange->kind == PLAN_SOAK;
	int count = epoll_wait(run->epoll, events, EVENTS, pauses ? 1 : STILL_MS);

	run->now_ms = clock_ms();
	for (int i = 0; i < count; i++)
		step(run, events[i].data.ptr);
	for (unsigned i = 0; pauses && i < run->exchange->at_once; i++)
		step(run, &run->connections[i]);
	if (run->now_ms < run->moved_ms + STILL_MS)
		return;
	for (unsigned i = 0; i < run->exchange->at_once; i++)
		if (run->connections[i].fd >= 0)
			give_up(&run->connections[i], "it stands still", 0);
}

void exchange_run(struct exchange *exchange)
{
	struct run run = {.exchange = exchange,
		.random = {exchange->seed},
		.epoll = epoll_create1(EPOLL_CLOEXEC)};
	uint64_t start = clock_ns();

	run.connections = calloc(exchange->at_once, sizeof(*run.connections));
	expect(run.epoll >= 0 && run.connections != NULL);
	run.now_ms = run.moved_ms = clock_ms();
	run.stop_ms = run.now_ms + exchange->duration_ms;
	exchange->planned = (struct plan_report){0};
	exchange->bytes = 0;
	for (unsigned i = 0; i < exchange->at_once; i++) {
		run.connections[i].fd = -1;
		if (wants_another(&run))
			begin(&run, &run.connections[i]);
	}
	while (run.open > 0)
		serve_events(&run);
	exchange->seconds = (double)(clock_ns() - start) / 1e9;
	free(run.connections);
	close(run.epoll);
}

/* ---- the guest's account */

static int ask(uint16_t port, enum plan_kind kind)
{
	struct plan_request request = {.kind = kind};
	int fd = client_connect(port);

	client_send(fd, &request, sizeof(request));
	return fd;
}

static struct plan_report report(uint16_t port)
{
	struct plan_report report;
	int fd = ask(port, PLAN_REPORT);

	client_receive(fd, &report, sizeof(report));
	client_expect_end(fd);
	client_close(fd);
	return report;
}

static uint64_t all_of(const struct plan_report *report)
{
	uint64_t sum = report->headless;

	for (int class = 0; class < PLAN_CLASS_COUNT; class ++)
		sum += report->count[class];
	return sum;
}

void exchange_expect_report(const struct exchange *exchange)
{
	const struct plan_report *planned = &exchange->planned;
	uint64_t until = clock_ms() + REPORT_MS;
	struct plan_report seen = report(exchange->port);

	while (all_of(&seen) < all_of(planned) && clock_ms() < until) {
		sleep_ms(5);
		seen = report(exchange->port);
	}
	expect_equal(seen.wrong, 0);
	expect_equal(seen.whole_bytes, planned->whole_bytes);
	for (int class = 0; class < PLAN_CLIENT_RESETS; class ++)
		expect_equal(seen.count[class], planned->count[class]);
	/* A reset may overtake the request. */
	expect_equal(
		seen.count[PLAN_CLIENT_RESETS] + seen.headless, planned->count[PLAN_CLIENT_RESETS]);
}

void exchange_quit(uint16_t port)
{
	client_close(ask(port, PLAN_QUIT));
}
