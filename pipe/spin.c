#include "pipe/spin.h"

void spin_won(struct spin *spin)
{
	if (spin->losses > 0)
		spin->losses--;
	spin->credit = 1u << spin->losses;
}

void spin_lost(struct spin *spin)
{
	if (spin->losses < SPIN_LOSSES_MAX)
		spin->losses++;
	spin->credit = 0;
}

void spin_slept(struct spin *spin, uint64_t waited_ns)
{
	/* Being woken takes its time too, about as long as the limit. */
	if (waited_ns <= 2 * spin->limit_ns && spin->credit < 1u << SPIN_LOSSES_MAX)
		spin->credit++;
}
