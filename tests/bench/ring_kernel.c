/* pipe(2) and a pair of UNIX sockets: the kernel's own ways, with sleeping and waking. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/ring_peer.h"

struct ends {
	int in, out;
};

static void *ends_new(int in, int out)
{
	struct ends *ends = malloc(sizeof(*ends));

	if (ends != NULL)
		*ends = (struct ends){in, out};
	return ends;
}

static void *create_pipe(size_t size)
{
	int fds[2];

	(void)size;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return NULL;
	fcntl(fds[1], F_SETPIPE_SZ, (int)RING_PEER_BYTES);
	return ends_new(fds[0], fds[1]);
}

static void *create_socketpair(size_t size)
{
	int fds[2], room = (int)RING_PEER_BYTES;

	(void)size;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return NULL;
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return ends_new(fds[0], fds[1]);
}

static void destroy(void *opaque)
{
	struct ends *ends = opaque;

	if (ends->out >= 0)
		close(ends->out);
	close(ends->in);
	free(ends);
}

static bool put(void *opaque, const void *message, size_t size)
{
	const struct ends *ends = opaque;

	for (size_t done = 0; done < size;) {
		ssize_t n = write(ends->out, (const char *)message + done, size - done);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool get(void *opaque, void *ret_message, size_t size)
{
	const struct ends *ends = opaque;

	for (size_t done = 0; done < size;) {
		ssize_t n = read(ends->in, (char *)ret_message + done, size - done);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* Called by the sender, behind its last message. */
static void stop(void *opaque)
{
	struct ends *ends = opaque;

	close(ends->out);
	ends->out = -1;
}

const struct ring_peer ring_peer_pipe = {"pipe", create_pipe, destroy, put, get, stop};
const struct ring_peer ring_peer_socketpair = {
	"socketpair", create_socketpair, destroy, put, get, stop};
