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
	{EMFILE, "the monitor allows no more streams; raise its --limit streams, or take it away"},
	{ENFILE, "this guest has all streams that there can be; close some"},
	{ENOBUFS, "no memory for rings is left; raise --limit in-flight, or take it away"},
	{0, "choose another address or port"},
};

static const struct remedy connect_remedies[] = {
	{EINVAL, "write HOST:PORT, with a port from 1 to 65535"},
	{ECONNREFUSED, "nobody listens there; start the server or correct the port"},
	{EHOSTUNREACH, "no such host is known or reached; correct the name or address"},
	{ENETUNREACH, "no route leads there; check the host's network"},
	{EAGAIN, "no name server answers, or --limit connect-rate allows no more now; check the "
		 "host's network"},
	{ETIMEDOUT, "no answer came in time; check that the host is up, and firewalls"},
	{EMFILE, "the monitor allows no more streams; raise its --limit streams, or take it away"},
	{ENFILE, "this guest has all streams that there can be; close some"},
	{ENOBUFS, "no memory for rings is left; raise --limit in-flight, or take it away"},
	{0, "check the host's network"},
};

static const struct remedy unix_listen_remedies[] = {
	{EADDRINUSE, "stop what listens there, or remove the file if it is no socket"},
	{ENOENT, "create the directory that it is in"},
	{ENOTDIR, "correct the path: a part of it is no directory"},
	{ELOOP, "write the path without symbolic links"},
	{ENAMETOOLONG, "choose a shorter name"},
	{EMFILE, "the monitor allows no more streams; raise its --limit streams, or take it away"},
	{ENFILE, "this guest has all streams that there can be; close some"},
	{ENOBUFS, "no memory for rings is left; raise --limit in-flight, or take it away"},
	{0, "choose another path"},
};

static const struct remedy unix_connect_remedies[] = {
	{ENOENT, "there is no such socket; start the server or correct the path"},
	{ECONNREFUSED, "nobody listens there; start the server"},
	{ENOTDIR, "correct the path: a part of it is no directory"},
	{ELOOP, "write the path without symbolic links"},
	{EPROTOTYPE, "it is no stream socket; choose another"},
	{ETIMEDOUT, "the server does not accept; look after it"},
	{EMFILE, "the monitor allows no more streams; raise its --limit streams, or take it away"},
	{ENFILE, "this guest has all streams that there can be; close some"},
	{ENOBUFS, "no memory for rings is left; raise --limit in-flight, or take it away"},
	{0, "check the server and the path"},
};

const char *unix_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

/* What could not be done, and what to do about the errors. */
struct deed {
	const char *what; /* "listen on" */
	const struct remedy *remedies;
	const struct remedy *unix_remedies; /* of a "unix:PATH"; NULL: that is none */
};

static int tell(const char *program, const struct deed *deed, const char *target, int error)
{
	const char *path = deed->unix_remedies ? unix_path(target) : NULL;
	const struct remedy *remedy = path ? deed->unix_remedies : deed->remedies;

	/* The monitor knows which option would allow it, and with which value; or that it is the
	 * host that forbids it. */
	if (error == -EACCES) {
		fprintf(stderr,
			"%s: cannot %s %s (EACCES): ferrule's own warning says what would allow "
			"it%s\n",
			program, deed->what, target,
			path ? "; if there is none, check the permissions along the path" : "");
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
	static const struct deed deed = {"listen on", listen_remedies, unix_listen_remedies};

	return tell(program, &deed, address, error);
}

int cannot_connect(const char *program, const char *target, int error)
{
	static const struct deed deed = {"connect to", connect_remedies, unix_connect_remedies};

	return tell(program, &deed, target, error);
}

int cannot_bind(const char *program, const char *address, int error)
{
	static const struct deed deed = {"bind", listen_remedies, NULL};

	return tell(program, &deed, address, error);
}

int cannot_send(const char *program, const char *target, int error)
{
	static const struct deed deed = {"send to", connect_remedies, NULL};

	return tell(program, &deed, target, error);
}

int cannot_file(const char *program, const char *what, const char *path, int error)
{
	static const struct remedy remedies[] = {
		{ENOENT, "there is nothing of this name; correct the path"},
		{ENOTDIR, "a part of the path is no directory; correct it"},
		{EISDIR, "it is a directory; name a file"},
		{EEXIST, "it is there already; remove it or choose another name"},
		{EROFS, "the mount is read-only; write :rw behind ferrule's --mount"},
		{EXDEV, "it leads out of its mount; mount what it leads to"},
		{ELOOP, "symbolic links lead in a circle; correct them"},
		{ENOSPC, "the host's disk is full; make room"},
		{EDQUOT, "the quota on the host is used up; make room"},
		{0, "check the file on the host"},
	};
	const struct deed deed = {what, remedies, NULL};

	return tell(program, &deed, path, error);
}

const char *hint_for_option(const char *argument)
{
	return argument[0] == '-' ? "; options of ferrule run stand before the image" : "";
}
