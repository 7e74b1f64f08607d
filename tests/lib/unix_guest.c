#include "tests/lib/unix_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

void unix_grant(const char *value)
{
	char error[300];

	if (grants_add_unix(&guest.config.grants, value, error, sizeof(error)) != 0)
		ck_abort_msg("%s", error);
}

void unix_guest_prepare(void)
{
	tcp_guest_prepare();
	unix_grant(scratch_dir());
}

void unix_guest_setup(void)
{
	unix_guest_prepare();
	guest_end_start(&guest);
}

/* ---- native ends */

static socklen_t address_of(const char *path, struct sockaddr_un *ret_un)
{
	size_t len = strlen(path);

	*ret_un = (struct sockaddr_un){.sun_family = AF_UNIX};
	expect(len < sizeof(ret_un->sun_path));
	memcpy(ret_un->sun_path, path, len);
	if (path[0] == '@')
		ret_un->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] != '@'));
}

int native_unix_socket(uint32_t type)
{
	struct timeval limit = {.tv_sec = 5};
	int fd = socket(AF_UNIX, (int)type | SOCK_CLOEXEC, 0);

	expect(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

int native_unix_connect_to(int fd, const char *path)
{
	struct sockaddr_un un;
	socklen_t len = address_of(path, &un);

	return connect(fd, (struct sockaddr *)&un, len) < 0 ? errno : 0;
}

int native_unix_bind_to(int fd, const char *path)
{
	struct sockaddr_un un;
	socklen_t len = address_of(path, &un);

	return bind(fd, (struct sockaddr *)&un, len) < 0 ? errno : 0;
}

int native_unix_connect(const char *path, uint32_t type)
{
	int fd = native_unix_socket(type);

	expect_equal(native_unix_connect_to(fd, path), 0);
	return fd;
}

int native_unix_listen(const char *path, uint32_t type, int backlog)
{
	int fd = native_unix_socket(type);

	expect_equal(native_unix_bind_to(fd, path), 0);
	expect_equal(listen(fd, backlog), 0);
	return fd;
}

int native_unix_listen_full(const char *path, int ret_fds[2])
{
	int listener = native_unix_listen(path, UNIX_STREAM, 0);

	for (int i = 0; i < 2; i++) {
		ret_fds[i] = native_unix_socket(UNIX_STREAM);
		fcntl(ret_fds[i], F_SETFL, O_NONBLOCK);
		expect_equal(native_unix_connect_to(ret_fds[i], path), i == 0 ? 0 : EAGAIN);
	}
	return listener;
}

void native_unix_leave_dead(const char *path)
{
	int fd = native_unix_socket(UNIX_STREAM);

	expect_equal(native_unix_bind_to(fd, path), 0);
	close(fd);
}

/* ---- guest ends */

int unix_listen_at(
	struct guest_stream *stream, const char *path, uint32_t type, uint32_t flags, uint32_t mode)
{
	struct unix_listen wanted = {
		.type = type,
		.mode = mode,
		.flags = flags,
		.path = {path, strlen(path)},
	};

	return guest_stream_open(
		stream, PROTOCOL_UNIX_LISTEN, &unix_listen_message, &wanted, NULL, NULL);
}

int unix_connect_at(struct guest_stream *stream, const char *path, uint32_t type,
	uint32_t timeout_ms, struct unix_connected *ret_peer)
{
	struct unix_connect wanted = {
		.type = type, .timeout_ms = timeout_ms, .path = {path, strlen(path)}};

	return guest_stream_open(stream, PROTOCOL_UNIX_CONNECT, &unix_connect_message, &wanted,
		&unix_connected_message, ret_peer);
}

int unix_listen_error(const char *path, uint32_t type)
{
	struct guest_stream stream = new_stream();
	int error = unix_listen_at(&stream, path, type, 0, 0);

	guest_stream_close(&stream);
	return error;
}

int unix_connect_error(const char *path, uint32_t type)
{
	struct guest_stream stream = new_stream();
	struct unix_connected peer;
	int error = unix_connect_at(&stream, path, type, 0, &peer);

	guest_stream_close(&stream);
	return error;
}

struct frame unix_incoming_at(struct guest_stream *listener, struct unix_incoming *ret_incoming)
{
	struct frame frame;
	unsigned char body[64];

	guest_receive(&guest, &listener->pipe, listener->slot, &frame, body, sizeof(body));
	if (frame.type == UNIX_INCOMING && frame.error == 0)
		expect_equal(wire_decode(&unix_incoming_message, ret_incoming, body,
				     frame.length - FRAME_HEADER_LEN),
			0);
	return frame;
}

int unix_accepted_pair(
	struct guest_stream *listener, const char *path, uint32_t type, struct guest_stream *stream)
{
	struct unix_incoming in;

	*listener = new_stream();
	*stream = new_stream();
	expect_equal(unix_listen_at(listener, path, type, 0, 0), 0);
	post(listener, stream);
	int fd = native_unix_connect(path, type);
	expect_equal(unix_incoming_at(listener, &in).error, 0);
	expect_equal(in.stream_id, stream->id);
	return fd;
}

int unix_connected_pair(struct guest_stream *stream, const char *path, uint32_t type)
{
	struct unix_connected peer;
	int listener = native_unix_listen(path, type, 1);
	struct timeval limit = {.tv_sec = 5};

	*stream = new_stream();
	expect_equal(unix_connect_at(stream, path, type, 0, &peer), 0);
	int fd = accept(listener, NULL, NULL);
	expect(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	close(listener);
	return fd;
}

void packet_put(struct guest_stream *stream, const void *bytes, size_t len)
{
	struct unix_packet packet = {.length = (uint32_t)len, .data = {bytes, len}};

	guest_send(&guest, &stream->pipe, stream->slot, &unix_packet_message, &packet);
}

size_t packet_get(struct guest_stream *stream, void *ret_bytes, size_t room, uint32_t *ret_length)
{
	static unsigned char body[RING];
	struct unix_packet packet;
	struct frame frame;

	guest_receive(&guest, &stream->pipe, stream->slot, &frame, body, sizeof(body));
	expect_equal(frame.type, UNIX_PACKET);
	expect_equal(frame.request_id, 0);
	expect_equal(
		wire_decode(&unix_packet_message, &packet, body, frame.length - FRAME_HEADER_LEN),
		0);
	expect(packet.data.len <= room);
	memcpy(ret_bytes, packet.data.data, packet.data.len);
	*ret_length = packet.length;
	return packet.data.len;
}

void expect_removed(const char *path)
{
	for (int wait = 0; access(path, F_OK) == 0 && wait < 5000; wait++)
		sleep_ms(1);
	expect(access(path, F_OK) != 0);
}
