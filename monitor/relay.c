/*
 * The relay of one connection: a stream's pipe on one side, a stream socket on the other.
 *
 * Theory of operation. The two directions are independent; each has at most one
 * operation in flight, which owns the span of ring memory that it was given.
 *
 *   sending    guest -> socket. Bytes in the ring are sent where they lie. When the
 *              guest finished and all is sent: shutdown(SHUT_WR), a FIN. When the guest
 *              failed its direction: the connection is reset (SO_LINGER 0), a RST, at once
 *              even if a send waits for a peer that does not read.
 *              Bytes of a file can be sent before the guest has committed them
 *              (PROTOCOL.md section 5.16): when it does, they are only consumed.
 *   receiving  socket -> guest. recv(2) straight into the ring. End of file finishes
 *              the ring, an error fails it with the errno after the bytes before it.
 *   discarding takes the place of receiving when the guest will read no more: what the peer
 *              still says is dropped, so that it can go on to the point where it listens. TCP
 *              drops it uncopied, UNIX sockets cannot.
 *
 * A direction ends once: 'send_done', 'recv_done'. With both done and nothing in flight the
 * socket is closed and the stream let go. CloseStream counts as finished for what is
 * still to be sent. Once that is sent, closing waits (lingers) only while something could be
 * lost by it: bytes that the peer has not acknowledged, or unread input, for which the kernel
 * would send a RST that overtakes them. For what is unread it waits RELAY_LINGER_NS; bytes that the
 * peer takes slowly may take their time. A peer that takes nothing for RELAY_STALL_NS after
 * CloseStream is let go, and reset if the ring has more for it: a stream must not be held for ever.
 *
 * UNIX sockets have no reset. What was sent to one lies with the peer and cannot be lost any more;
 * of unread input closing makes an ECONNRESET for the peer, behind all that it has to read. So
 * where TCP is reset a UNIX socket is closed, and only unread input is waited for.
 *
 * Linux tells a socket's error once, to whichever operation asks first. When the send took
 * it, the receive sees an end of file; the ring is then failed with what the send was told.
 *
 * Receiving waits only for a full ring, never for 'more room': the guest may be waiting for as
 * many bytes as the ring can hold. Once full, it asks for a quarter of the ring, so that no
 * one is woken for a trickle.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/loop.h"
#include "monitor/relay.h"
#include "monitor/stats.h"
#include "monitor/stream.h"
#include "monitor/trim.h"
#include "protocol/error.h"

#define RELAY_QUANTUM                                                                              \
	(256u << 10) /* bytes per operation: how long one stream may keep the thread */
#define RELAY_LINGER_NS 2000000000u /* for the peer to end its side; how often it is looked at */

enum receiving {
	RECEIVING_NOTHING,
	RECEIVING_READINESS, /* under a limit: what waits for bytes has no share of what is allowed
			      */
	RECEIVING_TO_RING,
	RECEIVING_TO_DISCARD,
};

/* Ends a connection on which nothing moves. */
#define IDLE_TICKS 4u /* of one limit */

struct idle {
	struct relay *relay;
	struct io_timer timer;
	uint64_t tick_ns;
	uint64_t moved_then; /* at the last tick */
	unsigned quiet;      /* ticks since something moved */
	bool ticking;        /* in flight */
	bool cancelled;
};

struct relay {
	struct stream *stream;
	struct io *io;
	int fd;
	struct io_op send_op;
	struct io_op recv_op;
	struct io_timer timer;                   /* runs after CloseStream only */
	struct rate_waiter send_turn, recv_turn; /* for what the limits allow */
	bool sending;                            /* in flight */
	enum receiving receiving;                /* in flight */
	bool timing;                             /* in flight */
	bool send_cancelled;
	bool recv_cancelled;
	bool timer_cancelled;
	bool timer_lingers; /* it was started when all was sent */
	bool send_done;
	bool recv_done;
	bool discard; /* the guest reads no more */
	bool tcp;
	bool trims;     /* memory of the ring is to be given back before the next receive */
	int send_error; /* errno that ended sending, to be told when the receive sees only an end */
	size_t sent_ahead;           /* bytes that the guest has still to commit */
	uint64_t sent;               /* bytes */
	uint64_t sent_then;          /* when the timer was started */
	int unacknowledged_then;     /* bytes of it, then */
	unsigned still;              /* times that the timer ran and the peer took nothing of these */
	uint64_t received;           /* bytes */
	size_t send_paid, recv_paid; /* bytes of the limits, for what is in flight */
	bool readable;               /* as the last RECEIVING_READINESS found */
	struct idle *idle;           /* NULL: it may be idle for ever */
};

