/*
 * io_close: the closing of files for either backend of io. The last close of a file can be its
 * deletion, and take long (400 MiB: 23 ms), so a thread of its own does it. A wake of that thread
 * costs more than most closes do, so files gather while the I/O thread is busy, for a while. A file server
 * that is gone can stop such a thread for ever: then there is another, up to some.
 * Private to monitor/io*.c; I/O thread only.
 */
#ifndef FERRULE_MONITOR_IO_CLOSE_H
#define FERRULE_MONITOR_IO_CLOSE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IO_CLOSE_FILES 64u /* files that are closed together: 10 % more looks at paths in a second than with 16 */
#define IO_CLOSE_TURNS 64u /* calls of io_turn that a file waits for others */
#define IO_CLOSE_END_S 2   /* for a close that hangs, at the end */
#define IO_CLOSE_THREADS 4u         /* at the most, where closes hang */
#define IO_CLOSE_HANGS_NS 100000000u /* files that waited so long show that one does */
#define IO_CLOSE_WAIT 1024u          /* files that may wait to be closed before it is time to open no more */

struct io_closer {
	int gathered[IO_CLOSE_FILES];
	unsigned count;
	unsigned turns; /* since the first of them came */
	unsigned threads; /* that are there, from the first files on */
	pthread_t thread[IO_CLOSE_THREADS];
	bool some_wait, many_wait; /* so it was when that was looked at last */

	pthread_mutex_t lock; /* of those below */
	pthread_cond_t work; /* 'handed_count' is no longer 0, or 'stopping' was set */
	int *handed;
	size_t handed_count, handed_room;
	uint64_t handed_ns; /* when the first of them was, or a thread took some */
	bool stopping;
};

void io_closer_init(struct io_closer *closer);
void io_closer_add(struct io_closer *closer, int fd);
/* A turn of the loop; before a sleep no file waits for others. */
void io_closer_turn(struct io_closer *closer, bool sleeps);
/* Are there so many files to be closed that no more should be opened? */
bool io_closer_full(struct io_closer *closer);
/*
 * Waits until all are closed, but not for a file server that is gone: false when a close hangs. Then
 * 'closer' stays the thread's for good, and what is still open is closed by the end of the process.
 */
bool io_closer_end(struct io_closer *closer);

#endif
