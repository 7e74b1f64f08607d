/*
 * fs_stream: what the files of protocol 0 share: a stream with its mount, and its
 * requests. Private to monitor/fs*.c; I/O thread, but for what says otherwise.
 *
 * A request's way: taken from the ring (fs.c), decoded and checked, run by its
 * row of fs_operations (inline, on io, on a worker, perhaps waiting for its lane
 * first), then ready (fs_reply.c) until the ring has room for its reply, then
 * freed. Requests pass each other in all of these.
 *
 * What bounds the memory of a stream: FS_IN_FLIGHT requests, whose paths are no more than fit into the ring and one
 * request besides (those of FS_UPLOADS uploads apart), one
 * list buffer, FS_HANDLES_MAX handles, FS_CACHE_FILES files that are kept open, FS_ASIDE_MOST bytes of
 * files. A guest that reads no replies stops its own stream.
 *
 * File data is written from the ring: its frame stays there until the file system has its bytes
 * (fs_write.c), and those behind it are taken meanwhile. It is read into the ring at once when it
 * lies in memory. What has to come from a disk first owns a span of the ring when
 * nothing else is to be answered ('reading'), and else is read into memory aside, so that no reply
 * waits for another's disk (fs_reply.c). What FS_READ_INTO sends at once passes through loop_scratch;
 * it owns no span of these rings: the guest says which memory
 * of its own is to be filled (fs_read_into.c), and any number of them are under way.
 */
#ifndef FERRULE_MONITOR_FS_STREAM_H
#define FERRULE_MONITOR_FS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/fs_cache.h"
#include "monitor/fs_handle.h"
#include "monitor/fs_path.h"
#include "monitor/grants.h"
#include "monitor/io.h"
#include "monitor/stream.h"
#include "monitor/worker.h"

#define FS_IN_FLIGHT 64u          /* requests of one stream that are taken and not answered */
#define FS_TURN      64u          /* requests of one stream in one turn of the loop */
#define FS_TURN_UNTOLD 8u         /* of them, before the guest hears of the replies: it works on them meanwhile */
#define FS_TURN_READ (256u << 10) /* bytes of files in one turn without an operation of io */
#define FS_TURN_INTO (4u << 20)   /* the same of FS_READ_INTO, which serve many streams */
#define FS_CHUNK     (128u << 10) /* bytes of a file in one frame of FS_READ_FILE */
#define FS_ASIDE_MOST (1u << 20)  /* bytes of files read into memory aside; one read in any case */
#define FS_LOCK_WAITS 32u         /* FS_LOCK that wait; then ENOLCK */
#define FS_LOCK_RANGES 256u       /* that one handle has locked; then ENOLCK */
#define FS_UPLOADS   16u          /* FS_WRITE_FILE under way; then EMFILE */
#define FS_LIST_MAX  (64u << 10)  /* bytes of entries in one reply */

struct fs_stream;
struct fs_request;

/* First in, first out. All zero: empty. */
struct fs_queue {
	struct fs_request *first;
	struct fs_request *last;
};

/* Requests of which one runs at a time, until it is freed. */
struct fs_lane {
	struct fs_request *active;
	struct fs_queue waiting;
};

/* What start() and turn() return; or a negative errno for the reply. */
enum fs_progress {
	FS_ANSWER,       /* reply is set */
	FS_WORK,         /* next is work(), on a worker */
	FS_LATER,        /* an operation of io is under way; or the request is gone */
	FS_DATA,         /* file_* says what to send (fs_reply.c) */
	FS_TURN_OF_LANE, /* 'lane' is set: turn() is next when it is free */
};

/* A row for each request type. */
struct fs_operation {
	int (*start)(struct fs_request *request);  /* enum fs_progress: checks, and begins */
	int (*turn)(struct fs_request *request);   /* the same, after FS_TURN_OF_LANE */
	int (*work)(struct fs_request *request);   /* on a worker: 0 or a negative errno */
	int (*finish)(struct fs_request *request); /* after work, as start; NULL: FS_ANSWER */
	uint16_t path_at[2];                       /* offsets of its paths in the body, 0: none */
	bool only_reads; /* not worth doing when nobody will see the reply */
	bool opens;      /* what is opened the I/O thread closes some time */
	bool unanswered; /* 'start' is to see malformed ones, too */
};

struct fs_request {
	struct fs_stream *fs;
	struct fs_request *next; /* in the queue that it is in */
	const struct fs_operation *operation;
	struct frame frame; /* of the request */
	uint64_t end;       /* position behind it in the ring that it came by */
	int result;         /* negative errno: the reply is that */

