/*
 * Reads only memory that is checked to be mapped, so that it does not fault
 * itself; if it does, the platform ends the guest.
 */
#include "guest/crash.h"

#include <stdarg.h>
#include <stdio.h>

#include "guest/platform.h"

#define BACKTRACE_MAX 32
#define NULL_ZONE     0x10000 /* nothing is ever mapped below this */

enum page_fault_bit { /* of the error code */
	FAULT_PRESENT = 1 << 0,
	FAULT_WRITE = 1 << 1,
	FAULT_FETCH = 1 << 4,
};
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

static void print_page_fault(const struct boot_crash *crash)
{
	const char *access = crash->error & FAULT_FETCH   ? "jump to"
			     : crash->error & FAULT_WRITE ? "write to"
							  : "read from";
	struct crash_stack stack;

	print("  %s %s address 0x%llx%s\n", access,
		crash->error & FAULT_PRESENT ? "protected" : "unmapped",
		(unsigned long long)crash->cr2, crash->cr2 < NULL_ZONE ? " (null pointer)" : "");
	if (!crash_find_stack(crash->cr2, &stack) || crash->cr2 >= stack.low)
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

static const uint64_t *crash_memory(uint64_t address)
{
	return (const uint64_t *)(uintptr_t)address;
}

/* Return addresses by the rbp chain, which must climb within one stack. */
static unsigned int walk(const struct boot_crash *crash, uint64_t ret_frame[BACKTRACE_MAX])
{
	unsigned int count = 0;
	uint64_t frame = crash->rbp;
	struct crash_stack stack;

	ret_frame[count++] = crash->rip;
	if (!crash_find_stack(crash->rsp, &stack))
		return count;
	if (!crash_is_text(crash->rip) && crash->rsp >= stack.low && crash->rsp <= stack.high - 8 &&
		crash->rsp % 8 == 0 && crash_is_text(*crash_memory(crash->rsp)))
		/* a wild jump: the caller is on top of the stack */
		ret_frame[count++] = *crash_memory(crash->rsp);
	while (count < BACKTRACE_MAX && frame % 8 == 0 && frame >= stack.low &&
		frame <= stack.high - 16) {
		const uint64_t *link = crash_memory(frame);

		if (!crash_is_text(link[1]))
			break;
		ret_frame[count++] = link[1];
		if (link[0] <= frame)
			break;
		frame = link[0];
	}
	return count;
}

static void print_backtrace(const uint64_t *frame, unsigned int count)
{
	print("  backtrace:");
	for (unsigned int i = 0; i < count; i++)
		print(" 0x%llx", (unsigned long long)frame[i]);
	print("\n");
}

/* A process may have crashed in a library, which is not in the image. */
static void print_names(const uint64_t *frame, unsigned int count)
{
	const struct boot_info *boot = platform_boot();
	const char *image = boot->argc ? (const char *)boot + boot->args_offset : "GUEST.elf";
	uint64_t base = crash_load_base();
	bool any = false;

	for (unsigned int i = 0; i < count; i++) {
		if (!crash_is_text(frame[i]))
			continue;
		if (!any)
			print("  names: addr2line -pfe %s", image);
		any = true;
		/* a return address is behind its call */
		print(" 0x%llx", (unsigned long long)(frame[i] - base - (i > 0)));
	}
	if (any)
		print("\n");
}

void crash_report(const struct boot_crash *crash, const char *cause)
{
	const char *name = crash->vector < 32 ? exception_name[crash->vector] : NULL;
	uint64_t frame[BACKTRACE_MAX];
	unsigned int count;

	if (cause)
		print("guest panic: %s at rip 0x%llx\n", cause, (unsigned long long)crash->rip);
	else
		print("guest panic: %s (exception %llu, error code 0x%llx) at rip 0x%llx\n",
			name ? name : "unknown exception", (unsigned long long)crash->vector,
			(unsigned long long)crash->error, (unsigned long long)crash->rip);
	if (!cause && crash->vector == VECTOR_PAGE_FAULT)
		print_page_fault(crash);
	print_registers(crash);
	count = walk(crash, frame);
	print_backtrace(frame, count);
	print_names(frame, count);
}
