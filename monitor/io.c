#include "monitor/io.h"

#include <assert.h>

#include "monitor/io_backend.h"

int io_create(struct io **ret_io)
{
	return io_create_uring(ret_io);
}

void io_destroy(struct io *io)
{
	assert(io->in_flight == 0);
	io->backend->destroy(io);
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

void io_write(
	struct io *io, struct io_op *op, int fd, const void *bytes, size_t len, uint64_t offset)
{
	io->backend->write(io, op, fd, bytes, len, offset);
}

void io_sync(struct io *io, struct io_op *op, int fd, bool data_only)
{
	io->backend->sync(io, op, fd, data_only);
}

void io_wake(struct io *io, struct io_op *op, int fd, uint64_t *ret_value)
{
	io->backend->wake(io, op, fd, ret_value);
}

void io_close_socket(struct io *io, int fd)
{
	io->backend->close_socket(io, fd);
}

void io_close_file(struct io *io, int fd)
{
	io->backend->close_file(io, fd);
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
