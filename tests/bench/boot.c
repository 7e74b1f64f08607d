/*
 * boot [--rounds N] FERRULE IMAGE [OPTION]...: the time from exec of the monitor to the first
 * byte that its guest, an echo, has served; and, in the same run, the time to make and enter
 * an empty VM: open, KVM_CREATE_VM, one memory slot, one vCPU, one exit; without and with an
 * interrupt controller in the kernel, which makes the slot dearer. One object of JSON for
 * each round, times in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/clock.h"

#define ARGUMENTS_MAX 32
#define STATUS_SKIP   77
#define GUEST_BYTES   (256ull << 20) /* as the monitor's default */
#define PORT_EXIT     0x10

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "boot: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- an empty VM */

static int must(int value, const char *what)
{
	if (value < 0)
		die(what);
	return value;
}

/* Real mode, whose reset state needs nothing but CS at 0: out to a port, which exits. */
static void enter(int cpu, size_t run_len)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	struct kvm_run *run = mmap(NULL, run_len, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);

	if (run == MAP_FAILED)
		die("mmap of the vCPU");
	must(ioctl(cpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = sregs.cs.selector = 0;
	must(ioctl(cpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	must(ioctl(cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	must(ioctl(cpu, KVM_RUN, 0), "KVM_RUN");
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT_EXIT) {
		fprintf(stderr, "boot: the empty VM has ended with exit %u\n", run->exit_reason);
		exit(1);
	}
}

static void make_vm(bool irqchip)
{
	static const unsigned char code[] = {0xe6, PORT_EXIT, 0xf4}; /* out, hlt */
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	int run_len = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	if (irqchip)
		must(ioctl(vm, KVM_CREATE_IRQCHIP), "KVM_CREATE_IRQCHIP");
	void *memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		die("memory of the empty VM");
	memcpy(memory, code, sizeof(code));
	struct kvm_userspace_memory_region slot = {
		.memory_size = GUEST_BYTES, .userspace_addr = (uintptr_t)memory};
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	enter(must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU"), (size_t)run_len);
}

/* In a process of its own, as a monitor is; the time is that of the calls alone. */
static double empty_vm_us(bool irqchip)
{
	int fds[2], status;
	double us = 0;

	must(pipe2(fds, O_CLOEXEC), "pipe");
	pid_t pid = must(fork(), "fork");
	if (pid == 0) {
		uint64_t start = clock_ns();
		make_vm(irqchip);
		us = (double)(clock_ns() - start) / 1000;
		_exit(write(fds[1], &us, sizeof(us)) == sizeof(us) ? 0 : 1);
	}
	close(fds[1]);
	ssize_t len = read(fds[0], &us, sizeof(us));
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (len != sizeof(us) || status != 0)
		exit(1);
	return us;
}

/* ---- a guest */

struct guest {
	pid_t pid;
	FILE *out; /* what it says on stdout */
};

/* Of the last exec: written by the child, as that of an empty VM is, so that the fork of this program is
 * no part of it. */
static uint64_t *exec_ns;

static void make_exec_ns(void)
{
	exec_ns = mmap(NULL, sizeof(*exec_ns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		-1, 0);
	if (exec_ns == MAP_FAILED)
		die("mmap");
	*exec_ns = 0;
}

static double since_exec_us(void)
{
	return (double)(clock_ns() - *exec_ns) / 1000;
}

static struct guest guest_start(const char *const *argv)
{
	struct guest guest;
	int fds[2];

	must(pipe2(fds, O_CLOEXEC), "pipe");
	guest.pid = must(fork(), "fork");
	if (guest.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], STDOUT_FILENO);
		*exec_ns = clock_ns();
		/* execv keeps the strings as they are; its type is older than const. */
		execv(argv[0], (char *const *)(uintptr_t)argv);
		die(argv[0]);
	}
	close(fds[1]);
	guest.out = fdopen(fds[0], "r");
	if (guest.out == NULL)
		die("fdopen");
	return guest;
}

static struct sockaddr_in guest_address(struct guest *guest)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char line[256], *found;

	while (fgets(line, sizeof(line), guest->out) != NULL)
		if ((found = strstr(line, "127.0.0.1:")) != NULL) {
			address.sin_port = htons((uint16_t)strtoul(found + 10, NULL, 10));
			return address;
		}
	fprintf(stderr, "boot: the guest does not say where it listens\n");
	exit(1);
}

static void guest_stop(struct guest *guest)
{
	kill(guest->pid, SIGTERM);
	waitpid(guest->pid, NULL, 0);
	fclose(guest->out);
}

struct times {
	double listening_us, served_us;
};

static struct times guest_boot(const char *const *argv)
{
	struct guest guest = guest_start(argv);
	struct sockaddr_in address = guest_address(&guest);
	struct times times = {.listening_us = since_exec_us()};
	int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	char byte = 'x';

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1)
		die("the first byte");
	times.served_us = since_exec_us();
	close(fd);
	guest_stop(&guest);
	return times;
}

static bool kvm_is_there(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: boot [--rounds N] FERRULE IMAGE [OPTION-OF-FERRULE-RUN]...\n");
	exit(2);
}

int main(int argc, char **argv)
{
	const char *command[ARGUMENTS_MAX] = {NULL, "run", "--listen", "127.0.0.1:0"};
	unsigned long rounds = 11;
	int at = 1, count = 4;

	if (at + 1 < argc && strcmp(argv[at], "--rounds") == 0) {
		rounds = strtoul(argv[at + 1], NULL, 10);
		at += 2;
	}
	if (argc - at < 2 || argc - at > ARGUMENTS_MAX - 8)
		usage();
	if (!kvm_is_there()) {
		printf("skipped: there is no usable /dev/kvm\n");
		return STATUS_SKIP;
	}
	make_exec_ns();
	command[0] = argv[at];
	for (int i = at + 2; i < argc; i++)
		command[count++] = argv[i];
	command[count++] = argv[at + 1];
	command[count++] = "127.0.0.1:0";
	for (unsigned long round = 0; round <= rounds; round++) {
		double empty_us = empty_vm_us(false), irqchip_us = empty_vm_us(true);
		struct times times = guest_boot(command);

		/* The first round warms the page cache. */
		if (round == 0)
			continue;
		printf("{\"round\": %lu, \"empty_vm_us\": %.1f, \"empty_vm_irqchip_us\": %.1f, "
		       "\"listening_us\": %.1f, \"first_byte_us\": %.1f}\n",
			round, empty_us, irqchip_us, times.listening_us, times.served_us);
		fflush(stdout);
	}
	return 0;
}
