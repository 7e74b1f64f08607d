/*
 * io_event: what the two halves of libevent's backend share: io_event.c (readiness, timers, turns)
 * and io_event_file.c (files, the workers that have them, and the way back from these). Private
 * to them.
 */
#ifndef FERRULE_MONITOR_IO_EVENT_H
#define FERRULE_MONITOR_IO_EVENT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>

#include "monitor/io_backend.h"
#include "monitor/loop.h"
#include "monitor/worker.h"

/* Of an operation. */
enum event_kind {
	/* sockets */
	EVENT_RECV,
	EVENT_DISCARD,
	EVENT_SEND,
	EVENT_ACCEPT,
	EVENT_CONNECT,
	EVENT_POLL,
	/* others */
	EVENT_WAKE,
	EVENT_READ,
	EVENT_WRITE,
	EVENT_SYNC,
	EVENT_SYNC_DATA,
	EVENT_ALLOCATE, /* the mode is in 'bytes' */
	EVENT_TIMEOUT,
};

/* Where an operation is, for cancelling. */
enum event_state {
	EVENT_STARTED,   /* in 'started' */
	EVENT_WAITING,   /* in the queue of a direction */
	EVENT_TIMING,    /* in 'timers' */
	EVENT_WORKING,   /* with a worker, in no list */
	EVENT_COMPLETED, /* in 'completed' */
};

/* Descriptors to be closed. */
struct event_closing {
	int *fd;
	size_t count, room;
};

struct event_io {
	struct io io; /* first */
	struct event_base *base;
	struct io_link started;
	struct io_link completed; /* done() is due */
	struct io_link timers;
	struct event_watched **watched; /* by descriptor; NULL: never seen */
	size_t watched_count;
	struct event_closing sockets; /* by the next turn */
	bool asked;                   /* the kernel was asked since the last turn */
	unsigned looks;               /* of io_ready */

	/* io_event_file.c's */
	struct worker_pool *workers;
	_Atomic(struct loop_message *) mailbox; /* from the workers, newest first */
	atomic_bool asleep;                     /* the thread asks for a write to mail_fd */
	int mail_fd;                            /* eventfd */
	struct event on_mail;
};

/* ---- lists: rings with a head */

static inline void list_init(struct io_link *list)
{
	list->next = list->prev = list;
}

static inline bool list_empty(const struct io_link *list)
{
	return list->next == list;
}

static inline void list_push(struct io_link *list, struct io_link *link)
{
	link->next = list;
	link->prev = list->prev;
	list->prev->next = link;
	list->prev = link;
}

static inline void list_remove(struct io_link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
}

static inline struct io_op *list_first(const struct io_link *list)
{
	return io_container(list->next, struct io_op, link);
}

/* All of 'from', which is empty afterwards. */
static inline void list_take(struct io_link *list, struct io_link *from)
{
	list_init(list);
	if (list_empty(from))
		return;
	*list = *from;
	list->next->prev = list;
	list->prev->next = list;
	list_init(from);
}

/* ---- io_event.c */

/* The operation is in no list; done() follows. */
void event_complete(struct event_io *owner, struct io_op *op, int result);
/* One epoll_wait; what is ready is tried. */
void event_ask(struct event_io *owner, bool wait);

/* ---- io_event_file.c */

/* A read, write or sync, which is in no list. */
void event_file_begin(struct event_io *owner, struct io_op *op);
/* What workers have done. */
bool event_file_has_mail(const struct event_io *owner);
void event_file_run_mail(struct event_io *owner);
/*
 * Asks to be woken by mail from here on, and looks again: false when there is some. To be followed
 * by event_file_awake.
 */
bool event_file_may_sleep(struct event_io *owner);
void event_file_awake(struct event_io *owner);
/* 0 or a negative errno; event_file_stop in both cases. */
int event_file_start(struct event_io *owner);
void event_file_stop(struct event_io *owner);

#endif
