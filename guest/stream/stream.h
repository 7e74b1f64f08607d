/*
 * stream: the library's own view of a stream: the guest's end of a pipe, the
 * slot under which the bells know it, and who waits for it.
 */
#ifndef FERRULE_GUEST_STREAM_STREAM_H
#define FERRULE_GUEST_STREAM_STREAM_H

#include "control/control.h"
#include "guest/ferrule.h"
#include "pipe/pipe.h"
#include "protocol/open.h"

struct fiber_mutex;

struct stream {
	struct pipe_end pipe;
	uint64_t id; /* generation << 32 | slot; 0 for the control pipe */
	uint32_t slot;
	uint16_t asked;      /* ring sizes that the request for it named, as control.c writes them */
	bool dirty;          /* something moved since the peer was last asked whether to wake it */
	bool ended;          /* finished or failed from here */
	uint32_t packet_max; /* bytes of the longest packet that may be sent; 0: it has no packets */
	bool filling;        /* the monitor reads a file into the room of 'out': nobody reserves */
	struct stream *next; /* in the list of dirty, spare or freed streams */
	struct wait_list waiters;
	struct endpoint local, peer; /* of a TCP connection */
	/* Called by the scheduler when the monitor marked the slot, before the waiters are woken;
	 * must not wait. NULL for a stream that its fibers read themselves. */
	void (*hook)(struct stream *stream, void *context);
	void *hook_context; /* the hook's, or whose stream it is */
};

/* Attaches to a pipe that the monitor has made. NULL: its rings cannot be mapped. Panics when the
 * description cannot be true. */
struct stream *stream_attach(const struct control_stream_info *info);
/* The control pipe, slot 0. */
struct stream *stream_attach_control(void);

/* The stream that is attached in this slot (any number), or NULL. */
struct stream *stream_by_slot(uint32_t slot);
/* One whose hook_context this is, or NULL. Looks at every slot. */
struct stream *stream_by_context(const void *context);

/* Ends both directions, forgets the slot and frees the struct. Whoever made the stream tells the
 * monitor. */
void stream_detach(struct stream *stream);

/* For the scheduler: posts every stream on which something moved that the monitor waits for. */
void stream_flush_all(void);
/* For the scheduler: the monitor marked this slot. Any value below BELL_SLOTS is harmless. */
void stream_slot_pending(uint32_t slot);

/* ---- whole frames on a stream, frame.c */

/*
 * Writes one frame, waiting for the mutex (NULL: there is but one writer) and
 * for room. 'frame' gives flags, request id and error. 0 or an errno;
 * -EMSGSIZE: it can never fit.
 */
int frame_send(struct stream *stream, struct fiber_mutex *mutex, const struct wire_message *message,
	const struct frame *frame, const void *body, deadline until);

/* The same without waiting, for hooks: -EAGAIN when there is no room now. */
int frame_send_now(struct stream *stream, const struct wire_message *message,
	const struct frame *frame, const void *body);

/* The same; after -EAGAIN the hook is called again once there is room. */
int frame_send_soon(struct stream *stream, const struct wire_message *message,
	const struct frame *frame, const void *body);

/*
 * The next whole frame, waiting for it: 0 with its header and body, valid until
 * frame_done; -EPIPE when the stream ended before it, or an errno.
 */
int frame_await(struct stream *stream, struct frame *ret_frame, const unsigned char **ret_body,
	deadline until);

/* The same for hooks. -EAGAIN: it is not there yet, and the monitor knows that it is waited for. */
int frame_await_now(struct stream *stream, struct frame *ret_frame, const unsigned char **ret_body);
void frame_done(struct stream *stream, const struct frame *frame);

/* Answers a frame of a type that is not known here, a later version's (PROTOCOL.md section 2.3); a
 * reply is dropped. Never waits: without room the answer is left out. */
void frame_refuse(struct stream *stream, const struct frame *frame);

/*
 * Opens a fresh stream for a protocol: sends Open with this payload, waits for
 * Opened and decodes its payload into ret_opened. 0 or the errno of the refusal.
 */
int stream_open_protocol(struct stream *stream, enum protocol_number protocol,
	const struct wire_message *payload_message, const void *payload,
	const struct wire_message *opened_message, void *ret_opened, deadline until);

/* Its two halves, for who sends more before Opened has come (PROTOCOL.md section 4). */
int stream_send_open(struct stream *stream, enum protocol_number protocol,
	const struct wire_message *payload_message, const void *payload, deadline until);
int stream_await_opened(struct stream *stream, const struct wire_message *opened_message,
	void *ret_opened, deadline until); /* opened_message NULL: the payload is not wanted */

/* The deadline as opening payloads have it: milliseconds from now, at least 1; 0: none. */
uint32_t stream_timeout_ms(deadline until);

#endif
