#include "protocol/fs.h"

#include "pipe/ring.h"

_Static_assert(sizeof(struct fs_attributes) == 80, "PROTOCOL.md section 5");
_Static_assert(offsetof(struct fs_attributes, mtime_s) == 24, "PROTOCOL.md section 5");
_Static_assert(offsetof(struct fs_attributes, mtime_ns) == 48, "PROTOCOL.md section 5");
_Static_assert(offsetof(struct fs_attributes, mode) == 60, "PROTOCOL.md section 5");
_Static_assert(offsetof(struct fs_attributes, reserved) == 76, "PROTOCOL.md section 5");

static const struct wire_field mount_fields[] = {
	WIRE_FIELD_STRING(struct fs_mount, path, FS_PATH_MAX),
};

static const struct wire_field mounted_fields[] = {
	WIRE_FIELD_U32(struct fs_mounted, flags),
	WIRE_FIELD_U32(struct fs_mounted, max_frame),
	WIRE_FIELD_U64(struct fs_mounted, operations),
};

/* The struct field by field; elsewhere it is one WIRE_FIXED field. */
static const struct wire_field attributes_fields[] = {
	WIRE_FIELD_U64(struct fs_attributes, size),
	WIRE_FIELD_U64(struct fs_attributes, blocks),
	WIRE_FIELD_U64(struct fs_attributes, inode),
	WIRE_FIELD_U64(struct fs_attributes, mtime_s),
	WIRE_FIELD_U64(struct fs_attributes, atime_s),
	WIRE_FIELD_U64(struct fs_attributes, ctime_s),
	WIRE_FIELD_U32(struct fs_attributes, mtime_ns),
	WIRE_FIELD_U32(struct fs_attributes, atime_ns),
	WIRE_FIELD_U32(struct fs_attributes, ctime_ns),
	WIRE_FIELD_U32(struct fs_attributes, mode),
	WIRE_FIELD_U32(struct fs_attributes, nlink),
	WIRE_FIELD_U32(struct fs_attributes, uid),
	WIRE_FIELD_U32(struct fs_attributes, gid),
	WIRE_FIELD_U32(struct fs_attributes, reserved),
};

static const struct wire_field open_fields[] = {
	WIRE_FIELD_U32(struct fs_open, directory),
	WIRE_FIELD_U32(struct fs_open, flags),
	WIRE_FIELD_U32(struct fs_open, mode),
	WIRE_FIELD_STRING(struct fs_open, path, FS_PATH_MAX),
};

static const struct wire_field opened_fields[] = {
	WIRE_FIELD_U32(struct fs_opened, handle),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_FIXED(struct fs_opened, attributes),
};

static const struct wire_field close_fields[] = {
	WIRE_FIELD_U32(struct fs_close, handle),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_TAIL(struct fs_close, more),
};

static const struct wire_field read_fields[] = {
	WIRE_FIELD_U32(struct fs_read, handle),
	WIRE_FIELD_U32(struct fs_read, length),
	WIRE_FIELD_U64(struct fs_read, offset),
};

static const struct wire_field data_fields[] = {
	WIRE_FIELD_TAIL(struct fs_data, data),
};

static const struct wire_field file_data_fields[] = {
	WIRE_FIELD_U32(struct fs_file_data, padding),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_TAIL(struct fs_file_data, data),
};

static const struct wire_field write_fields[] = {
	WIRE_FIELD_U32(struct fs_write, handle),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_U64(struct fs_write, offset),
	WIRE_FIELD_TAIL(struct fs_write, data),
};

static const struct wire_field written_fields[] = {
	WIRE_FIELD_U32(struct fs_written, length),
};

static const struct wire_field read_file_fields[] = {
	WIRE_FIELD_U32(struct fs_read_file, directory),
	WIRE_FIELD_PAD(4),
	WIRE_FIELD_U64(struct fs_read_file, offset),
	WIRE_FIELD_U64(struct fs_read_file, length),
	WIRE_FIELD_STRING(struct fs_read_file, path, FS_PATH_MAX),
};

static const struct wire_field stat_fields[] = {
	WIRE_FIELD_U32(struct fs_stat, directory),
	WIRE_FIELD_U32(struct fs_stat, flags),
	WIRE_FIELD_STRING(struct fs_stat, path, FS_PATH_MAX),
};

static const struct wire_field list_fields[] = {
	WIRE_FIELD_U32(struct fs_list, handle),
	WIRE_FIELD_U32(struct fs_list, length),
	WIRE_FIELD_U64(struct fs_list, cookie),
	WIRE_FIELD_U32(struct fs_list, flags),
	WIRE_FIELD_PAD(4),
};

