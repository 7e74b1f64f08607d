/*
 * hold_vm: a virtual machine that exists as long as the calling process.
 *
 * The first virtual machine and the last, and the first and last local APIC that is switched off by software
 * (as each is before its guest has switched it on), make Linux patch its own code: the static keys
 * preempt_notifier_key, apic_sw_disabled and their like. On an emulated host with two CPUs (QEMU 7.2's TCG)
 * one of them was seen to stay at the patched place for good, in __apic_accept_irq below an
 * eventfd_write, its kernel reporting RCU stalls of it, and from then on no other guest started
 * either. With a virtual machine whose APIC stays off all the time nothing is patched.
 */
#ifndef FERRULE_TESTS_LIB_HOLD_VM_H
#define FERRULE_TESTS_LIB_HOLD_VM_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* 0 or a negative errno. */
static inline int hold_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

	if (vm >= 0 && ioctl(vm, KVM_CREATE_IRQCHIP, 0) == 0 && ioctl(vm, KVM_CREATE_VCPU, 0) >= 0)
		return 0;
	int error = errno;
	if (vm >= 0)
		close(vm);
	if (kvm >= 0)
		close(kvm);
	return -error;
}

#endif
