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
#include "protocol/network.h"
#include "protocol/tcp.h"
#include "protocol/udp.h"
#include "protocol/unix.h"

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
 * more than 90 waits some 2 ms for the stacks of the others: what listens comes first. A stack has 64 KiB under KVM, 256 KiB in a hosted
 * guest: large arrays are static, or malloc's.
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
struct listener;
struct udp;

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
/* A stream, a listener, a UDP socket, or, with none of them, a timer. */
struct wait_item {
	struct stream *stream;
	struct listener *listener; /* readable: a connection can be accepted */
	struct udp *udp;           /* readable: a datagram can be received, or an error of one that was sent */
	deadline at;               /* of a timer, which is readable from then on */
	int events; /* enum wait_event, what to wait for; 0: WAIT_READABLE, but of a stream nothing */
	int ready;  /* what has come, set by wait_any */
	struct waiter waiter; /* private, as what follows */
	struct stream *on;
	int wants;
};
/*
 * Waits until at least one item is ready; the number that are, or -ETIMEDOUT. What is ready may turn out to be nothing, when the
 * other side takes something back: the calls that follow take NO_WAIT where they must not wait.
 */
int wait_any(struct wait_item *items, int count, deadline until);

/* ---- TCP */

/* "127.0.0.1:8080", "[::1]:80", "0.0.0.0:0". 0 or -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint);
#define ENDPOINT_TEXT_LEN 64
/* Writes it as endpoint_parse reads it; returns `text`. */
char *endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_LEN]);

/* Listens where the monitor's grants allow it: -EACCES, -EADDRINUSE and so on otherwise. */
int tcp_listen(const struct endpoint *local, struct listener **ret_listener, deadline until);
/* The same with options; what is 0 is the default. */
struct listen_options {
	uint32_t backlog;       /* connections that the host keeps while none is accepted */
	uint32_t flags;         /* enum tcp_listen_flag */
	struct tcp_options tcp; /* of each connection */
};
int tcp_listen_with(const struct endpoint *local, const struct listen_options *options,
		struct listener **ret_listener, deadline until);
const struct endpoint *listener_local(const struct listener *listener);
/* Takes the next connection. The endpoints may be NULL. */
int tcp_accept(struct listener *listener, struct stream **ret_stream, struct endpoint *ret_peer,
		struct endpoint *ret_local, deadline until);
void listener_close(struct listener *listener);
/* Connects to "address:port" or "name:port". */
int tcp_connect(const char *target, struct stream **ret_stream, deadline until);
/* The same with options; what is 0 is the default. */
struct connect_options {
	struct endpoint local;  /* this end; family 0: the host's choice. A port needs the grant to listen on it */
	struct tcp_options tcp;
};
int tcp_connect_with(const char *target, const struct connect_options *options, struct stream **ret_stream,
		deadline until);
/* To an address, as of name_resolve or a peer; options may be NULL. */
int tcp_connect_to(const struct endpoint *remote, const struct connect_options *options,
		struct stream **ret_stream, deadline until);
/* Of a TCP connection: this end, and the peer's. Family 0 for other streams. */
const struct endpoint *stream_local(const struct stream *stream);
const struct endpoint *stream_peer(const struct stream *stream);
/* An accept loop: each connection gets a fiber of its own, which runs serve(stream, peer, argument)
 * and then closes the stream. Returns only with an errno of the listener. */
int tcp_serve(struct listener *listener,
		void (*serve)(struct stream *stream, const struct endpoint *peer, void *argument),
		void *argument);

/* ---- UDP */

/* What is known of a datagram beside its bytes. */
struct udp_datagram {
	struct endpoint peer;  /* who sent it */
	struct endpoint local; /* the address that it was sent to: what udp_send_from answers from */
	size_t len;            /* bytes that the caller has */
	size_t full_len;       /* bytes that it had; more than len: the rest is lost */
	uint32_t dropped;      /* datagrams lost since the one before, because they were not received fast enough */
};

