/*
 * unix: what the listener (unix_listen.c), the connector (unix_connect.c) and the connections of
 * SOCK_SEQPACKET (unix_packet.c) share. PROTOCOL.md section 8.
 */
#ifndef FERRULE_MONITOR_UNIX_H
#define FERRULE_MONITOR_UNIX_H

#include "monitor/grants.h"
#include "monitor/stream.h"
#include "protocol/unix.h"

/* A path of the guest's, as it was asked for and granted. */
struct unix_path {
	char text[FS_PATH_MAX + 2]; /* path_normal's form, or "@name" */
	struct unix_place place;    /* points into 'text' */
};

/*
 * Reads a path, type and grant of an opening payload. 0, or the errno (positive) to refuse it with; a
 * refusal by the grants is logged.
 */
int unix_path_read(struct stream *stream, const struct wire_bytes *path, uint32_t type, bool listen,
		struct unix_path *ret_path);

/*
 * The stream (held by the caller, who hands it over) and the connected socket become a connection, which
 * ends by itself. 0, or -ENOMEM: then both are still the caller's. Follow with stream_opened or
 * stream_begin and stream_signal.
 */
int unix_carry(struct stream *stream, int fd, uint32_t type);
int unix_packet_create(struct stream *stream, int fd); /* of UNIX_SEQPACKET */

/* Who is at the other end, and the longest packet. 'stream' is the connection's. */
void unix_peer(const struct stream *stream, int fd, uint32_t type, struct unix_connected *ret_peer);

#endif
