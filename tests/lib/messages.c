#include "tests/lib/messages.h"

#include <string.h>

#include "control/control.h"
#include "protocol/fs.h"
#include "protocol/network.h"
#include "protocol/open.h"
#include "protocol/tcp.h"
#include "protocol/udp.h"
#include "protocol/unix.h"

static const struct wire_field header_fields[] = {
	WIRE_FIELD_U32(struct frame, length),
	WIRE_FIELD_U16(struct frame, type),
	WIRE_FIELD_U16(struct frame, flags),
	WIRE_FIELD_U32(struct frame, request_id),
	WIRE_FIELD_U32(struct frame, error),
};

static const struct wire_field endpoint_fields[] = {
	WIRE_FIELD_U16(struct endpoint, family),
	WIRE_FIELD_U16(struct endpoint, port),
	WIRE_FIELD_U32(struct endpoint, scope),
	WIRE_FIELD_FIXED(struct endpoint, addr),
};

static const struct wire_message header = WIRE_MESSAGE("Header", 0, header_fields, struct frame);
static const struct wire_message endpoint =
	WIRE_MESSAGE("Endpoint", 0, endpoint_fields, struct endpoint);

#define STRUCTURE(name, message)                                                                   \
	{                                                                                          \
		MESSAGE_STRUCTURE, (name), (message), false                                        \
	}
#define PAYLOAD(name, message)                                                                     \
	{                                                                                          \
		MESSAGE_PAYLOAD, (name), (message), false                                          \
	}
#define FRAME(name, message)                                                                       \
	{                                                                                          \
		MESSAGE_FRAME, (name), (message), false                                            \
	}
#define FRAME_OF(name, message)                                                                    \
	{                                                                                          \
		MESSAGE_FRAME, (name), (message), true                                             \
	}
#define FS(table, type) (&fs_##table[(type)-STREAM_FIRST])

