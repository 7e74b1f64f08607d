/*
 * stream: one stream of the guest: its pipe, and the protocol that owns it. The
 * table of streams is private memory of the I/O thread.
 *
 * A stream's life: made by NewStreamRequest (FRESH); then either its first frame
 * is Open (OPENING until stream_opened, then ESTABLISHED) or it is posted to a listener
 * (CLAIMED, then ESTABLISHED). It ends when the guest has sent CloseStream and the
 * protocol has let go of it (stream_release): not before both, because operations
 * in flight own memory of its rings, and bytes that the guest wrote last have still to leave.
 * An operation of another stream that fills memory of its rings pins it (stream_pin): its slot
 * and its rings are not given out again before that is over either.
 */
#ifndef FERRULE_MONITOR_STREAM_H
#define FERRULE_MONITOR_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "monitor/arena.h"
#include "protocol/fs.h"

struct iovec;
struct loop;
struct stream;

/* A protocol, one row of stream_protocols. All run on the I/O thread. */
struct protocol_ops {
	const char *name;
	uint16_t number;  /* enum protocol_number */
	uint16_t version; /* PROTOCOL_VERSION */

	/* The payload of Open (valid during the call). Answers with stream_opened or stream_refuse, now or later. */
	void (*open)(struct stream *stream, struct wire_bytes payload);
	/* The guest signalled the pipe: bytes, room, an end. Also called once right after stream_opened. */
	void (*signal)(struct stream *stream);
	/*
	 * The stream has been idle, with nothing in the ring to the guest: to give memory of that ring back (trim.h),
	 * once no operation owns a part of it. NULL: it does not.
	 */
	void (*trim)(struct stream *stream);
	/* The guest has sent CloseStream, or is gone. Finish what is under way and call stream_release
	 * (at once or later). signal() may still come before that. */
	void (*closed)(struct stream *stream);

	/*
	 * For a stream whose bytes are sent on; else NULL. Could bytes that the guest is about to
	 * commit be sent now, because nothing that it has committed is still to be sent?
	 */
	bool (*may_send_ahead)(struct stream *stream);
	/* Right after that: sends of them what can be sent at once. The number: so many of the bytes
	 * that are committed next are not sent again. */
	size_t (*send_ahead)(struct stream *stream, const struct iovec *spans, unsigned count);
};

extern const struct protocol_ops *const stream_protocols[PROTOCOL_COUNT];
extern const struct protocol_ops fs_protocol;          /* fs.c */
extern const struct protocol_ops tcp_listen_protocol;  /* tcp_listen.c */
extern const struct protocol_ops tcp_connect_protocol; /* tcp_connect.c */
extern const struct protocol_ops udp_protocol;         /* udp_bind.c */
extern const struct protocol_ops network_protocol;     /* network.c */
extern const struct protocol_ops unix_listen_protocol; /* unix_listen.c */
extern const struct protocol_ops unix_connect_protocol; /* unix_connect.c */

#define STREAM_OPEN_PAYLOAD_MAX (18u + FS_PATH_MAX) /* bytes of an opening payload: UnixListen's is the longest */

enum stream_state {
	STREAM_FREE,
	STREAM_FRESH,
	STREAM_OPENING,
	STREAM_CLAIMED, /* posted to a listener */
	STREAM_ESTABLISHED,
	STREAM_ENDED,   /* refused, broken or let go by its protocol; waits for CloseStream */
};

struct stream {
	struct loop *loop;
	uint64_t id;
	uint32_t slot;
	enum stream_state state;
	bool guest_closed;   /* CloseStream came, or the guest is gone */
	bool held;           /* a protocol has it and has not called stream_release */
	unsigned pins;       /* operations of other streams that own memory of its rings */
	uint32_t open_request_id;
	unsigned turn;       /* frames that may still be taken before others have their turn */
	struct pipe_end pipe;
	struct arena_ring ring[2]; /* indexed by enum pipe_side */
	uint64_t swept_at, trimmed_at; /* position of pipe.out when it was last swept, and trimmed */
	const struct protocol_ops *protocol; /* NULL before Open */
	void *relay;         /* the protocol's own object */
};

