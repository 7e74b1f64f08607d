/*
 * The platform of a hosted guest: a Linux process that the monitor starts with
 * four descriptors (control/boot.h) and that maps the same pipes a guest under
 * KVM has. Doorbells are eventfds. The program's own main is called by
 * guest_start; the linker gives Linux this file's entry instead (--wrap=main).
 *
 * guest/hosted/ may include guest/ and control/ and uses Linux and its C
 * library freely.
 */
#define _GNU_SOURCE
#include "guest/platform.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/boot.h"
#include "guest/crash.h"
#include "guest/hosted/crash.h"
#include "guest/hosted/leak.h"

#ifdef __SANITIZE_THREAD__
/* By default each process waits a second before it exits. A guest has no TSAN_OPTIONS of its own.
 */
__attribute__((weak)) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "atexit_sleep_ms=0";
}
#endif

#define NS_PER_S 1000000000ull
#define STACK_LEN                                                                                  \
	(256u << 10) /* bytes; generous, for the sanitizers. Untouched pages cost nothing */
#define STACK_GUARD    (64u << 10) /* more than a function of a library built without probes skips */
#define STACK_STRIDE   (STACK_LEN + STACK_GUARD)
#define STACK_COUNT    16384u /* when the monitor does not say */
#define STATUS_REFUSED 2

static const struct boot_info *boot;
static unsigned char *arena;       /* up to boot->rings_offset */
static unsigned char *ring_window; /* 2 * arena_len bytes of address space */
static unsigned char *ring_mapped; /* by page of the arena: a ring begins there and is mapped */
static unsigned char *stacks;

/* How the monitor knows that this is a guest, and for what it was linked. */
struct image_note {
	uint32_t name_len, desc_len, type;
	char name[sizeof(BOOT_NOTE_NAME)];
	struct boot_note desc;
};
__attribute__((
	section(".note.ferrule"), used, aligned(4))) static const struct image_note image_note = {
	.name_len = sizeof(BOOT_NOTE_NAME),
	.desc_len = sizeof(struct boot_note),
	.type = BOOT_NOTE_TYPE,
	.name = BOOT_NOTE_NAME,
	.desc = {BOOT_ABI_VERSION, BOOT_PLATFORM_PROCESS},
};
_Static_assert(sizeof(BOOT_NOTE_NAME) % 4 == 0, "the note's parts are padded to 4");

/* ---- the entry */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
	exit(STATUS_REFUSED);
}

static _Noreturn void die_without_monitor(const char *name)
{
	fprintf(stderr,
		"%s: this is a Ferrule guest and needs its monitor: run it with `ferrule run "
		"[options] %s [arguments]`\n",
		name, name);
	exit(STATUS_REFUSED);
}

/* NULL when the descriptor is not the monitor's. */
static const struct boot_info *map_boot(void)
{
	struct stat status;
	struct boot_info *info;

	if (fstat(BOOT_FD, &status) || status.st_size < (off_t)offsetof(struct boot_info, bundle))
		return NULL;
	info = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, BOOT_FD, 0);
	if (info == MAP_FAILED)
		return NULL;
	if (info->magic != BOOT_MAGIC || info->abi_version != BOOT_ABI_VERSION ||
		info->length > status.st_size)
		return NULL;
	return info;
}

static void *reserve(size_t len)
{
	void *area = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		die("cannot reserve address space");
	return area;
}

static void map_arena(void)
{
	arena = mmap(
		NULL, boot->rings_offset, PROT_READ | PROT_WRITE, MAP_SHARED, BOOT_FD_ARENA, 0);
	if (arena == MAP_FAILED)
		die("cannot map the arena");
	ring_window = reserve(2 * boot->arena_len);
	ring_mapped = calloc(boot->arena_len / BOOT_PAGE, 1);
	if (!ring_mapped)
		die("cannot keep account of the rings");
}

/* A program sees the environment that the monitor gives it, not the monitor's own. */
static void take_environment(void)
{
	const char *string = (const char *)boot + boot->env_offset;

	clearenv();
	for (uint32_t i = 0; i < boot->envc; i++) {
		const char *equals = strchr(string, '=');
		char *name = equals ? strndup(string, (size_t)(equals - string)) : NULL;

		if (name && *name)
			setenv(name, equals + 1, 1);
		free(name);
		string += strlen(string) + 1;
	}
}

/* Did it end, or is it a zombie by now? */
static bool has_ended(pid_t pid)
{
	char path[32], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
			state = '?';
		fclose(file);
	}
	return state == 'Z' || (kill(pid, 0) && errno == ESRCH);
}

/*
 * The monitor's child ends with the monitor. Below a command that forks (--wrap) this process is
 * not that child but one of its group: it ends with its parent. What came before the first line, a
 * look at the leader tells.
 */
