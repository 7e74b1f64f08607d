/*
 * boot: the calls on files that this side has itself: those of boot:/, from the archive that the monitor gave or
 * else the one that is linked into the image; and the directories above the mounts (mount.c).
 */
#ifndef FERRULE_GUEST_STREAM_BOOT_H
#define FERRULE_GUEST_STREAM_BOOT_H

#include "guest/stream/boot_tree.h"
#include "guest/stream/place.h"

/* What a place of this side leads to: 0, or an errno; -ENOENT also when there is no archive, -EBADMSG when it is damaged. */
int boot_find(const struct place *place, bool follow, const struct boot_node **ret_node);
/* What any other request there is answered with. */
int boot_refuse(enum fs_type type);

/* Opens it as file->flags say. 0 or an errno. */
int boot_open(const struct place *place, struct file *file);
/* file_move, file_seek (not FS_SEEK_CURRENT), and path_stat_system of a file that is open. */
long boot_move(const struct file *file, bool writes, void *bytes, size_t len, uint64_t offset);
int64_t boot_seek(const struct file *file, int64_t offset, enum fs_seek_whence whence);
void boot_system(const struct file *file, struct fs_system *ret_system);
/* The next entry of a directory that is open. */
const struct boot_node *boot_next(const struct file *file, const struct boot_node *last);

#endif
