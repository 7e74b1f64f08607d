/*
 * Random bytes from the 32 that the monitor put into the boot information:
 * ChaCha20 (RFC 8439) with those as its first key. The first half of each block
 * is the key of the next one, so that what was given out cannot be had again
 * from the state; the second half is given out.
 */
#include "guest/stream/random.h"

#include <string.h>

#include "control/boot.h"
#include "guest/ferrule.h"
#include "guest/platform.h"

static inline uint32_t rotate(uint32_t word, unsigned bits)
{
	return word << bits | word >> (32 - bits);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b, *d = rotate(*d ^ *a, 16);
	*c += *d, *b = rotate(*b ^ *c, 12);
	*a += *b, *d = rotate(*d ^ *a, 8);
	*c += *d, *b = rotate(*b ^ *c, 7);
}

void random_block(const uint32_t key[8], const uint32_t tail[4], uint32_t ret_block[16])
{
	uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
	uint32_t *s = ret_block;

	memcpy(start + 4, key, 32);
	memcpy(start + 12, tail, 16);
	memcpy(s, start, sizeof(start));
	for (int round = 0; round < 20; round += 2) {
		for (int i = 0; i < 4; i++)
			quarter_round(s + i, s + 4 + i, s + 8 + i, s + 12 + i);
		for (int i = 0; i < 4; i++)
			quarter_round(s + i, s + 4 + (i + 1) % 4, s + 8 + (i + 2) % 4,
				s + 12 + (i + 3) % 4);
	}
	for (int i = 0; i < 16; i++)
		s[i] += start[i];
}

void guest_random(void *ret_bytes, size_t len)
{
	static uint32_t key[8];
	static bool keyed;
	static const uint32_t tail[4]; /* counter and nonce: each key is used once */
	unsigned char *to = ret_bytes;

	if (!keyed)
		memcpy(key, platform_boot()->random, sizeof(key));
	keyed = true;
	while (len > 0) {
		uint32_t block[16];
		size_t part = len < sizeof(block) / 2 ? len : sizeof(block) / 2;

		random_block(key, tail, block);
		memcpy(key, block, sizeof(key));
		memcpy(to, block + 8, part);
		to += part;
		len -= part;
	}
}
