/*
 * io_backend: what a backend of io implements, and the part of struct io that io.c
 * reads. Private to monitor/io*.c; io.h has the meaning of each operation.
 */
#ifndef FERRULE_MONITOR_IO_BACKEND_H
#define FERRULE_MONITOR_IO_BACKEND_H

#include "monitor/io.h"
#include "monitor/io_close.h"

struct io_backend {
	void (*destroy)(struct io *io);
	void (*recv)(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len);
	void (*discard)(struct io *io, struct io_op *op, int fd, size_t len);
	void (*send)(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len);
	void (*accept)(struct io *io, struct io_op *op, int fd, struct sockaddr *ret_peer,
		socklen_t *ret_len);
	void (*connect)(struct io *io, struct io_op *op, int fd, const struct sockaddr *address,
		socklen_t len);
	void (*read)(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len,
		uint64_t offset);
	void (*write)(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len,
		uint64_t offset);
	void (*sync)(struct io *io, struct io_op *op, int fd, bool data_only);
	void (*allocate)(struct io *io, struct io_op *op, int fd, int mode, uint64_t offset,
		uint64_t len);
	void (*wake)(struct io *io, struct io_op *op, int fd, uint64_t *ret_value);
	void (*poll)(struct io *io, struct io_op *op, int fd, short events);
	void (*close_socket)(struct io *io, int fd);
	void (*forget)(struct io *io, int fd); /* NULL: it keeps nothing of a descriptor */
	void (*timeout)(struct io *io, struct io_timer *timer, uint64_t ns);
	void (*cancel)(struct io *io, struct io_op *op);
	void (*cancel_all)(struct io *io);
	unsigned (*turn)(struct io *io, bool wait);
	bool (*ready)(struct io *io);
};

/* The beginning of each backend's own struct. */
struct io {
	const struct io_backend *backend;
	unsigned in_flight; /* operations with a done() to come */
	unsigned unsubmitted;
	struct io_closer closer; /* io.c's */
};

/* 0 or a negative errno. */
int io_create_uring(struct io **ret_io);
int io_create_event(struct io **ret_io);

#endif
