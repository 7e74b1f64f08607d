#include "tests/bench/native.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define PRINTABLE 95 /* ' ' to '~' */
#define LINE_LEN  72
#define LINE      (LINE_LEN + 2) /* with its CR LF */
#define CYCLE     (PRINTABLE * LINE)
#define BACKLOG   4096

_Noreturn void native_die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

void native_prepare(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

size_t native_cycle(void)
{
	return CYCLE;
}

const char *native_lines(size_t position)
{
	static char lines[CYCLE + NATIVE_PIECE];

	if (lines[0] == 0)
		for (size_t i = 0; i < sizeof(lines); i++) {
			size_t line = i / LINE % PRINTABLE, column = i % LINE;

			lines[i] = column == LINE_LEN  ? '\r'
				   : column > LINE_LEN ? '\n'
						       : (char)(' ' + (line + column) % PRINTABLE);
		}
	return lines + position % CYCLE;
}

static enum native_job job_of(const char *name)
{
	static const char *const names[] = {"echo", "discard", "chargen"};

	for (int i = 0; i < 3; i++)
		if (name != NULL && strcmp(name, names[i]) == 0)
			return (enum native_job)i;
	fprintf(stderr, "usage: native_epoll|native_uring echo|discard|chargen [ADDR:PORT]\n");
	exit(2);
}

static struct sockaddr_in address_of(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	const char *colon = strchr(text, ':');
	char host[INET_ADDRSTRLEN] = "";

	if (colon != NULL && colon - text < INET_ADDRSTRLEN)
		memcpy(host, text, (size_t)(colon - text));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "'%s' is no address: write 127.0.0.1:7000\n", text);
		exit(2);
	}
	address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	return address;
}

int native_start(int argc, char **argv, enum native_job *ret_job)
{
	struct sockaddr_in address = address_of(argc > 2 ? argv[2] : "127.0.0.1:0");
	socklen_t len = sizeof(address);
	struct rlimit files;
	char host[INET_ADDRSTRLEN];
	int fd;

	*ret_job = job_of(argc > 1 ? argv[1] : NULL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		native_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, BACKLOG) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		native_die("listen");
	inet_ntop(AF_INET, &address.sin_addr, host, sizeof(host));
	printf("%s: listening on %s:%u\n", argv[1], host, ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}
