/*
 * UDP from both sides for tests of the monitor: the guest's frames on the bridge of guest_end.h, and native sockets at
 * the other end. The guest, loopback() and what makes and ends it are tcp_guest.h's. Uses Check.
 */
#ifndef FERRULE_TESTS_LIB_UDP_GUEST_H
#define FERRULE_TESTS_LIB_UDP_GUEST_H

#include "protocol/udp.h"
#include "tests/lib/tcp_guest.h"

#define UDP_RING (256u << 10) /* bytes of each ring of udp_stream */

/* Grants, between tcp_guest_prepare and guest_end_start: the values of --udp and --publish. */
void udp_grant(const char *value);
void udp_publish(const char *value);
/* tcp_guest_prepare, these grants of --udp (NULL behind), guest_end_start. */
void udp_guest_start(const char *const *grants);

struct endpoint loopback6(uint16_t port);
struct guest_stream udp_stream(uint32_t capacity);

/* Native sockets on loopback, of AF_INET or AF_INET6, port 0: a free one; receives time out after 5 s. */
int udp_native(int family, uint16_t *ret_port);
void udp_native_send(int fd, const struct endpoint *to, const void *bytes, size_t len);
/* A whole datagram; its length. */
size_t udp_native_receive(int fd, void *ret_bytes, size_t len, struct endpoint *ret_from);
/* Nothing comes within 50 ms. */
void udp_native_hears_nothing(int fd);

/* Opens: an errno (positive), or 0 and what came with Opened. */
int udp_open(struct guest_stream *stream, const struct udp_bind *wanted, struct udp_bound *ret_bound);
/* A socket of the guest with rings of UDP_RING, bound there; where it really is. */
struct endpoint udp_bound_at(struct guest_stream *stream, const struct endpoint *local);
struct endpoint udp_connected_to(struct guest_stream *stream, const struct endpoint *remote);

/* From the guest. NULL: no remote, no local. */
void udp_put(struct guest_stream *stream, const struct endpoint *remote, const struct endpoint *local,
		const void *bytes, size_t len);

/* To the guest. */
struct udp_got {
	struct frame frame;
	struct udp_frame datagram;   /* its data points into 'data' */
	struct udp_send_error error; /* of UDP_SEND_ERROR */
	unsigned char data[65536 + 64];
};
void udp_get(struct guest_stream *stream, struct udp_got *ret_got);
/* The next one is a datagram with these bytes. */
void udp_get_bytes(struct guest_stream *stream, struct udp_got *ret_got, const void *bytes, size_t len);
/* The next one is this error, with this count, for this remote. */
void udp_get_error(struct guest_stream *stream, int error, uint32_t count, const struct endpoint *remote);
/* Nothing has come after 50 ms. */
void udp_get_nothing(struct guest_stream *stream);

bool same_endpoint(const struct endpoint *a, const struct endpoint *b);

#endif
