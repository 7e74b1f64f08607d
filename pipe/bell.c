#include "pipe/bell.h"

/* The summary bit of a slot's word. */
static inline uint64_t summary_bit(uint32_t slot)
{
	return 1ull << (slot / 64 / BELL_WORDS_PER_SUMMARY);
}

void bell_post(struct bell_shared *bell, uint32_t slot)
{
	if (slot >= BELL_SLOTS)
		__builtin_trap();
	/*
	 * The word before the summary: who sees the summary finds the word.
	 * Releases; partners: the acquires in bell_next. What was published in the
	 * pipe is seen by who finds its bit. The summary is also the earlier half
	 * of what bell_must_ring orders.
	 */
	atomic_fetch_or_explicit(&bell->word[slot / 64], 1ull << (slot % 64), memory_order_release);
	atomic_fetch_or_explicit(&bell->summary, summary_bit(slot), memory_order_seq_cst);
}

bool bell_must_ring(struct bell_shared *bell)
{
	/*
	 * The post before this look, both seq_cst; partner: the fence in bell_sleep.
	 * Its look finds the summary, or this one 'asleep'. No fence is needed
	 * here: on x86 the locked post is one and the load is plain.
	 */
	if (atomic_load_explicit(&bell->asleep, memory_order_seq_cst) == 0)
		return false;
	/* Exchange, so that one of several posters rings. No data hangs on the flag. */
	return atomic_exchange_explicit(&bell->asleep, 0, memory_order_relaxed) != 0;
}

bool bell_pending(const struct bell_shared *bell)
{
	return load_relaxed(&bell->summary) != 0; /* a hint: bell_next acquires */
}

bool bell_sleep(struct bell_shared *bell)
{
	store_relaxed(&bell->asleep, 1);
	/* Fence; partner: the post followed by the look in bell_must_ring. */
	full_fence();
	if (!bell_pending(bell))
		return true;
	bell_awake(bell);
	return false;
}

void bell_awake(struct bell_shared *bell)
{
	/* Seen late it costs a doorbell too many, nothing else. */
	store_relaxed(&bell->asleep, 0);
}

/* Moves the scan to the next word that may have bits; false: none is left. */
static bool next_word(struct bell_scan *scan)
{
	if (scan->left > 0) {
		scan->left--;
		scan->word++;
		return true;
	}
	if (scan->summary == 0)
		return false;
	scan->word = (uint32_t)__builtin_ctzll(scan->summary) * BELL_WORDS_PER_SUMMARY;
	scan->left = BELL_WORDS_PER_SUMMARY - 1;
	scan->summary &= scan->summary - 1;
	return true;
}

bool bell_next(struct bell_shared *bell, struct bell_scan *scan, uint32_t *ret_slot)
{
	if (!scan->started) {
		scan->started = true;
		/* Acquire; partner: the release on 'summary' in bell_post. */
		scan->summary = atomic_exchange_explicit(&bell->summary, 0, memory_order_acquire);
	}
	/* At most BELL_WORDS rounds per scan: the summary was taken once. */
	while (scan->bits == 0) {
		if (!next_word(scan))
			return false;
		/* Three words of four are empty: a load spares them the exchange. */
		if (load_relaxed(&bell->word[scan->word]) == 0)
			continue;
		/* Acquire; partner: the release on 'word' in bell_post. */
		scan->bits =
			atomic_exchange_explicit(&bell->word[scan->word], 0, memory_order_acquire);
	}
	*ret_slot = scan->word * 64 + (uint32_t)__builtin_ctzll(scan->bits);
	scan->bits &= scan->bits - 1;
	return true;
}
