/*
 * The guest's memory. Guest physical: RAM, then the page tables, then (2 MiB
 * aligned) the pipe arena, which is a memfd; only what is touched exists.
 * Guest virtual, each part with something unmapped around it:
 *
 *   0x100000     the kernel's segments, CPL 0 only
 *   0x400000     the program's segments
 *   VM_BOOT_VA   boot info (read-only), console page, crash page, doorbell, bundle (read-only)
 *   VM_HEAP_VA   heap, then fiber stacks, the arena's head and the ring window,
 *                each from the next GiB on
 */
#include "monitor/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "monitor/boot_page.h"
#include "monitor/log.h"

#define WINDOW_ALIGN (1ull << 30)
#define HEAP_MIN     PAGE_SIZE_2M

/* By touch_first_pages: the control pipe's structures, the stacks of main and of a first
 * connection. */
#define HEAP_TOUCHED   (2 * PAGE_SIZE_4K)
#define STACKS_TOUCHED 2
#define DATA_TOUCHED                                                                               \
	(3 * PAGE_SIZE_4K)      /* a larger segment is a stack, or data that is not all used */
#define MEMORY_MAX (1ull << 38) /* with the arena behind it still within 40 bits of address */

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/* Sizes, decided before anything is made. */
struct plan {
	uint64_t image_len; /* page-rounded segments */
	uint64_t boot_len;
	uint64_t stack_count;
	uint64_t tables_len;
	uint64_t needed; /* the least --memory that would do */
};

static struct plan make_plan(const struct engine_config *config, const struct elf_image *image)
{
	struct plan plan = {.boot_len = round_up(boot_page_len(config), PAGE_SIZE_4K)};

	for (unsigned int i = 0; i < image->segment_count; i++)
		plan.image_len += round_up(image->segment[i].mem_len, PAGE_SIZE_4K);
	plan.stack_count = config->memory / 2 / VM_STACK_LEN;
	if (plan.stack_count < VM_STACKS_MIN)
		plan.stack_count = VM_STACKS_MIN;
	if (plan.stack_count > VM_STACKS_MAX)
		plan.stack_count = VM_STACKS_MAX;
	/* Two more for the console and crash pages, 2 MiB to align the heap. */
	plan.needed = plan.image_len + plan.boot_len + 2 * PAGE_SIZE_4K + PAGE_SIZE_2M + HEAP_MIN +
		      round_up(config->bundle_len, PAGE_SIZE_4K);
	if (plan.needed + plan.stack_count * VM_STACK_LEN > config->memory)
		plan.stack_count = VM_STACKS_MIN;
	plan.needed += VM_STACKS_MIN * VM_STACK_LEN;
	plan.tables_len = image->segment_count * page_table_cost(0) +
			  page_table_cost(plan.image_len) +
			  page_table_cost(plan.boot_len + config->bundle_len + 7 * PAGE_SIZE_4K) +
			  page_table_cost(config->memory) +
			  page_table_cost(plan.stack_count * VM_STACK_STRIDE) +
			  page_table_cost(arena_rings_offset(config->arena)) +
			  page_table_cost(2 * arena_len(config->arena) + WINDOW_ALIGN);
	return plan;
}

/* Page-rounded bytes of RAM from the front; the plan has made sure that they are there. */
static uint64_t take(struct vm_memory *memory, uint64_t len)
{
	uint64_t offset = memory->used;

	memory->used += round_up(len, PAGE_SIZE_4K);
	return offset;
}

/* The arena lies behind the RAM here as it does for the guest, so that one memory slot can have
 * both. */
static int map_ram(struct vm_memory *memory, const struct arena *arena)
{
	uint64_t arena_at = memory->arena_gpa - VM_RAM_GPA;
	uint64_t len = arena_at + arena_len(arena);
	/* Addresses first: as memory the arena's length would be charged to the process too, where
	 * vm.overcommit_memory is 2. */
	unsigned char *ram =
		mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ram == MAP_FAILED)
		return -errno;
	memory->ram = ram;
	memory->mapped_len = len;
	if (mprotect(ram, memory->ram_len, PROT_READ | PROT_WRITE) < 0)
		return -errno;
	if (mmap(ram + arena_at, arena_len(arena), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED | MAP_NORESERVE, arena_fd(arena), 0) == MAP_FAILED)
		return -errno;
	return page_table_init(&memory->table, memory->ram + memory->memory_len,
		VM_RAM_GPA + memory->memory_len, memory->ram_len - memory->memory_len);
}

