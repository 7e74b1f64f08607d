#include "guest/programs/http_parse.h"

#include <string.h>

#include "guest/programs/http_text.h"
#include "guest/programs/http_values.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the path */

/* Percent-decodes. The number of bytes, -400 for a broken or zero byte, -414. */
static long decode(struct http_text raw, char *ret_path, size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.data[i];

		if (c == '%') {
			int high = i + 2 < raw.len ? http_hex_value(raw.data[i + 1]) : -1;
			int low = high >= 0 ? http_hex_value(raw.data[i + 2]) : -1;

			if (low < 0)
				return -400;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == 0)
			return -400;
		if (used == room)
			return -414;
		ret_path[used++] = c;
	}
	return (long)used;
}

/* The length of 'path' without its last component and the slash before it. */
static size_t parent_len(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

/* Brings the decoded path into its plain form, in place: it only ever gets shorter. */
static void make_plain(char *path, size_t len)
{
	size_t used = 0, at = 0;
	bool directory = true;

	while (at < len) {
		size_t start, part;

		while (at < len && path[at] == '/')
			at++;
		start = at;
		while (at < len && path[at] != '/')
			at++;
		part = at - start;
		directory = true;
		if (part == 0 || (part == 1 && path[start] == '.'))
			continue;
		if (part == 2 && path[start] == '.' && path[start + 1] == '.') {
			used = parent_len(path, used);
			continue;
		}
		directory = false;
		path[used++] = '/';
		memmove(path + used, path + start, part);
		used += part;
	}
	if (directory)
		path[used++] = '/';
	path[used] = 0;
}

/* "http://host/path" is allowed too: the host does not matter here. */
static struct http_text strip_origin(struct http_text target)
{
	static const char scheme[] = "http://";
	const char *end = target.data + target.len, *at;

	if (target.len < sizeof(scheme) - 1 ||
		!http_text_is(http_slice(target.data, target.data + 7), scheme))
		return target;
	for (at = target.data + 7; at < end && *at != '/' && *at != '?'; at++)
		;
	return http_slice(at, end);
}

static int parse_target(struct http_text target, struct http_request *request)
{
	const char *end, *question, *fragment;
	long len;

	for (size_t i = 0; i < target.len; i++) {
		if ((unsigned char)target.data[i] <= ' ' || target.data[i] == 0x7f)
			return -400;
	}
	target = strip_origin(target);
	fragment = target.len ? memchr(target.data, '#', target.len) : NULL;
	if (fragment)
		return -400;
	question = target.len ? memchr(target.data, '?', target.len) : NULL;
	end = target.data + target.len;
	request->query = question ? http_slice(question, end) : (struct http_text){NULL, 0};
	target = http_slice(target.data, question ? question : end);
	if (target.len && target.data[0] != '/')
		return -400;
	len = decode(target, request->path, HTTP_PATH_MAX - 1);
	if (len < 0)
		return (int)len;
	make_plain(request->path, (size_t)len);
	return 0;
}

/* ---- the request line */

static bool is_token(struct http_text text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return text.len > 0;
}

/* Methods are told apart by case. */
static enum http_method method_of(struct http_text name)
{
	static const struct {
		const char *name;
		enum http_method method;
	} known[] = {{"GET", HTTP_GET}, {"HEAD", HTTP_HEAD}, {"PUT", HTTP_PUT},
		{"DELETE", HTTP_DELETE}, {"POST", HTTP_KNOWN}, {"CONNECT", HTTP_KNOWN},
		{"OPTIONS", HTTP_KNOWN}, {"TRACE", HTTP_KNOWN}, {"PATCH", HTTP_KNOWN}};

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (name.len == strlen(known[i].name) &&
			memcmp(name.data, known[i].name, name.len) == 0)
			return known[i].method;
	}
	return HTTP_UNKNOWN;
}

static int parse_version(struct http_text version, struct http_request *request)
{
	const char *v = version.data;

	if (version.len != 8 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' ||
		v[6] != '.' || v[7] < '0' || v[7] > '9')
		return -400;
	if (v[5] != '1')
		return -505;
	request->minor = v[7] == '0' ? 0 : 1;
	request->keep_alive = request->minor > 0;
	return 0;
}

static int parse_request_line(struct http_text line, struct http_request *request)
{
	const char *end = line.data + line.len;
	const char *first = line.len ? memchr(line.data, ' ', line.len) : NULL;
	const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
	int error;

	if (!second || !is_token(http_slice(line.data, first)))
		return -400;
	error = parse_version(http_slice(second + 1, end), request);
	if (error)
		return error;
	request->method = method_of(http_slice(line.data, first));
	/* "OPTIONS *" and "CONNECT host:port" have targets of their own kind, and no path. */
	if (request->method >= HTTP_KNOWN)
		return 0;
	if (second == first + 1)
		return -400;
	return parse_target(http_slice(first + 1, second), request);
}

/* ---- the fields */

struct head {
	struct http_request *request;
	unsigned hosts, lengths;
};

static int take_host(struct head *head, struct http_text value)
{
	return head->hosts++ || !http_host_valid(value) ? -400 : 0;
}

