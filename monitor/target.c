#include "monitor/target.h"

#include <stdio.h>
#include <string.h>

#include "monitor/address.h"

bool target_is_valid(const struct target *target)
{
	return target->host.len <= ENDPOINT_HOST_MAX &&
	       (target->host.len == 0 || target->remote.family == ENDPOINT_NAME);
}

void target_read_address(struct target *target)
{
	struct endpoint address;
	char name[ENDPOINT_HOST_MAX + 1];

	if (target->remote.family != ENDPOINT_NAME)
		return;
	memcpy(name, target->host.data, target->host.len);
	name[target->host.len] = '\0';
	if (!address_parse(name, &address))
		return;
	address.port = target->remote.port;
	target->remote = address;
	target->host.len = 0;
}

enum grant_name target_granted(const struct reach *reach, const struct grants *grants,
	enum grant_use use, const struct target *target)
{
	if (target->remote.family == ENDPOINT_NAME)
		return grants_name(
			grants, use, target->remote.port, target->host.data, target->host.len);
	return reach_may(reach, use, &target->remote) ? GRANT_NAME_GIVEN : GRANT_NAME_REFUSED;
}

void target_refused(const struct target *target, const char *option, const char *behind)
{
	char text[ENDPOINT_HOST_MAX + ADDRESS_TEXT_LEN];
	char value[sizeof(text) + 16];
	const char *host = target->host.data;
	bool could = true;

	if (target->remote.family == ENDPOINT_NAME) {
		snprintf(text, sizeof(text), "%.*s:%u", (int)target->host.len, host,
			target->remote.port);
		could = grants_could_name(host, target->host.len);
	} else {
		/* To send to 0.0.0.0 is to send to this machine, but to grant it is to grant the
		 * world. */
		bool known = target->remote.family == ENDPOINT_IPV4 ||
			     target->remote.family == ENDPOINT_IPV6;
		could = known && (!address_is_unspecified(&target->remote) ||
					 strcmp(behind, ":listen") == 0);
		address_text(&target->remote, text);
	}
	snprintf(value, sizeof(value), "%s%s", text, behind);
	grants_refused(text, option, could ? value : NULL);
}