static const struct wire_field mkdir_fields[] = {
	WIRE_FIELD_U32(struct fs_mkdir, directory),
	WIRE_FIELD_U32(struct fs_mkdir, mode),
	WIRE_FIELD_STRING(struct fs_mkdir, path, FS_PATH_MAX),
};

static const struct wire_field unlink_fields[] = {
	WIRE_FIELD_U32(struct fs_unlink, directory),
	WIRE_FIELD_U32(struct fs_unlink, flags),
	WIRE_FIELD_STRING(struct fs_unlink, path, FS_PATH_MAX),
};

static const struct wire_field rename_fields[] = {
	WIRE_FIELD_U32(struct fs_rename, from_directory),
	WIRE_FIELD_U32(struct fs_rename, to_directory),
	WIRE_FIELD_U32(struct fs_rename, flags),
	WIRE_FIELD_STRING(struct fs_rename, from, FS_PATH_MAX),
	WIRE_FIELD_STRING(struct fs_rename, to, FS_PATH_MAX),
};

static const struct wire_field sync_fields[] = {
	WIRE_FIELD_U32(struct fs_sync, handle),
	WIRE_FIELD_U32(struct fs_sync, flags),
};

static const struct wire_field read_into_fields[] = {
	WIRE_FIELD_U32(struct fs_read_into, handle),
	WIRE_FIELD_U32(struct fs_read_into, length),
	WIRE_FIELD_U64(struct fs_read_into, offset),
	WIRE_FIELD_U64(struct fs_read_into, stream_id),
	WIRE_FIELD_U64(struct fs_read_into, position),
	WIRE_FIELD_U32(struct fs_read_into, flags),
	WIRE_FIELD_U32(struct fs_read_into, lead),
};

static const struct wire_field was_read_fields[] = {
	WIRE_FIELD_U32(struct fs_was_read, length),
};

static const struct wire_field write_file_fields[] = {
	WIRE_FIELD_U32(struct fs_write_file, directory),
	WIRE_FIELD_U32(struct fs_write_file, flags),
	WIRE_FIELD_U32(struct fs_write_file, mode),
	WIRE_FIELD_STRING(struct fs_write_file, path, FS_PATH_MAX),
};

static const struct wire_field file_written_fields[] = {
	WIRE_FIELD_U64(struct fs_file_written, length),
	WIRE_FIELD_FIXED(struct fs_file_written, attributes),
};

static const struct wire_field seek_fields[] = {
	WIRE_FIELD_U32(struct fs_seek, handle),
	WIRE_FIELD_U32(struct fs_seek, whence),
	WIRE_FIELD_U64(struct fs_seek, offset),
};

static const struct wire_field sought_fields[] = {
	WIRE_FIELD_U64(struct fs_sought, offset),
};

static const struct wire_field set_attributes_fields[] = {
	WIRE_FIELD_U32(struct fs_set_attributes, directory),
	WIRE_FIELD_U32(struct fs_set_attributes, flags),
	WIRE_FIELD_U32(struct fs_set_attributes, set),
	WIRE_FIELD_U32(struct fs_set_attributes, mode),
	WIRE_FIELD_U32(struct fs_set_attributes, uid),
	WIRE_FIELD_U32(struct fs_set_attributes, gid),
	WIRE_FIELD_U32(struct fs_set_attributes, atime_ns),
	WIRE_FIELD_U32(struct fs_set_attributes, mtime_ns),
	WIRE_FIELD_U64(struct fs_set_attributes, atime_s),
	WIRE_FIELD_U64(struct fs_set_attributes, mtime_s),
	WIRE_FIELD_U64(struct fs_set_attributes, size),
	WIRE_FIELD_STRING(struct fs_set_attributes, path, FS_PATH_MAX),
};

static const struct wire_field link_fields[] = {
	WIRE_FIELD_U32(struct fs_link, from_directory),
	WIRE_FIELD_U32(struct fs_link, to_directory),
	WIRE_FIELD_STRING(struct fs_link, from, FS_PATH_MAX),
	WIRE_FIELD_STRING(struct fs_link, to, FS_PATH_MAX),
};

static const struct wire_field symlink_fields[] = {
	WIRE_FIELD_U32(struct fs_symlink, directory),
	WIRE_FIELD_STRING(struct fs_symlink, target, FS_PATH_MAX),
	WIRE_FIELD_STRING(struct fs_symlink, path, FS_PATH_MAX),
};

