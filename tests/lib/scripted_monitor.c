#include "tests/lib/scripted_monitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/boot.h"
#include "guest/platform.h"
#include "guest/stream/scheduler.h"
#include "pipe/bell.h"

#define ARENA_LEN    (256u << 20)
#define WINDOW_LEN   (2ull * ARENA_LEN)
#define RINGS_OFFSET 262144u
#define CONTROL_CAP  65536u
#define STACK_LEN    (256u << 10)

static struct {
	const struct script *script;
	struct {
		struct boot_info info;
		char strings[1024];
	} boot;
	int fd;
	unsigned char *head;
	unsigned char *window[2]; /* by enum pipe_side */
	struct bell_shared *to_host, *to_guest;
	struct script_stream stream[SCRIPT_STREAMS];
	uint32_t next_slot;
	uint64_t next_ring; /* arena offset */
	uint64_t now;
	bool rung;
	unsigned doorbells, rings_refused;
	unsigned char body[FRAME_LEN_MAX];
} monitor;

#ifdef __SANITIZE_THREAD__
/* By default each process waits a second before it exits, and every script is a process. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "atexit_sleep_ms=0";
}
#endif

_Noreturn void script_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: expected: %s\n", file, line, condition);
	_exit(SCRIPT_FAILED);
}

/* ---- memory */

static void *map(size_t len, int protection, int flags, int fd, uint64_t offset, void *at)
{
	void *area = mmap(at, len, protection, flags, fd, (off_t)offset);

	script_check(area != MAP_FAILED);
	return area;
}

static unsigned char *map_ring(enum pipe_side side, uint64_t offset, uint64_t capacity)
{
	unsigned char *at = monitor.window[side] + 2 * offset;

	map(capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, monitor.fd, offset, at);
	map(capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, monitor.fd, offset,
		at + capacity);
	return at;
}

static uint64_t cut_ring(uint64_t capacity)
{
	uint64_t offset = monitor.next_ring;

	monitor.next_ring += capacity;
	script_check(monitor.next_ring <= ARENA_LEN);
	return offset;
}

static struct pipe_shared *header(uint32_t slot)
{
	return (struct pipe_shared *)(void *)(monitor.head + monitor.boot.info.pipes_offset) + slot;
}

static struct script_stream *make_stream(
	uint32_t to_host, uint32_t to_guest, struct control_stream_info *info)
{
	uint32_t slot = monitor.next_slot++;
	struct script_stream *stream = &monitor.stream[slot];
	struct pipe_area area[2];

	script_check(slot < SCRIPT_STREAMS);
	*info = (struct control_stream_info){
		.stream_id = slot ? 1ull << 32 | slot : 0,
		.pipe_offset = monitor.boot.info.pipes_offset + slot * sizeof(struct pipe_shared),
		.to_host_offset = cut_ring(to_host),
		.to_guest_offset = cut_ring(to_guest),
		.to_host_capacity = to_host,
		.to_guest_capacity = to_guest,
	};
	area[PIPE_GUEST] =
		(struct pipe_area){map_ring(PIPE_HOST, info->to_host_offset, to_host), to_host};
	area[PIPE_HOST] =
		(struct pipe_area){map_ring(PIPE_HOST, info->to_guest_offset, to_guest), to_guest};
	pipe_init(header(slot));
	*stream = (struct script_stream){.id = info->stream_id, .slot = slot, .exists = true};
	pipe_attach(&stream->pipe, PIPE_HOST, header(slot), area);
	ring_await_data(&stream->pipe.in, 1);
	return stream;
}

static void fill_boot(const struct script *script)
{
	struct boot_info *info = &monitor.boot.info;
	size_t used = 0;

	*info = (struct boot_info){.magic = BOOT_MAGIC,
		.abi_version = BOOT_ABI_VERSION,
		.length = sizeof(monitor.boot),
		.stack_count = script->stacks ? script->stacks : 64,
		.arena_len = ARENA_LEN,
		.rings_offset = RINGS_OFFSET,
		.bell_to_guest_offset = 4096,
		.pipes_offset = 8192,
		.pipe_slots = SCRIPT_STREAMS,
		.argc = 1,
		.args_offset = sizeof(*info),
		.mounts_offset = sizeof(*info) + 6};
	memcpy(monitor.boot.strings, "guest", 6);
	for (used = 6; info->mountc < 4 && script->mounts[info->mountc]; info->mountc++) {
		strcpy(monitor.boot.strings + used, script->mounts[info->mountc]);
		used += strlen(script->mounts[info->mountc]) + 1;
	}
}

