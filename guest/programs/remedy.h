/*
 * remedy: what the programs say when something cannot be had, each time with its cause and what to
 * do.
 */
#ifndef FERRULE_GUEST_PROGRAMS_REMEDY_H
#define FERRULE_GUEST_PROGRAMS_REMEDY_H

#include <stdbool.h>

/* --help or -h is the first argument: 'text' was printed, and the program has nothing else to do.
 */
bool help_asked(int argc, char **argv, const char *text);

/* The PATH of an address "unix:PATH", a UNIX socket of the host; NULL: it is another kind of address. */
const char *unix_path(const char *address);

/*
 * One line on stderr about what tcp_listen or tcp_connect returned, or, of a "unix:PATH", unix_listen or
 * unix_connect. Returns 1, the exit status.
 */
int cannot_listen(const char *program, const char *address, int error);
int cannot_connect(const char *program, const char *target, int error);
/* The same of udp_bind and udp_connect. */
int cannot_bind(const char *program, const char *address, int error);
int cannot_send(const char *program, const char *target, int error);

/* The same of a call on files: 'deed' is "read" or "write". */
int cannot_file(const char *program, const char *deed, const char *path, int error);

/* What to say behind a complaint about this argument: who writes an option may have meant the monitor. */
const char *hint_for_option(const char *argument);

#endif
