/*
 * choice: which image is run by which engine. Each program is built twice, NAME.elf for KVM and
 * NAME beside it as a hosted guest, and one stands in for the other.
 */
#ifndef FERRULE_MONITOR_CHOICE_H
#define FERRULE_MONITOR_CHOICE_H

#include <stddef.h>

#include "monitor/engine.h"
#include "monitor/monitor.h"

struct choice {
	const struct engine_ops *ops;
	char *path; /* of the image that will run */
	int fd;	    /* the same, open for reading */
};

/*
 * Follows config->engine and the image's note. Says so on stderr when the hosted guest has to
 * stand in because there is no usable /dev/kvm. 0, or a negative errno with one sentence
 * in ret_error. choice_free gives *ret_choice back in both cases.
 */
int choice_make(const struct config *config, struct choice *ret_choice, char *ret_error,
	size_t error_len);
void choice_free(struct choice *choice);

#endif
