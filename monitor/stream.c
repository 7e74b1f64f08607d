#include "monitor/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/control_pipe.h"
#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/log.h"
#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/stats.h"
#include "monitor/trim.h"

#define LIMIT_SHARES 4u   /* of the rings' memory that the user allows */
#define STREAM_TURN  256u /* frames of one stream that are taken at a time */

/* Rings that a guest's first streams will want, mapped before it runs and touches memory itself. */
#define AHEAD_RINGS    10u          /* of a listener and its first accepts */
#define AHEAD_CAPACITY (256u << 10) /* as the guest's library asks for */

struct stream_table {
	struct loop *loop;
	struct stream
		*stream; /* [slots]; slot 0 is the control pipe; the two arrays lie behind it */
	uint32_t *generation; /* [slots] of the last stream there */
	uint32_t *free_slot;  /* a stack: last in, first out, so that warm pipes come first */
	uint32_t free_count;
	uint32_t unused; /* from here on no slot was ever taken */
	uint32_t slots;
	unsigned held;
	uint32_t count;      /* streams that exist */
	uint64_t ring_bytes; /* of their rings */
	uint32_t sweep;      /* the slot that the sweep has come to */
	bool sweep_met_moved;
	struct arena_ring ahead[AHEAD_RINGS]; /* fresh ones */
	unsigned ahead_count;
};

const struct protocol_ops *const stream_protocols[PROTOCOL_COUNT] = {
	[PROTOCOL_FS] = &fs_protocol,
	[PROTOCOL_TCP_LISTEN] = &tcp_listen_protocol,
	[PROTOCOL_TCP_CONNECT] = &tcp_connect_protocol,
	[PROTOCOL_UDP] = &udp_protocol,
	[PROTOCOL_UNIX_LISTEN] = &unix_listen_protocol,
	[PROTOCOL_UNIX_CONNECT] = &unix_connect_protocol,
	[PROTOCOL_NETWORK] = &network_protocol,
};

/* Attaches the pipe of a slot whose rings are known, as an empty one. */
static void attach(struct stream_table *table, struct stream *stream)
{
	struct pipe_shared *shared = arena_pipe(loop_arena(table->loop), stream->slot);
	struct pipe_area area[2] = {
		{stream->ring[PIPE_GUEST].data, stream->ring[PIPE_GUEST].capacity},
		{stream->ring[PIPE_HOST].data, stream->ring[PIPE_HOST].capacity},
	};
	pipe_init(shared);
	pipe_attach(&stream->pipe, PIPE_HOST, shared, area);
	/* Whatever comes first, a frame or raw bytes, has to be signalled. */
	ring_await_data(&stream->pipe.in, 1);
}

/* Of the stream in a slot: the guest learns of it by DataStreamInfo, or, of slot 0, by its boot
 * information. */
static int control_attach(struct stream_table *table)
{
	const struct loop_config *config = loop_config(table->loop);
	struct stream *stream = &table->stream[0];
	*stream = (struct stream){
		.loop = table->loop,
		.state = STREAM_ESTABLISHED,
		.protocol = &control_protocol,
		.ring = {config->control_ring[0], config->control_ring[1]},
	};
	attach(table, stream);
	return control_pipe_create(stream);
}

/* Without memory for them there are fewer, and whoever wants one will hear of it. */
void stream_table_take_ahead(struct stream_table *table)
{
	struct arena *arena = loop_arena(table->loop);
	bool fresh;

	while (table->ahead_count < AHEAD_RINGS &&
		arena_take_ring(arena, AHEAD_CAPACITY, &table->ahead[table->ahead_count], &fresh) ==
			0)
		table->ahead_count++;
}

