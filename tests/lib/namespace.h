/*
 * namespace: a test as the root of a small world of its own, where it may mount and
 * has a network without anybody in it. Needs user namespaces.
 */
#ifndef FERRULE_TESTS_LIB_NAMESPACE_H
#define FERRULE_TESTS_LIB_NAMESPACE_H

#include <stdbool.h>

/*
 * Moves this process, which must have one thread, into new namespaces: a user's and those of
 * 'kinds' (CLONE_NEWNS, CLONE_NEWNET). What it then starts has no capability there, so file
 * permissions count as for any user. False, and one line on stdout: not allowed on this machine.
 */
bool namespace_enter(int kinds);

/* Shows 'what' in the place of 'where', a file for a file or a directory for a directory. */
void namespace_bind(const char *what, const char *where);

/* Whether loopback of the network that this process is in takes packets: in a new one it does not. */
void namespace_loopback(bool up);

#endif
