/*
 * fs: protocol 0, files of one mounted host directory (PROTOCOL.md section 5).
 *
 * Requests are pipelined by request id and may be answered out of order. A
 * path is relative to a directory handle (0: the mount itself) and can never
 * leave the mount. Reply frames carry the request's type with FRAME_REPLY.
 */
#ifndef FERRULE_PROTOCOL_FS_H
#define FERRULE_PROTOCOL_FS_H

#include "protocol/open.h"

#define FS_PATH_MAX 4095u      /* bytes */
#define FS_NAME_MAX 255u       /* bytes */
#define FS_HANDLES_MAX 1024u   /* open handles on one stream; then EMFILE */
#define FS_POSITION UINT64_MAX /* an offset: at the handle's file position, which moves */

enum fs_type {
	FS_OPEN = STREAM_FIRST,
	FS_CLOSE,
	FS_READ,
	FS_WRITE,
	FS_READ_FILE,
	FS_STAT,
	FS_LIST,
	FS_MKDIR,
	FS_UNLINK,
	FS_RENAME,
	FS_SYNC,
	FS_READ_INTO,
	FS_WRITE_FILE,
	FS_WRITE_DATA, /* the bytes of an FS_WRITE_FILE; has no reply of its own */
	FS_SEEK,
	FS_SET_ATTRIBUTES,
	FS_LINK,
	FS_SYMLINK,
	FS_READ_LINK,
	FS_STAT_SYSTEM,
	FS_ALLOCATE,
	FS_COPY_RANGE,
	FS_GET_XATTR,
	FS_SET_XATTR,
	FS_LIST_XATTRS,
	FS_REMOVE_XATTR,
	FS_LOCK,
	FS_WATCH,
	FS_CANCEL,
	FS_TYPE_END,
};

/* What the path of a request leads to. */
enum fs_at_flag {
	FS_AT_NOFOLLOW = 1u << 0, /* a symbolic link itself, when the last component is one */
	FS_AT_HANDLE = 1u << 1,   /* 'directory' itself (any handle, or 0); the path is empty */
	FS_AT_KNOWN = (1u << 2) - 1, /* any other bit is refused with EINVAL */
};

enum fs_open_flag {
	FS_OPEN_READ = 1u << 0,
	FS_OPEN_WRITE = 1u << 1,
	FS_OPEN_CREATE = 1u << 2,
	FS_OPEN_EXCLUSIVE = 1u << 3, /* with CREATE: EEXIST when it is there */
	FS_OPEN_TRUNCATE = 1u << 4,
	FS_OPEN_APPEND = 1u << 5,
	FS_OPEN_DIRECTORY = 1u << 6, /* ENOTDIR for anything else */
	FS_OPEN_NOFOLLOW = 1u << 7,  /* ELOOP when the last component is a symbolic link */
	FS_OPEN_KNOWN = (1u << 8) - 1, /* any other bit is refused with EINVAL */
};

/* 80 bytes on the wire, as they lie here (WIRE_FIXED); part of other messages. */
struct fs_attributes {
	uint64_t size;         /* bytes */
	uint64_t blocks;       /* of 512 bytes */
	uint64_t inode;
	uint64_t mtime_s, atime_s, ctime_s; /* seconds since 1970, two's complement */
	uint32_t mtime_ns, atime_ns, ctime_ns;
	uint32_t mode;         /* type and permissions as in stat(2) */
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t reserved;
};

struct fs_mount {              /* payload of Open */
	struct wire_bytes path; /* the guest directory of the mount, as granted */
};

enum fs_mounted_flag {
	FS_MOUNTED_WRITABLE = 1u << 0,
};

struct fs_mounted {            /* payload of Opened */
	uint32_t flags;        /* enum fs_mounted_flag */
	uint32_t max_frame;    /* bytes: the longest request taken and reply sent on this stream */
	uint64_t operations;   /* bit 1 << (type - STREAM_FIRST) for each request that is supported */
};

struct fs_open {
	uint32_t directory;    /* handle, 0: the mount */
	uint32_t flags;        /* enum fs_open_flag */
	uint32_t mode;         /* permissions of a file that is created */
	struct wire_bytes path;
};
struct fs_opened {
	uint32_t handle;       /* never 0 */
	struct fs_attributes attributes;
};

struct fs_close {
	uint32_t handle;
	struct wire_bytes more; /* further handles, 4 bytes each */
};

struct fs_read {
	uint32_t handle;
	uint32_t length;       /* bytes wanted; the reply's body is as many as there are, empty at the end */
	uint64_t offset;       /* in the file, or FS_POSITION */
};
/*
 * Bytes of a file, in the reply to FS_READ and wherever a whole file is moved. They begin at a multiple of
 * FS_DATA_ALIGN from the start of the ring, where they are copied fast; 'padding' bytes lie before them.
 */