static const struct wire_field read_link_fields[] = {
	WIRE_FIELD_U32(struct fs_read_link, directory),
	WIRE_FIELD_STRING(struct fs_read_link, path, FS_PATH_MAX),
};

static const struct wire_field stat_system_fields[] = {
	WIRE_FIELD_U32(struct fs_stat_system, handle),
};

static const struct wire_field system_fields[] = {
	WIRE_FIELD_U64(struct fs_system, blocks),
	WIRE_FIELD_U64(struct fs_system, free),
	WIRE_FIELD_U64(struct fs_system, available),
	WIRE_FIELD_U64(struct fs_system, files),
	WIRE_FIELD_U64(struct fs_system, files_free),
	WIRE_FIELD_U32(struct fs_system, block_size),
	WIRE_FIELD_U32(struct fs_system, name_max),
	WIRE_FIELD_U32(struct fs_system, type),
	WIRE_FIELD_U32(struct fs_system, flags),
};

static const struct wire_field allocate_fields[] = {
	WIRE_FIELD_U32(struct fs_allocate, handle),
	WIRE_FIELD_U32(struct fs_allocate, flags),
	WIRE_FIELD_U64(struct fs_allocate, offset),
	WIRE_FIELD_U64(struct fs_allocate, length),
};

static const struct wire_field copy_range_fields[] = {
	WIRE_FIELD_U32(struct fs_copy_range, from_handle),
	WIRE_FIELD_U32(struct fs_copy_range, to_handle),
	WIRE_FIELD_U64(struct fs_copy_range, from_offset),
	WIRE_FIELD_U64(struct fs_copy_range, to_offset),
	WIRE_FIELD_U64(struct fs_copy_range, length),
};

static const struct wire_field copied_fields[] = {
	WIRE_FIELD_U64(struct fs_copied, length),
};

static const struct wire_field get_xattr_fields[] = {
	WIRE_FIELD_U32(struct fs_get_xattr, directory),
	WIRE_FIELD_U32(struct fs_get_xattr, flags),
	WIRE_FIELD_STRING(struct fs_get_xattr, name, FS_NAME_MAX),
	WIRE_FIELD_STRING(struct fs_get_xattr, path, FS_PATH_MAX),
};

static const struct wire_field set_xattr_fields[] = {
	WIRE_FIELD_U32(struct fs_set_xattr, directory),
	WIRE_FIELD_U32(struct fs_set_xattr, flags),
	WIRE_FIELD_STRING(struct fs_set_xattr, name, FS_NAME_MAX),
	WIRE_FIELD_STRING(struct fs_set_xattr, path, FS_PATH_MAX),
	WIRE_FIELD_TAIL(struct fs_set_xattr, value),
};

static const struct wire_field list_xattrs_fields[] = {
	WIRE_FIELD_U32(struct fs_list_xattrs, directory),
	WIRE_FIELD_U32(struct fs_list_xattrs, flags),
	WIRE_FIELD_STRING(struct fs_list_xattrs, path, FS_PATH_MAX),
};

static const struct wire_field lock_fields[] = {
	WIRE_FIELD_U32(struct fs_lock, handle),
	WIRE_FIELD_U32(struct fs_lock, flags),
	WIRE_FIELD_U64(struct fs_lock, offset),
	WIRE_FIELD_U64(struct fs_lock, length),
};

static const struct wire_field watch_fields[] = {
	WIRE_FIELD_U32(struct fs_watch, directory),
	WIRE_FIELD_U32(struct fs_watch, flags),
	WIRE_FIELD_U32(struct fs_watch, events),
	WIRE_FIELD_STRING(struct fs_watch, path, FS_PATH_MAX),
};

static const struct wire_field watched_fields[] = {
	WIRE_FIELD_U32(struct fs_watched, events),
	WIRE_FIELD_U32(struct fs_watched, cookie),
	WIRE_FIELD_STRING(struct fs_watched, name, FS_NAME_MAX),
};

static const struct wire_field cancel_fields[] = {
	WIRE_FIELD_U32(struct fs_cancel, request_id),
};

/* Payloads have no type of their own: they ride in Open and Opened. */
const struct wire_message fs_mount_message =
	WIRE_MESSAGE("Mount", 0, mount_fields, struct fs_mount);
const struct wire_message fs_mounted_message =
	WIRE_MESSAGE("Mounted", 0, mounted_fields, struct fs_mounted);

