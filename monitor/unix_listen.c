/*
 * Protocol 4: a listening UNIX socket of the host (listener.h).
 *
 * Making it and its file, and removing the file, are a worker's jobs (unix_path.h). A guest that
 * closes a listener may listen at the same path right after: to it the file is gone. So a socket
 * that finds its path taken by a listener which is about to end waits for that end, and tries
 * again.
 *
 * Of a process that was killed, a monitor for one, the socket can be alive for a moment longer: the
 * kernel lets go of an io_uring's accept after the process is gone. Who may replace what is dead is
 * patient with what may be dying.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/listener.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/unix.h"
#include "monitor/unix_path.h"
#include "monitor/worker.h"

#define LISTEN_BACKLOG 4096u

#define DYING_TRIES 15u
#define DYING_NS    20000000u /* between two */

struct unix_listener {
	struct stream *stream;
	struct unix_path path;
	struct unix_listen wanted; /* its path lies in 'path' */
	struct worker_job job;
	int result;              /* of the job */
	struct unix_bound bound; /* once that was 0 */
	bool waits;              /* for the end of another */
	struct io_timer dying;   /* until the next try */
	unsigned tries;
	unsigned ends; /* as the job began: 'ends' below */
	struct unix_listener *next;
};

/* All of them, from being opened to the end; and how many have ended. The I/O thread's. */
static struct unix_listener *listeners;
static unsigned ends;

static void job_submit(struct unix_listener *listener, void (*work)(struct worker_job *),
	void (*done)(struct worker_job *))
{
	listener->job = (struct worker_job){.work = work, .done = done};
	worker_submit(loop_workers(listener->stream->loop), &listener->job);
}

/* ---- making the socket */

static void make_done(struct worker_job *job);

static void make_work(struct worker_job *job)
{
	struct unix_listener *listener = io_container(job, struct unix_listener, job);
	unsigned backlog = listener->wanted.backlog;
	if (backlog == 0 || backlog > LISTEN_BACKLOG)
		backlog = LISTEN_BACKLOG;
	listener->result = unix_path_listen(
		&listener->path.place, &listener->wanted, backlog, &listener->bound);
}

static void make(struct unix_listener *listener)
{
	listener->waits = false;
	listener->ends = ends;
	job_submit(listener, make_work, make_done);
}

static bool same_path(const struct unix_listener *a, const struct unix_listener *b)
{
	return a->stream->loop == b->stream->loop && strcmp(a->path.text, b->path.text) == 0;
}

/* Is the path in the way of another that the guest has closed? */
static bool will_be_free(const struct unix_listener *listener)
{
	for (const struct unix_listener *other = listeners; other != NULL; other = other->next)
		if (other != listener && same_path(other, listener) && !other->waits &&
			other->stream->guest_closed)
			return true;
	return false;
}

static void unlink_from_list(struct unix_listener *listener)
{
	struct unix_listener **link = &listeners;
	while (*link != listener)
		link = &(*link)->next;
	*link = listener->next;
	ends++;
	for (struct unix_listener *other = listeners; other != NULL; other = other->next)
		if (other->waits && same_path(other, listener))
			make(other);
}

/* ---- the end */

static void remove_work(struct worker_job *job)
{
	struct unix_listener *listener = io_container(job, struct unix_listener, job);
	unix_path_remove(&listener->bound);
}

static void remove_done(struct worker_job *job)
{
	struct unix_listener *listener = io_container(job, struct unix_listener, job);
	struct stream *stream = listener->stream;
	unlink_from_list(listener);
	free(listener);
	listener_ended(stream);
}

static void end(void *context, struct stream *stream)
{
	(void)stream;
	job_submit(context, remove_work, remove_done);
}

/* Of one that was never opened. */
static void refuse(struct unix_listener *listener, int error)
{
	struct stream *stream = listener->stream;
	unlink_from_list(listener);
	free(listener);
	stream_refuse(stream, error);
}

static void refuse_done(struct worker_job *job)
{
	struct unix_listener *listener = io_container(job, struct unix_listener, job);
	refuse(listener, -listener->result);
}

/* ---- connections */

static int join(void *context, struct stream *stream, int fd)
{
	const struct unix_listener *listener = context;
	return unix_carry(stream, fd, listener->wanted.type);
}

