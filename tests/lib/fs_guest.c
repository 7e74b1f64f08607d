#include "tests/lib/fs_guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/log.h"
#include "tests/lib/random.h"
#include "protocol/tcp.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

struct guest_end fs_guest;

static char directory[128];
static unsigned char body[FRAME_LEN_MAX];

static void add_listen(void)
{
	char error[200];

	expect_equal(
		grants_add_listen(&fs_guest.config.grants, "127.0.0.1:0", error, sizeof(error)), 0);
}

static void add_mount(const char *guest_path)
{
	char value[200], error[300];

	snprintf(value, sizeof(value), "%s:%s", directory, guest_path);
	expect_equal(grants_add_mount(&fs_guest.config.grants, value, error, sizeof(error)), 0);
}

void fs_guest_setup(void)
{
	char *path = scratch_path("%d", (int)getpid());

	snprintf(directory, sizeof(directory), "%s", path);
	free(path);
	expect_equal(mkdir(directory, 0755), 0);
	log_level = LOG_ERROR;
	memset(&fs_guest, 0, sizeof(fs_guest));
	fs_guest.config.poll_ns = 20000;
	add_mount("/ro");
	add_mount("/rw:rw");
	add_listen();
	guest_end_start(&fs_guest);
}

void fs_guest_teardown(void)
{
	guest_end_stop(&fs_guest);
	grants_free(&fs_guest.config.grants);
}

const char *fs_guest_host_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

