#define _GNU_SOURCE
#include "guest/hosted/crash.h"

#include <elf.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest/crash.h"
#include "guest/platform.h"
#include "guest/stream/sanitizer.h"

#define SIGNAL_STACK_LEN (64u << 10)

extern const char __executable_start[], __etext[]; /* of the linker */

bool crash_is_text(uint64_t address)
{
	return address >= (uintptr_t)__executable_start && address < (uintptr_t)__etext;
}

uint64_t crash_load_base(void)
{
	const Elf64_Ehdr *image = (const void *)__executable_start;

	return image->e_type == ET_DYN ? (uintptr_t)image : 0;
}

/* Linux keeps the exception, its error code and its address. */
static void take_registers(const greg_t *reg, struct boot_crash *ret_crash)
{
	*ret_crash = (struct boot_crash){
		.r15 = (uint64_t)reg[REG_R15],
		.r14 = (uint64_t)reg[REG_R14],
		.r13 = (uint64_t)reg[REG_R13],
		.r12 = (uint64_t)reg[REG_R12],
		.r11 = (uint64_t)reg[REG_R11],
		.r10 = (uint64_t)reg[REG_R10],
		.r9 = (uint64_t)reg[REG_R9],
		.r8 = (uint64_t)reg[REG_R8],
		.rbp = (uint64_t)reg[REG_RBP],
		.rdi = (uint64_t)reg[REG_RDI],
		.rsi = (uint64_t)reg[REG_RSI],
		.rdx = (uint64_t)reg[REG_RDX],
		.rcx = (uint64_t)reg[REG_RCX],
		.rbx = (uint64_t)reg[REG_RBX],
		.rax = (uint64_t)reg[REG_RAX],
		.vector = (uint64_t)reg[REG_TRAPNO],
		.error = (uint64_t)reg[REG_ERR],
		.rip = (uint64_t)reg[REG_RIP],
		.rflags = (uint64_t)reg[REG_EFL],
		.rsp = (uint64_t)reg[REG_RSP],
		.cr2 = (uint64_t)reg[REG_CR2],
	};
}

static void on_crash(int number, siginfo_t *info, void *context)
{
	const ucontext_t *interrupted = context;
	bool fault = info->si_code > 0; /* zero and less: somebody sent the signal */
	bool aborted = number == SIGABRT && !fault && info->si_pid == getpid();
	struct boot_crash crash;

	take_registers(interrupted->uc_mcontext.gregs, &crash);
	crash_report(&crash, fault ? NULL : aborted ? CRASH_ABORT : strsignal(number));
	_exit(BOOT_STATUS_PANIC);
}

void crash_install(void)
{
#if !defined(SANITIZER_ADDRESS) && !defined(SANITIZER_THREAD) /* they have reports of their own */
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
	static unsigned char stack[SIGNAL_STACK_LEN]; /* the program's may be what is full */
	const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	/* Once: what the report itself crashes of ends the process. */
	struct sigaction action = {
		.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};

	sigaltstack(&alternate, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
#else
	(void)on_crash;
#endif
}