/*
 * A socket on this address. With port 0 and 0.0.0.0 or [::] it needs no grant: it hears from where it may send to. On any other
 * it serves, where the grants allow that: it hears from all, and may answer them. -EACCES, -EADDRINUSE and so on.
 *
 * One fiber at a time may receive; any number send.
 */
int udp_bind(const struct endpoint *local, struct udp **ret_udp, deadline until);
/* The same with options; what is 0 is the default. */
struct udp_options {
	uint32_t flags;          /* UDP_V6ONLY, UDP_BROADCAST */
	uint32_t receive_buffer; /* bytes of datagrams that the host keeps while they are not received */
};
int udp_bind_with(const struct endpoint *local, const struct udp_options *options, struct udp **ret_udp,
		deadline until);
/* A socket with one peer, "address:port" or "name:port", that it may send to. */
int udp_connect(const char *target, struct udp **ret_udp, deadline until);
const struct endpoint *udp_local(const struct udp *udp);
/* Of a connected socket; else its family is ENDPOINT_NAME. */
const struct endpoint *udp_peer(const struct udp *udp);
/*
 * The next datagram: the bytes of it that are in ret_bytes, perhaps 0, or an errno. ret_datagram may be NULL.
 * Of a connected socket also what became of one that was sent, -ECONNREFUSED for instance: once, and the socket goes on.
 * -ECONNABORTED: it does not.
 */
long udp_receive(struct udp *udp, void *ret_bytes, size_t len, struct udp_datagram *ret_datagram, deadline until);
/*
 * Sends one datagram, waiting for room. peer NULL: the socket's. 0 says that it is on its way to the host, not that it was
 * sent. -EMSGSIZE: it is longer than a datagram can be. In udp_send_from 'local' is the address that it
 * is to come from, its port does not matter.
 */
int udp_send(struct udp *udp, const struct endpoint *peer, const void *bytes, size_t len, deadline until);
int udp_send_from(struct udp *udp, const struct endpoint *local, const struct endpoint *peer, const void *bytes,
		size_t len, deadline until);
/*
 * Why the host could not send a datagram: the oldest such word that udp_receive has met since the last call, or 0. -EACCES: no
 * grant. Of a connected socket udp_receive says it itself.
 */
int udp_error(struct udp *udp, struct endpoint *ret_peer);
/* Gives the socket back. What was sent before is still sent. */
void udp_close(struct udp *udp);

/* ---- what the host knows of the network */

/*
 * The addresses of a name that may be connected or sent to, in the order in which they are to be tried, port 0: at most `most`
 * of them (NETWORK_ADDRESSES are never exceeded). The number, or -EACCES, -EHOSTUNREACH (no such name, no address), -EAGAIN (no
 * name server answers). For *ret_ttl_s seconds (may be NULL) the addresses of a name that was granted are granted, too.
 * tcp_connect takes names itself.
 */
int name_resolve(const char *name, struct endpoint *ret_addresses, int most, uint32_t *ret_ttl_s, deadline until);
/* The addresses of the host's interfaces that the grants let this guest see, at most `most` of them. How many there are. */
int network_list(struct network_interface *ret_interfaces, int most, deadline until);
/* ---- UNIX sockets of the host. A path is the host's, as --unix has it, or below a directory that it
 * has; "@name": an abstract socket */

/* Who is at the other end, as the host knows it (SO_PEERCRED). */
struct unix_peer {
	uint32_t pid; /* 0: not of the monitor's PID namespace */
	uint32_t uid;
	uint32_t gid;
};

/*
 * Listens where the monitor's grants allow it. flags: enum unix_listen_flag; mode: permissions of the
 * socket's file, 0: what the monitor's umask leaves. 0 or an errno, as bind(2)'s; -EACCES also without a grant. The
 * file is removed when the listener is closed.
 */
int unix_listen(const char *path, enum unix_type type, uint32_t flags, uint32_t mode,
		struct listener **ret_listener, deadline until);
