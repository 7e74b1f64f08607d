/* names: the options that say how names become addresses, --dns and --add-host. */
#ifndef FERRULE_MONITOR_NAMES_H
#define FERRULE_MONITOR_NAMES_H

#include <stddef.h>

#include "monitor/resolver.h"

/* Each reads one option's value and adds it. 0, or a negative errno with a sentence in ret_error. */
int names_add_server(
	struct resolver_config *config, const char *value, char *ret_error, size_t error_len);
int names_add_host(
	struct resolver_config *config, const char *value, char *ret_error, size_t error_len);
void names_free(struct resolver_config *config);

#endif
