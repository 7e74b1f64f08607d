/*
 * Messages with values in them, made and compared by their field tables. Strings and tails lie
 * in memory of exactly their length, so that a sanitizer sees the first byte read beyond one.
 */
#ifndef FERRULE_TESTS_LIB_WIRE_SAMPLE_H
#define FERRULE_TESTS_LIB_WIRE_SAMPLE_H

#include "control/wire.h"
#include "tests/lib/random.h"

#define WIRE_SAMPLE_FIELDS 16   /* the most fields that a message may have */
#define WIRE_SAMPLE_TAIL   3000 /* bytes of the longest random tail */

struct wire_sample {
	const struct wire_message *message;
	void *body; /* the C struct */
	void *bytes[WIRE_SAMPLE_FIELDS];
};

enum wire_sample_values {
	WIRE_SAMPLE_ZERO, /* 0, nothing */
	WIRE_SAMPLE_ONE,
	WIRE_SAMPLE_MOST,   /* all bits set, the longest string */
	WIRE_SAMPLE_RANDOM, /* each field any of the above, or random */
	WIRE_SAMPLE_VALUES,
};

void wire_sample_make(struct wire_sample *ret_sample, const struct wire_message *message,
	enum wire_sample_values values, struct random *random);
void wire_sample_free(struct wire_sample *sample);

/* The body as bytes: malloc'ed, exactly as long as it has to be. */
unsigned char *wire_sample_body(const struct wire_sample *sample, size_t *ret_len);

/* The name of the first field in which two structs of this message differ; NULL: none. */
const char *wire_difference(const struct wire_message *message, const void *a, const void *b);

/* Offset of a field in a body (of one behind a string or tail: as if that were empty). */
size_t wire_field_offset(const struct wire_message *message, unsigned index);

/* A malloc'ed copy of exactly these bytes (of none: of one, which may not be touched by ASan's
 * rules). */
void *exact_copy(const void *bytes, size_t len);

#endif
