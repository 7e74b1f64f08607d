/*
 * random: the generator behind guest_random, for its test.
 */
#ifndef FERRULE_GUEST_STREAM_RANDOM_H
#define FERRULE_GUEST_STREAM_RANDOM_H

#include <stdint.h>

/* One block of ChaCha20 (RFC 8439 section 2.3); 'tail' is the counter and the nonce, all as
 * little-endian words. */
void random_block(const uint32_t key[8], const uint32_t tail[4], uint32_t ret_block[16]);

#endif
