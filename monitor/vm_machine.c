/* The virtual machine as KVM has it: memory slots, interrupt controller, doorbells, vCPU. */
#include "monitor/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "monitor/boot_page.h"
#include "monitor/log.h"

#define DOORBELL_GSI 0 /* the only interrupt that there is */
#define SPLIT_GSIS   24
#define MSI_ADDRESS  0xfee00000u /* to the local APIC with id 0, fixed delivery */
#define TSS_ADDRESS  0xfffbd000u /* three pages that old VMX needs somewhere */

/*
 * What the first memory slot has of the arena, behind the RAM: its head and rings for 240 streams of
 * the guest library's size, 256 KiB each way. KVM with shadow page tables allocates and clears 2.5
 * KiB for each MiB of a slot, so that one with the whole arena would take 0.7-1.1 ms before the
 * guest runs, and 5 MiB. A slot of its own for the arena's beginning would take 0.1 ms.
 */
#define ARENA_FIRST (128ull << 20)

enum { SLOT_FIRST, SLOT_ARENA_REST };

/* Only the local APIC in the kernel where KVM has it so: there is no PIC, IOAPIC or PIT to serve.
 */
static int make_irqchip(const struct engine *engine)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {SPLIT_GSIS}};

	if (ioctl(engine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) > 0 &&
		ioctl(engine->vm_fd, KVM_ENABLE_CAP, &split) == 0)
		return 0;
	return ioctl(engine->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0 ? -errno : 0;
}

static int add_slot(const struct engine *engine, uint32_t slot, uint64_t gpa, unsigned char *bytes,
	uint64_t len)
{
	struct kvm_userspace_memory_region region = {.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)bytes};

	return ioctl(engine->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static uint64_t arena_first(const struct arena *arena)
{
	return arena_len(arena) < ARENA_FIRST ? arena_len(arena) : ARENA_FIRST;
}

/*
 * The slots come before the interrupt controller and the doorbell: registering a device makes the
 * next change of the slots wait for a grace period of the kernel, 5-7 ms.
 */
static int make_vm(struct engine *engine)
{
	engine->vm_fd = ioctl(engine->kvm_fd, KVM_CREATE_VM, 0);
	if (engine->vm_fd < 0)
		return -errno;
	fcntl(engine->vm_fd, F_SETFD, FD_CLOEXEC);
	ioctl(engine->vm_fd, KVM_SET_TSS_ADDR,
		TSS_ADDRESS); /* unknown outside VMX, not needed there */
	engine->arena_shown = arena_first(engine->config->arena);
	int error = add_slot(engine, SLOT_FIRST, VM_RAM_GPA, engine->memory.ram,
		engine->memory.arena_gpa + engine->arena_shown - VM_RAM_GPA);
	return error ? error : make_irqchip(engine);
}

/* Guest to host: a store to the doorbell page. Without a length KVM need not look at the
 * instruction on VMX. */
static int wire_doorbell(const struct engine *engine)
{
	struct kvm_ioeventfd event = {.addr = VM_DOORBELL_GPA, .fd = engine->config->doorbell_fd};

	if (ioctl(engine->vm_fd, KVM_IOEVENTFD, &event) == 0)
		return 0;
	event.len = sizeof(uint32_t);
	return ioctl(engine->vm_fd, KVM_IOEVENTFD, &event) < 0 ? -errno : 0;
}

/* Host to guest: the eventfd becomes a message-signalled interrupt. */
static int wire_interrupt(const struct engine *engine)
{
	union { /* the table, with room for its one entry behind it */
		struct kvm_irq_routing table;
		unsigned char bytes[sizeof(struct kvm_irq_routing) +
				    sizeof(struct kvm_irq_routing_entry)];
	} routing = {.table.nr = 1};
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)engine->config->interrupt_fd, .gsi = DOORBELL_GSI};

	routing.table.entries[0] = (struct kvm_irq_routing_entry){.gsi = DOORBELL_GSI,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {.address_lo = MSI_ADDRESS, .data = BOOT_INTERRUPT_VECTOR}};
	if (ioctl(engine->vm_fd, KVM_SET_GSI_ROUTING, &routing) < 0 ||
		ioctl(engine->vm_fd, KVM_IRQFD, &irqfd) < 0)
		return -errno;
	return 0;
}

static int make_vcpu(struct engine *engine)
{
	engine->vcpu_fd = ioctl(engine->vm_fd, KVM_CREATE_VCPU, 0);
	if (engine->vcpu_fd < 0)
		return -errno;
	fcntl(engine->vcpu_fd, F_SETFD, FD_CLOEXEC);
	int len = ioctl(engine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (len < 0)
		return -errno;
	engine->run_len = (size_t)len;
	engine->run =
		mmap(NULL, engine->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, engine->vcpu_fd, 0);
	if (engine->run == MAP_FAILED) {
		engine->run = NULL;
		return -errno;
	}
	return 0;
}

static int tell_clock(struct engine *engine)
{
	uint64_t hz, now;
	int error = vm_cpu_tsc(engine, &hz, &now);

	if (!error)
		boot_page_set_clock(engine->memory.boot_page, hz, now);
	return error;
}

int vm_machine_make(struct engine *engine, char *ret_error, size_t error_len)
{
	const char *what = "a virtual machine";
	int error = make_vm(engine);

	if (!error) {
		what = "its doorbells";
		error = wire_doorbell(engine);
	}
	if (!error)
		error = wire_interrupt(engine);
	if (!error) {
		what = "its vCPU";
		error = make_vcpu(engine);
	}
	if (error)
		return log_sentence(ret_error, error_len, -error,
			"KVM cannot make %s: %s; try --engine process", what, strerror(-error));
	return 0;
}

int vm_machine_ready(struct engine *engine, char *ret_error, size_t error_len)
{
	int error = tell_clock(engine);

	if (error)
		return log_sentence(ret_error, error_len, -error,
			"cannot tell the guest's time stamp counter: %s; try --engine process",
			strerror(-error));
	return 0;
}

int vm_machine_show_rest(struct engine *engine)
{
	const struct vm_memory *memory = &engine->memory;
	uint64_t shown = engine->arena_shown, len = arena_len(engine->config->arena);
	int error = add_slot(engine, SLOT_ARENA_REST, memory->arena_gpa + shown,
		memory->ram + (memory->arena_gpa - VM_RAM_GPA) + shown, len - shown);

	if (!error)
		engine->arena_shown = len;
	return error;
}