/* Where bytes of UNIX sockets go that nobody wants; those of many at a time, and never read. */
static unsigned char dropped[64u << 10];

static void relay_pump(struct relay *relay);

static size_t quantum(size_t len)
{
	return len < RELAY_QUANTUM ? len : RELAY_QUANTUM;
}

static size_t within(struct rate *rate, size_t len)
{
	uint64_t allowed = rate_allows(rate);
	return len < allowed ? len : (size_t)allowed;
}

/* Both directions are over and the peer gets a RST. */
static void relay_reset(struct relay *relay, int error)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	setsockopt(relay->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	relay->send_done = true;
	relay->recv_done = true;
	ring_fail(&relay->stream->pipe.out, error);
	ring_stop(&relay->stream->pipe.in);
}

/* ---- sending: guest to socket */

/* What is to be sent, without what was sent before it was committed. */
static struct ring_span unsent(struct relay *relay)
{
	struct ring_consumer *in = &relay->stream->pipe.in;
	struct ring_span span = ring_peek(in);
	size_t done = span.len < relay->sent_ahead ? span.len : relay->sent_ahead;
	if (done == 0)
		return span;
	relay->sent_ahead -= done;
	ring_consume(in, done);
	return ring_peek(in);
}

/* The ring has no bytes and has ended. */
static void send_end(struct relay *relay, int end)
{
	if (end < 0) {
		relay_reset(relay, ECONNABORTED);
	} else {
		shutdown(relay->fd, SHUT_WR);
		relay->send_done = true;
	}
}

static void relay_send(struct relay *relay)
{
	struct ring_consumer *in = &relay->stream->pipe.in;
	if (relay->sending || relay->send_done)
		return;
	struct ring_span span = unsent(relay);
	if (span.len == 0 && span.end == 0 && !relay->stream->guest_closed) {
		size_t ahead;
		/* Announce, look again, and leave it to the bell; partner: the guest's
		 * ring_wake_consumer. A look that skips what was sent ahead has moved on, and what
		 * was announced before it lies behind: once more then. */
		do {
			ahead = relay->sent_ahead;
			ring_await_data(in, 1);
			span = unsent(relay);
		} while (span.len == 0 && span.end == 0 && relay->sent_ahead != ahead);
		if (span.len == 0 && span.end == 0)
			return;
	}
	if (span.len == 0) {
		send_end(relay, span.end);
		return;
	}
	struct rate *rate = &loop_limits(relay->stream->loop)->sends;
	size_t len = within(rate, quantum(span.len));
	if (len == 0) {
		rate_wait(rate, &relay->send_turn);
		return;
	}
	relay->sending = true;
	relay->send_paid = len;
	rate_spend(rate, len);
	io_send(relay->io, &relay->send_op, relay->fd, span.data, len);
}

/* Takes in what became of a send. The bytes that were sent. */
static size_t send_result(struct relay *relay, long result)
{
	if (result >= 0) {
		stats.bytes_to_host += (size_t)result;
		relay->sent += (size_t)result;
		return (size_t)result;
	}
	if (result != -EINTR && !relay->send_done) {
		/* The guest's writes get -EPIPE from here on; why, its reads will tell. */
		relay->send_done = true;
		if (result != -EPIPE && result != -ECANCELED)
			relay->send_error = (int)-result;
		ring_stop(&relay->stream->pipe.in);
	}
	return 0;
}

static void send_complete(struct io_op *op, int result)
{
	struct relay *relay = io_container(op, struct relay, send_op);
	relay->sending = false;
	rate_give_back(&loop_limits(relay->stream->loop)->sends,
		relay->send_paid - (result > 0 ? (size_t)result : 0));
	ring_consume(&relay->stream->pipe.in, send_result(relay, result));
	relay_pump(relay);
}

static bool relay_may_send_ahead(struct stream *stream)
{
	struct relay *relay = stream->relay;
	bool skips = relay->sent_ahead != 0;
	if (relay->sending || relay->send_done || rate_limits(&loop_limits(stream->loop)->sends))
		return false;
	/* The commit of what was sent ahead before can be there and its signal still to come. */
	struct ring_span span = unsent(relay);
	if (skips)
		stream_flush(stream);
	return relay->sent_ahead == 0 && span.len == 0 && span.end == 0;
}

