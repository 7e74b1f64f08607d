/* io_poll, of both backends: waiting for a descriptor that somebody else reads and writes. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/io_one.h"

/* Two connected UDP sockets: what one sends the other receives. */
static void make_datagram_pair(int fds[2])
{
	struct sockaddr_in address[2];
	socklen_t len = sizeof(address[0]);

	for (int i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		address[i] = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		expect_equal(bind(fds[i], (struct sockaddr *)&address[i], len), 0);
		expect_equal(getsockname(fds[i], (struct sockaddr *)&address[i], &len), 0);
	}
	for (int i = 0; i < 2; i++)
		expect_equal(connect(fds[i], (struct sockaddr *)&address[1 - i], len), 0);
}

static void end_pair(int fds[2])
{
	io_close_socket(io, fds[0]);
	settle();
	close(fds[1]);
	end();
}

/* Also when nobody waited as it came, and again as long as nobody takes it. */
START_TEST(what_is_there_and_what_comes)
{
	int fds[2];
	char byte;
	struct one one;

	begin(_i);
	make_datagram_pair(fds);
	for (int i = 0; i < 3; i++) {
		START(io_poll(io, op_of(&one), fds[0], POLLIN));
		settle();
		expect_equal(one.times, 0);
		expect_equal(send(fds[1], "x", 1, 0), 1);
		expect_equal(finish(&one), POLLIN);
		START(io_poll(io, op_of(&one), fds[0], POLLIN));
		expect_equal(finish(&one), POLLIN);
		expect_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), 1);
		/* It comes and goes meanwhile. */
		expect_equal(send(fds[1], "y", 1, 0), 1);
		settle();
		expect_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), 1);
	}
	end_pair(fds);
}
END_TEST

START_TEST(room_is_there_and_comes)
{
	int fds[2];
	static char bytes[65536];
	struct one in, out;

	begin(_i);
	expect_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	START(io_poll(io, op_of(&out), fds[0], POLLOUT));
	expect_equal(finish(&out), POLLOUT);
	while (send(fds[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	/* Both ways at once. */
	START(io_poll(io, op_of(&out), fds[0], POLLOUT));
	START(io_poll(io, op_of(&in), fds[0], POLLIN));
	settle();
	expect_equal(out.times, 0);
	expect_equal(send(fds[1], "x", 1, 0), 1);
	expect_equal(finish(&in), POLLIN);
	expect_equal(out.times, 0);
	while (recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	expect_equal(finish(&out), POLLOUT);
	end_pair(fds);
}
END_TEST

/* Nobody is there: an ICMP error, which the next call on the socket takes. */
START_TEST(errors_are_told_unasked)
{
	int fds[2];
	char byte;
	struct one one;

	begin(_i);
	make_datagram_pair(fds);
	START(io_poll(io, op_of(&one), fds[0], POLLIN));
	settle();
	expect_equal(one.times, 0);
	close(fds[1]);
	expect_equal(send(fds[0], "x", 1, 0), 1);
	expect(finish(&one) & POLLERR);
	expect_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1);
	expect_equal(errno, ECONNREFUSED);
	START(io_poll(io, op_of(&one), fds[0], POLLIN));
	settle();
	expect_equal(one.times, 0);
	io_cancel(io, &one.timer.op);
	expect_equal(finish(&one), -ECANCELED);
	io_close_socket(io, fds[0]);
	settle();
	end();
}
END_TEST

START_TEST(hang_ups_are_told_unasked)
{
	int fds[2];
	struct one one;

	begin(_i);
	expect_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	START(io_poll(io, op_of(&one), fds[0], POLLIN));
	settle();
	expect_equal(one.times, 0);
	close(fds[1]);
	expect(finish(&one) & POLLHUP);
	io_close_socket(io, fds[0]);
	settle();
	end();
}
END_TEST

START_TEST(cancelled)
{
	int fds[2];
	char byte;
	struct one one, other;

	begin(_i);
	make_datagram_pair(fds);
	/* Before a turn, in the kernel, and all at once. */
	START(io_poll(io, op_of(&one), fds[0], POLLIN));
	io_cancel(io, &one.timer.op);
	expect_equal(finish(&one), -ECANCELED);
	START(io_poll(io, op_of(&one), fds[0], POLLIN));
	settle();
	io_cancel(io, &one.timer.op);
	expect_equal(finish(&one), -ECANCELED);
	START(io_poll(io, op_of(&one), fds[0], POLLIN));
	START(io_poll(io, op_of(&other), fds[1], POLLIN));
	settle();
	io_cancel_all(io);
	expect_equal(finish(&one), -ECANCELED);
	expect_equal(finish(&other), -ECANCELED);
	/* And started anew. */
	START(io_poll(io, op_of(&one), fds[0], POLLIN));
	expect_equal(send(fds[1], "x", 1, 0), 1);
	expect_equal(finish(&one), POLLIN);
	expect_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), 1);
	io_forget(io, fds[1]);
	end_pair(fds);
}
END_TEST

/* The next descriptor of that number is another. */
START_TEST(numbers_are_reused)
{
	int first[2], second[2];
	struct one one;

	begin(_i);
	make_datagram_pair(first);
	START(io_poll(io, op_of(&one), first[0], POLLIN));
	expect_equal(send(first[1], "x", 1, 0), 1);
	expect_equal(finish(&one), POLLIN);
	io_close_socket(io, first[0]);
	settle();
	make_datagram_pair(second);
	expect_equal(second[0], first[0]);
	START(io_poll(io, op_of(&one), second[0], POLLIN));
	settle();
	expect_equal(one.times, 0);
	expect_equal(send(second[1], "x", 1, 0), 1);
	expect_equal(finish(&one), POLLIN);
	close(first[1]);
	end_pair(second);
}
END_TEST

static const TTest *const *const tests[] = {
	&what_is_there_and_what_comes,
	&room_is_there_and_comes,
	&errors_are_told_unasked,
	&hang_ups_are_told_unasked,
	&cancelled,
	&numbers_are_reused,
};

int main(void)
{
	return io_suite_run("io_poll", tests, sizeof(tests) / sizeof(tests[0]));
}
