/*
 * The vCPU's thread. The guest leaves KVM_RUN to print, to exit or because
 * something is wrong; data and doorbells never pass here. What the guest says
 * in an exit is untrusted: ports, lengths and bytes.
 */
#include "monitor/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "monitor/log.h"

#define RESET_CS      0xf000 /* after a triple fault SVM has nothing else to say */
#define STATUS_KILLED 137    /* what a shell says of a process that was killed */

enum step {
	GO_ON,
	ENDED, /* with a status */
};

/* All of it, unless the engine is being destroyed: the reader of stdout may be stuck. */
static void print(struct engine *engine, int fd, const unsigned char *bytes, size_t len)
{
	while (len && !atomic_load(&engine->stop)) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		else if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
}

static void console(struct engine *engine, int fd, uint32_t len)
{
	unsigned char copy[BOOT_PAGE];

	if (len > sizeof(copy))
		len = sizeof(copy);
	memcpy(copy, engine->memory.console, len);
	print(engine, fd, copy, len);
}

static void log_registers(const struct engine *engine)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(engine->vcpu_fd, KVM_GET_REGS, &r) < 0 ||
		ioctl(engine->vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return;
	if (s.cs.selector == RESET_CS) {
		log_line(LOG_ERROR, "vcpu: registers are lost, KVM has reset it");
		return;
	}
	log_line(LOG_ERROR, "vcpu: rip %016llx rsp %016llx rbp %016llx rflags %08llx", r.rip, r.rsp,
		r.rbp, r.rflags);
	log_line(LOG_ERROR, "vcpu: rax %016llx rbx %016llx rcx %016llx rdx %016llx", r.rax, r.rbx,
		r.rcx, r.rdx);
	log_line(LOG_ERROR, "vcpu: rsi %016llx rdi %016llx r8  %016llx r9  %016llx", r.rsi, r.rdi,
		r.r8, r.r9);
	log_line(LOG_ERROR, "vcpu: cs %04x ss %04x cr2 %016llx cr3 %016llx", s.cs.selector,
		s.ss.selector, s.cr2, s.cr3);
}

/* The kernel gave up: the fault is its own, or it came while the program reported another. */
static void log_panic(const struct engine *engine, uint32_t vector)
{
	struct boot_crash crash;

	memcpy(&crash, engine->memory.crash, sizeof(crash));
	log_line(LOG_ERROR,
		"the guest's kernel panicked: exception %" PRIu32 " (error code 0x%" PRIx64
		") at CPL %" PRIu64 ", cr2 %016" PRIx64,
		vector, crash.error, crash.cs & 3, crash.cr2);
	log_line(LOG_ERROR,
		"guest: rip %016" PRIx64 " rsp %016" PRIx64 " rbp %016" PRIx64 " rflags %08" PRIx64,
		crash.rip, crash.rsp, crash.rbp, crash.rflags);
	log_line(LOG_ERROR,
		"guest: rax %016" PRIx64 " rbx %016" PRIx64 " rcx %016" PRIx64 " rdx %016" PRIx64,
		crash.rax, crash.rbx, crash.rcx, crash.rdx);
	log_line(LOG_ERROR, "guest: rsi %016" PRIx64 " rdi %016" PRIx64, crash.rsi, crash.rdi);
}

static enum step fail(
	const struct engine *engine, int *ret_status, const char *why, uint64_t detail)
{
	log_line(LOG_ERROR, "the guest was stopped: %s (0x%" PRIx64 ")", why, detail);
	log_registers(engine);
	*ret_status = BOOT_STATUS_PANIC;
	return ENDED;
}

static enum step handle_port(struct engine *engine, int *ret_status)
{
	const struct kvm_run *run = engine->run;
	uint32_t value;

	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != sizeof(value) ||
		run->io.count != 1)
		return fail(engine, ret_status, "it made a port access of the wrong kind",
			run->io.port);
	memcpy(&value, (const unsigned char *)run + run->io.data_offset, sizeof(value));
	switch (run->io.port) {
	case BOOT_PORT_CONSOLE_OUT:
	case BOOT_PORT_CONSOLE_ERR:
		engine->console_exits++;
		console(engine, run->io.port == BOOT_PORT_CONSOLE_OUT ? 1 : 2, value);
		return GO_ON;
	case BOOT_PORT_EXIT:
		*ret_status = (int)(value & 0xff);
		return ENDED;
	case BOOT_PORT_PANIC:
		log_panic(engine, value);
		*ret_status = BOOT_STATUS_PANIC;
		return ENDED;
	default:
		return fail(engine, ret_status, "it wrote to an unknown port", run->io.port);
	}
}

static enum step handle_exit(struct engine *engine, int *ret_status)
{
	struct kvm_run *run = engine->run;

	if (run->exit_reason == KVM_EXIT_IO)
		return handle_port(engine, ret_status);
	engine->other_exits++;
	switch (run->exit_reason) {
	case KVM_EXIT_MMIO: /* an access where there is no memory: reads as 0 */
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
		return GO_ON;
	case KVM_EXIT_INTR:
		return GO_ON;
	case KVM_EXIT_SHUTDOWN:
		return fail(engine, ret_status, "triple fault", run->exit_reason);
	case KVM_EXIT_FAIL_ENTRY:
		return fail(engine, ret_status, "KVM cannot enter it, hardware reason",
			run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return fail(engine, ret_status, "KVM internal error (1: emulation failure)",
			run->internal.suberror);
	default:
		return fail(engine, ret_status, "unexpected KVM exit", run->exit_reason);
	}
}

/* Until the guest has ended or is to be; its status. */
static int run(struct engine *engine)
{
	int status = STATUS_KILLED;

	while (!atomic_load(&engine->stop)) {
		if (ioctl(engine->vcpu_fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			fail(engine, &status, "KVM_RUN failed, errno", (uint64_t)errno);
			break;
		}
		if (handle_exit(engine, &status) == ENDED)
			break;
	}
	return status;
}

/* One that was sent before this is still pending: nothing is lost. */
static void take_stop_signal(void)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, VM_SIGNAL_STOP);
	pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
}

void vm_run(struct engine *engine)
{
	take_stop_signal();
	atomic_store(&engine->thread_id, gettid());
	int status = run(engine);
	atomic_store(&engine->thread_id, 0);
	engine->config->ended(engine->config->context, status);
}
