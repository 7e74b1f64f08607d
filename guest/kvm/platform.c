#include "guest/platform.h"

#include <string.h>

#include "control/boot.h"
#include "guest/kvm/clock.h"
#include "guest/kvm/kernel.h"
#include "guest/kvm/program.h"

static const struct boot_info *boot;
static uint64_t rate;        /* of the time stamp counter: clock.h */
static uint64_t timer_armed; /* TSC for which the timer is armed; 0: it has fired */

/* How the monitor knows that this is a guest, and for what it was linked. */
struct image_note {
	uint32_t name_len, desc_len, type;
	char name[sizeof(BOOT_NOTE_NAME)];
	struct boot_note desc;
};
__attribute__((section(".note.ferrule"), used)) static const struct image_note image_note = {
	.name_len = sizeof(BOOT_NOTE_NAME),
	.desc_len = sizeof(struct boot_note),
	.type = BOOT_NOTE_TYPE,
	.name = BOOT_NOTE_NAME,
	.desc = {BOOT_ABI_VERSION, BOOT_PLATFORM_KVM},
};
_Static_assert(sizeof(BOOT_NOTE_NAME) % 4 == 0, "the note's parts are padded to 4");

void program_entry(const struct boot_info *info)
{
	boot = info;
	if (boot->magic != BOOT_MAGIC || boot->abi_version != BOOT_ABI_VERSION)
		platform_exit(BOOT_STATUS_PANIC);
	rate = clock_rate(boot->tsc_hz);
	guest_start();
}

const struct boot_info *platform_boot(void)
{
	return boot;
}

/* An address that the monitor gave; the only place where one becomes a pointer. */
void *program_at(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

/* A boot page of an earlier monitor ends before these fields. */
const unsigned char *platform_bundle(size_t *ret_len)
{
	bool told = boot->args_offset >= sizeof(*boot) && boot->bundle_len > 0;

	*ret_len = told ? (size_t)boot->bundle_len : 0;
	return told ? program_at(boot->bundle) : NULL;
}

unsigned char *platform_arena(void)
{
	return program_at(boot->arena);
}

unsigned char *platform_ring(uint64_t offset, uint64_t capacity)
{
	if (offset < boot->rings_offset || offset > boot->arena_len ||
		capacity > boot->arena_len - offset)
		return NULL;
	return program_at(boot->ring_window + 2 * offset);
}

uint64_t platform_clock_ns(void)
{
	return clock_ns(__builtin_ia32_rdtsc() - boot->tsc_start, rate);
}

/* The counter at which the clock gets there; UINT64_MAX: never. */
static uint64_t tick_of(uint64_t ns)
{
	uint64_t tick;

	if (__builtin_add_overflow(boot->tsc_start, clock_ticks(ns, rate), &tick))
		return UINT64_MAX;
	return tick;
}

int64_t platform_wall_ns(void)
{
	return boot->wall_start_ns + (int64_t)platform_clock_ns();
}

/*
 * Arming the timer is a trapped register write, so a timer that is due no
 * later than this deadline is left as it is: it wakes early and is then armed
 * anew, which for deadlines that mostly move away costs less. Whether it is
 * still armed only the kernel can say: where the host keeps it by a clock of
 * its own, it may fire before the counter gets there.
 */
static bool wait_until(uint64_t due)
{
	uint64_t now = __builtin_ia32_rdtsc();

	if (due <= now)
		return false;
	if (timer_armed > now && timer_armed <= due)
		return kernel_wait();
	timer_armed = due;
	return kernel_wait_until(due);
}

void platform_wait(uint64_t deadline_ns)
{
	bool fired;

	if (deadline_ns == PLATFORM_NEVER)
		fired = kernel_wait();
	else
		fired = wait_until(tick_of(deadline_ns));
	if (fired)
		timer_armed = 0;
}

void platform_doorbell(void)
{
	*(volatile uint32_t *)program_at(boot->doorbell) = 1;
}

size_t platform_stack_count(void)
{
	return boot->stack_count;
}

void *platform_stack(size_t index, size_t *ret_len)
{
	if (index >= boot->stack_count)
		return NULL;
	/* The monitor maps the later ones beside the start. Acquire, paired with the release in
	 * vm_memory_map_rest: the page tables. */
	while (index >= __atomic_load_n(&boot->stacks_ready, __ATOMIC_ACQUIRE))
		platform_pause();
	*ret_len = boot->stack_stride - boot->stack_guard;
	return program_at(boot->stacks + index * boot->stack_stride + boot->stack_guard);
}

void platform_console(int fd, const char *text, size_t len)
{
	while (len) {
		size_t part = len < BOOT_PAGE ? len : BOOT_PAGE;

		memcpy(program_at(boot->console), text, part);
		kernel_out(fd == 2 ? BOOT_PORT_CONSOLE_ERR : BOOT_PORT_CONSOLE_OUT, (uint32_t)part);
		text += part;
		len -= part;
	}
}

void platform_exit(int status)
{
	for (;;)
		kernel_out(BOOT_PORT_EXIT, (uint32_t)status & 0xff);
}
