#include "tests/lib/guest_end.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "monitor/arena.h"
#include "monitor/engine.h"

#define ARENA_LEN   (256u << 20)
#define ARENA_SLOTS 256u
#define CONTROL_LEN 16384u

#define TRIM_PATIENCE_MS 10000 /* for what takes two rests on a quiet machine */

static int map_ring_nothing(struct engine *engine, uint64_t offset, uint64_t capacity)
{
	(void)engine;
	(void)offset;
	(void)capacity;
	return 0;
}

static pid_t no_thread(const struct engine *engine)
{
	(void)engine;
	return 0;
}

static const struct engine_ops no_engine = {
	.name = "none", .map_ring = map_ring_nothing, .guest_thread = no_thread};

static void attach(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot,
	const struct arena_ring ring[2])
{
	struct pipe_area area[2] = {
		{ring[PIPE_GUEST].data, ring[PIPE_GUEST].capacity},
		{ring[PIPE_HOST].data, ring[PIPE_HOST].capacity},
	};
	pipe_attach(pipe, PIPE_GUEST, arena_pipe(guest->arena, slot), area);
}

void guest_end_start_silent(struct guest_end *guest)
{
	struct arena_ring ring[2];
	bool fresh;
	ck_assert_int_eq(arena_create(&guest->arena, ARENA_LEN, ARENA_SLOTS), 0);
	for (int side = 0; side < 2; side++)
		ck_assert_int_eq(
			arena_take_ring(guest->arena, CONTROL_LEN, &ring[side], &fresh), 0);
	const char *io = getenv("FERRULE_IO");
	if (io != NULL && strcmp(io, "event") == 0)
		guest->config.io = IO_EVENT;
	guest->doorbell_fd = eventfd(0, EFD_CLOEXEC);
	guest->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct loop_config config = {
		.config = &guest->config,
		.arena = guest->arena,
		.control_ring = {ring[0], ring[1]},
		.doorbell_fd = guest->doorbell_fd,
		.interrupt_fd = guest->interrupt_fd,
	};
	ck_assert_int_eq(loop_start(&guest->loop, &config), 0);
	ck_assert_int_eq(loop_wait_started(guest->loop), 0);
	attach(guest, &guest->control, 0, ring);
	loop_guest_started(guest->loop, &no_engine, NULL);
}

void guest_end_start(struct guest_end *guest)
{
	struct control_hello hello = {
		.magic = CONTROL_MAGIC,
		.version_major = CONTROL_VERSION_MAJOR,
		.version_minor = CONTROL_VERSION_MINOR,
	};
	struct frame frame;
	guest_end_start_silent(guest);
	guest_send(guest, &guest->control, 0, &control_messages[CONTROL_HELLO], &hello);
	guest_receive(guest, &guest->control, 0, &frame, &(char[64]){0}, 64);
	ck_assert_uint_eq(frame.type, CONTROL_HELLO);
	ck_assert_uint_eq(frame.error, 0);
}

void guest_end_stop(struct guest_end *guest)
{
	loop_stop(guest->loop, 2000);
	arena_destroy(guest->arena);
	close(guest->doorbell_fd);
	close(guest->interrupt_fd);
}

void guest_flush(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot)
{
	struct bell_shared *bell = arena_bell(guest->arena, PIPE_GUEST);
	if (!pipe_wake_peer(pipe))
		return;
	bell_post(bell, slot);
	if (bell_must_ring(bell))
		eventfd_write(guest->doorbell_fd, 1);
}

/* One sleep of the guest; the caller has announced what it waits for and looked again. */
static void guest_sleep(struct guest_end *guest)
{
	struct bell_shared *bell = arena_bell(guest->arena, PIPE_HOST);
	struct pollfd poll_fd = {.fd = guest->interrupt_fd, .events = POLLIN};
	struct bell_scan scan = {0};
	uint32_t slot;
	eventfd_t value;
	if (bell_sleep(bell))
		ck_assert_msg(poll(&poll_fd, 1, GUEST_END_WAIT_MS) == 1,
			"the monitor did not answer in time");
	bell_awake(bell);
	eventfd_read(guest->interrupt_fd, &value);
	while (bell_next(bell, &scan, &slot))
		; /* every waiter looks for itself */
}

static struct ring_span wait_data(
	struct guest_end *guest, struct pipe_end *pipe, uint32_t slot, size_t least)
{
	for (;;) {
		struct ring_span span = ring_peek(&pipe->in);
		if (span.len >= least || span.end != 0)
			return span;
		ring_await_data(&pipe->in, least);
		span = ring_peek(&pipe->in);
		if (span.len >= least || span.end != 0)
			return span;
		guest_flush(guest, pipe, slot);
		guest_sleep(guest);
	}
}

long guest_read(
	struct guest_end *guest, struct pipe_end *pipe, uint32_t slot, void *ret_bytes, size_t len)
{
	struct ring_span span = wait_data(guest, pipe, slot, 1);
	if (span.len == 0)
		return span.end == 1 ? 0 : span.end;
	size_t taken = ring_read(&pipe->in, ret_bytes, len);
	guest_flush(guest, pipe, slot);
	return (long)taken;
}

void guest_write(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot, const void *bytes,
	size_t len)
{
	const char *next = bytes;
	while (len != 0) {
		size_t done = ring_write(&pipe->out, next, len);
		guest_flush(guest, pipe, slot);
		next += done;
		len -= done;
		if (len == 0)
			return;
		ring_await_room(&pipe->out, 1);
		struct ring_span room = ring_reserve(&pipe->out);
		ck_assert_int_eq(room.end, 0);
		if (room.len == 0)
			guest_sleep(guest);
	}
}

