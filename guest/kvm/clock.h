/*
 * clock: ticks of the time stamp counter as nanoseconds, and back. Compiler
 * headers only: a hosted test checks the arithmetic.
 */
#ifndef FERRULE_GUEST_KVM_CLOCK_H
#define FERRULE_GUEST_KVM_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S 1000000000ull
/* Of the fixed point that a rate is in: less than 1 ns a day is lost up to 10 GHz, and a rate above
 * 62 kHz fits 64 bits. */
#define CLOCK_SCALE_BITS 50

/* high:low / divisor, rounded down; 'high' is below 'divisor'. In C it would be a library call. */
static inline uint64_t clock_divide(
	uint64_t high, uint64_t low, uint64_t divisor, uint64_t *ret_rest)
{
	uint64_t quotient;

	__asm__("divq %4"
		: "=a"(quotient), "=d"(*ret_rest)
		: "0"(low), "1"(high), "r"(divisor)
		: "cc");
	return quotient;
}

/* Nanoseconds per tick, in fixed point. */
static inline uint64_t clock_rate(uint64_t tsc_hz)
{
	uint64_t rest;

	return clock_divide(CLOCK_NS_PER_S >> (64 - CLOCK_SCALE_BITS),
		CLOCK_NS_PER_S << CLOCK_SCALE_BITS, tsc_hz, &rest);
}

static inline uint64_t clock_ns(uint64_t ticks, uint64_t rate)
{
	return (uint64_t)((unsigned __int128)ticks * rate >> CLOCK_SCALE_BITS);
}

/* The first tick at which clock_ns is 'ns' or more, so that whoever sleeps until then need not wait
 * for the rest. UINT64_MAX: too far away. */
static inline uint64_t clock_ticks(uint64_t ns, uint64_t rate)
{
	uint64_t high = ns >> (64 - CLOCK_SCALE_BITS), rest, ticks;

	if (high >= rate)
		return UINT64_MAX;
	ticks = clock_divide(high, ns << CLOCK_SCALE_BITS, rate, &rest);
	return rest && ticks < UINT64_MAX ? ticks + 1 : ticks;
}

#endif
