/* One trial per run, named by the first argument; a row of the table each. */
#include "tests/guests/vm_trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/boot.h"
#include "guest/kvm/kernel.h"
#include "guest/kvm/program.h"
#include "guest/platform.h"

#define HELD 99 /* exit status when what had to fail went through */

static const char *argument(uint32_t index)
{
	const struct boot_info *boot = platform_boot();
	const char *at = (const char *)boot + boot->args_offset;

	if (index >= boot->argc)
		return "";
	while (index--)
		at += strlen(at) + 1;
	return at;
}

static struct trial_words *words(void)
{
	return (void *)platform_arena();
}

static void poke(uintptr_t address)
{
	*(volatile int *)address = 1;
}

static int trial_exit(void)
{
	return atoi(argument(2));
}

static int trial_print(void)
{
	const struct boot_info *boot = platform_boot();

	printf("arguments %u, last %s, HOME=%s\n", boot->argc, argument(boot->argc - 1),
		getenv("HOME"));
	fprintf(stderr, "%s %5d|%-5d|%05d|%#x|%llu|%c|%.3s|%p\n", "to stderr", -42, 42, 42, 255,
		18446744073709551615ull, 'x', "abcdef", (void *)0x1000);
	return 0;
}

/* More than a console page, in one piece. */
static int trial_print_long(void)
{
	static char text[10000];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\n';
	platform_console(1, text, sizeof(text));
	return 0;
}

static int trial_null(void)
{
	poke(0);
	return HELD;
}

static int trial_divide(void)
{
	volatile int zero = 0;

	return 7 / zero;
}

static int descend(volatile char *above, int depth)
{
	volatile char here[512];

	here[0] = *above;
	if (depth < 0) /* never, but the compiler does not know */
		return 0;
	return descend(here, depth + 1) + here[1];
}

static int trial_overflow(void)
{
	volatile char top = 0;

	return descend(&top, 0);
}