	union {
		struct fs_open open;
		struct fs_close close;
		struct fs_read read;
		struct fs_write write;
		struct fs_file_data file_data; /* of FS_WRITE_DATA */
		struct fs_write_file write_file;
		struct fs_read_file read_file;
		struct fs_stat stat;
		struct fs_list list;
		struct fs_mkdir mkdir;
		struct fs_unlink unlink;
		struct fs_rename rename;
		struct fs_sync sync;
		struct fs_read_into read_into;
		struct fs_set_attributes set_attributes;
		struct fs_link link;
		struct fs_symlink symlink;
		struct fs_read_link read_link;
		struct fs_stat_system stat_system;
		struct fs_get_xattr get_xattr;
		struct fs_set_xattr set_xattr;
		struct fs_list_xattrs list_xattrs;
		struct fs_seek seek;
		struct fs_allocate allocate;
		struct fs_copy_range copy_range;
		struct fs_lock lock;
		struct fs_watch watch;
		struct fs_cancel cancel;
	} body;        /* decoded; paths are in path[] instead */
	char *path[2]; /* private copies, behind this struct */
	size_t paths_len; /* bytes of them that count in fs->paths */

	union {
		struct fs_opened opened;
		struct fs_attributes attributes;
		struct fs_written written;
		struct fs_file_written file_written;
		struct fs_data data;
		struct fs_was_read was_read;
		struct fs_system system;
		struct fs_sought sought;
		struct fs_copied copied;
		struct fs_watched watched;
	} reply;
	bool more_replies; /* behind the first, by the same id: of FS_WATCH */
	char *text; /* FS_READ_LINK: reply.data; NULL: none */

	int directory[2];     /* descriptors that path[] is relative to, or the file */
	uint32_t held[2];     /* places of the handles behind them, FS_HANDLE_NONE: none */
	uint32_t reserved;    /* place taken for a file to be opened */
	int fd;               /* own descriptor, -1: none */
	uint32_t cached;      /* place in the cache of the file in use, FS_CACHE_NONE: none */
	struct fs_lane *lane; /* that it waits for or holds */

	/* FS_DATA */
	bool sends_data;
	bool whole_file;     /* FS_READ_FILE: goes on until file_left is 0 */
	bool attributes_due; /* and the attributes go ahead of the first bytes */
	int file_fd;
	uint64_t file_offset;
	uint64_t file_left; /* the most to send still */
	size_t file_chunk;  /* bytes asked of the read under way */
	size_t file_lead;   /* bytes of the span before the frame header */
	unsigned char *aside; /* file_chunk bytes, or the first 'aside_len' of them have come; NULL: none */
	size_t aside_len;

	/* FS_WRITE, FS_WRITE_DATA */
	struct fs_request *next_write; /* in fs->writes */
	bool in_ring;                  /* it is there: the bytes are still in use */
	struct wire_bytes bytes;       /* in the ring */
	uint64_t write_offset;         /* UINT64_MAX: at the position, or the end */
	size_t written;                /* bytes so far */
	struct fs_request *upload;     /* FS_WRITE_DATA: whose bytes they are */

	struct fs_upload *uploading; /* FS_WRITE_FILE, until its last byte is written (fs_write_file.c) */

	/* FS_LOCK (fs_lock.c) */
	struct fs_request *next_lock; /* in fs->lock_waits */
	int lock_result;              /* of the last try */
	bool lock_waits;              /* it is there */
	bool lock_trying;             /* a worker is */
	bool lock_cancelled;

	struct fs_watch_point *watch_point; /* FS_WATCH, while a worker makes it */

	struct stream *target; /* FS_READ_INTO: pinned while an operation reads into its ring */
	struct io_op op;
	struct worker_job job;
};

struct fs_stream {
	struct stream *stream;
	const struct grant_mount *mount;
	struct fs_path_root root;
	uint32_t max_frame;

	bool probing;     /* 'probe' looks at the mount; Open is not answered yet */
	bool input_ended; /* no request will be taken any more */
	bool broken;      /* the guest broke a rule, or memory ran out: the end comes by itself */
	bool closed;      /* CloseStream has come */
	bool unread;      /* the guest has stopped reading */
	uint64_t left;    /* once closed: bytes that were in the ring */

