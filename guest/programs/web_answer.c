#include <stdio.h>
#include <string.h>

#include "guest/programs/http_types.h"
#include "guest/programs/http_values.h"
#include "guest/programs/web.h"

struct head {
	char *bytes;
	size_t used, room;
};

/*
 * Put together by hand: printf took a quarter of the guest's time for a small file.
 * What does not fit is cut at the brim, where answer_format_head sees it.
 */
static void add_bytes(struct head *head, const char *bytes, size_t len)
{
	size_t left = head->room - head->used;

	if (len > left)
		len = left;
	memcpy(head->bytes + head->used, bytes, len);
	head->used += len;
}

static void add(struct head *head, const char *string)
{
	add_bytes(head, string, strlen(string));
}

static void add_number(struct head *head, uint64_t value, unsigned base)
{
	char digits[20]; /* of 2^64 - 1, in decimal */
	size_t at = sizeof(digits);

	do
		digits[--at] = "0123456789abcdef"[value % base];
	while (value /= base);
	add_bytes(head, digits + at, sizeof(digits) - at);
}

/* A whole line. */
static void add_field(struct head *head, const char *name, const char *value)
{
	add(head, name);
	add_bytes(head, ": ", 2);
	add(head, value);
	add_bytes(head, "\r\n", 2);
}

/* Made once a second: every answer has it. */
static const char *date_now(void)
{
	static char text[HTTP_DATE_LEN];
	static int64_t made;
	int64_t now = clock_wall() / 1000000000;

	if (now != made)
		http_date_format(now, text);
	made = now;
	return text;
}

char *answer_etag(const struct fs_attributes *attributes, char text[ETAG_LEN])
{
	struct head tag = {text, 0, ETAG_LEN};

	add(&tag, "\"");
	add_number(&tag, attributes->size, 16);
	add(&tag, "-");
	add_number(&tag, attributes->mtime_s, 16);
	add(&tag, "-");
	add_number(&tag, attributes->mtime_ns, 16);
	add_bytes(&tag, "\"", 2); /* with the 0 */
	return text;
}

static void add_range(struct head *head, const struct answer *answer)
{
	add(head, "Content-Range: bytes ");
	if (answer->status == 206) {
		add_number(head, answer->range_first, 10);
		add(head, "-");
		add_number(head, answer->range_first + answer->length - 1, 10);
	} else {
		add(head, "*");
	}
	add(head, "/");
	add_number(head, answer->attributes->size, 10);
	add(head, "\r\n");
}

static void add_file_fields(struct head *head, const struct answer *answer)
{
	const struct fs_attributes *file = answer->attributes;
	char date[HTTP_DATE_LEN], etag[ETAG_LEN];

	add_field(head, "Last-Modified", http_date_format((int64_t)file->mtime_s, date));
	add_field(head, "ETag", answer_etag(file, etag));
	add_field(head, "Accept-Ranges", "bytes");
	if (answer->status == 206 || answer->status == 416)
		add_range(head, answer);
}

static void add_status(struct head *head, int status)
{
	add(head, "HTTP/1.1 ");
	add_number(head, (uint64_t)status, 10);
	add(head, " ");
	add(head, http_reason(status));
	add(head, "\r\nServer: ferrule\r\n");
}

long answer_format_head(
	const struct exchange *exchange, const struct answer *answer, char *ret_bytes, size_t room)
{
	struct head head = {ret_bytes, 0, room};

	add_status(&head, answer->status);
	add_field(&head, "Date", date_now());
	if (answer->type)
		add_field(&head, "Content-Type", answer->type);
	if (answer->status != 304 && answer->status != 204) {
		add(&head, "Content-Length: ");
		add_number(&head, answer->length, 10);
		add(&head, "\r\n");
	}
	if (answer->attributes)
		add_file_fields(&head, answer);
	if (answer->location)
		add_field(&head, "Location", answer->location);
	if (answer->status == 405)
		add_field(&head, "Allow",
			exchange->writable ? "GET, HEAD, PUT, DELETE" : "GET, HEAD");
	if (!exchange->keep_alive)
		add_field(&head, "Connection", "close");
	else if (exchange->request.minor == 0)
		add_field(&head, "Connection", "keep-alive");
	add(&head, "\r\n");
	return head.used < room ? (long)head.used : -ENOBUFS;
}

int answer_send_head(struct exchange *exchange, const struct answer *answer)
{
	unsigned char *span;
	size_t need = WEB_HEAD_MAX + (answer->location ? strlen(answer->location) : 0);
	long room = stream_reserve(exchange->stream, &span, need, web_deadline());
	long len;

	if (room < 0)
		return (int)room;
	len = answer_format_head(exchange, answer, (char *)span, need);
	if (len < 0)
		return (int)len;
	stream_commit(exchange->stream, (size_t)len);
	return 0;
}

int answer_send(struct exchange *exchange, const struct answer *answer, const char *body)
{
	int error = answer_send_head(exchange, answer);
	long sent;

	if (error || exchange->request.method == HTTP_HEAD)
		return error;
	sent = stream_write(exchange->stream, body, answer->length, web_deadline());
	if (sent < 0)
		return (int)sent;
	return (uint64_t)sent < answer->length ? -ETIMEDOUT : 0;
}

int answer_error(struct exchange *exchange, int status)
{
	char body[512];
	struct answer answer = {.status = status, .type = "text/html; charset=utf-8"};

	answer.length = (uint64_t)snprintf(body, sizeof(body),
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%d "
		"%s</title></head>\n"
		"<body style=\"font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem "
		"auto\">\n"
		"<h1>%d %s</h1>\n<p>%s</p>\n</body>\n</html>\n",
		status, http_reason(status), status, http_reason(status), http_explanation(status));
	return answer_send(exchange, &answer, body);
}

int answer_status(int error)
{
	switch (error < 0 ? -error : error) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case EILSEQ:
		return 404;
	case EACCES:
	case EPERM:
	case EXDEV: /* a link that leads out of the mount */
	case ELOOP:
	case EISDIR:
	case EROFS:
	case ENXIO: /* neither a file nor a directory */
	case ENODEV:
	case EINVAL:
	case ENOTSUP:
		return 403;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return 507;
	case ENOTEMPTY:
	case EEXIST:
	case EBUSY:
		return 409;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case EAGAIN:
	case ETIMEDOUT:
		return 503;
	default:
		return 500;
	}
}
