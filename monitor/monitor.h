/*
 * monitor/ is the Linux side: engines that run a guest, the I/O thread that
 * relays its streams to sockets and files, grants, and the command line. It may
 * include pipe/, control/ and protocol/, never guest/. Built hosted, with
 * libevent, liburing and the C library.
 *
 * Threads, and who owns what:
 *   main    libevent: signals, timers, the end of the guest. Owns the engine.
 *   I/O     loop.c: io, the arena, every stream and relay. Nothing
 *           else touches them; others leave word in its mailbox (loop_post).
 *   vCPU    vm.c: KVM_RUN and the exits, none of them on a data path.
 *   log     log.c: writes log lines, because stderr can block.
 *   workers worker.c: path operations, which can block; files, where there is no io_uring.
 *   dns     resolver.c: names to addresses; libevent and c-ares.
 *
 * The data loop has a thread of its own so that one io_uring_enter both submits
 * and sleeps, and so that nothing which libevent serves stands between a packet and its guest.
 */
#ifndef FERRULE_MONITOR_MONITOR_H
#define FERRULE_MONITOR_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/grants.h"
#include "monitor/io.h"
#include "monitor/limits.h"
#include "monitor/resolver.h"

#define MONITOR_STATUS_USAGE 2 /* bad option, image, grant or machine: nothing was run */

/* What the command line said. Strings live as long as the process. */
struct config {
	const char *image;
	int argc;          /* the program's arguments, argv[0] its name */
	char **argv;
	const char *engine; /* "auto", "kvm", "process" */
	enum io_choice io;  /* what moves sockets and files */
	char **wrap;       /* words of the command that a hosted guest runs under, NULL behind; NULL: none */
	const char *bundle; /* file that the guest has as boot:/; NULL: none */
	uint64_t memory;   /* bytes of guest RAM */
	uint64_t poll_ns;  /* the longest that either side spins before it sleeps */
	struct grants grants;
	struct limits_config limits;
	struct resolver_config resolver;
	char **env;        /* NAME=VALUE */
	int envc;
	bool stats;        /* print the counters at exit */
};

#endif
