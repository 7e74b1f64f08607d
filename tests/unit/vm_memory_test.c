/* The guest's memory as the monitor lays it out, without a virtual machine around it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/vm.h"
#include "tests/lib/suite.h"

#define MEMORY       (64u << 20)
#define ARENA_LEN    (16u << 20)
#define CONTROL_RING 65536

static const char *image_path;
static struct engine_config config;
static struct vm_memory memory;

static void setup(void)
{
	static char name[] = "guest";
	static char *argv[] = {name, NULL};
	char error[VM_SENTENCE_LEN];
	struct elf_image image;
	bool fresh;

	config = (struct engine_config){.image_path = image_path,
		.image_fd = open(image_path, O_RDONLY | O_CLOEXEC),
		.memory = MEMORY,
		.argc = 1,
		.argv = argv};
	expect(config.image_fd >= 0);
	expect_equal(arena_create(&config.arena, ARENA_LEN, 64), 0);
	for (int side = 0; side < 2; side++)
		expect_equal(arena_take_ring(config.arena, CONTROL_RING, &config.control_ring[side],
				     &fresh),
			0);
	expect_equal(elf_read(config.image_fd, image_path, BOOT_PLATFORM_KVM, &image, error,
			     sizeof(error)),
		0);
	expect_equal(vm_memory_reserve(&memory, &config, &image, error, sizeof(error)), 0);
	expect_equal(vm_memory_fill(&memory, &config, &image, error, sizeof(error)), 0);
}

static void teardown(void)
{
	vm_memory_destroy(&memory);
	arena_destroy(config.arena);
	close(config.image_fd);
}

/* The entry of this guest address in the lowest table, found as the processor does; 0: none. */
static uint64_t lookup(uint64_t va)
{
	uint64_t at = memory.table.gpa;

	for (int shift = 39;; shift -= 9) {
		uint64_t entry;

		memcpy(&entry, memory.ram + (at - VM_RAM_GPA) + (va >> shift) % 512 * 8,
			sizeof(entry));
		if (shift == 12 || entry == 0)
			return entry;
		at = entry & 0x000ffffffffff000ull;
	}
}

static uint64_t stack_page(uint64_t stack, uint64_t page)
{
	return memory.boot.stacks + stack * VM_STACK_STRIDE + VM_STACK_GUARD + page * PAGE_SIZE_4K;
}

static void expect_stack(uint64_t stack)
{
	expect_equal(lookup(stack_page(stack, 0) - PAGE_SIZE_4K), 0); /* the guard below */
	for (uint64_t page = 0; page < VM_STACK_LEN / PAGE_SIZE_4K; page++)
		expect_equal(lookup(stack_page(stack, page)) & 0x000ffffffffff000ull,
			memory.stacks_gpa + stack * VM_STACK_LEN + page * PAGE_SIZE_4K);
}

START_TEST(stacks_are_mapped_in_two_steps)
{
	uint64_t first = memory.boot.stacks_ready, count = memory.boot.stack_count;

	expect_equal(first, VM_STACKS_FIRST);
	expect_equal(count, MEMORY / 2 / VM_STACK_LEN);
	for (uint64_t i = 0; i < first; i++)
		expect_stack(i);
	expect_equal(lookup(stack_page(first, 0)), 0);
	vm_memory_map_rest(&memory);
	for (uint64_t i = 0; i < count; i++)
		expect_stack(i);
	expect_equal(lookup(stack_page(count, 0)), 0);
	expect_equal(((struct boot_info *)(void *)memory.boot_page)->stacks_ready, count);
}
END_TEST

/*
 * A guest with CPL 0 code of its own can write to its tables before the second step. Whatever it puts there,
 * only the entries of stacks are written.
 */
START_TEST(forged_tables_lead_nowhere)
{
	static const uint64_t forged[] = {0, 1, UINT64_MAX, VM_RAM_GPA | 0x63, 0x110000027};
	uint64_t tables = memory.memory_len, len = memory.ram_len - tables;
	unsigned char *entries = (unsigned char *)memory.stack_entries;
	uint64_t stacks_len = memory.boot.stack_count * VM_STACK_STRIDE / PAGE_SIZE_4K * 8;
	unsigned char *before = malloc(memory.ram_len);

	expect(before != NULL);
	for (uint64_t at = tables; at < tables + len; at += 8)
		memcpy(memory.ram + at, &forged[_i], 8);
	memcpy(before, memory.ram, memory.ram_len);
	vm_memory_map_rest(&memory);
	memcpy(before + (entries - memory.ram), entries, stacks_len);
	uint64_t ready = (uint64_t)(memory.boot_page - memory.ram) +
			 offsetof(struct boot_info, stacks_ready);
	memcpy(before + ready, memory.ram + ready, sizeof(uint64_t));
	expect(memcmp(before, memory.ram, memory.ram_len) == 0);
	free(before);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("vm_memory");
	TCase *tcase = tcase_create("vm_memory");

	if (argc < 2) {
		fprintf(stderr, "usage: vm_memory_test IMAGE\n");
		return 2;
	}
	image_path = argv[1];
	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, stacks_are_mapped_in_two_steps);
	tcase_add_loop_test(tcase, forged_tables_lead_nowhere, 0, 5);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
