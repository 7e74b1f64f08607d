/*
 * Protocol 5: a connection to a UNIX socket of the host.
 *
 * Walking to it and connecting is a worker's job (unix_path.h). While the listener's backlog is
 * full, connect(2) of a blocking socket waits, for ever; the connector asks again, at growing
 * intervals, until the guest's time limit or the guest itself ends it. Each try walks anew, as the
 * kernel does when it wakes such a waiter.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/loop.h"
#include "monitor/stats.h"
#include "monitor/unix.h"
#include "monitor/unix_path.h"
#include "monitor/worker.h"

#define PAUSE_FIRST_NS 1000000u
#define PAUSE_LAST_NS  256000000u

struct unix_connector {
	struct stream *stream; /* NULL: the connection has it */
	struct io *io;
	struct unix_path path;
	uint32_t type;
	struct worker_job job;
	int result;            /* of the job: a socket, or a negative errno */
	struct io_timer limit; /* of all of it */
	struct io_timer pause; /* until the next try */
	uint64_t pause_ns;
	bool working, limited, pausing; /* in flight */
	bool over; /* answered, or the guest is gone: what is in flight only has to come back */
	bool cancelled;
};

/* The connector's own end, once an answer was given and nothing is in flight. */
static void settle(struct unix_connector *connector)
{
	if (!connector->over)
		return;
	if (!connector->cancelled) {
		connector->cancelled = true;
		if (connector->limited)
			io_cancel(connector->io, &connector->limit.op);
		if (connector->pausing)
			io_cancel(connector->io, &connector->pause.op);
	}
	if (connector->working || connector->limited || connector->pausing)
		return;
	if (connector->stream != NULL)
		stream_release(connector->stream);
	free(connector);
}

/* The guest is told at once. Its stream is held until the connector is gone. */
static void fail(struct unix_connector *connector, int error)
{
	connector->over = true;
	stream_answer_refused(connector->stream, error);
	settle(connector);
}

static void connected(struct unix_connector *connector, int fd)
{
	struct stream *stream = connector->stream;
	struct unix_connected peer;
	if (unix_carry(stream, fd, connector->type) < 0) {
		close(fd);
		fail(connector, ENOMEM);
		return;
	}
	stats.connections_made++;
	unix_peer(stream, fd, connector->type, &peer);
	connector->stream = NULL;
	connector->over = true;
	settle(connector);
	stream_opened(stream, &unix_connected_message, &peer);
}

/* ---- tries */

static void try_work(struct worker_job *job)
{
	struct unix_connector *connector = io_container(job, struct unix_connector, job);
	connector->result = unix_path_connect(&connector->path.place, connector->type);
}

static void try_done(struct worker_job *job)
{
	struct unix_connector *connector = io_container(job, struct unix_connector, job);
	connector->working = false;
	if (connector->over) {
		if (connector->result >= 0)
			close(connector->result);
		settle(connector);
	} else if (connector->result >= 0) {
		connected(connector, connector->result);
	} else if (connector->result == -EAGAIN) {
		connector->pausing = true;
		io_timeout(connector->io, &connector->pause, connector->pause_ns);
		if (connector->pause_ns < PAUSE_LAST_NS)
			connector->pause_ns *= 2;
	} else {
		fail(connector, -connector->result);
	}
}

static void try_start(struct unix_connector *connector)
{
	connector->working = true;
	worker_submit(loop_workers(connector->stream->loop), &connector->job);
}

static void pause_complete(struct io_op *op, int result)
{
	struct unix_connector *connector = io_container(op, struct unix_connector, pause.op);
	connector->pausing = false;
	if (connector->over)
		settle(connector);
	else if (result == -ETIME)
		try_start(connector);
	else
		fail(connector, ECANCELED);
}

static void limit_complete(struct io_op *op, int result)
{
	struct unix_connector *connector = io_container(op, struct unix_connector, limit.op);
	connector->limited = false;
	if (connector->over || result != -ETIME)
		settle(connector);
	else
		fail(connector, ETIMEDOUT);
}

/* ---- opening */

static void connect_open(struct stream *stream, struct wire_bytes payload)
{
	struct unix_connect wanted;
	if (wire_decode(&unix_connect_message, &wanted, payload.data, payload.len) < 0) {
		stream_refuse(stream, EPROTO);
		return;
	}
	if (!limits_take_connect(loop_limits(stream->loop))) {
		stream_refuse(stream, EAGAIN);
		return;
	}
	struct unix_connector *connector = calloc(1, sizeof(*connector));
	if (connector == NULL) {
		stream_refuse(stream, ENOMEM);
		return;
	}
	int error = unix_path_read(stream, &wanted.path, wanted.type, false, &connector->path);
	if (error != 0) {
		free(connector);
		stream_refuse(stream, error);
		return;
	}
	connector->stream = stream;
	connector->io = loop_io(stream->loop);
	connector->type = wanted.type;
	connector->job = (struct worker_job){.work = try_work, .done = try_done};
	connector->limit.op.done = limit_complete;
	connector->pause.op.done = pause_complete;
	connector->pause_ns = PAUSE_FIRST_NS;
	stream->relay = connector;
	if (wanted.timeout_ms != 0) {
		connector->limited = true;
		io_timeout(
			connector->io, &connector->limit, (uint64_t)wanted.timeout_ms * 1000000u);
	}
	try_start(connector);
}

/* The guest closed while the connection was being made: what it wrote before that still has to
 * arrive. */
static void connect_closed(struct stream *stream)
{
	struct unix_connector *connector = stream->relay;
	struct ring_span written = ring_peek(&stream->pipe.in);
	if (!connector->over && (written.len == 0 || written.end < 0))
		fail(connector, ECANCELED);
}

static void connect_signal(struct stream *stream)
{
	(void)stream; /* bytes before Opened wait in the ring */
}

const struct protocol_ops unix_connect_protocol = {
	.name = "unix-connect",
	.number = PROTOCOL_UNIX_CONNECT,
	.version = PROTOCOL_VERSION,
	.open = connect_open,
	.signal = connect_signal,
	.closed = connect_closed,
};
