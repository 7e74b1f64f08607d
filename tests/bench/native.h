/*
 * native: what the native servers have in common: their command line, their listener and
 * the bytes of chargen. A server is `NAME echo|discard|chargen [ADDR:PORT]`, takes port 0
 * (the default), and says on stdout where it listens, as the guest programs do.
 *
 * tests/bench/ holds what measures and no test. Its programs print JSON, one object for
 * each line, and tests/bench/compare makes the table of it.
 */
#ifndef FERRULE_TESTS_BENCH_NATIVE_H
#define FERRULE_TESTS_BENCH_NATIVE_H

#include <stddef.h>

#define NATIVE_PIECE (128u << 10) /* bytes; the most of one recv or send */

enum native_job {
	NATIVE_ECHO,
	NATIVE_DISCARD,
	NATIVE_CHARGEN,
};

/* A listening socket, which is non-blocking and inherited by nobody. Ends the program on an error.
 */
int native_start(int argc, char **argv, enum native_job *ret_job);
/* TCP_NODELAY, as the monitor sets it. */
void native_prepare(int fd);
/* NATIVE_PIECE bytes of RFC 864's lines, for a stream that stands at this position; position
 * counts modulo native_cycle(). */
const char *native_lines(size_t position);
size_t native_cycle(void);
/* Ends the program with one sentence. */
_Noreturn void native_die(const char *what);

#endif
