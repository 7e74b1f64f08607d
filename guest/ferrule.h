/*
 * ferrule: what a guest program is written against. Streams, files, listeners
 * and connections, and the fibers that make straight code of them.
 *
 * A program is an ordinary `int main(int argc, char **argv)`. It runs as the
 * first fiber; fibers take turns on one thread and change over only inside calls
 * that can wait. What a fiber writes is on its way at the latest when it waits
 * next; one that computes for long calls fiber_yield now and then. At most one
 * fiber at a time may wait for bytes of a stream, and one for room.
 * Besides this header a program has, of the C library: malloc calloc realloc free; memchr memcmp memcpy memmem
 * memmove memrchr memset; strlen strnlen strcmp strncmp strcasecmp strncasecmp strcpy strncpy strcat strchr strrchr
 * strstr strspn strcspn; atoi strtol strtoll strtoul strtoull; qsort; getenv; printf fprintf vprintf vfprintf
 * snprintf vsnprintf (no floating point) puts putchar putc fputs fputc fwrite fflush on stdout and stderr; exit abort
 * assert. The time is clock_wall's. Paths are absolute: there is no current directory.
 *
 * Every call that can wait takes a deadline: a time of clock_now(), NO_WAIT or
 * FOREVER; when it passes the call returns -ETIMEDOUT and nothing is lost.
 * Errors are negative errno values of <errno.h>.
 */
#ifndef FERRULE_GUEST_FERRULE_H
#define FERRULE_GUEST_FERRULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include "protocol/fs.h"
#include "protocol/tcp.h"

/* ---- time: nanoseconds */

typedef uint64_t deadline;
#define NO_WAIT ((deadline)0)
#define FOREVER UINT64_MAX

uint64_t clock_now(void);               /* since some fixed point; never goes back */
int64_t clock_wall(void);               /* since 1970-01-01 UTC */
deadline in_milliseconds(uint64_t ms);  /* that far from now */

/* ---- fibers */

/*
 * Runs fn(argument) as a new fiber, soon. 0, or -EAGAIN when all stacks are in use. A KVM guest that begins with
 * more than 90 waits some 2 ms for the stacks of the others: what listens comes first.
 */
int fiber_spawn(void (*fn)(void *argument), void *argument);
/* Lets every other runnable fiber run once. */
void fiber_yield(void);
/* Sleeps until the deadline. */
void fiber_sleep(deadline until);

/* Fibers that wait for something which another fiber does. Zero-initialised: empty. Nothing changes
 * between a look and wait_list_wait, since the others run only while this fiber waits. */
struct waiter { /* private; lies in the memory of the call that waits */
	struct fiber *fiber;
	struct waiter *next, **link;
	struct wait_list *list;
};
struct wait_list {
	struct waiter *first, **last;
};
/* Waits for the next wait_list_wake: 0 or -ETIMEDOUT. May return early: look again. */
int wait_list_wait(struct wait_list *list, deadline until);
/* Lets all that wait now go on. */
void wait_list_wake(struct wait_list *list);

/* Ends the guest as a return from main does: what was written to streams is still delivered, and open
 * streams are finished. The status (0-255) becomes the monitor's. */
_Noreturn void guest_exit(int status);

/* ---- the machine */

/* Random bytes that nobody else can know, for keys: from the host's getrandom(2). */
void guest_random(void *ret_bytes, size_t len);
/* Bytes that malloc has to give out of in all; 0: as many as the host lets a process have. Streams are made of
 * them too, and a guest that has no memory for one ends: leave some. */
uint64_t guest_heap_len(void);

/* ---- streams: a pipe to the monitor, both ways */

struct stream;

/* Reads what there is, at most len bytes, after waiting for the first. The number read, 0 at the end
 * of the stream, or the errno with which it failed (after every byte before it was read). */
long stream_read(struct stream *stream, void *ret_bytes, size_t len, deadline until);
/* Writes all len bytes, waiting for room. len, or an errno: -EPIPE when the other side reads no more.
 * Fewer than len (the number written) when the deadline passed on the way. */
long stream_write(struct stream *stream, const void *bytes, size_t len, deadline until);

/* Zero copy. Waits for at least `least` bytes; *ret_data is all there are, in one piece. The number of
 * them; fewer than `least` only at the end; 0: the end. Then consume any prefix. */
long stream_peek(struct stream *stream, const unsigned char **ret_data, size_t least, deadline until);
void stream_consume(struct stream *stream, size_t len);
/* The same for room: fill any prefix of it, then commit, once: what is left of the room is to be reserved
 * anew. */
long stream_reserve(struct stream *stream, unsigned char **ret_room, size_t least, deadline until);
void stream_commit(struct stream *stream, size_t len);

size_t stream_readable_len(struct stream *stream);
size_t stream_writable_len(struct stream *stream);
/* The most that one stream_peek or stream_reserve can be asked to wait for. */
size_t stream_read_capacity(const struct stream *stream);
size_t stream_write_capacity(const struct stream *stream);

