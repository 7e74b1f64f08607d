/* complaint: the sentence about an option's bad value. */
#ifndef FERRULE_MONITOR_COMPLAINT_H
#define FERRULE_MONITOR_COMPLAINT_H

#include <errno.h>

#include "monitor/log.h"

struct complaint {
	const char *option; /* "--listen" */
	const char *value;
	char *ret_error;    /* where the sentence goes */
	size_t error_len;
};

/* 'cause' follows the quoted option and value; 'remedy' follows the semicolon. Returns -error. */
static inline int complain(const struct complaint *about, int error, const char *cause, const char *remedy)
{
	return log_sentence(about->ret_error, about->error_len, error, "%s '%s' %s; %s",
		about->option, about->value, cause, remedy);
}

static inline int complain_memory(const struct complaint *about)
{
	return complain(about, ENOMEM, "found no memory", "free some");
}

#endif
