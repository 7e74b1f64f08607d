/* random: the block function beneath random_bytes (guest/ferrule.h), for its test. */
#ifndef FERRULE_GUEST_STREAM_RANDOM_H
#define FERRULE_GUEST_STREAM_RANDOM_H

#include "guest/ferrule.h"

/* RFC 8439 section 2.3: constants, key, counter and nonce in; the key stream out, as little-endian words. */
void chacha_block(const uint32_t input[16], uint32_t ret_output[16]);

#endif
