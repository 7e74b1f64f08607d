#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tests/lib/random.h"

uint64_t random_seed(void)
{
	const char *given = getenv("FERRULE_SEED");
	uint64_t seed;

	if (given != NULL)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = 1;
	printf("seed: FERRULE_SEED=0x%" PRIx64 "\n", seed);
	fflush(stdout);
	return seed;
}
