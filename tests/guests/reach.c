/*
 * reach WHAT TARGET: tries one thing and prints the errno it gets, 0 when it works:
 * listen ADDR:PORT, connect HOST:PORT, read PATH, or write PATH.
 */
#include <stdio.h>
#include <string.h>

#include "guest/ferrule.h"

#define SOON in_milliseconds(10000)

static int try_listen(const char *target)
{
	struct endpoint local;
	struct listener *listener;
	int error = endpoint_parse(target, &local);

	if (!error)
		error = tcp_listen(&local, &listener, SOON);
	if (!error)
		listener_close(listener);
	return error;
}

static int try_connect(const char *target)
{
	struct stream *stream;
	int error = tcp_connect(target, &stream, SOON);

	if (!error)
		stream_close(stream);
	return error;
}

static int try_read(const char *target)
{
	char byte;
	long len = path_read(target, &byte, 1, NULL, SOON);

	return len < 0 ? (int)len : 0;
}

static int try_write(const char *target)
{
	struct file *file;
	int error = file_open(&file, target, FS_OPEN_WRITE | FS_OPEN_CREATE, 0644, SOON);

	if (!error)
		file_close(file);
	return error;
}

static const struct attempt {
	const char *name;
	int (*run)(const char *target);
} attempts[] = {
	{"listen", try_listen},
	{"connect", try_connect},
	{"read", try_read},
	{"write", try_write},
};

int main(int argc, char **argv)
{
	for (unsigned i = 0; argc == 3 && i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (strcmp(argv[1], attempts[i].name) == 0) {
			printf("%s %s: %d\n", argv[1], argv[2], -attempts[i].run(argv[2]));
			return 0;
		}
	fprintf(stderr, "usage: reach listen|connect|read|write TARGET\n");
	return 2;
}