static size_t relay_send_ahead(struct stream *stream, const struct iovec *spans, unsigned count)
{
	struct relay *relay = stream->relay;
	long result = io_send_now(relay->fd, spans, count);
	if (result == -EAGAIN)
		return 0;
	relay->sent_ahead = send_result(relay, result);
	size_t sent = relay->sent_ahead;
	if (result < 0)
		relay_pump(relay);
	return sent;
}

/* ---- receiving: socket to guest */

/*
 * Nothing is being received. Before that the kernel may have put bytes behind the last commit, of
 * which the completion is still to come: never while a receive is in flight.
 */
static void trim_ring(struct relay *relay)
{
	struct stream *stream = relay->stream;
	const struct arena_ring *ring = &stream->ring[PIPE_HOST];
	if (relay->trims && ring_reserve(&stream->pipe.out).len == ring->capacity)
		arena_trim_ring(loop_arena(stream->loop), ring, TRIM_KEPT);
	relay->trims = false;
}

/* The receive in flight is taken back for it, and started anew behind it. */
static void relay_trim(struct stream *stream)
{
	struct relay *relay = stream->relay;
	relay->trims = true;
	if (relay->receiving == RECEIVING_NOTHING || relay->receiving == RECEIVING_READINESS) {
		trim_ring(relay);
	} else if (relay->receiving == RECEIVING_TO_RING && !relay->recv_cancelled) {
		relay->recv_cancelled = true;
		io_cancel(relay->io, &relay->recv_op);
	}
}

/* Room for what is received; without any, the guest's reading will signal. */
static struct ring_span receive_room(struct relay *relay)
{
	struct ring_producer *out = &relay->stream->pipe.out;
	struct ring_span room = ring_reserve(out);
	if (room.len == 0) {
		ring_await_room(out, relay->stream->ring[PIPE_HOST].capacity / 4);
		room = ring_reserve(out);
	}
	return room;
}

static void start_receive(struct relay *relay, struct ring_span room, size_t len)
{
	if (!relay->discard) {
		relay->receiving = RECEIVING_TO_RING;
		io_recv(relay->io, &relay->recv_op, relay->fd, room.data,
			room.len < len ? room.len : len);
		return;
	}
	relay->receiving = RECEIVING_TO_DISCARD;
	if (relay->tcp)
		io_discard(relay->io, &relay->recv_op, relay->fd, len);
	else
		io_recv(relay->io, &relay->recv_op, relay->fd, dropped,
			len < sizeof(dropped) ? len : sizeof(dropped));
}

static void relay_receive(struct relay *relay)
{
	struct rate *rate = &loop_limits(relay->stream->loop)->receives;
	struct ring_span room = {0};
	if (relay->receiving != RECEIVING_NOTHING || relay->recv_done)
		return;
	trim_ring(relay);
	if (!relay->discard) {
		room = receive_room(relay);
		if (room.len == 0)
			return;
	}
	if (rate_limits(rate) && !relay->readable) {
		relay->receiving = RECEIVING_READINESS;
		io_poll(relay->io, &relay->recv_op, relay->fd, POLLIN);
		return;
	}
	size_t len = within(rate, RELAY_QUANTUM);
	if (len == 0) {
		rate_wait(rate, &relay->recv_turn);
		return;
	}
	relay->readable = false;
	relay->recv_paid = len;
	rate_spend(rate, len);
	start_receive(relay, room, len);
}

static void recv_end(struct relay *relay, int error)
{
	struct ring_producer *out = &relay->stream->pipe.out;
	relay->recv_done = true;
	if (error == 0) {
		ring_finish(out);
		return;
	}
	/* The connection is gone, both ways. */
	ring_fail(out, (int)wire_error_number(error));
	relay->send_done = true;
	ring_stop(&relay->stream->pipe.in);
}

