/* bundle: the archive that a guest is given as boot:/ (--bundle). The guest reads it; here it is only looked at. */
#ifndef FERRULE_MONITOR_BUNDLE_H
#define FERRULE_MONITOR_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Opens it and looks whether it can be one. A descriptor and its length, or a negative errno with one sentence in
 * ret_error.
 */
int bundle_open(const char *path, uint64_t *ret_len, char *ret_error, size_t error_len);

#endif
