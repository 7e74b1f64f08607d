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

#include "protocol/endpoint.h"

/* What an address or a name is granted for. */
enum grant_use {
	GRANT_TCP_LISTEN,
	GRANT_TCP_CONNECT,
	GRANT_UDP_LISTEN, /* to bind a socket there, and to answer whoever sends to it */
	GRANT_UDP_SEND,   /* to send there, and to hear from there */
	GRANT_USE_COUNT,
};

enum grant_kind {
	GRANT_RANGE, /* the addresses whose first 'prefix' bits are those of 'first' */
	GRANT_NAME,  /* 'host' is compared with what the guest asks for */
	GRANT_ANY,   /* every address; to connect or send to: but special ones and this machine's own */
};

struct grant_net {
	enum grant_kind kind;
	struct endpoint first; /* of GRANT_RANGE; port 0 */
	unsigned prefix;       /* bits */
	uint16_t port_first, port_last; /* 0, 65535: every port */
	bool named;            /* of GRANT_RANGE: an address that 'host' has, to listen on */
	char *host;            /* as the option has it, without the port; "*.example.org": every name below */
};

struct grant_list {
	struct grant_net *grant;
	size_t count;
};

struct grant_publish {
	bool udp;
	struct endpoint host; /* where the monitor binds when the guest binds ... */
	uint16_t guest_port;  /* ... this port, at whatever address */
};

struct grant_mount {
	char *host_path;
	char *guest_path;  /* absolute, no '.', '..' or '//', no trailing '/' (but "/") */
	bool writable;
	int fd;            /* O_PATH | O_DIRECTORY of host_path, open for the life of the monitor */
};

struct grant_unix {
	char *path;       /* as the guest asks for it: path_normal's form, or "@name", an abstract socket */
	bool listen, connect;
	bool below;       /* 'path' is a directory: what is below it is granted */
	int fd;           /* O_PATH | O_DIRECTORY: 'path', or the directory that it is in; -1: abstract */
};

/* Where a UNIX socket is. */
struct unix_place {
	int directory;    /* O_PATH; -1: an abstract socket */
	const char *path; /* below it, without '..', not empty; or the abstract name, without '@' */
};

struct grants {
	struct grant_list net[GRANT_USE_COUNT];
	struct grant_publish *publish;
	size_t publish_count;
	struct grant_mount *mount;
	size_t mount_count;
	struct grant_unix *unix_socket;
	size_t unix_count;
};

/* Each reads one option's value and adds it. 0, or a negative errno with a sentence in ret_error. */
int grants_add_listen(struct grants *grants, const char *value, char *ret_error, size_t error_len);
int grants_add_connect(struct grants *grants, const char *value, char *ret_error, size_t error_len);
int grants_add_udp(struct grants *grants, const char *value, char *ret_error, size_t error_len);
int grants_add_publish(struct grants *grants, const char *value, char *ret_error, size_t error_len);
int grants_add_mount(struct grants *grants, const char *value, char *ret_error, size_t error_len);
int grants_add_unix(struct grants *grants, const char *value, char *ret_error, size_t error_len);
/* Adds what a grants file holds: a line for each, as the options have it (README). */
int grants_add_file(struct grants *grants, const char *path, char *ret_error, size_t error_len);
void grants_free(struct grants *grants);
void grants_free_unix(struct grants *grants); /* part of it */

/*
 * Can each port that is granted to listen on with TCP, or published, be bound? Binds and closes again, so that a port
 * that is in use is said before the guest runs. Of ranges none is tried, and of names one address is enough. 0, or a negative errno with a sentence in ret_error.
 */
int grants_probe_listen(const struct grants *grants, char *ret_error, size_t error_len);

/*
 * Is this address granted? Names are not looked at. An IPv4 address within IPv6 (::ffff:a.b.c.d) is that IPv4
 * address, for grants and for what is asked. To bind 0.0.0.0 or :: takes a grant of the whole family.
 */
bool grants_cover(const struct grants *grants, enum grant_use use, const struct endpoint *asked);
/*
 * The IPv6 wildcard takes IPv4 too, as the IPv4 wildcard would: is that granted? What is asked is granted itself; true of
 * any other address.
 */
bool grants_cover_both(const struct grants *grants, enum grant_use use, const struct endpoint *asked);
/* With some port, whichever. */
bool grants_cover_some_port(const struct grants *grants, enum grant_use use, const struct endpoint *asked);

/* What is known of a name, and for which of its addresses it is good. */
enum grant_name {
	GRANT_NAME_REFUSED,
	GRANT_NAME_FREE,  /* it may be looked up, as any: addresses need grants of their own */
	GRANT_NAME_GIVEN, /* it is granted: its addresses, unless a name server leads to where none leads */
};
/* What the guest asks for may be no name at all. */
enum grant_name grants_name(const struct grants *grants, enum grant_use use, uint16_t port, const char *host,
		size_t host_len);
enum grant_name grants_name_some_port(
		const struct grants *grants, enum grant_use use, const char *host, size_t host_len);
/* Does this grant of a name cover the name? */
bool grant_matches(const struct grant_net *grant, const char *host, size_t host_len);
/* Could an option name this host? */
bool grants_could_name(const char *host, size_t host_len);

/* Where the guest's port is published; NULL: it is not. */
const struct endpoint *grants_published(const struct grants *grants, bool udp, uint16_t guest_port);

/*
 * The value of --publish that would have this port of the guest where another one is published, which takes its place; or that has it
 * for the other transport. False: nothing is published that may have been meant.
 */
#define GRANTS_PUBLISH_LEN 96
bool grants_publish_meant(const struct grants *grants, bool udp, uint16_t guest_port,
		char ret_value[GRANTS_PUBLISH_LEN]);

/* The mount whose guest path is exactly this; NULL: none. */
const struct grant_mount *grants_mount(const struct grants *grants, const char *path, size_t path_len);

/*
 * May the guest listen there ('listen'), or connect? 'path' is path_normal's form, or "@name"; *ret_place, set when it
 * may, points into it.
 */
bool grants_unix(const struct grants *grants, bool listen, const char *path, struct unix_place *ret_place);

/*
 * Logs (a few times a second at most) and counts a refusal: what was asked for, "127.0.0.1:80" or
 * "directory /www", and the option and value that would allow it, "--mount" and "HOSTDIR:/www".
 * 'value' NULL: none would. Both may be the guest's own text.
 */
void grants_refused(const char *what, const char *option, const char *value);

#endif