struct fs_file_data {
	uint32_t padding;
	struct wire_bytes data; /* begins with the padding */
};
#define FS_DATA_ALIGN 32u
#define FS_DATA_HEAD_MOST (FRAME_HEADER_LEN + 8 + FS_DATA_ALIGN) /* bytes of a frame before them, at the most */

struct fs_data {               /* replies that are bytes */
	struct wire_bytes data;
};

struct fs_write {
	uint32_t handle;
	uint64_t offset;       /* or FS_POSITION; but for that ignored for FS_OPEN_APPEND */
	struct wire_bytes data;
};
struct fs_written {
	uint32_t length;       /* bytes written, all of them unless the medium gave up */
};

/* The whole file, opened, streamed and closed by one request: first a reply with the attributes, then
 * fs_file_data replies; all but the last have FRAME_MORE. An error may come in the middle. */
struct fs_read_file {
	uint32_t directory;
	uint64_t offset;       /* where to start */
	uint64_t length;       /* the most to send; UINT64_MAX: to the end */
	struct wire_bytes path;
};

struct fs_stat {
	uint32_t directory;
	uint32_t flags;        /* enum fs_at_flag */
	struct wire_bytes path;
};

enum fs_list_flag {
	FS_LIST_ATTRIBUTES = 1u << 0, /* each entry with its attributes, as of a Stat that follows no link */
	FS_LIST_KNOWN = (1u << 1) - 1,
};
struct fs_list {
	uint32_t handle;       /* of a directory */
	uint32_t length;       /* the most bytes of entries */
	uint64_t cookie;       /* 0: from the start; else the cookie of the last entry that was read */
	uint32_t flags;        /* enum fs_list_flag */
};
/* The reply is a tail of entries, one behind the other: the head, then the name, padded with zeros to
 * 8 bytes. '.' and '..' are left out. No entries: the end. */
enum fs_entry_flag {
	FS_ENTRY_ATTRIBUTES = 1u << 0, /* struct fs_attributes follows the padded name */
};
struct fs_entry_head {
	uint64_t inode;
	uint64_t cookie;       /* for fs_list: go on behind this entry */
	uint16_t type;         /* stat mode >> 12 */
	uint16_t name_length;  /* bytes, without padding */
	uint32_t flags;        /* enum fs_entry_flag */
};
struct fs_entry {
	uint64_t inode;
	uint64_t cookie;
	uint16_t type;
	bool has_attributes;
	struct wire_bytes name; /* no '/' and no NUL in it, 1 to FS_NAME_MAX bytes */
	struct fs_attributes attributes;
};
#define FS_ENTRY_HEADER_LEN 24u  /* bytes of the head on the wire */

struct fs_mkdir {
	uint32_t directory;
	uint32_t mode;
	struct wire_bytes path;
};

enum fs_unlink_flag {
	FS_UNLINK_DIRECTORY = 1u << 0, /* rmdir(2) */
};
struct fs_unlink {
	uint32_t directory;
	uint32_t flags;
	struct wire_bytes path;
};

enum fs_rename_flag {
	FS_RENAME_NOREPLACE = 1u << 0, /* EEXIST when something is at 'to' */
	FS_RENAME_EXCHANGE = 1u << 1,  /* both are there and change places, at one instant */
	FS_RENAME_KNOWN = (1u << 2) - 1,
};
struct fs_rename {
	uint32_t from_directory;
	uint32_t to_directory;
	uint32_t flags;        /* enum fs_rename_flag */
	struct wire_bytes from;
	struct wire_bytes to;
};

enum fs_sync_flag {
	FS_SYNC_DATA = 1u << 0, /* fdatasync(2) */
};
struct fs_sync {
	uint32_t handle;
	uint32_t flags;
};

enum fs_into_flag {
	FS_INTO_AHEAD = 1u << 0, /* may be sent before they are committed */
	FS_INTO_KNOWN = (1u << 1) - 1, /* any other bit is refused with EINVAL */
};
/* As FS_READ, but the bytes go straight into the ring that the guest writes of one of its streams,
 * where it commits them when the reply has come. */
struct fs_read_into {
	uint32_t handle;
	uint32_t length;       /* bytes wanted */
	uint64_t offset;       /* in the file */
	uint64_t stream_id;    /* whose ring */
	uint64_t position;     /* of the first byte, as the ring counts */
	uint32_t flags;        /* enum fs_into_flag */
	uint32_t lead;         /* with FS_INTO_AHEAD: bytes in front of them that are committed along */
};
struct fs_was_read {
	uint32_t length;       /* bytes that are there now; 0: the end of the file */
};

/*
 * The whole file, opened, filled and closed by one request: behind it come FS_WRITE_DATA frames with its
 * request id, of which all but the last have FRAME_MORE. One reply, once all is written or at the first error.
 */
