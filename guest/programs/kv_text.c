#include "guest/programs/kv_text.h"

#include <stdio.h>
#include <string.h>

/* ---- numbers */

bool kv_parse_number(const struct kv_bytes *bytes, int64_t *ret_number)
{
	const unsigned char *at = bytes->data, *end;
	bool negative;
	uint64_t number = 0, most;

	if (!at || bytes->len == 0 || bytes->len >= KV_NUMBER_LEN)
		return false;
	end = at + bytes->len;
	negative = *at == '-';
	at += negative;
	most = (uint64_t)INT64_MAX + negative;
	if (at == end || (*at == '0' && bytes->len > 1))
		return false;
	for (; at < end; at++) {
		unsigned digit = *at - (unsigned)'0';

		if (digit > 9 || number > (most - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = negative ? (int64_t)(0 - number) : (int64_t)number;
	return true;
}

static const struct {
	const char *name;
	uint64_t bytes;
} units[] = {
	{"", 1},
	{"b", 1},
	{"k", 1000},
	{"kb", 1u << 10},
	{"m", 1000000},
	{"mb", 1u << 20},
	{"g", 1000000000},
	{"gb", 1u << 30},
};

bool kv_parse_memory(const struct kv_bytes *bytes, uint64_t *ret_len)
{
	struct kv_bytes digits = *bytes, unit = *bytes;
	int64_t number;

	for (digits.len = 0; bytes->data && digits.len < bytes->len; digits.len++)
		if (bytes->data[digits.len] < '0' || bytes->data[digits.len] > '9')
			break;
	if (!kv_parse_number(&digits, &number))
		return false;
	unit.data += digits.len;
	unit.len -= digits.len;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (kv_is(&unit, units[i].name))
			return !__builtin_mul_overflow((uint64_t)number, units[i].bytes, ret_len);
	return false;
}

size_t kv_format_number(int64_t number, char ret_text[KV_NUMBER_LEN])
{
	char digits[KV_NUMBER_LEN], *end = digits + sizeof(digits), *at = end;
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	size_t len;

	*--at = 0;
	do
		*--at = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (number < 0)
		*--at = '-';
	len = (size_t)(end - at);
	memcpy(ret_text, at, len);
	return len - 1;
}

char *kv_format_memory(uint64_t len, char ret_text[KV_NUMBER_LEN])
{
	static const char names[] = "BKMGT";
	unsigned unit = 0;
	uint64_t hundredths = len * 100;

	while (hundredths >= 102400 && unit + 2 < sizeof(names)) {
		hundredths /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(ret_text, KV_NUMBER_LEN, "%uB", (unsigned)len);
	else
		snprintf(ret_text, KV_NUMBER_LEN, "%u.%02u%c", (unsigned)(hundredths / 100),
			(unsigned)(hundredths % 100), names[unit]);
	return ret_text;
}

/* ---- names */

static unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool kv_is(const struct kv_bytes *bytes, const char *lower_case)
{
	size_t len = strlen(lower_case);

	if (!bytes->data || bytes->len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (lower(bytes->data[i]) != (unsigned char)lower_case[i])
			return false;
	return true;
}

/* ---- patterns */

struct pattern {
	const unsigned char *at, *end;
	bool ignore_case;
};

static unsigned char fold(const struct pattern *pattern, unsigned char c)
{
	return pattern->ignore_case ? lower(c) : c;
}

/* What stands at pattern->at for itself, '\' taken off. */
static unsigned char literal(struct pattern *pattern)
{
	if (*pattern->at == '\\' && pattern->end - pattern->at >= 2)
		pattern->at++;
	return fold(pattern, *pattern->at++);
}

/* A class in brackets, behind the first of them; one that does not end has its last character in
 * it. */
static bool matches_class(struct pattern *pattern, unsigned char c)
{
	bool negated = pattern->at < pattern->end && *pattern->at == '^', found = false;

	pattern->at += negated;
	while (pattern->at < pattern->end && *pattern->at != ']') {
		bool escaped = *pattern->at == '\\';
		unsigned char first = literal(pattern), last = first;

		if (!escaped && pattern->end - pattern->at >= 2 && *pattern->at == '-') {
			last = fold(pattern, pattern->at[1]);
			pattern->at += 2;
		}
		if ((c >= first && c <= last) || (c >= last && c <= first))
			found = true;
	}
	pattern->at += pattern->at < pattern->end;
	return found != negated;
}

/* One character of the text against one element that is no '*'; goes behind the element. */
static bool matches_one(struct pattern *pattern, unsigned char c)
{
	if (pattern->at == pattern->end)
		return false;
	if (*pattern->at == '?') {
		pattern->at++;
		return true;
	}
	if (*pattern->at == '[') {
		pattern->at++;
		return matches_class(pattern, fold(pattern, c));
	}
	return literal(pattern) == fold(pattern, c);
}

bool kv_glob(const struct kv_bytes *bytes, const unsigned char *text, size_t len, bool ignore_case)
{
	struct pattern pattern = {bytes->data, bytes->data + bytes->len, ignore_case}, behind_star;
	size_t at = 0, star_at = 0;
	bool star = false;

	/* Only the last star met has to be able to take more: what an earlier one takes is as short
	 * as can be. */
	while (at < len || (pattern.at < pattern.end && *pattern.at == '*')) {
		if (pattern.at < pattern.end && *pattern.at == '*') {
			pattern.at++;
			behind_star = pattern;
			star_at = at;
			star = true;
		} else if (matches_one(&pattern, text[at])) {
			at++;
		} else if (star) {
			pattern = behind_star;
			at = ++star_at;
		} else {
			return false;
		}
	}
	return pattern.at == pattern.end;
}