static unsigned int page_flags(uint32_t segment_flags)
{
	return (segment_flags & ELF_WRITE ? PAGE_WRITE : 0u) |
	       (segment_flags & ELF_EXECUTE ? PAGE_EXECUTE : 0u) |
	       (segment_flags & BOOT_PF_KERNEL ? 0u : PAGE_USER);
}

/* Writes to the last 'len' bytes before offset 'end' of RAM. */
static void touch(struct vm_memory *memory, uint64_t end, uint64_t len)
{
	for (uint64_t done = 0; done < len; done += PAGE_SIZE_4K)
		((volatile unsigned char *)memory->ram)[end - done - 1] = 0;
}

/* Behind what was read from the file: a stack is used from its end, small data all over. */
static void touch_writable(struct vm_memory *memory, uint64_t offset, const struct elf_segment *s)
{
	uint64_t end = offset + round_up(s->mem_len, PAGE_SIZE_4K);
	uint64_t fresh = end - round_up(offset + s->file_len, PAGE_SIZE_4K);

	touch(memory, end, fresh < DATA_TOUCHED ? fresh : PAGE_SIZE_4K);
}

static int load_segment(struct vm_memory *memory, int fd, const struct elf_segment *s)
{
	uint64_t offset = take(memory, s->mem_len);
	ssize_t got = pread(fd, memory->ram + offset, s->file_len, (off_t)s->file_offset);

	if (got < 0)
		return -errno;
	if ((uint64_t)got != s->file_len)
		return -ENOEXEC; /* it became shorter since its headers were read */
	if (s->flags & ELF_WRITE)
		touch_writable(memory, offset, s);
	return page_table_map(&memory->table, s->address, VM_RAM_GPA + offset,
		round_up(s->mem_len, PAGE_SIZE_4K), page_flags(s->flags));
}

static int load_image(struct vm_memory *memory, int fd, const struct elf_image *image)
{
	for (unsigned int i = 0; i < image->segment_count; i++) {
		int error = load_segment(memory, fd, &image->segment[i]);
		if (error)
			return error;
	}
	return 0;
}

/* Fresh RAM at *va, which moves on past it and a guard page. */
static int place(struct vm_memory *memory, uint64_t *va, uint64_t len, unsigned int flags,
	uint64_t *ret_va, unsigned char **ret_bytes)
{
	uint64_t offset = take(memory, len);
	uint64_t mapped = round_up(len, PAGE_SIZE_4K);

	*ret_va = *va;
	*ret_bytes = memory->ram + offset;
	*va += mapped + PAGE_SIZE_4K;
	return page_table_map(&memory->table, *ret_va, VM_RAM_GPA + offset, mapped, flags);
}

static int map_boot_pages(struct vm_memory *memory, const struct plan *plan)
{
	uint64_t va = VM_BOOT_VA, boot_va;
	unsigned char *crash;
	int error = place(memory, &va, plan->boot_len, PAGE_USER, &boot_va, &memory->boot_page);

	if (!error)
		error = place(memory, &va, BOOT_PAGE, PAGE_USER | PAGE_WRITE, &memory->boot.console,
			&memory->console);
	if (!error)
		error = place(memory, &va, BOOT_PAGE, PAGE_USER | PAGE_WRITE, &memory->boot.crash,
			&crash);
	if (error)
		return error;
	memory->crash = (struct boot_crash *)(void *)crash;
	memory->boot.doorbell = va;
	return page_table_map(
		&memory->table, va, VM_DOORBELL_GPA, PAGE_SIZE_4K, PAGE_USER | PAGE_WRITE);
}

/*
 * Behind the doorbell's page. A copy: mapped, a file that somebody makes shorter would end the
 * monitor. 3 MiB of it take 1 ms.
 */
static int load_bundle(struct vm_memory *memory, const struct engine_config *config)
{
	uint64_t va = memory->boot.doorbell + 2 * PAGE_SIZE_4K;
	unsigned char *bytes;

	if (config->bundle_len == 0)
		return 0;
	int error = place(memory, &va, config->bundle_len, PAGE_USER, &memory->boot.bundle, &bytes);
	for (uint64_t done = 0; !error && done < config->bundle_len;) {
		ssize_t got = pread(
			config->bundle_fd, bytes + done, config->bundle_len - done, (off_t)done);
		if (got <= 0)
			error = got < 0 ? -errno : -EIO; /* it became shorter */
		else
			done += (uint64_t)got;
	}
	return error;
}

