#include "guest/stream/listener.h"

#include <stdlib.h>

#include "guest/stream/control.h"
#include "guest/stream/fiber.h"
#include "guest/stream/start.h"
#include "guest/stream/stream.h"

/*
 * How many accepts lie with the monitor. The monitor takes no connection that
 * was not asked for, so the window is what a burst finds ready; it doubles
 * whenever a burst used all of it up. It is small until a second connection comes: a
 * stream takes the monitor 10-20 us to make, which the first would wait for.
 */
#define WINDOW_FIRST 4u
#define WINDOW_USUAL 16u
#define WINDOW_MOST  128u

/* Between attempts when the monitor is out of something, and no stream is closed. */
#define RETRY_MS      10u
#define RETRY_MOST_MS 640u

struct listener {
	const struct listener_kind *kind;
	struct stream *stream;
	struct endpoint local; /* of TCP */
	struct fiber_mutex
		mutex;   /* of one accept at a time: the stream has one reader and one writer */
	unsigned window; /* accepts to keep posted */
	unsigned posted; /* with the monitor now */
	unsigned most;   /* the monitor takes no more at a time */
	bool used;       /* a connection has come */
	struct listener *next_filling;
};

/* Those whose first window is not full yet: every spare stream is posted as it comes. */
static struct listener *filling;

/* ---- listening */

/* Gives a fresh stream to the monitor. Its slot is the request id: an answer names it. */
static int post(struct listener *listener, struct stream *stream, deadline until)
{
	struct tcp_accept accept = {stream->id};
	struct frame frame = {.request_id = stream->slot};
	int error;

	error = frame_send(listener->stream, NULL, &tcp_accept_message, &frame, &accept, until);
	if (error) {
		stream_close(stream);
		return error;
	}
	stream->hook_context = listener;
	listener->posted++;
	return 0;
}

static int post_new(struct listener *listener, deadline until)
{
	struct stream *stream;
	int error = control_new_stream(STREAM_CAPACITY, STREAM_CAPACITY, &stream, until);

	return error ? error : post(listener, stream, until);
}

/*
 * Posts what is spare in one go when half of the window is used up, and waits
 * for a stream only when nothing at all is posted.
 */
static int refill(struct listener *listener, deadline until)
{
	struct stream *stream;
	int error = 0;

	if (listener->posted > listener->window / 2)
		return 0;
	while (!error && listener->posted < listener->window && (stream = control_spare_stream()))
		error = post(listener, stream, until);
	if (!error && listener->posted == 0)
		error = post_new(listener, until);
	if (!error)
		error = control_prepare(listener->window / 2, until);
	return error;
}

/* As post, in a hook: false when the stream could not be posted now. */
static bool post_now(struct listener *listener, struct stream *stream)
{
	struct tcp_accept accept = {stream->id};
	struct frame frame = {.request_id = stream->slot};

	if (frame_send_now(listener->stream, &tcp_accept_message, &frame, &accept))
		return false;
	stream->hook_context = listener;
	listener->posted++;
	return true;
}

/* Hook of the control pipe. */
static void fill_windows(void)
{
	struct stream *spare;

	while (filling && (spare = control_spare_stream())) {
		bool posted = post_now(filling, spare);

		if (!posted)
			control_keep_spare(spare);
		/* One that takes no more is left to refill. */
		if (!posted || filling->posted >= filling->window)
			filling = filling->next_filling;
	}
}

/* A connection can come as soon as one stream is posted: the others follow while nobody waits. */
static int begin_filling(struct listener *listener, deadline until)
{
	listener->next_filling = filling;
	filling = listener;
	control_on_spare(fill_windows);
	fill_windows();
	return control_prepare(listener->window - listener->posted, until);
}

static bool is_filling(const struct listener *listener)
{
	const struct listener *at = filling;

	while (at && at != listener)
		at = at->next_filling;
	return at != NULL;
}

struct stream *listener_watch(struct listener *listener, deadline until)
{
	if (listener->posted > listener->window / 2)
		return listener->stream;
	if (!is_filling(listener))
		begin_filling(listener, until);
	if (listener->posted == 0) /* what was asked for may have been refused */
		control_retry(until);
	return listener->stream;
}

bool listener_starves(const struct listener *listener)
{
	return listener->posted == 0;
}

static void end_filling(const struct listener *listener)
{
	struct listener **link = &filling;

	while (*link && *link != listener)
		link = &(*link)->next_filling;
	if (*link)
		*link = listener->next_filling;
}

/* The first accept goes right behind Open: its stream came with the listener's, or nearly so. */
static int open_stream(
	struct listener *listener, const void *listen, void *ret_listening, deadline until)
{
	const struct listener_kind *kind = listener->kind;
	struct stream *spare = control_spare_stream();
	int error = stream_send_open(listener->stream, kind->protocol, kind->listen, listen, until);

	if (spare && error)
		control_keep_spare(spare);
	else if (spare)
		error = post(listener, spare, until);
	if (!error)
		error = stream_await_opened(
			listener->stream, kind->listening, ret_listening, until);
	if (error)
		return error;
	error = begin_filling(listener, until);
	if (!error && listener->posted == 0)
		error = post_new(listener, until);
	/* With fewer streams than the window there is less to accept at once, and no more. */
	return listener->posted ? 0 : error;
}