int stream_table_create(struct stream_table **ret_table, struct loop *loop)
{
	struct stream_table *table = calloc(1, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	table->loop = loop;
	table->slots = arena_slots(loop_arena(loop));
	/* In one piece, so large that calloc has it from the kernel and touches none of it. */
	table->stream = calloc(table->slots,
		sizeof(*table->stream) + sizeof(*table->generation) + sizeof(*table->free_slot));
	if (table->stream == NULL) {
		free(table);
		return -ENOMEM;
	}
	table->generation = (uint32_t *)(void *)(table->stream + table->slots);
	table->free_slot = table->generation + table->slots;
	table->unused = 1;
	int result = control_attach(table);
	if (result < 0) {
		stream_table_destroy(table);
		return result;
	}
	*ret_table = table;
	return 0;
}

void stream_table_destroy(struct stream_table *table)
{
	control_pipe_destroy(&table->stream[0]);
	free(table->stream);
	free(table);
}

unsigned stream_table_held(const struct stream_table *table)
{
	return table->held;
}

void stream_table_start(struct stream_table *table)
{
	control_pipe_start(&table->stream[0]);
}

struct stream *stream_find(struct stream_table *table, uint64_t id)
{
	uint32_t slot = control_stream_slot(id);
	if (slot == 0 || slot >= table->slots)
		return NULL;
	struct stream *stream = &table->stream[slot];
	return stream->state != STREAM_FREE && stream->id == id ? stream : NULL;
}

/* ---- making and unmaking */

static int take_ring_ahead(struct stream_table *table, struct arena_ring *ret_ring)
{
	*ret_ring = table->ahead[table->ahead_count - 1];
	int result = loop_map_ring(table->loop, ret_ring->offset, ret_ring->capacity);
	if (result == 0)
		table->ahead_count--;
	return result;
}

static int take_ring(struct stream_table *table, uint64_t capacity, struct arena_ring *ret_ring)
{
	bool fresh;
	if (capacity == AHEAD_CAPACITY && table->ahead_count != 0)
		return take_ring_ahead(table, ret_ring);
	int result = arena_take_ring(loop_arena(table->loop), capacity, ret_ring, &fresh);
	if (result < 0 || !fresh)
		return result;
	result = loop_map_ring(table->loop, ret_ring->offset, ret_ring->capacity);
	if (result < 0)
		arena_uncut_ring(loop_arena(table->loop), ret_ring);
	return result;
}

static uint32_t take_slot(struct stream_table *table)
{
	return table->free_count != 0 ? table->free_slot[--table->free_count] : table->unused++;
}

/*
 * Where the guest's rings may have so much memory together, a stream has at most a part of what is
 * left: there will be others. False: not even the smallest rings can be had.
 */
static bool limit_capacities(
	const struct stream_table *table, uint64_t *to_host, uint64_t *to_guest)
{
	uint64_t limit = loop_config(table->loop)->config->limits.in_flight;
	if (limit == 0)
		return true;
	uint64_t left = limit > table->ring_bytes ? limit - table->ring_bytes : 0;
	while (*to_host + *to_guest > left / LIMIT_SHARES) {
		uint64_t *larger = *to_host > *to_guest ? to_host : to_guest;
		if (*larger == RING_CAPACITY_MIN)
			break;
		*larger /= 2;
	}
	return *to_host + *to_guest <= left;
}

int stream_create(struct stream_table *table, uint32_t to_host_capacity, uint32_t to_guest_capacity,
	struct stream **ret_stream)
{
	if (!ring_capacity_valid(to_host_capacity) || !ring_capacity_valid(to_guest_capacity))
		return -EINVAL;
	const struct limits_config *limits = &loop_config(table->loop)->config->limits;
	if (limits->streams != 0 && table->count >= limits->streams) {
		limits_reached("streams", limits->streams);
		return -EMFILE;
	}
	if (table->free_count == 0 && table->unused == table->slots)
		return -ENFILE;
	const struct arena *arena = loop_arena(table->loop);
	struct arena_ring ring[2];
	uint64_t to_host = arena_fitting_capacity(arena, to_host_capacity);
	uint64_t to_guest = arena_fitting_capacity(arena, to_guest_capacity);
	if (!limit_capacities(table, &to_host, &to_guest)) {
		limits_reached("in-flight", limits->in_flight);
		return -ENOBUFS;
	}
	int result = take_ring(table, to_host, &ring[PIPE_GUEST]);
	if (result < 0)
		return result;
	result = take_ring(table, to_guest, &ring[PIPE_HOST]);
	if (result < 0) {
		arena_give_ring(loop_arena(table->loop), &ring[PIPE_GUEST]);
		return result;
	}
	uint32_t slot = take_slot(table);
	if (++table->generation[slot] == 0)
		table->generation[slot] = 1;
	struct stream *stream = &table->stream[slot];
	*stream = (struct stream){
		.loop = table->loop,
		.id = (uint64_t)table->generation[slot] << 32 | slot,
		.slot = slot,
		.state = STREAM_FRESH,
		.ring = {ring[0], ring[1]},
	};
	attach(table, stream);
	table->count++;
	table->ring_bytes += ring[PIPE_GUEST].capacity + ring[PIPE_HOST].capacity;
	stats.streams_opened++;
	*ret_stream = stream;
	return 0;
}

static void stream_free(struct stream *stream)
{
	struct stream_table *table = loop_streams(stream->loop);
	assert(stream->slot != 0 && stream->state != STREAM_FREE);
	table->count--;
	table->ring_bytes -= stream->ring[PIPE_GUEST].capacity + stream->ring[PIPE_HOST].capacity;
	arena_give_ring(loop_arena(table->loop), &stream->ring[PIPE_HOST]);
	arena_give_ring(loop_arena(table->loop), &stream->ring[PIPE_GUEST]);
	table->free_slot[table->free_count++] = stream->slot;
	stats.streams_closed++;
	stream->state = STREAM_FREE;
}

static void free_if_done(struct stream *stream)
{
	if (stream->guest_closed && !stream->held && stream->pins == 0)
		stream_free(stream);
}

static void hold(
	struct stream *stream, enum stream_state state, const struct protocol_ops *protocol)
{
	stream->held = true;
	stream->state = state;
	stream->protocol = protocol;
	loop_streams(stream->loop)->held++;
}

static void let_go(struct stream *stream)
{
	assert(stream->held);
	stream->held = false;
	loop_streams(stream->loop)->held--;
}

void stream_claim(struct stream *stream, const struct protocol_ops *protocol)
{
	assert(stream->state == STREAM_FRESH);
	hold(stream, STREAM_CLAIMED, protocol);
}

void stream_begin(struct stream *stream)
{
	assert(stream->state == STREAM_CLAIMED);
	stream->state = STREAM_ESTABLISHED;
}

void stream_release(struct stream *stream)
{
	let_go(stream);
	stream->state = STREAM_ENDED;
	free_if_done(stream);
}

void stream_pin(struct stream *stream)
{
	stream->pins++;
}

void stream_unpin(struct stream *stream)
{
	assert(stream->pins > 0);
	stream->pins--;
	free_if_done(stream);
}

void stream_guest_close(struct stream *stream)
{
	/* The guest may have written Open, and more, just before it closed. */
	if (stream->state == STREAM_FRESH)
		stream_signal(stream);
	if (stream->guest_closed)
		return;
	stream->guest_closed = true;
	if (stream->held) {
		stream->protocol->closed(stream);
		return;
	}
	/* One that is pinned stays for a while: no frame opens it any more. */
	stream->state = STREAM_ENDED;
	free_if_done(stream);
}

void stream_table_close_all(struct stream_table *table)
{
	stats.streams_at_end = table->count;
	for (uint32_t slot = 1; slot < table->unused; slot++)
		if (table->stream[slot].state != STREAM_FREE)
			stream_guest_close(&table->stream[slot]);
}

void stream_table_count_left(const struct stream_table *table)
{
	const struct stream *control = &table->stream[0];
	uint64_t own = control->ring[PIPE_GUEST].capacity + control->ring[PIPE_HOST].capacity +
		       (uint64_t)table->ahead_count * AHEAD_CAPACITY;

	stats.streams_left = table->count;
	stats.ring_bytes_left = arena_taken(loop_arena(table->loop)) - own;
}

/* ---- memory of idle streams */

/* Idle since the last sweep, and empty: true when memory was given back. */
static bool trim(struct stream *stream, bool *ret_moved)
{
	uint64_t at = stream->pipe.out.written;
	bool moved = at != stream->swept_at;

	stream->swept_at = at;
	*ret_moved |= moved;
	if (moved || at == stream->trimmed_at ||
		ring_reserve(&stream->pipe.out).len < stream->ring[PIPE_HOST].capacity)
		return false;
	stream->trimmed_at = at;
	stream->protocol->trim(stream);
	return true;
}

unsigned stream_table_trim(struct stream_table *table, unsigned most)
{
	unsigned done = 0;

	for (; done < most && table->sweep < table->slots; table->sweep++) {
		struct stream *stream = &table->stream[table->sweep];
		if (stream->state == STREAM_ESTABLISHED && stream->protocol->trim != NULL)
			done += trim(stream, &table->sweep_met_moved);
	}
	return done;
}

bool stream_table_trim_next(struct stream_table *table)
{
	bool moved = table->sweep_met_moved;

	table->sweep = 0;
	table->sweep_met_moved = false;
	return moved;
}

/* ---- the first frame */

static const struct protocol_ops *find_protocol(const struct stream_open *open, int *ret_error)
{
	*ret_error = EPROTONOSUPPORT;
	if (open->protocol >= PROTOCOL_COUNT || stream_protocols[open->protocol] == NULL)
		return NULL;
	const struct protocol_ops *protocol = stream_protocols[open->protocol];
	return open->version == protocol->version ? protocol : NULL;
}

/* Open is taken off the ring before the protocol answers, so the payload is copied. */
static void open_stream(struct stream *stream, const struct frame *frame, const unsigned char *body)
{
	unsigned char payload[STREAM_OPEN_PAYLOAD_MAX];
	struct stream_open open;
	int error = EPROTO;
	const struct protocol_ops *protocol = NULL;
	stream->open_request_id = frame->request_id;
	if (frame->type == STREAM_OPEN &&
		wire_decode(&stream_open_message, &open, body, frame->length - FRAME_HEADER_LEN) ==
			0 &&
		open.payload.len <= sizeof(payload))
		protocol = find_protocol(&open, &error);
	if (protocol != NULL) {
		memcpy(payload, open.payload.data, open.payload.len);
		open.payload.data = payload;
	}
	stream_frame_done(stream, frame);
	hold(stream, STREAM_OPENING, protocol);
	if (protocol == NULL)
		stream_refuse(stream, error);
	else
		protocol->open(stream, open.payload);
}

static void fresh_signal(struct stream *stream)
{
	struct frame frame;
	const unsigned char *body;
	int result = stream_frame(stream, &frame, &body);
	if (result == 1)
		open_stream(stream, &frame, body);
	else if (result < 0)
		stream->state = STREAM_ENDED;
}

void stream_signal(struct stream *stream)
{
	stream->turn = STREAM_TURN;
	if (stream->state == STREAM_FRESH)
		fresh_signal(stream);
	else if (stream->state == STREAM_ESTABLISHED)
		stream->protocol->signal(stream);
}

void stream_table_signal(struct stream_table *table, uint32_t slot)
{
	if (slot < table->slots)
		stream_signal(&table->stream[slot]);
}

void stream_opened(struct stream *stream, const struct wire_message *message, const void *body)
{
	unsigned char payload[STREAM_OPEN_PAYLOAD_MAX];
	struct stream_opened opened = {.payload = {payload, 0}};
	if (message != NULL)
		opened.payload.len = wire_encode_body(message, body, payload, sizeof(payload));
	struct frame frame = {.flags = FRAME_REPLY, .request_id = stream->open_request_id};
	stream->state = STREAM_ESTABLISHED;
	stream_send(stream, &stream_opened_message, &frame, &opened);
	stream->protocol->signal(stream);
}

void stream_answer_refused(struct stream *stream, int error)
{
	stats.streams_refused++;
	stream_send_error(stream, STREAM_OPENED, stream->open_request_id, error);
	ring_finish(&stream->pipe.out);
	ring_stop(&stream->pipe.in);
	stream_flush(stream);
	stream->state = STREAM_ENDED;
}

void stream_refuse(struct stream *stream, int error)
{
	stream_answer_refused(stream, error);
	stream_release(stream);
}

/* ---- pipes */

void stream_flush(struct stream *stream)
{
	if (pipe_wake_peer(&stream->pipe))
		loop_tell_guest(stream->loop, stream->slot);
}

bool stream_pipe_broken(const struct stream *stream)
{
	return ring_consumer_broken(&stream->pipe.in) || ring_producer_broken(&stream->pipe.out);
}

void stream_broken(struct stream *stream, const char *rule)
{
	stats.broken_pipes_by_guest++;
	log_guest(LOG_WARNING, "the guest broke a rule on stream %u: %s; the stream is ended",
		stream->slot, rule);
	ring_fail(&stream->pipe.out, EPROTO);
	ring_stop(&stream->pipe.in);
	stream_flush(stream);
}
