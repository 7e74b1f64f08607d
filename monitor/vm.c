#include "monitor/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "monitor/boot_page.h"
#include "monitor/log.h"
#include "monitor/thread.h"

#define DOORBELL_GSI  0 /* the only interrupt that there is */
#define SPLIT_GSIS    24
#define MSI_ADDRESS   0xfee00000u /* to the local APIC with id 0, fixed delivery */
#define TSS_ADDRESS   0xfffbd000u /* three pages that old VMX needs somewhere */
#define STOP_RETRY_NS 10000000

/*
 * The arena's first memory slot: its head and rings for 490 streams of the guest library's size,
 * 256 KiB each way. KVM with shadow page tables allocates and clears 2.5 KiB for each MiB of a
 * slot, so that a slot for the whole arena would take 0.7-1.1 ms before the guest runs, and 5 MiB.
 */
#define ARENA_FIRST (256ull << 20)

enum { SLOT_RAM, SLOT_ARENA, SLOT_ARENA_REST };

static const struct {
	int cap;
	const char *name;
} required_cap[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
};

/* Opens and checks /dev/kvm: the descriptor, or a negative errno with a sentence. */
static int open_kvm(char *ret_error, size_t error_len)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return log_sentence(ret_error, error_len, ENOENT,
			"there is no /dev/kvm on this machine; use --engine process");
	if (fd < 0 && errno == EACCES)
		return log_sentence(ret_error, error_len, EACCES,
			"no permission to use /dev/kvm; run 'sudo usermod -aG kvm $USER' and log "
			"in "
			"again, or use --engine process, which does not confine the guest");
	if (fd < 0)
		return log_sentence(ret_error, error_len, errno,
			"cannot open /dev/kvm (%s); use --engine process", strerror(errno));
	if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		close(fd);
		return log_sentence(ret_error, error_len, ENOTSUP,
			"/dev/kvm does not speak KVM API 12; use --engine process");
	}
	for (size_t i = 0; i < sizeof(required_cap) / sizeof(required_cap[0]); i++) {
		if (ioctl(fd, KVM_CHECK_EXTENSION, required_cap[i].cap) > 0)
			continue;
		close(fd);
		return log_sentence(ret_error, error_len, ENOTSUP,
			"/dev/kvm lacks %s; use --engine process", required_cap[i].name);
	}
	return fd;
}

