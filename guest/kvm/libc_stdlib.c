#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/boot.h"
#include "guest/kvm/libc.h"
#include "guest/platform.h"

/* What <errno.h> makes of errno. Fibers share it; nothing here waits between setting and reading.
 */
int *__errno_location(void)
{
	static int number;

	return &number;
}

void libc_die(const char *what)
{
	platform_console(2, "guest: ", 7);
	platform_console(2, what, strlen(what));
	platform_console(2, "\n", 1);
	abort();
}

bool libc_aborted;

/* By way of a crash, for the backtrace. */
void abort(void)
{
	libc_aborted = true;
	for (;;)
		__asm__ volatile("ud2");
}

/* What the assert macro of <assert.h> calls. */
void __assert_fail(
	const char *expression, const char *file, unsigned int line, const char *function)
{
	(void)line;
	platform_console(2, file, strlen(file));
	platform_console(2, ": ", 2);
	platform_console(2, function, strlen(function));
	platform_console(2, ": assertion failed: ", 20);
	libc_die(expression);
}

void exit(int status)
{
	platform_exit(status);
}

char *getenv(const char *name)
{
	const struct boot_info *boot = platform_boot();
	const char *entry = (const char *)boot + boot->env_offset;
	size_t len = strlen(name);

	for (uint32_t i = 0; i < boot->envc; i++, entry += strlen(entry) + 1)
		if (strncmp(entry, name, len) == 0 && entry[len] == '=')
			return (char *)(uintptr_t)(entry + len + 1);
	return NULL;
}

static unsigned int digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	if (c >= 'a' && c <= 'z')
		return (unsigned int)(c - 'a') + 10;
	if (c >= 'A' && c <= 'Z')
		return (unsigned int)(c - 'A') + 10;
	return UINT_MAX;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Sign and magnitude of the number at the start of the text; *ret_over: it does not fit. */
static unsigned long parse(
	const char *text, char **ret_end, unsigned int base, bool *ret_negative, bool *ret_over)
{
	const char *at = text;
	unsigned long value = 0;

	while (is_space(*at))
		at++;
	*ret_negative = *at == '-';
	if (*at == '-' || *at == '+')
		at++;
	if ((base == 0 || base == 16) && at[0] == '0' && (at[1] | 0x20) == 'x' &&
		digit(at[2]) < 16) {
		at += 2;
		base = 16;
	}
	if (base == 0)
		base = *at == '0' ? 8 : 10;
	*ret_over = false;
	const char *first = at;
	for (; digit(*at) < base; at++)
		*ret_over |= __builtin_mul_overflow(value, base, &value) ||
			     __builtin_add_overflow(value, digit(*at), &value);
	if (ret_end)
		*ret_end = (char *)(uintptr_t)(at == first ? text : at);
	return value;
}

unsigned long strtoul(const char *restrict text, char **restrict ret_end, int base)
{
	bool negative, over;
	unsigned long value = parse(text, ret_end, (unsigned int)base, &negative, &over);

	if (over) {
		errno = ERANGE;
		return ULONG_MAX;
	}
	return negative ? -value : value;
}

long strtol(const char *restrict text, char **restrict ret_end, int base)
{
	bool negative, over;
	unsigned long value = parse(text, ret_end, (unsigned int)base, &negative, &over);

	if (over || value > (unsigned long)LONG_MAX + negative) {
		errno = ERANGE;
		return negative ? LONG_MIN : LONG_MAX;
	}
	return negative ? (long)-value : (long)value;
}

unsigned long long strtoull(const char *restrict text, char **restrict ret_end, int base)
{
	return strtoul(text, ret_end, base);
}

long long strtoll(const char *restrict text, char **restrict ret_end, int base)
{
	return strtol(text, ret_end, base);
}

int atoi(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static void swap(unsigned char *a, unsigned char *b, size_t size)
{
	while (size--) {
		unsigned char byte = a[size];

		a[size] = b[size];
		b[size] = byte;
	}
}

static void sift(unsigned char *base, size_t at, size_t count, size_t size,
	int (*compare)(const void *, const void *))
{
	for (size_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count &&
			compare(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (compare(base + at * size, base + child * size) >= 0)
			return;
		swap(base + at * size, base + child * size, size);
	}
}

/* Heap sort: no recursion on a fiber's small stack, no bad case. */
void qsort(void *area, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	unsigned char *base = area;

	for (size_t i = count / 2; i-- > 0;)
		sift(base, i, count, size, compare);
	for (size_t i = count; i-- > 1;) {
		swap(base, base + i * size, size);
		sift(base, 0, i, size, compare);
	}
}