static void recv_complete(struct io_op *op, int result)
{
	struct relay *relay = io_container(op, struct relay, recv_op);
	enum receiving receiving = relay->receiving;
	bool asked = relay->recv_cancelled;
	relay->receiving = RECEIVING_NOTHING;
	relay->recv_cancelled = false;
	bool readable = receiving == RECEIVING_READINESS && result >= 0;
	if (receiving != RECEIVING_READINESS)
		rate_give_back(&loop_limits(relay->stream->loop)->receives,
			relay->recv_paid - (result > 0 ? (size_t)result : 0));
	if (relay->recv_done) {
		/* Only memory of the ring was waited for. */
	} else if (readable) {
		relay->readable = true;
	} else if (result > 0 && receiving == RECEIVING_TO_RING) {
		relay->received += (unsigned)result;
		stats.bytes_to_guest += (unsigned)result;
		ring_commit_rewind(&relay->stream->pipe.out, (size_t)result);
	} else if (result == 0) {
		recv_end(relay, relay->send_error);
	} else if (result < 0 && result != -EINTR && !(result == -ECANCELED && asked)) {
		recv_end(relay, -result);
	}
	relay_pump(relay);
}

/* ---- the time after CloseStream */

/* Bytes; a FIN counts for one. */
static int unacknowledged(const struct relay *relay)
{
	int bytes = 0;
	if (relay->tcp)
		ioctl(relay->fd, SIOCOUTQ, &bytes);
	return bytes;
}

/* Could closing the socket now destroy bytes that are on their way to the peer? */
static bool something_to_lose(const struct relay *relay)
{
	int unread = 0;
	ioctl(relay->fd, SIOCINQ, &unread);
	return unread != 0 || unacknowledged(relay) != 0;
}

/*
 * Is what was sent still to be waited for? A peer that sends meanwhile can keep it on its way for
 * long: each of its segments starts the kernel's persist timer anew, which alone sends into a small
 * window.
 */
static bool lingers_on(struct relay *relay)
{
	int left = unacknowledged(relay);
	relay->still = left < relay->unacknowledged_then ? 0 : relay->still + 1;
	return left != 0 && relay->still < RELAY_STALL_NS / RELAY_LINGER_NS;
}

static void timer_complete(struct io_op *op, int result)
{
	struct relay *relay = io_container(op, struct relay, timer.op);
	bool over = result == -ETIME;
	relay->timing = false;
	relay->timer_cancelled = false;
	/* Who is waited for again is so by relay_time. */
	if (over && relay->timer_lingers)
		relay->recv_done |= !lingers_on(relay);
	else if (over && relay->sent == relay->sent_then && !relay->send_done &&
		 !rate_waits(&relay->send_turn))
		relay_reset(relay, ETIMEDOUT);
	relay_pump(relay);
}

static void relay_time(struct relay *relay)
{
	bool over = relay->send_done && relay->recv_done;
	if (relay->timing) {
		bool stale = over || (relay->send_done && !relay->timer_lingers);
		if (stale && !relay->timer_cancelled) {
			relay->timer_cancelled = true;
			io_cancel(relay->io, &relay->timer.op);
		}
		return;
	}
	if (over || !relay->stream->guest_closed)
		return;
	relay->timing = true;
	relay->timer_lingers = relay->send_done;
	relay->sent_then = relay->sent;
	relay->unacknowledged_then = unacknowledged(relay);
	io_timeout(relay->io, &relay->timer, relay->send_done ? RELAY_LINGER_NS : RELAY_STALL_NS);
}

/* ---- a limit to silence */

static void idle_tick(struct idle *idle)
{
	idle->ticking = true;
	io_timeout(idle->relay->io, &idle->timer, idle->tick_ns);
}

static void idle_complete(struct io_op *op, int result)
{
	struct idle *idle = io_container(op, struct idle, timer.op);
	struct relay *relay = idle->relay;
	uint64_t moved = relay->sent + relay->received;
	idle->ticking = false;
	bool held_up = rate_waits(&relay->send_turn) || rate_waits(&relay->recv_turn);
	idle->quiet = moved == idle->moved_then && !held_up ? idle->quiet + 1 : 0;
	idle->moved_then = moved;
	bool over = relay->send_done && relay->recv_done;
	if (!over && result == -ETIME && idle->quiet >= IDLE_TICKS)
		relay_reset(relay, ETIMEDOUT);
	else if (!over && result == -ETIME)
		idle_tick(idle);
	relay_pump(relay);
}

