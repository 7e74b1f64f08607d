/*
 * chargen [ADDR:PORT]: sends lines of printable characters, each shifted by one
 * against the one before it (RFC 864), until the client has had enough.
 */
#include <string.h>

#include "guest/programs/service.h"

#define PRINTABLE   95 /* ' ' to '~' */
#define LINE_LEN    72
#define LINE_BYTES  (LINE_LEN + 2) /* with its CR LF */
#define CYCLE_BYTES (PRINTABLE * LINE_BYTES)

static unsigned char cycle[CYCLE_BYTES]; /* after that many lines they come again */

static void make_cycle(void)
{
	for (int line = 0; line < PRINTABLE; line++) {
		unsigned char *at = cycle + line * LINE_BYTES;

		for (int column = 0; column < LINE_LEN; column++)
			at[column] = (unsigned char)(' ' + (line + column) % PRINTABLE);
		at[LINE_LEN] = '\r';
		at[LINE_LEN + 1] = '\n';
	}
}

/* Reads nothing: what the client says is not asked for. */
static void serve(struct stream *stream, void *argument)
{
	size_t at = 0, worthwhile = stream_write_capacity(stream) / 4;
	unsigned char *room;
	long space;

	(void)argument;
	while ((space = stream_reserve(stream, &room, worthwhile, FOREVER)) > 0) {
		size_t len =
			sizeof(cycle) - at < (size_t)space ? sizeof(cycle) - at : (size_t)space;

		memcpy(room, cycle + at, len);
		stream_commit(stream, len);
		at = (at + len) % sizeof(cycle);
	}
}

int main(int argc, char **argv)
{
	static const struct service service = {"chargen",
		"Sends lines of characters until the client has had enough.", "127.0.0.1:7002",
		serve};

	make_cycle();
	return service_main(argc, argv, &service);
}
