#include "monitor/unix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "monitor/loop.h"
#include "monitor/monitor.h"
#include "monitor/path.h"
#include "monitor/relay.h"

#define SNDBUF_OVERHEAD 32u /* bytes of a send buffer that Linux keeps a packet out of */

static void refused(const char *path, bool listen, bool could)
{
	char what[FS_PATH_MAX + 32], value[FS_PATH_MAX + 32];

	snprintf(what, sizeof(what), "UNIX socket %s", path);
	snprintf(value, sizeof(value), "%s:%s", path, listen ? "listen" : "connect");
	grants_refused(what, "--unix", could ? value : NULL);
}

int unix_path_read(struct stream *stream, const struct wire_bytes *path, uint32_t type, bool listen,
	struct unix_path *ret_path)
{
	const char *text = path->data;

	if (type != UNIX_STREAM && type != UNIX_SEQPACKET)
		return ESOCKTNOSUPPORT;
	if (path->len == 0 || (path->len == 1 && text[0] == '@'))
		return EINVAL;
	bool normal = true;
	if (text[0] != '@')
		normal = path_normal(text, path->len, ret_path->text);
	if (text[0] == '@' || !normal) {
		memcpy(ret_path->text, text, path->len);
		ret_path->text[path->len] = '\0';
	}
	const struct grants *grants = &loop_config(stream->loop)->config->grants;
	if (normal && grants_unix(grants, listen, ret_path->text, &ret_path->place))
		return 0;
	refused(ret_path->text, listen, normal);
	return EACCES;
}

int unix_carry(struct stream *stream, int fd, uint32_t type)
{
	return type == UNIX_STREAM ? relay_create(stream, fd, 0) : unix_packet_create(stream, fd);
}

static uint32_t packet_max(const struct stream *stream, int fd)
{
	uint32_t ring = stream->ring[PIPE_GUEST].capacity < FRAME_LEN_MAX
				? (uint32_t)stream->ring[PIPE_GUEST].capacity
				: FRAME_LEN_MAX;
	uint32_t most = ring - UNIX_PACKET_HEADER_LEN;
	int buffer = 0;

	getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, &(socklen_t){sizeof(buffer)});
	uint32_t room = (uint32_t)buffer - SNDBUF_OVERHEAD;
	return room < most ? room : most;
}

void unix_peer(const struct stream *stream, int fd, uint32_t type, struct unix_connected *ret_peer)
{
	struct ucred peer = {0};

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &(socklen_t){sizeof(peer)});
	*ret_peer = (struct unix_connected){
		.pid = (uint32_t)peer.pid,
		.uid = peer.uid,
		.gid = peer.gid,
		.packet_max = type == UNIX_SEQPACKET ? packet_max(stream, fd) : 0,
	};
}
