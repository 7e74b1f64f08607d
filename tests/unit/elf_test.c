/*
 * The loader's reading of images: elf_test IMAGE. Each test changes a copy of
 * a good image in one place and expects one sentence that names the cause.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/elf.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

static const char *image;

static unsigned char *bytes; /* the copy */
static size_t len;
static Elf64_Ehdr *header;
static Elf64_Phdr *program;
static char sentence[512];

static void setup(void)
{
	FILE *file = fopen(image, "re");
	struct stat status;

	ck_assert(file && fstat(fileno(file), &status) == 0);
	len = (size_t)status.st_size;
	bytes = malloc(len);
	ck_assert_uint_eq(fread(bytes, 1, len, file), len);
	fclose(file);
	header = (void *)bytes;
	program = (void *)(bytes + header->e_phoff);
}

static void teardown(void)
{
	free(bytes);
}

static int read_bytes(size_t upto, struct elf_image *ret_image)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	ck_assert(fd >= 0 && write(fd, bytes, upto) == (ssize_t)upto);
	sentence[0] = 0;
	int error =
		elf_read(fd, "guest.elf", BOOT_PLATFORM_KVM, ret_image, sentence, sizeof(sentence));
	close(fd);
	return error;
}

/* Refused, with one sentence that has the cause, names the file and gives a remedy. */
static void expect_errno(int error, const char *cause)
{
	struct elf_image elf = {.segment_count = 77};

	ck_assert_int_eq(read_bytes(len, &elf), -error);
	ck_assert_msg(
		strstr(sentence, cause) != NULL, "expected \"%s\", got \"%s\"", cause, sentence);
	ck_assert_ptr_eq(strstr(sentence, "guest.elf "), sentence);
	ck_assert_ptr_nonnull(strchr(sentence, ';'));
	ck_assert_ptr_null(strchr(sentence, '\n'));
	ck_assert_uint_eq(elf.segment_count, 77);
}

static void expect_refused(const char *cause)
{
	expect_errno(ENOEXEC, cause);
}

static Elf64_Phdr *load(unsigned int index)
{
	for (unsigned int i = 0; i < header->e_phnum; i++)
		if (program[i].p_type == PT_LOAD && index-- == 0)
			return &program[i];
	ck_abort_msg("no such segment");
}

static Elf64_Phdr *note(void)
{
	for (unsigned int i = 0; i < header->e_phnum; i++)
		if (program[i].p_type == PT_NOTE)
			return &program[i];
	ck_abort_msg("no note");
}

static struct boot_note *note_content(void)
{
	return (void *)(bytes + note()->p_offset + sizeof(Elf64_Nhdr) + sizeof(BOOT_NOTE_NAME));
}

START_TEST(good_image)
{
	struct elf_image elf;

	ck_assert_msg(read_bytes(len, &elf) == 0, "%s", sentence);
	ck_assert_uint_eq(elf.entry, header->e_entry);
	ck_assert_uint_ge(elf.segment_count, 6);
	ck_assert_uint_eq(elf.note.abi_version, BOOT_ABI_VERSION);
	for (unsigned int i = 0; i < elf.segment_count; i++)
		ck_assert_uint_ne(elf.segment[i].flags & 7, 7);
}
END_TEST

/* At every length up to the end of what the headers speak of. */
START_TEST(truncated_at_every_length)
{
	size_t needed = 0;
	struct elf_image elf;

	for (unsigned int i = 0; i < header->e_phnum; i++)
		if (program[i].p_type == PT_LOAD &&
			program[i].p_offset + program[i].p_filesz > needed)
			needed = program[i].p_offset + program[i].p_filesz;
	for (size_t upto = 0; upto < needed; upto += upto < 8192 || needed - upto < 64 ? 1 : 61) {
		ck_assert_int_eq(read_bytes(upto, &elf), -ENOEXEC);
		ck_assert_msg(strstr(sentence, upto < SELFMAG ? "not an ELF" : "truncated"),
			"%zu: %s", upto, sentence);
	}
	ck_assert_int_eq(read_bytes(needed, &elf), 0);
}
END_TEST

START_TEST(wrong_kind_of_file)
{
	bytes[0] = '#';
	expect_refused("is not an ELF file");
	bytes[0] = ELFMAG0;
	bytes[EI_CLASS] = ELFCLASS32;
	expect_refused("is not a 64-bit");
	bytes[EI_CLASS] = ELFCLASS64;
	bytes[EI_DATA] = ELFDATA2MSB;
	expect_refused("little-endian");
	bytes[EI_DATA] = ELFDATA2LSB;
	header->e_machine = EM_AARCH64;
	expect_refused("is for another machine");
	header->e_machine = EM_X86_64;
	header->e_type = ET_REL;
	expect_refused("is not an executable");
}
END_TEST

START_TEST(wrong_note)
{
	note_content()->abi_version = BOOT_ABI_VERSION + 1;
	expect_refused("was built for boot ABI version");
	note_content()->abi_version = BOOT_ABI_VERSION;
	note_content()->platform = BOOT_PLATFORM_PROCESS;
	expect_errno(EPROTOTYPE, "is a hosted guest");
	note_content()->platform = BOOT_PLATFORM_KVM;
	((Elf64_Nhdr *)(void *)(bytes + note()->p_offset))->n_type = 99;
	expect_refused("is not a Ferrule guest");
	((Elf64_Nhdr *)(void *)(bytes + note()->p_offset))->n_namesz = 0xffffffff;
	expect_refused("is not a Ferrule guest");
	note()->p_type = PT_NULL;
	expect_refused("is not a Ferrule guest");
}
END_TEST

