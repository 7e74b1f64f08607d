/*
 * control: the guest's side of the control pipe (PROTOCOL.md section 3): hello,
 * and the making and unmaking of streams.
 */
#ifndef FERRULE_GUEST_STREAM_CONTROL_H
#define FERRULE_GUEST_STREAM_CONTROL_H

#include "guest/ferrule.h"

/* Ring sizes of connections and listeners, both ways. */
#define STREAM_CAPACITY (256u << 10)

/* Attaches the control pipe, exchanges Hello and asks for the first spare streams. Ends the guest with a
 * message when that fails. */
void control_start(void);

/* A fresh stream that nobody has opened. 0, -ETIMEDOUT, or the monitor's refusal. */
int control_new_stream(uint32_t to_host_capacity, uint32_t to_guest_capacity,
	struct stream **ret_stream, deadline until);

/* One of STREAM_CAPACITY if it is there already, else NULL; never waits. */
struct stream *control_spare_stream(void);

/* Puts a spare one back that could not be used. */
void control_keep_spare(struct stream *stream);

/* Called by the scheduler whenever there are spare streams of STREAM_CAPACITY: it must not wait. */
void control_on_spare(void (*hook)(void));

/*
 * Sees to it that about this many streams of STREAM_CAPACITY are spare soon, unless the monitor has refused the last one that
 * was asked for and none was closed since. 0 or an errno.
 */
int control_prepare(unsigned count, deadline until);
/* Asks for one even so, unless one is spare or under way. 0 or an errno. */
int control_retry(deadline until);
/* Returns when a stream was closed here, or at the deadline. */
void control_await_given_back(deadline until);
/* How many streams may be used ahead of any need, where 'most' is the most that is of use: a part of those that there may be. */
unsigned control_share(unsigned most);

#endif
