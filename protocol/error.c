#include "protocol/error.h"

/* Rising numbers, so that a reader of the table finds one. */
const struct wire_error wire_errors[] = {
	{1, "EPERM", "the host forbids the operation"},
	{2, "ENOENT", "there is no such file, directory or stream"},
	{4, "EINTR", "the operation was interrupted before it did anything"},
	{5, "EIO", "the medium failed, or an error that this table does not have"},
	{6, "ENXIO", "there is no such device, or nothing beyond this offset"},
	{7, "E2BIG", "too many bytes in one list"},
	{9, "EBADF", "the handle is not open, or not open for this"},
	{11, "EAGAIN", "not possible now; the same request may succeed later"},
	{12, "ENOMEM", "the host has no memory left for it"},
	{13, "EACCES", "not granted on the command line, or not permitted by the file's mode"},
	{16, "EBUSY", "in use by someone else"},
	{17, "EEXIST", "it exists already"},
	{18, "EXDEV",
		"the path leaves the mount, or source and target are on different file systems"},
	{19, "ENODEV", "there is no such device"},
	{20, "ENOTDIR", "a component of the path is not a directory"},
	{21, "EISDIR", "it is a directory"},
	{22, "EINVAL", "a field has a value that it cannot have"},
	{23, "ENFILE", "the host has too many open files"},
	{24, "EMFILE", "too many handles, streams or files are open here"},
	{25, "ENOTTY", "the file does not know this operation"},
	{26, "ETXTBSY", "the file is a program that runs"},
	{27, "EFBIG", "the file would become too large"},
	{28, "ENOSPC", "the medium is full"},
	{29, "ESPIPE", "the file has no offsets"},
	{30, "EROFS", "the mount or its file system is read-only"},
	{31, "EMLINK", "too many links"},
	{32, "EPIPE", "the reader reads no more"},
	{34, "ERANGE", "a number is out of range"},
	{35, "EDEADLK", "it would wait for itself"},
	{36, "ENAMETOOLONG", "a name or path is too long"},
	{37, "ENOLCK", "no locks are left"},
	{38, "ENOSYS", "the host's kernel lacks it"},
	{39, "ENOTEMPTY", "the directory is not empty"},
	{40, "ELOOP", "too many symbolic links, or one where none may be followed"},
	{61, "ENODATA", "there is nothing of that kind"},
	{62, "ETIME", "a timer ran out"},
	{71, "EPROTO", "the peer broke a rule of this document or of DATAPIPE.md"},
	{74, "EBADMSG", "the medium's data failed its check"},
	{75, "EOVERFLOW", "a value does not fit its field"},
	{84, "EILSEQ", "the file system does not take these bytes as a name"},
	{90, "EMSGSIZE", "the message is too long"},
	{91, "EPROTOTYPE", "the wrong protocol for this socket"},
	{92, "ENOPROTOOPT", "the protocol has no such option"},
	{93, "EPROTONOSUPPORT", "this protocol, or this version of it, is not spoken"},
	{94, "ESOCKTNOSUPPORT", "the host lacks this kind of socket"},
	{95, "ENOTSUP", "the message type or operation is not known"},
	{97, "EAFNOSUPPORT", "the host lacks this address family"},
	{98, "EADDRINUSE", "the local address is in use"},
	{99, "EADDRNOTAVAIL", "the host does not have this local address"},
	{100, "ENETDOWN", "the host's network is down"},
	{101, "ENETUNREACH", "no route leads to that network"},
	{102, "ENETRESET", "the network dropped the connection"},
	{103, "ECONNABORTED", "the connection was given up before it was complete"},
	{104, "ECONNRESET", "the peer reset the connection"},
	{105, "ENOBUFS", "the host has no buffers left"},
	{106, "EISCONN", "it is connected already"},
	{107, "ENOTCONN", "it is not connected"},
	{108, "ESHUTDOWN", "this direction was shut down"},
	{110, "ETIMEDOUT", "no answer came in time"},
	{111, "ECONNREFUSED", "nobody listens at that address"},
	{112, "EHOSTDOWN", "the host at that address is down"},
	{113, "EHOSTUNREACH", "no route leads to that host, or its name is not known"},
	{114, "EALREADY", "the same operation is under way"},
	{115, "EINPROGRESS", "the operation has begun and is not complete"},
	{116, "ESTALE", "the file behind the handle is gone"},
	{122, "EDQUOT", "the quota is used up"},
	{125, "ECANCELED", "the operation was given up"},
};

#define ERROR_COUNT (sizeof(wire_errors) / sizeof(wire_errors[0]))
#define EIO_NUMBER  5

const unsigned wire_error_count = ERROR_COUNT;

_Static_assert(ERROR_COUNT == 67, "PROTOCOL.md section 10 has as many rows");

static const struct wire_error *find(int number)
{
	for (unsigned i = 0; i < ERROR_COUNT; i++) {
		if (wire_errors[i].number == number)
			return &wire_errors[i];
	}
	return (void *)0;
}

const char *wire_error_name(int number)
{
	const struct wire_error *error = find(number);

	return error ? error->name : "E?";
}

uint32_t wire_error_number(int host_errno)
{
	return find(host_errno) ? (uint32_t)host_errno : EIO_NUMBER;
}