START_TEST(bad_program_headers)
{
	header->e_phnum = 0;
	expect_refused("program headers");
	header->e_phnum = 0xffff;
	expect_refused("program headers");
	header->e_phnum = 4;
	header->e_phentsize = 1;
	expect_refused("program headers");
	header->e_phentsize = sizeof(Elf64_Phdr);
	header->e_phoff = UINT64_MAX - 10;
	expect_refused("truncated");
}
END_TEST

START_TEST(bad_segments)
{
	Elf64_Phdr good = *load(3), *s = load(3);

	s->p_flags = PF_R | PF_W | PF_X;
	expect_refused("writable and executable");
	*s = good, s->p_vaddr = 0;
	expect_refused("outside");
	*s = good, s->p_vaddr = ELF_IMAGE_HIGH;
	expect_refused("outside");
	*s = good, s->p_vaddr = UINT64_MAX & ~4095ull;
	expect_refused("outside");
	*s = good, s->p_memsz = UINT64_MAX;
	expect_refused("outside");
	*s = good, s->p_memsz = ELF_IMAGE_HIGH;
	expect_refused("outside");
	*s = good, s->p_vaddr++;
	expect_refused("malformed");
	*s = good, s->p_filesz = s->p_memsz + 1;
	expect_refused("malformed");
	*s = good, s->p_offset = UINT64_MAX;
	expect_refused("truncated");
	*s = good, s->p_offset = len - s->p_filesz + 1;
	expect_refused("truncated");
	*s = good, s->p_vaddr = load(4)->p_vaddr;
	expect_refused("overlap");
	*s = good, s->p_memsz = load(4)->p_vaddr - s->p_vaddr + 1;
	expect_refused("overlap");
	*s = good;
	header->e_entry = good.p_vaddr;
	expect_refused("entry point");
}
END_TEST

START_TEST(too_many_segments)
{
	Elf64_Phdr copy = *load(3);
	size_t at = len;

	bytes = realloc(bytes, len + 40 * sizeof(copy));
	header = (void *)bytes;
	len += 40 * sizeof(copy);
	header->e_phoff = at;
	header->e_phnum = 40;
	memcpy(bytes + at, bytes + sizeof(*header),
		40 * sizeof(copy)); /* with the note among them */
	program = (void *)(bytes + at);
	unsigned int notes = 0;
	for (unsigned int i = 0; i < 40; i++) {
		if (program[i].p_type == PT_NOTE && notes++ == 0)
			continue;
		program[i] = copy;
		program[i].p_vaddr = 0x10000000 + i * 0x100000;
	}
	expect_refused("segments");
}
END_TEST

/* Whatever the headers say, reading them neither crashes nor lets a bad segment through. */
START_TEST(random_damage)
{
	struct random random = {random_seed()};
	size_t headers_len = sizeof(*header) + header->e_phnum * sizeof(*program);
	unsigned char *good = malloc(len);

	memcpy(good, bytes, len);
	for (int i = 0; i < 20000; i++) {
		struct elf_image elf;

		memcpy(bytes, good, headers_len);
		for (uint64_t n = random_len(&random, 8); n; n--)
			bytes[random_below(&random, headers_len)] =
				(unsigned char)random_next(&random);
		if (read_bytes(headers_len + random_below(&random, len - headers_len), &elf) < 0)
			continue;
		for (unsigned int k = 0; k < elf.segment_count; k++) {
			expect(elf.segment[k].address >= ELF_IMAGE_LOW);
			expect(elf.segment[k].address + elf.segment[k].mem_len <= ELF_IMAGE_HIGH);
			expect(elf.segment[k].file_offset + elf.segment[k].file_len <= len);
		}
	}
	free(good);
}
END_TEST

START_TEST(not_a_file)
{
	struct elf_image elf;
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_lt(
		elf_read(pipes[0], "pipe", BOOT_PLATFORM_KVM, &elf, sentence, sizeof(sentence)), 0);
	ck_assert_ptr_nonnull(strstr(sentence, "not a regular file"));
	ck_assert_int_lt(
		elf_read(-1, "none", BOOT_PLATFORM_KVM, &elf, sentence, sizeof(sentence)), 0);
}
END_TEST

START_TEST(kvm_image_is_no_process)
{
	struct elf_image elf;
	FILE *file = fopen(image, "re");

	ck_assert_int_lt(elf_read(fileno(file), image, BOOT_PLATFORM_PROCESS, &elf, sentence,
				 sizeof(sentence)),
		0);
	ck_assert_ptr_nonnull(strstr(sentence, "is an image for KVM"));
	fclose(file);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("elf");
	TCase *tcase = tcase_create("elf");

	if (argc < 2) {
		fprintf(stderr, "usage: elf_test IMAGE\n");
		return 2;
	}
	image = argv[1];
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, good_image);
	tcase_add_test(tcase, truncated_at_every_length);
	tcase_add_test(tcase, wrong_kind_of_file);
	tcase_add_test(tcase, wrong_note);
	tcase_add_test(tcase, bad_program_headers);
	tcase_add_test(tcase, bad_segments);
	tcase_add_test(tcase, too_many_segments);
	tcase_add_test(tcase, random_damage);
	tcase_add_test(tcase, not_a_file);
	tcase_add_test(tcase, kvm_image_is_no_process);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
