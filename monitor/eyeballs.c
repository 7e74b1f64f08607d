#include "monitor/eyeballs.h"

/* Addresses of one family that have not been tried, in their order. */
struct untried {
	struct endpoint address[2 * EYEBALLS_MOST];
	unsigned count, used;
};

static void sort(const struct endpoint *address, unsigned count, struct untried *ret_ipv6,
	struct untried *ret_ipv4)
{
	for (unsigned i = 0; i < count; i++) {
		struct untried *of = address[i].family == ENDPOINT_IPV6 ? ret_ipv6 : ret_ipv4;

		if (of->count < 2 * EYEBALLS_MOST)
			of->address[of->count++] = address[i];
	}
}

static bool is_left(const struct untried *untried)
{
	return untried->used < untried->count;
}

void eyeballs_add(struct eyeballs *eyeballs, const struct endpoint *address, unsigned count)
{
	struct untried ipv6 = {.count = 0}, ipv4 = {.count = 0};
	bool six = eyeballs->next == 0 ||
		   eyeballs->address[eyeballs->next - 1].family != ENDPOINT_IPV6;

	sort(eyeballs->address + eyeballs->next, eyeballs->count - eyeballs->next, &ipv6, &ipv4);
	sort(address, count, &ipv6, &ipv4);
	eyeballs->count = eyeballs->next;
	while (eyeballs->count < EYEBALLS_MOST && (is_left(&ipv6) || is_left(&ipv4))) {
		struct untried *from = (six && is_left(&ipv6)) || !is_left(&ipv4) ? &ipv6 : &ipv4;

		eyeballs->address[eyeballs->count++] = from->address[from->used++];
		six = from == &ipv4;
	}
}

const struct endpoint *eyeballs_take(struct eyeballs *eyeballs)
{
	return eyeballs->next < eyeballs->count ? &eyeballs->address[eyeballs->next++] : NULL;
}
