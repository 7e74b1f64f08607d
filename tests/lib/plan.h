/*
 * plan: what the two ends of one connection do to it, drawn from a seed that the client sends first, so
 * that each knows what it has to do and what it has to see. Freestanding: guests have it, too.
 */
#ifndef FERRULE_TESTS_LIB_PLAN_H
#define FERRULE_TESTS_LIB_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/random.h"

#define PLAN_PIECE_MAX 65536u /* bytes */

enum plan_side { PLAN_CLIENT, PLAN_GUEST };

/* How who writes ends it, right behind its last byte. */
enum plan_end {
	PLAN_FINISH, /* half-close; reading goes on to the other's end */
	PLAN_CLOSE,  /* close: nothing more is read */
	PLAN_RESET,
};

/* One direction, by who writes it. */
struct plan_way {
	uint64_t key; /* of the pattern (random.h) */
	uint64_t len; /* bytes */
	enum plan_end end;
	bool waits; /* for the end of the other direction, before the first byte */
};

struct plan {
	struct plan_way way[2]; /* enum plan_side */
	unsigned pause_ms;      /* the longest between two pieces; 0: none */
	uint64_t piece_max;     /* bytes of one write or read; PLAN_PIECE_MAX at most */
};

/* What the first bytes of a connection ask for. */
enum plan_kind {
	PLAN_ECHO,   /* nothing: the guest sends back what comes */
	PLAN_TAILS,  /* every end right behind the last byte, at once; no reset */
	PLAN_SOAK,   /* the same with pauses, and resets by either side */
	PLAN_REPORT, /* a plan_report */
	PLAN_QUIT,   /* the guest's end */
};

struct plan_request {
	uint64_t kind; /* enum plan_kind */
	uint64_t seed;
};

/* A connection is of one class, by its plan. */
enum plan_class {
	PLAN_WHOLE,         /* both read all bytes, and then the end */
	PLAN_GUEST_CLOSES,  /* the client does */
	PLAN_GUEST_RESETS,  /* the client has some of the bytes, and ECONNRESET */
	PLAN_CLIENT_RESETS, /* so has the guest */
	PLAN_CLASS_COUNT,
};

/* What the guest has seen, of connections that are over. */
struct plan_report {
	uint64_t count[PLAN_CLASS_COUNT];
	uint64_t whole_bytes; /* read on those of PLAN_WHOLE */
	uint64_t headless;    /* reset before the request was read */
	uint64_t wrong;       /* not as planned; the guest's console says more */
};

void plan_draw(struct plan *ret_plan, const struct plan_request *request);
enum plan_class plan_class(const struct plan *plan);

/* The pieces of a direction, on either side of it. */
uint64_t plan_piece(const struct plan *plan, struct random *random, uint64_t left);
/* Milliseconds, mostly 0. */
unsigned plan_pause(const struct plan *plan, struct random *random);

#endif
