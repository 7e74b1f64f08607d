/*
 * kernel: all of the guest that runs at CPL 0: boot, traps, interrupts, timer,
 * halt. On PVM every instruction here is emulated (0.55 us each), so there is
 * no loop, no copy and no call; and no instruction beyond baseline x86-64, as
 * the emulator lacks most others (sysret, swapgs, SSE, cmpxchg16b).
 *
 * The program runs with interrupts off. They are taken in one place only, the
 * `sti; hlt` of kernel_wait below, which therefore knows what it may clobber.
 */
#include "guest/kvm/kernel.h"

#define KERNEL_CODE 0x10 /* Linux's selectors: what every engine has been tried with */
#define KERNEL_DATA 0x18
#define USER_DATA   0x2b
#define USER_CODE   0x33
#define TASK        0x38

#define MSR_APIC_BASE     0x1b
#define APIC_ENABLE_X2    0xc00
#define MSR_X2APIC_EOI    0x80b
#define MSR_X2APIC_SPIV   0x80f
#define SPIV_ENABLE       0x100
#define MSR_X2APIC_TIMER  0x832
#define TIMER_TSC_DEADLINE 0x40000
#define MSR_TSC_DEADLINE  0x6e0

#define SPURIOUS_VECTOR 0x2f
#define RFLAGS_FIXED    0x2 /* and nothing else: interrupts off, IOPL 0 */

#define CALL_FRAME_SIZE 40 /* ss, rsp, rflags, cs, rip */

	.section .kernel.text, "ax", @progbits
	.globl kernel_text
kernel_text: /* guest.ld puts this at 0x100000: the IDT's offsets are relative to it */

/* In: rdi = struct boot_info; 64-bit mode, CPL 0, interrupts off, every other register 0. */
	.globl kernel_entry
kernel_entry:
	lgdt	gdt_register
	lidt	idt_register
	mov	$TASK, %eax
	ltr	%ax
	mov	KERNEL_BOOT_CRASH(%rdi), %rax
	add	$KERNEL_CRASH_CR2, %rax
	mov	%rax, task_ist1
	mov	$MSR_APIC_BASE, %ecx
	rdmsr
	or	$APIC_ENABLE_X2, %eax
	wrmsr
	mov	$MSR_X2APIC_SPIV, %ecx
	mov	$(SPIV_ENABLE | SPURIOUS_VECTOR), %eax
	xor	%edx, %edx
	wrmsr
	mov	$MSR_X2APIC_TIMER, %ecx
	mov	$(TIMER_TSC_DEADLINE | KERNEL_TIMER_VECTOR), %eax
	wrmsr
	mov	$program_frame, %esp
	iretq

/* int3 from the program; kernel.h has the registers. */
call_gate:
	cmp	$KERNEL_CALL_WAIT, %edi
	jne	2f
1:	/* sti holds interrupts off for one instruction more, so one that is pending already ends
	 * the hlt: nothing is lost between the program's last look and here. */
	sti
	hlt
	cli
	jmp	1b	/* an NMI or a spurious interrupt */
2:	cmp	$KERNEL_CALL_WAIT_UNTIL, %edi
	jne	3f
	mov	$MSR_TSC_DEADLINE, %ecx
	wrmsr
	xor	%eax, %eax
	xor	%edx, %edx
	jmp	1b
3:	cmp	$KERNEL_CALL_OUT, %edi
	jne	breakpoint
	and	$KERNEL_PORTS_MASK, %edx
	or	$KERNEL_PORTS, %edx
	out	%eax, %dx
	iretq

/* Doorbell and timer, always out of the hlt above with edx:eax = 0: straight back to the program,
 * over the interrupt's own frame. eax says which it was. */
interrupt_gate:
	mov	$MSR_X2APIC_EOI, %ecx
	wrmsr
	mov	$(kernel_stack_top - CALL_FRAME_SIZE), %esp
	iretq
timer_gate:
	mov	$MSR_X2APIC_EOI, %ecx
	wrmsr
	inc	%eax
	mov	$(kernel_stack_top - CALL_FRAME_SIZE), %esp
	iretq

spurious_gate: /* wants no EOI */
	iretq

