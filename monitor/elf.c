#include "monitor/elf.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM_HEADERS_MAX 64
#define NOTES_MAX           4096 /* bytes of one PT_NOTE that are looked at */
#define PAGE                4096u

_Static_assert(PF_R == ELF_READ && PF_W == ELF_WRITE && PF_X == ELF_EXECUTE, "p_flags");
_Static_assert((BOOT_PF_KERNEL & ~(uint32_t)PF_MASKOS) == 0, "an operating system's own flag");

/* One image being read, and where its error goes. */
struct reader {
	int fd;
	const char *path;
	uint64_t file_len;
	char *error;
	size_t error_len;
};

__attribute__((format(printf, 2, 3))) static int refuse(
	const struct reader *r, const char *format, ...)
{
	int n = snprintf(r->error, r->error_len, "%s ", r->path);
	va_list list;

	va_start(list, format);
	if (n >= 0 && (size_t)n < r->error_len)
		vsnprintf(r->error + n, r->error_len - (size_t)n, format, list);
	va_end(list);
	return -ENOEXEC;
}

static int truncated(const struct reader *r)
{
	return refuse(r, "is truncated; build or copy it again");
}

/* All of [offset, offset + len) of the file. */
static int read_part(const struct reader *r, void *buffer, uint64_t len, uint64_t offset)
{
	if (offset > r->file_len || len > r->file_len - offset)
		return truncated(r);
	ssize_t got = pread(r->fd, buffer, len, (off_t)offset);
	if (got < 0) {
		int error = -errno;

		refuse(r, "cannot be read: %s", strerror(-error));
		return error;
	}
	return (uint64_t)got == len ? 0 : truncated(r);
}

static int check_header(const struct reader *r, const Elf64_Ehdr *header)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return refuse(r, "is not an ELF file; give the path of a guest image");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
		return refuse(r, "is not a 64-bit little-endian ELF file; "
				 "build the guest for x86-64");
	if (header->e_machine != EM_X86_64)
		return refuse(r,
			"is for another machine (ELF machine %u); build the guest for x86-64",
			header->e_machine);
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return refuse(r, "is not an executable (ELF type %u); link it as a guest",
			header->e_type);
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
		header->e_phnum > PROGRAM_HEADERS_MAX)
		return refuse(r,
			"has %u program headers of %u bytes, which no guest image has; "
			"link it with guest/kvm/guest.ld",
			header->e_phnum, header->e_phentsize);
	return 0;
}

/* One note of the right name and type in the bytes of a PT_NOTE. */
static bool find_note(const unsigned char *notes, size_t len, struct boot_note *ret_note)
{
	size_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr head;

		memcpy(&head, notes + at, sizeof(head));
		at += sizeof(head);
		uint64_t name_room = ((uint64_t)head.n_namesz + 3) & ~3ull;
		uint64_t desc_room = ((uint64_t)head.n_descsz + 3) & ~3ull;
		if (name_room + desc_room > len - at)
			return false;
		if (head.n_type == BOOT_NOTE_TYPE && head.n_namesz == sizeof(BOOT_NOTE_NAME) &&
			head.n_descsz >= sizeof(*ret_note) &&
			memcmp(notes + at, BOOT_NOTE_NAME, sizeof(BOOT_NOTE_NAME)) == 0) {
			memcpy(ret_note, notes + at + name_room, sizeof(*ret_note));
			return true;
		}
		at += name_room + desc_room;
	}
	return false;
}

static int read_note(const struct reader *r, const Elf64_Phdr *program, unsigned int count,
	struct boot_note *ret_note)
{
	unsigned char notes[NOTES_MAX];

	for (unsigned int i = 0; i < count; i++) {
		size_t len = program[i].p_filesz < NOTES_MAX ? program[i].p_filesz : NOTES_MAX;

		if (program[i].p_type != PT_NOTE)
			continue;
		int error = read_part(r, notes, len, program[i].p_offset);
		if (error)
			return error;
		if (find_note(notes, len, ret_note))
			return 0;
	}
	return refuse(r, "is not a Ferrule guest (it has no \"" BOOT_NOTE_NAME "\" note); "
			 "link it with the guest library");
}

static int check_note(
	const struct reader *r, const struct boot_note *note, enum boot_platform platform)
{
	if (note->abi_version != BOOT_ABI_VERSION)
		return refuse(r,
			"was built for boot ABI version %u and this monitor speaks %u; "
			"build both from the same source",
			note->abi_version, BOOT_ABI_VERSION);
	if (note->platform == (uint32_t)platform)
		return 0;
	if (platform == BOOT_PLATFORM_KVM)
		refuse(r, "is a hosted guest and cannot run under KVM; "
			  "give the .elf image or use --engine process");
	else
		refuse(r, "is an image for KVM and cannot run as a process; "
			  "give the hosted program or use --engine kvm");
	return -EPROTOTYPE;
}