/* True: the timer is still in flight. */
static bool idle_ends(struct relay *relay)
{
	struct idle *idle = relay->idle;
	if (idle == NULL || !idle->ticking)
		return false;
	if (relay->send_done && relay->recv_done && !idle->cancelled) {
		idle->cancelled = true;
		io_cancel(relay->io, &idle->timer.op);
	}
	return true;
}

static int idle_create(struct relay *relay, uint64_t ns)
{
	struct idle *idle = calloc(1, sizeof(*idle));
	if (idle == NULL)
		return -ENOMEM;
	idle->relay = relay;
	idle->timer.op.done = idle_complete;
	idle->tick_ns = ns / IDLE_TICKS + 1;
	relay->idle = idle;
	idle_tick(idle);
	return 0;
}

/* ---- both directions */

/* What the guest did to the pipe that concerns operations in flight, too. */
static void relay_look(struct relay *relay)
{
	struct stream *stream = relay->stream;
	struct ring_span in = ring_peek(&stream->pipe.in);
	struct ring_span out = ring_reserve(&stream->pipe.out);
	if (relay->send_done && relay->recv_done)
		return;
	if (stream_pipe_broken(stream)) {
		stream_broken(stream, "impossible ring positions");
		relay_reset(relay, EPROTO);
	} else if (in.end < 0 && (relay->sending || rate_waits(&relay->send_turn))) {
		relay_reset(relay, ECONNABORTED);
	}
	if (out.end != 0 || stream->guest_closed)
		relay->discard = true;
}

/* What is in flight for a direction that is over keeps memory of the ring: have it back soon. */
static void relay_cancel(struct relay *relay)
{
	bool stop = relay->recv_done || (relay->discard && relay->receiving == RECEIVING_TO_RING);
	if (stop && relay->receiving != RECEIVING_NOTHING && !relay->recv_cancelled) {
		relay->recv_cancelled = true;
		io_cancel(relay->io, &relay->recv_op);
	}
	if (relay->send_done && relay->sending && !relay->send_cancelled) {
		relay->send_cancelled = true;
		io_cancel(relay->io, &relay->send_op);
	}
}

static void relay_settle(struct relay *relay)
{
	struct stream *stream = relay->stream;
	if (stream->guest_closed && relay->send_done && !relay->recv_done &&
		!something_to_lose(relay))
		relay->recv_done = true;
	relay_cancel(relay);
	relay_time(relay);
	stream_flush(stream);
	bool ticks = idle_ends(relay);
	if (!relay->send_done || !relay->recv_done || relay->sending || relay->timing || ticks ||
		relay->receiving != RECEIVING_NOTHING)
		return;
	rate_forget(&loop_limits(stream->loop)->sends, &relay->send_turn);
	rate_forget(&loop_limits(stream->loop)->receives, &relay->recv_turn);
	io_close_socket(relay->io, relay->fd);
	stream->relay = NULL;
	free(relay->idle);
	free(relay);
	stream_release(stream);
}

static void relay_pump(struct relay *relay)
{
	relay_look(relay);
	relay_send(relay);
	relay_receive(relay);
	relay_settle(relay);
}

static void relay_signal(struct stream *stream)
{
	relay_pump(stream->relay);
}

static void send_turn(struct rate_waiter *waiter)
{
	relay_pump(io_container(waiter, struct relay, send_turn));
}

static void recv_turn(struct rate_waiter *waiter)
{
	relay_pump(io_container(waiter, struct relay, recv_turn));
}

static const struct protocol_ops relay_protocol = {
	.name = "relay",
	.trim = relay_trim,
	.signal = relay_signal,
	.closed = relay_signal,
	.may_send_ahead = relay_may_send_ahead,
	.send_ahead = relay_send_ahead,
};

int relay_create(struct stream *stream, int fd, uint64_t idle_ns)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int domain = AF_INET;
	if (relay == NULL)
		return -ENOMEM;
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){sizeof(domain)});
	*relay = (struct relay){
		.stream = stream,
		.io = loop_io(stream->loop),
		.fd = fd,
		.send_op = {send_complete},
		.recv_op = {recv_complete},
		.timer = {.op = {timer_complete}},
		.send_turn = {send_turn},
		.recv_turn = {recv_turn},
		.tcp = domain != AF_UNIX,
	};
	if (idle_ns != 0 && idle_create(relay, idle_ns) < 0) {
		free(relay);
		return -ENOMEM;
	}
	stream->relay = relay;
	stream->protocol = &relay_protocol;
	return 0;
}
