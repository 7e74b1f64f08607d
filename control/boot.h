/*
 * boot: what the monitor tells a guest before its first instruction, and how a
 * guest image says that it is one. Specified in DATAPIPE.md section 10.
 *
 * The same page serves both engines: under KVM it is mapped read-only at the
 * address in the entry register, as a process it is the memfd of BOOT_FD. A
 * guest takes every address from here and has none of its own.
 *
 * The guest trusts this page (its monitor made it). The monitor never reads it back.
 */
#ifndef FERRULE_CONTROL_BOOT_H
#define FERRULE_CONTROL_BOOT_H

#include <stddef.h>
#include <stdint.h>

#define BOOT_MAGIC       0x00454c5552524546ull /* the bytes "FERRULE" and a 0 */
#define BOOT_ABI_VERSION 2u                    /* a guest image of another version is refused */
#define BOOT_PAGE        4096u

/* ELF: the note that a guest image carries, name "Ferrule". */
#define BOOT_NOTE_NAME "Ferrule"
#define BOOT_NOTE_TYPE 1u
struct boot_note {
	uint32_t abi_version; /* BOOT_ABI_VERSION */
	uint32_t platform;    /* enum boot_platform: what the image was linked for */
};
enum boot_platform {
	BOOT_PLATFORM_KVM = 1,     /* freestanding, entered in 64-bit mode at CPL 0 */
	BOOT_PLATFORM_PROCESS = 2, /* a hosted guest: a Linux executable that attaches */
};

/* ELF: p_flags bit (in PF_MASKOS) of a segment that only CPL 0 may touch. */
#define BOOT_PF_KERNEL 0x00100000u

/* A process guest finds these descriptors open. */
enum boot_fd {
	BOOT_FD = 3,           /* memfd, sealed read-only: struct boot_info and its strings */
	BOOT_FD_ARENA = 4,     /* memfd: the pipe arena */
	BOOT_FD_DOORBELL = 5,  /* eventfd, guest writes: wakes the monitor */
	BOOT_FD_INTERRUPT = 6, /* eventfd, guest reads: wakes the guest */
	BOOT_FD_BUNDLE = 7,    /* the archive of boot:/, if bundle_len is not 0 */
};

/* A KVM guest's ports: a 32-bit OUT from CPL 0. None of these is on a data path. */
enum boot_port {
	BOOT_PORT_CONSOLE_OUT = 0xf0, /* bytes of the console page to print on stdout, at most BOOT_PAGE */
	BOOT_PORT_CONSOLE_ERR = 0xf4, /* the same to stderr */
	BOOT_PORT_EXIT = 0xf8,        /* exit status 0-255; does not return */
	BOOT_PORT_PANIC = 0xfc,       /* the kernel itself failed: vector; the monitor prints the registers */
};

#define BOOT_INTERRUPT_VECTOR 0x20 /* the doorbell to a KVM guest, an MSI */
#define BOOT_TIMER_VECTOR     0x21 /* the vector that the guest gives its local APIC timer */
#define BOOT_STATUS_PANIC     134  /* exit status of a guest that crashed: that of abort(3) in a shell */

/* Feature words, each side's own; unknown bits are ignored. */
#define BOOT_FEATURE_MAY_SPIN (1ull << 0) /* the host has CPUs enough for waiting by polling */

/* All little-endian. Addresses are virtual addresses in the guest; in a process guest
 * those of windows that the guest makes itself are 0. */
struct boot_info {
	uint64_t magic;        /*   0 BOOT_MAGIC */
	uint32_t abi_version;  /*   8 BOOT_ABI_VERSION */
	uint32_t length;       /*  12 bytes of this struct and the strings behind it */

