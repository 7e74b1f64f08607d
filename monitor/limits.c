#include "monitor/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"

#define MOST (1ull << 50) /* of anything; sums of it stay within 64 bits */

static const struct limit_row {
	const char *name;
	size_t offset;
	bool bytes;     /* with k, M or G */
	uint64_t least; /* that a guest can do anything with */
} rows[] = {
	{"streams", offsetof(struct limits_config, streams), false, 2},
	{"accepts", offsetof(struct limits_config, accepts), false},
	{"in-flight", offsetof(struct limits_config, in_flight), true, 65536},
	{"datagram-queue", offsetof(struct limits_config, datagram_queue), true},
	{"connect-rate", offsetof(struct limits_config, connect_rate), false},
	{"accept-rate", offsetof(struct limits_config, accept_rate), false},
	{"send-rate", offsetof(struct limits_config, send_rate), true},
	{"receive-rate", offsetof(struct limits_config, receive_rate), true},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct limit_row *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
			return &rows[i];
	return NULL;
}

static bool parse_amount(const char *text, bool bytes, uint64_t *ret_amount)
{
	static const char units[] = "kMG";
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	const char *unit = *end != '\0' ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
	unsigned shift = 0;
	if (unit != NULL && bytes) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (errno != 0 || *end != '\0' || number == 0 || number > MOST >> shift)
		return false;
	*ret_amount = (uint64_t)number << shift;
	return true;
}

int limits_add(struct limits_config *config, const char *value, char *ret_error, size_t error_len)
{
	const char *equals = strchrnul(value, '=');
	const struct limit_row *row = find(value, (size_t)(equals - value));
	uint64_t amount;

	if (row == NULL)
		return log_sentence(ret_error, error_len, EINVAL,
			"--limit has no '%.*s'; write streams, accepts, in-flight, datagram-queue, "
			"connect-rate, accept-rate, send-rate or receive-rate, and =N",
			(int)(equals - value), value);
	if (*equals == '\0' || !parse_amount(equals + 1, row->bytes, &amount))
		return log_sentence(ret_error, error_len, EINVAL,
			"--limit '%s' has no number that it can be; write for example %s=%s", value,
			row->name, row->bytes ? "10M" : "100");
	if (amount < row->least)
		return log_sentence(ret_error, error_len, ERANGE,
			"--limit '%s' is less than any guest can do with; write %s=%llu at the "
			"least",
			value, row->name, (unsigned long long)row->least);
	memcpy((char *)config + row->offset, &amount, sizeof(amount));
	return 0;
}

void limits_reached(const char *name, uint64_t limit)
{
	log_guest(LOG_WARNING,
		"the guest has reached --limit %s=%llu; a larger one would let it go on", name,
		(unsigned long long)limit);
}

bool limits_take_connect(struct limits *limits)
{
	if (rate_allows(&limits->connects) == 0) {
		limits_reached("connect-rate", limits->connects.per_s);
		return false;
	}
	rate_spend(&limits->connects, 1);
	return true;
}

void limits_init(struct limits *limits, struct io *io, const struct limits_config *config)
{
	*limits = (struct limits){0};
	rate_init(&limits->connects, io, config->connect_rate, 1);
	rate_init(&limits->accepts, io, config->accept_rate, 1);
	rate_init(&limits->sends, io, config->send_rate, RATE_BYTES);
	rate_init(&limits->receives, io, config->receive_rate, RATE_BYTES);
}