/* A real int3: move its frame from the kernel stack to where a fault has it. */
breakpoint:
	mov	task_ist1, %rsp
	.irp	word, 1, 2, 3, 4, 5
	push	kernel_stack_top - 8 * \word
	.endr
	push	$0
	push	$3
	jmp	fault

/* One stub per exception: the CPU's frame and the error code are on the crash page already. */
	.altmacro
	.macro	fault_stub vector
	.p2align 4
fault_\vector:
	.if	!(\vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \
		\vector == 21 || \vector == 29 || \vector == 30)
	push	$0
	.endif
	push	$\vector
	jmp	fault
	.endm
	.set	i, 0
	.rept	32
	fault_stub %i
	.set	i, i + 1
	.endr

/* Fills in struct boot_crash, whose end is this stack (IST 1), and lets the program report it. */
fault:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%cr2, %rax
	mov	%rax, KERNEL_CRASH_CR2(%rsp)
	testb	$3, KERNEL_CRASH_CS(%rsp)
	jz	panic			/* the fault is the kernel's own */
	incl	crashes
	cmpl	$1, crashes
	jne	panic			/* the report itself crashed */
	mov	$crash_frame, %esp
	iretq

panic:
	mov	$(KERNEL_PORTS | KERNEL_PORTS_MASK), %edx
	mov	KERNEL_CRASH_VECTOR(%rsp), %eax
	out	%eax, %dx
	hlt
	jmp	panic

	.section .kernel.rodata, "a", @progbits
	.p2align 4
program_frame: /* what iretq takes the program's first registers from */
	.quad	program_entry, USER_CODE, RFLAGS_FIXED, boot_stack_top - 8, USER_DATA
crash_frame:
	.quad	crash_entry, USER_CODE, RFLAGS_FIXED, crash_stack_top - 8, USER_DATA

	.macro	gate target, type, stack
	.word	\target - kernel_text, KERNEL_CODE
	.byte	\stack, \type
	.word	0x10			/* bits 16-31 of kernel_text */
	.quad	0
	.endm
#define GATE      0x8e /* interrupt gate, CPL 0 */
#define GATE_CALL 0xee /* for CPL 3 too */
	.macro	fault_gate vector
	gate	fault_\vector, GATE, 1
	.endm

	.p2align 4
idt:
	fault_gate 0
	fault_gate 1
	fault_gate 2
	gate	call_gate, GATE_CALL, 0
	.set	i, 4
	.rept	28
	fault_gate %i
	.set	i, i + 1
	.endr
	gate	interrupt_gate, GATE, 0 /* BOOT_INTERRUPT_VECTOR */
	gate	timer_gate, GATE, 0 /* BOOT_TIMER_VECTOR */
	.rept	SPURIOUS_VECTOR - KERNEL_TIMER_VECTOR - 1
	.quad	0, 0
	.endr
	gate	spurious_gate, GATE, 0
idt_end:

gdt_register:
	.word	gdt_end - gdt - 1
	.quad	gdt
idt_register:
	.word	idt_end - idt - 1
	.quad	idt

	.section .kernel.data, "aw", @progbits
	.p2align 4
gdt:	/* in writable memory: ltr marks the task as busy */
	.quad	0
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x10 kernel code, 64 bits */
	.quad	0x00cf93000000ffff	/* 0x18 kernel data */
	.quad	0
	.quad	0x00cff3000000ffff	/* 0x28 user data */
	.quad	0x00affb000000ffff	/* 0x30 user code, 64 bits */
	.word	task_end - task - 1	/* 0x38 task: its base in three pieces, guest.ld cuts them */
	.word	task_address_low
	.byte	task_address_middle, 0x89, 0, 0
	.quad	0
gdt_end:

	.p2align 4
	.globl task
task:
	.long	0
	.quad	kernel_stack_top	/* rsp0 */
	.quad	0, 0, 0
task_ist1:
	.quad	0			/* the end of struct boot_crash on the crash page */
	.fill	6, 8, 0
	.quad	0
	.word	0, task_end - task	/* no I/O bitmap */
task_end:
crashes:
	.long	0

	.section .kernel.bss, "aw", @nobits
	.p2align 4
	.skip	512
kernel_stack_top:

	.section .note.GNU-stack, "", @progbits