static void end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getpgrp() != getpid() && has_ended(getpgrp()))
		raise(SIGKILL);
}

int __wrap_main(int argc, char **argv);
int __wrap_main(int argc, char **argv)
{
	boot = map_boot();
	if (!boot)
		die_without_monitor(argc > 0 ? argv[0] : "guest");
	end_with_parent();
	signal(SIGPIPE, SIG_IGN); /* who reads the console may go away: nothing to a guest */
	setvbuf(stdout, NULL, _IOLBF, 0); /* a console, as under KVM, also where it is a pipe */
	map_arena();
	stacks = reserve(platform_stack_count() * STACK_STRIDE);
	leak_register(stacks, platform_stack_count() * STACK_STRIDE);
	take_environment();
	crash_install();
	guest_start();
}

/* ---- platform.h */

const struct boot_info *platform_boot(void)
{
	return boot;
}

const unsigned char *platform_bundle(size_t *ret_len)
{
	size_t len = boot->args_offset >= sizeof(*boot) ? (size_t)boot->bundle_len : 0;
	void *bundle =
		len ? mmap(NULL, len, PROT_READ, MAP_PRIVATE, BOOT_FD_BUNDLE, 0) : MAP_FAILED;

	*ret_len = bundle == MAP_FAILED ? 0 : len;
	return bundle == MAP_FAILED ? NULL : bundle;
}

unsigned char *platform_arena(void)
{
	return arena;
}

static bool map_once(unsigned char *at, uint64_t offset, uint64_t capacity)
{
	return mmap(at, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, BOOT_FD_ARENA,
		       (off_t)offset) == at;
}

/* A ring keeps its place and size for the life of the guest, so what was mapped once stays. */
unsigned char *platform_ring(uint64_t offset, uint64_t capacity)
{
	unsigned char *at;

	if (offset < boot->rings_offset || offset > boot->arena_len ||
		capacity > boot->arena_len - offset)
		return NULL;
	at = ring_window + 2 * offset;
	if (ring_mapped[offset / BOOT_PAGE])
		return at;
	if (!map_once(at, offset, capacity) || !map_once(at + capacity, offset, capacity))
		return NULL;
	ring_mapped[offset / BOOT_PAGE] = 1;
	return at;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t platform_clock_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t platform_wall_ns(void)
{
	return (int64_t)clock_ns(CLOCK_REALTIME);
}

/* The eventfd counts the rings since the last read, so one that came before the poll ends it at
 * once. */
void platform_wait(uint64_t deadline_ns)
{
	struct pollfd poll_fd = {.fd = BOOT_FD_INTERRUPT, .events = POLLIN};
	struct timespec left, *timeout = NULL;
	uint64_t count;

	if (deadline_ns != PLATFORM_NEVER) {
		uint64_t now = platform_clock_ns(), ns = deadline_ns > now ? deadline_ns - now : 0;

		left = (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
		timeout = &left;
	}
	if (ppoll(&poll_fd, 1, timeout, NULL) <= 0)
		return;
	if (read(BOOT_FD_INTERRUPT, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		die("the monitor's doorbell cannot be read");
}

void platform_doorbell(void)
{
	uint64_t one = 1;

	/* EAGAIN: the count is at its limit, so the monitor is as awake as it can be. */
	if (write(BOOT_FD_DOORBELL, &one, sizeof(one)) < 0 && errno != EAGAIN && errno != EINTR)
		die("the monitor's doorbell cannot be rung");
}

size_t platform_stack_count(void)
{
	return boot->stack_count ? boot->stack_count : STACK_COUNT;
}

void *platform_stack(size_t index, size_t *ret_len)
{
	unsigned char *low = stacks + index * STACK_STRIDE + STACK_GUARD;

	if (index >= platform_stack_count() || mprotect(low, STACK_LEN, PROT_READ | PROT_WRITE))
		return NULL;
	*ret_len = STACK_LEN;
	return low;
}

bool crash_find_stack(uint64_t address, struct crash_stack *ret_stack)
{
	uint64_t base = (uintptr_t)stacks, offset = address - base;
	uint64_t index = offset / STACK_STRIDE;

	if (address < base || index >= platform_stack_count())
		return false;
	base += index * STACK_STRIDE;
	*ret_stack =
		(struct crash_stack){base, base + STACK_GUARD, base + STACK_STRIDE, (int64_t)index};
	return true;
}

void platform_console(int fd, const char *text, size_t len)
{
	fflush(stdout);
	while (len > 0) {
		ssize_t written = write(fd, text, len);

		if (written < 0 && errno != EINTR)
			return;
		if (written > 0) {
			text += written;
			len -= (size_t)written;
		}
	}
}

_Noreturn void platform_exit(int status)
{
	exit(status & 0xff);
}
