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
	FS_TYPE_END,
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
};

struct fs_read {
	uint32_t handle;
	uint32_t length;       /* bytes wanted; the reply's body is as many as there are, empty at the end */
	uint64_t offset;       /* in the file */
};
struct fs_data {               /* reply to FS_READ */
	struct wire_bytes data;
};

struct fs_write {
	uint32_t handle;
	uint64_t offset;       /* ignored for FS_OPEN_APPEND */
	struct wire_bytes data;
};
struct fs_written {
	uint32_t length;       /* bytes written, all of them unless the medium gave up */
};

/* The whole file, opened, streamed and closed by one request: first a reply with the attributes, then
 * fs_data replies; all but the last have FRAME_MORE. An error may come in the middle. */
struct fs_read_file {
	uint32_t directory;
	uint64_t offset;       /* where to start */
	uint64_t length;       /* the most to send; UINT64_MAX: to the end */
	struct wire_bytes path;
};

enum fs_stat_flag {
	FS_STAT_NOFOLLOW = 1u << 0, /* of the link itself */
	FS_STAT_HANDLE = 1u << 1,   /* of 'directory' itself (any handle); the path is empty */
};
struct fs_stat {
	uint32_t directory;
	uint32_t flags;
	struct wire_bytes path;
};

struct fs_list {
	uint32_t handle;       /* of a directory */
	uint32_t length;       /* the most bytes of entries */
	uint64_t cookie;       /* 0: from the start; else the cookie of the last entry that was read */
};
/* The reply is a tail of entries, one behind the other: the head, then the name, padded with zeros to
 * 8 bytes. '.' and '..' are left out. No entries: the end. */
struct fs_entry_head {
	uint64_t inode;
	uint64_t cookie;       /* for fs_list: go on behind this entry */
	uint16_t type;         /* stat mode >> 12 */
	uint16_t name_length;  /* bytes, without padding */
};
struct fs_entry {
	uint64_t inode;
	uint64_t cookie;
	uint16_t type;
	struct wire_bytes name; /* no '/' and no NUL in it, 1 to FS_NAME_MAX bytes */
};
#define FS_ENTRY_HEADER_LEN 24u  /* bytes of the head on the wire, 4 reserved ones last */

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

struct fs_rename {
	uint32_t from_directory;
	uint32_t to_directory;
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

/* Requests and replies, indexed by type - STREAM_FIRST. A reply without fields has no body. */
#define FS_TYPE_COUNT (FS_TYPE_END - STREAM_FIRST)
extern const struct wire_message fs_requests[FS_TYPE_COUNT];
extern const struct wire_message fs_replies[FS_TYPE_COUNT]; /* of FS_READ_FILE: the first */
extern const struct wire_message fs_mount_message;
extern const struct wire_message fs_mounted_message;
extern const struct wire_message fs_attributes_message;     /* the reply to FS_STAT */
extern const struct wire_message fs_data_message;           /* of FS_READ_FILE: those behind the first */

extern const struct wire_message fs_entry_message;          /* struct fs_entry_head */

/* Writes one entry; the bytes used, 0 when it does not fit or the name is not one. */
size_t fs_entry_encode(const struct fs_entry *entry, void *ret_bytes, size_t room);
/* Reads the entry at the start; the bytes used, 0 at the end, negative -EPROTO when broken. */
long fs_entry_decode(struct fs_entry *ret_entry, const void *bytes, size_t len);

#endif