static int take_connection(struct head *head, struct http_text value)
{
	struct http_text option;

	while (http_next_element(&value, &option)) {
		if (http_text_is(option, "close"))
			head->request->keep_alive = false;
		else if (http_text_is(option, "keep-alive") && head->request->minor == 0)
			head->request->keep_alive = true;
	}
	return 0;
}

/* Two lengths that differ, or a length beside a coding, are how requests are smuggled. */
static int take_content_length(struct head *head, struct http_text value)
{
	uint64_t length;

	if (!http_parse_number(value, &length))
		return -400;
	if (head->lengths++ && length != head->request->content_length)
		return -400;
	head->request->content_length = length;
	return 0;
}

static int take_transfer_encoding(struct head *head, struct http_text value)
{
	if (head->request->chunked)
		return -400;
	if (!http_text_is(value, "chunked"))
		return -501;
	head->request->chunked = true;
	return 0;
}

static int take_text(struct http_text *place, struct http_text value)
{
	*place = value;
	return 0;
}

static int take_range(struct head *head, struct http_text value)
{
	return take_text(&head->request->range, value);
}

static int take_if_range(struct head *head, struct http_text value)
{
	return take_text(&head->request->if_range, value);
}

static int take_if_none_match(struct head *head, struct http_text value)
{
	return take_text(&head->request->if_none_match, value);
}

static int take_if_modified_since(struct head *head, struct http_text value)
{
	return take_text(&head->request->if_modified_since, value);
}

static int take_if_match(struct head *head, struct http_text value)
{
	return take_text(&head->request->if_match, value);
}

static int take_if_unmodified_since(struct head *head, struct http_text value)
{
	return take_text(&head->request->if_unmodified_since, value);
}

/* RFC 9110 section 10.1.1 knows one expectation; any other is nothing to be met. */
static int take_expect(struct head *head, struct http_text value)
{
	head->request->expects_continue =
		head->request->minor > 0 && http_text_is(value, "100-continue");
	return 0;
}

/* RFC 9110 section 14.5: a part must not be taken for the whole. */
static int take_content_range(struct head *head, struct http_text value)
{
	(void)value;
	return head->request->method == HTTP_PUT ? -400 : 0;
}

static const struct {
	const char *name; /* lower case */
	int (*take)(struct head *head, struct http_text value);
} fields[] = {
	{"host", take_host},
	{"connection", take_connection},
	{"content-length", take_content_length},
	{"content-range", take_content_range},
	{"transfer-encoding", take_transfer_encoding},
	{"range", take_range},
	{"if-range", take_if_range},
	{"expect", take_expect},
	{"if-match", take_if_match},
	{"if-none-match", take_if_none_match},
	{"if-unmodified-since", take_if_unmodified_since},
	{"if-modified-since", take_if_modified_since},
};

static bool has_control_byte(struct http_text text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

static int parse_field(struct head *head, struct http_text line)
{
	const char *colon = memchr(line.data, ':', line.len);
	struct http_text name, value;

	/* A line that begins with a space continues the one before it: obsolete, and refused. */
	if (!colon || !is_token(http_slice(line.data, colon)))
		return -400;
	name = http_slice(line.data, colon);
	value = http_trim(http_slice(colon + 1, line.data + line.len));
	if (has_control_byte(value))
		return -400;
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (http_text_is(name, fields[i].name))
			return fields[i].take(head, value);
	}
	return 0;
}

static int check_head(const struct head *head)
{
	struct http_request *request = head->request;

	if (request->minor > 0 && head->hosts == 0)
		return -400;
	if (request->chunked && (head->lengths || request->minor == 0))
		return -400;
	request->has_body = request->chunked || request->content_length > 0;
	return 0;
}

/* ---- lines */

static long parse_fields(const char *bytes, size_t len, size_t at, struct head *head)
{
	struct http_text line;

	for (unsigned count = 0; http_next_line(bytes, len, &at, &line); count++) {
		int error;

		if (at > HTTP_HEAD_MAX || count > HTTP_FIELDS_MAX)
			return -431;
		error = line.len ? parse_field(head, line) : check_head(head);
		if (error)
			return error;
		if (!line.len)
			return (long)at;
	}
	return len >= HTTP_HEAD_MAX ? -431 : 0;
}

long http_parse_request(const char *bytes, size_t len, struct http_request *ret_request)
{
	struct head head = {.request = ret_request};
	struct http_text line;
	size_t at = 0;
	int error;

	memset(ret_request, 0, offsetof(struct http_request, path));
	memset((char *)ret_request + offsetof(struct http_request, query), 0,
		sizeof(*ret_request) - offsetof(struct http_request, query));
	ret_request->path[0] = 0;
	/* One empty line before a request is what some clients send after a body. */
	if (len >= 2 && bytes[0] == '\r' && bytes[1] == '\n')
		at = 2;
	else if (len >= 1 && bytes[0] == '\n')
		at = 1;
	if (!http_next_line(bytes, len, &at, &line))
		return len >= HTTP_LINE_MAX ? -414 : 0;
	if (line.len > HTTP_LINE_MAX)
		return -414;
	error = parse_request_line(line, ret_request);
	if (error)
		return error;
	return parse_fields(bytes, len, at, &head);
}
