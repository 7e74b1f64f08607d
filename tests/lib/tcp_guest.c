#include "tests/lib/tcp_guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/log.h"
#include "tests/lib/suite.h"

struct guest_end guest;

void tcp_guest_prepare(void)
{
	char error[200];
	log_level = LOG_ERROR;
	memset(&guest, 0, sizeof(guest));
	guest.config.poll_ns = 20000;
	expect_equal(
		grants_add_listen(&guest.config.grants, "127.0.0.1:0", error, sizeof(error)), 0);
	expect_equal(
		grants_add_connect(&guest.config.grants, "127.0.0.1:0", error, sizeof(error)), 0);
	expect_equal(
		grants_add_connect(&guest.config.grants, "localhost:0", error, sizeof(error)), 0);
}

void tcp_guest_setup(void)
{
	tcp_guest_prepare();
	guest_end_start(&guest);
}

void tcp_guest_teardown(void)
{
	guest_end_stop(&guest);
	grants_free(&guest.config.grants);
}

struct endpoint loopback(uint16_t port)
{
	return (struct endpoint){.family = ENDPOINT_IPV4, .port = port, .addr = {127, 0, 0, 1}};
}

struct guest_stream new_stream(void)
{
	struct guest_stream stream;
	expect_equal(guest_stream_new(&guest, &stream, RING, RING), 0);
	return stream;
}

/* ---- native ends */

int native_connect(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval limit = {.tv_sec = 5};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	expect_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

int native_listen(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	expect_equal(listen(fd, 16), 0);
	expect_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* ---- guest ends */

uint16_t listen_on(struct guest_stream *listener)
{
	struct tcp_listen wanted = {.local = loopback(0)};
	struct tcp_listening answer;
	expect_equal(guest_stream_open(listener, PROTOCOL_TCP_LISTEN, &tcp_listen_message, &wanted,
			     &tcp_listening_message, &answer),
		0);
	expect(answer.local.port != 0);
	return answer.local.port;
}

void post(struct guest_stream *listener, const struct guest_stream *stream)
{
	struct tcp_accept accept = {stream->id};
	guest_send(&guest, &listener->pipe, listener->slot, &tcp_accept_message, &accept);
}

struct frame incoming(struct guest_stream *listener, struct tcp_incoming *ret_incoming)
{
	struct frame frame;
	unsigned char body[128];
	guest_receive(&guest, &listener->pipe, listener->slot, &frame, body, sizeof(body));
	if (frame.type == TCP_INCOMING && frame.error == 0)
		expect_equal(wire_decode(&tcp_incoming_message, ret_incoming, body,
				     frame.length - FRAME_HEADER_LEN),
			0);
	return frame;
}

long read_some(struct guest_stream *stream, void *ret_bytes, size_t len)
{
	return guest_read(&guest, &stream->pipe, stream->slot, ret_bytes, len);
}

void write_all(struct guest_stream *stream, const void *bytes, size_t len)
{
	guest_write(&guest, &stream->pipe, stream->slot, bytes, len);
}

void finish(struct guest_stream *stream)
{
	ring_finish(&stream->pipe.out);
	guest_flush(&guest, &stream->pipe, stream->slot);
}

int another_pair(struct guest_stream *listener, uint16_t port, struct guest_stream *stream)
{
	struct tcp_incoming in;
	*stream = new_stream();
	post(listener, stream);
	int fd = native_connect(port);
	struct frame frame = incoming(listener, &in);
	expect_equal(frame.error, 0);
	expect_equal(in.stream_id, stream->id);
	expect_equal(in.local.port, port);
	expect_equal(in.remote.family, ENDPOINT_IPV4);
	return fd;
}

int connected_pair(struct guest_stream *listener, struct guest_stream *stream)
{
	*listener = new_stream();
	uint16_t port = listen_on(listener);
	return another_pair(listener, port, stream);
}
