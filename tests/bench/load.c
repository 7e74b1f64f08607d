/*
 * load: one thread of client load against one server, bounded in time and in count.
 *
 *     load echo|discard|chargen|connect ADDR:PORT [--option VALUE]...
 *
 * echo sends a message on each connection and the next when the last came back whole.
 * discard sends, chargen receives, as much as goes. connect opens a connection, has one
 * byte echoed and closes, again and again. Prints one line of JSON: requests and bytes of
 * the measured time ("requests", "bytes") and of all of it ("all_requests", "all_bytes"),
 * and percentiles of every measured latency, none of them rounded into a bucket.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/clock.h"

#define PIECE      (128u << 10) /* bytes; the most of one call */
#define EVENTS     256
#define STILL_MS   5000 /* for so long nothing at all happened: given up */
#define CONNECT_MS 5000
#define SOURCES    8

enum mode {
	MODE_ECHO,
	MODE_DISCARD,
	MODE_CHARGEN,
	MODE_CONNECT,
	MODE_COUNT,
};

static const char *const mode_names[] = {"echo", "discard", "chargen", "connect"};
_Static_assert(sizeof(mode_names) / sizeof(mode_names[0]) == MODE_COUNT, "a name for each mode");

static enum mode mode;
static struct sockaddr_in server;

static struct options {
	unsigned long connections;
	unsigned long size;    /* bytes of a message */
	unsigned long warm_ms; /* not measured */
	unsigned long run_ms;  /* measured */
	unsigned long most;    /* requests, the warm ones too; 0: any number */
	unsigned long idle;    /* connections that are open and quiet */
	unsigned long pace_us; /* between two that are opened ahead of the load */
} options = {.connections = 1, .size = 64, .warm_ms = 200, .run_ms = 1000};

static const struct option_row {
	const char *name;
	unsigned long *value;
	const char *meaning;
} option_rows[] = {
	{"--connections", &options.connections, "how many at once"},
	{"--size", &options.size, "bytes of a message"},
	{"--warm", &options.warm_ms, "milliseconds before measuring"},
	{"--ms", &options.run_ms, "milliseconds to measure"},
	{"--most", &options.most, "requests at most, 0: any number"},
	{"--idle", &options.idle, "further connections that stay quiet"},
	{"--pace", &options.pace_us, "microseconds between connections opened at the start"},
};
#define OPTION_COUNT (sizeof(option_rows) / sizeof(option_rows[0]))

/* ---- what is counted */

static struct {
	uint64_t warm_ns, stop_ns; /* when measuring begins and ends */
	uint64_t begun_ns, ended_ns;
	uint64_t requests, all_requests, bytes, all_bytes, errors;
	uint32_t *latencies; /* ns */
	size_t latency_room;
	bool measuring, stop;
} run;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void look_at_clock(uint64_t now)
{
	if (!run.measuring && now >= run.warm_ns) {
		run.measuring = true;
		run.begun_ns = now;
	}
	if (now >= run.stop_ns || (options.most != 0 && run.all_requests >= options.most))
		run.stop = true;
	run.ended_ns = now;
}

static void count_request(uint64_t start, uint64_t now)
{
	run.all_requests++;
	if (run.measuring && !run.stop) {
		if (run.requests == run.latency_room) {
			run.latency_room = run.latency_room * 2 + 65536;
			run.latencies =
				realloc(run.latencies, run.latency_room * sizeof(*run.latencies));
			if (run.latencies == NULL)
				die("memory");
		}
		run.latencies[run.requests++] =
			now - start < UINT32_MAX ? (uint32_t)(now - start) : UINT32_MAX;
	}
	look_at_clock(now);
}

static void count_bytes(size_t len)
{
	run.all_bytes += len;
	if (run.measuring)
		run.bytes += len;
}

/* ---- connections */

struct connection {
	int fd;
	size_t sent, received; /* bytes of the message under way */
	uint64_t start;        /* ns */
	uint64_t number;       /* the first bytes of the message */
	bool waits_for_room;
	bool asked; /* connect: the byte was sent */
};

static int epoll = -1;
static struct connection *connections;
static char *outgoing, *incoming;

static int new_socket(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return fd;
}

static int connected(void)
{
	int fd = new_socket(0);
	struct timeval most = {.tv_sec = CONNECT_MS / 1000};

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) < 0)
		die("connect");
	if (options.pace_us != 0)
		usleep((useconds_t)options.pace_us);
	return fd;
}

static void watch(struct connection *connection, uint32_t events, int operation)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};

	if (epoll_ctl(epoll, operation, connection->fd, &event) < 0)
		die("epoll_ctl");
}

static void begin_message(struct connection *connection)
{
	connection->sent = connection->received = 0;
	connection->number++;
	connection->start = clock_ns();
}