static uint64_t page_up(uint64_t value)
{
	return (value + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static int check_segment(const struct reader *r, const struct elf_segment *s, unsigned int index)
{
	if ((s->flags & (ELF_WRITE | ELF_EXECUTE)) == (ELF_WRITE | ELF_EXECUTE))
		return refuse(r,
			"has a segment (%u) that is writable and executable; "
			"link it with guest/kvm/guest.ld",
			index);
	if (s->file_len > s->mem_len || s->address % PAGE)
		return refuse(
			r, "has a malformed segment (%u); link it with guest/kvm/guest.ld", index);
	if (s->address < ELF_IMAGE_LOW || s->address >= ELF_IMAGE_HIGH ||
		s->mem_len > ELF_IMAGE_HIGH - s->address)
		return refuse(r,
			"has a segment (%u) outside 0x%llx..0x%llx; "
			"link it with guest/kvm/guest.ld",
			index, ELF_IMAGE_LOW, ELF_IMAGE_HIGH);
	if (s->file_offset > r->file_len || s->file_len > r->file_len - s->file_offset)
		return truncated(r);
	return 0;
}

/* To be called when each segment is known to be valid. */
static int check_overlap(const struct reader *r, const struct elf_image *image)
{
	for (unsigned int i = 0; i < image->segment_count; i++) {
		for (unsigned int j = 0; j < i; j++) {
			const struct elf_segment *a = &image->segment[i], *b = &image->segment[j];

			if (a->address < page_up(b->address + b->mem_len) &&
				b->address < page_up(a->address + a->mem_len))
				return refuse(r,
					"has segments (%u and %u) that overlap; "
					"link it with guest/kvm/guest.ld",
					j, i);
		}
	}
	return 0;
}

static int check_entry(const struct reader *r, const struct elf_image *image)
{
	for (unsigned int i = 0; i < image->segment_count; i++) {
		const struct elf_segment *s = &image->segment[i];

		if (s->flags & ELF_EXECUTE && s->flags & BOOT_PF_KERNEL &&
			image->entry >= s->address && image->entry - s->address < s->mem_len)
			return 0;
	}
	return refuse(
		r, "has an entry point outside its kernel code; link it with guest/kvm/guest.ld");
}

static int take_segments(const struct reader *r, const Elf64_Phdr *program, unsigned int count,
	struct elf_image *image)
{
	for (unsigned int i = 0; i < count; i++) {
		if (program[i].p_type != PT_LOAD || program[i].p_memsz == 0)
			continue;
		if (image->segment_count == ELF_SEGMENTS_MAX)
			return refuse(r,
				"has more than %u segments; link it with guest/kvm/guest.ld",
				ELF_SEGMENTS_MAX);
		struct elf_segment *s = &image->segment[image->segment_count++];
		*s = (struct elf_segment){program[i].p_vaddr, program[i].p_memsz,
			program[i].p_offset, program[i].p_filesz, program[i].p_flags};
		int error = check_segment(r, s, i);
		if (error)
			return error;
	}
	int error = check_overlap(r, image);
	return error ? error : check_entry(r, image);
}

/* Of a hosted guest, which Linux loads: Linux runs a file whose end is missing until it misses it. */
static int check_whole(const struct reader *r, const Elf64_Phdr *program, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (program[i].p_type == PT_LOAD &&
		    (program[i].p_offset > r->file_len ||
		     program[i].p_filesz > r->file_len - program[i].p_offset))
			return truncated(r);
	return 0;
}

int elf_read(int fd, const char *path, enum boot_platform platform, struct elf_image *ret_image,
	char *ret_error, size_t error_len)
{
	struct reader r = {.fd = fd, .path = path, .error = ret_error, .error_len = error_len};
	struct elf_image image = {0};
	Elf64_Phdr program[PROGRAM_HEADERS_MAX];
	Elf64_Ehdr header = {0};
	struct stat status;

	if (fstat(fd, &status) < 0)
		return refuse(&r, "cannot be read: %s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return refuse(&r, "is not a regular file; give the path of a guest image");
	r.file_len = (uint64_t)status.st_size;
	/* A short file that starts like an ELF file is a truncated one, any other is something
	 * else. */
	if (pread(fd, &header, sizeof(header), 0) < 0)
		return refuse(&r, "cannot be read: %s", strerror(errno));
	if (r.file_len >= SELFMAG && r.file_len < sizeof(header) &&
		memcmp(header.e_ident, ELFMAG, SELFMAG) == 0)
		return truncated(&r);
	int error = check_header(&r, &header);
	if (!error)
		error = read_part(&r, program, sizeof(program[0]) * header.e_phnum, header.e_phoff);
	if (!error)
		error = read_note(&r, program, header.e_phnum, &image.note);
	if (!error)
		error = check_note(&r, &image.note, platform);
	image.type = header.e_type;
	image.entry = header.e_entry;
	if (!error)
		error = platform == BOOT_PLATFORM_KVM
			? take_segments(&r, program, header.e_phnum, &image)
			: check_whole(&r, program, header.e_phnum);
	if (!error)
		*ret_image = image;
	return error;
}
