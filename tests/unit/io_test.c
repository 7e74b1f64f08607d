/* What io.h promises, of both backends. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/io_one.h"

#define BIG_LEN (4u << 20) /* more than a socket takes */

static void make_pair(int fds[2])
{
	expect_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static int make_listener(struct sockaddr_in *ret_address)
{
	socklen_t len = sizeof(*ret_address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_address = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	expect_equal(bind(fd, (struct sockaddr *)ret_address, len), 0);
	expect_equal(listen(fd, 64), 0);
	expect_equal(getsockname(fd, (struct sockaddr *)ret_address, &len), 0);
	return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
	return fd;
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- sockets */

START_TEST(bytes_that_are_there_and_bytes_that_come)
{
	int fds[2];
	char bytes[8];
	struct one one;

	begin(_i);
	make_pair(fds);
	expect_equal(write(fds[1], "abc", 3), 3);
	START(io_recv(io, op_of(&one), fds[0], bytes, sizeof(bytes)));
	expect_equal(finish(&one), 3);
	/* Less than was asked for, more than was asked for, none. */
	for (int i = 0; i < 3; i++) {
		START(io_recv(io, op_of(&one), fds[0], bytes, sizeof(bytes)));
		settle();
		expect_equal(one.times, 0);
		expect_equal(write(fds[1], "0123456789", 10), 10);
		expect_equal(finish(&one), 8);
		START(io_recv(io, op_of(&one), fds[0], bytes, sizeof(bytes)));
		expect_equal(finish(&one), 2);
		expect(memcmp(bytes, "89", 2) == 0);
	}
	/* Nobody receives when they come. */
	expect_equal(write(fds[1], "x", 1), 1);
	settle();
	START(io_recv(io, op_of(&one), fds[0], bytes, sizeof(bytes)));
	expect_equal(finish(&one), 1);
	/* Bytes and the end at once: neither is lost. */
	expect_equal(write(fds[1], "yz", 2), 2);
	close(fds[1]);
	START(io_recv(io, op_of(&one), fds[0], bytes, sizeof(bytes)));
	expect_equal(finish(&one), 2);
	START(io_recv(io, op_of(&one), fds[0], bytes, sizeof(bytes)));
	expect_equal(finish(&one), 0);
	io_close_socket(io, fds[0]);
	settle();
	end();
}
END_TEST

/* What waits is told of an end that comes behind bytes which it was not told of. */
START_TEST(reset_behind_bytes)
{
	struct linger now = {.l_onoff = 1};
	struct sockaddr_in address;
	char bytes[8];
	struct one one;

	begin(_i);
	int listener = make_listener(&address);
	int client = connect_to(&address), server = accept(listener, NULL, NULL);
	START(io_recv(io, op_of(&one), server, bytes, sizeof(bytes)));
	settle();
	expect_equal(write(client, "abc", 3), 3);
	expect_equal(finish(&one), 3);
	START(io_recv(io, op_of(&one), server, bytes, sizeof(bytes)));
	settle();
	expect_equal(one.times, 0);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(client);
	expect_equal(finish(&one), -ECONNRESET);
	START(io_send(io, op_of(&one), server, bytes, 1));
	expect_equal(finish(&one), -EPIPE);
	io_close_socket(io, server);
	close(listener);
	settle();
	end();
}
END_TEST

struct reader {
	int fd;
	uint64_t count;
};

static void *read_all(void *argument)
{
	struct reader *reader = argument;
	static char bytes[65536];
	ssize_t n;

	while ((n = read(reader->fd, bytes, sizeof(bytes))) > 0)
		reader->count += (uint64_t)n;
	return NULL;
}

START_TEST(sends_more_than_fits)
{
	int fds[2];
	struct one one;
	pthread_t thread;
	char *bytes = calloc(1, BIG_LEN);
	uint64_t sent = 0;

	begin(_i);
	make_pair(fds);
	struct reader reader = {.fd = fds[1]};
	while (true) {
		START(io_send(io, op_of(&one), fds[0], bytes, BIG_LEN));
		settle();
		if (one.times == 0)
			break;
		expect(one.result > 0);
		sent += (uint64_t)one.result;
	}
	pthread_create(&thread, NULL, read_all, &reader);
	sent += (uint64_t)finish(&one);
	while (sent < 3 * BIG_LEN) {
		START(io_send(io, op_of(&one), fds[0], bytes, BIG_LEN));
		expect(finish(&one) > 0);
		sent += (uint64_t)one.result;
	}
	io_close_socket(io, fds[0]);
	settle();
	pthread_join(thread, NULL);
	expect_equal(reader.count, sent);
	close(fds[1]);
	free(bytes);
	end();
}
END_TEST

START_TEST(both_directions_of_one_socket)
{
	int fds[2];
	char byte;
	struct one in, out;
	char *bytes = calloc(1, BIG_LEN);

	begin(_i);
	make_pair(fds);
	START(io_recv(io, op_of(&in), fds[0], &byte, 1));
	do {
		START(io_send(io, op_of(&out), fds[0], bytes, BIG_LEN));
		settle();
	} while (out.times != 0);
	expect_equal(in.times, 0);
	expect_equal(write(fds[1], "x", 1), 1);
	expect_equal(finish(&in), 1);
	expect_equal(out.times, 0);
	/* Its end ends both. */
	START(io_recv(io, op_of(&in), fds[0], &byte, 1));
	settle();
	close(fds[1]);
	expect(finish(&out) < 0);
	expect(finish(&in) <= 0);
	io_close_socket(io, fds[0]);
	settle();
	free(bytes);
	end();
}
END_TEST

START_TEST(discards)
{
	struct sockaddr_in address;
	struct one one;

	begin(_i);
	int listener = make_listener(&address);
	int client = connect_to(&address), server = accept(listener, NULL, NULL);
	START(io_discard(io, op_of(&one), server, 4096));
	settle();
	expect_equal(write(client, "abcdef", 6), 6);
	expect_equal(finish(&one), 6);
	close(client);
	START(io_discard(io, op_of(&one), server, 4096));
	expect_equal(finish(&one), 0);
	io_close_socket(io, server);
	close(listener);
	settle();
	end();
}
END_TEST

START_TEST(many_accepts_on_one_listener)
{
	struct sockaddr_in address;
	struct sockaddr_storage peer[4];
	socklen_t peer_len[4];
	struct one one[4];
	int client[4];

	begin(_i);
	int listener = make_listener(&address);
	for (int i = 0; i < 4; i++) {
		peer_len[i] = sizeof(peer[i]);
		START(io_accept(
			io, op_of(&one[i]), listener, (struct sockaddr *)&peer[i], &peer_len[i]));
	}
	settle();
	io_cancel(io, &one[1].timer.op);
	expect_equal(finish(&one[1]), -ECANCELED);
	for (int i = 0; i < 3; i++)
		client[i] = connect_to(&address);
	for (int i = 0; i < 4; i++) {
		if (i == 1)
			continue;
		expect(finish(&one[i]) >= 0);
		expect_equal(fcntl(one[i].result, F_GETFD), FD_CLOEXEC);
		expect_equal(fcntl(one[i].result, F_GETFL) & O_NONBLOCK, 0);
		expect_equal(peer[i].ss_family, AF_INET);
		io_close_socket(io, one[i].result);
	}
	/* One that comes when nobody accepts waits for the next. */
	client[3] = connect_to(&address);
	settle();
	peer_len[0] = sizeof(peer[0]);
	START(io_accept(io, op_of(&one[0]), listener, (struct sockaddr *)&peer[0], &peer_len[0]));
	expect(finish(&one[0]) >= 0);
	io_close_socket(io, one[0].result);
	io_forget(io, listener);
	close(listener);
	for (int i = 0; i < 4; i++)
		close(client[i]);
	settle();
	end();
}
END_TEST

START_TEST(connects)
{
	struct sockaddr_in address;
	struct one one;
	char byte;

	begin(_i);
	int listener = make_listener(&address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	START(io_connect(io, op_of(&one), fd, (const struct sockaddr *)&address, sizeof(address)));
	expect_equal(finish(&one), 0);
	int server = accept(listener, NULL, NULL);
	expect_equal(write(server, "x", 1), 1);
	START(io_recv(io, op_of(&one), fd, &byte, 1));
	expect_equal(finish(&one), 1);
	io_close_socket(io, fd);
	close(server);
	close(listener);
	settle();
	/* And with the number of one that was closed: nobody listens there any more. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	START(io_connect(io, op_of(&one), fd, (const struct sockaddr *)&address, sizeof(address)));
	expect_equal(finish(&one), -ECONNREFUSED);
	io_forget(io, fd);
	close(fd);
	end();
}
END_TEST

/* A backlog that is full keeps a connection waiting until it is cancelled. */
START_TEST(connecting_is_cancelled)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	struct one one[8];
	int fd[8];

	begin(_i);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	expect_equal(listen(listener, 0), 0);
	expect_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	for (int i = 0; i < 8; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		START(io_connect(io, op_of(&one[i]), fd[i], (struct sockaddr *)&address, len));
	}
	settle();
	expect_equal(one[7].times, 0);
	io_cancel_all(io);
	for (int i = 0; i < 8; i++) {
		finish(&one[i]);
		expect(one[i].result == 0 || one[i].result == -ECANCELED);
		io_close_socket(io, fd[i]);
	}
	settle();
	close(listener);
	end();
}
END_TEST

/* A descriptor's number comes again, with something else behind it. */
START_TEST(numbers_are_reused)
{
	int fds[2];
	char byte;
	struct one one;

	begin(_i);
	for (int i = 0; i < 50; i++) {
		make_pair(fds);
		START(io_recv(io, op_of(&one), fds[0], &byte, 1));
		settle();
		expect_equal(one.times, 0);
		if (i % 2 == 0) {
			expect_equal(write(fds[1], "x", 1), 1);
			expect_equal(finish(&one), 1);
		} else {
			io_cancel(io, &one.timer.op);
			expect_equal(finish(&one), -ECANCELED);
		}
		if (i % 3 == 0)
			close(fds[1]);
		io_close_socket(io, fds[0]);
		settle();
		if (i % 3 != 0)
			close(fds[1]);
	}
	end();
}
END_TEST

/* ---- cancelling */

START_TEST(cancelled_before_a_turn)
{
	int fds[2];
	char byte;
	struct one one, timer;

	begin(_i);
	make_pair(fds);
	START(io_recv(io, op_of(&one), fds[0], &byte, 1));
	START((op_of(&timer), io_timeout(io, &timer.timer, 1000000000u)));
	one_starting = true;
	io_cancel(io, &one.timer.op);
	io_cancel(io, &timer.timer.op);
	one_starting = false;
	expect_equal(finish(&one), -ECANCELED);
	expect_equal(finish(&timer), -ECANCELED);
	io_close_socket(io, fds[0]);
	close(fds[1]);
	settle();
	end();
}
END_TEST

START_TEST(cancelled_all_at_once)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);
	struct one waiting[3], timer, wake;
	uint64_t value;
	int fds[2];
	char bytes[2];

	begin(_i);
	make_pair(fds);
	int listener = make_listener(&address), event = eventfd(0, EFD_CLOEXEC);
	START(io_recv(io, op_of(&waiting[0]), fds[0], &bytes[0], 1));
	START(io_recv(io, op_of(&waiting[1]), fds[1], &bytes[1], 1));
	START(io_accept(io, op_of(&waiting[2]), listener, (struct sockaddr *)&address, &len));
	START((op_of(&timer), io_timeout(io, &timer.timer, 1000000000u)));
	START(io_wake(io, op_of(&wake), event, &value));
	settle();
	expect_equal(io_in_flight(io), 5);
	io_cancel_all(io);
	for (int i = 0; i < 3; i++)
		expect_equal(finish(&waiting[i]), -ECANCELED);
	expect_equal(finish(&timer), -ECANCELED);
	expect_equal(finish(&wake), -ECANCELED);
	io_close_socket(io, fds[0]);
	io_close_socket(io, fds[1]);
	io_close_socket(io, listener);
	settle();
	io_forget(io, event);
	close(event);
	end();
}
END_TEST

/* ---- time */

START_TEST(time_is_never_short)
{
	struct one one;

	begin(_i);
	for (int i = 0; i < 10; i++) {
		uint64_t ns = 500000u + (uint64_t)i * 700000u, before = now_ns();
		START((op_of(&one), io_timeout(io, &one.timer, ns)));
		expect_equal(finish(&one), -ETIME);
		uint64_t took = now_ns() - before;
		expect(took >= ns);
		expect(took < ns + 500000000u);
	}
	end();
}
END_TEST

START_TEST(timers_in_their_order)
{
	struct one one[3];
	static const uint64_t ns[3] = {30000000, 1000000, 15000000};

	begin(_i);
	for (int i = 0; i < 3; i++)
		START((op_of(&one[i]), io_timeout(io, &one[i].timer, ns[i])));
	expect_equal(finish(&one[1]), -ETIME);
	expect_equal(one[2].times, 0);
	expect_equal(finish(&one[2]), -ETIME);
	expect_equal(one[0].times, 0);
	expect_equal(finish(&one[0]), -ETIME);
	end();
}
END_TEST

/* ---- eventfds */

static void *write_later(void *argument)
{
	usleep(20000);
	eventfd_write(*(const int *)argument, 1);
	return NULL;
}

START_TEST(every_wake_is_told)
{
	struct one one;
	uint64_t value;
	pthread_t thread;

	begin(_i);
	int fd = eventfd(0, EFD_CLOEXEC);
	/* Before anybody waits. */
	eventfd_write(fd, 1);
	START(io_wake(io, op_of(&one), fd, &value));
	expect(finish(&one) >= 0);
	for (int i = 0; i < 10; i++) {
		START(io_wake(io, op_of(&one), fd, &value));
		settle();
		expect_equal(one.times, 0);
		eventfd_write(fd, 1);
		expect(finish(&one) >= 0);
		/* Between two waits. */
		eventfd_write(fd, 1);
		eventfd_write(fd, 1);
		settle();
		START(io_wake(io, op_of(&one), fd, &value));
		expect(finish(&one) >= 0);
	}
	START(io_wake(io, op_of(&one), fd, &value));
	pthread_create(&thread, NULL, write_later, &fd);
	expect(finish(&one) >= 0);
	pthread_join(thread, NULL);
	io_forget(io, fd);
	close(fd);
	end();
}
END_TEST

/* ---- files */

static int make_file(int flags)
{
	char path[] = "/tmp/ferrule-io-XXXXXX";
	int made = mkstemp(path);
	int fd = open(path, flags | O_CLOEXEC);

	expect(made >= 0 && fd >= 0);
	unlink(path);
	close(made);
	return fd;
}

START_TEST(files_are_written_and_read)
{
	char bytes[16] = "";
	struct one one, other;

	begin(_i);
	int fd = make_file(O_RDWR);
	START(io_write(io, op_of(&one), fd, "0123456789", 10, 0));
	expect_equal(finish(&one), 10);
	START(io_write(io, op_of(&one), fd, "abc", 3, 4));
	expect_equal(finish(&one), 3);
	START(io_sync(io, op_of(&one), fd, true));
	START(io_sync(io, op_of(&other), fd, false));
	expect_equal(finish(&one), 0);
	expect_equal(finish(&other), 0);
	START(io_read(io, op_of(&one), fd, bytes, sizeof(bytes), 2));
	expect_equal(finish(&one), 8);
	expect(memcmp(bytes, "23abc789", 8) == 0);
	START(io_read(io, op_of(&one), fd, bytes, sizeof(bytes), 10));
	expect_equal(finish(&one), 0);
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

/* /proc cannot read without waiting, RWF_NOWAIT that is. */
START_TEST(files_that_may_block)
{
	static const char wanted[] = "Linux version";
	char bytes[64];
	struct one one[10];

	begin(_i);
	int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 10; i++)
		START(io_read(io, op_of(&one[i]), fd, bytes, sizeof(bytes), 0));
	for (int i = 0; i < 10; i++)
		expect_equal(finish(&one[i]), sizeof(bytes));
	expect(memcmp(bytes, wanted, sizeof(wanted) - 1) == 0);
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

/* What ends where memory ends is not the end of the file. */
START_TEST(files_are_partly_in_memory)
{
	enum { LEN = 8 << 20, KEPT = 4 << 20 };
	static char bytes[LEN];
	struct one one;

	begin(_i);
	int fd = make_file(O_RDWR);
	START(io_write(io, op_of(&one), fd, bytes, LEN, 0));
	expect_equal(finish(&one), LEN);
	START(io_sync(io, op_of(&one), fd, false));
	expect_equal(finish(&one), 0);
	expect_equal(posix_fadvise(fd, KEPT, LEN - KEPT, POSIX_FADV_DONTNEED), 0);
	START(io_read(io, op_of(&one), fd, bytes, LEN, 0));
	expect_equal(finish(&one), LEN);
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

/* However many are closed at once, and whatever is under way. */
START_TEST(appends_where_the_end_is)
{
	char bytes[8];
	struct one one;

	begin(_i);
	int fd = make_file(O_RDWR | O_APPEND);
	for (int i = 0; i < 3; i++) {
		START(io_write(io, op_of(&one), fd, "ab", 2, UINT64_MAX));
		expect_equal(finish(&one), 2);
	}
	START(io_read(io, op_of(&one), fd, bytes, sizeof(bytes), 0));
	expect_equal(finish(&one), 6);
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

START_TEST(files_tell_errors)
{
	char bytes[8];
	struct one one;

	begin(_i);
	int fd = make_file(O_RDONLY);
	START(io_write(io, op_of(&one), fd, "ab", 2, 0));
	expect_equal(finish(&one), -EBADF);
	START(io_write(io, op_of(&one), fd, "", 0, 0));
	expect_equal(finish(&one), -EBADF);
	io_close_file(io, fd);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	START(io_read(io, op_of(&one), fd, bytes, sizeof(bytes), 0));
	expect_equal(finish(&one), -EISDIR);
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

/* A file's operation that runs has its own result, or none of it was done. */
START_TEST(files_may_be_cancelled)
{
	struct one one;

	begin(_i);
	int fd = make_file(O_RDWR);
	for (int i = 0; i < 20; i++) {
		START(io_sync(io, op_of(&one), fd, false));
		if (i % 2 == 0)
			settle();
		io_cancel(io, &one.timer.op);
		finish(&one);
		expect(one.result == 0 || one.result == -ECANCELED || one.result == -EINTR);
	}
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

/* The op may be used again, and its object freed, by done(). */
struct chain {
	struct io_op op;
	int fd;
	char byte;
	unsigned left;
};

static void chain_done(struct io_op *op, int result)
{
	struct chain *chain = io_container(op, struct chain, op);

	expect_equal(result, 1);
	if (--chain->left != 0)
		io_recv(io, op, chain->fd, &chain->byte, 1);
	else
		free(chain);
}

START_TEST(done_may_start_again)
{
	int fds[2];
	char bytes[100] = "";
	struct chain *chain = calloc(1, sizeof(*chain));

	begin(_i);
	make_pair(fds);
	*chain = (struct chain){{chain_done}, .fd = fds[0], .left = sizeof(bytes)};
	expect_equal(write(fds[1], bytes, sizeof(bytes)), sizeof(bytes));
	io_recv(io, &chain->op, fds[0], &chain->byte, 1);
	while (io_in_flight(io) != 0)
		io_turn(io, true);
	io_close_socket(io, fds[0]);
	settle();
	close(fds[1]);
	end();
}
END_TEST

static const TTest *const *const tests[] = {
	&bytes_that_are_there_and_bytes_that_come,
	&reset_behind_bytes,
	&sends_more_than_fits,
	&both_directions_of_one_socket,
	&discards,
	&many_accepts_on_one_listener,
	&connects,
	&connecting_is_cancelled,
	&numbers_are_reused,
	&cancelled_before_a_turn,
	&cancelled_all_at_once,
	&time_is_never_short,
	&timers_in_their_order,
	&every_wake_is_told,
	&files_are_written_and_read,
	&files_that_may_block,
	&files_are_partly_in_memory,
	&appends_where_the_end_is,
	&files_tell_errors,
	&files_may_be_cancelled,
	&done_may_start_again,
};

int main(void)
{
	return io_suite_run("io", tests, sizeof(tests) / sizeof(tests[0]));
}
