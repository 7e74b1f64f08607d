/* sha256: the hash of FIPS 180-4, over bytes that come in pieces. */
#ifndef FERRULE_GUEST_PROGRAMS_SHA256_H
#define FERRULE_GUEST_PROGRAMS_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN   32u /* bytes of a hash */
#define SHA256_BLOCK 64u

struct sha256 {
	uint32_t state[8];
	uint64_t len; /* bytes so far */
	unsigned char block[SHA256_BLOCK];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t len);
void sha256_end(struct sha256 *hash, unsigned char ret_hash[SHA256_LEN]);

#endif