const struct wire_message fs_attributes_message =
	WIRE_MESSAGE("StatReply", FS_STAT, attributes_fields, struct fs_attributes);
const struct wire_message fs_data_message =
	WIRE_MESSAGE("ReadFileData", FS_READ_FILE, file_data_fields, struct fs_file_data);

#define ROW(type) [(type)-STREAM_FIRST]

const struct wire_message fs_requests[FS_TYPE_COUNT] = {
	ROW(FS_OPEN) = WIRE_MESSAGE("OpenFile", FS_OPEN, open_fields, struct fs_open),
	ROW(FS_CLOSE) = WIRE_MESSAGE("CloseFile", FS_CLOSE, close_fields, struct fs_close),
	ROW(FS_READ) = WIRE_MESSAGE("Read", FS_READ, read_fields, struct fs_read),
	ROW(FS_WRITE) = WIRE_MESSAGE("Write", FS_WRITE, write_fields, struct fs_write),
	ROW(FS_READ_FILE) =
		WIRE_MESSAGE("ReadFile", FS_READ_FILE, read_file_fields, struct fs_read_file),
	ROW(FS_STAT) = WIRE_MESSAGE("Stat", FS_STAT, stat_fields, struct fs_stat),
	ROW(FS_LIST) = WIRE_MESSAGE("List", FS_LIST, list_fields, struct fs_list),
	ROW(FS_MKDIR) = WIRE_MESSAGE("MakeDirectory", FS_MKDIR, mkdir_fields, struct fs_mkdir),
	ROW(FS_UNLINK) = WIRE_MESSAGE("Unlink", FS_UNLINK, unlink_fields, struct fs_unlink),
	ROW(FS_RENAME) = WIRE_MESSAGE("Rename", FS_RENAME, rename_fields, struct fs_rename),
	ROW(FS_SYNC) = WIRE_MESSAGE("Sync", FS_SYNC, sync_fields, struct fs_sync),
	ROW(FS_READ_INTO) =
		WIRE_MESSAGE("ReadInto", FS_READ_INTO, read_into_fields, struct fs_read_into),
	ROW(FS_WRITE_FILE) =
		WIRE_MESSAGE("WriteFile", FS_WRITE_FILE, write_file_fields, struct fs_write_file),
	ROW(FS_WRITE_DATA) =
		WIRE_MESSAGE("WriteFileData", FS_WRITE_DATA, file_data_fields, struct fs_file_data),
	ROW(FS_SEEK) = WIRE_MESSAGE("Seek", FS_SEEK, seek_fields, struct fs_seek),
	ROW(FS_SET_ATTRIBUTES) = WIRE_MESSAGE("SetAttributes", FS_SET_ATTRIBUTES,
		set_attributes_fields, struct fs_set_attributes),
	ROW(FS_LINK) = WIRE_MESSAGE("Link", FS_LINK, link_fields, struct fs_link),
	ROW(FS_SYMLINK) =
		WIRE_MESSAGE("SymbolicLink", FS_SYMLINK, symlink_fields, struct fs_symlink),
	ROW(FS_READ_LINK) =
		WIRE_MESSAGE("ReadLink", FS_READ_LINK, read_link_fields, struct fs_read_link),
	ROW(FS_STAT_SYSTEM) = WIRE_MESSAGE(
		"StatFileSystem", FS_STAT_SYSTEM, stat_system_fields, struct fs_stat_system),
	ROW(FS_ALLOCATE) =
		WIRE_MESSAGE("Allocate", FS_ALLOCATE, allocate_fields, struct fs_allocate),
	ROW(FS_COPY_RANGE) =
		WIRE_MESSAGE("CopyRange", FS_COPY_RANGE, copy_range_fields, struct fs_copy_range),
	ROW(FS_GET_XATTR) =
		WIRE_MESSAGE("GetXattr", FS_GET_XATTR, get_xattr_fields, struct fs_get_xattr),
	ROW(FS_SET_XATTR) =
		WIRE_MESSAGE("SetXattr", FS_SET_XATTR, set_xattr_fields, struct fs_set_xattr),
	ROW(FS_LIST_XATTRS) = WIRE_MESSAGE(
		"ListXattrs", FS_LIST_XATTRS, list_xattrs_fields, struct fs_list_xattrs),
	ROW(FS_REMOVE_XATTR) =
		WIRE_MESSAGE("RemoveXattr", FS_REMOVE_XATTR, get_xattr_fields, struct fs_get_xattr),
	ROW(FS_LOCK) = WIRE_MESSAGE("Lock", FS_LOCK, lock_fields, struct fs_lock),
	ROW(FS_WATCH) = WIRE_MESSAGE("Watch", FS_WATCH, watch_fields, struct fs_watch),
	ROW(FS_CANCEL) = WIRE_MESSAGE("Cancel", FS_CANCEL, cancel_fields, struct fs_cancel),
};

