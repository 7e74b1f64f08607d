/* What every message of every protocol has to survive, as Check assertions. */
#ifndef FERRULE_TESTS_LIB_WIRE_CASES_H
#define FERRULE_TESTS_LIB_WIRE_CASES_H

#include "control/wire.h"
#include "tests/lib/random.h"

/* The table itself: alignment, order, sizes, names. */
void wire_case_table(const struct wire_message *message);

/* Encoded and decoded, boundary values and random ones; into too little room; with an error. */
void wire_case_round_trip(const struct wire_message *message, struct random *random);

/* Cut off after every byte: refused, unless nothing but a tail was cut. */
void wire_case_truncated(const struct wire_message *message, struct random *random);

/* Longer than known: the same values. */
void wire_case_longer(const struct wire_message *message, struct random *random);

/* Each string with a 0 byte, and one byte too long. */
void wire_case_bad_strings(const struct wire_message *message, struct random *random);

/* Random bytes, 'rounds' times: refused, or decoded to what encodes and decodes to the same. */
void wire_case_random_bytes(const struct wire_message *message, struct random *random, int rounds);

#endif
