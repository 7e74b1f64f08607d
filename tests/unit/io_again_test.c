/*
 * Operations that are started again as they are, with what a backend has learnt in them (io.h):
 * io_uring waits first when it takes a try to be in vain, and must not wait for what is there.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/io.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define FLOW_LEN  (8u << 20) /* bytes */
#define FLOW_MOST 20000u     /* bytes of one write or receive */

static uint64_t seed;
static struct io *io;
static int listener, client, server;
static struct sockaddr_in address;

static struct again {
	struct io_op op;
	int result;
	unsigned times; /* that it was completed */
} again;

static void again_done(struct io_op *op, int result)
{
	(void)op;
	again.result = result;
	again.times++;
}

static int finish(void)
{
	while (again.times == 0)
		io_turn(io, true);
	expect_equal(again.times, 1);
	again.times = 0;
	return again.result;
}

/* Whatever can complete without anybody's doing has then. */
static void settle(void)
{
	for (int i = 0; i < 20; i++)
		if (io_unsubmitted(io) || io_ready(io))
			io_turn(io, false);
}

static int connect_client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void begin(int backend)
{
	socklen_t len = sizeof(address);

	expect_equal(io_create(&io, (enum io_choice)backend), 0);
	again = (struct again){.op = {again_done}};
	address = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	expect_equal(listen(listener, 64), 0);
	expect_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
}

static void begin_pair(int backend)
{
	begin(backend);
	client = connect_client();
	server = accept(listener, NULL, NULL);
	expect(server >= 0);
}

static void end(void)
{
	io_forget(io, listener);
	close(listener);
	expect_equal(io_in_flight(io), 0);
	io_destroy(io);
}

static void end_pair(void)
{
	io_close_socket(io, server);
	settle();
	end();
}

static unsigned char bytes[FLOW_MOST];

static void start(size_t len)
{
	io_recv(io, &again.op, server, bytes, len);
}

/* Leaves the operation with the knowledge that nothing was left. */
static void empty(void)
{
	expect_equal(write(client, "abc", 3), 3);
	start(8);
	expect_equal(finish(), 3);
}

START_TEST(bytes_come_before_and_behind_the_next_receive)
{
	begin_pair(_i);
	for (int i = 0; i < 100; i++) {
		empty();
		start(8);
		settle();
		expect_equal(again.times, 0);
		expect_equal(write(client, "0123456789", 10), 10);
		expect_equal(finish(), 8);
		start(8);
		expect_equal(finish(), 2);
		expect(memcmp(bytes, "89", 2) == 0);
	}
	close(client);
	start(8);
	expect_equal(finish(), 0);
	end_pair();
}
END_TEST

START_TEST(an_end_comes_before_the_next_receive)
{
	begin_pair(_i);
	empty();
	shutdown(client, SHUT_WR);
	start(8);
	expect_equal(finish(), 0);
	/* And stays. */
	start(8);
	expect_equal(finish(), 0);
	close(client);
	end_pair();
}
END_TEST

START_TEST(an_end_comes_behind_the_next_receive)
{
	begin_pair(_i);
	empty();
	start(8);
	settle();
	shutdown(client, SHUT_WR);
	expect_equal(finish(), 0);
	close(client);
	end_pair();
}
END_TEST

START_TEST(a_reset_comes_before_the_next_receive)
{
	struct linger now = {.l_onoff = 1};

	begin_pair(_i);
	empty();
	setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client);
	start(8);
	expect_equal(finish(), -ECONNRESET);
	end_pair();
}
END_TEST

START_TEST(the_next_receive_is_cancelled)
{
	begin_pair(_i);
	empty();
	start(8);
	settle();
	io_cancel(io, &again.op);
	expect_equal(finish(), -ECANCELED);
	/* Submitted together. */
	empty();
	start(8);
	io_cancel(io, &again.op);
	expect_equal(finish(), -ECANCELED);
	/* Nothing was taken by those. */
	empty();
	close(client);
	end_pair();
}
END_TEST

/* The relay discards with the operation that it received with. */
START_TEST(discards_behind_a_receive)
{
	begin_pair(_i);
	empty();
	expect_equal(write(client, "0123456789", 10), 10);
	io_discard(io, &again.op, server, 1000);
	expect_equal(finish(), 10);
	empty();
	close(client);
	end_pair();
}
END_TEST

static void *write_flow(void *argument)
{
	struct random random = {seed};
	static unsigned char out[FLOW_MOST];

	(void)argument;
	for (uint64_t sent = 0; sent < FLOW_LEN;) {
		size_t len = random_len(&random, FLOW_MOST);
		pattern_fill(1, sent, out, len);
		if (write(client, out, len) != (ssize_t)len)
			break;
		sent += len;
	}
	close(client);
	return NULL;
}

START_TEST(a_flow_of_pieces_of_every_size)
{
	struct random random = {seed + 1};
	pthread_t thread;
	uint64_t received = 0;

	begin_pair(_i);
	pthread_create(&thread, NULL, write_flow, NULL);
	while (true) {
		start(random_len(&random, FLOW_MOST));
		int len = finish();
		expect(len >= 0);
		if (len == 0)
			break;
		expect_equal(pattern_match(1, received, bytes, (size_t)len), len);
		received += (uint64_t)len;
	}
	expect(received >= FLOW_LEN);
	pthread_join(thread, NULL);
	end_pair();
}
END_TEST

/* By one operation: some are there before it, some come when it waits. */
START_TEST(connections_come_before_and_behind_the_next_accept)
{
	struct sockaddr_storage peer;
	socklen_t len;
	int clients[4];

	begin(_i);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 3; i++)
			clients[i] = connect_client();
		for (int i = 0; i < 4; i++) {
			len = sizeof(peer);
			io_accept(io, &again.op, listener, (struct sockaddr *)&peer, &len);
			if (i == 3) {
				settle();
				expect_equal(again.times, 0);
				clients[i] = connect_client();
			}
			expect(finish() >= 0);
			expect_equal(len, sizeof(struct sockaddr_in));
			io_close_socket(io, again.result);
			close(clients[i]);
		}
	}
	settle();
	end();
}
END_TEST

static const TTest *const *const tests[] = {
	&bytes_come_before_and_behind_the_next_receive,
	&an_end_comes_before_the_next_receive,
	&an_end_comes_behind_the_next_receive,
	&a_reset_comes_before_the_next_receive,
	&the_next_receive_is_cancelled,
	&discards_behind_a_receive,
	&a_flow_of_pieces_of_every_size,
	&connections_come_before_and_behind_the_next_accept,
};

/* Where io_uring is refused, its half of the tests has nothing to say. */
static int first_backend(void)
{
	if (io_create(&io, IO_URING) < 0) {
		printf("io_uring is refused here: libevent alone\n");
		return IO_EVENT;
	}
	io_destroy(io);
	return IO_URING;
}

int main(void)
{
	Suite *suite = suite_create("io_again");
	TCase *tcase = tcase_create("backend");
	int first = first_backend();

	seed = random_seed();
	tcase_set_timeout(tcase, 30);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(tcase, *tests[i], first, IO_EVENT + 1);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