const struct wire_message fs_replies[FS_TYPE_COUNT] = {
	ROW(FS_OPEN) = WIRE_MESSAGE("OpenFileReply", FS_OPEN, opened_fields, struct fs_opened),
	ROW(FS_CLOSE) = WIRE_MESSAGE_EMPTY("CloseFileReply", FS_CLOSE),
	ROW(FS_READ) = WIRE_MESSAGE("ReadReply", FS_READ, file_data_fields, struct fs_file_data),
	ROW(FS_WRITE) = WIRE_MESSAGE("WriteReply", FS_WRITE, written_fields, struct fs_written),
	ROW(FS_READ_FILE) = WIRE_MESSAGE(
		"ReadFileReply", FS_READ_FILE, attributes_fields, struct fs_attributes),
	ROW(FS_STAT) = WIRE_MESSAGE("StatReply", FS_STAT, attributes_fields, struct fs_attributes),
	ROW(FS_LIST) = WIRE_MESSAGE("ListReply", FS_LIST, data_fields, struct fs_data),
	ROW(FS_MKDIR) = WIRE_MESSAGE_EMPTY("MakeDirectoryReply", FS_MKDIR),
	ROW(FS_UNLINK) = WIRE_MESSAGE_EMPTY("UnlinkReply", FS_UNLINK),
	ROW(FS_RENAME) = WIRE_MESSAGE_EMPTY("RenameReply", FS_RENAME),
	ROW(FS_SYNC) = WIRE_MESSAGE_EMPTY("SyncReply", FS_SYNC),
	ROW(FS_READ_INTO) =
		WIRE_MESSAGE("ReadIntoReply", FS_READ_INTO, was_read_fields, struct fs_was_read),
	ROW(FS_WRITE_FILE) = WIRE_MESSAGE(
		"WriteFileReply", FS_WRITE_FILE, file_written_fields, struct fs_file_written),
	ROW(FS_WRITE_DATA) = WIRE_MESSAGE_EMPTY("WriteFileDataReply", FS_WRITE_DATA),
	ROW(FS_SEEK) = WIRE_MESSAGE("SeekReply", FS_SEEK, sought_fields, struct fs_sought),
	ROW(FS_SET_ATTRIBUTES) = WIRE_MESSAGE(
		"SetAttributesReply", FS_SET_ATTRIBUTES, attributes_fields, struct fs_attributes),
	ROW(FS_LINK) = WIRE_MESSAGE_EMPTY("LinkReply", FS_LINK),
	ROW(FS_SYMLINK) = WIRE_MESSAGE_EMPTY("SymbolicLinkReply", FS_SYMLINK),
	ROW(FS_READ_LINK) =
		WIRE_MESSAGE("ReadLinkReply", FS_READ_LINK, data_fields, struct fs_data),
	ROW(FS_STAT_SYSTEM) = WIRE_MESSAGE(
		"StatFileSystemReply", FS_STAT_SYSTEM, system_fields, struct fs_system),
	ROW(FS_ALLOCATE) = WIRE_MESSAGE_EMPTY("AllocateReply", FS_ALLOCATE),
	ROW(FS_COPY_RANGE) =
		WIRE_MESSAGE("CopyRangeReply", FS_COPY_RANGE, copied_fields, struct fs_copied),
	ROW(FS_GET_XATTR) =
		WIRE_MESSAGE("GetXattrReply", FS_GET_XATTR, data_fields, struct fs_data),
	ROW(FS_SET_XATTR) = WIRE_MESSAGE_EMPTY("SetXattrReply", FS_SET_XATTR),
	ROW(FS_LIST_XATTRS) =
		WIRE_MESSAGE("ListXattrsReply", FS_LIST_XATTRS, data_fields, struct fs_data),
	ROW(FS_REMOVE_XATTR) = WIRE_MESSAGE_EMPTY("RemoveXattrReply", FS_REMOVE_XATTR),
	ROW(FS_LOCK) = WIRE_MESSAGE_EMPTY("LockReply", FS_LOCK),
	ROW(FS_WATCH) = WIRE_MESSAGE("WatchReply", FS_WATCH, watched_fields, struct fs_watched),
	ROW(FS_CANCEL) = WIRE_MESSAGE_EMPTY("CancelReply", FS_CANCEL),
};

