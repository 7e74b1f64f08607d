/*
 * Where the kernel goes after a fault of the program: on a stack of its own. If
 * the report faults too, the kernel ends the guest.
 */
#include "guest/crash.h"
#include "guest/kvm/libc.h"
#include "guest/kvm/program.h"
#include "guest/platform.h"

#define VECTOR_INVALID_OPCODE 6

bool crash_find_stack(uint64_t address, struct crash_stack *ret_stack)
{
	const struct boot_info *boot = platform_boot();
	uint64_t boot_low = (uintptr_t)boot_stack_bottom, boot_high = (uintptr_t)boot_stack_top;

	if (address >= boot_low - BOOT_PAGE && address <= boot_high) {
		*ret_stack = (struct crash_stack){boot_low - BOOT_PAGE, boot_low, boot_high, -1};
		return true;
	}
	uint64_t offset = address - boot->stacks;
	if (address < boot->stacks || offset >= boot->stack_count * boot->stack_stride)
		return false;
	uint64_t index = offset / boot->stack_stride;
	uint64_t base = boot->stacks + index * boot->stack_stride;
	*ret_stack = (struct crash_stack){
		base, base + boot->stack_guard, base + boot->stack_stride, (int64_t)index};
	return true;
}

bool crash_is_text(uint64_t address)
{
	return address >= (uintptr_t)program_text_start && address < (uintptr_t)program_text_end;
}

uint64_t crash_load_base(void)
{
	return 0;
}

void crash_entry(void)
{
	const struct boot_crash *crash = program_at(platform_boot()->crash);
	bool aborted = libc_aborted && crash->vector == VECTOR_INVALID_OPCODE;

	crash_report(crash, aborted ? CRASH_ABORT : NULL);
	platform_exit(BOOT_STATUS_PANIC);
}
