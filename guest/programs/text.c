#include "guest/programs/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_MAX 512 /* bytes of one text_format */

void text_add_bytes(struct text *text, const char *bytes, size_t len)
{
	if (text->len + len > text->room) {
		size_t room = 2 * (text->len + len) + 1024;
		char *data = text->failed ? NULL : realloc(text->data, room);

		if (!data) {
			text->failed = true;
			return;
		}
		text->data = data;
		text->room = room;
	}
	memcpy(text->data + text->len, bytes, len);
	text->len += len;
}

void text_add(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...)
{
	char bytes[FORMAT_MAX];
	va_list list;

	va_start(list, format);
	vsnprintf(bytes, sizeof(bytes), format, list);
	va_end(list);
	text_add(text, bytes);
}

static const char *html_of(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void text_add_html(struct text *text, const char *string)
{
	for (; *string; string++) {
		const char *html = html_of(*string);

		if (html)
			text_add(text, html);
		else
			text_add_bytes(text, string, 1);
	}
}

/* What may stand in a path as it is (RFC 3986 section 3.3), less what a browser or HTML could
 * misread. */
static bool is_url_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~/+@,=!$()*", c));
}

void text_add_url(struct text *text, const char *path)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;
		char encoded[3] = {'%', digits[c >> 4], digits[c & 15]};

		if (is_url_char(*path))
			text_add_bytes(text, path, 1);
		else
			text_add_bytes(text, encoded, sizeof(encoded));
	}
}

char *text_string(struct text *text)
{
	text_add_bytes(text, "", 1);
	if (text->failed)
		return NULL;
	text->len--;
	return text->data;
}

void text_free(struct text *text)
{
	free(text->data);
	*text = (struct text){0};
}
