/* The end of io, of both backends: what was handed over to be closed is closed then. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/io_one.h"

#define MOST 300

static void expect_closed(int fd)
{
	expect_equal(fcntl(fd, F_GETFD), -1);
	expect_equal(errno, EBADF);
}

static void close_without_a_turn(int backend, unsigned count)
{
	int fds[MOST];

	begin(backend);
	for (unsigned i = 0; i < count; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		expect(fds[i] >= 0);
	}
	for (unsigned i = 0; i < count; i++)
		io_close_socket(io, fds[i]);
	end();
	for (unsigned i = 0; i < count; i++)
		expect_closed(fds[i]);
}

START_TEST(sockets_are_closed_without_a_turn)
{
	close_without_a_turn(_i, 1);
	close_without_a_turn(_i, MOST);
}
END_TEST

START_TEST(files_are_closed_without_a_turn)
{
	begin(_i);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	expect(fd >= 0);
	io_close_file(io, fd);
	end();
	expect_closed(fd);
}
END_TEST

static const TTest *const *const tests[] = {
	&sockets_are_closed_without_a_turn,
	&files_are_closed_without_a_turn,
};

int main(void)
{
	return io_suite_run("io_end", tests, sizeof(tests) / sizeof(tests[0]));
}
