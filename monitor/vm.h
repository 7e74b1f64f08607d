/*
 * vm: the KVM engine's own parts. vm.c is the engine (start, destroy), vm_machine.c
 * what KVM makes for it, vm_memory.c the guest's memory and its layout, vm_cpu.c the
 * first state of the vCPU, vm_run.c what its thread does while the guest runs.
 */
#ifndef FERRULE_MONITOR_VM_H
#define FERRULE_MONITOR_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/boot.h"
#include "monitor/elf.h"
#include "monitor/engine.h"
#include "monitor/page_table.h"

struct kvm_cpuid2;
struct kvm_run;

/* Guest physical addresses. The PC's holes below 4 GiB are left alone. */
#define VM_DOORBELL_GPA 0xd0000000ull /* no memory slot: a store is the doorbell */
#define VM_RAM_GPA      0x100000000ull

/* Guest virtual addresses: all the rest is relative to these and lies at least a guard page apart.
 */
#define VM_BOOT_VA 0x40000000ull /* boot info, console, crash and doorbell pages */
#define VM_HEAP_VA 0x80000000ull

/* Not a power of two: the tops of all stacks would share few sets of the TLB, and a guest that goes
 * from fiber to fiber would miss in it each time (echo over 64 connections: 133,000 to 155,000/s).
 */
#define VM_STACK_LEN    0x10000ull
#define VM_STACK_GUARD  PAGE_SIZE_4K
#define VM_STACK_STRIDE (VM_STACK_LEN + VM_STACK_GUARD)
#define VM_STACKS_FIRST 90 /* mapped before the guest runs: what three tables hold */
#define VM_STACKS_MIN   16
#define VM_STACKS_MAX   16384

#define VM_SENTENCE_LEN 512 /* bytes */

/* The guest's RAM: 'memory' bytes for the program, then the page tables, which it cannot see. */
struct vm_memory {
	unsigned char *ram; /* ram_len bytes at VM_RAM_GPA; at arena_gpa the arena, which nobody looks at here */
	uint64_t mapped_len; /* bytes from ram on, with the arena */
	uint64_t ram_len;
	uint64_t memory_len; /* what --memory says */
	uint64_t used;       /* of memory_len, from the start */
	uint64_t arena_gpa;
	struct page_table table;
	uint64_t stacks_gpa;      /* of the first, the others follow */
	uint64_t heap_offset;     /* in ram */
	uint64_t *stack_entries;  /* page table entry of each 4 KiB of the stacks' window */
	uint64_t *ring_entries;   /* likewise of the ring window */
	struct boot_info boot;    /* the addresses */
	unsigned char *boot_page; /* where the guest will read it */
	unsigned char *console;   /* BOOT_PAGE bytes, written by the guest */
	struct boot_crash *crash; /* likewise */
	uint64_t entry;
};

/*
 * What takes long at start is done by two threads: KVM makes the machine for the one that will
 * run the vCPU, while the caller fills the memory and asks for CPUID.
 */
enum vm_start {
	VM_START_MAKING,    /* both work */
	VM_START_ASKED,     /* set by the caller: CPUID is known */
	VM_START_FILLED,    /* likewise: its part is done */
	VM_START_ABANDONED, /* likewise: it has failed */
	VM_START_OVER,      /* set by the vCPU's thread: start_error says how it went */
};

struct engine {
	const struct engine_config *config;
	int kvm_fd, vm_fd, vcpu_fd;
	struct kvm_run *run; /* run_len bytes */
	size_t run_len;
	uint64_t arena_shown; /* bytes of it, from the start, that have a slot. Once the guest runs: the
			       * I/O thread's */
	struct vm_memory memory;
	struct kvm_cpuid2 *cpuid; /* what KVM supports, until the vCPU has it */
	pthread_t thread;
	bool thread_started;
	_Atomic pid_t thread_id; /* 0: it does not run the guest yet, or any more */
	pthread_mutex_t lock; /* of start */
	pthread_cond_t start_changed;
	enum vm_start start;
	int start_error;                /* this and the sentence: the thread's until start is OVER */
	char sentence[VM_SENTENCE_LEN]; /* of start_error */
	atomic_bool stop;
	_Atomic uint64_t console_exits;
	_Atomic uint64_t other_exits;
};

/*
 * Decides how much RAM there is and where the arena lies, and has addresses for it.
 * 0, or a negative errno with a sentence in ret_error.
 */
int vm_memory_reserve(struct vm_memory *memory, const struct engine_config *config,
	const struct elf_image *image, char *ret_error, size_t error_len);
/* Lays the guest's memory out, loads the image and builds the page tables. 0, or as above. */
int vm_memory_fill(struct vm_memory *memory, const struct engine_config *config,
	const struct elf_image *image, char *ret_error, size_t error_len);
/* Maps the stacks that the guest does not start with, while it runs: engine_ops.start_rest. */
void vm_memory_map_rest(struct vm_memory *memory);
void vm_memory_destroy(struct vm_memory *memory);
/* engine_ops.map_ring */
void vm_memory_map_ring(struct vm_memory *memory, uint64_t offset, uint64_t capacity);

/* The slots, the interrupt controller, the doorbells and the vCPU: all that needs no memory behind its
 * addresses. 0, or as above. */
int vm_machine_make(struct engine *engine, char *ret_error, size_t error_len);
/* Once the memory is filled: tells the boot page what time it is. 0, or as above. */
int vm_machine_ready(struct engine *engine, char *ret_error, size_t error_len);
/* Gives the part of the arena that has no memory slot yet one. 0 or a negative errno. */
int vm_machine_show_rest(struct engine *engine);

/* Asks KVM what it supports of CPUID, which takes 0.3-0.7 ms. 0, or as above. */
int vm_cpu_ask_cpuid(struct engine *engine, char *ret_error, size_t error_len);
/* 64-bit mode, CPL 0, at the image's entry with the boot info's address in rdi. 0, or as above. */
int vm_cpu_reset(struct engine *engine, char *ret_error, size_t error_len);
/* The rate of the guest's time stamp counter and its value now. 0 or a negative errno. */
int vm_cpu_tsc(const struct engine *engine, uint64_t *ret_hz, uint64_t *ret_now);

/* Ends KVM_RUN; the vCPU's thread takes no other signal. */
#define VM_SIGNAL_STOP (SIGRTMIN + 1)

/* Runs the guest until it ends or is to, and says so. */
void vm_run(struct engine *engine);

#endif
