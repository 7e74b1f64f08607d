/*
 * endpoint: addresses as text. endpoint_parse and endpoint_format are declared
 * in guest/ferrule.h.
 */
#ifndef FERRULE_GUEST_STREAM_ENDPOINT_H
#define FERRULE_GUEST_STREAM_ENDPOINT_H

#include "guest/ferrule.h"

/*
 * "address:port" or "name:port": the endpoint, of family ENDPOINT_NAME for a name,
 * which *ret_host then names within 'text' (else it is empty). 0 or -EINVAL.
 */
int endpoint_parse_target(
	const char *text, struct endpoint *ret_endpoint, struct wire_bytes *ret_host);

#endif
