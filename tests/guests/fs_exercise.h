/* fs_exercise: what its parts share. */
#ifndef FERRULE_TESTS_GUESTS_FS_EXERCISE_H
#define FERRULE_TESTS_GUESTS_FS_EXERCISE_H

#include <stdbool.h>

/* Counts and tells what is not as wanted. */
void exercise_check(long got, long wanted, const char *file, int line);
#define CHECK(got, wanted) exercise_check((long)(got), (long)(wanted), __FILE__, __LINE__)
#define SOON               in_milliseconds(20000)

/* fs_calls.c. 'xattrs': the host's file system has extended attributes of users. */
void exercise_calls(bool xattrs);

#endif