static void mark(const struct connection *connection)
{
	memcpy(outgoing, &connection->number,
		options.size < sizeof(uint64_t) ? options.size : sizeof(uint64_t));
}

static void check_mark(const struct connection *connection)
{
	if (memcmp(incoming, &connection->number,
		    options.size < sizeof(uint64_t) ? options.size : sizeof(uint64_t)) != 0) {
		fprintf(stderr, "load: another message came back than was sent\n");
		exit(1);
	}
}

/* ---- echo */

/* One connection: blocking calls, so that the client's own part is as short as it can be. */
static void echo_alone(int fd)
{
	struct connection connection = {.fd = fd};

	while (!run.stop) {
		begin_message(&connection);
		mark(&connection);
		if (send(fd, outgoing, options.size, MSG_NOSIGNAL) != (ssize_t)options.size)
			die("send");
		if (recv(fd, incoming, options.size, MSG_WAITALL) != (ssize_t)options.size)
			die("recv");
		check_mark(&connection);
		count_bytes(2 * options.size);
		count_request(connection.start, clock_ns());
	}
}

static void echo_send(struct connection *connection)
{
	if (connection->sent == 0)
		mark(connection);
	ssize_t n = send(connection->fd, outgoing + connection->sent,
		options.size - connection->sent, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		die("send");
	if (n > 0)
		connection->sent += (size_t)n;
	bool waits = connection->sent < options.size;
	if (waits != connection->waits_for_room)
		watch(connection, EPOLLIN | (waits ? EPOLLOUT : 0u), EPOLL_CTL_MOD);
	connection->waits_for_room = waits;
}

static void echo_receive(struct connection *connection)
{
	ssize_t n = recv(connection->fd, incoming, options.size - connection->received, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("recv");
	if (connection->received == 0 && (size_t)n >= sizeof(uint64_t))
		check_mark(connection);
	connection->received += (size_t)n;
	if (connection->received < options.size)
		return;
	count_bytes(2 * options.size);
	count_request(connection->start, clock_ns());
	begin_message(connection);
	echo_send(connection);
}

static void echo_event(struct connection *connection, uint32_t events)
{
	if (events & EPOLLOUT)
		echo_send(connection);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		echo_receive(connection);
}

/* ---- discard and chargen */

static void bulk_event(struct connection *connection, uint32_t events)
{
	ssize_t n = mode == MODE_DISCARD ? send(connection->fd, outgoing, PIECE, MSG_NOSIGNAL)
					 : recv(connection->fd, incoming, PIECE, 0);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die(mode == MODE_DISCARD ? "send" : "recv");
	count_bytes((size_t)n);
}

/* ---- connect */

/*
 * A port of an address is taken for a minute after its connection, and the kernel slows down
 * where half of them are: the connections come from several addresses of the loopback net.
 */
static void take_source(int fd)
{
	static unsigned next;
	struct sockaddr_in source = {.sin_family = AF_INET};

	if (ntohl(server.sin_addr.s_addr) >> 24 != 127)
		return;
	source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + next++ % SOURCES);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0)
		die("bind");
}

static void connect_again(struct connection *connection)
{
	begin_message(connection);
	connection->asked = false;
	connection->fd = new_socket(SOCK_NONBLOCK);
	take_source(connection->fd);
	if (connect(connection->fd, (struct sockaddr *)&server, sizeof(server)) < 0 &&
		errno != EINPROGRESS)
		die("connect");
	watch(connection, EPOLLOUT, EPOLL_CTL_ADD);
}

static void connect_failed(struct connection *connection)
{
	run.errors++;
	close(connection->fd);
	if (run.errors > 1000)
		die("too many connections failed");
	connect_again(connection);
}

static void connect_event(struct connection *connection, uint32_t events)
{
	char byte = 'x';

	(void)events;
	if (!connection->asked) {
		if (send(connection->fd, &byte, 1, MSG_NOSIGNAL) != 1) {
			connect_failed(connection);
			return;
		}
		connection->asked = true;
		watch(connection, EPOLLIN, EPOLL_CTL_MOD);
		return;
	}
	ssize_t n = recv(connection->fd, &byte, 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n != 1) {
		connect_failed(connection);
		return;
	}
	close(connection->fd);
	count_bytes(2);
	count_request(connection->start, clock_ns());
	if (!run.stop)
		connect_again(connection);
}

/* ---- the load */

static void open_one(struct connection *connection)
{
	if (mode == MODE_CONNECT) {
		connect_again(connection);
		return;
	}
	connection->fd = connected();
	/* Servers that speak first are a trouble to some relays; chargen ignores it. */
	if (mode == MODE_CHARGEN && send(connection->fd, "\n", 1, MSG_NOSIGNAL) != 1)
		die("send");
	if (fcntl(connection->fd, F_SETFL, O_NONBLOCK) < 0)
		die("O_NONBLOCK");
	watch(connection, mode == MODE_DISCARD ? EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD);
}

