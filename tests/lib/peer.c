#include "tests/lib/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/suite.h"

#define BACKLOG 1024

struct served {
	const struct peer *peer;
	int connection;
};

static void *serve_thread(void *argument)
{
	struct served served = *(struct served *)argument;

	free(argument);
	served.peer->serve(served.connection, served.peer->argument);
	return NULL;
}

static void serve_on_thread(const struct peer *peer, int connection)
{
	struct timeval wait = {.tv_sec = CLIENT_WAIT_MS / 1000};
	struct served *served = malloc(sizeof(*served));
	pthread_t thread;

	setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (peer->port != 0)
		setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	expect(served != NULL);
	*served = (struct served){.peer = peer, .connection = connection};
	expect_equal(pthread_create(&thread, NULL, serve_thread, served), 0);
	pthread_detach(thread);
}

static void *accept_thread(void *argument)
{
	const struct peer *peer = argument;
	int connection;

	/* peer_stop shuts the listener down, and accept fails. */
	while ((connection = accept4(peer->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		serve_on_thread(peer, connection);
	return NULL;
}

void peer_start(struct peer *peer)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (peer->listen_fd < 0 || bind(peer->listen_fd, (struct sockaddr *)&address, len) < 0 ||
		listen(peer->listen_fd, BACKLOG) < 0 ||
		getsockname(peer->listen_fd, (struct sockaddr *)&address, &len) < 0)
		ck_abort_msg("a native server: %s", strerror(errno));
	peer->port = ntohs(address.sin_port);
	expect_equal(pthread_create(&peer->thread, NULL, accept_thread, peer), 0);
}

void peer_start_unix(struct peer *peer, const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	expect(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	peer->port = 0;
	peer->listen_fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (peer->listen_fd < 0 ||
		bind(peer->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(peer->listen_fd, BACKLOG) < 0)
		ck_abort_msg("a native server at %s: %s", path, strerror(errno));
	expect_equal(pthread_create(&peer->thread, NULL, accept_thread, peer), 0);
}

void peer_stop(struct peer *peer)
{
	shutdown(peer->listen_fd, SHUT_RDWR);
	pthread_join(peer->thread, NULL);
	close(peer->listen_fd);
}

void peer_echo(int connection, void *argument)
{
	char bytes[65536];
	ssize_t n;

	(void)argument;
	while ((n = recv(connection, bytes, sizeof(bytes), 0)) > 0)
		client_send(connection, bytes, (size_t)n);
	close(connection);
}
