#include "monitor/io.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "monitor/io_backend.h"
#include "monitor/log.h"

#define DISABLED_PATH "/proc/sys/kernel/io_uring_disabled"

/* ---- which backend */

/* Does the administrator's switch say so? 1 is for all but a group, 2 for all. */
static bool is_disabled(void)
{
	FILE *file = fopen(DISABLED_PATH, "re");
	int value = 0;

	if (file == NULL)
		return false;
	if (fscanf(file, "%d", &value) != 1)
		value = 0;
	fclose(file);
	return value != 0;
}

const char *io_refusal_remedy(int error)
{
	static const char profile[] = "allow io_uring_setup, io_uring_enter and io_uring_register "
				      "in the container's seccomp profile";

	switch (error) {
	case EPERM:
		return is_disabled() ? "set the sysctl kernel.io_uring_disabled to 0" : profile;
	case EACCES:
		return "allow io_uring in the policy of the security module";
	case ENOSYS:
		return profile;
	case EINVAL:
		return "run Linux 6.1 or later";
	case ENOMEM:
		return "raise the limit on locked memory (ulimit -l)";
	default:
		return "see io_uring_setup(2)";
	}
}

int io_create(struct io **ret_io, enum io_choice choice)
{
	int result = choice == IO_EVENT ? -ENOSYS : io_create_uring(ret_io);

	if (result == 0) {
		io_closer_init(&(*ret_io)->closer);
		log_line(LOG_INFO, "sockets and files are moved by io_uring");
		return 0;
	}
	if (choice == IO_URING)
		return result;
	if (choice == IO_AUTO)
		log_line(LOG_WARNING,
			"io_uring is refused here (%s), libevent takes its place; to have it, %s; "
			"--io event silences this",
			strerror(-result), io_refusal_remedy(-result));
	result = io_create_event(ret_io);
	if (result < 0)
		return result;
	io_closer_init(&(*ret_io)->closer);
	log_line(LOG_INFO, "sockets and files are moved by libevent");
	return 0;
}

void io_destroy(struct io *io)
{
	assert(io->in_flight == 0);
	if (io_closer_end(&io->closer))
		io->backend->destroy(io);
	else
		log_line(LOG_WARNING, "the close of a host file did not end in time; leaving it "
				      "behind");
}

/* ---- one indirect jump each */

void io_recv(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len)
{
	io->backend->recv(io, op, fd, ret_bytes, len);
}

void io_discard(struct io *io, struct io_op *op, int fd, size_t len)
{
	io->backend->discard(io, op, fd, len);
}

void io_send(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len)
{
	io->backend->send(io, op, fd, bytes, len);
}

void io_accept(
	struct io *io, struct io_op *op, int fd, struct sockaddr *ret_peer, socklen_t *ret_len)
{
	io->backend->accept(io, op, fd, ret_peer, ret_len);
}

void io_connect(
	struct io *io, struct io_op *op, int fd, const struct sockaddr *address, socklen_t len)
{
	io->backend->connect(io, op, fd, address, len);
}

void io_read(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len, uint64_t offset)
{
	io->backend->read(io, op, fd, ret_bytes, len, offset);
}

long io_read_now(int fd, void *ret_bytes, size_t len, uint64_t offset)
{
	const struct iovec span = {ret_bytes, len};
	ssize_t result = preadv2(fd, &span, 1, (off_t)offset, RWF_NOWAIT);

	return result < 0 ? -errno : result;
}

long io_send_now(int fd, const struct iovec *spans, unsigned count)
{
	const struct msghdr message = {
		.msg_iov = (struct iovec *)(uintptr_t)spans, .msg_iovlen = count};
	ssize_t result = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	return result < 0 ? -errno : result;
}

void io_write(
	struct io *io, struct io_op *op, int fd, const void *bytes, size_t len, uint64_t offset)
{
	io->backend->write(io, op, fd, bytes, len, offset);
}

void io_sync(struct io *io, struct io_op *op, int fd, bool data_only)
{
	io->backend->sync(io, op, fd, data_only);
}

void io_allocate(struct io *io, struct io_op *op, int fd, int mode, uint64_t offset, uint64_t len)
{
	io->backend->allocate(io, op, fd, mode, offset, len);
}

void io_wake(struct io *io, struct io_op *op, int fd, uint64_t *ret_value)
{
	io->backend->wake(io, op, fd, ret_value);
}

void io_poll(struct io *io, struct io_op *op, int fd, short events)
{
	assert(events == POLLIN || events == POLLOUT);
	io->backend->poll(io, op, fd, events);
}

void io_close_socket(struct io *io, int fd)
{
	io->backend->close_socket(io, fd);
}

void io_close_file(struct io *io, int fd)
{
	io_closer_add(&io->closer, fd);
}

bool io_closes_hang(struct io *io)
{
	return io_closer_full(&io->closer);
}

void io_forget(struct io *io, int fd)
{
	if (io->backend->forget != NULL)
		io->backend->forget(io, fd);
}

void io_timeout(struct io *io, struct io_timer *timer, uint64_t ns)
{
	io->backend->timeout(io, timer, ns);
}

void io_cancel(struct io *io, struct io_op *op)
{
	io->backend->cancel(io, op);
}

void io_cancel_all(struct io *io)
{
	io->backend->cancel_all(io);
}

unsigned io_turn(struct io *io, bool wait)
{
	io_closer_turn(&io->closer, wait);
	return io->backend->turn(io, wait);
}

bool io_ready(struct io *io)
{
	return io->backend->ready(io);
}

bool io_unsubmitted(const struct io *io)
{
	return io->unsubmitted != 0;
}

unsigned io_in_flight(const struct io *io)
{
	return io->in_flight;
}