/* Takes the next connection. The peer may be NULL. -EINVAL: the listener is TCP's (as tcp_accept says of one of these). */
int unix_accept(struct listener *listener, struct stream **ret_stream, struct unix_peer *ret_peer, deadline until);
/* Waits while the listener's backlog is full. The peer may be NULL: who listens there. */
int unix_connect(const char *path, enum unix_type type, struct stream **ret_stream, struct unix_peer *ret_peer,
		deadline until);
/* As tcp_serve. */
int unix_serve(struct listener *listener,
		void (*serve)(struct stream *stream, const struct unix_peer *peer, void *argument),
		void *argument);

/*
 * Packets of UNIX_SEQPACKET, which are sent and received as one. On such a stream stream_finish, stream_fail,
 * stream_stop, stream_close and wait_any are of use (it is readable when a packet is there, or the end), not the
 * calls that move bytes. At most one fiber at a time sends, and one receives.
 */

/* Sends a packet, which may be empty. len, or an errno: -EMSGSIZE when it is longer than packet_max says,
 * -EPIPE when the other side reads no more, -ETIMEDOUT when there was no room, and nothing was sent. */
long packet_send(struct stream *stream, const void *bytes, size_t len, deadline until);
/*
 * Receives the next packet, or its first `room` bytes; what does not fit is lost. The number of bytes in
 * ret_bytes; *ret_length (may be NULL) is the packet's length as it was sent, and more than that number
 * when it was cut off. -ENODATA: the end, no packet follows; or the errno with which the stream failed.
 */
long packet_receive(struct stream *stream, void *ret_bytes, size_t room, size_t *ret_length, deadline until);
/* Bytes of the longest packet that can be sent; 0: the stream has no packets. */
size_t packet_max(const struct stream *stream);

/*
 * ---- files: paths below the guest directories that --mount gave, and below boot:/, the read-only files that
 * --bundle gave or that are linked into the image. Of several mounts the longest that a path lies in has it; the
 * directories above mounts that no mount has are there too, read-only. `..` in a
 * path is taken away with the name before it, as text; a symbolic link is followed by the host, inside of its mount only. A
 * path with a slash behind it has to be a directory's.
 *
 * What a call of Linux says of the same file on the host, this says too: its errno, and what becomes of it. But
 * -EACCES for a path that no mount has, -EROFS for changes on a mount without :rw, -EXDEV for what would lead out of its
 * mount, -EACCES for opening what is neither a file nor a directory, -ENOTSUP from a monitor that does not know the call.
 *
 * The calls with _at take the path from an open directory (file_open with FS_OPEN_DIRECTORY), whatever its name has become; it
 * must be relative, and the host walks it as it stands, but for mounts on its way. NULL: an absolute path, as without _at.
 */

struct file;

/* flags: enum fs_open_flag; mode: permissions of a file that it creates, less the monitor's umask. */
int file_open(struct file **ret_file, const char *path, uint32_t flags, uint32_t mode, deadline until);
int file_open_at(struct file **ret_file, struct file *directory, const char *path, uint32_t flags, uint32_t mode,
		deadline until);
/* Without waiting: what was written before is written. Locks are given back. */
void file_close(struct file *file);
const struct fs_attributes *file_attributes(const struct file *file); /* as of the opening */
int file_stat(struct file *file, struct fs_attributes *ret_attributes, deadline until); /* as of now */

/* At an offset; the number of bytes, fewer than len only at the end of the file or before an error; 0 at the end; or an
 * errno. Any number of fibers at once. */
long file_pread(struct file *file, void *ret_bytes, size_t len, uint64_t offset, deadline until);
/* All len bytes, or an errno. After FS_OPEN_APPEND they go to the end, whatever the offset. Fewer than len (the number
 * written) when an error came in the middle: the next call says which, and bytes further on may have been written. */
