/*
 * engine: what runs a guest. kvm (vm.c) and process (process.c) are the two;
 * nothing above this header knows which one it has.
 *
 * An engine is started with an arena that exists (arena.h) and reports the end
 * of the guest once. It never looks into the arena.
 */
#ifndef FERRULE_MONITOR_ENGINE_H
#define FERRULE_MONITOR_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "monitor/arena.h"

struct engine;
struct start_cpus;

/* What to run; pointers stay valid until the engine is destroyed. */
struct engine_config {
	const char *image_path;
	int image_fd;                  /* the image, open for reading */
	uint64_t memory;               /* bytes of guest RAM (kvm) */
	int argc;                      /* arguments of the program, argv[0] its name */
	char *const *argv;
	char *const *wrap;             /* process: the command to run it under, word by word, the image's path
	                                * last, NULL behind; NULL: none */
	int envc;
	char *const *env;              /* NAME=VALUE */
	int mountc;
	char *const *mounts;           /* "ro:/dir" or "rw:/dir", as struct boot_info has them */
	int bundle_fd;                 /* the archive of boot:/, open for reading; -1: none. Until start returns */
	uint64_t bundle_len;           /* bytes */
	uint64_t poll_ns;              /* the longest that the guest may spin */
	struct arena *arena;
	struct arena_ring control_ring[2]; /* of the control pipe, slot 0, indexed by enum pipe_side: taken
	                                    * from the arena by the caller, mapped by the engine at start */
	const struct start_cpus *start_cpus;     /* for the engine's threads until the guest runs; NULL: anywhere */
	int doorbell_fd;               /* eventfd: the guest wakes the monitor */
	int interrupt_fd;              /* eventfd: the monitor wakes the guest */
	/*
	 * Called once in start, by its thread, when all is prepared and the guest does not run yet: waits for
	 * what is made beside. 0, or a negative errno with a sentence in ret_error, which start returns. NULL:
	 * there is nothing to wait for.
	 */
	int (*prepared)(void *context, char *ret_error, size_t error_len);
	/* Called once, from any thread, just before the guest runs: map_ring may be called from then on. After
	 * it start may still fail. NULL: nobody wants to know. */
	void (*starts)(void *context, struct engine *engine);
	/* Called once, from any thread, when the guest has ended; the monitor's own exit status. */
	void (*ended)(void *context, int status);
	void *context;
};

/* Exits that left KVM_RUN, by cause: none of them may be on a data path (--stats shows them). */
struct engine_stats {
	uint64_t console_exits;
	uint64_t other_exits;
};

struct engine_ops {
	const char *name; /* "kvm", "process" */

	/*
	 * Prepares the guest and starts it. 0, or a negative errno with one
	 * sentence (cause and remedy) in ret_error; then nothing is left behind.
	 */
	int (*start)(const struct engine_config *config, struct engine **ret_engine, char *ret_error,
			size_t error_len);

	/* What few guests need at once is left to this call: the thread of start makes it, once, when the
	 * guest has had time to begin. NULL: nothing is left. */
	void (*start_rest)(struct engine *engine);

	/*
	 * Makes the ring at this arena offset visible to the guest, twice in a row. Once per
	 * ring, before the guest is told of it. 0 or a negative errno: out of memory, as a rule.
	 */
	int (*map_ring)(struct engine *engine, uint64_t offset, uint64_t capacity);

	/* Ends the guest if it still runs, and joins its threads. config.ended is called before this
	 * returns, if it was not yet. */
	void (*halt)(struct engine *engine);

	/* Halts, and frees everything. */
	void (*destroy)(struct engine *engine);

	void (*stats)(const struct engine *engine, struct engine_stats *ret_stats);

	/* The thread of this process in which the guest's code runs, as gettid(2) says it; 0: there is none,
	 * or not any more. Any thread. */
	pid_t (*guest_thread)(const struct engine *engine);
};

extern const struct engine_ops engine_kvm;
extern const struct engine_ops engine_process;

/* Is /dev/kvm there and usable? 0, and then it stays open for engine_kvm.start; or a negative errno with the
 * reason and remedy in ret_error. Both on one thread. */
int engine_kvm_usable(char *ret_error, size_t error_len);

#endif
