/*
 * grants: what the guest may reach. Nothing is reachable without one. A refusal is
 * EACCES to the guest, a counter, and one log line that names the option which would
 * allow it; the callers do that through grants_refused.
 */
#ifndef FERRULE_MONITOR_GRANTS_H
#define FERRULE_MONITOR_GRANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/tcp.h"

struct grant_endpoint {
	struct tcp_endpoint endpoint; /* family TCP_NAME: 'host' is compared with what the guest asks for */
	char *host;                   /* as the option has it, without the port */
};

struct grant_mount {
	char *host_path;
	char *guest_path;  /* absolute, no '.', '..' or '//', no trailing '/' (but "/") */
	bool writable;
	int fd;            /* O_PATH | O_DIRECTORY of host_path, open for the life of the monitor */
};

struct grants {
	struct grant_endpoint *listen;
	size_t listen_count;
	struct grant_endpoint *connect;
	size_t connect_count;
	struct grant_mount *mount;
	size_t mount_count;
};

/* Each parses one option's value and adds it. 0, or a negative errno with a sentence in ret_error. */
int grants_add_listen(struct grants *grants, const char *value, char *ret_error, size_t error_len);
int grants_add_connect(struct grants *grants, const char *value, char *ret_error, size_t error_len);
int grants_add_mount(struct grants *grants, const char *value, char *ret_error, size_t error_len);
void grants_free(struct grants *grants);

/*
 * Can each granted port be listened on? Binds and closes again, so that a port that is in use
 * is said before the guest runs. 0, or a negative errno with a sentence in ret_error.
 */
int grants_probe_listen(const struct grants *grants, char *ret_error, size_t error_len);

/*
 * A grant for the unspecified address (0.0.0.0, ::) covers every address of its family; port 0 every
 * port. An IPv4 address within IPv6 (::ffff:a.b.c.d) is that IPv4 address, for grants and requests.
 */
bool grants_may_listen(const struct grants *grants, const struct tcp_endpoint *local);
/*
 * 'host' (with host_len bytes) is what the guest asked for when remote->family is TCP_NAME. A name is
 * granted by the same name alone, whatever it resolves to; an address written as a name is an address.
 */
bool grants_may_connect(const struct grants *grants, const struct tcp_endpoint *remote, const char *host,
		size_t host_len);
/* The mount whose guest path is exactly this; NULL: none. */
const struct grant_mount *grants_mount(const struct grants *grants, const char *path, size_t path_len);

/* Could a --connect name this host? What a guest asks for may be no name at all. */
bool grants_could_connect(const char *host, size_t host_len);

/*
 * Logs (a few times a second at most) and counts a refusal: what was asked for, "127.0.0.1:80" or
 * "directory /www", and the option and value that would allow it, "--mount" and "HOSTDIR:/www".
 * 'value' NULL: none would. Both may be the guest's own text.
 */
void grants_refused(const char *what, const char *option, const char *value);

#endif
