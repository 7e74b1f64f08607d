/*
 * The guest's end of the bridge for tests of the monitor: a monitor's I/O thread with an
 * arena and no guest behind it, and blocking calls that play the guest, in this process.
 * FERRULE_IO=event in the environment: over libevent (io.h).
 * A call that waits longer than GUEST_END_WAIT_MS fails the test. Uses Check.
 */
#ifndef FERRULE_TESTS_LIB_GUEST_END_H
#define FERRULE_TESTS_LIB_GUEST_END_H

#include "control/control.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "pipe/pipe.h"
#include "protocol/open.h"

#define GUEST_END_WAIT_MS 5000

struct guest_end {
	struct config config; /* set grants before guest_end_start */
	struct arena *arena;
	struct loop *loop;
	int doorbell_fd;
	int interrupt_fd;
	struct pipe_end control;
	uint32_t next_request;
};

struct guest_stream {
	struct guest_end *guest;
	struct pipe_end pipe;
	struct arena_ring ring[2]; /* as this side mapped them */
	uint32_t slot;
	uint64_t id;
};

/* Starts the I/O thread and greets it. */
void guest_end_start(struct guest_end *guest);
/* Starts it and leaves Hello to the test. */
void guest_end_start_silent(struct guest_end *guest);
void guest_end_stop(struct guest_end *guest);

/* A stream with rings of these capacities. The errno (positive) of StreamError, or 0. */
int guest_stream_new(struct guest_end *guest, struct guest_stream *ret_stream, uint32_t to_host,
		uint32_t to_guest);
/* CloseStream, after finishing and stopping the pipe. */
void guest_stream_close(struct guest_stream *stream);

/* Sends Open with this payload and waits for the answer: 0 and the payload in ret_answer (message may be NULL), or
 * the errno (positive). */
int guest_stream_open(struct guest_stream *stream, uint16_t protocol, const struct wire_message *message,
		const void *payload, const struct wire_message *answer, void *ret_answer);

/* A frame to a pipe (of the control pipe: &guest->control with slot 0). Returns its request id. */
uint32_t guest_send(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot,
		const struct wire_message *message, const void *body);
/* Raw bytes, all of them. */
void guest_write(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot, const void *bytes, size_t len);
/* The next whole frame, copied: header in ret_frame, its body (at most room bytes) in ret_body. */
void guest_receive(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot, struct frame *ret_frame,
		void *ret_body, size_t room);
/* At least one byte, at most len; 0: the end; negative: the errno. */
long guest_read(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot, void *ret_bytes, size_t len);
/* Bytes of the arena that exist. */
long guest_arena_held(const struct guest_end *guest);
/* True once no more than so much exists, for which the host gives memory back (trim.h); false: it does not within 10 s. */
bool guest_arena_comes_down_to(const struct guest_end *guest, long bytes);
/* Tells the monitor of what was done to a pipe since the last call. */
void guest_flush(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot);

#endif
