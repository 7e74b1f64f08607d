#include "monitor/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "monitor/address.h"

#define BLANKS " \t\r\n\f\v"

struct found {
	struct endpoint *ipv6, *ipv4;
	unsigned ipv6_count, ipv4_count, most;
	bool known;
};

static void take(struct found *found, const struct endpoint *address)
{
	static const unsigned char unspecified[16];
	struct endpoint *list = address->family == ENDPOINT_IPV6 ? found->ipv6 : found->ipv4;
	unsigned *count =
		address->family == ENDPOINT_IPV6 ? &found->ipv6_count : &found->ipv4_count;

	found->known = true;
	if (*count < found->most && memcmp(address->addr, unspecified, sizeof(unspecified)) != 0)
		list[(*count)++] = *address;
}

/* "ADDRESS NAME..." and a comment. Most lines are about other names: these are not read further. */
static void read_line(struct found *found, char *line, const char *name)
{
	struct endpoint address;
	char *rest, *first, *word;

	line[strcspn(line, "#")] = '\0';
	first = strtok_r(line, BLANKS, &rest);
	if (first == NULL)
		return;
	while ((word = strtok_r(NULL, BLANKS, &rest)) != NULL)
		if (strcasecmp(word, name) == 0) {
			if (address_parse(first, &address))
				take(found, &address);
			return;
		}
}

/* One that does not exist, or may not be read, is empty. Of another failure nothing follows for the
 * name. */
static int read_file(struct found *found, const char *path, const char *name)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;

	if (file == NULL)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
	errno = 0;
	while (getline(&line, &size, file) >= 0)
		read_line(found, line, name);
	int error = feof(file) ? 0 : errno != 0 ? -errno : -EIO;
	free(line);
	fclose(file);
	return error;
}

/* RFC 6761: such names are this machine and nothing else, whatever a name server says. */
static bool is_localhost(const char *name)
{
	static const char suffix[] = ".localhost";
	size_t len = strlen(name);

	return strcasecmp(name, suffix + 1) == 0 ||
	       (len >= sizeof(suffix) &&
		       strcasecmp(name + len - (sizeof(suffix) - 1), suffix) == 0);
}

int hosts_find(const struct host_entry *entry, size_t entry_count, const char *path,
	const char *name, struct endpoint *ret_ipv6, unsigned *ret_ipv6_count,
	struct endpoint *ret_ipv4, unsigned *ret_ipv4_count, unsigned most)
{
	static const struct endpoint loopback[] = {
		{.family = ENDPOINT_IPV4, .addr = {127, 0, 0, 1}},
		{.family = ENDPOINT_IPV6, .addr = {[15] = 1}},
	};
	struct found found = {.ipv6 = ret_ipv6, .ipv4 = ret_ipv4, .most = most};

	for (size_t i = 0; i < entry_count; i++)
		if (strcasecmp(entry[i].name, name) == 0)
			take(&found, &entry[i].address);
	int error = found.known ? 0 : read_file(&found, path, name);
	if (error)
		return error;
	if (!found.known && is_localhost(name))
		for (unsigned i = 0; i < 2; i++)
			take(&found, &loopback[i]);
	*ret_ipv6_count = found.ipv6_count;
	*ret_ipv4_count = found.ipv4_count;
	return found.known ? 1 : 0;
}
