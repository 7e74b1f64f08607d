/* How files are closed: by threads, which may hang. Of both backends. */
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "monitor/io_close.h"
#include "tests/lib/io_one.h"

static int make_file(int flags)
{
	char path[] = "/tmp/ferrule-io-XXXXXX";
	int made = mkstemp(path);
	int fd = open(path, flags | O_CLOEXEC);

	expect(made >= 0 && fd >= 0);
	unlink(path);
	syscall(SYS_close, made);
	return fd;
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void pass(unsigned ms)
{
	struct one one;

	for (unsigned i = 0; i < ms; i++) {
		START((op_of(&one), io_timeout(io, &one.timer, 1000000u)));
		finish(&one);
	}
}

static unsigned left_of(const int *fd, unsigned count)
{
	unsigned left = 0;

	for (unsigned i = 0; i < count; i++)
		left += fcntl(fd[i], F_GETFD) >= 0;
	return left;
}

static void expect_closed(const int *fd, unsigned count)
{
	for (unsigned i = 0; i < 2000 && left_of(fd, count) > 0; i++)
		pass(1);
	expect_equal(left_of(fd, count), 0);
}

START_TEST(files_are_closed)
{
	int fd[100];

	begin(_i);
	for (int i = 0; i < 100; i++)
		fd[i] = make_file(O_RDWR);
	for (int i = 0; i < 100; i++) {
		io_close_file(io, fd[i]);
		if (i % 7 == 0)
			settle();
	}
	expect_closed(fd, 100);
	end();
}
END_TEST

static atomic_int hanging = -1; /* the descriptor whose close waits for 'hanging' to change; ALL */
#define ALL INT_MAX

/* Of this whole program, in the place of libc's. */
int close(int fd)
{
	while (fd >= 0 && (atomic_load(&hanging) == fd || atomic_load(&hanging) == ALL))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return (int)syscall(SYS_close, fd);
}

/* On a file server that is gone, say. */
START_TEST(a_close_that_hangs_does_not_hold_up_the_end)
{
	begin(_i);
	int fd = make_file(O_RDWR);
	uint64_t before = now_ns();
	atomic_store(&hanging, fd);
	io_close_file(io, fd);
	io_destroy(io);
	expect(now_ns() - before < 10000000000u);
	expect(fcntl(fd, F_GETFD) >= 0);
	atomic_store(&hanging, -1);
}
END_TEST

/* Nor others: after a while another thread closes them. */
START_TEST(a_close_that_hangs_holds_up_no_other)
{
	int fd[100];

	begin(_i);
	for (int i = 0; i < 100; i++)
		fd[i] = make_file(O_RDWR);
	atomic_store(&hanging, fd[0]);
	io_close_file(io, fd[0]);
	pass(10);
	for (int i = 1; i < 100; i++)
		io_close_file(io, fd[i]);
	expect_closed(fd + 1, 99);
	expect(fcntl(fd[0], F_GETFD) >= 0);
	expect(!io_closes_hang(io));
	atomic_store(&hanging, -1);
	expect_closed(fd, 100);
	end();
}
END_TEST

/* When all that there may be hang it is told, and when they do no longer. */
START_TEST(too_many_closes_that_hang)
{
	enum { MANY = IO_CLOSE_WAIT + (IO_CLOSE_THREADS + 1) * IO_CLOSE_FILES };
	static int fd[MANY];

	begin(_i);
	fd[0] = make_file(O_RDWR);
	for (int i = 1; i < MANY; i++) {
		fd[i] = fcntl(fd[0], F_DUPFD_CLOEXEC, 0);
		expect(fd[i] >= 0);
	}
	atomic_store(&hanging, ALL);
	for (int i = 0; i < MANY; i++) {
		expect(i > (int)IO_CLOSE_WAIT || !io_closes_hang(io));
		io_close_file(io, fd[i]);
		if (i % 64 == 0)
			pass(30);
	}
	expect(io_closes_hang(io));
	atomic_store(&hanging, -1);
	expect_closed(fd, MANY);
	expect(!io_closes_hang(io));
	end();
}
END_TEST

static const TTest *const *const tests[] = {
	&files_are_closed,
	&a_close_that_hangs_does_not_hold_up_the_end,
	&a_close_that_hangs_holds_up_no_other,
	&too_many_closes_that_hang,
};

int main(void)
{
	return io_suite_run("io_close", tests, sizeof(tests) / sizeof(tests[0]));
}