static void open_all(void)
{
	for (unsigned long i = 0; i < options.idle; i++)
		connected(); /* the end of this process closes it */
	connections = calloc(options.connections, sizeof(*connections));
	if (connections == NULL)
		die("memory");
	for (unsigned long i = 0; i < options.connections; i++) {
		connections[i].number = i << 40;
		if (mode != MODE_CONNECT)
			open_one(&connections[i]);
	}
}

static void start_all(void)
{
	for (unsigned long i = 0; i < options.connections; i++) {
		if (mode == MODE_CONNECT)
			open_one(&connections[i]);
		if (mode == MODE_ECHO) {
			begin_message(&connections[i]);
			echo_send(&connections[i]);
		}
	}
}

static void serve_events(void)
{
	static void (*const serve[])(struct connection *, uint32_t) = {
		echo_event, bulk_event, bulk_event, connect_event};
	struct epoll_event events[EVENTS];
	int count = epoll_wait(epoll, events, EVENTS, STILL_MS);

	if (count == 0) {
		fprintf(stderr, "load: nothing has moved for %d ms\n", STILL_MS);
		exit(1);
	}
	for (int i = 0; i < count; i++)
		serve[mode](events[i].data.ptr, events[i].events);
	look_at_clock(clock_ns());
}

static void run_load(void)
{
	bool alone = mode == MODE_ECHO && options.connections == 1;
	int fd = -1;

	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		die("epoll");
	if (alone) {
		options.connections = 0;
		open_all();
		options.connections = 1;
		fd = connected();
	} else {
		open_all();
	}
	run.warm_ns = clock_ns() + options.warm_ms * 1000000;
	run.stop_ns = run.warm_ns + options.run_ms * 1000000;
	if (alone) {
		echo_alone(fd);
		return;
	}
	start_all();
	while (!run.stop)
		serve_events();
}

/* ---- the result */

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static double percentile_us(double share)
{
	if (run.requests == 0)
		return 0;
	size_t index = (size_t)(share * (double)run.requests);
	return run.latencies[index < run.requests ? index : run.requests - 1] / 1000.0;
}

static void print_result(void)
{
	double seconds = (double)(run.ended_ns - run.begun_ns) / 1e9;

	if (!run.measuring || (run.requests == 0 && run.bytes == 0)) {
		fprintf(stderr, "load: nothing was measured\n");
		exit(1);
	}
	qsort(run.latencies, run.requests, sizeof(*run.latencies), compare);
	printf("{\"mode\": \"%s\", \"connections\": %lu, \"size\": %lu, \"idle\": %lu, "
	       "\"seconds\": %.6f, \"requests\": %llu, \"all_requests\": %llu, "
	       "\"bytes\": %llu, \"all_bytes\": %llu, \"errors\": %llu, "
	       "\"rate\": %.1f, \"gbps\": %.4f, "
	       "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f}\n",
		mode_names[mode], options.connections, options.size, options.idle, seconds,
		(unsigned long long)run.requests, (unsigned long long)run.all_requests,
		(unsigned long long)run.bytes, (unsigned long long)run.all_bytes,
		(unsigned long long)run.errors, (double)run.requests / seconds,
		(double)run.bytes / seconds / 1e9, percentile_us(0.5), percentile_us(0.99),
		percentile_us(0.999), percentile_us(1));
}

/* ---- the command line */

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: load echo|discard|chargen|connect ADDR:PORT [--option VALUE]...\n");
	for (size_t i = 0; i < OPTION_COUNT; i++)
		fprintf(stderr, "  %-14s %s (%lu)\n", option_rows[i].name, option_rows[i].meaning,
			*option_rows[i].value);
	exit(2);
}

static void parse_option(const char *name, const char *value)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (value != NULL && strcmp(name, option_rows[i].name) == 0) {
			char *end;

			*option_rows[i].value = strtoul(value, &end, 10);
			if (end == value || *end != '\0')
				usage();
			return;
		}
	usage();
}

static void parse(int argc, char **argv)
{
	char *colon = argc >= 3 ? strchr(argv[2], ':') : NULL;

	if (colon == NULL)
		usage();
	while (strcmp(mode_names[mode], argv[1]) != 0)
		if (++mode == MODE_COUNT)
			usage();
	*colon = '\0';
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1)
		usage();
	for (int i = 3; i < argc; i += 2)
		parse_option(argv[i], argv[i + 1]);
	if (options.connections == 0 || options.size == 0)
		usage();
}

static void raise_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	raise_limit();
	outgoing = malloc(options.size > PIECE ? options.size : PIECE);
	incoming = malloc(options.size > PIECE ? options.size : PIECE);
	if (outgoing == NULL || incoming == NULL)
		die("memory");
	memset(outgoing, 'x', options.size > PIECE ? options.size : PIECE);
	run_load();
	print_result();
	return 0;
}
