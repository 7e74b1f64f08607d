/*
 * printf and its family: integers, strings, characters and pointers with
 * flags, width and precision, as C11 says. No floating point (%f prints as it
 * stands) and no %n.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Where the text goes: as much as fits, with the length counted to the end. */
struct sink {
	char *to;
	size_t room;
	size_t len;
};

struct spec {
	bool left, plus, space, alternate, zero;
	int width;
	int precision; /* -1: none */
	char length;   /* 'l' for l, ll, j, z, t; 'h' for h; 'H' for hh; 0 */
};

static void put(struct sink *sink, const char *text, size_t len)
{
	if (sink->len < sink->room) {
		size_t fits = sink->room - sink->len;

		memcpy(sink->to + sink->len, text, len < fits ? len : fits);
	}
	sink->len += len;
}

static void pad(struct sink *sink, char with, int count)
{
	for (; count > 0; count--)
		put(sink, &with, 1);
}

/* prefix (sign, 0x) and digits, padded to the width; 'zeros' come between the two. */
static void put_field(struct sink *sink, const struct spec *spec, const char *prefix, int zeros,
	const char *text, size_t len)
{
	int prefix_len = (int)strlen(prefix);
	int blank = spec->width - prefix_len - zeros - (int)len;

	if (!spec->left)
		pad(sink, ' ', blank);
	put(sink, prefix, (size_t)prefix_len);
	pad(sink, '0', zeros);
	put(sink, text, len);
	if (spec->left)
		pad(sink, ' ', blank);
}

static void put_number(struct sink *sink, const struct spec *spec, uint64_t value,
	unsigned int base, bool upper, const char *prefix)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[24]; /* 2^64 in octal has 22 digits */
	char *at = text + sizeof(text);
	int zeros = 0;

	for (uint64_t rest = value; rest; rest /= base)
		*--at = digits[rest % base];
	int len = (int)(text + sizeof(text) - at);
	int least = spec->precision < 0 ? 1 : spec->precision;
	if (spec->alternate && base == 8 && least <= len)
		least = len + 1;
	if (spec->zero && !spec->left && spec->precision < 0)
		least = spec->width - (int)strlen(prefix);
	if (least < 1 && spec->precision < 0)
		least = 1;
	if (least > len)
		zeros = least - len;
	put_field(sink, spec, prefix, zeros, at, (size_t)len);
}

static int64_t take_signed(const struct spec *spec, va_list *list)
{
	if (spec->length == 'l')
		return va_arg(*list, int64_t);
	int value = va_arg(*list, int);
	return spec->length == 'h'   ? (short)value
	       : spec->length == 'H' ? (signed char)value
				     : value;
}

static uint64_t take_unsigned(const struct spec *spec, va_list *list)
{
	if (spec->length == 'l')
		return va_arg(*list, uint64_t);
	unsigned int value = va_arg(*list, unsigned int);
	return spec->length == 'h'   ? (unsigned short)value
	       : spec->length == 'H' ? (unsigned char)value
				     : value;
}

static void put_signed(struct sink *sink, const struct spec *spec, va_list *list)
{
	int64_t value = take_signed(spec, list);
	const char *sign = value < 0 ? "-" : spec->plus ? "+" : spec->space ? " " : "";

	put_number(sink, spec, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, false, sign);
}

static void put_hex(struct sink *sink, const struct spec *spec, va_list *list, bool upper)
{
	uint64_t value = take_unsigned(spec, list);

	put_number(sink, spec, value, 16, upper,
		!spec->alternate || !value ? ""
		: upper                    ? "0X"
					   : "0x");
}

static void put_string(struct sink *sink, const struct spec *spec, va_list *list)
{
	const char *text = va_arg(*list, const char *);

	if (!text)
		text = "(null)";
	put_field(sink, spec, "", 0, text,
		spec->precision < 0 ? strlen(text) : strnlen(text, (size_t)spec->precision));
}

static void put_char(struct sink *sink, const struct spec *spec, va_list *list)
{
	char c = (char)va_arg(*list, int);

	put_field(sink, spec, "", 0, &c, 1);
}

static void put_pointer(struct sink *sink, const struct spec *spec, va_list *list)
{
	put_number(sink, spec, (uintptr_t)va_arg(*list, void *), 16, false, "0x");
}

static int take_count(const char **format, va_list *list)
{
	int count = 0;

	if (**format == '*') {
		(*format)++;
		return va_arg(*list, int);
	}
	for (; **format >= '0' && **format <= '9'; (*format)++)
		if (count < INT_MAX / 10 - 1)
			count = count * 10 + (**format - '0');
	return count;
}

static void take_flags(struct spec *spec, const char **format)
{
	for (;; (*format)++) {
		switch (**format) {
		case '-':
			spec->left = true;
			break;
		case '+':
			spec->plus = true;
			break;
		case ' ':
			spec->space = true;
			break;
		case '#':
			spec->alternate = true;
			break;
		case '0':
			spec->zero = true;
			break;
		default:
			return;
		}
	}
}

static void take_length(struct spec *spec, const char **format)
{
	for (;; (*format)++) {
		if (**format == 'h')
			spec->length = spec->length == 'h' ? 'H' : 'h';
		else if (**format && strchr("lqjzt", **format))
			spec->length = 'l';
		else
			return;
	}
}

static struct spec take_spec(const char **format, va_list *list)
{
	struct spec spec = {.precision = -1};

	take_flags(&spec, format);
	spec.width = take_count(format, list);
	if (spec.width < 0) {
		spec.left = true;
		spec.width = -spec.width;
	}
	if (**format == '.') {
		(*format)++;
		spec.precision = take_count(format, list);
	}
	take_length(&spec, format);
	return spec;
}

/* One conversion; false: not one that is known. */
static bool convert(struct sink *sink, const struct spec *spec, char conversion, va_list *list)
{
	switch (conversion) {
	case 'd':
	case 'i':
		put_signed(sink, spec, list);
		return true;
	case 'u':
		put_number(sink, spec, take_unsigned(spec, list), 10, false, "");
		return true;
	case 'o':
		put_number(sink, spec, take_unsigned(spec, list), 8, false, "");
		return true;
	case 'x':
	case 'X':
		put_hex(sink, spec, list, conversion == 'X');
		return true;
	case 's':
		put_string(sink, spec, list);
		return true;
	case 'c':
		put_char(sink, spec, list);
		return true;
	case 'p':
		put_pointer(sink, spec, list);
		return true;
	case '%':
		put(sink, "%", 1);
		return true;
	default:
		return false;
	}
}

int vsnprintf(char *restrict to, size_t room, const char *restrict template, va_list list)
{
	const char *format = template;
	struct sink sink = {.to = to, .room = room ? room - 1 : 0};
	va_list args;

	va_copy(args, list);
	while (*format) {
		size_t plain = strcspn(format, "%");
		const char *percent = format + plain;

		put(&sink, format, plain);
		format = percent;
		if (!*format)
			break;
		format++;
		struct spec spec = take_spec(&format, &args);
		if (!convert(&sink, &spec, *format, &args))
			put(&sink, percent, (size_t)(format - percent) + (*format != 0));
		if (*format)
			format++;
	}
	va_end(args);
	if (room)
		to[sink.len < room ? sink.len : room - 1] = 0;
	return (int)sink.len;
}

int snprintf(char *restrict to, size_t room, const char *restrict format, ...)
{
	va_list list;

	va_start(list, format);
	int len = vsnprintf(to, room, format, list);
	va_end(list);
	return len;
}