const struct message_row message_rows[] = {
	STRUCTURE("Header", &header),
	FRAME("Unsupported", &control_messages[CONTROL_UNSUPPORTED]),
	FRAME("Hello", &control_messages[CONTROL_HELLO]),
	FRAME("NewStreamRequest", &control_messages[CONTROL_NEW_STREAM]),
	FRAME("DataStreamInfo", &control_messages[CONTROL_STREAM_INFO]),
	FRAME("StreamError", &control_messages[CONTROL_STREAM_ERROR]),
	FRAME("CloseStream", &control_messages[CONTROL_CLOSE_STREAM]),
	FRAME("Open", &stream_open_message),
	FRAME("Opened", &stream_opened_message),
	PAYLOAD("Mount", &fs_mount_message),
	PAYLOAD("Mounted", &fs_mounted_message),
	STRUCTURE("Attributes", &fs_attributes_message),
	FRAME("OpenFile", FS(requests, FS_OPEN)),
	FRAME("OpenFileReply", FS(replies, FS_OPEN)),
	FRAME("CloseFile", FS(requests, FS_CLOSE)),
	FRAME("CloseFileReply", FS(replies, FS_CLOSE)),
	FRAME("Read", FS(requests, FS_READ)),
	FRAME("ReadReply", FS(replies, FS_READ)),
	FRAME("Write", FS(requests, FS_WRITE)),
	FRAME("WriteReply", FS(replies, FS_WRITE)),
	FRAME("ReadFile", FS(requests, FS_READ_FILE)),
	FRAME_OF("ReadFileReply", FS(replies, FS_READ_FILE)),
	FRAME("ReadFileData", &fs_data_message),
	FRAME("Stat", FS(requests, FS_STAT)),
	FRAME_OF("StatReply", FS(replies, FS_STAT)),
	FRAME("List", FS(requests, FS_LIST)),
	FRAME("ListReply", FS(replies, FS_LIST)),
	STRUCTURE("Entry", &fs_entry_message),
	FRAME("MakeDirectory", FS(requests, FS_MKDIR)),
	FRAME("MakeDirectoryReply", FS(replies, FS_MKDIR)),
	FRAME("Unlink", FS(requests, FS_UNLINK)),
	FRAME("UnlinkReply", FS(replies, FS_UNLINK)),
	FRAME("Rename", FS(requests, FS_RENAME)),
	FRAME("RenameReply", FS(replies, FS_RENAME)),
	FRAME("Sync", FS(requests, FS_SYNC)),
	FRAME("SyncReply", FS(replies, FS_SYNC)),
	FRAME("ReadInto", FS(requests, FS_READ_INTO)),
	FRAME("ReadIntoReply", FS(replies, FS_READ_INTO)),
	FRAME("WriteFile", FS(requests, FS_WRITE_FILE)),
	FRAME("WriteFileReply", FS(replies, FS_WRITE_FILE)),
	FRAME("WriteFileData", FS(requests, FS_WRITE_DATA)),
	FRAME("WriteFileDataReply", FS(replies, FS_WRITE_DATA)),
	FRAME("Seek", FS(requests, FS_SEEK)),
	FRAME("SeekReply", FS(replies, FS_SEEK)),
	FRAME("SetAttributes", FS(requests, FS_SET_ATTRIBUTES)),
	FRAME_OF("SetAttributesReply", FS(replies, FS_SET_ATTRIBUTES)),
	FRAME("Link", FS(requests, FS_LINK)),
	FRAME("LinkReply", FS(replies, FS_LINK)),
	FRAME("SymbolicLink", FS(requests, FS_SYMLINK)),
	FRAME("SymbolicLinkReply", FS(replies, FS_SYMLINK)),
	FRAME("ReadLink", FS(requests, FS_READ_LINK)),
	FRAME("ReadLinkReply", FS(replies, FS_READ_LINK)),
	FRAME("StatFileSystem", FS(requests, FS_STAT_SYSTEM)),
	FRAME("StatFileSystemReply", FS(replies, FS_STAT_SYSTEM)),
	FRAME("Allocate", FS(requests, FS_ALLOCATE)),
	FRAME("AllocateReply", FS(replies, FS_ALLOCATE)),
	FRAME("CopyRange", FS(requests, FS_COPY_RANGE)),
	FRAME("CopyRangeReply", FS(replies, FS_COPY_RANGE)),
	FRAME("GetXattr", FS(requests, FS_GET_XATTR)),
	FRAME("GetXattrReply", FS(replies, FS_GET_XATTR)),
	FRAME("SetXattr", FS(requests, FS_SET_XATTR)),
	FRAME("SetXattrReply", FS(replies, FS_SET_XATTR)),
	FRAME("ListXattrs", FS(requests, FS_LIST_XATTRS)),
	FRAME("ListXattrsReply", FS(replies, FS_LIST_XATTRS)),
	FRAME("RemoveXattr", FS(requests, FS_REMOVE_XATTR)),
	FRAME("RemoveXattrReply", FS(replies, FS_REMOVE_XATTR)),
	FRAME("Lock", FS(requests, FS_LOCK)),
	FRAME("LockReply", FS(replies, FS_LOCK)),
	FRAME("Watch", FS(requests, FS_WATCH)),
	FRAME("WatchReply", FS(replies, FS_WATCH)),
	FRAME("Cancel", FS(requests, FS_CANCEL)),
	FRAME("CancelReply", FS(replies, FS_CANCEL)),
	STRUCTURE("Endpoint", &endpoint),
	STRUCTURE("TcpOptions", &tcp_options_message),
	PAYLOAD("Listen", &tcp_listen_message),
	PAYLOAD("Listening", &tcp_listening_message),
	FRAME("Accept", &tcp_accept_message),
	FRAME("IncomingConnection", &tcp_incoming_message),
	FRAME("Resolve", &network_resolve_message),
	FRAME("Resolved", &network_resolved_message),
	FRAME("Interfaces", &network_interfaces_message),
	FRAME("InterfacesReply", &network_interfaces_reply_message),
	STRUCTURE("Interface", &network_interface_message),
	PAYLOAD("Connect", &tcp_connect_message),
	PAYLOAD("Connected", &tcp_connected_message),
	PAYLOAD("Bind", &udp_bind_message),
	PAYLOAD("Bound", &udp_bound_message),
	FRAME("Datagram", &udp_datagram_message),
	FRAME("SendError", &udp_send_error_message),
	PAYLOAD("UnixListen", &unix_listen_message),
	FRAME("IncomingUnix", &unix_incoming_message),
	PAYLOAD("UnixConnect", &unix_connect_message),
	PAYLOAD("UnixConnected", &unix_connected_message),
	FRAME("Packet", &unix_packet_message),
};

#define ROW_COUNT (sizeof(message_rows) / sizeof(message_rows[0]))

const unsigned message_row_count = ROW_COUNT;

const struct message_row *message_row_find(const char *name)
{
	for (unsigned i = 0; i < ROW_COUNT; i++) {
		if (strcmp(message_rows[i].name, name) == 0)
			return &message_rows[i];
	}
	return NULL;
}