int listener_open(const struct listener_kind *kind, const void *listen, void *ret_listening,
	struct listener **ret_listener, deadline until)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int error;

	if (!listener)
		return -ENOMEM;
	listener->kind = kind;
	listener->most = control_share(WINDOW_MOST);
	listener->window = WINDOW_FIRST < listener->most ? WINDOW_FIRST : listener->most;
	error = control_new_stream(STREAM_CAPACITY, STREAM_CAPACITY, &listener->stream, until);
	if (error) {
		free(listener);
		return error;
	}
	error = open_stream(listener, listen, ret_listening, until);
	if (error) {
		listener_close(listener);
		return error;
	}
	*ret_listener = listener;
	return 0;
}

void listener_set_local(struct listener *listener, const struct endpoint *local)
{
	listener->local = *local;
}

const struct endpoint *listener_local(const struct listener *listener)
{
	return &listener->local;
}

/* Takes the connection out of an answer. 0, the errno of the accept, or -EAGAIN: the frame is to be
 * ignored. */
static int take_incoming(struct listener *listener, const struct frame *frame,
	const unsigned char *body, struct stream **ret_stream,
	union listener_incoming *ret_incoming)
{
	struct stream *stream = stream_by_slot(frame->request_id);

	if (!(frame->flags & FRAME_REPLY) || !stream || stream->hook_context != listener) {
		frame_refuse(listener->stream, frame);
		return -EAGAIN;
	}
	stream->hook_context = NULL;
	listener->posted--;
	if (frame->error == ENOBUFS && listener->posted > 0) {
		/* One too many. The others go on; the stream is as good as new. */
		listener->most = listener->posted;
		if (listener->window > listener->most)
			listener->window = listener->most;
		control_keep_spare(stream);
		return -EAGAIN;
	}
	if (frame->error) {
		stream_close(stream);
		return -(int)(frame->error & 0xffff);
	}
	if (frame->type != TCP_INCOMING ||
		wire_decode(listener->kind->incoming, ret_incoming, body,
			frame->length - FRAME_HEADER_LEN) ||
		ret_incoming->stream_id != stream->id)
		guest_panic("the monitor sent a broken IncomingConnection");
	*ret_stream = stream;
	return 0;
}

static int accept_locked(struct listener *listener, struct stream **ret_stream,
	union listener_incoming *ret_incoming, deadline until)
{
	const unsigned char *body;
	struct frame frame;
	int error = refill(listener, until);

	if (error && listener->posted == 0)
		return error;
	do {
		error = frame_await(listener->stream, &frame, &body, until);
		if (error)
			return error == -EPIPE ? -ECONNABORTED : error;
		error = take_incoming(listener, &frame, body, ret_stream, ret_incoming);
		frame_done(listener->stream, &frame);
	} while (error == -EAGAIN);
	if (listener->used && listener->window < WINDOW_USUAL)
		listener->window = WINDOW_USUAL;
	else if (listener->posted == 0 && listener->window < WINDOW_MOST)
		listener->window *= 2;
	if (listener->window > listener->most)
		listener->window = listener->most;
	listener->used = true;
	return error;
}

int listener_accept(struct listener *listener, const struct listener_kind *kind,
	struct stream **ret_stream, union listener_incoming *ret_incoming, deadline until)
{
	int error;

	if (listener->kind != kind)
		return -EINVAL;
	error = fiber_lock(&listener->mutex, until);
	if (error)
		return error;
	error = accept_locked(listener, ret_stream, ret_incoming, until);
	fiber_unlock(&listener->mutex);
	return error;
}

void listener_close(struct listener *listener)
{
	struct stream *stream;

	end_filling(listener);
	/* The listener first: no connection is put on a posted stream after that. */
	stream_close(listener->stream);
	while ((stream = stream_by_context(listener)))
		stream_close(stream);
	free(listener);
}

/* ---- serving */

struct connection {
	struct stream *stream;
	union listener_incoming incoming;
	struct listener_serving serving;
};

static void serve_connection(void *argument)
{
	struct connection *connection = argument;

	connection->serving.begin(connection->stream, &connection->incoming, &connection->serving);
	stream_close(connection->stream);
	free(connection);
}

/* Out of something that comes back when connections end. */
static bool is_shortage(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
	       error == -EAGAIN;
}

static int start_connection(struct stream *stream, const struct connection *form)
{
	struct connection *connection = malloc(sizeof(*connection));

	if (!connection) {
		stream_fail(stream, ECONNRESET);
		stream_close(stream);
		return -ENOMEM;
	}
	*connection = *form;
	connection->stream = stream;
	while (fiber_spawn(serve_connection, connection) == -EAGAIN)
		fiber_await_stack();
	return 0;
}

int listener_serve(struct listener *listener, const struct listener_kind *kind,
	const struct listener_serving *serving)
{
	struct connection form = {.serving = *serving};
	unsigned pause_ms = RETRY_MS;

	for (;;) {
		struct stream *stream;
		int error = listener_accept(listener, kind, &stream, &form.incoming, FOREVER);

		if (!error)
			error = start_connection(stream, &form);
		if (error && !is_shortage(error))
			return error;
		if (error)
			control_await_given_back(in_milliseconds(pause_ms));
		pause_ms = !error ? RETRY_MS : pause_ms < RETRY_MOST_MS ? 2 * pause_ms : pause_ms;
	}
}
