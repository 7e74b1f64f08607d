#include "monitor/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/address.h"
#include "monitor/log.h"

#define VALUE_MAX 320 /* bytes: a name, an address, a port */

static int no_memory(char *ret_error, size_t error_len)
{
	return log_sentence(ret_error, error_len, ENOMEM, "out of memory; free some");
}

static int parse_port(const char *text, uint16_t *ret_port)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || port == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

/* "ADDR", "ADDR:PORT", "[ADDR]", "[ADDR]:PORT". */
static int parse_server(const char *value, struct endpoint *ret_server)
{
	char text[VALUE_MAX];
	const char *port = NULL;

	if (strlen(value) >= sizeof(text))
		return -EINVAL;
	if (address_parse(value, ret_server))
		return 0;
	strcpy(text, value);
	char *address = text, *colon = strrchr(text, ':');
	if (*text == '[') {
		char *end = strchr(text, ']');
		if (end == NULL || (end[1] != ':' && end[1] != '\0'))
			return -EINVAL;
		port = end[1] == ':' ? end + 2 : NULL;
		*end = '\0';
		address = text + 1;
	} else if (colon != NULL) {
		*colon = '\0';
		port = colon + 1;
	}
	int error = address_parse(address, ret_server) ? 0 : -EINVAL;
	if (!error && port != NULL)
		error = parse_port(port, &ret_server->port);
	return error;
}

int names_add_server(
	struct resolver_config *config, const char *value, char *ret_error, size_t error_len)
{
	struct endpoint server;

	if (parse_server(value, &server) == 0 && server.scope != 0)
		return log_sentence(ret_error, error_len, EINVAL,
			"--dns '%s' is an address of one link, which cannot be asked; give another "
			"address of the name server",
			value);
	if (parse_server(value, &server) < 0)
		return log_sentence(ret_error, error_len, EINVAL,
			"--dns '%s' is not the address of a name server; write for example --dns "
			"192.0.2.53 or --dns [2001:db8::53]:53",
			value);
	struct endpoint *more =
		reallocarray(config->server, config->server_count + 1, sizeof(*more));
	if (more == NULL)
		return no_memory(ret_error, error_len);
	more[config->server_count++] = server;
	config->server = more;
	return 0;
}

static int add_host(struct resolver_config *config, const char *name, size_t name_len,
	const struct endpoint *address)
{
	struct host_entry *more = reallocarray(config->host, config->host_count + 1, sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	config->host = more;
	more[config->host_count] = (struct host_entry){strndup(name, name_len), *address};
	if (more[config->host_count].name == NULL)
		return -ENOMEM;
	config->host_count++;
	return 0;
}

/* The address is what is behind the first ':' or '=': a name has neither, an IPv6 address has the
 * former. */
int names_add_host(
	struct resolver_config *config, const char *value, char *ret_error, size_t error_len)
{
	size_t name_len = strcspn(value, ":=");
	const char *text = value + name_len;
	char bare[VALUE_MAX];
	struct endpoint address;

	if (*text != '\0')
		text++;
	size_t len = strlen(text);
	if (*text == '[' && len > 2 && len < sizeof(bare) && text[len - 1] == ']') {
		memcpy(bare, text + 1, len - 2);
		bare[len - 2] = '\0';
		text = bare;
	}
	/* A question has no dot at its end either. */
	size_t last = name_len > 1 && value[name_len - 1] == '.' ? name_len - 1 : name_len;
	if (last == 0 || last > ENDPOINT_HOST_MAX || !address_parse(text, &address))
		return log_sentence(ret_error, error_len, EINVAL,
			"--add-host '%s' is not a name and its address; write for example "
			"--add-host db.internal:192.0.2.7",
			value);
	return add_host(config, value, last, &address) < 0 ? no_memory(ret_error, error_len) : 0;
}

void names_free(struct resolver_config *config)
{
	for (size_t i = 0; i < config->host_count; i++)
		free(config->host[i].name);
	free(config->host);
	free(config->server);
	*config = (struct resolver_config){0};
}
