/*
 * program: what the files of guest/kvm share with each other: the places that
 * kernel.S enters at CPL 3 and the symbols that guest.ld defines.
 */
#ifndef FERRULE_GUEST_KVM_PROGRAM_H
#define FERRULE_GUEST_KVM_PROGRAM_H

#include <stdint.h>

struct boot_info;

/* kernel.S: the program's first instruction, on the boot stack. */
_Noreturn void program_entry(const struct boot_info *info);

/* kernel.S: the program faulted; struct boot_crash is filled in. On the crash stack. */
_Noreturn void crash_entry(void);

void *program_at(uint64_t address);

/* guest.ld */
extern const char program_text_start[], program_text_end[];
extern char program_data_start[], program_data_end[];
extern const char boot_stack_bottom[], boot_stack_top[];

#endif