static void make_machine(const struct script *script)
{
	struct control_stream_info info;

	monitor.script = script;
	monitor.now = 1000000;
	monitor.next_ring = RINGS_OFFSET;
	monitor.fd = memfd_create("arena", 0);
	script_check(monitor.fd >= 0 && ftruncate(monitor.fd, ARENA_LEN) == 0);
	fill_boot(script);
	monitor.head = map(RINGS_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, monitor.fd, 0, NULL);
	for (int side = 0; side < 2; side++)
		monitor.window[side] = map(WINDOW_LEN, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, NULL);
	monitor.to_host = (struct bell_shared *)(void *)monitor.head;
	monitor.to_guest = (struct bell_shared *)(void *)(monitor.head + 4096);
	make_stream(CONTROL_CAP, CONTROL_CAP, &info);
	monitor.boot.info.control_ring_offset[PIPE_GUEST] = info.to_host_offset;
	monitor.boot.info.control_ring_offset[PIPE_HOST] = info.to_guest_offset;
	monitor.boot.info.control_ring_capacity[PIPE_GUEST] = CONTROL_CAP;
	monitor.boot.info.control_ring_capacity[PIPE_HOST] = CONTROL_CAP;
	bell_sleep(monitor.to_host);
}

/* ---- the monitor's turn */

bool script_receive(
	struct script_stream *stream, struct frame *ret_frame, const unsigned char **ret_body)
{
	struct ring_span span = ring_peek(&stream->pipe.in);
	size_t body_len;

	if (span.len == 0 || frame_decode(ret_frame, span.data, span.len) != 1 ||
		ret_frame->length > span.len) {
		ring_await_data(&stream->pipe.in, span.len + 1);
		return false;
	}
	body_len = ret_frame->length - FRAME_HEADER_LEN;
	memcpy(monitor.body, span.data + FRAME_HEADER_LEN, body_len);
	ring_consume(&stream->pipe.in, ret_frame->length);
	*ret_body = monitor.body;
	return true;
}

void script_reply(struct script_stream *stream, const struct frame *request,
	const struct wire_message *message, const void *body, uint32_t flags, uint32_t error)
{
	struct frame frame = {.flags = (uint16_t)(FRAME_REPLY | flags),
		.request_id = request->request_id,
		.error = error};
	struct ring_span span = ring_reserve(&stream->pipe.out);
	size_t len = wire_encode(message, &frame, body, span.data, span.len);

	script_check(len > 0);
	ring_commit(&stream->pipe.out, len);
}

void script_opened(struct script_stream *stream, const struct frame *open,
	const struct wire_message *message, const void *payload)
{
	unsigned char bytes[256];
	struct stream_opened opened = {
		{bytes, wire_encode_body(message, payload, bytes, sizeof(bytes))}};

	script_reply(stream, open, &stream_opened_message, &opened, 0, 0);
}

void script_write(struct script_stream *stream, const void *bytes, size_t len)
{
	script_check(ring_write(&stream->pipe.out, bytes, len) == len);
}

struct script_stream *script_stream_by_id(uint64_t id)
{
	uint32_t slot = control_stream_slot(id);

	script_check(slot > 0 && slot < monitor.next_slot && monitor.stream[slot].id == id);
	return &monitor.stream[slot];
}

struct script_stream *script_control(void)
{
	return &monitor.stream[0];
}

unsigned script_doorbells(void)
{
	return monitor.doorbells;
}

static void answer_hello(const struct frame *frame)
{
	struct control_hello hello = {CONTROL_MAGIC, CONTROL_VERSION_MAJOR, CONTROL_VERSION_MINOR,
		0, SCRIPT_STREAMS - 1, RING_CAPACITY_MIN, RING_CAPACITY_MAX};

	script_reply(script_control(), frame, &control_messages[CONTROL_HELLO], &hello, 0, 0);
}