enum fs_write_file_flag {
	FS_WRITE_FILE_SYNC = 1u << 8, /* as FS_SYNC before the reply; beside those of fs_open_flag */
};
struct fs_write_file {
	uint32_t directory;
	uint32_t flags;        /* enum fs_open_flag, enum fs_write_file_flag */
	uint32_t mode;         /* permissions of a file that is created */
	struct wire_bytes path;
};
struct fs_file_written {
	uint64_t length;       /* bytes that were written */
	struct fs_attributes attributes; /* after the last */
};

enum fs_seek_whence {
	FS_SEEK_SET,
	FS_SEEK_CURRENT,
	FS_SEEK_END,
	FS_SEEK_DATA, /* the next byte that is no hole, from the offset on; ENXIO: none */
	FS_SEEK_HOLE, /* the next hole from the offset on; the end of the file counts as one */
};
struct fs_seek {
	uint32_t handle;
	uint32_t whence;       /* enum fs_seek_whence */
	uint64_t offset;       /* two's complement */
};
struct fs_sought {
	uint64_t offset;       /* the file position now */
};

enum fs_set_bit {
	FS_SET_MODE = 1u << 0,
	FS_SET_UID = 1u << 1,
	FS_SET_GID = 1u << 2,
	FS_SET_SIZE = 1u << 3,
	FS_SET_ATIME = 1u << 4,
	FS_SET_MTIME = 1u << 5,
	FS_SET_ATIME_NOW = 1u << 6, /* the host's time; without FS_SET_ATIME */
	FS_SET_MTIME_NOW = 1u << 7,
	FS_SET_KNOWN = (1u << 8) - 1, /* any other bit is refused with EINVAL */
};
#define FS_SET_MODE_BITS 01777u /* the others of a mode are refused with EPERM */
struct fs_set_attributes {
	uint32_t directory;
	uint32_t flags;        /* enum fs_at_flag */
	uint32_t set;          /* enum fs_set_bit: which of the following count */
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t atime_ns, mtime_ns; /* below 10^9 */
	uint64_t atime_s, mtime_s;   /* two's complement */
	uint64_t size;         /* bytes; what is beyond is thrown away, what is missing is a hole */
	struct wire_bytes path;
};

struct fs_link {
	uint32_t from_directory;
	uint32_t to_directory;
	struct wire_bytes from; /* an existing file; a symbolic link is linked itself */
	struct wire_bytes to;
};

struct fs_symlink {
	uint32_t directory;
	struct wire_bytes target; /* the link's text, any bytes */
	struct wire_bytes path;
};

struct fs_read_link {
	uint32_t directory;
	struct wire_bytes path;
};

struct fs_stat_system {
	uint32_t handle;       /* any, or 0: the file system that it lies in */
};
struct fs_system {
	uint64_t blocks;       /* of block_size */
	uint64_t free;
	uint64_t available;    /* of these to the monitor's user */
	uint64_t files;        /* that there can be; 0: not known */
	uint64_t files_free;
	uint32_t block_size;   /* bytes */
	uint32_t name_max;     /* bytes of a name */
	uint32_t type;         /* statfs(2) f_type */
	uint32_t flags;        /* enum fs_mounted_flag */
};

enum fs_allocate_flag {
	FS_ALLOCATE_KEEP_SIZE = 1u << 0, /* the size stays as it is */
	FS_ALLOCATE_PUNCH_HOLE = 1u << 1, /* gives the blocks back instead: the range reads as zeros. With KEEP_SIZE */
	FS_ALLOCATE_ZERO = 1u << 2,      /* the range reads as zeros */
	FS_ALLOCATE_KNOWN = (1u << 3) - 1,
};
struct fs_allocate {
	uint32_t handle;
	uint32_t flags;        /* enum fs_allocate_flag */
	uint64_t offset;
	uint64_t length;       /* bytes, not 0 */
};

#define FS_COPY_MAX (16u << 20) /* bytes of one FS_COPY_RANGE */
struct fs_copy_range {
	uint32_t from_handle;
	uint32_t to_handle;
	uint64_t from_offset;
	uint64_t to_offset;
	uint64_t length;       /* bytes wanted */
};
struct fs_copied {
	uint64_t length;       /* bytes copied; 0: the end of the file */
};

