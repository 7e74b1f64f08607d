#include "guest/platform.h"

#include <string.h>

#include "control/boot.h"
#include "guest/kvm/kernel.h"
#include "guest/kvm/program.h"

#define NS_PER_S   1000000000ull
#define SCALE_BITS 30 /* either rate, so scaled, fits 64 bits up to 16 GHz */

static const struct boot_info *boot;
static uint64_t ns_per_tick; /* fixed point, SCALE_BITS */
static uint64_t ticks_per_ns;
static uint64_t timer_armed; /* TSC for which the timer was armed last */

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

static uint64_t scale(uint64_t value, uint64_t factor)
{
	return (uint64_t)((unsigned __int128)value * factor >> SCALE_BITS);
}

void program_entry(const struct boot_info *info)
{
	boot = info;
	if (boot->magic != BOOT_MAGIC || boot->abi_version != BOOT_ABI_VERSION)
		platform_exit(BOOT_STATUS_PANIC);
	ns_per_tick = (NS_PER_S << SCALE_BITS) / boot->tsc_hz;
	ticks_per_ns = (boot->tsc_hz << SCALE_BITS) / NS_PER_S;
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
	return scale(__builtin_ia32_rdtsc() - boot->tsc_start, ns_per_tick);
}

int64_t platform_wall_ns(void)
{
	return boot->wall_start_ns + (int64_t)platform_clock_ns();
}

/*
 * Arming the timer is a trapped register write, so a timer that is due no
 * later than this deadline is left as it is: it wakes early and is then armed
 * anew, which for deadlines that mostly move away costs less.
 */
void platform_wait(uint64_t deadline_ns)
{
	if (deadline_ns == PLATFORM_NEVER) {
		kernel_wait();
		return;
	}
	uint64_t now = __builtin_ia32_rdtsc();
	uint64_t due = boot->tsc_start + scale(deadline_ns, ticks_per_ns) + 1;
	if (due <= now)
		return;
	if (timer_armed > now && timer_armed <= due) {
		kernel_wait();
		return;
	}
	timer_armed = due;
	kernel_wait_until(due);
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
