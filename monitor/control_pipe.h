/* control_pipe: the monitor's half of the control pipe, the stream in slot 0 (PROTOCOL.md section 3). */
#ifndef FERRULE_MONITOR_CONTROL_PIPE_H
#define FERRULE_MONITOR_CONTROL_PIPE_H

#include "monitor/stream.h"

extern const struct protocol_ops control_protocol;

/* The control pipe's own state, in stream->relay. 0 or -ENOMEM. */
int control_pipe_create(struct stream *stream);
void control_pipe_destroy(struct stream *stream);
/* Until now requests were left in the ring: making streams needs the engine. */
void control_pipe_start(struct stream *stream);

#endif
