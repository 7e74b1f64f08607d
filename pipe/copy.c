#include "pipe/copy.h"

#ifdef __x86_64__
#include <stdint.h>

#define LINE 64 /* bytes: whole lines are combined into one write each */

static inline void store_past_caches(uint64_t *to, uint64_t word)
{
	__asm__ volatile("movnti %1, %0" : "=m"(*to) : "r"(word));
}

static inline void copy_line(unsigned char *to, const unsigned char *from)
{
	for (unsigned i = 0; i < LINE; i += sizeof(uint64_t)) {
		uint64_t word;

		__builtin_memcpy(&word, from + i, sizeof(word));
		store_past_caches((uint64_t *)(void *)(to + i), word);
	}
}

void copy_past_caches(void *to, const void *from, size_t len)
{
	unsigned char *out = to;
	const unsigned char *in = from;
	size_t head = -(uintptr_t)out & (LINE - 1);

	if (head > len)
		head = len;
	__builtin_memcpy(out, in, head);
	for (out += head, in += head, len -= head; len >= LINE;
		out += LINE, in += LINE, len -= LINE)
		copy_line(out, in);
	__builtin_memcpy(out, in, len);
	/* Such stores are not ordered by a release; this orders them. */
	__asm__ volatile("sfence" ::: "memory");
}

#else

void copy_past_caches(void *to, const void *from, size_t len)
{
	__builtin_memcpy(to, from, len);
}

#endif