_Static_assert(FS_TYPE_COUNT == 29, "a new type needs a row in fs_requests and in fs_replies");

static const struct wire_field entry_fields[] = {
	WIRE_FIELD_U64(struct fs_entry_head, inode),
	WIRE_FIELD_U64(struct fs_entry_head, cookie),
	WIRE_FIELD_U16(struct fs_entry_head, type),
	WIRE_FIELD_U16(struct fs_entry_head, name_length),
	WIRE_FIELD_U32(struct fs_entry_head, flags),
};

const struct wire_message fs_entry_message =
	WIRE_MESSAGE("Entry", 0, entry_fields, struct fs_entry_head);

/* Bytes of an entry, its padding and attributes included. */
static size_t entry_len(size_t name_len, bool attributes)
{
	return FS_ENTRY_HEADER_LEN + ((name_len + 7) & ~(size_t)7) +
	       (attributes ? sizeof(struct fs_attributes) : 0);
}

/* A name is one component: nothing that could end or lengthen a path. */
static bool name_valid(const unsigned char *name, size_t len)
{
	if (len == 0 || len > FS_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == 0 || name[i] == '/')
			return false;
	}
	return true;
}

size_t fs_entry_encode(const struct fs_entry *entry, void *ret_bytes, size_t room)
{
	unsigned char *bytes = ret_bytes;
	size_t name_len = entry->name.len;
	size_t len = entry_len(name_len, entry->has_attributes);
	struct fs_entry_head head = {
		.inode = entry->inode,
		.cookie = entry->cookie,
		.type = entry->type,
		.name_length = (uint16_t)name_len,
		.flags = entry->has_attributes ? FS_ENTRY_ATTRIBUTES : 0,
	};
	size_t used;

	if (!name_valid(entry->name.data, name_len) || room < len)
		return 0;
	used = wire_encode_body(&fs_entry_message, &head, bytes, room);
	__builtin_memcpy(bytes + used, entry->name.data, name_len);
	used += name_len;
	__builtin_memset(bytes + used, 0, entry_len(name_len, false) - used);
	if (entry->has_attributes)
		__builtin_memcpy(bytes + entry_len(name_len, false), &entry->attributes,
			sizeof(entry->attributes));
	return len;
}

long fs_entry_decode(struct fs_entry *ret_entry, const void *bytes, size_t len)
{
	const unsigned char *name;
	struct fs_entry_head head;

	if (len == 0)
		return 0;
	if (wire_decode(&fs_entry_message, &head, bytes, len) != 0)
		return -RING_EPROTO;
	bool attributes = (head.flags & FS_ENTRY_ATTRIBUTES) != 0;
	if (len < entry_len(head.name_length, attributes))
		return -RING_EPROTO;
	name = (const unsigned char *)bytes + FS_ENTRY_HEADER_LEN;
	if (!name_valid(name, head.name_length))
		return -RING_EPROTO;
	*ret_entry = (struct fs_entry){
		.inode = head.inode,
		.cookie = head.cookie,
		.type = head.type,
		.has_attributes = attributes,
		.name = {.data = name, .len = head.name_length},
	};
	if (attributes)
		__builtin_memcpy(&ret_entry->attributes,
			(const unsigned char *)bytes + entry_len(head.name_length, false),
			sizeof(ret_entry->attributes));
	return (long)entry_len(head.name_length, attributes);
}

#define FILE_DATA_LEAD 8u /* bytes of the body before the padding */

unsigned char *fs_data_place(unsigned char *frame)
{
	unsigned char *field = frame + FRAME_HEADER_LEN;
	uintptr_t least = (uintptr_t)field + FILE_DATA_LEAD;
	unsigned char padding = (unsigned char)(-least % FS_DATA_ALIGN);

	__builtin_memset(field, 0, FILE_DATA_LEAD);
	field[0] = padding;
	return field + FILE_DATA_LEAD + padding;
}

int fs_data_find(const void *body, size_t len, struct wire_bytes *ret_data)
{
	struct fs_file_data data;
	int error = wire_decode(&fs_data_message, &data, body, len);

	if (!error && data.padding > data.data.len)
		error = -RING_EPROTO;
	if (error)
		return error;
	ret_data->data = (const unsigned char *)data.data.data + data.padding;
	ret_data->len = data.data.len - data.padding;
	return 0;
}