uint32_t guest_send(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot,
	const struct wire_message *message, const void *body)
{
	unsigned char bytes[65536];
	struct frame frame = {.request_id = ++guest->next_request};
	size_t len = wire_encode(message, &frame, body, bytes, sizeof(bytes));
	ck_assert_uint_ne(len, 0);
	guest_write(guest, pipe, slot, bytes, len);
	return frame.request_id;
}

void guest_receive(struct guest_end *guest, struct pipe_end *pipe, uint32_t slot,
	struct frame *ret_frame, void *ret_body, size_t room)
{
	struct ring_span span = wait_data(guest, pipe, slot, FRAME_HEADER_LEN);
	ck_assert_int_eq(frame_decode(ret_frame, span.data, span.len), 1);
	size_t len = ret_frame->length - FRAME_HEADER_LEN;
	ck_assert_uint_le(len, room);
	span = wait_data(guest, pipe, slot, ret_frame->length);
	ck_assert_uint_ge(span.len, ret_frame->length);
	memcpy(ret_body, span.data + FRAME_HEADER_LEN, len);
	ring_consume(&pipe->in, ret_frame->length);
	guest_flush(guest, pipe, slot);
}

/* ---- memory */

long guest_arena_held(const struct guest_end *guest)
{
	struct stat stat;

	ck_assert_int_eq(fstat(arena_fd(guest->arena), &stat), 0);
	return (long)stat.st_blocks * 512;
}

bool guest_arena_comes_down_to(const struct guest_end *guest, long bytes)
{
	for (int waited = 0; waited < TRIM_PATIENCE_MS; waited += 20) {
		if (guest_arena_held(guest) <= bytes)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	return false;
}

/* ---- streams */

/* As a guest would: at addresses of its own. */
static void map_twice(struct guest_end *guest, struct arena_ring *ring)
{
	unsigned char *data =
		mmap(NULL, 2 * ring->capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(data, MAP_FAILED);
	for (int copy = 0; copy < 2; copy++)
		ck_assert_ptr_ne(mmap(data + (uint64_t)copy * ring->capacity, ring->capacity,
					 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
					 arena_fd(guest->arena), (off_t)ring->offset),
			MAP_FAILED);
	ring->data = data;
}

int guest_stream_new(struct guest_end *guest, struct guest_stream *ret_stream, uint32_t to_host,
	uint32_t to_guest)
{
	struct control_new_stream wanted = {to_host, to_guest};
	unsigned char body[64];
	struct frame frame;
	struct control_stream_info info;
	uint32_t id = guest_send(
		guest, &guest->control, 0, &control_messages[CONTROL_NEW_STREAM], &wanted);
	guest_receive(guest, &guest->control, 0, &frame, body, sizeof(body));
	ck_assert_uint_eq(frame.request_id, id);
	if (frame.type == CONTROL_STREAM_ERROR)
		return (int)frame.error;
	ck_assert_uint_eq(frame.type, CONTROL_STREAM_INFO);
	ck_assert_int_eq(wire_decode(&control_messages[CONTROL_STREAM_INFO], &info, body,
				 frame.length - FRAME_HEADER_LEN),
		0);
	struct arena_ring ring[2] = {
		{info.to_host_offset, info.to_host_capacity, NULL},
		{info.to_guest_offset, info.to_guest_capacity, NULL},
	};
	map_twice(guest, &ring[PIPE_GUEST]);
	map_twice(guest, &ring[PIPE_HOST]);
	*ret_stream = (struct guest_stream){.guest = guest,
		.slot = control_stream_slot(info.stream_id),
		.id = info.stream_id,
		.ring = {ring[0], ring[1]}};
	attach(guest, &ret_stream->pipe, ret_stream->slot, ring);
	return 0;
}

void guest_stream_close(struct guest_stream *stream)
{
	struct control_close_stream close_stream = {stream->id};
	ring_finish(&stream->pipe.out);
	ring_stop(&stream->pipe.in);
	guest_flush(stream->guest, &stream->pipe, stream->slot);
	guest_send(stream->guest, &stream->guest->control, 0,
		&control_messages[CONTROL_CLOSE_STREAM], &close_stream);
	for (int side = 0; side < 2; side++)
		munmap(stream->ring[side].data, 2 * stream->ring[side].capacity);
}

int guest_stream_open(struct guest_stream *stream, uint16_t protocol,
	const struct wire_message *message, const void *payload, const struct wire_message *answer,
	void *ret_answer)
{
	unsigned char bytes[1024];
	struct frame frame;
	struct stream_open open = {
		.protocol = protocol, .version = PROTOCOL_VERSION, .payload = {bytes, 0}};
	if (message != NULL)
		open.payload.len = wire_encode_body(message, payload, bytes, sizeof(bytes));
	uint32_t id =
		guest_send(stream->guest, &stream->pipe, stream->slot, &stream_open_message, &open);
	guest_receive(stream->guest, &stream->pipe, stream->slot, &frame, bytes, sizeof(bytes));
	ck_assert_uint_eq(frame.type, STREAM_OPENED);
	ck_assert_uint_eq(frame.request_id, id);
	if (frame.error != 0)
		return (int)frame.error;
	if (answer != NULL)
		ck_assert_int_eq(
			wire_decode(answer, ret_answer, bytes, frame.length - FRAME_HEADER_LEN), 0);
	return 0;
}