long file_pwrite(struct file *file, const void *bytes, size_t len, uint64_t offset, deadline until);
/* The same at the file's position, which begins at 0 and moves behind what was read or written. */
long file_read(struct file *file, void *ret_bytes, size_t len, deadline until);
long file_write(struct file *file, const void *bytes, size_t len, deadline until);
/* Moves it, as lseek(2), with SEEK_DATA and SEEK_HOLE; where it is now, or an errno. */
int64_t file_seek(struct file *file, int64_t offset, enum fs_seek_whence whence, deadline until);

int file_truncate(struct file *file, uint64_t size, deadline until);
int file_sync(struct file *file, deadline until);      /* fsync(2) */
int file_sync_data(struct file *file, deadline until); /* fdatasync(2) */
/* fallocate(2); flags: enum fs_allocate_flag. */
int file_allocate(struct file *file, uint32_t flags, uint64_t offset, uint64_t len, deadline until);
/* copy_file_range(2), repeated: the bytes stay on the host, or pass through the guest where that cannot be. The number copied,
 * fewer than len at the end of the file or before an error; or an errno. */
int64_t file_copy(struct file *from, uint64_t from_offset, struct file *to, uint64_t to_offset, uint64_t len,
		deadline until);
/* Advisory locks, between guests and with programs of the host. flags: enum fs_lock_flag. Without FS_LOCK_WAIT -EAGAIN
 * when another has one; -EROFS for an exclusive one on a mount without :rw; -ENOLCK when a file has 256 ranges; len 0: to the end. The lock is the open file's: another opening of the same file counts as another. */
int file_lock(struct file *file, uint32_t flags, uint64_t offset, uint64_t len, deadline until);

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

/* ---- whole files, by one request each */

/* Opens a file, reads at most len bytes from its start and closes it. The number of bytes,
 * or an errno; how much there would have been is in the attributes. */
long path_read(const char *path, void *ret_bytes, size_t len, struct fs_attributes *ret_attributes,
		deadline until);
/* Opens, streams and closes a whole file (from offset, at most length bytes): `sink` is first called with len 0
 * (bytes is never NULL) and the attributes, then with each piece where it lies in the ring, and stops it by returning not 0. */
int file_read_whole(const char *path, uint64_t offset, uint64_t length,
		int (*sink)(void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len),
		void *argument, deadline until);
/* Opens, fills and closes a whole file: `source` writes at most `room` bytes into the ring and returns their number, 0
 * at the end, or an errno, which ends it: what was written before stays. flags: enum fs_open_flag without FS_OPEN_READ,
 * FS_OPEN_WRITE is understood; and FS_WRITE_FILE_SYNC. ret_attributes (may be NULL): of the file as it was left. */
int file_write_whole(const char *path, uint32_t flags, uint32_t mode,
		long (*source)(void *argument, void *ret_bytes, size_t room), void *argument,
		struct fs_attributes *ret_attributes, deadline until);

/* ---- paths */

int path_stat(const char *path, struct fs_attributes *ret_attributes, deadline until);
int path_lstat(const char *path, struct fs_attributes *ret_attributes, deadline until); /* of a symbolic link itself */
int path_mkdir(const char *path, uint32_t mode, deadline until);
int path_unlink(const char *path, deadline until);
int path_rmdir(const char *path, deadline until);
int path_rename(const char *from, const char *to, deadline until); /* within one mount; else -EXDEV */
/* flags: enum fs_rename_flag. */
int path_rename_with(const char *from, const char *to, uint32_t flags, deadline until);
int path_link(const char *from, const char *to, deadline until); /* within one mount; else -EXDEV */
int path_symlink(const char *target, const char *path, deadline until);
/* The link's text, ended by a 0 byte, or its first len - 1 bytes. The length of all of it, or an errno. */
long path_readlink(const char *path, char *ret_text, size_t len, deadline until);
int path_stat_system(const char *path, struct fs_system *ret_system, deadline until); /* statfs(2) */

