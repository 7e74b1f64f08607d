/*
 * udp: protocol 3, PROTOCOL.md section 7. A socket of the host and the stream that is it, and what its files
 * share: udp_bind.c (Bind, names), udp_socket.c (its life), udp_receive.c and udp_send.c (the two directions),
 * udp_message.c (addresses for the kernel). Who may be sent to and heard is udp_peers.c's.
 *
 * Theory of operation. No operation ever owns memory of the rings: io only tells when the socket has become
 * readable or writable (io_poll), and then datagrams are moved by calls that do not block, a batch at a time. So
 * the two directions need no states but 'waiting for the socket', and 'waiting for the guest', which is a signal.
 *
 *   receiving  socket -> guest. recvmsg(2) straight into the ring, behind the room for the frame's header, which is
 *              written when the length is known. All that is there, up to a batch; then one commit and
 *              one wake for all of it. While the next datagram finds no room, nothing is received: the kernel's queue
 *              fills, and then overflows, which SO_RXQ_OVFL tells.
 *   sending    guest -> socket. Frames are checked in private copies of their headers, and their data is sent
 *              where it lies by one sendmmsg(2). What fails is told by SendError and passed over.
 *
 * Once the guest has finished and all is sent, or has broken a rule, the socket is closed as soon as neither poll is
 * in flight, and the stream let go.
 */
#ifndef FERRULE_MONITOR_UDP_H
#define FERRULE_MONITOR_UDP_H

#include "monitor/io.h"
#include "monitor/rate.h"
#include "monitor/stream.h"
#include "monitor/udp_peers.h"
#include "protocol/udp.h"

#define UDP_BATCH      32u          /* datagrams by one sendmmsg, or received for one wake of the guest */
#define UDP_QUANTUM    (256u << 10) /* bytes each way before other streams have their turn */
#define UDP_ERRORS     8u           /* kinds of error that wait for room */

struct udp_errors {
	struct udp_send_error entry[UDP_ERRORS];
	unsigned count;
};

struct udp_socket {
	struct stream *stream;
	struct io *io;
	int fd;
	struct endpoint local;  /* as bound */
	struct endpoint remote; /* of a connected socket; else ENDPOINT_NAME */
	bool ipv6;              /* of the kernel's family AF_INET6 */
	bool serves;            /* it hears from all, and may answer from whatever address of this machine */
	struct endpoint source; /* that was allowed last, ... */
	uint64_t source_ms;     /* then: asking for it costs system calls */
	struct io_op readable, writable;
	struct rate_waiter receive_turn, send_turn; /* for what the limits allow */
	bool awaits_readable, awaits_writable; /* in flight */
	bool deaf;              /* the guest reads no more */
	bool closing, cancelled;
	int tried;              /* errno with which the first datagram was tried in vain; 0: it was not */
	uint32_t overflow;      /* the kernel's count of lost datagrams, as told to the guest */
	uint32_t overflow_seen; /* the same, as counted in stats */
	struct udp_peers *peers; /* NULL: connected */
	struct udp_errors errors;
};

static inline bool udp_is_connected(const struct udp_socket *socket)
{
	return socket->remote.family != ENDPOINT_NAME;
}

/* The longest frame that the stream can carry to the guest: bytes. */
static inline uint32_t udp_frame_most(const struct stream *stream)
{
	uint64_t capacity = stream->ring[PIPE_HOST].capacity;
	uint32_t most = UDP_HEADER_LEN + UDP_DATAGRAM_MAX;

	return capacity < most ? (uint32_t)capacity : most;
}

/* ---- udp_socket.c */

/* What a socket is made of; handed over when udp_socket_create succeeds. */
struct udp_parts {
	int fd;
	bool ipv6;   /* of the kernel's family AF_INET6 */
	bool serves; /* it hears from all, and may answer those */
	struct endpoint remote; /* ENDPOINT_NAME: not connected */
};

/* The stream, held by the caller, becomes this socket, and Open is answered. 0, or -ENOMEM: both are still the caller's. */
int udp_socket_create(struct stream *stream, const struct udp_parts *parts);
/* protocol_ops of an open socket. */
void udp_socket_signal(struct stream *stream);
void udp_socket_trim(struct stream *stream);

/* A poll(2) that ends in udp_socket_signal's work. Nothing happens when it is in flight. */
void udp_await_readable(struct udp_socket *socket);
void udp_await_writable(struct udp_socket *socket);

/* Datagrams for 'remote' (family ENDPOINT_NAME: unknown) failed with an errno (positive): to be told. */
void udp_note_error(struct udp_socket *socket, const struct endpoint *remote, int error);

/* ---- udp_receive.c, udp_send.c: what can be done without waiting; then they see to it that they are called again */

void udp_receive(struct udp_socket *socket);
void udp_send(struct udp_socket *socket);

/* ---- udp_message.c: of recvmsg(2) and sendmsg(2) */

#define UDP_CONTROL_LEN 128u /* bytes: IPV6_PKTINFO, and SO_RXQ_OVFL */

/* One datagram for the kernel. Points into itself: it stays where it is. */
struct udp_message {
	struct sockaddr_storage address;
	struct iovec span;
	_Alignas(8) unsigned char control[UDP_CONTROL_LEN];
};

/* An IPv4 address within IPv6 as that IPv4 address; and bytes that mean nothing are 0. */
struct endpoint udp_plain(const struct endpoint *endpoint);
/*
 * The kernel's address of a peer for this socket: an IPv4 one within IPv6, where the socket is of that. 0, -EAFNOSUPPORT, or
 * -EINVAL of port 0.
 */
int udp_peer_address(bool ipv6, const struct endpoint *peer, struct sockaddr_storage *ret_address, socklen_t *ret_len);
/*
 * Fills header and message for sending 'span'. remote NULL: a connected socket's; local NULL: the host's choice. Both are plain.
 * 0 or a negative errno.
 */
int udp_message_to(const struct udp_socket *socket, struct msghdr *header, struct udp_message *message,
		const struct endpoint *remote, const struct endpoint *local, struct iovec span);
/* For receiving into 'span'. */
void udp_message_from(struct msghdr *header, struct udp_message *message, struct iovec span);
/* Of what recvmsg(2) gave: who sent it, to which of our addresses, and the kernel's count of lost datagrams if it told. */
void udp_message_read(struct msghdr *header, const struct udp_message *message, struct udp_frame *frame,
		uint32_t *overflow);
/* Asks the kernel to tell all that. 0 or a negative errno. */
int udp_message_ask(int fd, bool ipv6);

#endif
