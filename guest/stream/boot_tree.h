/*
 * boot_tree: a tree of files that this side has itself. That of boot:/ comes from an archive, in cpio's newc form: it
 * is read once, into a sorted list of names; what the files hold stays where it lies. Another has the directories
 * above the mounts.
 *
 * Pure functions over memory, of this room's own: no monitor is asked.
 */
#ifndef FERRULE_GUEST_STREAM_BOOT_TREE_H
#define FERRULE_GUEST_STREAM_BOOT_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/fs.h"

struct boot_node {
	char *path; /* plain, without a slash at its ends; "" for the top */
	struct fs_attributes attributes;
	const unsigned char *data; /* attributes.size bytes: a file's, or a symbolic link's text */
};

struct boot_tree {
	struct boot_node *node; /* [count], sorted; [0] is the top */
	size_t count, room;
};

/*
 * Reads an archive. 0, -EBADMSG when it is none or is damaged, -ENOMEM; then the tree is empty. Names are taken
 * as below the top, `..` in them as text; of two entries of one name the later counts; directories that no
 * entry names are there all the same.
 */
int boot_tree_read(struct boot_tree *ret_tree, const unsigned char *archive, size_t len);
/* A tree of these directories, plain and absolute, and of those above them. 0 or -ENOMEM. */
int boot_tree_of_directories(struct boot_tree *ret_tree, const char *const directories[], size_t count);
void boot_tree_free(struct boot_tree *tree);

/*
 * What a path leads to, from the directory 'from' (NULL: the top). Symbolic links are followed inside the tree, the last one only
 * with 'follow' or a slash behind it. 0, or -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG.
 */
int boot_tree_find(const struct boot_tree *tree, const struct boot_node *from, const char *path, bool follow,
		const struct boot_node **ret_node);

/* The node of this very name, as a node has it, or NULL. */
const struct boot_node *boot_tree_at(const struct boot_tree *tree, const char *path);

/* The entries of a directory, one after the other: the first with 'last' NULL; NULL behind the last. */
const struct boot_node *boot_tree_next(const struct boot_tree *tree, const struct boot_node *directory,
		const struct boot_node *last);
/* Its name in its directory. */
const char *boot_node_name(const struct boot_node *node);

#endif
