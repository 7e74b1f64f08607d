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
	const char *text; /* what to do; what was wanted stands behind it when it ends in a space */
};

static const struct remedy listen_remedies[] = {
	{EACCES, "allow it with --listen "},
	{EADDRINUSE, "stop what listens there or choose another port"},
	{EADDRNOTAVAIL, "choose an address that the host has, or 0.0.0.0 for all"},
	{EAFNOSUPPORT, "choose an address of the other family"},
	{0, "choose another address or port"},
};

static const struct remedy connect_remedies[] = {
	{EACCES, "allow it with --connect "},
	{EINVAL, "write HOST:PORT, with a port from 1 to 65535"},
	{ECONNREFUSED, "nobody listens there; start the server or correct the port"},
	{EHOSTUNREACH, "no such host is known or reached; correct the name or address"},
	{ENETUNREACH, "no route leads there; check the host's network"},
	{EAGAIN, "no name server answers; check the host's network or write an address"},
	{ETIMEDOUT, "no answer came in time; check that the host is up, and firewalls"},
	{0, "check the host's network"},
};

static const struct remedy unix_listen_remedies[] = {
	{EACCES, "check the permissions along the path, or allow it with --unix "},
	{EADDRINUSE, "stop what listens there, or remove the file if it is no socket"},
	{ENOENT, "create the directory that it is in"},
	{ENOTDIR, "correct the path: a part of it is no directory"},
	{ELOOP, "write the path without symbolic links"},
	{ENAMETOOLONG, "choose a shorter name"},
	{0, "choose another path"},
};

static const struct remedy unix_connect_remedies[] = {
	{EACCES, "check the permissions along the path, or allow it with --unix "},
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

static int tell(const char *program, const char *what, const char *target, int error,
	const struct remedy *remedy)
{
	const char *path = unix_path(target);

	while (remedy->error != 0 && remedy->error != -error)
		remedy++;
	bool again = remedy->text[strlen(remedy->text) - 1] == ' ';
	fprintf(stderr, "%s: cannot %s %s (%s): %s%s\n", program, what, target,
		wire_error_name(-error), remedy->text,
		!again ? ""
		: path ? path
		       : target);
	return 1;
}

int cannot_listen(const char *program, const char *address, int error)
{
	return tell(program, "listen on", address, error,
		unix_path(address) ? unix_listen_remedies : listen_remedies);
}

int cannot_connect(const char *program, const char *target, int error)
{
	return tell(program, "connect to", target, error,
		unix_path(target) ? unix_connect_remedies : connect_remedies);
}
