#include "guest/stream/start.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/boot.h"
#include "guest/ferrule.h"
#include "guest/platform.h"
#include "guest/stream/control.h"
#include "guest/stream/fiber.h"
#include "guest/stream/scheduler.h"
#include "guest/stream/stream.h"

#define STATUS_REFUSED 2

/* The program's. A hosted guest's build renames it for this file: Linux's own entry is called main
 * there. */
int main(int argc, char **argv);

/* ---- the end */

static _Noreturn void print_and_exit(
	const char *prefix, const char *format, va_list list, int status)
{
	char line[256];
	int used = snprintf(line, sizeof(line) - 1, "%s", prefix);

	used += vsnprintf(line + used, sizeof(line) - 1 - (size_t)used, format, list);
	if (used > (int)sizeof(line) - 2)
		used = (int)sizeof(line) - 2;
	line[used++] = '\n';
	platform_console(2, line, (size_t)used);
	platform_exit(status);
}

_Noreturn void guest_panic(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	print_and_exit("guest panic: ", format, list, BOOT_STATUS_PANIC);
}

_Noreturn void guest_refuse(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	print_and_exit("guest: ", format, list, STATUS_REFUSED);
}

_Noreturn void guest_exit(int status)
{
	/* What was written lies in the rings. The monitor delivers it and ends the streams, as it
	 * does when a guest dies (PROTOCOL.md section 3.5). */
	scheduler_exit(status);
}

/* ---- the beginning */

/* Pointers to 'count' strings that lie one behind the other, and a NULL. */
static char **string_vector(uint32_t offset, uint32_t count)
{
	const struct boot_info *boot = platform_boot();
	char *string = (char *)(uintptr_t)boot + offset;
	char **vector = calloc((size_t)count + 1, sizeof(char *));

	if (!vector)
		guest_panic("no memory for %u arguments", count);
	for (uint32_t i = 0; i < count; i++) {
		/* A copy: main may write to it, and the boot information is read-only. */
		size_t len = strlen(string) + 1;

		vector[i] = malloc(len);
		if (!vector[i])
			guest_panic("no memory for %u arguments", count);
		memcpy(vector[i], string, len);
		string += len;
	}
	return vector;
}

static void first_fiber(void *argument)
{
	const struct boot_info *boot = platform_boot();
	static char **argv; /* found by a leak checker */

	(void)argument;
	control_start();
	argv = string_vector(boot->args_offset, boot->argc);
	guest_exit(main((int)boot->argc, argv));
}

_Noreturn void guest_start(void)
{
	if (fiber_spawn(first_fiber, NULL))
		guest_panic("no stack for the first fiber");
	scheduler_run();
}

uint64_t guest_heap_len(void)
{
	return platform_boot()->heap_len;
}

/* ---- time */

uint64_t clock_now(void)
{
	return platform_clock_ns();
}

int64_t clock_wall(void)
{
	return platform_wall_ns();
}

deadline in_milliseconds(uint64_t ms)
{
	uint64_t now = platform_clock_ns(), span;

	if (__builtin_mul_overflow(ms, 1000000u, &span) || __builtin_add_overflow(now, span, &span))
		return FOREVER;
	return span;
}
