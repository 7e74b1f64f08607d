/*
 * Random numbers: the ChaCha20 block function (RFC 8439) run on a key that is overwritten by each
 * block's first half; the other half is handed out. What was handed out cannot be found again in
 * memory.
 */
#include "guest/stream/random.h"

#include <string.h>

#include "control/boot.h"
#include "guest/platform.h"

#define BLOCK_WORDS 16
#define KEY_WORDS   8

static struct {
	uint32_t key[KEY_WORDS];
	bool seeded;
	unsigned char spare[32]; /* the last 'left' bytes of it are still to be handed out */
	size_t left;
} state;

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word << bits | word >> (32 - bits);
}

static void quarter_round(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha_block(const uint32_t input[BLOCK_WORDS], uint32_t ret_output[BLOCK_WORDS])
{
	uint32_t x[BLOCK_WORDS];

	memcpy(x, input, sizeof(x));
	for (int round = 0; round < 20; round += 2) {
		for (int i = 0; i < 4; i++)
			quarter_round(x, i, 4 + i, 8 + i, 12 + i);
		for (int i = 0; i < 4; i++)
			quarter_round(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
	}
	for (int i = 0; i < BLOCK_WORDS; i++)
		ret_output[i] = x[i] + input[i];
}

/* The next block: a new key, and bytes to hand out. */
static void refill(void)
{
	uint32_t input[BLOCK_WORDS] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
	uint32_t output[BLOCK_WORDS];

	if (!state.seeded)
		memcpy(state.key, platform_boot()->random, sizeof(state.key));
	state.seeded = true;
	memcpy(input + 4, state.key, sizeof(state.key));
	chacha_block(input, output);
	memcpy(state.key, output, sizeof(state.key));
	memcpy(state.spare, output + KEY_WORDS, sizeof(state.spare));
	state.left = sizeof(state.spare);
}

void random_bytes(void *ret_bytes, size_t len)
{
	unsigned char *to = ret_bytes;

	while (len > 0) {
		if (state.left == 0)
			refill();
		size_t part = len < state.left ? len : state.left;
		unsigned char *from = state.spare + sizeof(state.spare) - state.left;
		memcpy(to, from, part);
		memset(from, 0, part);
		state.left -= part;
		to += part;
		len -= part;
	}
}