static void announce(void *context, struct stream *listening, const struct frame *frame,
	const struct stream *stream, int fd, const struct sockaddr_storage *remote)
{
	const struct unix_listener *listener = context;
	struct unix_connected peer;
	(void)remote; /* a name that the peer gave itself, if it did */
	unix_peer(stream, fd, listener->wanted.type, &peer);
	struct unix_incoming incoming = {
		.stream_id = stream->id,
		.pid = peer.pid,
		.uid = peer.uid,
		.gid = peer.gid,
		.packet_max = peer.packet_max,
	};
	stream_send(listening, &unix_incoming_message, frame, &incoming);
}

static const struct listener_ops unix_listener = {.join = join, .announce = announce, .end = end};

/* ---- opening */

static void made(struct unix_listener *listener)
{
	struct stream *stream = listener->stream;
	if (stream->guest_closed)
		listener->result = -ECANCELED;
	else
		listener->result =
			listener_create(stream, listener->bound.fd, &unix_listener, listener);
	if (listener->result < 0) {
		close(listener->bound.fd);
		job_submit(listener, remove_work, refuse_done);
		return;
	}
	log_guest(LOG_INFO, "the guest listens on UNIX socket %.300s", listener->path.text);
	stream_opened(stream, NULL, NULL);
}

static void give_up(struct unix_listener *listener)
{
	log_guest(LOG_WARNING, "the guest cannot listen on UNIX socket %.300s: %s",
		listener->path.text, strerrorname_np(-listener->result));
	refuse(listener, -listener->result);
}

static void dying_complete(struct io_op *op, int result)
{
	struct unix_listener *listener = io_container(op, struct unix_listener, dying.op);
	if (result == -ETIME && !listener->stream->guest_closed)
		make(listener);
	else
		give_up(listener);
}

/* The path is taken. True: it may soon be free, and is tried again then. */
static bool try_again(struct unix_listener *listener)
{
	if (listener->stream->guest_closed)
		return false;
	listener->waits = will_be_free(listener);
	if (listener->waits)
		return true;
	if (listener->ends != ends) {
		make(listener);
		return true;
	}
	if ((listener->wanted.flags & UNIX_LISTEN_REPLACE) == 0 || listener->tries == DYING_TRIES)
		return false;
	listener->tries++;
	io_timeout(loop_io(listener->stream->loop), &listener->dying, DYING_NS);
	return true;
}

static void make_done(struct worker_job *job)
{
	struct unix_listener *listener = io_container(job, struct unix_listener, job);
	if (listener->result == 0)
		made(listener);
	else if (listener->result != -EADDRINUSE || !try_again(listener))
		give_up(listener);
}

static void listen_open(struct stream *stream, struct wire_bytes payload)
{
	struct unix_listen wanted;
	if (wire_decode(&unix_listen_message, &wanted, payload.data, payload.len) < 0) {
		stream_refuse(stream, EPROTO);
		return;
	}
	struct unix_listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL) {
		stream_refuse(stream, ENOMEM);
		return;
	}
	int error = unix_path_read(stream, &wanted.path, wanted.type, true, &listener->path);
	if (error == 0 && (wanted.flags & ~UNIX_LISTEN_KNOWN) != 0)
		error = EINVAL;
	if (error != 0) {
		free(listener);
		stream_refuse(stream, error);
		return;
	}
	listener->stream = stream;
	listener->wanted = wanted;
	listener->wanted.path =
		(struct wire_bytes){listener->path.text, strlen(listener->path.text)};
	listener->next = listeners;
	listeners = listener;
	listener->dying.op.done = dying_complete;
	stream->relay = listener;
	make(listener);
}

static void listen_closed(struct stream *stream)
{
	if (stream->state != STREAM_OPENING) {
		listener_closed(stream);
		return;
	}
	struct unix_listener *listener = stream->relay;
	if (listener->waits)
		refuse(listener, ECANCELED);
	/* Else a job or a timer is in flight, and will see it. */
}

const struct protocol_ops unix_listen_protocol = {
	.name = "unix-listen",
	.number = PROTOCOL_UNIX_LISTEN,
	.version = PROTOCOL_VERSION,
	.open = listen_open,
	.signal = listener_signal,
	.closed = listen_closed,
};