/* What is to be set: only what `set` (enum fs_set_bit) names counts. Permissions are FS_SET_MODE_BITS. */
struct file_change {
	uint32_t set;
	uint32_t mode, uid, gid;
	uint64_t size; /* bytes */
	int64_t atime_s, mtime_s;
	uint32_t atime_ns, mtime_ns;
};
int path_set(const char *path, const struct file_change *change, deadline until);
int path_set_link(const char *path, const struct file_change *change, deadline until); /* a symbolic link itself */
int file_set(struct file *file, const struct file_change *change, deadline until);

/* Extended attributes; a name begins with "user.". The length of the value, or an errno: -ERANGE when it is more than len. */
long path_get_xattr(const char *path, const char *name, void *ret_value, size_t len, deadline until);
/* flags: enum fs_xattr_flag. */
int path_set_xattr(const char *path, const char *name, const void *value, size_t len, uint32_t flags, deadline until);
int path_remove_xattr(const char *path, const char *name, deadline until);
/* The names, each ended by a 0 byte: how many bytes they are. */
long path_list_xattrs(const char *path, char *ret_names, size_t len, deadline until);

/* From an open directory. flags: FS_AT_NOFOLLOW, FS_UNLINK_DIRECTORY, enum fs_rename_flag. */
int path_stat_at(struct file *directory, const char *path, uint32_t flags, struct fs_attributes *ret_attributes,
		deadline until);
int path_set_at(struct file *directory, const char *path, uint32_t flags, const struct file_change *change,
		deadline until);
int path_mkdir_at(struct file *directory, const char *path, uint32_t mode, deadline until);
int path_unlink_at(struct file *directory, const char *path, uint32_t flags, deadline until);
int path_rename_at(struct file *from_directory, const char *from, struct file *to_directory, const char *to,
		uint32_t flags, deadline until);
int path_link_at(struct file *from_directory, const char *from, struct file *to_directory, const char *to,
		deadline until);
int path_symlink_at(const char *target, struct file *directory, const char *path, deadline until);
long path_readlink_at(struct file *directory, const char *path, char *ret_text, size_t len, deadline until);

/* The path in its plain form, as the calls above take it: absolute, without `.`, `..` and repeated slashes, a slash behind
 * it if it had one; boot:/ stays in front. 0, -ENOENT for an empty one, -ENAMETOOLONG. */
int path_plain(const char *path, char ret_plain[FS_PATH_MAX + 2]);

/* ---- directories */

struct directory;
int directory_open(struct directory **ret_directory, const char *path, deadline until);
int directory_open_at(struct directory **ret_directory, struct file *directory, const char *path, deadline until);
/* With the attributes of each entry, which cost no request of their own. */
int directory_open_with_attributes(struct directory **ret_directory, const char *path, deadline until);
/* The next entry: 1, 0 at the end, or an errno. The name is ended by a 0 byte, valid until the next call. The mounts in it are
 * entries, too. */
int directory_next(struct directory *directory, const char **ret_name, uint16_t *ret_type, deadline until);
/* Of the entry that was given last: NULL when it was opened without, or the entry was gone when they were looked at. */
const struct fs_attributes *directory_attributes(const struct directory *directory);
void directory_close(struct directory *directory);

/* ---- changes */

struct watch;
struct watch_event {
	uint32_t events; /* enum fs_watch_event */
	uint32_t cookie; /* not 0: the same in the two halves of a move */
	char name[FS_NAME_MAX + 1]; /* in the directory; empty: what is watched itself */
};
/* Watches a file or directory. events: enum fs_watch_event. What changes behind this call is told. */
int watch_open(struct watch **ret_watch, const char *path, uint32_t events, deadline until);
/* The next event: 1, 0 when no more will come, or an errno. */
int watch_next(struct watch *watch, struct watch_event *ret_event, deadline until);
void watch_close(struct watch *watch);

#define FILE_TYPE_DIRECTORY 4u /* stat mode >> 12 */
#define FILE_TYPE_REGULAR   8u
#define FILE_TYPE_LINK      10u

#endif
