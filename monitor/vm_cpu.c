/*
 * The vCPU's first state. The guest is entered where a boot loader would have
 * left it: 64-bit mode, CPL 0, paging on with the monitor's page tables. It
 * loads its own GDT, IDT and task register.
 */
#include "monitor/vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "monitor/log.h"
#include "monitor/thread.h"

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)

#define CR4_PAE        (1u << 5)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)

#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)

#define RFLAGS_FIXED 0x2
#define FCW_DEFAULT  0x37f
#define MXCSR_MASKED 0x1f80

#define MSR_TSC 0x10

/* CPUID leaf 1, ecx: PVM hides both and has both, KVM wants to see them before it allows them. */
#define CPUID_X2APIC       (1u << 21)
#define CPUID_TSC_DEADLINE (1u << 24)

#define CPUID_ENTRIES 256

int vm_cpu_ask_cpuid(struct engine *engine, char *ret_error, size_t error_len)
{
	struct kvm_cpuid2 *list =
		calloc(1, sizeof(*list) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));

	engine->cpuid = list;
	if (!list)
		return log_sentence(ret_error, error_len, ENOMEM, "out of memory; free some");
	list->nent = CPUID_ENTRIES;
	if (ioctl(engine->kvm_fd, KVM_GET_SUPPORTED_CPUID, list) < 0)
		return log_sentence(ret_error, error_len, errno,
			"KVM does not say what it supports of CPUID (%s); try --engine process",
			strerror(errno));
	for (unsigned int i = 0; i < list->nent; i++)
		if (list->entries[i].function == 1)
			list->entries[i].ecx |= CPUID_X2APIC | CPUID_TSC_DEADLINE;
	return 0;
}

static int set_cpuid(struct engine *engine)
{
	int error = ioctl(engine->vcpu_fd, KVM_SET_CPUID2, engine->cpuid) < 0 ? -errno : 0;

	free(engine->cpuid);
	engine->cpuid = NULL;
	return error;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, uint8_t dpl)
{
	return (struct kvm_segment){.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.dpl = dpl,
		.s = 1,
		.g = 1};
}

/* Linux's selectors, for which PVM is made; kernel.S has a GDT with the same. */
static int set_system_registers(const struct engine *engine)
{
	struct kvm_sregs s;

	if (ioctl(engine->vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	s.cs = segment(0x10, 0xb, 0);
	s.cs.l = 1;
	s.ss = segment(0x18, 0x3, 0);
	s.ss.db = 1;
	s.ds = s.es = s.fs = s.gs = segment(0x2b, 0x3, 3);
	s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	s.cr3 = engine->memory.table.gpa;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	return ioctl(engine->vcpu_fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int set_registers(const struct engine *engine)
{
	/* Where the boot info lies is fixed, so that this need not wait for the memory. */
	struct kvm_regs regs = {
		.rip = engine->memory.entry, .rdi = VM_BOOT_VA, .rflags = RFLAGS_FIXED};
	struct kvm_fpu fpu = {.fcw = FCW_DEFAULT, .mxcsr = MXCSR_MASKED};

	if (ioctl(engine->vcpu_fd, KVM_SET_REGS, &regs) < 0 ||
		ioctl(engine->vcpu_fd, KVM_SET_FPU, &fpu) < 0)
		return -errno;
	return 0;
}

int vm_cpu_reset(struct engine *engine, char *ret_error, size_t error_len)
{
	const char *what = "CPUID";
	int error = set_cpuid(engine);

	if (!error) {
		what = "system registers";
		error = set_system_registers(engine);
	}
	if (!error) {
		what = "registers";
		error = set_registers(engine);
	}
	if (error)
		return log_sentence(ret_error, error_len, -error,
			"KVM refuses the vCPU's %s (%s); try --engine process", what,
			strerror(-error));
	return 0;
}

int vm_cpu_tsc(const struct engine *engine, uint64_t *ret_hz, uint64_t *ret_now)
{
	union { /* the list, with room for its one entry behind it */
		struct kvm_msrs list;
		unsigned char bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msrs = {.list.nmsrs = 1};
	int khz = ioctl(engine->vcpu_fd, KVM_GET_TSC_KHZ, 0);

	if (khz <= 0)
		return khz < 0 ? -errno : -ENOTSUP;
	msrs.list.entries[0].index = MSR_TSC;
	int got = ioctl(engine->vcpu_fd, KVM_GET_MSRS, &msrs);
	if (got != 1)
		return got < 0 ? -errno : -ENOTSUP;
	*ret_hz = (uint64_t)khz * 1000;
	*ret_now = msrs.list.entries[0].data;
	return 0;
}
