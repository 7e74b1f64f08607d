#include "tests/lib/closers.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define THREADS  4u
#define LEN_MOST 60000u /* bytes of one connection */
#define WAIT_MS  10000

void closers_count(int connection, void *argument)
{
	struct closers *closers = argument;
	uint64_t count = client_count_to_end(connection);

	close(connection);
	closers->read += count;
	closers->ends++;
}

static void write_and_close(void *argument, unsigned index)
{
	struct closers *closers = argument;
	struct random random = {closers->seed + index};

	for (unsigned i = 0; i < closers->each; i++) {
		uint64_t len = random_len(&random, LEN_MOST);
		int fd = closers->path != NULL ? client_connect_unix(closers->path, SOCK_STREAM)
					       : client_connect(closers->port);
		client_send_pattern(fd, i, 0, len);
		client_close(fd);
		closers->written += len;
	}
}

void closers_run(struct closers *closers)
{
	closers->seed = random_seed();
	in_threads(THREADS, write_and_close, closers);
	for (int wait = 0; closers->ends < THREADS * closers->each && wait < WAIT_MS; wait++)
		sleep_ms(1);
	expect_equal(closers->ends, THREADS * closers->each);
	expect_equal(closers->read, closers->written);
}
