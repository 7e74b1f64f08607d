/*
 * kernel: how the program (CPL 3) calls the guest's ring-0 kernel, kernel.S.
 *
 * guest/kvm/ is the platform of a guest under KVM: the kernel (kernel.S, one
 * assembly file), the memory layout (guest.ld), platform.c, the crash report
 * and the part of the C library that programs need. It may include pipe/,
 * control/ and protocol/, and is compiled freestanding.
 *
 * The kernel is entered with int3, the only instruction that is a kernel
 * entry on every KVM engine (PVM has neither `syscall` nor `int n`), with the
 * number of the call in edi: any other value is a breakpoint, hence a crash.
 * Where CPL 0 is emulated an instruction there costs 0.55 us, so what can be
 * prepared in registers at CPL 3 is prepared here.
 */
#ifndef FERRULE_GUEST_KVM_KERNEL_H
#define FERRULE_GUEST_KVM_KERNEL_H

#define KERNEL_CALL_WAIT       0x46520001 /* sleep until the next interrupt */
#define KERNEL_CALL_WAIT_UNTIL 0x46520002 /* the same; timer at TSC edx:eax first */
#define KERNEL_CALL_OUT        0x46520003 /* eax to the enum boot_port of edx */

/* What kernel.S needs of boot.h, which is C. */
#define KERNEL_PORTS        0xf0 /* first of enum boot_port */
#define KERNEL_PORTS_MASK   0x0c
#define KERNEL_TIMER_VECTOR 0x21
#define KERNEL_BOOT_CRASH   152 /* offsetof(struct boot_info, crash) */
#define KERNEL_CRASH_VECTOR 120 /* offsetof(struct boot_crash, vector) */
#define KERNEL_CRASH_CS     144 /* offsetof(struct boot_crash, cs) */
#define KERNEL_CRASH_CR2    176 /* offsetof(struct boot_crash, cr2) */

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

#include "control/boot.h"

_Static_assert(KERNEL_PORTS == BOOT_PORT_CONSOLE_OUT, "kernel.S");
_Static_assert((KERNEL_PORTS | KERNEL_PORTS_MASK) == BOOT_PORT_PANIC, "kernel.S");
_Static_assert(KERNEL_TIMER_VECTOR == BOOT_TIMER_VECTOR, "kernel.S");
_Static_assert(BOOT_INTERRUPT_VECTOR + 1 == BOOT_TIMER_VECTOR, "the IDT of kernel.S");
_Static_assert(offsetof(struct boot_info, crash) == KERNEL_BOOT_CRASH, "kernel.S");
_Static_assert(offsetof(struct boot_crash, vector) == KERNEL_CRASH_VECTOR, "kernel.S");
_Static_assert(offsetof(struct boot_crash, cs) == KERNEL_CRASH_CS, "kernel.S");
_Static_assert(offsetof(struct boot_crash, cr2) == KERNEL_CRASH_CR2, "kernel.S");

/*
 * An interrupt that came since the last wait makes this return at once: the
 * program runs with interrupts off, so they stay pending in the local APIC
 * until the kernel's `sti; hlt`. May return early. True: it was the timer, which
 * is not armed any more.
 */
static inline bool kernel_wait(void)
{
	uint32_t low = 0, high = 0; /* what the kernel writes to the EOI register */

	__asm__ volatile("int3"
			 : "+a"(low), "+d"(high)
			 : "D"(KERNEL_CALL_WAIT)
			 : "ecx", "memory", "cc");
	return low;
}

/* Arms the timer, which stays armed until it fires or is armed anew, and waits as above. */
static inline bool kernel_wait_until(uint64_t tsc)
{
	uint32_t low = (uint32_t)tsc, high = (uint32_t)(tsc >> 32);

	__asm__ volatile("int3"
			 : "+a"(low), "+d"(high)
			 : "D"(KERNEL_CALL_WAIT_UNTIL)
			 : "ecx", "memory", "cc");
	return low;
}

/* A 32-bit OUT. The kernel brings 'port' into the range of enum boot_port. */
static inline void kernel_out(enum boot_port port, uint32_t value)
{
	uint32_t edx = port;

	__asm__ volatile("int3"
			 : "+d"(edx)
			 : "a"(value), "D"(KERNEL_CALL_OUT)
			 : "ecx", "memory", "cc");
}
#endif

#endif
