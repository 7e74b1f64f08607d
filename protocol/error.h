/*
 * error: the numbers that travel as errors, Linux's errno values on x86-64 (PROTOCOL.md section 10).
 */
#ifndef FERRULE_PROTOCOL_ERROR_H
#define FERRULE_PROTOCOL_ERROR_H

#include <stdint.h>

struct wire_error {
	uint16_t number;
	const char *name; /* "ECONNREFUSED" */
	const char *text; /* what it means on a stream */
};

extern const struct wire_error wire_errors[];
extern const unsigned wire_error_count;

/* "ECONNREFUSED", or "errno 999" style "E?" for a number that is not in the table. */
const char *wire_error_name(int number);

/* The number to send for a host errno (positive): itself when it is tabulated, else EIO. */
uint32_t wire_error_number(int host_errno);

#endif
