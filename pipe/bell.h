/*
 * bell: how one side tells the other which pipes are worth a look, and the one
 * flag that says whether a doorbell has to be rung for it. Specified in
 * DATAPIPE.md section 8. There is one bell each way per guest.
 *
 * A summary word stands over words of one bit per pipe slot: a wake costs what
 * is pending, not what exists. With several vCPUs there would be one bell each.
 */
#ifndef FERRULE_PIPE_BELL_H
#define FERRULE_PIPE_BELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipe/barrier.h"

#define BELL_SLOTS             16384 /* the most pipe slots that a guest can have */
#define BELL_WORDS             (BELL_SLOTS / 64)
#define BELL_WORDS_PER_SUMMARY (BELL_WORDS / 64) /* words that one bit of the summary stands for */

struct bell_shared {
	/* set by the poster, cleared by the sleeper; both with read-modify-write */
	shared_u64 summary;
	unsigned char summary_reserved[120];
	/* 1: the sleeper asks for a doorbell; the poster that rings it puts 0 back */
	shared_u32 asleep;
	unsigned char asleep_reserved[124];
	/* bit s % 64 of word s / 64: slot s is worth a look. As summary. */
	shared_u64 word[BELL_WORDS];
};

_Static_assert(offsetof(struct bell_shared, summary) == 0, "DATAPIPE.md section 8");
_Static_assert(offsetof(struct bell_shared, asleep) == 128, "DATAPIPE.md section 8");
_Static_assert(offsetof(struct bell_shared, word) == 256, "DATAPIPE.md section 8");
_Static_assert(sizeof(struct bell_shared) == 2304, "DATAPIPE.md section 8");

/* Poster: marks the slot (below BELL_SLOTS). The caller follows with bell_must_ring, once for many posts. */
void bell_post(struct bell_shared *bell, uint32_t slot);

/* Poster: is the other side asleep, so that the doorbell has to be rung now? True to one caller only. */
bool bell_must_ring(struct bell_shared *bell);

/* Sleeper: is anything pending? One load; this is what spinning looks at. */
bool bell_pending(const struct bell_shared *bell);

/* Sleeper: announces that it sleeps and looks again. False: something is pending, do not sleep. */
bool bell_sleep(struct bell_shared *bell);

/* Sleeper: awake again, whoever woke it; posts need no doorbell from here on. */
void bell_awake(struct bell_shared *bell);

/* What was pending when the scan began, one slot per bell_next; zero-initialise, then call bell_next. */
struct bell_scan {
	uint64_t summary;
	uint64_t bits;
	uint32_t word; /* the word that 'bits' came from */
	uint32_t left; /* words still to take for the current summary bit */
	bool started;
};

/* Takes the next pending slot (always below BELL_SLOTS, whatever the peer wrote); false: none left. */
bool bell_next(struct bell_shared *bell, struct bell_scan *scan, uint32_t *ret_slot);

#endif
