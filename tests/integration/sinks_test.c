/* The guest programs discard and chargen: one way each, as much as a client wants. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/client.h"
#include "tests/lib/integration.h"

#define LISTEN      WORDS("--listen", ANY_PORT)
#define CONNECTIONS 4
#define MIB         (1u << 20)

/* ---- chargen: RFC 864's lines of 72 of the 95 printable characters, each begun one further on */

static unsigned char chargen_byte(uint64_t position)
{
	uint64_t line = position / 74, column = position % 74;

	if (column >= 72)
		return column == 72 ? '\r' : '\n';
	return (unsigned char)(' ' + (line + column) % 95);
}

static void expect_lines(int fd, uint64_t len)
{
	static unsigned char bytes[65536];

	for (uint64_t position = 0; position < len;) {
		size_t piece = len - position < sizeof(bytes) ? (size_t)(len - position) : sizeof(bytes);

		client_receive(fd, bytes, piece);
		for (size_t i = 0; i < piece; i++, position++)
			if (bytes[i] != chargen_byte(position))
				ck_abort_msg("byte %llu is %d instead of %d",
					(unsigned long long)position, bytes[i], chargen_byte(position));
	}
}

START_TEST(chargen_sends_its_lines)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor, LISTEN, "chargen", WORDS(ANY_PORT));
	int silent = client_connect(port), fd[CONNECTIONS];

	for (int i = 0; i < CONNECTIONS; i++)
		fd[i] = client_connect(port);
	for (int i = 0; i < CONNECTIONS; i++)
		expect_lines(fd[i], scale(4, 64) * (uint64_t)MIB + (uint64_t)i * 1000);
	/* Those who have had enough, in both ways, are nothing to the others. */
	client_close(fd[0]);
	client_reset(fd[1]);
	expect_lines(silent, MIB);
	client_close(fd[2]);
	client_close(fd[3]);
	client_close(silent);
	guest_stop(&monitor, port);
}
END_TEST

/* ---- discard */

static void discard_one(void *argument, unsigned index)
{
	const uint16_t *port = argument;
	int fd = client_connect(*port);

	client_send_pattern(fd, index, 0, scale(16, 256) * (uint64_t)MIB + index);
	client_finish(fd);
	client_expect_end(fd); /* which comes when all of it was taken; nothing was sent back */
	client_close(fd);
}

START_TEST(discard_takes_everything)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor, LISTEN, "discard", WORDS(ANY_PORT));
	int fd = client_connect(port);

	in_threads(CONNECTIONS, discard_one, &port);
	client_send(fd, "x", 1);
	expect(!client_readable(fd, 50));
	client_reset(fd);
	discard_one(&port, 0);
	guest_stop(&monitor, port);
}
END_TEST

static const struct integration_test tests[] = {
	{&chargen_sends_its_lines, 120},
	{&discard_takes_everything, 120},
};

INTEGRATION_MAIN("sinks", tests, NULL)