/* The same on a fiber's stack. */
static int trial_fiber_overflow(void)
{
	size_t len;
	unsigned char *stack = platform_stack(3, &len);
	int result;

	__asm__ volatile(
		"mov %%rsp, %%rbx\n\tmov %1, %%rsp\n\tcall trial_descend\n\tmov %%rbx, %%rsp"
		: "=a"(result)
		: "r"(stack + len)
		: "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	return result;
}

int trial_descend(void);
__attribute__((used)) int trial_descend(void)
{
	return trial_overflow();
}

static int jump(void *where)
{
	((void (*)(void))(uintptr_t)where)();
	return HELD;
}

static int trial_jump_data(void)
{
	static unsigned char code[16] = {0xc3};

	return jump(code);
}

static int trial_jump_heap(void)
{
	unsigned char *code = malloc(16);

	code[0] = 0xc3;
	return jump(code);
}

static int trial_jump_wild(void)
{
	return jump((void *)0x123456789000);
}

static int trial_write_code(void)
{
	poke((uintptr_t)&trial_write_code);
	return HELD;
}

static int trial_write_constant(void)
{
	static const int constant = 1;

	poke((uintptr_t)&constant);
	return HELD;
}

static int trial_write_boot(void)
{
	poke((uintptr_t)platform_boot());
	return HELD;
}

static int trial_read_kernel(void)
{
	return *(volatile int *)0x100000 ? HELD : HELD;
}

static int trial_privileged(void)
{
	__asm__ volatile("cli; hlt");
	return HELD;
}

/* A chain of frames that begins where adding to an address wraps. */
static int trial_wild_frame(void)
{
	__asm__ volatile("mov $-16, %rbp\n\tud2");
	return 0;
}

static int trial_breakpoint(void)
{
	__asm__ volatile("int3" : : "D"(12345));
	return HELD;
}

/* A fault, and another one in its report, which can no longer find the boot info. */
static int trial_crash_twice(void)
{
	for (uintptr_t *word = (uintptr_t *)(void *)program_data_start;
		word + 1 <= (uintptr_t *)(void *)program_data_end; word++)
		if (*word == (uintptr_t)platform_boot())
			*word = 16;
	return trial_null();
}

static int trial_panic(void)
{
	kernel_out(BOOT_PORT_PANIC, 13);
	return HELD;
}

static int trial_unknown_length(void)
{
	kernel_out(BOOT_PORT_CONSOLE_OUT, 0xffffffff);
	return 0;
}

_Noreturn static int trial_loop(void)
{
	platform_doorbell();
	for (;;)
		platform_pause();
}

_Noreturn static int trial_sleep(void)
{
	platform_doorbell();
	for (;;)
		platform_wait(PLATFORM_NEVER);
}

/* Answers each number that is asked, with a random while between looking and waiting. */
static int trial_race(void)
{
	struct trial_words *w = words();
	uint64_t random = 88172645463325252ull, seen = 0, asked;

	platform_doorbell();
	while ((asked = w->asked) != TRIAL_DONE) {
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		for (uint64_t i = random % TRIAL_SPIN_MAX; i; i--)
			platform_pause();
		if (asked == seen) {
			platform_wait(PLATFORM_NEVER);
			continue;
		}
		seen = asked;
		w->answered = seen;
		platform_doorbell();
	}
	return 0;
}

static int trial_timer(void)
{
	for (int i = 1; i <= 20; i++) {
		uint64_t start = platform_clock_ns(), until = start + (uint64_t)i * 500000;

		while (platform_clock_ns() < until)
			platform_wait(until);
		if (platform_clock_ns() - until > 500000000)
			return 1;
	}
	return 0;
}

/* A deadline that is replaced by an earlier one must not be slept through. */
static int trial_timer_earlier(void)
{
	uint64_t start = platform_clock_ns();

	platform_doorbell(); /* the answer ends the long wait */
	platform_wait(start + 60000000000ull);
	for (uint64_t until = platform_clock_ns() + 1000000; platform_clock_ns() < until;)
		platform_wait(until);
	return platform_clock_ns() - start < 5000000000ull ? 0 : 1;
}

/*
 * The timer fires before the tick that the platform had armed it for, as where the host keeps it by
 * a clock that runs fast: armed anew behind the platform's back while an interrupt is pending.
 */
static int trial_timer_early(void)
{
	struct trial_words *w = words();
	const uint64_t tenth = platform_boot()->tsc_hz / 10;
	uint64_t until = platform_clock_ns() + 500000000;

	platform_doorbell();
	do
		platform_wait(until);
	while (w->asked < 1);
	w->answered = 1;
	platform_doorbell();
	while (w->asked < 2)
		platform_pause();
	kernel_wait_until(__builtin_ia32_rdtsc() + tenth);
	while (platform_clock_ns() < until)
		platform_wait(until);
	return 0;
}

static int trial_clock(void)
{
	printf("%lld %llu\n", (long long)platform_wall_ns(),
		(unsigned long long)platform_boot()->tsc_hz);
	return 0;
}

/* Fills every ring that the test makes while this runs, through its first half, and reads the
 * second. */
static int trial_rings(void)
{
	struct trial_words *w = words();
	uint64_t seen = 0, asked;

	platform_doorbell();
	while ((asked = w->asked) != TRIAL_DONE) {
		if (asked == seen) {
			platform_wait(PLATFORM_NEVER);
			continue;
		}
		seen = asked;
		uint64_t capacity = w->ring_capacity;
		uint64_t *ring = (void *)platform_ring(w->ring_offset, capacity);
		if (!ring)
			return 1;
		for (uint64_t i = 0; i < capacity / 8; i++)
			ring[i] = (i + seen) * TRIAL_PATTERN;
		for (uint64_t i = 0; i < capacity / 8; i++)
			if (ring[capacity / 8 + i] != (i + seen) * TRIAL_PATTERN)
				return 2;
		w->answered = seen;
		platform_doorbell();
	}
	return platform_ring(platform_boot()->arena_len, 4096) ? 3 : 0;
}

/* Beyond the rings that were mapped. */
static int trial_ring_unmapped(void)
{
	const struct boot_info *boot = platform_boot();

	poke(boot->ring_window + 2 * boot->arena_len - 8);
	return HELD;
}

static int trial_stacks(void)
{
	size_t count = platform_stack_count(), len;

	for (size_t i = 0; i < count; i++) {
		volatile unsigned char *stack = platform_stack(i, &len);

		stack[len - 1] = 1;
		if (i < 64 || i == count - 1)
			stack[0] = 1;
	}
	printf("%zu stacks of %zu bytes\n", count, len);
	return platform_stack(count, &len) ? 1 : 0;
}

#define BLOCKS 500
/* Random sizes taken, grown and given back in random order; no two share a byte. */
static int trial_malloc(void)
{
	static unsigned char *block[BLOCKS];
	static size_t len[BLOCKS];
	uint64_t random = 2463534242ull;

	for (int round = 0; round < 20000; round++) {
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		unsigned int i = (unsigned int)(random % BLOCKS);
		size_t want = (size_t)(random >> 20) % (random >> 60 ? 300 : 100000);
		for (size_t k = 0; k < len[i]; k++)
			if (block[i][k] != (unsigned char)i)
				return 1;
		if (random >> 63)
			block[i] = realloc(block[i], want);
		else {
			free(block[i]);
			block[i] = malloc(want);
		}
		if (!block[i] || (uintptr_t)block[i] % 16)
			return 2;
		memset(block[i], (int)i, len[i] = want);
	}
	for (int i = 0; i < BLOCKS; i++)
		free(block[i]);
	unsigned char *zero = calloc(100, 10);
	for (int i = 0; i < 1000; i++)
		if (zero[i])
			return 3;
	volatile size_t huge = SIZE_MAX / 2;
	return malloc(huge) || calloc(huge, 3) ? 4 : 0;
}

static int trial_double_free(void)
{
	void *block = malloc(10);

	free(block);
	free(block);
	return HELD;
}

static int trial_write_behind(void)
{
	char *block = malloc(10);

	memset(block, 0, 11);
	free(block);
	return HELD;
}

/* memcpy and memmove against a byte loop: lengths around every switch of method, all overlaps. */
static int trial_copy(void)
{
	static unsigned char from[6000], to[6000], want[6000];
	static const size_t edge[] = {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 100, 255,
		1023, 1024, 1025, 4096};

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (unsigned char)(i * 31 + i / 251);
	for (size_t e = 0; e < sizeof(edge) / sizeof(edge[0]); e++) {
		size_t len = edge[e];
		for (size_t shift = 0; shift < 70; shift++) {
			memset(to, 0xee, sizeof(to));
			memcpy(to + shift, from + 3, len);
			if (memcmp(to + shift, from + 3, len) || to[shift + len] != 0xee ||
				(shift && to[shift - 1] != 0xee))
				return 1;
			memcpy(to, from, sizeof(from));
			for (size_t k = 0; k < len; k++)
				want[k] = from[70 + k];
			memmove(to + shift, to + 70, len);
			if (memcmp(to + shift, want, len))
				return 2;
			memcpy(to, from, sizeof(from));
			for (size_t k = 0; k < len; k++)
				want[k] = from[k];
			memmove(to + shift, to, len);
			if (memcmp(to + shift, want, len))
				return 3;
		}
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} trials[] = {
	{"exit", trial_exit},
	{"print", trial_print},
	{"print_long", trial_print_long},
	{"null", trial_null},
	{"divide", trial_divide},
	{"overflow", trial_overflow},
	{"fiber_overflow", trial_fiber_overflow},
	{"jump_data", trial_jump_data},
	{"jump_heap", trial_jump_heap},
	{"jump_wild", trial_jump_wild},
	{"write_code", trial_write_code},
	{"write_constant", trial_write_constant},
	{"write_boot", trial_write_boot},
	{"read_kernel", trial_read_kernel},
	{"privileged", trial_privileged},
	{"breakpoint", trial_breakpoint},
	{"wild_frame", trial_wild_frame},
	{"crash_twice", trial_crash_twice},
	{"panic", trial_panic},
	{"unknown_length", trial_unknown_length},
	{"loop", trial_loop},
	{"sleep", trial_sleep},
	{"race", trial_race},
	{"timer", trial_timer},
	{"timer_earlier", trial_timer_earlier},
	{"timer_early", trial_timer_early},
	{"clock", trial_clock},
	{"rings", trial_rings},
	{"ring_unmapped", trial_ring_unmapped},
	{"stacks", trial_stacks},
	{"malloc", trial_malloc},
	{"double_free", trial_double_free},
	{"write_behind", trial_write_behind},
	{"copy", trial_copy},
};

void guest_start(void)
{
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++)
		if (strcmp(trials[i].name, argument(1)) == 0)
			platform_exit(trials[i].run());
	fprintf(stderr, "vm_trial: no trial '%s'\n", argument(1));
	platform_exit(2);
}
