/*
 * Memory for pipes in tests, laid out as the arena of DATAPIPE.md section 9:
 * two bells, pipe headers, rings, in one memfd; each ring mapped twice in a row.
 *
 * tests/lib/ holds what several tests need and no test itself. It may include
 * any room and hosted libc, and does not know Check unless its header says so.
 */
#ifndef FERRULE_TESTS_LIB_RING_MEMORY_H
#define FERRULE_TESTS_LIB_RING_MEMORY_H

#include "pipe/bell.h"
#include "pipe/pipe.h"

#define RING_MEMORY_PIPES 8 /* the most pipes in one memory */

struct ring_memory {
	int fd;
	unsigned pipes;
	uint64_t capacity;           /* bytes, of every ring */
	void *head;                  /* mapping of the bells and headers */
	struct bell_shared *bell[2]; /* by enum pipe_side: the one that this side posts */
	struct pipe_shared *pipe;    /* [pipes] */
	struct pipe_area area[RING_MEMORY_PIPES][2]; /* as pipe_attach takes it */
};

/* A fresh memfd with initialised headers, mapped. 0 or a negative errno. */
int ring_memory_create(struct ring_memory *ret_memory, unsigned pipes, uint64_t capacity);

/* Maps the same memory once more at other addresses, as the other side would. 0 or a negative
 * errno. */
int ring_memory_map_again(const struct ring_memory *memory, struct ring_memory *ret_memory);

/* Unmaps; closes the descriptor of the memory that was created, not of one mapped again. */
void ring_memory_destroy(struct ring_memory *memory);

#endif
