/*
 * scripted_monitor: a platform of the guest's library on which a test plays the
 * monitor. The guest runs in a child process; whenever it sleeps it is the
 * script's turn, so everything happens in an order that is always the same.
 * Time stands still but for sleeps: a sleep that nothing ends jumps to its deadline.
 *
 * A sleep with pending work that was not rung for, or one that nothing will ever
 * end, is a lost wake and fails the test.
 */
#ifndef FERRULE_TESTS_LIB_SCRIPTED_MONITOR_H
#define FERRULE_TESTS_LIB_SCRIPTED_MONITOR_H

#include "control/control.h"
#include "guest/ferrule.h"
#include "pipe/pipe.h"
#include "protocol/open.h"

#define SCRIPT_STREAMS 256
#define SCRIPT_FAILED  99 /* exit status of a child in which a check failed */
#define SCRIPT_STUCK   98 /* that of one which would sleep for ever */

/* In program or script, both of which run in the child: ends it with SCRIPT_FAILED. */
#define script_check(condition)                                                                    \
	do {                                                                                       \
		if (!(condition))                                                                  \
			script_fail(__FILE__, __LINE__, #condition);                               \
	} while (0)
_Noreturn void script_fail(const char *file, int line, const char *condition);

/* A stream as the script's monitor has it. */
struct script_stream {
	uint64_t id;
	uint32_t slot;
	struct pipe_end pipe;
	bool exists;
	void *context; /* the script's own */
};

struct script {
	int (*program)(void);  /* the guest's main */
	const char *mounts[4]; /* as in struct boot_info */
	/* A frame came on the control pipe: true when the script has answered it itself. NULL:
	 * never. */
	bool (*control)(struct script_stream *control, const struct frame *frame,
		const unsigned char *body);
	/* Something may have moved on a stream. NULL: nothing is done. */
	void (*stream)(struct script_stream *stream);
	/* The guest sleeps and nothing is pending: true when the script did something. NULL: never
	 * does. */
	bool (*idle)(void);
	uint32_t stacks; /* 0: 64 */
	bool no_monitor; /* the program is run by the scheduler alone, without hello */
};

/* Runs it in a child process; its exit status, or 128 + the signal that ended it. */
int script_run(const struct script *script);

/* ---- for the script */

/* The next whole frame, consumed; its body stays valid until the next call. False: none. */
bool script_receive(
	struct script_stream *stream, struct frame *ret_frame, const unsigned char **ret_body);
/* A reply to the frame; error is 0 or a positive errno. */
void script_reply(struct script_stream *stream, const struct frame *request,
	const struct wire_message *message, const void *body, uint32_t flags, uint32_t error);
/* Answers Open with this payload. */
void script_opened(struct script_stream *stream, const struct frame *open,
	const struct wire_message *message, const void *payload);
void script_write(struct script_stream *stream, const void *bytes, size_t len);
struct script_stream *script_stream_by_id(uint64_t id);
struct script_stream *script_control(void);
/* The next rings that the guest maps cannot be mapped. */
void script_refuse_rings(unsigned count);
/* Doorbells that the guest rang so far. */
unsigned script_doorbells(void);

#endif
