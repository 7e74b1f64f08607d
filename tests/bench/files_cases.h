/* files_cases: what the loads of files_load.c (guest), files_native.c and files_9p.c have in common. */
#ifndef FERRULE_TESTS_BENCH_FILES_CASES_H
#define FERRULE_TESTS_BENCH_FILES_CASES_H

#include <stdint.h>

#define FILES_BIG     "big"       /* in the directory */
#define FILES_MANY    "many"      /* a directory in it, of */
#define FILES_NAME    "file-%06u" /* files of these names, from 0 on */
#define FILES_BUFFER  (256u << 10) /* bytes that are read or written at once */
#define FILES_BLOCK   4096u        /* bytes, of random reads */
#define FILES_AT_ONCE 32u          /* requests under way */

/* Where the index-th random read goes: the same for all. */
static inline uint64_t files_block_at(uint64_t index, uint64_t size)
{
	uint64_t x = (index + 1) * 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	return (x ^ x >> 27) % (size / FILES_BLOCK) * FILES_BLOCK;
}

#endif