#define FS_XATTR_MAX 65536u /* bytes of a value; fewer when max_frame is less */
enum fs_xattr_flag {
	FS_XATTR_CREATE = 1u << 2,  /* EEXIST when it is there; beside those of fs_at_flag */
	FS_XATTR_REPLACE = 1u << 3, /* ENODATA when it is not */
};
struct fs_get_xattr {          /* and FS_REMOVE_XATTR */
	uint32_t directory;
	uint32_t flags;        /* enum fs_at_flag */
	struct wire_bytes name; /* "user.*"; others are ENOTSUP */
	struct wire_bytes path;
};
struct fs_set_xattr {
	uint32_t directory;
	uint32_t flags;        /* enum fs_at_flag, enum fs_xattr_flag */
	struct wire_bytes name;
	struct wire_bytes path;
	struct wire_bytes value;
};
struct fs_list_xattrs {
	uint32_t directory;
	uint32_t flags;        /* enum fs_at_flag */
	struct wire_bytes path;
};

enum fs_lock_flag {
	FS_LOCK_SHARED = 1u << 0,    /* one of the first three */
	FS_LOCK_EXCLUSIVE = 1u << 1,
	FS_LOCK_UNLOCK = 1u << 2,
	FS_LOCK_WHOLE = 1u << 3,     /* as flock(2), of the whole file; without it as fcntl(2) F_OFD_SETLK */
	FS_LOCK_WAIT = 1u << 4,      /* the answer comes when it is had; without it EAGAIN */
	FS_LOCK_KNOWN = (1u << 5) - 1,
};
struct fs_lock {
	uint32_t handle;
	uint32_t flags;        /* enum fs_lock_flag */
	uint64_t offset;
	uint64_t length;       /* bytes; 0: to the end, wherever that will be */
};

enum fs_watch_event {
	FS_WATCH_CREATED = 1u << 0,    /* in the directory */
	FS_WATCH_REMOVED = 1u << 1,
	FS_WATCH_MOVED_FROM = 1u << 2,
	FS_WATCH_MOVED_TO = 1u << 3,
	FS_WATCH_MODIFIED = 1u << 4,   /* in the directory, or the file itself, as the three below */
	FS_WATCH_ATTRIBUTES = 1u << 5,
	FS_WATCH_WRITTEN = 1u << 6,    /* closed after it was open for writing */
	FS_WATCH_OPENED = 1u << 7,
	FS_WATCH_SELF_REMOVED = 1u << 8,
	FS_WATCH_SELF_MOVED = 1u << 9,
	FS_WATCH_KNOWN = (1u << 10) - 1, /* what can be asked for */
	FS_WATCH_DIRECTORY = 1u << 16, /* told: the name is a directory's */
	FS_WATCH_OVERFLOW = 1u << 17,  /* told: some were lost */
	FS_WATCH_ENDED = 1u << 18,     /* told: no more will come, what was watched is gone */
};
#define FS_WATCHES_MAX 256u /* on one stream; then ENOSPC */
struct fs_watch {
	uint32_t directory;
	uint32_t flags;        /* enum fs_at_flag */
	uint32_t events;       /* enum fs_watch_event, not 0 */
	struct wire_bytes path;
};
/* Many replies to one request: the first has events 0 and says that watching has begun. */
struct fs_watched {
	uint32_t events;       /* one of enum fs_watch_event, with FS_WATCH_DIRECTORY */
	uint32_t cookie;       /* not 0: the same in the two halves of a move */
	struct wire_bytes name; /* in the directory; empty: what is watched itself */
};

struct fs_cancel {
	uint32_t request_id;   /* of an FS_WATCH, or an FS_LOCK that waits: it ends with ECANCELED */
};

/* Requests and replies, indexed by type - STREAM_FIRST. A reply without fields has no body. */
#define FS_TYPE_COUNT (FS_TYPE_END - STREAM_FIRST)
extern const struct wire_message fs_requests[FS_TYPE_COUNT];
extern const struct wire_message fs_replies[FS_TYPE_COUNT]; /* of FS_READ_FILE: the first */
extern const struct wire_message fs_mount_message;
extern const struct wire_message fs_mounted_message;
extern const struct wire_message fs_attributes_message;     /* the reply to FS_STAT */
extern const struct wire_message fs_data_message;           /* of FS_READ_FILE: those behind the first */

extern const struct wire_message fs_entry_message;          /* struct fs_entry_head */

/*
 * Where the bytes belong of a frame of fs_file_data that begins at 'frame' in the ring; what is before them, but for
 * the header of the frame, is written.
 */
unsigned char *fs_data_place(unsigned char *frame);
/* The bytes in the body of such a frame. 0, or -EPROTO when it has less than its padding. */
int fs_data_find(const void *body, size_t len, struct wire_bytes *ret_data);

/* Writes one entry; the bytes used, 0 when it does not fit or the name is not one. */
size_t fs_entry_encode(const struct fs_entry *entry, void *ret_bytes, size_t room);
/* Reads the entry at the start; the bytes used, 0 at the end, negative -EPROTO when broken. */
long fs_entry_decode(struct fs_entry *ret_entry, const void *bytes, size_t len);

#endif