/* Half-close: nothing more will be written; reading goes on. TCP: FIN. */
void stream_finish(struct stream *stream);
/* Ends writing with an errno. TCP: RST. */
void stream_fail(struct stream *stream, int error);
/* Nothing more will be read: what is unread is dropped, and the other side learns that it writes in vain. */
void stream_stop(struct stream *stream);
/* Gives the stream back. What was written is still delivered; unless finished or failed, finishes. */
void stream_close(struct stream *stream);

/* ---- waiting on many */

enum wait_event {
	WAIT_READABLE = 1, /* bytes, the end, or an error */
	WAIT_WRITABLE = 2, /* a quarter of the ring is free, or no use in writing */
};
struct wait_item {
	struct stream *stream;
	int events; /* enum wait_event, what to wait for */
	int ready;  /* what has come, set by wait_any */
	struct waiter waiter; /* private */
};
/* Waits until at least one item is ready; the number that are, or -ETIMEDOUT. */
int wait_any(struct wait_item *items, int count, deadline until);

/* ---- TCP */

struct listener;

/* "127.0.0.1:8080", "[::1]:80", "0.0.0.0:0". 0 or -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint);
#define ENDPOINT_TEXT_LEN 64
/* Writes it as endpoint_parse reads it; returns `text`. */
char *endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_LEN]);

/* Listens where the monitor's grants allow it: -EACCES, -EADDRINUSE and so on otherwise. */
int tcp_listen(const struct endpoint *local, struct listener **ret_listener, deadline until);
const struct endpoint *listener_local(const struct listener *listener);
/* Takes the next connection. The endpoints may be NULL. */
int tcp_accept(struct listener *listener, struct stream **ret_stream, struct endpoint *ret_peer,
		struct endpoint *ret_local, deadline until);
void listener_close(struct listener *listener);
/* Connects to "address:port" or "name:port". */
int tcp_connect(const char *target, struct stream **ret_stream, deadline until);
/* An accept loop: each connection gets a fiber of its own, which runs serve(stream, peer, argument)
 * and then closes the stream. Returns only with an errno of the listener. */
int tcp_serve(struct listener *listener,
		void (*serve)(struct stream *stream, const struct endpoint *peer, void *argument),
		void *argument);

/* ---- files: paths below the guest directories that --mount gave */

struct file;

/* flags: enum fs_open_flag; mode: permissions of a file that it creates. */
int file_open(struct file **ret_file, const char *path, uint32_t flags, uint32_t mode, deadline until);
const struct fs_attributes *file_attributes(const struct file *file); /* as of the opening */
/* At an offset; the number of bytes, 0 at the end of the file, or an errno. May be fewer than len. */
long file_read(struct file *file, void *ret_bytes, size_t len, uint64_t offset, deadline until);
/* All len bytes, or an errno. */
long file_write(struct file *file, const void *bytes, size_t len, uint64_t offset, deadline until);
/*
 * As sendfile(2): the monitor puts bytes of the file into the stream, and they do not pass through the
 * guest's CPU. In front of them go the first `lead` bytes of the room that the last stream_reserve gave,
 * which the caller has written and not committed (0: none). Waits for room. The number of bytes of
 * the file: fewer than len at its end (the lead is committed even if there are none), or when an error or
 * the deadline stopped it on the way. Or an errno, of the file or of the stream, and nothing was committed.
 *
 * While this waits nothing can be reserved in the stream: others wait. Should the monitor not answer
 * before the deadline, or ever, the stream is failed with ETIMEDOUT or EIO: it may have sent some.
 */
long stream_send_file(struct stream *stream, size_t lead, struct file *file, uint64_t offset, size_t len,
		deadline until);
int file_sync(struct file *file, deadline until);
void file_close(struct file *file);

/* Opens a file, reads at most len bytes from its start and closes it, by one request. The number of bytes,
 * or an errno; how much there would have been is in the attributes. */
long path_read(const char *path, void *ret_bytes, size_t len, struct fs_attributes *ret_attributes,
		deadline until);

/* Opens, streams and closes a whole file (from offset, at most length bytes) by one request: `sink` is
 * first called with len 0 and the attributes, then with each piece, and stops it by returning not 0. */
int file_read_whole(const char *path, uint64_t offset, uint64_t length,
		int (*sink)(void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len),
		void *argument, deadline until);

int path_stat(const char *path, struct fs_attributes *ret_attributes, deadline until);
int path_mkdir(const char *path, uint32_t mode, deadline until);
int path_unlink(const char *path, deadline until);
int path_rmdir(const char *path, deadline until);
int path_rename(const char *from, const char *to, deadline until); /* within one mount; else -EXDEV */

struct directory;
int directory_open(struct directory **ret_directory, const char *path, deadline until);
/* The next entry: 1, 0 at the end, or an errno. The name is ended by a 0 byte, valid until the next call. */
int directory_next(struct directory *directory, const char **ret_name, uint16_t *ret_type, deadline until);
void directory_close(struct directory *directory);

#define FILE_TYPE_DIRECTORY 4u /* stat mode >> 12 */
#define FILE_TYPE_REGULAR   8u
#define FILE_TYPE_LINK      10u

#endif
