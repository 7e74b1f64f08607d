/*
 * The crash report: what a program prints about its own fault, on a stack of
 * its own. It reads only memory that it has checked to be mapped, so that it
 * does not fault itself; if it does, the kernel ends the guest.
 */
#include <stdarg.h>
#include <stdio.h>

#include "control/boot.h"
#include "guest/kvm/program.h"
#include "guest/platform.h"

#define BACKTRACE_MAX 32
#define NULL_ZONE     0x10000 /* nothing is ever mapped below this */

enum page_fault_bit { /* of the error code */
	FAULT_PRESENT = 1 << 0,
	FAULT_WRITE = 1 << 1,
	FAULT_FETCH = 1 << 4,
};
#define VECTOR_BREAKPOINT 3
#define VECTOR_PAGE_FAULT 14

static const char *const exception_name[32] = {
	[0] = "division error",
	[1] = "debug exception",
	[2] = "non-maskable interrupt",
	[3] = "breakpoint",
	[4] = "overflow",
	[5] = "bound range exceeded",
	[6] = "invalid opcode",
	[7] = "no FPU",
	[8] = "double fault",
	[10] = "invalid TSS",
	[11] = "segment not present",
	[12] = "stack segment fault",
	[13] = "general protection fault",
	[14] = "page fault",
	[16] = "x87 floating point error",
	[17] = "alignment check",
	[18] = "machine check",
	[19] = "SIMD floating point error",
	[20] = "virtualization exception",
	[21] = "control protection fault",
};

/* The stack that an address lies in or whose guard it lies in. */
struct stack_range {
	uint64_t guard, low, high; /* guard page(s) [guard, low), stack [low, high) */
	int64_t index;             /* of the fiber stack; -1 the boot stack */
};

__attribute__((format(printf, 1, 2))) static void print(const char *format, ...)
{
	char line[256];
	va_list list;

	va_start(list, format);
	int len = vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	if (len > 0)
		platform_console(
			2, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

static bool find_stack(uint64_t address, struct stack_range *ret_range)
{
	const struct boot_info *boot = platform_boot();
	uint64_t boot_low = (uintptr_t)boot_stack_bottom, boot_high = (uintptr_t)boot_stack_top;

	if (address >= boot_low - BOOT_PAGE && address <= boot_high) {
		*ret_range = (struct stack_range){boot_low - BOOT_PAGE, boot_low, boot_high, -1};
		return true;
	}
	uint64_t offset = address - boot->stacks;
	if (address < boot->stacks || offset >= boot->stack_count * boot->stack_stride)
		return false;
	uint64_t index = offset / boot->stack_stride;
	uint64_t base = boot->stacks + index * boot->stack_stride;
	*ret_range = (struct stack_range){
		base, base + boot->stack_guard, base + boot->stack_stride, (int64_t)index};
	return true;
}

static void print_page_fault(const struct boot_crash *crash)
{
	const char *access = crash->error & FAULT_FETCH   ? "jump to"
			     : crash->error & FAULT_WRITE ? "write to"
							  : "read from";
	struct stack_range stack;

	print("  %s %s address 0x%llx%s\n", access,
		crash->error & FAULT_PRESENT ? "protected" : "unmapped",
		(unsigned long long)crash->cr2, crash->cr2 < NULL_ZONE ? " (null pointer)" : "");
	if (!find_stack(crash->cr2, &stack) || crash->cr2 >= stack.low)
		return;
	if (stack.index < 0)
		print("  stack overflow of the boot stack\n");
	else
		print("  stack overflow of fiber stack %lld (%llu bytes)\n", (long long)stack.index,
			(unsigned long long)(stack.high - stack.low));
}

static void print_registers(const struct boot_crash *c)
{
	const struct {
		const char *name;
		uint64_t value;
	} reg[] = {{"rip", c->rip}, {"rsp", c->rsp}, {"rbp", c->rbp}, {"rax", c->rax},
		{"rbx", c->rbx}, {"rcx", c->rcx}, {"rdx", c->rdx}, {"rsi", c->rsi}, {"rdi", c->rdi},
		{"r8", c->r8}, {"r9", c->r9}, {"r10", c->r10}, {"r11", c->r11}, {"r12", c->r12},
		{"r13", c->r13}, {"r14", c->r14}, {"r15", c->r15}, {"rflags", c->rflags}};

	for (unsigned int i = 0; i < sizeof(reg) / sizeof(reg[0]); i++)
		print("%s%6s 0x%016llx", i % 3 ? "" : "  ", reg[i].name,
			(unsigned long long)reg[i].value),
			print(i % 3 == 2 ? "\n" : " ");
}

static bool is_text(uint64_t address)
{
	return address >= (uintptr_t)program_text_start && address < (uintptr_t)program_text_end;
}

/* Return addresses by the rbp chain, which must climb within one stack. */
static unsigned int walk(const struct boot_crash *crash, uint64_t ret_frame[BACKTRACE_MAX])
{
	unsigned int count = 0;
	uint64_t frame = crash->rbp;
	struct stack_range stack;

	ret_frame[count++] = crash->rip;
	if (!find_stack(crash->rsp, &stack))
		return count;
	if (!is_text(crash->rip) && crash->rsp >= stack.low && crash->rsp + 8 <= stack.high &&
		crash->rsp % 8 == 0) /* a wild jump: the caller is on top of the stack */
		ret_frame[count++] = *(const uint64_t *)program_at(crash->rsp);
	while (count < BACKTRACE_MAX && frame % 8 == 0 && frame >= stack.low &&
		frame + 16 <= stack.high) {
		const uint64_t *link = program_at(frame);

		if (!is_text(link[1]))
			break;
		ret_frame[count++] = link[1];
		if (link[0] <= frame)
			break;
		frame = link[0];
	}
	return count;
}

static void print_backtrace(const struct boot_crash *crash)
{
	const struct boot_info *boot = platform_boot();
	uint64_t frame[BACKTRACE_MAX];
	unsigned int count = walk(crash, frame);
	const char *image = boot->argc ? (const char *)boot + boot->args_offset : "GUEST.elf";

	print("  backtrace:");
	for (unsigned int i = 0; i < count; i++)
		print(" 0x%llx", (unsigned long long)frame[i]);
	print("\n  names: addr2line -pfe %s", image);
	for (unsigned int i = 0; i < count; i++) /* a return address is behind its call */
		print(" 0x%llx", (unsigned long long)(frame[i] - (i > 0)));
	print("\n");
}

void crash_entry(void)
{
	const struct boot_crash *crash = program_at(platform_boot()->crash);
	const char *name = crash->vector < 32 ? exception_name[crash->vector] : NULL;

	print("guest panic: %s (exception %llu, error code 0x%llx) at rip 0x%llx\n",
		name ? name : "unknown exception", (unsigned long long)crash->vector,
		(unsigned long long)crash->error, (unsigned long long)crash->rip);
	if (crash->vector == VECTOR_PAGE_FAULT)
		print_page_fault(crash);
	print_registers(crash);
	print_backtrace(crash);
	platform_exit(BOOT_STATUS_PANIC);
}