/*
 * Writes entries, and reads nothing of the tables: they are in the guest's RAM, and one that brings
 * its own CPL 0 code can change them once it runs. Which pages these are is kept here.
 */
static void map_stacks(struct vm_memory *memory, uint64_t from, uint64_t to)
{
	uint64_t pages = VM_STACK_LEN / PAGE_SIZE_4K;

	for (uint64_t i = from; i < to; i++) {
		uint64_t *entry = memory->stack_entries +
				  (i * VM_STACK_STRIDE + VM_STACK_GUARD) / PAGE_SIZE_4K;

		for (uint64_t n = 0; n < pages; n++)
			entry[n] = page_table_entry(
				memory->stacks_gpa + i * VM_STACK_LEN + n * PAGE_SIZE_4K,
				PAGE_USER | PAGE_WRITE);
	}
}

static int place_stacks(struct vm_memory *memory, const struct plan *plan, uint64_t *va)
{
	struct boot_info *boot = &memory->boot;
	uint64_t len = plan->stack_count * VM_STACK_STRIDE;

	boot->stacks = *va;
	boot->stack_stride = VM_STACK_STRIDE;
	boot->stack_guard = VM_STACK_GUARD;
	boot->stack_count = plan->stack_count;
	boot->stacks_ready =
		VM_STACKS_FIRST < boot->stack_count ? VM_STACKS_FIRST : boot->stack_count;
	memory->stacks_gpa = VM_RAM_GPA + take(memory, boot->stack_count * VM_STACK_LEN);
	*va = round_up(*va + len + PAGE_SIZE_4K, WINDOW_ALIGN);
	int error = page_table_reserve(
		&memory->table, boot->stacks, round_up(len, PAGE_SIZE_2M), &memory->stack_entries);
	if (!error)
		map_stacks(memory, 0, boot->stacks_ready);
	return error;
}

/*
 * 69 tables for the stacks of 256 MiB, each a fresh page: 0.2-0.3 ms. Entries only go from absent
 * to present, which no TLB holds.
 */
void vm_memory_map_rest(struct vm_memory *memory)
{
	struct boot_info *shown = (struct boot_info *)(void *)memory->boot_page;

	map_stacks(memory, memory->boot.stacks_ready, memory->boot.stack_count);
	/* Release, paired with the acquire in the guest's platform_stack: the entries. */
	__atomic_store_n(&shown->stacks_ready, memory->boot.stack_count, __ATOMIC_RELEASE);
}

/* All the RAM that is left, from its next 2 MiB on. */
static int map_heap(struct vm_memory *memory, uint64_t *va)
{
	uint64_t offset = round_up(memory->used, PAGE_SIZE_2M);
	uint64_t len = memory->memory_len - offset;

	memory->heap_offset = offset;
	memory->boot.heap = *va;
	memory->boot.heap_len = len;
	memory->used = memory->memory_len;
	*va = round_up(*va + len + PAGE_SIZE_4K, WINDOW_ALIGN);
	return page_table_map(&memory->table, memory->boot.heap, VM_RAM_GPA + offset, len,
		PAGE_USER | PAGE_WRITE);
}

static int map_arena(struct vm_memory *memory, const struct arena *arena, uint64_t *va)
{
	uint64_t head = arena_rings_offset(arena);

	memory->boot.arena = *va;
	*va = round_up(*va + head + PAGE_SIZE_4K, WINDOW_ALIGN);
	memory->boot.ring_window = *va;
	int error = page_table_map(&memory->table, memory->boot.arena, memory->arena_gpa, head,
		PAGE_USER | PAGE_WRITE);
	if (error)
		return error;
	return page_table_reserve(&memory->table, memory->boot.ring_window,
		round_up(2 * arena_len(arena), PAGE_SIZE_2M), &memory->ring_entries);
}