	unsigned in_flight;
	size_t paths; /* bytes of paths of requests in flight, uploads' apart */
	size_t taken; /* bytes of the ring that are taken and, because of 'writes', not consumed */
	struct fs_request *writes; /* whose bytes lie in the ring, in that order */
	struct fs_request **last_write;
	struct fs_upload *uploads;
	struct fs_request *reading;
	size_t aside; /* bytes of requests' 'aside' */
	struct fs_queue cold; /* wait for others to give theirs back */
	size_t read_left; /* of FS_TURN_READ */
	size_t into_left; /* of FS_TURN_INTO */
	struct fs_queue ready;
	struct fs_lane positions;   /* what is read and written at a file's position or its end */
	struct fs_lane files;       /* FS_READ_FILE */
	struct fs_lane lists;       /* those who use list_buffer: FS_LIST, and of extended attributes */
	unsigned char *list_buffer; /* of the one that has the lane; NULL until the first */
	struct fs_handles handles;
	struct fs_request *lock_waits; /* FS_LOCK that are tried again and again */
	unsigned lock_waiting;
	uint64_t lock_pause; /* ns */
	struct io_timer lock_timer;
	bool lock_timer_set;
	struct fs_watches *watches; /* NULL until the first FS_WATCH */
	struct fs_cache *cache; /* for FS_READ_FILE; NULL until the first, or for good */
	uint64_t pumps;         /* calls of fs_pump */

	struct worker_job probe;
	int probe_result;
	struct loop_message again;
	bool again_posted;
};

extern const struct fs_operation fs_operations[FS_TYPE_COUNT]; /* fs_operations.c; without start(): ENOTSUP */
/* As struct fs_mounted has them. */
uint64_t fs_operations_known(void);

/* fs.c */

/*
 * After anything has ended: sends, takes, and ends the stream when all is done. 'fs' may be
 * gone afterwards.
 */
void fs_pump(struct fs_stream *fs);
/* Nobody will see a reply. */
bool fs_mute(const struct fs_stream *fs);
/* Memory ran out for what cannot be answered. */
void fs_fail(struct fs_stream *fs, int error);
/* No request will be taken any more. */
void fs_input_end(struct fs_stream *fs);

/* fs_request.c */

/*
 * A request for this frame, decoded; NULL: no memory. result is -EPROTO when the body is
 * malformed.
 */
struct fs_request *fs_request_new(
	struct fs_stream *fs, const struct frame *frame, const unsigned char *body);
/* Goes on as a start(), turn() or finish() said. */
void fs_request_go_on(struct fs_request *request, int progress);
/* With everything that it holds; the next one of its lane has its turn. */
void fs_request_free(struct fs_request *request);
/*
 * Is an open file one of the mount's own file system, and no server's or daemon's? Another can be mounted
 * beneath it, and one in a layer of an overlay has that layer's device.
 */
bool fs_asks_nobody(const struct fs_stream *fs, int fd);

void fs_queue_push(struct fs_queue *queue, struct fs_request *request);
struct fs_request *fs_queue_pop(struct fs_queue *queue);
/* Uses a handle (directory[which], held[which]); of 0, the mount, when 'mount_too'. 0 or -EBADF. */
int fs_request_use(struct fs_request *request, unsigned which, uint32_t handle, bool mount_too);
/* The same as [0] for a file's handle or a directory's: -EBADF, -EISDIR, -ENOTDIR. */
int fs_request_use_as(struct fs_request *request, uint32_t handle, bool directory);
/* Of the handle that was used as [0]. */
enum fs_handle_kind fs_request_kind(const struct fs_request *request);
struct io *fs_io(const struct fs_stream *fs);
/*
 * Unless it is -1. The last close of a file can wait long, for the disk or to free what was
 * unlinked: never close(2) here.
 */
void fs_close_fd(struct fs_stream *fs, int fd);

/* Goes on with this stream in the loop's next turn: others are to have theirs. */
void fs_again(struct fs_stream *fs);

/* fs_reply.c */

/* Sends of what is ready as much as there is room for. */
void fs_reply_send(struct fs_stream *fs);
/* Gives back the memory aside of this request, if it has any: others may wait for it. */
void fs_reply_drop_aside(struct fs_request *request);

/* fs_name.c */
/* May the guest change something under the mount? 0, or -EROFS with a line in the log. */
int fs_may_change(const struct fs_request *request);
int fs_open_start(struct fs_request *request);
int fs_open_work(struct fs_request *request);
int fs_open_finish(struct fs_request *request);
int fs_stat_start(struct fs_request *request);
int fs_stat_work(struct fs_request *request);
int fs_mkdir_start(struct fs_request *request);
int fs_mkdir_work(struct fs_request *request);
int fs_unlink_start(struct fs_request *request);
int fs_unlink_work(struct fs_request *request);
int fs_rename_start(struct fs_request *request);
int fs_rename_work(struct fs_request *request);

