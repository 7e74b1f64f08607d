/*
 * packets listen PATH: sends each packet back to who sent it, and says who has connected.
 * packets connect PATH: sends a few, and tells what comes back up to the end.
 */
#include <stdio.h>
#include <string.h>

#include "guest/ferrule.h"

#define ROOM (256u << 10) /* bytes; of any packet */

static int send_back(struct stream *stream)
{
	static unsigned char bytes[ROOM];
	size_t length;
	long len;

	while ((len = packet_receive(stream, bytes, sizeof(bytes), &length, FOREVER)) >= 0) {
		if ((size_t)len < length)
			printf("cut off: %ld of %zu\n", len, length);
		len = packet_send(stream, bytes, (size_t)len, FOREVER);
		if (len < 0)
			break;
	}
	stream_finish(stream);
	return (int)len;
}

static int listen_at(const char *path)
{
	struct listener *listener;
	int error = unix_listen(path, UNIX_SEQPACKET, UNIX_LISTEN_REPLACE, 0, &listener, FOREVER);

	if (error)
		return error;
	printf("packets: listening on %s\n", path);
	for (;;) {
		struct unix_peer peer;
		struct stream *stream;

		error = unix_accept(listener, &stream, &peer, FOREVER);
		if (error)
			return error;
		printf("from process %u, user %u, group %u; at most %zu bytes\n", peer.pid,
			peer.uid, peer.gid, packet_max(stream));
		printf("ended with %d\n", -send_back(stream));
		stream_close(stream);
	}
}

static int connect_to(const char *path)
{
	static const char *const texts[] = {"one", "", "and three"};
	struct stream *stream;
	struct unix_peer peer;
	char bytes[64];
	size_t length;
	long len;
	int error = unix_connect(path, UNIX_SEQPACKET, &stream, &peer, in_milliseconds(10000));

	if (error)
		return error;
	printf("to process %u, user %u\n", peer.pid, peer.uid);
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		packet_send(stream, texts[i], strlen(texts[i]), FOREVER);
	stream_finish(stream);
	while ((len = packet_receive(stream, bytes, 4, &length, FOREVER)) >= 0)
		printf("back: %.*s (%zu bytes)\n", (int)len, bytes, length);
	printf("ended with %ld\n", -len);
	stream_close(stream);
	return 0;
}

int main(int argc, char **argv)
{
	int error = -EINVAL;

	if (argc == 3 && strcmp(argv[1], "listen") == 0)
		error = listen_at(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "connect") == 0)
		error = connect_to(argv[2]);
	else
		fprintf(stderr, "usage: packets listen|connect PATH\n");
	if (error)
		fprintf(stderr, "packets: error %d\n", -error);
	return error != 0;
}
