/*
 * The few memory-ordering words that pipe/ uses, in one place.
 *
 * Every acquire, release and fence in pipe/ carries a comment that names its
 * partner; DATAPIPE.md section 7 lists the pairs.
 */
#ifndef FERRULE_PIPE_BARRIER_H
#define FERRULE_PIPE_BARRIER_H

#include <stdatomic.h>
#include <stdint.h>

/* A word of shared memory. Loaded once into a local, checked, then used. */
typedef _Atomic uint64_t shared_u64;
typedef _Atomic uint32_t shared_u32;

_Static_assert(sizeof(shared_u64) == 8 && sizeof(shared_u32) == 4, "shared words are plain words");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "shared words need no lock");

#define load_relaxed(word)         atomic_load_explicit((word), memory_order_relaxed)
#define load_acquire(word)         atomic_load_explicit((word), memory_order_acquire)
#define store_relaxed(word, value) atomic_store_explicit((word), (value), memory_order_relaxed)
#define store_release(word, value) atomic_store_explicit((word), (value), memory_order_release)

/* Orders an earlier store before a later load: only the sleep handshake needs it. */
static inline void full_fence(void)
{
	atomic_thread_fence(memory_order_seq_cst);
}

#endif
