/*
 * stdout and stderr are the console: unbuffered, each call one console call
 * (two exits to the monitor), meant for messages and not for data.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/kvm/libc.h"
#include "guest/platform.h"

#define LINE_MAX_LEN 1024 /* longer output of one printf is cut and ends in "..." */

/* A FILE here is its address only. */
static char stdin_place, stdout_place, stderr_place;
FILE *stdin = (FILE *)(void *)&stdin_place;
FILE *stdout = (FILE *)(void *)&stdout_place;
FILE *stderr = (FILE *)(void *)&stderr_place;

static int file_fd(FILE *file)
{
	return file == stderr ? 2 : 1;
}

int vfprintf(FILE *restrict file, const char *restrict format, va_list list)
{
	char line[LINE_MAX_LEN];
	int len = vsnprintf(line, sizeof(line), format, list);

	if (len >= (int)sizeof(line)) {
		len = sizeof(line) - 1;
		memcpy(line + len - 4, "...\n", 4);
	}
	platform_console(file_fd(file), line, (size_t)len);
	return len;
}

int fprintf(FILE *restrict file, const char *restrict format, ...)
{
	va_list list;

	va_start(list, format);
	int len = vfprintf(file, format, list);
	va_end(list);
	return len;
}

int vprintf(const char *restrict format, va_list list)
{
	return vfprintf(stdout, format, list);
}

int printf(const char *restrict format, ...)
{
	va_list list;

	va_start(list, format);
	int len = vfprintf(stdout, format, list);
	va_end(list);
	return len;
}

size_t fwrite(const void *restrict bytes, size_t size, size_t count, FILE *restrict file)
{
	platform_console(file_fd(file), bytes, size * count);
	return count;
}

int fputs(const char *restrict text, FILE *restrict file)
{
	platform_console(file_fd(file), text, strlen(text));
	return 1;
}

int puts(const char *text)
{
	return printf("%s\n", text);
}

int fputc(int c, FILE *file)
{
	char byte = (char)c;

	platform_console(file_fd(file), &byte, 1);
	return (unsigned char)c;
}

#undef putc
int putc(int c, FILE *file)
{
	return fputc(c, file);
}

#undef putchar
int putchar(int c)
{
	return fputc(c, stdout);
}

int fflush(FILE *file)
{
	(void)file;
	return 0;
}
