#include "guest/programs/remedy.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "protocol/error.h"

bool help_asked(int argc, char **argv, const char *text)
{
	if (argc < 2 || (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0))
		return false;
	fputs(text, stdout);
	return true;
}

struct remedy {
	int error;        /* 0: any other */
	const char *text; /* what to do */
};

static const struct remedy listen_remedies[] = {
	{EADDRINUSE, "stop what listens there or choose another port"},
	{EADDRNOTAVAIL, "choose an address that the host has, or 0.0.0.0 for all"},
	{EAFNOSUPPORT, "choose an address of the other family"},
	{0, "choose another address or port"},
};

static const struct remedy connect_remedies[] = {
	{EINVAL, "write HOST:PORT, with a port from 1 to 65535"},
	{ECONNREFUSED, "nobody listens there; start the server or correct the port"},
	{EHOSTUNREACH, "no such host is known or reached; correct the name or address"},
	{ENETUNREACH, "no route leads there; check the host's network"},
	{EAGAIN, "no name server answers; check the host's network or write an address"},
	{ETIMEDOUT, "no answer came in time; check that the host is up, and firewalls"},
	{0, "check the host's network"},
};

static const struct remedy unix_listen_remedies[] = {
	{EADDRINUSE, "stop what listens there, or remove the file if it is no socket"},
	{ENOENT, "create the directory that it is in"},
	{ENOTDIR, "correct the path: a part of it is no directory"},
	{ELOOP, "write the path without symbolic links"},
	{ENAMETOOLONG, "choose a shorter name"},
	{0, "choose another path"},
};

static const struct remedy unix_connect_remedies[] = {
	{ENOENT, "there is no such socket; start the server or correct the path"},
	{ECONNREFUSED, "nobody listens there; start the server"},
	{ENOTDIR, "correct the path: a part of it is no directory"},
	{ELOOP, "write the path without symbolic links"},
	{EPROTOTYPE, "it is no stream socket; choose another"},
	{ETIMEDOUT, "the server does not accept; look after it"},
	{0, "check the server and the path"},
};

const char *unix_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

/* What could not be done, with which options it is granted, and what to do about other errors. */
struct deed {
	const char *what;   /* "listen on" */
	const char *option; /* "--listen" */
	const char *behind; /* what follows the address in its value */
	const struct remedy *remedies;
	const struct remedy *unix_remedies; /* of a "unix:PATH"; NULL: that is none */
};

static int tell(const char *program, const struct deed *deed, const char *target, int error)
{
	const char *path = deed->unix_remedies ? unix_path(target) : NULL;
	const struct remedy *remedy = path ? deed->unix_remedies : deed->remedies;

	if (error == -EACCES && path) {
		fprintf(stderr,
			"%s: cannot %s %s (EACCES): check the permissions along the path, or allow "
			"it with --unix %s\n",
			program, deed->what, target, path);
		return 1;
	}
	if (error == -EACCES) {
		fprintf(stderr, "%s: cannot %s %s (EACCES): allow it with %s %s%s\n", program,
			deed->what, target, deed->option, target, deed->behind);
		return 1;
	}
	while (remedy->error != 0 && remedy->error != -error)
		remedy++;
	fprintf(stderr, "%s: cannot %s %s (%s): %s\n", program, deed->what, target,
		wire_error_name(-error), remedy->text);
	return 1;
}

int cannot_listen(const char *program, const char *address, int error)
{
	static const struct deed deed = {
		"listen on", "--listen", "", listen_remedies, unix_listen_remedies};

	return tell(program, &deed, address, error);
}

int cannot_connect(const char *program, const char *target, int error)
{
	static const struct deed deed = {
		"connect to", "--connect", "", connect_remedies, unix_connect_remedies};

	return tell(program, &deed, target, error);
}

int cannot_bind(const char *program, const char *address, int error)
{
	static const struct deed deed = {"bind", "--udp", ":listen", listen_remedies, NULL};

	return tell(program, &deed, address, error);
}

int cannot_send(const char *program, const char *target, int error)
{
	static const struct deed deed = {"send to", "--udp", ":connect", connect_remedies, NULL};

	return tell(program, &deed, target, error);
}
