/*
 * scratch: a directory for what a test program writes. integration_main makes it
 * before the first test and removes it behind the last, whatever became of the tests.
 */
#ifndef FERRULE_TESTS_LIB_SCRATCH_H
#define FERRULE_TESTS_LIB_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once, before tests are forked off. 0 or a negative errno. */
int scratch_create(void);
void scratch_remove(void);
/* Writes the ends of all "*.err" files in it to stderr: what commands said in a test that failed.
 */
void scratch_show_errors(void);
const char *scratch_dir(void);

/* A path in it, to be freed. */
char *scratch_path(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, of a new directory. */
char *scratch_subdir(const char *name);

/* All bytes, in place of what the file had. */
void file_write(const char *path, const void *bytes, size_t len);
/* A file of that many bytes of the pattern (tests/lib/random.h). */
void file_write_pattern(const char *path, uint64_t key, uint64_t len);
/* Fails the test unless both files have the same bytes. */
void expect_same_file(const char *path, const char *wanted);

#endif