static void answer_new_stream(const struct frame *frame, const unsigned char *body)
{
	struct control_new_stream request;
	struct control_stream_info info;

	script_check(wire_decode(&control_messages[CONTROL_NEW_STREAM], &request, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	make_stream(request.to_host_capacity, request.to_guest_capacity, &info);
	script_reply(script_control(), frame, &control_messages[CONTROL_STREAM_INFO], &info, 0, 0);
}

static void close_stream(const struct frame *frame, const unsigned char *body)
{
	struct control_close_stream request;
	struct script_stream *stream;

	script_check(wire_decode(&control_messages[CONTROL_CLOSE_STREAM], &request, body,
			     frame->length - FRAME_HEADER_LEN) == 0);
	stream = script_stream_by_id(request.stream_id);
	script_check(stream->exists);
	if (monitor.script->stream)
		monitor.script->stream(stream); /* what was written before is still delivered */
	stream->exists = false;
}

static void take_control(void)
{
	const unsigned char *body;
	struct frame frame;

	while (script_receive(script_control(), &frame, &body)) {
		if (monitor.script->control &&
			monitor.script->control(script_control(), &frame, body))
			continue;
		if (frame.type == CONTROL_HELLO)
			answer_hello(&frame);
		else if (frame.type == CONTROL_NEW_STREAM)
			answer_new_stream(&frame, body);
		else if (frame.type == CONTROL_CLOSE_STREAM)
			close_stream(&frame, body);
		else
			script_check(frame.type == CONTROL_UNSUPPORTED);
	}
}

/* Posts what the script did to any pipe. True: the guest has something to look at. */
static bool flush_streams(void)
{
	for (uint32_t slot = 0; slot < monitor.next_slot; slot++) {
		if (pipe_wake_peer(&monitor.stream[slot].pipe))
			bell_post(monitor.to_guest, slot);
	}
	return bell_pending(monitor.to_guest);
}

static void take_pending(void)
{
	struct bell_scan scan = {0};
	uint32_t slot;

	bell_awake(monitor.to_host);
	while (bell_next(monitor.to_host, &scan, &slot)) {
		if (slot == 0)
			take_control();
		else if (monitor.stream[slot].exists && monitor.script->stream)
			monitor.script->stream(&monitor.stream[slot]);
	}
	script_check(bell_sleep(monitor.to_host));
}

/* ---- platform.h */

const struct boot_info *platform_boot(void)
{
	return &monitor.boot.info;
}

unsigned char *platform_arena(void)
{
	return monitor.head;
}

const unsigned char *platform_bundle(size_t *ret_len)
{
	*ret_len = 0;
	return NULL;
}

unsigned char *platform_ring(uint64_t offset, uint64_t capacity)
{
	if (monitor.rings_refused) {
		monitor.rings_refused--;
		return NULL;
	}
	return map_ring(PIPE_GUEST, offset, capacity);
}

void script_refuse_rings(unsigned count)
{
	monitor.rings_refused = count;
}

uint64_t platform_clock_ns(void)
{
	return monitor.now;
}

int64_t platform_wall_ns(void)
{
	return (int64_t)monitor.now;
}

void platform_wait(uint64_t deadline_ns)
{
	if (bell_pending(monitor.to_host) && !monitor.rung) {
		fprintf(stderr, "the guest sleeps without having rung for what it posted\n");
		_exit(SCRIPT_STUCK);
	}
	monitor.rung = false;
	take_pending();
	if (flush_streams())
		return;
	if (monitor.script->idle && monitor.script->idle() && flush_streams())
		return;
	if (deadline_ns == PLATFORM_NEVER) {
		fprintf(stderr, "the guest would sleep for ever\n");
		_exit(SCRIPT_STUCK);
	}
	if (monitor.now < deadline_ns)
		monitor.now = deadline_ns;
}

void platform_doorbell(void)
{
	monitor.rung = true;
	monitor.doorbells++;
}

size_t platform_stack_count(void)
{
	return monitor.boot.info.stack_count;
}

void *platform_stack(size_t index, size_t *ret_len)
{
	(void)index;
	*ret_len = STACK_LEN;
	return map(STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, NULL);
}

void platform_console(int fd, const char *text, size_t len)
{
	script_check(write(fd, text, len) == (ssize_t)len);
}

_Noreturn void platform_exit(int status)
{
	/* What the guest wrote last is delivered, as a monitor does. */
	for (uint32_t slot = 1; slot < monitor.next_slot && monitor.script->stream; slot++) {
		if (monitor.stream[slot].exists)
			monitor.script->stream(&monitor.stream[slot]);
	}
	_exit(status);
}

/* ---- the guest */

/* What start.c calls in a hosted guest's library: see guest/hosted/meson.build. */
int __real_main(int argc, char **argv);
int __real_main(int argc, char **argv)
{
	script_check(argc == 1 && strcmp(argv[0], "guest") == 0 && !argv[1]);
	return monitor.script->program();
}

static void bare_program(void *argument)
{
	(void)argument;
	guest_exit(monitor.script->program());
}

static _Noreturn void run_guest(const struct script *script)
{
	make_machine(script);
	if (!script->no_monitor)
		guest_start();
	script_check(fiber_spawn(bare_program, NULL) == 0);
	scheduler_run();
}

int script_run(const struct script *script)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0)
		run_guest(script);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
