#include "tests/lib/plan.h"

#define LEN_MAX   (120u << 10) /* bytes */
#define PIECE_MIN 512u
#define PAUSE_MS  30
#define PAUSES    6 /* one in so many pieces has one behind it */

/* Mostly small, and sometimes none. */
static uint64_t draw_len(struct random *random)
{
	return random_once_in(random, 12) ? 0 : random_len(random, LEN_MAX);
}

static void draw_reset(struct plan *plan, struct random *random)
{
	plan->way[random_below(random, 2)].end = PLAN_RESET;
}

void plan_draw(struct plan *ret_plan, const struct plan_request *request)
{
	struct random random = {request->seed};
	struct plan plan = {.piece_max = PLAN_PIECE_MAX};
	struct plan_way *client = &plan.way[PLAN_CLIENT], *guest = &plan.way[PLAN_GUEST];

	for (int side = 0; side < 2; side++)
		plan.way[side] = (struct plan_way){
			.key = random_next(&random), .len = draw_len(&random), .end = PLAN_FINISH};
	uint64_t shape = random_below(&random, 5);
	if (request->kind == PLAN_ECHO) {
		*guest = *client;
	} else if (shape == 1) { /* for unread bytes a client that closes would reset */
		client->end = PLAN_CLOSE;
		guest->waits = true;
		guest->len = 0;
	} else if (shape == 2) {
		guest->end = PLAN_CLOSE;
	} else if (shape == 3) {
		guest->waits = true;
	} else if (shape == 4) {
		client->waits = true;
	}
	if (request->kind == PLAN_SOAK) {
		plan.pause_ms = PAUSE_MS;
		plan.piece_max = PIECE_MIN + random_len(&random, PLAN_PIECE_MAX - PIECE_MIN);
		if (random_once_in(&random, 4) && client->end == PLAN_FINISH &&
			guest->end == PLAN_FINISH)
			draw_reset(&plan, &random);
	}
	*ret_plan = plan;
}

enum plan_class plan_class(const struct plan *plan)
{
	if (plan->way[PLAN_CLIENT].end == PLAN_RESET)
		return PLAN_CLIENT_RESETS;
	if (plan->way[PLAN_GUEST].end == PLAN_RESET)
		return PLAN_GUEST_RESETS;
	return plan->way[PLAN_GUEST].end == PLAN_CLOSE ? PLAN_GUEST_CLOSES : PLAN_WHOLE;
}

uint64_t plan_piece(const struct plan *plan, struct random *random, uint64_t left)
{
	uint64_t len = random_len(random, plan->piece_max);

	return len < left ? len : left;
}

unsigned plan_pause(const struct plan *plan, struct random *random)
{
	if (plan->pause_ms == 0 || !random_once_in(random, PAUSES))
		return 0;
	return (unsigned)random_below(random, plan->pause_ms + 1);
}
