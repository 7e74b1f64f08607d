/*
 * io: asynchronous operations on descriptors, and the sleep of the I/O thread. The
 * narrow interface that everything which relays is written against; a backend
 * implements it (io_backend.h).
 *
 * An operation is a struct io_op inside the object that wants it. From the call
 * until done() it belongs to io, with the memory it reads or writes; done() is
 * called from io_turn, never from within the starting call. Every operation is
 * completed exactly once, cancelled ones with -ECANCELED.
 *
 * A descriptor that an operation was started on is io's to know until it is closed:
 * by io_close_socket or io_close_file, or by its owner after io_forget.
 * I/O thread only.
 */
#ifndef FERRULE_MONITOR_IO_H
#define FERRULE_MONITOR_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct event;
struct io;
struct iovec;

struct io_link {
	struct io_link *next, *prev;
};

struct io_op {
	/* result: bytes, a descriptor or 0; or a negative errno. The op may be reused at once. */
	void (*done)(struct io_op *op, int result);
	/*
	 * The rest is the backend's: while the operation is in flight, and from one to the next for what
	 * it has learnt (io_uring: whether a receive left something). Zero at first; whoever clears it
	 * in between loses no more than that.
	 */
	struct io_link link;
	void *bytes; /* or an address */
	union {
		size_t len;
		socklen_t *ret_len;
		struct event *timer;
	};
	uint64_t offset; /* or a time, or events of poll(2) */
	int fd;
	int result;
	uint8_t kind, state;
};

/* An operation that lets time pass. */
struct io_timer {
	struct io_op op;
	long long seconds, nanoseconds; /* io's own */
};

/* The object that holds this operation. */
#define io_container(op, type, member) ((type *)(void *)((char *)(op) - offsetof(type, member)))

/* Which backend: io_uring, libevent, or the first of them that is to be had here. */
enum io_choice { IO_AUTO, IO_URING, IO_EVENT };

/*
 * To be called by the thread that will use it. 0 or a negative errno. The log says which backend it
 * is, and warns when IO_AUTO had to do without io_uring.
 */
int io_create(struct io **ret_io, enum io_choice choice);
/* What to do about io_uring_setup failing with this errno (positive): a phrase. */
const char *io_refusal_remedy(int error);
/* No operation may be in flight. Waits for files to be closed, 2 s at most: all is left then. */
void io_destroy(struct io *io);

void io_recv(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len);
/* Receives and drops. */
void io_discard(struct io *io, struct io_op *op, int fd, size_t len);
void io_send(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len);
/* The result is a descriptor, close-on-exec; the peer's address goes to *ret_peer. */
void io_accept(struct io *io, struct io_op *op, int fd, struct sockaddr *ret_peer, socklen_t *ret_len);
void io_connect(struct io *io, struct io_op *op, int fd, const struct sockaddr *address, socklen_t len);
void io_read(struct io *io, struct io_op *op, int fd, void *ret_bytes, size_t len, uint64_t offset);
/* offset UINT64_MAX: at the file position, or its end when O_APPEND. */
void io_write(struct io *io, struct io_op *op, int fd, const void *bytes, size_t len, uint64_t offset);
/*
 * At once, without an operation: what of a file is in memory, from the offset on. Bytes; or a
 * negative errno, which io_read will meet again if it is one in earnest. Less than 'len', and 0
 * too, need not be the end of the file.
 */
long io_read_now(int fd, void *ret_bytes, size_t len, uint64_t offset);
/* At once, too: as much as a socket takes now. Bytes, or a negative errno. */
long io_send_now(int fd, const struct iovec *spans, unsigned count);
void io_sync(struct io *io, struct io_op *op, int fd, bool data_only);
/* fallocate(2), with its modes. */
void io_allocate(struct io *io, struct io_op *op, int fd, int mode, uint64_t offset, uint64_t len);
/*
 * Completes when an eventfd was written to since this completed last; the result is not negative
 * then. One operation for each eventfd, which may be a blocking one, and no other reader.
 */
void io_wake(struct io *io, struct io_op *op, int fd, uint64_t *ret_value);
/*
 * Completes once poll(2) would tell one of 'events', POLLIN or POLLOUT, or an error or hang-up, which
 * need not be asked for: right away when that is so already. The result is what poll(2) tells. Takes
 * nothing from the descriptor; one that can always be read or written, as a file, is not to be waited for.
 */
void io_poll(struct io *io, struct io_op *op, int fd, short events);
/* Nobody waits for it: closing cannot be retried. A file's close can be its deletion, and take long (400 MiB:
 * 23 ms), so a thread does it for many at a time (io_close.h); a socket's is done at once. */
void io_close_socket(struct io *io, int fd);
void io_close_file(struct io *io, int fd);
/* So many files are still to be closed, by file servers that do not answer, that no more should be opened. */
bool io_closes_hang(struct io *io);
/* Nothing is in flight on this descriptor, and its owner is about to close it. */
void io_forget(struct io *io, int fd);
/* Completes with -ETIME after that many nanoseconds, -ECANCELED when cancelled (by its op). */
void io_timeout(struct io *io, struct io_timer *timer, uint64_t ns);
/* Asks for an early end of an operation in flight; its done() follows, with whatever result it got to. */
void io_cancel(struct io *io, struct io_op *op);

/* The same for every operation in flight. */
void io_cancel_all(struct io *io);

/* Submits what was started and calls done() for what has completed. With wait, sleeps for the
 * first completion. Returns the number of completions. */
unsigned io_turn(struct io *io, bool wait);
/* Is a completion or work for io_turn there? What spinning looks at: io_uring's is loads only. */
bool io_ready(struct io *io);
/* Were operations started since the last io_turn? */
bool io_unsubmitted(const struct io *io);
/* Operations in flight. */
unsigned io_in_flight(const struct io *io);

#endif
