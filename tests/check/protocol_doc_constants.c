#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "protocol/fs.h"
#include "protocol/network.h"
#include "protocol/tcp.h"
#include "protocol/udp.h"
#include "protocol/unix.h"
#include "tests/check/protocol_doc.h"

struct constant {
	const char *name;
	uint64_t value;
};

#define CONSTANT(name)                                                                             \
	{                                                                                          \
#name, (name)                                                                      \
	}

static const struct constant constants[] = {
	CONSTANT(PROTOCOL_FS),
	CONSTANT(PROTOCOL_TCP_LISTEN),
	CONSTANT(PROTOCOL_TCP_CONNECT),
	CONSTANT(PROTOCOL_UDP),
	CONSTANT(PROTOCOL_NETWORK),
	CONSTANT(PROTOCOL_UNIX_LISTEN),
	CONSTANT(PROTOCOL_UNIX_CONNECT),
	CONSTANT(FRAME_HEADER_LEN),
	CONSTANT(FRAME_LEN_MAX),
	CONSTANT(FRAME_REPLY),
	CONSTANT(FRAME_MORE),
	CONSTANT(CONTROL_MAGIC),
	CONSTANT(CONTROL_VERSION_MAJOR),
	CONSTANT(CONTROL_VERSION_MINOR),
	CONSTANT(PROTOCOL_VERSION),
	CONSTANT(STREAM_UNSUPPORTED),
	CONSTANT(STREAM_FIRST),
	CONSTANT(FS_MOUNTED_WRITABLE),
	CONSTANT(FS_PATH_MAX),
	CONSTANT(FS_NAME_MAX),
	CONSTANT(FS_HANDLES_MAX),
	CONSTANT(FS_OPEN_READ),
	CONSTANT(FS_OPEN_WRITE),
	CONSTANT(FS_OPEN_CREATE),
	CONSTANT(FS_OPEN_EXCLUSIVE),
	CONSTANT(FS_OPEN_TRUNCATE),
	CONSTANT(FS_OPEN_APPEND),
	CONSTANT(FS_OPEN_DIRECTORY),
	CONSTANT(FS_OPEN_NOFOLLOW),
	CONSTANT(FS_OPEN_KNOWN),
	CONSTANT(FS_AT_NOFOLLOW),
	CONSTANT(FS_AT_HANDLE),
	CONSTANT(FS_ENTRY_HEADER_LEN),
	CONSTANT(FS_UNLINK_DIRECTORY),
	CONSTANT(FS_SYNC_DATA),
	CONSTANT(FS_INTO_AHEAD),
	CONSTANT(FS_INTO_KNOWN),
	CONSTANT(FS_POSITION),
	CONSTANT(FS_AT_KNOWN),
	CONSTANT(FS_LIST_ATTRIBUTES),
	CONSTANT(FS_LIST_KNOWN),
	CONSTANT(FS_ENTRY_ATTRIBUTES),
	CONSTANT(FS_RENAME_NOREPLACE),
	CONSTANT(FS_RENAME_EXCHANGE),
	CONSTANT(FS_RENAME_KNOWN),
	CONSTANT(FS_WRITE_FILE_SYNC),
	CONSTANT(FS_SEEK_SET),
	CONSTANT(FS_SEEK_CURRENT),
	CONSTANT(FS_SEEK_END),
	CONSTANT(FS_SEEK_DATA),
	CONSTANT(FS_SEEK_HOLE),
	CONSTANT(FS_SET_MODE),
	CONSTANT(FS_SET_UID),
	CONSTANT(FS_SET_GID),
	CONSTANT(FS_SET_SIZE),
	CONSTANT(FS_SET_ATIME),
	CONSTANT(FS_SET_MTIME),
	CONSTANT(FS_SET_ATIME_NOW),
	CONSTANT(FS_SET_MTIME_NOW),
	CONSTANT(FS_SET_KNOWN),
	CONSTANT(FS_SET_MODE_BITS),
	CONSTANT(FS_ALLOCATE_KEEP_SIZE),
	CONSTANT(FS_ALLOCATE_PUNCH_HOLE),
	CONSTANT(FS_ALLOCATE_ZERO),
	CONSTANT(FS_ALLOCATE_KNOWN),
	CONSTANT(FS_COPY_MAX),
	CONSTANT(FS_XATTR_MAX),
	CONSTANT(FS_XATTR_CREATE),
	CONSTANT(FS_XATTR_REPLACE),
	CONSTANT(FS_LOCK_SHARED),
	CONSTANT(FS_LOCK_EXCLUSIVE),
	CONSTANT(FS_LOCK_UNLOCK),
	CONSTANT(FS_LOCK_WHOLE),
	CONSTANT(FS_LOCK_WAIT),
	CONSTANT(FS_LOCK_KNOWN),
	CONSTANT(FS_WATCH_CREATED),
	CONSTANT(FS_WATCH_REMOVED),
	CONSTANT(FS_WATCH_MOVED_FROM),
	CONSTANT(FS_WATCH_MOVED_TO),
	CONSTANT(FS_WATCH_MODIFIED),
	CONSTANT(FS_WATCH_ATTRIBUTES),
	CONSTANT(FS_WATCH_WRITTEN),
	CONSTANT(FS_WATCH_OPENED),
	CONSTANT(FS_WATCH_SELF_REMOVED),
	CONSTANT(FS_WATCH_SELF_MOVED),
	CONSTANT(FS_WATCH_KNOWN),
	CONSTANT(FS_WATCH_DIRECTORY),
	CONSTANT(FS_WATCH_OVERFLOW),
	CONSTANT(FS_WATCH_ENDED),
	CONSTANT(FS_WATCHES_MAX),
	CONSTANT(ENDPOINT_NAME),
	CONSTANT(ENDPOINT_IPV4),
	CONSTANT(ENDPOINT_IPV6),
	CONSTANT(TCP_LISTEN_V6ONLY),
	CONSTANT(TCP_LISTEN_EXCLUSIVE),
	CONSTANT(TCP_OPTION_DELAY),
	CONSTANT(TCP_OPTION_KEEPALIVE),
	CONSTANT(ENDPOINT_HOST_MAX),
	CONSTANT(UDP_V6ONLY),
	CONSTANT(UDP_BROADCAST),
	CONSTANT(UDP_HEADER_LEN),
	CONSTANT(NETWORK_ADDRESSES),
	CONSTANT(NETWORK_INTERFACES_AT_ONCE),
	CONSTANT(NETWORK_NAME_MAX),
	CONSTANT(NETWORK_UP),
	CONSTANT(NETWORK_LOOPBACK),
	CONSTANT(NETWORK_BROADCAST),
	CONSTANT(NETWORK_POINT_TO_POINT),
	CONSTANT(NETWORK_MULTICAST),
	CONSTANT(UNIX_STREAM),
	CONSTANT(UNIX_SEQPACKET),
	CONSTANT(UNIX_LISTEN_REPLACE),
	CONSTANT(UNIX_LISTEN_NAME_MAX),
};
#define CONSTANT_COUNT (sizeof(constants) / sizeof(constants[0]))

static void check_constant(struct document *document, int line, bool seen[CONSTANT_COUNT])
{
	struct document_row row;

	document_row(document, line, &row);
	for (unsigned i = 0; i < CONSTANT_COUNT; i++) {
		if (strcmp(row.cell[0], constants[i].name) != 0)
			continue;
		if (seen[i])
			document_complain(document, line, "%s for the second time", row.cell[0]);
		if (strtoull(row.cell[1], NULL, 0) != constants[i].value)
			document_complain(document, line, "%s is %llu in the code", row.cell[0],
				(unsigned long long)constants[i].value);
		seen[i] = true;
		return;
	}
	document_complain(document, line, "the code has no %s", row.cell[0]);
}

void check_constants(struct document *document)
{
	bool seen[CONSTANT_COUNT] = {false};
	struct document_row row;

	for (int line = 0; line < document->line_count; line++) {
		if (!document_table(document, line, "constant|value|meaning"))
			continue;
		for (int i = line + 2; document_row(document, i, &row); i++)
			check_constant(document, i, seen);
	}
	for (unsigned i = 0; i < CONSTANT_COUNT; i++) {
		if (!seen[i])
			document_complain(document, -1, "no row for %s", constants[i].name);
	}
}