int engine_kvm_usable(char *ret_error, size_t error_len)
{
	int fd = open_kvm(ret_error, error_len);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

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

/* Gives the arena up to 'end' a slot, behind what has one. */
static int show_arena(struct engine *engine, uint32_t slot, uint64_t end)
{
	uint64_t from = engine->arena_shown;
	int error = add_slot(
		engine, slot, engine->memory.arena_gpa + from, engine->arena + from, end - from);

	if (!error)
		engine->arena_shown = end;
	return error;
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
	int error =
		add_slot(engine, SLOT_RAM, VM_RAM_GPA, engine->memory.ram, engine->memory.ram_len);
	if (!error)
		error = show_arena(engine, SLOT_ARENA, arena_first(engine->config->arena));
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

static int write_boot_page(struct engine *engine)
{
	struct boot_info *boot = &engine->memory.boot;
	int error = vm_cpu_tsc(engine, &boot->tsc_hz, &boot->tsc_start);

	return error ? error : boot_page_write(engine->memory.boot_page, engine->config, boot);
}

static int make_machine(struct engine *engine, char *ret_error, size_t error_len)
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
	error = vm_cpu_reset(engine, ret_error, error_len);
	if (error)
		return error;
	error = write_boot_page(engine);
	if (error)
		return log_sentence(ret_error, error_len, -error,
			"cannot tell the guest's time stamp counter: %s; try --engine process",
			strerror(-error));
	return 0;
}

static void on_stop(int signal)
{
	(void)signal; /* only there to end system calls */
}

static int start_thread(struct engine *engine)
{
	struct sigaction action = {.sa_handler = on_stop};

	sigaction(VM_SIGNAL_STOP, &action, NULL);
	int result = thread_start(&engine->thread, "ferrule-vcpu", vm_run, engine);
	engine->thread_started = result == 0;
	return result;
}

static void vm_destroy(struct engine *engine);

static int prepare(struct engine *engine, char *ret_error, size_t error_len)
{
	const struct engine_config *config = engine->config;
	struct elf_image image;
	int error = elf_read(config->image_fd, config->image_path, BOOT_PLATFORM_KVM, &image,
		ret_error, error_len);

	if (error)
		return error;
	engine->kvm_fd = open_kvm(ret_error, error_len);
	if (engine->kvm_fd < 0)
		return engine->kvm_fd;
	vm_cpuid_begin(&engine->cpuid, engine->kvm_fd);
	error = vm_memory_create(&engine->memory, config, &image, ret_error, error_len);
	if (error)
		return error;
	engine->arena = mmap(NULL, arena_len(config->arena), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, arena_fd(config->arena), 0);
	if (engine->arena == MAP_FAILED) {
		engine->arena = NULL;
		return log_sentence(ret_error, error_len, errno,
			"cannot map the pipe arena: %s; give less memory to pipes",
			strerror(errno));
	}
	return make_machine(engine, ret_error, error_len);
}

static int vm_start(const struct engine_config *config, struct engine **ret_engine, char *ret_error,
	size_t error_len)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return log_sentence(ret_error, error_len, ENOMEM, "out of memory; free some");
	engine->config = config;
	engine->kvm_fd = engine->vm_fd = engine->vcpu_fd = engine->memory.ram_fd = -1;
	int error = prepare(engine, ret_error, error_len);
	if (!error && config->prepared)
		error = config->prepared(config->context, ret_error, error_len);
	if (!error) {
		error = start_thread(engine);
		if (error)
			log_sentence(ret_error, error_len, -error,
				"cannot start the vCPU's thread: %s; raise the process limit",
				strerror(-error));
	}
	if (error) {
		vm_destroy(engine);
		return error;
	}
	*ret_engine = engine;
	return 0;
}

/* The first ring behind the arena's first slot makes the second one, while the guest runs. */
static int vm_map_ring(struct engine *engine, uint64_t offset, uint64_t capacity)
{
	if (offset + capacity > engine->arena_shown) {
		int error = show_arena(engine, SLOT_ARENA_REST, arena_len(engine->config->arena));
		if (error)
			return error;
	}
	vm_memory_map_ring(&engine->memory, offset, capacity);
	return 0;
}

/* The signal may come just before a system call begins, and then ends nothing: immediate_exit
 * covers KVM_RUN, trying again the rest. */
static void stop_thread(struct engine *engine)
{
	atomic_store(&engine->stop, true);
	__atomic_store_n(&engine->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		struct timespec until;

		pthread_kill(engine->thread, VM_SIGNAL_STOP);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += STOP_RETRY_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		if (pthread_timedjoin_np(engine->thread, NULL, &until) == 0)
			return;
	}
}

static void vm_halt(struct engine *engine)
{
	if (engine->thread_started)
		stop_thread(engine);
	engine->thread_started = false;
}

static void vm_destroy(struct engine *engine)
{
	if (!engine)
		return;
	vm_halt(engine);
	vm_cpuid_end(&engine->cpuid);
	if (engine->run)
		munmap(engine->run, engine->run_len);
	if (engine->vcpu_fd >= 0)
		close(engine->vcpu_fd);
	if (engine->vm_fd >= 0)
		close(engine->vm_fd);
	if (engine->kvm_fd >= 0)
		close(engine->kvm_fd);
	if (engine->arena)
		munmap(engine->arena, arena_len(engine->config->arena));
	vm_memory_destroy(&engine->memory);
	free(engine);
}

static void vm_stats(const struct engine *engine, struct engine_stats *ret_stats)
{
	ret_stats->console_exits = atomic_load(&engine->console_exits);
	ret_stats->other_exits = atomic_load(&engine->other_exits);
}

static pid_t vm_guest_thread(const struct engine *engine)
{
	return atomic_load(&engine->thread_id);
}

const struct engine_ops engine_kvm = {
	.name = "kvm",
	.start = vm_start,
	.map_ring = vm_map_ring,
	.halt = vm_halt,
	.destroy = vm_destroy,
	.stats = vm_stats,
	.guest_thread = vm_guest_thread,
};