struct stream_table;
int stream_table_create(struct stream_table **ret_table, struct loop *loop);
void stream_table_destroy(struct stream_table *table);
/* Maps rings for the first streams, while nothing else is to be done. */
void stream_table_take_ahead(struct stream_table *table);
/* The guest is about to run: the control pipe comes alive. */
void stream_table_start(struct stream_table *table);
/* The slot that the guest's bell named; unknown slots are ignored. */
void stream_table_signal(struct stream_table *table, uint32_t slot);
/* The guest is gone: every stream is closed as if CloseStream had come. */
void stream_table_close_all(struct stream_table *table);
/* The guest is gone and nothing is in flight: what is left goes into the counters of stats.h. */
void stream_table_count_left(const struct stream_table *table);
/* Streams whose protocol has not let go yet. */
unsigned stream_table_held(const struct stream_table *table);
/*
 * Gives memory of idle streams back (trim.h): of at most so many in this sweep, whose number it returns. Less than
 * 'most': the sweep is over.
 */
unsigned stream_table_trim(struct stream_table *table, unsigned most);
/* The next sweep begins. Did the last one find streams that had moved? */
bool stream_table_trim_next(struct stream_table *table);
/* NULL unless a stream has exactly this id. */
struct stream *stream_find(struct stream_table *table, uint64_t id);
/* 0 and the stream, -ENFILE (no slot is free), -ENOMEM (the arena is full), -EINVAL (a capacity). */
int stream_create(struct stream_table *table, uint32_t to_host_capacity, uint32_t to_guest_capacity,
		struct stream **ret_stream);
void stream_guest_close(struct stream *stream);
void stream_signal(struct stream *stream);

/* For protocols. */

/* Answers Open: with the encoded payload (message may be NULL: none). */
void stream_opened(struct stream *stream, const struct wire_message *message, const void *body);
/* Answers Open with an errno (positive) and ends the pipe; the protocol still holds the stream. */
void stream_answer_refused(struct stream *stream, int error);
/* The same, and lets go of the stream. */
void stream_refuse(struct stream *stream, int error);
/* For a stream that is opened by being posted to another: from FRESH to CLAIMED, and on to ESTABLISHED. */
void stream_claim(struct stream *stream, const struct protocol_ops *protocol);
void stream_begin(struct stream *stream);
/* The protocol will not touch the stream again. Its memory is reused once the guest has closed it too. */
void stream_release(struct stream *stream);
/*
 * For an operation that another stream starts on memory of this one's rings, from its start to its
 * done(). Whoever pins holds a stream of its own meanwhile, so stream_table_held counts that one.
 */
void stream_pin(struct stream *stream);
void stream_unpin(struct stream *stream);
/* After commits, consumes or ends on stream->pipe: wakes the guest if it waits for that. */
void stream_flush(struct stream *stream);
/* Did the guest break a rule of the rings? As of the last look at each. */
bool stream_pipe_broken(const struct stream *stream);
/* The guest broke a rule: fails both directions with EPROTO, counts and logs it. The protocol then ends its side. */
void stream_broken(struct stream *stream, const char *rule);

/* Frames, for protocols that speak in them. Spans are one piece, so a frame never has to be reassembled. */

/*
 * The next whole frame of the guest. 1: ret_frame and ret_body are set (valid until
 * stream_frame_done). 0: none yet, and the guest's next bytes will signal. -EPIPE: the guest
 * will send no more (any rest is dropped). -EPROTO: broken (stream_broken was called).
 */
int stream_frame(struct stream *stream, struct frame *ret_frame, const unsigned char **ret_body);
/*
 * The same for the frame behind *skip bytes, which the caller has taken and not consumed yet. Answers, which are
 * dropped, are added to them. 0 also: there is no room for all of the frame until some of those bytes are consumed.
 */
int stream_frame_from(struct stream *stream, size_t *skip, struct frame *ret_frame,
		const unsigned char **ret_body);
/*
 * The next whole frame behind 'skip' bytes, which are frames that stream_frame and this gave and that are not done
 * yet. False: none now, or none that may be taken: stream_frame tells once those before it are done.
 */
bool stream_frame_behind(struct stream *stream, size_t skip, struct frame *ret_frame,
		const unsigned char **ret_body);
void stream_frame_done(struct stream *stream, const struct frame *frame);
/* Can a frame of this many bytes be written now? If not, the guest's reading will signal. */
bool stream_room(struct stream *stream, size_t len);
/* Writes a frame and flushes: there must be room (stream_room). 'message' may be NULL for a bodyless one of frame->type. */
void stream_send(struct stream *stream, const struct wire_message *message, const struct frame *frame,
		const void *body);
/* Answers a request with an errno (positive) and no body. */
void stream_send_error(struct stream *stream, uint16_t type, uint32_t request_id, int error);

#endif
