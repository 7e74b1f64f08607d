/*
 * The C library's strings and memory, as far as guest programs need them.
 *
 * Copies matter, since a stream that is not zero-copy copies each byte: short
 * ones are done with overlapping words, middling ones in 16-byte pieces and
 * long ones with `rep movsb`, which runs at memory speed at CPL 3.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define REP_MIN 1024 /* bytes from which on starting up `rep` pays */

typedef long long vec16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t word8 __attribute__((aligned(1), may_alias));
typedef uint32_t word4 __attribute__((aligned(1), may_alias));
typedef uint16_t word2 __attribute__((aligned(1), may_alias));

/* Both ends are loaded before either is stored, so this is right for overlapping areas too. */
#define COPY_ENDS(type, to, from, len)                                                             \
	do {                                                                                       \
		type head_ = *(const type *)(from);                                                \
		type tail_ = *(const type *)((from) + (len) - sizeof(type));                       \
		*(type *)(to) = head_;                                                             \
		*(type *)((to) + (len) - sizeof(type)) = tail_;                                    \
	} while (0)

static void copy_to_16(unsigned char *to, const unsigned char *from, size_t len)
{
	if (len >= 8)
		COPY_ENDS(word8, to, from, len);
	else if (len >= 4)
		COPY_ENDS(word4, to, from, len);
	else if (len >= 2)
		COPY_ENDS(word2, to, from, len);
	else if (len)
		*to = *from;
}

static void copy_up(unsigned char *to, const unsigned char *from, size_t len)
{
	vec16 tail = *(const vec16 *)(from + len - 16);
	unsigned char *end = to + len - 16;

	for (; to < end; to += 16, from += 16)
		*(vec16 *)to = *(const vec16 *)from;
	*(vec16 *)end = tail;
}

static void copy_down(unsigned char *to, const unsigned char *from, size_t len)
{
	vec16 head = *(const vec16 *)from;

	for (; len > 16; len -= 16)
		*(vec16 *)(to + len - 16) = *(const vec16 *)(from + len - 16);
	*(vec16 *)to = head;
}

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	if (len <= 16) {
		copy_to_16(to, from, len);
	} else if (len < REP_MIN) {
		copy_up(to, from, len);
	} else {
		void *d = to;

		__asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(len) : : "memory");
	}
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	if (len <= 16)
		copy_to_16(to, from, len);
	else if ((uintptr_t)to - (uintptr_t)from >= len)
		memcpy(to, from, len); /* to is not within [from, from + len): upwards is right */
	else
		copy_down(to, from, len);
	return to;
}

void *memset(void *to, int byte, size_t len)
{
	void *d = to;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(len) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;

	while (len >= 8 && *(const word8 *)x == *(const word8 *)y)
		x += 8, y += 8, len -= 8;
	for (; len; x++, y++, len--)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memchr(const void *area, int byte, size_t len)
{
	const unsigned char *p = area;

	for (; len; p++, len--)
		if (*p == (unsigned char)byte)
			return (void *)(uintptr_t)p;
	return NULL;
}

void *memrchr(const void *area, int byte, size_t len)
{
	const unsigned char *p = area;

	while (len--)
		if (p[len] == (unsigned char)byte)
			return (void *)(uintptr_t)(p + len);
	return NULL;
}

void *memmem(const void *area, size_t len, const void *what, size_t what_len)
{
	const unsigned char *p = area;

	for (; len >= what_len; p++, len--)
		if (memcmp(p, what, what_len) == 0)
			return (void *)(uintptr_t)p;
	return NULL;
}

size_t strlen(const char *s)
{
	size_t len = 0;

	while (s[len])
		len++;
	return len;
}

size_t strnlen(const char *s, size_t max)
{
	size_t len = 0;

	while (len < max && s[len])
		len++;
	return len;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t len)
{
	for (; len; a++, b++, len--)
		if (*a != *b || !*a)
			return (unsigned char)*a - (unsigned char)*b;
	return 0;
}

static int lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

int strcasecmp(const char *a, const char *b)
{
	while (*a && lower((unsigned char)*a) == lower((unsigned char)*b))
		a++, b++;
	return lower((unsigned char)*a) - lower((unsigned char)*b);
}

int strncasecmp(const char *a, const char *b, size_t len)
{
	for (; len; a++, b++, len--) {
		int difference = lower((unsigned char)*a) - lower((unsigned char)*b);

		if (difference || !*a)
			return difference;
	}
	return 0;
}

char *strchr(const char *s, int byte)
{
	for (;; s++) {
		if (*s == (char)byte)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int byte)
{
	return memrchr(s, byte, strlen(s) + 1);
}

char *strstr(const char *s, const char *what)
{
	return memmem(s, strlen(s), what, strlen(what));
}

size_t strspn(const char *s, const char *set)
{
	size_t len = 0;

	while (s[len] && strchr(set, s[len]))
		len++;
	return len;
}

size_t strcspn(const char *s, const char *set)
{
	size_t len = 0;

	while (s[len] && !strchr(set, s[len]))
		len++;
	return len;
}

char *strcpy(char *restrict to, const char *restrict from)
{
	return memcpy(to, from, strlen(from) + 1);
}

char *strncpy(char *restrict to, const char *restrict from, size_t len)
{
	size_t used = strnlen(from, len);

	memcpy(to, from, used);
	memset(to + used, 0, len - used);
	return to;
}

char *strcat(char *restrict to, const char *restrict from)
{
	strcpy(to + strlen(to), from);
	return to;
}
