#include "tests/lib/udp_guest.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/address.h"
#include "tests/lib/suite.h"

#define SILENCE_MS 50

/* ---- beginning */

void udp_grant(const char *value)
{
	char error[200];

	expect_equal(grants_add_udp(&guest.config.grants, value, error, sizeof(error)), 0);
}

void udp_publish(const char *value)
{
	char error[200];

	expect_equal(grants_add_publish(&guest.config.grants, value, error, sizeof(error)), 0);
}

void udp_guest_start(const char *const *grants)
{
	tcp_guest_prepare();
	for (; *grants != NULL; grants++)
		udp_grant(*grants);
	guest_end_start(&guest);
}

struct endpoint loopback6(uint16_t port)
{
	return (struct endpoint){.family = ENDPOINT_IPV6, .port = port, .addr = {[15] = 1}};
}

struct guest_stream udp_stream(uint32_t capacity)
{
	struct guest_stream stream;

	expect_equal(guest_stream_new(&guest, &stream, capacity, capacity), 0);
	return stream;
}

bool same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- native ends */

int udp_native(int family, uint16_t *ret_port)
{
	struct endpoint local = family == AF_INET ? loopback(*ret_port) : loopback6(*ret_port);
	struct timeval limit = {.tv_sec = 5};
	struct sockaddr_storage address;
	socklen_t len;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	expect(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	expect_equal(address_to_sockaddr(&local, &address, &len), 0);
	expect_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	*ret_port = address_local(fd).port;
	return fd;
}

void udp_native_send(int fd, const struct endpoint *to, const void *bytes, size_t len)
{
	struct sockaddr_storage address;
	socklen_t address_len;

	expect_equal(address_to_sockaddr(to, &address, &address_len), 0);
	expect_equal(sendto(fd, bytes, len, 0, (struct sockaddr *)&address, address_len), len);
}

size_t udp_native_receive(int fd, void *ret_bytes, size_t len, struct endpoint *ret_from)
{
	struct sockaddr_storage address = {0};
	socklen_t address_len = sizeof(address);
	ssize_t got = recvfrom(fd, ret_bytes, len, 0, (struct sockaddr *)&address, &address_len);

	expect(got >= 0);
	if (ret_from != NULL)
		*ret_from = address_from_sockaddr(&address);
	return (size_t)got;
}

void udp_native_hears_nothing(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	expect_equal(poll(&poll_fd, 1, SILENCE_MS), 0);
}

/* ---- the guest's end */

int udp_open(
	struct guest_stream *stream, const struct udp_bind *wanted, struct udp_bound *ret_bound)
{
	return guest_stream_open(
		stream, PROTOCOL_UDP, &udp_bind_message, wanted, &udp_bound_message, ret_bound);
}

struct endpoint udp_bound_at(struct guest_stream *stream, const struct endpoint *local)
{
	struct udp_bind wanted = {.local = *local};
	struct udp_bound bound;

	*stream = udp_stream(UDP_RING);
	expect_equal(udp_open(stream, &wanted, &bound), 0);
	expect(bound.local.port != 0);
	expect_equal(bound.remote.family, ENDPOINT_NAME);
	expect_equal(bound.max_datagram, UDP_DATAGRAM_MAX);
	return bound.local;
}

struct endpoint udp_connected_to(struct guest_stream *stream, const struct endpoint *remote)
{
	struct udp_bind wanted = {.remote = *remote};
	struct udp_bound bound;

	*stream = udp_stream(UDP_RING);
	expect_equal(udp_open(stream, &wanted, &bound), 0);
	expect(same_endpoint(&bound.remote, remote));
	return bound.local;
}

void udp_put(struct guest_stream *stream, const struct endpoint *remote,
	const struct endpoint *local, const void *bytes, size_t len)
{
	struct udp_frame datagram = {.data = {bytes, len}};
	struct frame frame = {.request_id = 0};
	unsigned char *encoded = malloc(len + UDP_HEADER_LEN);

	if (remote != NULL)
		datagram.remote = *remote;
	if (local != NULL)
		datagram.local = *local;
	expect_equal(wire_encode(&udp_datagram_message, &frame, &datagram, encoded,
			     len + UDP_HEADER_LEN),
		len + UDP_HEADER_LEN);
	guest_write(&guest, &stream->pipe, stream->slot, encoded, len + UDP_HEADER_LEN);
	free(encoded);
}

void udp_get(struct guest_stream *stream, struct udp_got *ret_got)
{
	size_t len;

	guest_receive(&guest, &stream->pipe, stream->slot, &ret_got->frame, ret_got->data,
		sizeof(ret_got->data));
	len = ret_got->frame.length - FRAME_HEADER_LEN;
	if (ret_got->frame.type == UDP_DATAGRAM)
		expect_equal(
			wire_decode(&udp_datagram_message, &ret_got->datagram, ret_got->data, len),
			0);
	else if (ret_got->frame.type == UDP_SEND_ERROR)
		expect_equal(
			wire_decode(&udp_send_error_message, &ret_got->error, ret_got->data, len),
			0);
}

void udp_get_bytes(
	struct guest_stream *stream, struct udp_got *ret_got, const void *bytes, size_t len)
{
	udp_get(stream, ret_got);
	expect_equal(ret_got->frame.type, UDP_DATAGRAM);
	expect_equal(ret_got->frame.request_id, 0);
	expect_equal(ret_got->datagram.length, len);
	expect_equal(ret_got->datagram.data.len, len);
	expect(len == 0 || memcmp(ret_got->datagram.data.data, bytes, len) == 0);
}

void udp_get_error(
	struct guest_stream *stream, int error, uint32_t count, const struct endpoint *remote)
{
	static struct udp_got got;

	udp_get(stream, &got);
	expect_equal(got.frame.type, UDP_SEND_ERROR);
	expect_equal(got.error.error, error);
	expect_equal(got.error.count, count);
	expect(same_endpoint(&got.error.remote, remote));
}

void udp_get_nothing(struct guest_stream *stream)
{
	usleep(SILENCE_MS * 1000);
	expect_equal(ring_peek(&stream->pipe.in).len, 0);
}
