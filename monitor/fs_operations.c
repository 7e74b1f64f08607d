#include "monitor/fs_stream.h"

/*
 * Who does what. Reads, writes, syncs and allocations are operations of io. What names things goes
 * to a worker: confined, it is a walk, a look, the act and a close, for which the I/O thread gives
 * the request away once. io_uring has openat2, statx, mkdirat, unlinkat, renameat, linkat,
 * symlinkat and setxattr, too, and hands each of them to a thread of the kernel: one hop for every
 * call instead of one for all. Opening and looking at what lies in memory needs none of this
 * (fs_path_may_be_quick).
 */
#define ROW(type) [(type)-STREAM_FIRST]

const struct fs_operation fs_operations[FS_TYPE_COUNT] = {
	ROW(FS_OPEN) =
		{
			.opens = true,
			.start = fs_open_start,
			.work = fs_open_work,
			.finish = fs_open_finish,
			.path_at = {offsetof(struct fs_open, path)},
		},
	ROW(FS_CLOSE) = {.start = fs_close_start},
	ROW(FS_READ) = {.start = fs_read_start, .turn = fs_read_turn, .only_reads = true},
	ROW(FS_WRITE) = {.start = fs_write_start, .turn = fs_write_turn},
	ROW(FS_WRITE_FILE) =
		{
			.opens = true,
			.start = fs_write_file_start,
			.work = fs_write_file_work,
			.finish = fs_write_file_finish,
			.path_at = {offsetof(struct fs_write_file, path)},
		},
	ROW(FS_WRITE_DATA) = {.start = fs_write_data_start,
		.turn = fs_write_turn,
		.unanswered = true},
	ROW(FS_READ_FILE) =
		{
			.opens = true,
			.start = fs_read_file_start,
			.turn = fs_read_file_turn,
			.work = fs_read_file_work,
			.finish = fs_read_file_finish,
			.path_at = {offsetof(struct fs_read_file, path)},
			.only_reads = true,
		},
	ROW(FS_STAT) =
		{
			.start = fs_stat_start,
			.work = fs_stat_work,
			.path_at = {offsetof(struct fs_stat, path)},
			.only_reads = true,
		},
	ROW(FS_LIST) =
		{
			.start = fs_list_start,
			.turn = fs_list_turn,
			.work = fs_list_work,
			.only_reads = true,
		},
	ROW(FS_MKDIR) =
		{
			.start = fs_mkdir_start,
			.work = fs_mkdir_work,
			.path_at = {offsetof(struct fs_mkdir, path)},
		},
	ROW(FS_UNLINK) =
		{
			.start = fs_unlink_start,
			.work = fs_unlink_work,
			.path_at = {offsetof(struct fs_unlink, path)},
		},
	ROW(FS_RENAME) =
		{
			.start = fs_rename_start,
			.work = fs_rename_work,
			.path_at = {offsetof(struct fs_rename, from),
				offsetof(struct fs_rename, to)},
		},
	ROW(FS_SYNC) = {.start = fs_sync_start},
	ROW(FS_READ_INTO) = {.start = fs_read_into_start, .only_reads = true},
	ROW(FS_SET_ATTRIBUTES) =
		{
			.start = fs_set_attributes_start,
			.work = fs_set_attributes_work,
			.path_at = {offsetof(struct fs_set_attributes, path)},
		},
	ROW(FS_LINK) =
		{
			.start = fs_link_start,
			.work = fs_link_work,
			.path_at = {offsetof(struct fs_link, from), offsetof(struct fs_link, to)},
		},
	ROW(FS_SYMLINK) =
		{
			.start = fs_symlink_start,
			.work = fs_symlink_work,
			.path_at = {offsetof(struct fs_symlink, target),
				offsetof(struct fs_symlink, path)},
		},
	ROW(FS_READ_LINK) =
		{
			.start = fs_read_link_start,
			.work = fs_read_link_work,
			.path_at = {offsetof(struct fs_read_link, path)},
			.only_reads = true,
		},
	ROW(FS_STAT_SYSTEM) =
		{
			.start = fs_stat_system_start,
			.work = fs_stat_system_work,
			.only_reads = true,
		},
	ROW(FS_GET_XATTR) =
		{
			.start = fs_get_xattr_start,
			.turn = fs_list_turn,
			.work = fs_get_xattr_work,
			.path_at = {offsetof(struct fs_get_xattr, path),
				offsetof(struct fs_get_xattr, name)},
			.only_reads = true,
		},
	ROW(FS_SET_XATTR) =
		{
			.start = fs_set_xattr_start,
			.turn = fs_set_xattr_turn,
			.work = fs_set_xattr_work,
			.path_at = {offsetof(struct fs_set_xattr, path),
				offsetof(struct fs_set_xattr, name)},
		},
	ROW(FS_LIST_XATTRS) =
		{
			.start = fs_list_xattrs_start,
			.turn = fs_list_turn,
			.work = fs_list_xattrs_work,
			.path_at = {offsetof(struct fs_list_xattrs, path)},
			.only_reads = true,
		},
	ROW(FS_REMOVE_XATTR) =
		{
			.start = fs_remove_xattr_start,
			.turn = fs_list_turn,
			.work = fs_remove_xattr_work,
			.path_at = {offsetof(struct fs_get_xattr, path),
				offsetof(struct fs_get_xattr, name)},
		},
	ROW(FS_SEEK) = {.start = fs_seek_start, .turn = fs_seek_turn, .work = fs_seek_work},
	ROW(FS_ALLOCATE) = {.start = fs_allocate_start},
	ROW(FS_COPY_RANGE) = {.start = fs_copy_range_start, .work = fs_copy_range_work},
	ROW(FS_LOCK) =
		{
			.start = fs_lock_start,
			.work = fs_lock_work,
			.finish = fs_lock_finish,
			.only_reads = true,
		},
	ROW(FS_WATCH) =
		{
			.opens = true,
			.start = fs_watch_start,
			.work = fs_watch_work,
			.finish = fs_watch_finish,
			.path_at = {offsetof(struct fs_watch, path)},
			.only_reads = true,
		},
	ROW(FS_CANCEL) = {.start = fs_cancel_start, .only_reads = true},
};

uint64_t fs_operations_known(void)
{
	uint64_t known = 0;

	for (unsigned row = 0; row < FS_TYPE_COUNT; row++) {
		if (fs_operations[row].start != NULL)
			known |= (uint64_t)1 << row;
	}
	return known;
}