	uint64_t heap;         /*  16 address of the program's heap: zeroed, read-write; 0 in a process */
	uint64_t heap_len;     /*  24 bytes */
	uint64_t stacks;       /*  32 address of the fiber stacks' window; 0 in a process */
	uint64_t stack_stride; /*  40 bytes from one stack to the next */
	uint64_t stack_guard;  /*  48 of which so many at the low end are unmapped */
	uint64_t stack_count;  /*  56 */

	uint64_t arena;        /*  64 address of the arena's first 'rings_offset' bytes (bells, pipe headers) */
	uint64_t arena_len;    /*  72 bytes of the whole arena */
	uint64_t ring_window;  /*  80 the ring at arena offset o lies at ring_window + 2 * o, twice in a row */
	uint64_t rings_offset; /*  88 arena offset behind the last pipe header */
	uint32_t bell_to_host_offset;  /*  96 arena offset of struct bell_shared that the guest posts */
	uint32_t bell_to_guest_offset; /* 100 the one that the guest sleeps on */
	uint32_t pipes_offset; /* 104 arena offset of struct pipe_shared [pipe_slots] */
	uint32_t pipe_slots;   /* 108 slot 0 is the control pipe */
	uint64_t control_ring_offset[2];   /* 112 arena offsets, indexed by enum pipe_side */
	uint32_t control_ring_capacity[2]; /* 128 bytes, indexed by enum pipe_side */

	uint64_t doorbell;     /* 136 address: store a 32-bit word here to wake the monitor; 0 in a process */
	uint64_t console;      /* 144 address of the console page, read-write; 0 in a process */
	uint64_t crash;        /* 152 address of the page where the kernel leaves struct boot_crash; 0 in a process */

	uint64_t tsc_hz;       /* 160 time stamp counter rate; 0 in a process */
	uint64_t tsc_start;    /* 168 counter when wall_start_ns was taken */
	int64_t wall_start_ns; /* 176 nanoseconds since 1970-01-01 UTC */

	uint32_t argc;         /* 184 */
	uint32_t args_offset;  /* 188 from the start of this struct: argc strings, each ended by a 0 byte */
	uint32_t envc;         /* 192 */
	uint32_t env_offset;   /* 196 envc strings NAME=VALUE */
	uint32_t mountc;       /* 200 */
	uint32_t mounts_offset; /* 204 mountc guest directories, each "ro:/dir" or "rw:/dir" */

	uint8_t random[32];    /* 208 from getrandom(2) */
	uint64_t poll_ns;      /* 240 the longest that the guest spins before it sleeps; 0: never */
	uint64_t features;     /* 248 BOOT_FEATURE_ bits */
	uint64_t stacks_ready; /* 256 stacks that are mapped yet: the monitor raises it to stack_count soon after
				* the guest's start, by release stores */
	uint64_t bundle;       /* 264 address of the archive that boot:/ is served from, read-only; 0: none, or a
				* process, which has it as BOOT_FD_BUNDLE */
	uint64_t bundle_len;   /* 272 bytes; 0: none; last: later versions append behind it */
};

_Static_assert(offsetof(struct boot_info, heap) == 16, "DATAPIPE.md section 10");
_Static_assert(offsetof(struct boot_info, control_ring_offset) == 112, "DATAPIPE.md section 10");
_Static_assert(offsetof(struct boot_info, argc) == 184, "DATAPIPE.md section 10");
_Static_assert(offsetof(struct boot_info, features) == 248, "DATAPIPE.md section 10");
_Static_assert(offsetof(struct boot_info, stacks_ready) == 256, "DATAPIPE.md section 10");
_Static_assert(offsetof(struct boot_info, bundle_len) == 272, "DATAPIPE.md section 10");
_Static_assert(sizeof(struct boot_info) == 280, "DATAPIPE.md section 10");

/* Registers of a crashed program, left by the kernel for the program's own crash report. */
struct boot_crash {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error; /* x86 exception and its error code (0 where there is none) */
	uint64_t rip, cs, rflags, rsp, ss;
	uint64_t cr2;           /* address of a page fault */
};

#endif
