/*
 * arena: the memory that guest and monitor share: two bells, a table of pipe
 * headers, and rings. A sparse memfd; DATAPIPE.md section 9 has the layout.
 *
 * Who holds which ring is monitor state and lies here, in private memory,
 * never in the arena. Rings are cut once, in power-of-two sizes, keep their
 * place and size for the life of the guest and are reused last-in first-out,
 * so that a warm ring is given out before a cold one.
 *
 * Used by the I/O thread alone after the guest has started.
 */
#ifndef FERRULE_MONITOR_ARENA_H
#define FERRULE_MONITOR_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#include "pipe/bell.h"
#include "pipe/pipe.h"

struct arena;

struct arena_ring {
	uint64_t offset;     /* in the arena */
	uint64_t capacity;   /* bytes */
	unsigned char *data; /* mapped twice in a row in the monitor */
};

#define ARENA_MODEST_RING (64u << 10) /* bytes: what a stream gets when many have been made */

/* 'len' bytes in all, 'slots' pipe headers (at most BELL_SLOTS). 0 or a negative errno. */
int arena_create(struct arena **ret_arena, uint64_t len, uint32_t slots);
void arena_destroy(struct arena *arena);

int arena_fd(const struct arena *arena);
uint64_t arena_len(const struct arena *arena);
uint32_t arena_slots(const struct arena *arena);
uint64_t arena_rings_offset(const struct arena *arena);
uint64_t arena_bell_offset(const struct arena *arena, enum pipe_side poster);
uint64_t arena_pipe_offset(const struct arena *arena, uint32_t slot);

/* The bell that 'poster' posts and the other side sleeps on. */
struct bell_shared *arena_bell(struct arena *arena, enum pipe_side poster);
struct pipe_shared *arena_pipe(struct arena *arena, uint32_t slot);

/*
 * The capacity that a stream which wants this valid one is to have: that, until a quarter of the
 * arena has been cut and none of it is free; from then on ARENA_MODEST_RING at most, so that large
 * rings for the first thousand streams do not keep the next ten thousand from being made.
 */
uint64_t arena_fitting_capacity(const struct arena *arena, uint64_t wanted);
/*
 * Takes a ring of a valid capacity, zeroed when it was never used before.
 * *ret_fresh: it was cut just now, and the engine must map it. 0, -ENOMEM when
 * the arena is full, or the errno of mmap.
 */
int arena_take_ring(struct arena *arena, uint64_t capacity, struct arena_ring *ret_ring, bool *ret_fresh);
void arena_give_ring(struct arena *arena, const struct arena_ring *ring);
/* Bytes of the rings that are taken and not given back. */
uint64_t arena_taken(const struct arena *arena);
/* Gives the memory of a ring behind its first 'keep' bytes back to the host: they read as zeros from now on. */
void arena_trim_ring(struct arena *arena, const struct arena_ring *ring, uint64_t keep);
/* The same for at most so many of the rings that nobody has had since arena_trim_next; their number. */
unsigned arena_trim(struct arena *arena, unsigned most);
/* From now on counts for arena_trim. Is anything left of which it will give memory back? */
bool arena_trim_next(struct arena *arena);
/* As if the ring, the last that was taken and a fresh one, had not been: nobody has been told of it. */
void arena_uncut_ring(struct arena *arena, const struct arena_ring *ring);

#endif
