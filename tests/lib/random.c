#include "tests/lib/random.h"

#include <string.h>

/* The finaliser of splitmix64: every bit of the result depends on every bit of x. */
static inline uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t random_next(struct random *random)
{
	random->state += 0x9e3779b97f4a7c15u;
	return mix(random->state);
}

uint64_t random_below(struct random *random, uint64_t limit)
{
	return random_next(random) % limit; /* the bias is far below what a test could see */
}

bool random_once_in(struct random *random, uint64_t times)
{
	return random_below(random, times) == 0;
}

uint64_t random_len(struct random *random, uint64_t limit)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(limit);
	uint64_t len = random_next(random) >> (63 - random_below(random, bits));

	len = len == 0 ? 1 : len;
	return len > limit ? limit : len;
}

static inline uint64_t pattern_word(uint64_t key, uint64_t position)
{
	return mix(key + position / 8 * 0x9e3779b97f4a7c15u);
}

static inline unsigned char pattern_byte(uint64_t key, uint64_t position)
{
	return (unsigned char)(pattern_word(key, position) >> position % 8 * 8);
}

void pattern_fill(uint64_t key, uint64_t position, unsigned char *ret_bytes, size_t len)
{
	size_t done = 0;

	for (; done < len && (position + done) % 8 != 0; done++)
		ret_bytes[done] = pattern_byte(key, position + done);
	for (; len - done >= 8; done += 8) {
		uint64_t word = pattern_word(key, position + done);

		memcpy(ret_bytes + done, &word, 8);
	}
	for (; done < len; done++)
		ret_bytes[done] = pattern_byte(key, position + done);
}

size_t pattern_match(uint64_t key, uint64_t position, const unsigned char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		uint64_t word = 0;

		if ((position + done) % 8 == 0 && len - done >= 8) {
			memcpy(&word, bytes + done, 8);
			if (word == pattern_word(key, position + done)) {
				done += 8;
				continue;
			}
		}
		if (bytes[done] != pattern_byte(key, position + done))
			return done;
		done++;
	}
	return len;
}