/* fs_attributes.c */
/* Of a request with enum fs_at_flag: no bit but the known ones, no path beside FS_AT_HANDLE. 0 or -EINVAL. */
int fs_at_check(const struct fs_request *request, uint32_t flags, uint32_t known);
int fs_set_attributes_start(struct fs_request *request);
int fs_set_attributes_work(struct fs_request *request);
int fs_stat_system_start(struct fs_request *request);
int fs_stat_system_work(struct fs_request *request);

/* fs_link.c */
int fs_link_start(struct fs_request *request);
int fs_link_work(struct fs_request *request);
int fs_symlink_start(struct fs_request *request);
int fs_symlink_work(struct fs_request *request);
int fs_read_link_start(struct fs_request *request);
int fs_read_link_work(struct fs_request *request);

/* fs_xattr.c; their turn is fs_list_turn, but for one */
int fs_get_xattr_start(struct fs_request *request);
int fs_get_xattr_work(struct fs_request *request);
int fs_list_xattrs_start(struct fs_request *request);
int fs_list_xattrs_work(struct fs_request *request);
int fs_remove_xattr_start(struct fs_request *request);
int fs_remove_xattr_work(struct fs_request *request);
int fs_set_xattr_start(struct fs_request *request);
int fs_set_xattr_turn(struct fs_request *request);
int fs_set_xattr_work(struct fs_request *request);

/* fs_list.c */
int fs_list_start(struct fs_request *request);
/* Makes the list buffer: FS_WORK or -ENOMEM. */
int fs_list_turn(struct fs_request *request);
int fs_list_work(struct fs_request *request);

/* fs_data.c */
int fs_close_start(struct fs_request *request);
int fs_read_start(struct fs_request *request);
int fs_read_turn(struct fs_request *request);
int fs_sync_start(struct fs_request *request);

/* fs_write.c */
int fs_write_start(struct fs_request *request);
int fs_write_turn(struct fs_request *request);
/* request->bytes lie in the ring, and stay there until fs_write_leave or until they are written. */
void fs_write_enter(struct fs_request *request);
void fs_write_leave(struct fs_request *request);
/* Writes what is left of them to the descriptor of directory[0]; then it is the upload's, or ready. */
void fs_write_begin(struct fs_request *request);
/* Gives back what of the ring was taken and is not in use. */
void fs_write_consume(struct fs_stream *fs);

/* fs_write_file.c */
int fs_write_file_start(struct fs_request *request);
int fs_write_file_work(struct fs_request *request);
int fs_write_file_finish(struct fs_request *request);
int fs_write_data_start(struct fs_request *request);
void fs_write_data_done(struct fs_request *request, int error);
/* Of an FS_WRITE_FILE. */
bool fs_write_file_failed(const struct fs_request *request);
/* No more bytes will come. */
void fs_write_file_end(struct fs_stream *fs);

/* fs_range.c */
int fs_seek_start(struct fs_request *request);
int fs_seek_turn(struct fs_request *request);
int fs_seek_work(struct fs_request *request);
int fs_allocate_start(struct fs_request *request);
int fs_copy_range_start(struct fs_request *request);
int fs_copy_range_work(struct fs_request *request);

/* fs_lock.c */
int fs_lock_start(struct fs_request *request);
int fs_lock_work(struct fs_request *request);
int fs_lock_finish(struct fs_request *request);
/* Ends the wait of this request. False: no such waits. */
bool fs_lock_cancel(struct fs_stream *fs, uint32_t request_id);
/* Ends the waits for the handle in this place; FS_HANDLE_NONE: all. */
void fs_lock_cancel_all(struct fs_stream *fs, uint32_t place);
/* A handle is about to be closed. */
void fs_lock_close(struct fs_stream *fs, uint32_t handle);
/* At the end: is an operation under way? Asks it to end; fs_pump follows. */
bool fs_lock_busy(struct fs_stream *fs);

/* fs_watch.c */
int fs_watch_start(struct fs_request *request);
int fs_watch_work(struct fs_request *request);
int fs_watch_finish(struct fs_request *request);
int fs_cancel_start(struct fs_request *request);
/* Sends of what has happened as much as there is room for, when no reply waits. */
void fs_watch_send(struct fs_stream *fs);
bool fs_watch_cancel(struct fs_stream *fs, uint32_t request_id);
void fs_watch_cancel_all(struct fs_stream *fs);
/* At the end: is something still to be sent, or an operation under way? Asks it to end. */
bool fs_watch_busy(struct fs_stream *fs);
void fs_watch_free(struct fs_stream *fs);

/* fs_whole.c */
int fs_read_file_start(struct fs_request *request);
int fs_read_file_turn(struct fs_request *request);
int fs_read_file_work(struct fs_request *request);
int fs_read_file_finish(struct fs_request *request);

/* fs_read_into.c */
int fs_read_into_start(struct fs_request *request);

#endif
