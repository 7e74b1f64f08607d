#include "guest/programs/http_text.h"

#include <string.h>

char http_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

struct http_text http_slice(const char *from, const char *to)
{
	return (struct http_text){from, (size_t)(to - from)};
}

bool http_text_is(struct http_text text, const char *lower_case)
{
	if (text.len != strlen(lower_case))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (http_lower(text.data[i]) != lower_case[i])
			return false;
	}
	return true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

struct http_text http_trim(struct http_text text)
{
	while (text.len && is_space(text.data[0]))
		text = (struct http_text){text.data + 1, text.len - 1};
	while (text.len && is_space(text.data[text.len - 1]))
		text.len--;
	return text;
}

bool http_next_element(struct http_text *list, struct http_text *ret_element)
{
	const char *comma;

	if (!list->len)
		return false;
	comma = memchr(list->data, ',', list->len);
	*ret_element = http_trim(http_slice(list->data, comma ? comma : list->data + list->len));
	*list = comma ? http_slice(comma + 1, list->data + list->len) : (struct http_text){NULL, 0};
	return true;
}

bool http_next_line(const char *bytes, size_t len, size_t *at, struct http_text *ret_line)
{
	const char *start = bytes + *at;
	const char *newline = *at < len ? memchr(start, '\n', len - *at) : NULL;

	if (!newline)
		return false;
	*at = (size_t)(newline - bytes) + 1;
	if (newline > start && newline[-1] == '\r')
		newline--;
	*ret_line = http_slice(start, newline);
	return true;
}

int http_hex_value(char c)
{
	c = http_lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_parse_number(struct http_text text, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9' || number > (INT64_MAX - 9) / 10)
			return false;
		number = number * 10 + (uint64_t)(text.data[i] - '0');
	}
	*ret_number = number;
	return text.len > 0;
}