static int build(struct vm_memory *memory, const struct engine_config *config,
	const struct elf_image *image, const struct plan *plan)
{
	uint64_t va = VM_HEAP_VA;
	uint64_t heap_va;
	int error = load_image(memory, config->image_fd, image);

	if (!error)
		error = map_boot_pages(memory, plan);
	if (!error)
		error = load_bundle(memory, config);
	if (error)
		return error;
	/* The heap comes first in virtual and last in physical memory: it takes what is left. */
	heap_va = va;
	va = round_up(va + memory->memory_len + PAGE_SIZE_4K, WINDOW_ALIGN);
	error = place_stacks(memory, plan, &va);
	if (!error)
		error = map_heap(memory, &heap_va);
	if (!error)
		error = map_arena(memory, config->arena, &va);
	for (int side = 0; !error && side < 2; side++)
		vm_memory_map_ring(memory, config->control_ring[side].offset,
			config->control_ring[side].capacity);
	return error;
}

static int cannot_make(
	const struct engine_config *config, int error, char *ret_error, size_t error_len)
{
	return log_sentence(ret_error, error_len, -error,
		"cannot set up %llu MiB of guest memory: %s; try less --memory",
		(unsigned long long)(config->memory >> 20), strerror(-error));
}

int vm_memory_reserve(struct vm_memory *memory, const struct engine_config *config,
	const struct elf_image *image, char *ret_error, size_t error_len)
{
	*memory = (struct vm_memory){0};
	if (config->memory > MEMORY_MAX)
		return log_sentence(ret_error, error_len, EINVAL,
			"a guest can have at most %llu GiB of memory; give less --memory",
			MEMORY_MAX >> 30);
	struct plan plan = make_plan(config, image);
	if (config->memory < plan.needed)
		return log_sentence(ret_error, error_len, ENOMEM,
			"the guest needs at least %llu MiB of memory; give --memory %lluM",
			(unsigned long long)round_up(plan.needed, 1 << 20) >> 20,
			(unsigned long long)round_up(plan.needed, 1 << 20) >> 20);
	memory->memory_len = round_up(config->memory, PAGE_SIZE_4K);
	memory->ram_len = memory->memory_len + round_up(plan.tables_len, PAGE_SIZE_4K);
	memory->arena_gpa = round_up(VM_RAM_GPA + memory->ram_len, PAGE_SIZE_2M);
	memory->entry = image->entry;
	int error = map_ram(memory, config->arena);
	return error ? cannot_make(config, error, ret_error, error_len) : 0;
}

/*
 * What any guest writes to while it starts: touched here, beside the making of the VM, a page takes
 * a third of the time that it takes where the guest faults it in. Those of the image are there
 * already.
 */
static void touch_first_pages(struct vm_memory *memory)
{
	const struct boot_info *boot = &memory->boot;
	uint64_t stacks = memory->stacks_gpa - VM_RAM_GPA;

	touch(memory, memory->heap_offset + HEAP_TOUCHED, HEAP_TOUCHED);
	for (uint64_t i = 0; i < STACKS_TOUCHED && i < boot->stack_count; i++)
		touch(memory, stacks + (i + 1) * VM_STACK_LEN, PAGE_SIZE_4K);
	touch(memory, (uint64_t)(memory->console - memory->ram) + PAGE_SIZE_4K, PAGE_SIZE_4K);
}

int vm_memory_fill(struct vm_memory *memory, const struct engine_config *config,
	const struct elf_image *image, char *ret_error, size_t error_len)
{
	struct plan plan = make_plan(config, image);
	int error = build(memory, config, image, &plan);

	if (!error)
		error = boot_page_write(memory->boot_page, config, &memory->boot);
	if (!error)
		touch_first_pages(memory);
	return error ? cannot_make(config, error, ret_error, error_len) : 0;
}

void vm_memory_destroy(struct vm_memory *memory)
{
	if (memory->ram)
		munmap(memory->ram, memory->mapped_len);
	*memory = (struct vm_memory){0};
}

/*
 * Runs beside the guest: entries only go from absent to present, which no TLB
 * holds, so the guest need not be told. It reaches the ring after it was told
 * of it through the control pipe, whose release and acquire order these stores.
 */
void vm_memory_map_ring(struct vm_memory *memory, uint64_t offset, uint64_t capacity)
{
	const unsigned int flags = PAGE_USER | PAGE_WRITE;
	uint64_t *entry = memory->ring_entries + 2 * offset / PAGE_SIZE_4K;
	uint64_t pages = capacity / PAGE_SIZE_4K;

	for (uint64_t i = 0; i < 2 * pages; i++) {
		uint64_t gpa = memory->arena_gpa + offset + i % pages * PAGE_SIZE_4K;

		__atomic_store_n(&entry[i], page_table_entry(gpa, flags), __ATOMIC_RELAXED);
	}
}
