/*
 * elf: reads a guest image's headers. The file is not trusted: every offset
 * and length is checked before it is used, and nothing is allocated by its
 * sizes. boot.h has what makes an ELF file a guest image.
 */
#ifndef FERRULE_MONITOR_ELF_H
#define FERRULE_MONITOR_ELF_H

#include <stddef.h>
#include <stdint.h>

#include "control/boot.h"

#define ELF_SEGMENTS_MAX 16
#define ELF_IMAGE_LOW    0x100000ull /* addresses that segments of a KVM image may use */
#define ELF_IMAGE_HIGH   0x40000000ull

enum elf_segment_flags { /* p_flags, plus BOOT_PF_KERNEL */
	ELF_EXECUTE = 1,
	ELF_WRITE = 2,
	ELF_READ = 4,
};

/* A PT_LOAD. In a checked KVM image: page-aligned address, no two share a page, file part within
 * the file and no longer than mem_len. */
struct elf_segment {
	uint64_t address;
	uint64_t mem_len;
	uint64_t file_offset;
	uint64_t file_len;
	uint32_t flags;
};

struct elf_image {
	struct boot_note note;
	uint16_t type; /* ET_EXEC, ET_DYN */
	uint64_t entry;
	unsigned int segment_count;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
};

/*
 * Reads the headers of a guest image for this platform; for BOOT_PLATFORM_KVM
 * also checks that its segments can be loaded. 0, or -EPROTOTYPE for a guest
 * of the other platform, -ENOEXEC or the errno of read, with one sentence (cause and remedy; it names 'path') in ret_error.
 */
int elf_read(int fd, const char *path, enum boot_platform platform, struct elf_image *ret_image,
	char *ret_error, size_t error_len);

#endif
