/*
 * machine: one guest on the KVM engine alone, without loop or streams: its
 * arena, doorbells, console output and status.
 */
#ifndef FERRULE_TESTS_LIB_MACHINE_H
#define FERRULE_TESTS_LIB_MACHINE_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/engine.h"

#define MACHINE_RUNNING (-1)

struct machine {
	struct engine *engine;
	struct engine_config config;
	sem_t ended;
	int status; /* valid once 'ended' was posted */
	int ended_calls;
	int console[2];       /* memfds in the place of stdout and stderr */
	int console_saved[2]; /* stdout and stderr */
	char error[512];
};

/* Starts the image with these arguments (up to a NULL) behind its name; stdout and stderr are the
 * machine's until machine_stop. What engine start returned. */
int machine_start(struct machine *ret_machine, const char *image, uint64_t memory,
	const char *const *arguments);
/* The guest's status, or MACHINE_RUNNING when it has not ended by then. */
int machine_wait(struct machine *machine, unsigned int timeout_ms);
/* Destroys it; then gives stdout and stderr back. */
void machine_stop(struct machine *machine);
void machine_free(struct machine *machine);

/* Rings the guest. */
void machine_interrupt(struct machine *machine);
/* Waits for the guest's doorbell; false: none by then. */
bool machine_doorbell(struct machine *machine, unsigned int timeout_ms);

/* All that fd 1 or 2 got, as a string; to be freed. */
char *machine_console(struct machine *machine, int fd);

#endif