void fs_guest_make_cold(const char *name)
{
	int fd = open(fs_guest_host_path(name), O_RDONLY);

	fdatasync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

struct wire_bytes fs_guest_bytes(const char *text)
{
	return (struct wire_bytes){text, strlen(text)};
}

struct guest_stream fs_guest_open(
	const char *mount, uint32_t to_host, uint32_t to_guest, struct fs_mounted *ret_mounted)
{
	struct fs_mount wanted = {fs_guest_bytes(mount)};
	struct guest_stream stream;
	struct fs_mounted mounted;

	expect_equal(guest_stream_new(&fs_guest, &stream, to_host, to_guest), 0);
	expect_equal(guest_stream_open(&stream, PROTOCOL_FS, &fs_mount_message, &wanted,
			     &fs_mounted_message, &mounted),
		0);
	if (ret_mounted != NULL)
		*ret_mounted = mounted;
	return stream;
}

uint32_t fs_guest_send(struct guest_stream *stream, enum fs_type type, const void *message)
{
	return guest_send(stream->guest, &stream->pipe, stream->slot,
		&fs_requests[type - STREAM_FIRST], message);
}

void fs_guest_send_frame(struct guest_stream *stream, enum fs_type type, uint32_t flags,
	uint32_t id, const void *message)
{
	static unsigned char bytes[FS_GUEST_RING];
	struct frame frame = {.flags = (uint16_t)flags, .request_id = id};
	size_t len = wire_encode(
		&fs_requests[type - STREAM_FIRST], &frame, message, bytes, sizeof(bytes));

	expect(len > 0);
	guest_write(stream->guest, &stream->pipe, stream->slot, bytes, len);
}

struct fs_reply fs_guest_receive(struct guest_stream *stream)
{
	struct fs_reply reply = {.body = body};

	guest_receive(stream->guest, &stream->pipe, stream->slot, &reply.frame, body, sizeof(body));
	reply.len = reply.frame.length - FRAME_HEADER_LEN;
	reply.end = ring_consumer_position(&stream->pipe.in);
	expect((reply.frame.flags & FRAME_REPLY) != 0);
	expect(reply.frame.error == 0 || (reply.len == 0 && (reply.frame.flags & FRAME_MORE) == 0));
	return reply;
}

struct wire_bytes fs_guest_data(const struct fs_reply *reply)
{
	struct wire_bytes data;

	expect_equal(fs_data_find(reply->body, reply->len, &data), 0);
	return data;
}

int fs_guest_call(
	struct guest_stream *stream, enum fs_type type, const void *message, void *ret_body)
{
	uint32_t id = fs_guest_send(stream, type, message);
	struct fs_reply reply = fs_guest_receive(stream);

	expect_equal(reply.frame.request_id, id);
	expect_equal(reply.frame.type, type);
	if (reply.frame.error == 0 && ret_body != NULL)
		expect_equal(wire_decode(&fs_replies[type - STREAM_FIRST], ret_body, reply.body,
				     reply.len),
			0);
	return (int)reply.frame.error;
}

static int open_file(
	struct guest_stream *stream, const char *path, uint32_t flags, uint32_t *ret_handle)
{
	struct fs_open open = {.flags = flags, .mode = 0644, .path = fs_guest_bytes(path)};
	struct fs_opened opened;
	int error = fs_guest_call(stream, FS_OPEN, &open, &opened);

	if (error == 0)
		*ret_handle = opened.handle;
	return error;
}

uint32_t fs_guest_handle(struct guest_stream *stream, const char *path, uint32_t flags)
{
	uint32_t handle = 0;

	expect_equal(open_file(stream, path, flags, &handle), 0);
	expect(handle != 0);
	return handle;
}

int fs_guest_try_open(struct guest_stream *stream, const char *path, uint32_t flags)
{
	uint32_t handle;
	int error = open_file(stream, path, flags, &handle);

	if (error == 0)
		expect_equal(fs_guest_close(stream, handle), 0);
	return error;
}

int fs_guest_read(struct guest_stream *stream, uint32_t handle, uint32_t len, uint64_t offset,
	struct wire_bytes *ret_data)
{
	struct fs_read read = {.handle = handle, .length = len, .offset = offset};
	uint32_t id = fs_guest_send(stream, FS_READ, &read);
	struct fs_reply reply = fs_guest_receive(stream);
	struct wire_bytes data = {NULL, 0};

	expect_equal(reply.frame.request_id, id);
	if (reply.frame.error == 0)
		data = fs_guest_data(&reply);
	if (ret_data != NULL)
		*ret_data = data;
	return (int)reply.frame.error;
}

int fs_guest_write(struct guest_stream *stream, uint32_t handle, uint64_t offset, const void *bytes,
	size_t len)
{
	struct fs_write write = {.handle = handle, .offset = offset, .data = {bytes, len}};
	struct fs_written written;
	int error = fs_guest_call(stream, FS_WRITE, &write, &written);

	if (error == 0)
		expect_equal(written.length, len);
	return error;
}

int fs_guest_close(struct guest_stream *stream, uint32_t handle)
{
	return fs_guest_call(stream, FS_CLOSE, &(struct fs_close){.handle = handle}, NULL);
}

struct fs_read_file fs_guest_whole(const char *path)
{
	return (struct fs_read_file){.length = UINT64_MAX, .path = fs_guest_bytes(path)};
}

bool fs_guest_take_piece(struct fs_guest_file *file, const struct fs_reply *reply)
{
	struct fs_attributes attributes;
	bool more = (reply->frame.flags & FRAME_MORE) != 0;

	expect_equal(reply->frame.type, FS_READ_FILE);
	expect_equal(reply->frame.error, 0);
	if (!file->begun) {
		expect_equal(
			wire_decode(&fs_attributes_message, &attributes, reply->body, reply->len),
			0);
		expect(S_ISREG(attributes.mode));
		file->begun = true;
		return more;
	}
	struct wire_bytes data = fs_guest_data(reply);
	expect(!more || data.len > 0);
	/* Short frames may be moved to the start of the ring as they are. */
	if (data.len > RING_REWIND_MOST)
		expect_equal((reply->end - data.len) % FS_DATA_ALIGN, 0);
	expect_equal(
		pattern_match(file->key, file->offset + file->got, data.data, data.len), data.len);
	file->got += data.len;
	return more;
}

uint64_t fs_guest_read_whole(
	struct guest_stream *stream, const struct fs_read_file *read, uint64_t key)
{
	struct fs_guest_file file = {.key = key, .offset = read->offset};
	uint32_t id = fs_guest_send(stream, FS_READ_FILE, read);
	struct fs_reply reply;

	do {
		reply = fs_guest_receive(stream);
		expect_equal(reply.frame.request_id, id);
	} while (fs_guest_take_piece(&file, &reply));
	return file.got;
}

int fs_guest_connect(struct guest_stream *target, int most)
{
	static const struct endpoint local = {.family = ENDPOINT_IPV4, .addr = {127, 0, 0, 1}};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct tcp_listen wanted = {.local = local};
	struct tcp_accept accept = {target->id};
	struct guest_stream listener;
	struct tcp_listening answer;
	unsigned char incoming[128];
	struct frame frame;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	expect_equal(guest_stream_new(&fs_guest, &listener, 4096, 4096), 0);
	expect_equal(guest_stream_open(&listener, PROTOCOL_TCP_LISTEN, &tcp_listen_message, &wanted,
			     &tcp_listening_message, &answer),
		0);
	guest_send(&fs_guest, &listener.pipe, listener.slot, &tcp_accept_message, &accept);
	if (most != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &most, sizeof(most));
	in.sin_port = htons(answer.local.port);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	guest_receive(&fs_guest, &listener.pipe, listener.slot, &frame, incoming, sizeof(incoming));
	expect_equal(frame.error, 0);
	return fd;
}
