/*
 * reach WHAT TARGET: tries one thing and prints the errno it gets, 0 when it works:
 * listen ADDR:PORT, connect HOST:PORT, read PATH, write PATH, resolve NAME (whose addresses follow,
 * a line for each), or see ADDR:0 (an address of the host).
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

static int try_resolve(const char *target)
{
	struct endpoint address[NETWORK_ADDRESSES];
	char text[ENDPOINT_TEXT_LEN];
	uint32_t ttl_s;
	int count = name_resolve(target, address, NETWORK_ADDRESSES, &ttl_s, SOON);

	for (int i = 0; i < count; i++)
		printf("%s for %u s\n", endpoint_format(&address[i], text), ttl_s);
	return count < 0 ? count : 0;
}

static int try_see(const char *target)
{
	struct network_interface found[256];
	struct endpoint wanted;
	int count = network_list(found, 256, SOON);
	int error = endpoint_parse(target, &wanted);

	if (error || count < 0)
		return error ? error : count;
	for (int i = 0; i < count; i++)
		if (memcmp(&found[i].address, &wanted, sizeof(wanted)) == 0) {
			printf("%s is %s/%u\n", target, found[i].name, found[i].prefix);
			return 0;
		}
	return -ENOENT;
}

static const struct attempt {
	const char *name;
	int (*run)(const char *target);
} attempts[] = {
	{"listen", try_listen},
	{"connect", try_connect},
	{"read", try_read},
	{"write", try_write},
	{"resolve", try_resolve},
	{"see", try_see},
};

int main(int argc, char **argv)
{
	for (unsigned i = 0; argc == 3 && i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (strcmp(argv[1], attempts[i].name) == 0) {
			printf("%s %s: %d\n", argv[1], argv[2], -attempts[i].run(argv[2]));
			return 0;
		}
	fprintf(stderr, "usage: reach listen|connect|read|write|resolve|see TARGET\n");
	return 2;
}
